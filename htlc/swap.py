"""What parties agree: a swap of two or more legs, each a transfer on a ledger of its own choice.

A swap is a digraph: parties are its nodes, legs its arcs from payer to payee. It must be strongly
connected, or somebody gives and gets nothing in return, and no protocol can make that safe
(Herlihy, "Atomic Cross-Chain Swaps", PODC 2018, theorem 3.5). DvP, PvP, cross-currency DvP and
rings are constructors here, not classes: the protocol knows only the digraph.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from htlc.hashlock import DIGEST_BYTES, HashFunction
from htlc.units import (
    INSTANT_MAX,
    QUANTITY_MAX,
    AccountId,
    AssetId,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    Quantity,
    SettlementId,
    Value,
)

_LEG_ID: Final = re.compile(r"[A-Z0-9]{1,8}")
"""`LegIdentifier` of supl.001.001.01: leg names travel in messages."""


class LockProtocol(StrEnum):
    """How the legs are locked and who decides (the table in the package's README)."""

    TWO_KEY = "two_key"
    ANCHORED = "anchored"
    HTLC = "htlc"


TWO_KEY: Final = LockProtocol.TWO_KEY
ANCHORED: Final = LockProtocol.ANCHORED
HTLC: Final = LockProtocol.HTLC
"""For where they are asked for at every turn (the reason is told in `leg`)."""


class Party(Value, frozen=True, kw_only=True):
    """A member and the account it pays from or is paid to."""

    member: MemberId
    account: AccountId


class Leg(Value, frozen=True, kw_only=True, omit_defaults=True):
    """One transfer. `expires_at` is only for parties who want to set an expiry of their own."""

    leg: LegId
    ledger: LedgerId
    asset: AssetId
    quantity: Quantity
    payer: Party
    payee: Party
    expires_at: Instant | None = None


class PartySecret(Value, frozen=True, kw_only=True):
    """A hash whose preimage a party holds; without one, the gateway's vault holds all keys."""

    holder: MemberId
    function: HashFunction
    digest: bytes


class Swap(Value, frozen=True, kw_only=True, omit_defaults=True):
    """What everyone who pays has to consent to. `commit_by` is an instant of leg 0's ledger.

    `omit_defaults`: its digest is over what was said, and stays when there is more to be said."""

    id: SettlementId
    legs: tuple[Leg, ...]
    protocol: LockProtocol | None = None
    commit_by: Instant | None = None
    secret: PartySecret | None = None

    @property
    def payers(self) -> frozenset[MemberId]:
        """Whose consent is needed; in a sound swap every party pays something."""
        return frozenset([leg.payer.member for leg in self.legs])

    @property
    def parties(self) -> frozenset[MemberId]:
        return frozenset([side.member for leg in self.legs for side in (leg.payer, leg.payee)])

    def has_party(self, member: str) -> bool:
        """Whether a member pays or is paid something."""
        for leg in self.legs:  # noqa: SIM110 - asked of every proposal
            if member in (leg.payer.member, leg.payee.member):
                return True
        return False


class Fault(Value, frozen=True, kw_only=True):
    """Why something proposed cannot be taken: the field, and the rule that it breaks."""

    field: str
    rule: str


def check(swap: Swap, *, legs_max: int) -> tuple[Fault, ...]:
    """Every fault in the shape of a swap; empty if it is sound."""
    if not 2 <= len(swap.legs) <= legs_max:
        return (Fault(field="legs", rule=f"a swap has 2 to {legs_max} legs"),)
    faults: list[Fault] = []
    names: list[LegId] = []
    for n, leg in enumerate(swap.legs):
        _look_at(n, leg, faults)
        if leg.leg in names:
            rule = f"{leg.leg} names another leg already"
            faults.append(Fault(field=f"legs[{n}].leg", rule=rule))
        names.append(leg.leg)
    if swap.commit_by is not None and not 0 < swap.commit_by <= INSTANT_MAX:
        faults.append(Fault(field="commit_by", rule=_INSTANT_RULE))
    if swap.secret is not None and swap.secret.holder not in swap.parties:
        faults.append(Fault(field="secret.holder", rule="the holder is a party of the swap"))
    if swap.secret is not None and len(swap.secret.digest) != DIGEST_BYTES:
        faults.append(Fault(field="secret.digest", rule=f"a digest has {DIGEST_BYTES} bytes"))
    return tuple(faults) if faults else _connection_faults(swap.legs)


_INSTANT_RULE: Final = "an instant lies after 1970 and before 2262"


def _look_at(n: int, leg: Leg, faults: list[Fault]) -> None:
    """Note the faults of a leg by itself. Nearly all have none: nothing is made up for those."""
    if not _LEG_ID.fullmatch(leg.leg):
        rule = "a leg is named by 1 to 8 capitals and digits"
        faults.append(Fault(field=f"legs[{n}].leg", rule=rule))
    if not 1 <= leg.quantity <= QUANTITY_MAX:
        rule = "a quantity is positive and fits 63 bits"
        faults.append(Fault(field=f"legs[{n}].quantity", rule=rule))
    if leg.payer.member == leg.payee.member:
        rule = "nobody pays a leg to itself"
        faults.append(Fault(field=f"legs[{n}].payee.member", rule=rule))
    if leg.expires_at is not None and not 0 < leg.expires_at <= INSTANT_MAX:
        faults.append(Fault(field=f"legs[{n}].expires_at", rule=_INSTANT_RULE))


def _connection_faults(legs: Sequence[Leg]) -> tuple[Fault, ...]:
    """The arcs that spoil strong connection: a payee with no way back to its payer, or a part of
    the swap that has nothing to do with the first leg."""
    if _is_exchange(legs):
        return ()
    dead_ends = tuple(
        Fault(
            field=f"legs[{n}]",
            rule=f"leg {leg.leg} lies on no cycle: {leg.payee.member} gives nothing that reaches "
            f"{leg.payer.member} (a swap is strongly connected)",
        )
        for n, leg in enumerate(legs)
        if leg.payer.member not in reachable(legs, leg.payee.member)
    )
    within = reachable(legs, legs[0].payer.member)
    apart = (
        Fault(field=f"legs[{n}]", rule=f"leg {leg.leg} is not connected with leg {legs[0].leg}")
        for n, leg in enumerate(legs)
        if leg.payer.member not in within
    )
    return dead_ends or tuple(apart)


def _is_exchange(legs: Sequence[Leg]) -> bool:
    """Two parties that give to each other: what nearly all swaps are, and connected as it is."""
    if len(legs) != 2:
        return False
    one, other = legs
    return one.payer.member == other.payee.member and one.payee.member == other.payer.member


def reachable(legs: Sequence[Leg], start: MemberId) -> frozenset[MemberId]:
    """Everyone to whom value can flow from `start`, itself included."""
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for leg in legs:
            if leg.payer.member == here and leg.payee.member not in seen:
                seen.add(leg.payee.member)
                todo.append(leg.payee.member)
    return frozenset(seen)


def dvp(
    id: SettlementId, *, seller: Party, buyer: Party, securities: "Amount", cash: "Amount"
) -> Swap:
    """Delivery versus payment: the seller's `Party.account` on each ledger is in its amount."""
    return Swap(
        id=id,
        legs=(securities.leg("SECU", seller, buyer), cash.leg("CASH", buyer, seller)),
    )


def pvp(id: SettlementId, *, side_a: Party, side_b: Party, gives: "Amount", gets: "Amount") -> Swap:
    """Payment versus payment, seen from side A."""
    return Swap(id=id, legs=(gives.leg("FXSA", side_a, side_b), gets.leg("FXSB", side_b, side_a)))


def cross_currency_dvp(
    id: SettlementId,
    *,
    seller: Party,
    buyer: Party,
    dealer: Party,
    securities: "Amount",
    pays: "Amount",
    gets: "Amount",
) -> Swap:
    """The buyer pays a dealer in its currency, who pays the seller in the seller's: three legs."""
    return Swap(
        id=id,
        legs=(
            securities.leg("SECU", seller, buyer),
            pays.leg("FXSA", buyer, dealer),
            gets.leg("FXSB", dealer, seller),
        ),
    )


def ring(id: SettlementId, gifts: Sequence[tuple[Party, "Amount"]]) -> Swap:
    """Each party gives its amount to the next one, the last to the first."""
    parties = [party for party, _ in gifts]
    following = parties[1:] + parties[:1]
    return Swap(
        id=id,
        legs=tuple(
            amount.leg(f"R{n}", payer, payee)
            for n, ((payer, amount), payee) in enumerate(zip(gifts, following, strict=True))
        ),
    )


class Amount(Value, frozen=True, kw_only=True):
    """A quantity of an asset on a ledger: what one side of a trade gives."""

    ledger: LedgerId
    asset: AssetId
    quantity: Quantity

    def leg(self, name: str, payer: Party, payee: Party) -> Leg:
        return Leg(
            leg=LegId(name),
            ledger=self.ledger,
            asset=self.asset,
            quantity=self.quantity,
            payer=payer,
            payee=payee,
        )
