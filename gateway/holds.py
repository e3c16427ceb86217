"""Hold and release by a party (sese.030): what becomes of each request, durable with its answer.

An instruction that is held matches, and can be cancelled; its pair settles when no side holds it.
Each side holds and releases its own instruction only. A pair that settles at this moment cannot be
held any more: out of its locks nothing is released but by the end of the settlement.
"""

from collections.abc import Callable, Sequence

import msgspec

from gateway import instructions
from gateway.inbound import Arrival, related
from gateway.instructions import Found
from gateway.jobs import Begun, Done
from gateway.journal import Loaded, Notice, PendingPair, deliver
from gateway.pairs import Side, notice_to
from gateway.resumption import Resumption
from gateway.sql import Connection
from htlc.settlement import Phase
from protocols.iso20022.advice import Answering, HoldAnswer, Reason
from protocols.iso20022.codes import DeniedReason, ReasonCode, RequestRefusal
from protocols.iso20022.instruction import AccountKind
from protocols.iso20022.requests import HoldRequest

Verdict = tuple[Answering, ReasonCode | None, str | None]
"""The answer to a request: status, reason, text."""

COMPLETED: Verdict = (Answering.COMPLETED, None, None)


class Holds:
    """Deals with sese.030 inside the transaction of an intake."""

    def __init__(self, resumption: Resumption, now: Callable[[], int]) -> None:
        self._resumption = resumption
        self._now = now

    async def admit(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> list[Begun]:
        """`intake.Admit`: a release may open the attempt of a pair."""
        openings: list[Begun] = []
        for n, arrival in arrivals:
            asked = arrival.content
            assert isinstance(asked, HoldRequest), "dispatched by its family"
            known = None
            if asked.transaction_id is not None:
                known = await instructions.find(connection, arrival.member, asked.transaction_id)
            if known is not None:
                await instructions.keep_request(connection, known.side, arrival)
            verdict = _refusal(asked, known)
            if verdict is None:
                assert known is not None and asked.hold is not None, "else it is refused"
                verdict, change = await self._judge(connection, known, asked.hold)
                if change is not None:
                    openings += await self._change(connection, n, change, asked.hold, done[n])
            await deliver(connection, [_answer(arrival, asked, known, verdict, self._now())])
        return openings

    async def _judge(
        self, connection: Connection, known: Found, hold: bool
    ) -> tuple[Verdict, "_Change | None"]:
        """The answer, and what is to be changed. The pair's row is locked while it waits, so that
        no attempt begins beside the change."""
        same = known.side.instruction.hold is hold
        if known.pair is None:
            return COMPLETED, None if same else _Change(side=known.side)
        waits = await self._resumption.waits(connection, known.pair)
        if isinstance(waits, Loaded) and waits.state.phase is Phase.SETTLED:
            return (Answering.DENIED, DeniedReason.DSET, None), None
        if same:
            return COMPLETED, None
        match waits:
            case PendingPair():
                return COMPLETED, _Change(side=known.side, waits=waits)
            case Loaded():
                return (Answering.DENIED, DeniedReason.DPRG, None), None
            case None:
                return (Answering.DENIED, DeniedReason.OTHR, "ask again"), None

    async def _change(
        self, connection: Connection, n: int, change: "_Change", hold: bool, done: Done
    ) -> list[Begun]:
        """Note the hold or its end; a pair settles now, or waits for something else."""
        await instructions.hold(connection, change.side, hold)
        waits = change.waits
        if waits is None:
            return []
        pair = (await instructions.load_pairs(connection, [waits.pair]))[waits.pair]
        return await self._resumption.resume(connection, n, waits, pair, done)


class _Change(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction whose hold changes, and its pair where that waits."""

    side: Side
    waits: PendingPair | None = None


def _refusal(asked: HoldRequest, known: Found | None) -> Verdict | None:
    """What can be said without the journal."""
    if asked.unserved is not None:
        return (Answering.REJECTED, RequestRefusal.OTHR, asked.unserved)
    if known is None:
        return (Answering.REJECTED, RequestRefusal.REFE, None)
    if not known.side.instruction.is_on(asked.account):
        return (Answering.REJECTED, RequestRefusal.SAFE, None)
    if not asked.by_party:
        return (Answering.DENIED, DeniedReason.OTHR, "a party changes its own hold only (PTYH)")
    if known.cancelled:
        return (Answering.DENIED, DeniedReason.DCAN, None)
    if known.ended:
        return (Answering.DENIED, DeniedReason.OTHR, "it was refused")
    return None


def _answer(
    arrival: Arrival, asked: HoldRequest, known: Found | None, verdict: Verdict, now: int
) -> Notice:
    status, code, text = verdict
    own = None if known is None else known.side.instruction
    named = own is not None and own.is_on(asked.account)
    header = arrival.enveloped.header
    message = HoldAnswer(
        request=header.business_message_id,
        transaction_id=asked.transaction_id,
        hold=asked.hold,
        account=asked.account if named else None,
        account_kind=own.account_kind if own is not None else AccountKind.ACCOUNT,
        status=status,
        reasons=() if code is None else (Reason.of(code, text=text),),
    )
    return notice_to(arrival.member, message, now, about=related(header))
