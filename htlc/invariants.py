"""What must always hold, as small pure functions over plain facts: tests, the simulator and the
auditor of a running gateway ask the same questions.

Each function takes what was observed (contracts, balances, journals, keys, notices) and returns the
violations; none means that it holds. The numbers are those of the list in the package's README.
`reconciliation` holds a journal against the ledgers.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from htlc.agreement import Agreement, Pair, Role
from htlc.contract import Htlc, Status
from htlc.events import Decided, Decision, Event, Opened, Proposed, Restored
from htlc.leg import LegStatus
from htlc.swap import LockProtocol
from htlc.units import (
    AccountId,
    AssetId,
    Duration,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    SettlementId,
    after,
)

Contracts = Sequence[Htlc | None]
"""What the ledgers hold for the legs of one settlement, in the order of its agreement."""


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must never be, was seen. `invariant` is its number in the list."""

    invariant: int
    what: str


# --------------------------------------------------------------------------- 1: one end


def one_end(agreement: Agreement, contracts: Contracts) -> tuple[Violation, ...]:
    """1. No leg is executed while another one has gone back.

    An unlocked leg beside an executed one counts once its ledger can lock it no more, which the
    caller knows (`one_known_end`). For `htlc` and a backstop this holds as long as the outage
    stayed within the window; what operators resolved after a restore is judged apart."""
    executed = _legs(agreement, contracts, Status.EXECUTED)
    cancelled = _legs(agreement, contracts, Status.CANCELLED)
    if not (executed and cancelled):
        return ()
    what = f"{agreement.settlement}: {', '.join(executed)} executed, {', '.join(cancelled)} not"
    return (Violation(invariant=1, what=what),)


def one_known_end(
    settlement: SettlementId, legs: Mapping[LegId, LegStatus]
) -> tuple[Violation, ...]:
    """1. The same over what a gateway knows of the legs, unlocked and foreign ones included."""
    executed = [leg for leg, status in legs.items() if status is LegStatus.EXECUTED]
    finished = [
        f"{leg} {status}"
        for leg, status in legs.items()
        if status
        in (LegStatus.CANCELLED, LegStatus.REFUNDED, LegStatus.UNLOCKED, LegStatus.FOREIGN)
    ]
    if not (executed and finished):
        return ()
    what = f"{settlement}: {', '.join(executed)} executed, {', '.join(finished)}"
    return (Violation(invariant=1, what=what),)


def _legs(agreement: Agreement, contracts: Contracts, status: Status) -> list[LegId]:
    return [
        leg.terms.leg
        for leg, held in zip(agreement.legs, contracts, strict=True)
        if held is not None and held.terms == leg.terms and held.status is status
    ]


# --------------------------------------------------------------------------- 2: conservation


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One account's balance of one asset. The counter-account (the issuer's, or the reserves at
    the central bank) carries minus the issued amount."""

    ledger: LedgerId
    asset: AssetId
    account: AccountId
    available: int
    locked: int = 0
    counter: bool = False


def conserved(holdings: Iterable[Holding]) -> tuple[Violation, ...]:
    """2. Per ledger and asset all balances sum to zero, and no holder's is negative."""
    totals: dict[tuple[LedgerId, AssetId], int] = defaultdict(int)
    violations = []
    for holding in holdings:
        totals[holding.ledger, holding.asset] += holding.available + holding.locked
        if not holding.counter and (holding.available < 0 or holding.locked < 0):
            what = f"{holding.ledger}: {holding.account} holds a negative amount of {holding.asset}"
            violations.append(Violation(invariant=2, what=what))
    violations += [
        Violation(invariant=2, what=f"{ledger}: balances of {asset} sum to {total}, not to zero")
        for (ledger, asset), total in totals.items()
        if total
    ]
    return tuple(violations)


def locked_is_backed(
    holdings: Iterable[Holding], contracts: Iterable[tuple[LedgerId, Htlc]]
) -> tuple[Violation, ...]:
    """2. What an account has locked is exactly the sum of its open contracts."""
    balance: Counter[tuple[LedgerId, AccountId, AssetId]] = Counter()
    for holding in holdings:
        balance[holding.ledger, holding.account, holding.asset] += holding.locked
    for ledger, held in contracts:
        if held.status is Status.LOCKED:
            terms = held.terms
            balance[ledger, terms.payer, terms.asset] -= terms.quantity
    return tuple(
        Violation(invariant=2, what=f"{ledger}: {account} has {excess} {asset} locked in nothing")
        for (ledger, account, asset), excess in balance.items()
        if excess
    )


# --------------------------------------------------------------------------- 3: keys


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A key left the vault for leg number `leg`, after `records` records of the journal."""

    leg: int
    role: Role
    records: int


def keys_apart(agreement: Agreement, contracts: Contracts) -> tuple[Violation, ...]:
    """3. Never both keys of one pair: an execution key has ended one leg and a cancellation key
    another. With signed ledger blocks this is the proof of an operator's dishonesty (rule 16)."""
    used: dict[Pair, set[Role]] = defaultdict(set)
    for leg, held in zip(agreement.legs, contracts, strict=True):
        if held is not None and held.key is not None and held.terms == leg.terms:
            executed = held.status is Status.EXECUTED
            used[leg.pair].add(Role.EXECUTION if executed else Role.CANCELLATION)
    return tuple(
        Violation(invariant=3, what=f"{agreement.settlement}: both keys of pair {pair} are out")
        for pair, roles in used.items()
        if len(roles) > 1
    )


def all_were_locked(agreement: Agreement, contracts: Contracts) -> tuple[Violation, ...]:
    """3. If a leg is executed, every leg was locked on exactly the agreed terms."""
    if not _legs(agreement, contracts, Status.EXECUTED):
        return ()
    return tuple(
        Violation(
            invariant=3,
            what=f"{agreement.settlement}: executed without leg {leg.terms.leg} locked as agreed",
        )
        for leg, held in zip(agreement.legs, contracts, strict=True)
        if held is None or held.terms != leg.terms
    )


def keys_follow_decisions(
    agreement: Agreement, journal: Sequence[Event], shown: Iterable[Shown]
) -> tuple[Violation, ...]:
    """3. A key that the vault gave out had its decision in the journal before.

    `anchored` followers are opened by what the anchor did, under either decision. What may be
    followed with a public key needs none of the vault's."""
    return tuple(
        Violation(
            invariant=3,
            what=f"{agreement.settlement}: {key.role} key of leg {key.leg} shown under {decision}",
        )
        for key in shown
        if not _allowed(agreement, key, decision := _decision(journal[: key.records]))
    )


def _allowed(agreement: Agreement, key: Shown, decision: Decision | None) -> bool:
    if agreement.protocol is LockProtocol.ANCHORED and key.leg != agreement.anchor:
        return decision is not None
    if key.role is Role.EXECUTION:
        return decision is Decision.COMMIT
    return decision is Decision.CANCEL


def _decision(journal: Iterable[Event]) -> Decision | None:
    return next((event.decision for event in journal if isinstance(event, Decided)), None)


# --------------------------------------------------------------------------- 4: once


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One effect as a ledger's facts tell it: the operation's id, and what it did."""

    ledger: LedgerId
    id: str
    kind: str  # lock, execute, cancel, refund, issue, redeem, transfer


ENDS = frozenset({"execute", "cancel", "refund"})
"""The three ways in which a contract ends; it ends in one of them, once."""


def once(effects: Iterable[Effect]) -> tuple[Violation, ...]:
    """4. Each operation has its effect at most once, and a contract one end."""
    counted = Counter(
        (effect.ledger, effect.id, "end" if effect.kind in ENDS else effect.kind)
        for effect in effects
    )
    return tuple(
        Violation(invariant=4, what=f"{ledger}: {kind} of {id} happened {count} times")
        for (ledger, id, kind), count in counted.items()
        if count > 1
    )


# --------------------------------------------------------------------------- 5: no trap


def resolved_in_time(
    agreement: Agreement, contracts: Contracts, now: Sequence[Instant], unwinding: Duration
) -> tuple[Violation, ...]:
    """5. While ledgers and gateway are up, no lock stands longer than `unwinding` after it had to
    be resolved, each on its own ledger's time.

    Not for restored settlements (frozen, left to a far expiry): the caller counts those apart."""
    return tuple(
        Violation(
            invariant=5, what=f"{agreement.settlement}: leg {leg.terms.leg} is still locked at {at}"
        )
        for n, (leg, held, at) in enumerate(zip(agreement.legs, contracts, now, strict=True))
        if held is not None
        and held.status is Status.LOCKED
        and at >= after(due_by(agreement, n), unwinding)
    )


def due_by(agreement: Agreement, n: int) -> Instant:
    """When leg `n` has to be on its way back at the latest: `commit_by`; where only a clock can
    open it, or the anchor it follows, that expiry."""
    own = agreement.legs[n].terms
    if own.cancellation_lock is None:
        assert own.expires_at is not None, "a lock without cancellation key has an expiry"
        return own.expires_at
    if agreement.anchor is not None:
        anchor = agreement.legs[agreement.anchor].terms
        return max(agreement.commit_by, anchor.expires_at or agreement.commit_by)
    return agreement.commit_by


# --------------------------------------------------------------------------- 6: journals, notices


def journal_in_order(journal: Sequence[Event]) -> tuple[Violation, ...]:
    """6. A journal begins with a proposal, opens at most once, and decides at most once, a COMMIT
    only after it was opened."""
    kinds = [type(event) for event in journal]
    decided = [n for n, event in enumerate(journal) if isinstance(event, Decided)]
    opened = [n for n, event in enumerate(journal) if isinstance(event, Opened)]
    found = []
    if not kinds or kinds[0] is not Proposed or kinds.count(Proposed) > 1:
        found.append("a journal begins with its one proposal")
    if len(opened) > 1:
        found.append("opened twice")
    if len(decided) > 1:
        found.append("decided twice")
    if (
        decided
        and _decision(journal) is Decision.COMMIT
        and not (opened and opened[0] < decided[0])
    ):
        found.append("committed before it was opened")
    return tuple(Violation(invariant=6, what=what) for what in found)


def restored(journal: Iterable[Event]) -> bool:
    """Whether a restore came before the decision: what is excused is listed apart."""
    for event in journal:
        if isinstance(event, Decided):
            return False
        if isinstance(event, Restored):
            return True
    return False


class FinalNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A final notice about one instruction, in one party's mailbox."""

    instruction: str
    party: MemberId


def one_final_notice(
    accepted: Collection[FinalNotice], notices: Iterable[FinalNotice]
) -> tuple[Violation, ...]:
    """6. Every accepted instruction that has ended (`accepted`: with each of its parties) has
    exactly one final notice per party, and nothing else has one."""
    counted = Counter(notices)
    return tuple(
        Violation(
            invariant=6,
            what=f"{notice.instruction}: {counted[notice]} final notices for {notice.party}",
        )
        for notice in {*accepted, *counted}
        if counted[notice] != (notice in accepted)
    )


# --------------------------------------------------------------------------- 7: registries


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The root of the state of one registry node at one height."""

    node: str
    height: int
    root: bytes


def same_roots(heads: Iterable[Head]) -> tuple[Violation, ...]:
    """7. Nodes at the same height have the same root."""
    roots: dict[int, dict[bytes, str]] = defaultdict(dict)
    for head in heads:
        roots[head.height].setdefault(head.root, head.node)
    return tuple(
        Violation(invariant=7, what=f"height {height}: {' and '.join(by_root.values())} differ")
        for height, by_root in roots.items()
        if len(by_root) > 1
    )


def issued_is_held(
    issued: Mapping[AssetId, int], held: Iterable[tuple[AssetId, int]]
) -> tuple[Violation, ...]:
    """7. The issued total of each security is the sum of its holdings over all registries."""
    totals: Counter[AssetId] = Counter()
    for asset, quantity in held:
        totals[asset] += quantity
    return tuple(
        Violation(
            invariant=7,
            what=f"{asset}: {issued.get(asset, 0)} issued, {totals[asset]} held",
        )
        for asset in sorted({*issued, *totals})
        if issued.get(asset, 0) != totals[asset]
    )
