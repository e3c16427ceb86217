"""Cancellation by the parties (sese.020): what becomes of each request, durable with its answer.

- Not matched: the party cancels alone, at once.
- Matched: both sides must ask. The first is told that the other's request is awaited, the other
  side that one was made. With the second, an attempt under way gets CANCEL into its journal, and
  the pair ends with it; a pair that waits ends at once.
- From COMMIT on it is denied. The journal decides that, not our memory: the request is written
  as its next entry, and if another one came first it is judged anew.

Every request gets one final answer (sese.027 `Canc`, `Dnd` or `Rjctd`), beside the one final notice
(sese.024 `Canc`) of the instruction.
"""

from collections.abc import Callable, Sequence, Set
from typing import Final, Protocol

from gateway import allegements, fx_pairs, instructions, payments
from gateway.elsewhere import CONFLICTS_MAX
from gateway.fx_pairs import FxPair
from gateway.inbound import Arrival, related
from gateway.instructions import Found
from gateway.jobs import Begun, Done
from gateway.journal import QUERIES, Entry, Journal, Loaded, Notice, PairEnd, deliver
from gateway.pairs import MatchedPair, Pair, Side, cancelled, notice, notice_to, references
from gateway.sql import Connection
from htlc.commands import Record
from htlc.coordinator import decide, evolve
from htlc.events import CancelRequested, Decided, Decision, Event, Reason
from htlc.settlement import Phase, Settlement
from htlc.units import MemberId
from protocols.iso20022.advice import (
    Answering,
    CancellationAnswer,
    Processing,
    ProcessingStatus,
    References,
    StatusAdvice,
)
from protocols.iso20022.advice import Reason as AdviceReason
from protocols.iso20022.codes import (
    CancellationPendingReason,
    CancellationReason,
    DeniedReason,
    ReasonCode,
    RequestRefusal,
)
from protocols.iso20022.header import related_of
from protocols.iso20022.requests import CancellationRequest

WHY: Final = "by message"
"""What a settlement's journal says of why a party asked."""


class Cancellations:
    """Deals with sese.020 inside the transaction of an intake."""

    def __init__(self, journal: Journal, now: Callable[[], int]) -> None:
        self._journal = journal
        self._now = now

    async def admit(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> list[Begun]:
        """`intake.Admit`: nothing is opened by a cancellation."""
        for n, arrival in arrivals:
            notices = await self._answer(connection, arrival, done[n])
            await deliver(connection, notices)
            done[n].told.update(item.member for item in notices)
        return []

    async def _answer(
        self, connection: Connection, arrival: Arrival, done: Done
    ) -> Sequence[Notice]:
        asked = arrival.content
        assert isinstance(asked, CancellationRequest), "dispatched by its family"
        told = _Securities(arrival, asked, self._now())
        known = await instructions.find(connection, arrival.member, asked.transaction_id)
        if known is None or asked.movement is not known.side.instruction.movement:
            return [told.answer(Answering.REJECTED, RequestRefusal.REFE)]
        told.side = side = known.side
        await instructions.keep_request(connection, side, arrival)
        if asked.payment is not side.instruction.payment:
            return [told.answer(Answering.REJECTED, RequestRefusal.REFE)]
        if not side.instruction.is_on(asked.account):
            return [told.answer(Answering.REJECTED, RequestRefusal.SAFE)]
        if known.cancelled:
            return [told.answer(Answering.DENIED, DeniedReason.DCAN)]
        if known.ended:
            return [told.answer(Answering.DENIED, DeniedReason.OTHR, "it was refused")]
        if known.pair is None:
            return await self._alone(connection, told, known)
        pair = (await instructions.load_pairs(connection, [known.pair]))[known.pair]
        assert isinstance(pair, Pair), "a securities instruction is matched with another"
        told.other = pair.other(side)
        return await self.bilateral(connection, told, pair, done)

    async def _alone(
        self, connection: Connection, told: "_Securities", known: Found
    ) -> Sequence[Notice]:
        side = known.side
        await connection.execute(QUERIES["cancel_instructions"], [side.id], None)
        now = self._now()
        return [
            *await payments.reject_cancelled(connection, [side], now),
            told.answer(Answering.CANCELLED, CancellationReason.CANI),
            notice(side, cancelled(side, None, CancellationReason.CANI), now),
            *([allegements.removed(side, now)] if known.alleged else ()),
        ]

    # ------------------------------------------------------------------ both sides

    async def bilateral(
        self, connection: Connection, told: "Telling", pair: MatchedPair, done: Done
    ) -> Sequence[Notice]:
        """Judge the request by the pair's last attempt, and again if that went on meanwhile."""
        for _ in range(CONFLICTS_MAX):
            attempt = await self._journal.last_attempt(connection, pair.id)
            if (why := denial(attempt)) is not None:
                return [told.answer(Answering.DENIED, why)]
            asking = await self._asking(connection, told, pair, attempt)
            if attempt is None or attempt.state.ended:
                if not await self._still(connection, pair, attempt):
                    continue
                if len(asking) < 2:
                    return await self._first(connection, told, pair)
                await _keep(connection, told, pair)
                await self.end(connection, pair, done)
                return []
            if await self._ask(connection, attempt, asking):
                if len(asking) < 2:
                    return await self._first(connection, told, pair)
                await _keep(connection, told, pair)
                return [told.answer(Answering.PENDING, None)]
        return [told.answer(Answering.DENIED, DeniedReason.OTHR, "ask again")]

    async def _still(self, connection: Connection, pair: MatchedPair, seen: Loaded | None) -> bool:
        """Whether a pair still waits after this attempt; from here on no replica opens another
        before we are done, for that needs the same row."""
        await connection.fetchrow(QUERIES["lock_pending"], pair.id)
        again = await self._journal.last_attempt(connection, pair.id)
        return again == seen

    async def _asking(
        self, connection: Connection, told: "Telling", pair: MatchedPair, attempt: Loaded | None
    ) -> set[MemberId]:
        """Who has asked, by message or over HTTP, this one included."""
        rows = await connection.fetch(QUERIES["cancellations"], [pair.id])
        asking = {MemberId(row["member"]) for row in rows} | {MemberId(told.arrival.member)}
        if attempt is not None and not attempt.state.ended:
            asking |= attempt.state.cancel_by
        return asking

    async def _first(
        self, connection: Connection, told: "Telling", pair: MatchedPair
    ) -> Sequence[Notice]:
        """The other side's request is awaited; it is told, once."""
        again = not await _keep(connection, told, pair)
        answer = told.answer(Answering.PENDING, CancellationPendingReason.CONF)
        return [answer] if again else [answer, told.requested()]

    async def _ask(self, connection: Connection, attempt: Loaded, asking: set[MemberId]) -> bool:
        """Write the requests into the journal of an attempt under way, and with them the decision
        that they bring about; False if something else was written there first."""
        state, events = asked(attempt.state, asking)
        if not events:
            return True
        last = events[-1]
        entry = Entry(
            settlement=state.swap.id,
            sequence=attempt.sequence + 1,
            events=events,
            phase=state.phase,
            decision=last.decision if isinstance(last, Decided) else None,
        )
        (written,) = await self._journal.append_in(connection, [entry])
        if written:
            await self._journal.notify_in(connection, state.swap.id)
        return written

    async def end(
        self, connection: Connection, pair: MatchedPair, done: Done, *, by_system: bool = False
    ) -> None:
        """A pair that waits is cancelled, by both its sides or by the system: it ends now."""
        await connection.execute(QUERIES["drop_pending"], [pair.id])
        await conclude(connection, [PairEnd(pair=pair.id, settled=False)], self._now())
        now = self._now()
        notices = [
            notice(side, message, now)
            for side, message in pair.told_cancelled(now, by_system=by_system)
        ]
        await deliver(connection, notices)
        done.over.append(pair.id)
        done.told.update(pair.members)


def asked(state: Settlement, asking: Set[MemberId]) -> tuple[Settlement, tuple[Event, ...]]:
    """The events by which these parties ask for cancellation, and CANCEL if that is all of them."""
    if not state.cancellable:
        return state, ()  # it unwinds already; the pair is not tried again
    if state.phase is Phase.PROPOSED and not asking >= state.swap.parties:
        return state, ()  # there, one party's word would end it: matched, both must ask
    events: list[Event] = [
        CancelRequested(by=member, why=WHY) for member in sorted(asking - state.cancel_by)
    ]
    for event in events:
        state = evolve(state, event)
    opened = state.phase is not Phase.PROPOSED
    for command in decide(state, {}) if opened and state.cancel_accepted else ():
        # Another reason for the same decision is left to whoever runs it: it tells the parties.
        if isinstance(command, Record) and isinstance(command.event, Decided):
            decided = command.event
            if (decided.decision, decided.reason) == (Decision.CANCEL, Reason.CANCEL_ACCEPTED):
                return evolve(state, decided), (*events, decided)
    return state, tuple(events)


def denial(attempt: Loaded | None) -> DeniedReason | None:
    """Why nothing about a pair can be changed any more."""
    if attempt is None:
        return None
    state = attempt.state
    if state.phase is Phase.SETTLED:
        return DeniedReason.DSET
    if state.phase is Phase.BROKEN or (state.decision is Decision.COMMIT and not state.ended):
        return DeniedReason.DPRG
    return None


async def _keep(connection: Connection, told: "Telling", pair: MatchedPair) -> bool:
    """Keep a request until its final answer; whether it is the first of its side."""
    header = told.arrival.enveloped.header
    first: bool = await connection.fetchval(
        QUERIES["store_cancellation"],
        told.side_id,
        header.business_message_id,
        pair.id,
        related(header).stored,
    )
    return first


async def conclude(connection: Connection, ends: Sequence[PairEnd], now: int) -> None:
    """Pairs are over: the final answer to each request that was made about them."""
    settled = {end.pair for end in ends if end.settled}
    rows = await connection.fetch(QUERIES["cancellations"], [end.pair for end in ends])
    pairs = await instructions.load_pairs(connection, sorted(end.pair for end in ends))
    over = [end.pair for end in ends if not end.settled]
    payers = [side for id in over for side, _ in pairs[id].sides]
    notices = await payments.reject_cancelled(connection, payers, now)
    for row in rows:
        pair = pairs[str(row["pair"])]
        about = related_of(row["header"])
        if isinstance(pair, FxPair):
            notices += fx_pairs.concluded(pair, row["member"], about, pair.id in settled, now)
            continue
        side = next(side for side, _ in pair.sides if side.id == str(row["instruction"]))
        status, code = (
            (Answering.DENIED, DeniedReason.DSET)
            if pair.id in settled
            else (Answering.CANCELLED, CancellationReason.CANI)
        )
        answer = _answer(row["message_id"], side, pair.other(side), status, code)
        notices.append(notice_to(side.member, answer, now, about=about))
    await deliver(connection, notices)
    await connection.execute(QUERIES["drop_cancellations"], [end.pair for end in ends])
    await connection.execute(QUERIES["cancel_instructions"], None, over)


class Telling(Protocol):
    """What the two sides of a pair are told of one request, in the words of its family."""

    @property
    def arrival(self) -> Arrival: ...

    @property
    def side_id(self) -> str:
        """Our id of the instruction that it is about."""
        ...

    def answer(self, status: Answering, code: ReasonCode | None, text: str | None = None) -> Notice:
        """To its sender."""
        ...

    def requested(self) -> Notice:
        """To the counterparty: a request was made."""
        ...


class _Securities:
    """sese.027 and sese.024; `side` is the sender's instruction, once that is known."""

    def __init__(self, arrival: Arrival, asked: CancellationRequest, now: int) -> None:
        self.arrival = arrival
        self._asked = asked
        self._now = now
        self.side: Side | None = None
        self.other: Side | None = None

    @property
    def side_id(self) -> str:
        assert self.side is not None, "only what is known is kept"
        return self.side.id

    def requested(self) -> Notice:
        assert self.side is not None and self.other is not None, "matched"
        requested = StatusAdvice(
            references=references(self.other, self.side),
            processing=ProcessingStatus(status=Processing.CANCELLATION_REQUESTED),
        )
        return notice(self.other, requested, self._now)

    def answer(self, status: Answering, code: ReasonCode | None, text: str | None = None) -> Notice:
        header = self.arrival.enveloped.header
        request = header.business_message_id
        if self.side is not None:
            message = _answer(request, self.side, self.other, status, code, text)
        else:
            message = CancellationAnswer(
                request=request,
                references=References(account_owner_tx=self._asked.transaction_id),
                movement=self._asked.movement,
                payment=self._asked.payment,
                status=status,
                reasons=() if code is None else (AdviceReason.of(code, text=text),),
            )
        return notice_to(self.arrival.member, message, self._now, about=related(header))


def _answer(
    request: str,
    side: Side,
    other: Side | None,
    status: Answering,
    code: ReasonCode | None,
    text: str | None = None,
) -> CancellationAnswer:
    return CancellationAnswer(
        request=request,
        references=references(side, other),
        movement=side.instruction.movement,
        payment=side.instruction.payment,
        status=status,
        reasons=() if code is None else (AdviceReason.of(code, text=text),),
    )
