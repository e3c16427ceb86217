"""Two matched foreign exchange trades, their swap (PvP), and what both sides are told (fxtr.017).

Side A sells the base currency; the sides are named so in the legs FXSA (what A pays) and FXSB. A
pair of trades has attempts as a pair of instructions has (`pairs`): the trade stays pending until
it is settled or rescinded.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

from gateway.amounts import Holding
from gateway.journal import Notice
from gateway.pairs import NORMAL, Blocks, Told, ended_at, notice
from gateway.stages import Stage
from htlc.contract import Refusal
from htlc.events import Decided
from htlc.settlement import Settlement
from htlc.swap import Amount, Party, Swap, pvp
from htlc.units import SettlementId, Value
from protocols.iso20022.codes import DeniedReason, PendingReason
from protocols.iso20022.fx import (
    FxLockStatus,
    FxStatus,
    FxTrade,
    Operation,
    TradeStatus,
    base_currency,
)
from protocols.iso20022.header import Related
from protocols.iso20022.lexical import bic11
from protocols.iso20022.lock_block import LockBlock, LockStatus


class FxSide(Value, frozen=True, kw_only=True):
    """One trade of a pair: ours for it, whose, and what replies to it relate to."""

    id: str
    member: str
    related: Related
    instruction: FxTrade
    entered_at: int

    @property
    def reference(self) -> str:
        """Our reference of the trade in messages (`MtchgSysUnqRef`, 35 characters)."""
        return self.id.replace("-", "")

    def holds(self, bic: str) -> bool:
        """Whether a holder of a secret is this side's party."""
        return bic11(self.instruction.party) == bic11(bic)


def _holder(trade: FxTrade) -> str | None:
    """Who holds the secret, as a trade says."""
    block = trade.lock
    return None if block is None or block.secret_holder is None else block.secret_holder.bic


def status(
    side: FxSide,
    status: TradeStatus,
    now: int,
    *,
    sub_status: str | None = None,
    text: str | None = None,
    answers: Operation | None = None,
    reason: str | None = None,
    lock: LockBlock | None = None,
) -> FxStatus:
    """What a side that is in no pair is told."""
    return FxStatus(
        trade=side.instruction,
        market_tx=side.reference,
        status=status,
        sub_status=sub_status,
        at=now,
        text=text,
        answers=answers,
        reason=reason,
        lock=lock,
    )


class FxAmounts(Value, frozen=True, kw_only=True):
    """What a pair exchanges, in integers, and from which accounts to which (reference data). The
    parties have their account on the ledger of A's gift, then on that of B's."""

    gives: Amount
    gets: Amount
    side_a: tuple[Party, Party]
    side_b: tuple[Party, Party]

    @property
    def needs(self) -> tuple[Holding, ...]:
        """What the payers must hold."""
        return (
            (self.gives.ledger, self.side_a[0].account, self.gives.asset),
            (self.gets.ledger, self.side_b[1].account, self.gets.asset),
        )

    def swap(self, id: SettlementId) -> Swap:
        """The swap of an attempt."""
        side_a, side_b = self.side_a, self.side_b
        drawn = pvp(id, side_a=side_a[0], side_b=side_b[0], gives=self.gives, gets=self.gets)
        given, gotten = drawn.legs
        gotten = msgspec.structs.replace(gotten, payer=side_b[1], payee=side_a[1])
        return msgspec.structs.replace(drawn, legs=(given, gotten))


def concluded(pair: "FxPair", member: str, about: Related, settled: bool, now: int) -> list[Notice]:
    """The final answer to a request to cancel a pair that is over. That a trade is rescinded is its
    end state, and told as that; a denial is told again as an answer, with the state as it is."""
    if not settled:
        return []
    side = pair.a if pair.a.member == member else pair.b
    denied = status(
        side,
        TradeStatus.SETTLED,
        now,
        sub_status=str(DeniedReason.DSET.value),
        text=DeniedReason.DSET.meaning,
        answers=Operation.CANCEL,
    )
    asked = msgspec.structs.replace(side, related=about)
    return [notice(asked, pair.of_side(side, denied), now)]


_WHY: Final = {
    Refusal.INSUFFICIENT_BALANCE: (PendingReason.MONY, PendingReason.CMON),
    Refusal.ACCOUNT_BLOCKED: (PendingReason.BLOC, PendingReason.OTHR),
}
"""Refusal -> what the payer of the leg is told, what the payee is told."""


FXSA, FXSB = 0, 1
"""The legs of a trade's swap: what side A pays, and what side B pays."""

LASTING: Final = {
    Stage.FIRST_LOCKED: (FxLockStatus.ALKD, FXSA, LockStatus.LOCKED),
    Stage.SECOND_LOCKED: (FxLockStatus.BLKD, FXSB, LockStatus.LOCKED),
    Stage.ALL_LOCKED: (FxLockStatus.HLKD, FXSB, LockStatus.LOCKED),
    Stage.FIRST_PAID: (FxLockStatus.ACLM, FXSA, LockStatus.CLAIMED),
    Stage.SECOND_PAID: (FxLockStatus.BCLM, FXSB, LockStatus.CLAIMED),
}
"""A state of the locks that lasts, as `SubStsCd`; the leg and lock state told with it."""


class FxPair(Value, frozen=True, kw_only=True):
    """Two trades that match."""

    id: str
    a: FxSide
    b: FxSide

    @classmethod
    def of(cls, id: str, x: FxSide, y: FxSide) -> "FxPair":
        """The pair of two sides in either order, the same whoever came first. A party that holds
        the secret is side A: it sells the base currency as it quotes, and the expiries of its block
        name the legs from there."""
        holder = next(filter(None, (_holder(side.instruction) for side in (x, y))), None)
        base = base_currency(x.instruction, y.instruction)
        is_a = x.instruction.sells.currency == base if holder is None else x.holds(holder)
        a, b = (x, y) if is_a else (y, x)
        return cls(id=id, a=a, b=b)

    @property
    def sides(self) -> tuple[tuple[FxSide, FxSide], tuple[FxSide, FxSide]]:
        """Each side with its counterparty."""
        return ((self.a, self.b), (self.b, self.a))

    @property
    def members(self) -> frozenset[str]:
        return frozenset((self.a.member, self.b.member))

    def other(self, side: FxSide) -> FxSide:
        """The counterparty of a side."""
        return self.b if side.id == self.a.id else self.a

    @property
    def market_reference(self) -> str:
        return self.a.reference

    @property
    def settlement_date(self) -> date:
        return self.a.instruction.settlement_date

    def reasons(self, state: Settlement, decided: Decided) -> tuple[str, str]:
        if decided.refusal is None:
            return (PendingReason.PRSY.value, PendingReason.PRSY.value)
        other = (PendingReason.OTHR, PendingReason.OTHR)
        payer, payee = _WHY.get(decided.refusal, other)
        if decided.leg == state.swap.legs[0].leg:
            return (payer.value, payee.value)
        return (payee.value, payer.value)

    def of_side(self, side: FxSide, status: FxStatus) -> FxStatus:
        """A status of one side with the references of the pair."""
        return msgspec.structs.replace(
            status,
            matching_tx=self.id.replace("-", ""),
            counterparty_market_tx=self.other(side).reference,
        )

    def told(
        self,
        what: TradeStatus,
        now: int,
        codes: Sequence[str | None] = (None, None),
        text: str | None = None,
        lock: LockBlock | None = None,
    ) -> Told:
        """The same status for both sides, each with a reason of its own."""
        return [
            (
                side,
                self.of_side(side, status(side, what, now, sub_status=code, text=text, lock=lock)),
            )
            for (side, _), code in zip(self.sides, codes, strict=True)
        ]

    @property
    def instruction(self) -> FxTrade:
        return self.a.instruction

    @property
    def priority(self) -> str:
        return NORMAL  # fxtr.014 has none

    def told_pending(
        self,
        codes: Sequence[str],
        now: int,
        *,
        failing: bool,  # noqa: ARG002  fxtr.017 has no status of its own
        text: str | None = None,
    ) -> Told:
        return self.told(TradeStatus.PENDING, now, codes, text)

    def told_lasting(self, stage: Stage, now: int, blocks: Blocks) -> Told:
        what, leg, lock = LASTING[stage]
        codes = (str(what.value),) * 2
        return self.told(TradeStatus.PENDING, now, codes, what.meaning, blocks(leg, lock))

    def told_settled(self, state: Settlement) -> Told:
        return self.told(TradeStatus.SETTLED, ended_at(state))

    def told_cancelled(self, now: int, *, by_system: bool) -> Told:  # noqa: ARG002
        return self.told(TradeStatus.RESCINDED, now)

    def told_selected(self, now: int) -> Told:
        return self.told(TradeStatus.SELECTED, now)
