"""State diagrams in Mermaid, drawn from the code: `python -m htlc.diagram` prints them, `--write`
puts them into the README of this package, where a test compares them with what the code does.

The phases of a settlement come from the exhaustive search over `evolve` and `decide`
(`htlc.explorer`), those of a contract from trying every operation of `htlc.contract` on both sides
of every boundary. Nothing here is drawn by hand.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from htlc import contract
from htlc.agreement import Agreement, LedgerProfile, Limits, Pair, Role, draw_up
from htlc.contract import Htlc, Refusal, Status, Terms
from htlc.explorer import Explorer
from htlc.hashlock import PREIMAGE_BYTES, HashFunction, Hashlock
from htlc.schedule import Latency
from htlc.settlement import Phase
from htlc.swap import Amount, LockProtocol, Party, PartySecret, Swap, dvp
from htlc.units import (
    AccountId,
    AssetId,
    Duration,
    HtlcId,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    Quantity,
    SettlementId,
)

README: Final = Path(__file__).with_name("README.md")

_BLOCK: Final = re.compile(r"<!-- diagram: (\w+) -->\n.*?<!-- end -->", re.DOTALL)
"""Where a diagram stands in the README, by its name."""

_NOW: Final = Instant(1_000)
"""Any time will do: the search counts instants, not seconds."""

_SELLER: Final = Party(member=MemberId("SELLER"), account=AccountId("seller"))
_BUYER: Final = Party(member=MemberId("BUYER"), account=AccountId("buyer"))

_SECOND: Final = Duration(1)

_LATENCY: Final = Latency(finality=_SECOND, lookup=_SECOND, delivery=_SECOND, skew=_SECOND)

_LIMITS: Final = Limits(
    lock_within=Duration(99), commit_within=Duration(100), recovery=Duration(10)
)
"""`lock_by` and `commit_by` fall on one instant, which keeps the search small."""


# --------------------------------------------------------------------------- settlements


@cache
def settlement_edges(protocol: LockProtocol) -> dict[tuple[Phase, Phase], tuple[str, ...]]:
    """Every change of phase that a DvP can go through, and what brings it about: with the keys in
    the vault, and where that is possible with the secret held by the buyer. `anchored` has an HTLC
    as its anchor, which is the case with the most ways to go. Restores are left out."""
    found: dict[tuple[Phase, Phase], set[str]] = defaultdict(set)
    for holder in (None, _BUYER) if protocol is not LockProtocol.TWO_KEY else (None,):
        for edge in _explored(protocol, holder).edges:
            found[edge.before, edge.after].add(edge.what)
    order = list(Phase)
    return {
        ends: tuple(sorted(found[ends]))
        for ends in sorted(found, key=lambda e: (order.index(e[0]), order.index(e[1])))
    }


def _explored(protocol: LockProtocol, holder: Party | None) -> Explorer:
    swap, agreement = _sample(protocol, holder)
    explorer = Explorer(swap, agreement, lambda n, role: _key(agreement.legs[n].pair, role))
    for _ in explorer.explore():
        pass
    return explorer


def _sample(protocol: LockProtocol, holder: Party | None) -> tuple[Swap, Agreement]:
    swap = dvp(
        SettlementId("00000000-0000-4000-8000-000000000000"),
        seller=_SELLER,
        buyer=_BUYER,
        securities=Amount(ledger=LedgerId("csd"), asset=AssetId("ISIN"), quantity=Quantity(1)),
        cash=Amount(ledger=LedgerId("rtgs"), asset=AssetId("EUR"), quantity=Quantity(1)),
    )
    ledgers = {
        leg.ledger: LedgerProfile(
            two_key=protocol is LockProtocol.TWO_KEY or n == 1,
            htlc=True,
            functions=(HashFunction(),),
            latency=_LATENCY,
            now=_NOW,
        )
        for n, leg in enumerate(swap.legs)
    }
    asked = Swap(id=swap.id, legs=swap.legs, protocol=protocol, secret=_secret(protocol, holder))
    agreement = draw_up(asked, ledgers, _LIMITS, _lock)
    assert isinstance(agreement, Agreement), agreement
    return asked, agreement


def _secret(protocol: LockProtocol, holder: Party | None) -> PartySecret | None:
    if holder is None:
        return None
    pair = Pair.ANCHOR if protocol is LockProtocol.ANCHORED else Pair.LEGS
    digest = HashFunction().digest(_key(pair, Role.EXECUTION))
    return PartySecret(holder=holder.member, function=HashFunction(), digest=digest)


def _key(pair: Pair, role: Role) -> bytes:
    """Four different keys that nobody will take for real ones."""
    number = 2 * list(Pair).index(pair) + list(Role).index(role)
    return bytes([number]) * PREIMAGE_BYTES


def _lock(pair: Pair, role: Role, function: HashFunction) -> Hashlock:
    return function.lock(_key(pair, role))


def settlement_diagram(protocol: LockProtocol) -> str:
    lines = ["stateDiagram-v2", "    [*] --> PROPOSED"]
    for (before, after), causes in settlement_edges(protocol).items():
        lines.append(f"    {before} --> {after}: {_grouped(causes)}")
    lines += [f"    {end} --> [*]" for end in (Phase.SETTLED, Phase.CANCELLED)]
    return "\n".join(lines)


def _grouped(causes: tuple[str, ...]) -> str:
    """`COMMIT (A)` and `COMMIT (B)` are told together, as `COMMIT (A, B)`."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for cause in causes:
        head, _, reason = cause.partition(" (")
        reasons[head].append(reason.rstrip(")"))
    return "<br/>".join(
        f"{head} ({', '.join(said)})" if all(said) else head for head, said in reasons.items()
    )


# --------------------------------------------------------------------------- contracts

_Operation = Callable[[Htlc | None, Instant], Htlc | Refusal]


def contract_edges() -> tuple[tuple[str, str, str], ...]:
    """From where, by what and when, to where: every operation tried on a contract in each state,
    one tick before and on each boundary."""
    states: dict[str, Htlc | None] = {"[*]": None}
    edges: dict[tuple[str, str, str], None] = {}
    while True:
        found = dict(edges)
        for before, held in tuple(states.items()):
            for what, after, made in _moves(held):
                states.setdefault(after, made)
                if after != before:
                    found[before, what, after] = None
        if found == edges:
            return tuple(edges)
        edges = found


def _moves(held: Htlc | None) -> Iterator[tuple[str, str, Htlc]]:
    terms = _terms()
    assert terms.expires_at is not None
    for name, operation in _operations(terms).items():
        for boundary, at in (("lock_by", terms.lock_by), ("expires_at", terms.expires_at)):
            early, late = operation(held, Instant(at - 1)), operation(held, at)
            if isinstance(early, Htlc) and isinstance(late, Refusal):
                yield f"{name}, now < {boundary}", _name(early), early
            elif isinstance(early, Refusal) and isinstance(late, Htlc):
                yield f"{name}, now >= {boundary}", _name(late), late
        always = [operation(held, at) for at in (_NOW, terms.lock_by, terms.expires_at)]
        if isinstance(always[0], Htlc) and isinstance(always[-1], Htlc):
            yield name, _name(always[0]), always[0]


def _operations(terms: Terms) -> dict[str, _Operation]:
    def known(operation: Callable[[Htlc, Instant], Htlc | Refusal]) -> _Operation:
        return lambda held, at: operation(held, at) if held else Refusal.UNKNOWN_CONTRACT

    execution, cancellation = (_key(Pair.LEGS, role) for role in Role)
    wrong = _key(Pair.ANCHOR, Role.EXECUTION)
    return {
        "lock": lambda held, at: held or contract.lock(terms, at),
        "execute": known(lambda held, at: contract.execute(held, execution, at)),
        "execute with another key": known(lambda held, at: contract.execute(held, wrong, at)),
        "cancel": known(lambda held, at: contract.cancel(held, cancellation, at)),
        "cancel with another key": known(lambda held, at: contract.cancel(held, wrong, at)),
        "refund": known(contract.refund),
    }


def _terms() -> Terms:
    """A lock with everything that a lock can have: two keys and an expiry."""
    return Terms(
        id=HtlcId("00000000-0000-4000-8000-000000000001"),
        settlement=SettlementId("00000000-0000-4000-8000-000000000000"),
        leg=LegId("CASH"),
        payer=AccountId("buyer"),
        payee=AccountId("seller"),
        asset=AssetId("EUR"),
        quantity=Quantity(1),
        execution_lock=_lock(Pair.LEGS, Role.EXECUTION, HashFunction()),
        cancellation_lock=_lock(Pair.LEGS, Role.CANCELLATION, HashFunction()),
        lock_by=Instant(_NOW + 100),
        expires_at=Instant(_NOW + 200),
    )


def _name(held: Htlc) -> str:
    """A refund is told apart from a cancellation, though both are CANCELLED on the ledger."""
    refunded = held.status is Status.CANCELLED and held.key is None
    return "CANCELLED_BY_CLOCK" if refunded else str(held.status)


def contract_diagram() -> str:
    edges = contract_edges()
    ends = {after for _, _, after in edges} - {before for before, _, _ in edges}
    lines = ["stateDiagram-v2"]
    lines += [f"    {before} --> {after}: {what}" for before, what, after in edges]
    lines += [f"    {end} --> [*]" for end in sorted(ends)]
    return "\n".join(lines)


# --------------------------------------------------------------------------- the README


def diagrams() -> dict[str, str]:
    """All diagrams by name."""
    drawn = {str(protocol): settlement_diagram(protocol) for protocol in LockProtocol}
    return {"contract": contract_diagram(), **drawn}


def written_into(text: str) -> str:
    """The text of the README with its diagrams as the code draws them now."""
    drawn = diagrams()
    return _BLOCK.sub(
        lambda at: f"<!-- diagram: {at[1]} -->\n```mermaid\n{drawn[at[1]]}\n```\n<!-- end -->", text
    )


def main() -> None:
    if "--write" in sys.argv[1:]:
        README.write_text(written_into(README.read_text()))
        return
    for name, diagram in diagrams().items():
        sys.stdout.write(f"%% {name}\n{diagram}\n\n")


if __name__ == "__main__":
    main()
