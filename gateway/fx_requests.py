"""What a member asks about its trade: cancellation (fxtr.016) and amendment (fxtr.015).

- A trade that is not matched is cancelled, or amended and matched anew, by its side alone, at once.
- A matched one is cancelled by both sides, as `cancellations` does it for instructions.
- A matched one is amended by both, in the same way, while no attempt to settle it was made
  (`fx_amendments`). Later it is not: both cancel it and send it anew; the denial says so.

Each request is answered by fxtr.017 with `OprTp` and, where it is not granted, the status as it is
and the reason as `SubStsCd`. A trade that is rescinded is told that once, as its end state.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway import fx_amendments, fx_trades, instructions, payments
from gateway.cancellations import Cancellations, denial
from gateway.days import Days
from gateway.fx_admission import OpenTrade
from gateway.fx_amendments import Amended
from gateway.fx_pairs import FxPair, FxSide, status
from gateway.inbound import Arrival, related
from gateway.jobs import Done
from gateway.journal import QUERIES, Loaded, Notice, deliver
from gateway.pairs import notice
from gateway.sql import Connection
from protocols import fx_matching
from protocols.iso20022.advice import Answering
from protocols.iso20022.codes import DeniedReason, ReasonCode, RequestRefusal, UnmatchedReason
from protocols.iso20022.fx import (
    FxAmendment,
    FxCancellation,
    Operation,
    RequestStatus,
    TradeStatus,
)

Asked = FxAmendment | FxCancellation

TRIED: Final = "its settlement has begun: both sides cancel it, and send it anew"
CANCELLING: Final = "its cancellation was asked for: both sides cancel it, and send it anew"
"""Why a matched trade is not amended any more."""


class FxTelling:
    """What both sides are told of one request (`cancellations.Telling`). `side` is the trade as we
    know it; of one that we do not know, as its sender has it. `stands` is its status."""

    def __init__(self, arrival: Arrival, asked: Asked, now: int) -> None:
        self.arrival = arrival
        self._asked = asked
        self._now = now
        self.side = FxSide(
            id=asked.market_reference,
            member=arrival.member,
            related=related(arrival.enveloped.header),
            instruction=asked.trade,
            entered_at=arrival.received_at,
        )
        self.pair: FxPair | None = None
        self.stands = TradeStatus.REJECTED

    @property
    def side_id(self) -> str:
        return self.side.id

    @property
    def operation(self) -> Operation:
        return Operation.AMEND if isinstance(self._asked, FxAmendment) else Operation.CANCEL

    def answer(self, status: Answering, code: ReasonCode | None, text: str | None = None) -> Notice:
        """The status as it is, beside it why it does not change (yet)."""
        sub_status = None if code is None else str(code.value)
        why = text or (None if code is None else code.meaning)
        stands = self.stands
        if status is Answering.DENIED and code in _ENDS:
            stands = _ENDS[code]
        return self._notice(self.side, stands, sub_status, why)

    def requested(self) -> Notice:
        assert self.pair is not None, "a request about a matched trade"
        other = self.pair.other(self.side)
        cancel = self.operation is Operation.CANCEL
        code = RequestStatus.CXRQ if cancel else RequestStatus.AMRQ
        message = self.pair.of_side(
            other,
            status(other, self.stands, self._now, sub_status=str(code.value), text=code.meaning),
        )
        return notice(other, message, self._now)

    def _notice(
        self, side: FxSide, stands: TradeStatus, sub_status: str | None, text: str | None
    ) -> Notice:
        message = status(
            side,
            stands,
            self._now,
            sub_status=sub_status,
            text=text,
            answers=self.operation,
            reason=self._asked.reason,
        )
        if self.pair is not None:
            message = self.pair.of_side(side, message)
        about = related(self.arrival.enveloped.header)
        return notice(msgspec.structs.replace(side, related=about), message, self._now)


_ENDS: dict[ReasonCode, TradeStatus] = {
    DeniedReason.DSET: TradeStatus.SETTLED,
    DeniedReason.DCAN: TradeStatus.RESCINDED,
    DeniedReason.DPRG: TradeStatus.SELECTED,
}
"""Why a request is denied -> where the trade stands then."""


class FxRequests(Cancellations):
    """Deals with fxtr.015 and fxtr.016 inside the transaction of an intake."""

    async def take(
        self, connection: Connection, arrival: Arrival, days: Days, done: Done
    ) -> Sequence[FxPair]:
        """One request, in its turn: the pair that an amended trade has found."""
        asked = arrival.content
        assert isinstance(asked, FxAmendment | FxCancellation), "dispatched by its family"
        told = FxTelling(arrival, asked, self._now())
        known = await instructions.find_trade(
            connection, arrival.member, asked.trade.transaction_id
        )
        if known is None or not _names(asked, known.side):
            notices: Sequence[Notice] = [told.answer(Answering.REJECTED, RequestRefusal.REFE)]
            await _deliver(connection, notices, done)
            return ()
        told.side = side = known.side
        await instructions.keep_request(connection, side, arrival)
        if known.cancelled:
            told.stands = TradeStatus.RESCINDED
            notices = [told.answer(Answering.DENIED, DeniedReason.DCAN)]
        elif known.ended:
            told.stands = TradeStatus.INVALID
            notices = [told.answer(Answering.DENIED, DeniedReason.OTHR, "it was refused")]
        elif known.pair is not None and isinstance(asked, FxAmendment):
            return await self._amend_both(connection, told, asked, known.pair, days, done)
        elif known.pair is not None:
            notices = await self._matched(connection, told, known.pair, done)
        elif isinstance(asked, FxCancellation):
            notices = await self._rescind(connection, side)
        else:
            return await self._amend(connection, told, asked, days, done)
        await _deliver(connection, notices, done)
        return ()

    async def _matched(
        self, connection: Connection, told: FxTelling, id: str, done: Done
    ) -> Sequence[Notice]:
        pair, _ = await self._stands(connection, told, id)
        return await self.bilateral(connection, told, pair, done)

    async def _stands(
        self, connection: Connection, told: FxTelling, id: str
    ) -> tuple[FxPair, Loaded | None]:
        """The pair of a matched trade and its last attempt; `told` learns where it stands."""
        pair = (await instructions.load_pairs(connection, [id]))[id]
        assert isinstance(pair, FxPair), "a trade is matched with another"
        attempt = await self._journal.last_attempt(connection, id)
        told.pair = pair
        told.stands = TradeStatus.MATCHED
        if attempt is not None:
            told.stands = TradeStatus.PENDING if attempt.state.ended else TradeStatus.SELECTED
        return pair, attempt

    async def _amend_both(
        self,
        connection: Connection,
        told: FxTelling,
        asked: FxAmendment,
        id: str,
        days: Days,
        done: Done,
    ) -> Sequence[FxPair]:
        """A matched trade: amended when both sides have asked for the same."""
        await connection.fetchrow(QUERIES["lock_pending"], id)  # no attempt begins beside this
        pair, attempt = await self._stands(connection, told, id)
        refused = _refused(told, attempt)
        if refused is None and await connection.fetch(QUERIES["cancellations"], [id]):
            refused = told.answer(Answering.DENIED, DeniedReason.OTHR, CANCELLING)
        if refused is not None:
            await _deliver(connection, [refused], done)
            return ()
        mine = await fx_amendments.keep(connection, told.side, asked, told.arrival)
        theirs = await fx_amendments.kept(connection, pair.other(told.side))
        code = _waits_for(mine, theirs)
        if theirs is None or code is not None:
            notices = [told.answer(Answering.PENDING, code), told.requested()]
            await _deliver(connection, notices, done)
            return ()
        answers = [self._amended(pair, one) for one in (mine, theirs)]
        await _deliver(connection, answers, done)
        return await fx_amendments.carry_out(connection, pair, (theirs, mine), days, done)

    def _amended(self, pair: FxPair, one: Amended) -> Notice:
        """To each side: its request is carried out."""
        code, now = RequestStatus.DONE, self._now()
        message = status(
            one.side,
            TradeStatus.MATCHED,
            now,
            sub_status=str(code.value),
            text=code.meaning,
            answers=Operation.AMEND,
            reason=one.reason,
        )
        about = msgspec.structs.replace(one.side, related=one.about)
        return notice(about, pair.of_side(one.side, message), now)

    async def _rescind(self, connection: Connection, side: FxSide) -> Sequence[Notice]:
        now = self._now()
        await connection.execute(QUERIES["cancel_instructions"], [side.id], None)
        return [
            *await payments.reject_cancelled(connection, [side], now),
            notice(side, status(side, TradeStatus.RESCINDED, now), now),
        ]

    async def _amend(
        self,
        connection: Connection,
        told: FxTelling,
        asked: FxAmendment,
        days: Days,
        done: Done,
    ) -> Sequence[FxPair]:
        """The trade as amended takes the place of what it was, and is matched anew. One that breaks
        a rule changes nothing."""
        told.stands = TradeStatus.UNMATCHED
        if (refused := _broken(told)) is not None:
            await _deliver(connection, [refused], done)
            return ()
        told.side = msgspec.structs.replace(told.side, instruction=asked.trade)
        amended = OpenTrade(
            side=told.side,
            entered_at=told.arrival.received_at,
            keys=fx_matching.keys(asked.trade),
            advised=UnmatchedReason.CMIS.value,  # by the answer
        )
        await _deliver(connection, [told.answer(Answering.COMPLETED, RequestStatus.DONE)], done)
        await fx_trades.amend(connection, amended)
        found, members = await fx_trades.match(connection, amended, self._now(), days)
        done.told.update(members)
        return found


def _refused(told: FxTelling, attempt: Loaded | None) -> Notice | None:
    """Why a matched trade is not amended, by where it stands or by the rules."""
    if attempt is None:
        return _broken(told)
    code = denial(attempt)
    if code is not None:
        return told.answer(Answering.DENIED, code)
    return told.answer(Answering.DENIED, DeniedReason.OTHR, TRIED)


def _waits_for(mine: Amended, theirs: Amended | None) -> ReasonCode | None:
    """The other side's request, or in what that is another one; None: they agree."""
    if theirs is None:
        return RequestStatus.CONF
    differs = fx_matching.compare(mine.side.instruction, theirs.side.instruction)
    return next(iter(differs), None)


def _broken(told: FxTelling) -> Notice | None:
    """The rule that a trade breaks as amended: then nothing changes."""
    refusal = told.arrival.refusal
    if refusal is None:
        return None
    why = f"{refusal.field}: {refusal.rule}"
    return told.answer(Answering.REJECTED, refusal.code, why)


async def _deliver(connection: Connection, notices: Sequence[Notice], done: Done) -> None:
    await deliver(connection, notices)
    done.told.update(item.member for item in notices)


def _names(asked: Asked, side: FxSide) -> bool:
    """Whether a request is about this trade: by both references, ours or again its own, and for a
    cancellation by what it exchanges."""
    trade = side.instruction
    if asked.market_reference not in (side.reference, trade.transaction_id):
        return False
    if isinstance(asked, FxAmendment):
        return True
    return (asked.trade.buys, asked.trade.sells) == (trade.buys, trade.sells)
