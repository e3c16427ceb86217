"""What becomes of a batch of instructions: refusals, matches, and what all are told.

Pure: what the store knows about the batch is handed in, what is to be written comes out. The order
of a batch is kept; two sides that arrive in one batch find each other in it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from gateway import allegements
from gateway.ids import new_id
from gateway.inbound import Arrival, related
from gateway.journal import Notice
from gateway.pairs import Pair, Side, notice, references
from gateway.waiting import Wait
from protocols import matching
from protocols.iso20022.advice import (
    Matching,
    MatchingStatus,
    Outbound,
    Processing,
    ProcessingStatus,
    StatusAdvice,
    TransactionDetails,
)
from protocols.iso20022.advice import Reason as AdviceReason
from protocols.iso20022.codes import (
    AcknowledgementReason,
    ReasonCode,
    RejectionReason,
    UnmatchedReason,
)
from protocols.iso20022.instruction import Movement, SettlementInstruction
from protocols.matching import Candidate, MatchKeys, NearMiss, Tolerance


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction that is not matched yet, with what it was told about that."""

    side: Side
    entered_at: int
    keys: MatchKeys
    advised: str | None  # None: of this batch, told nothing yet
    alleged: bool = False


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows about a batch."""

    references: frozenset[tuple[str, str]]
    waiting: tuple[Waiting, ...]
    links: bool = False  # whether any instruction is linked to another


class InstructionRow(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction to be stored."""

    arrival: Arrival
    side: Side
    keys: MatchKeys
    pair: str | None
    ended: bool
    advised: str | None


class Admission:
    """The course of one batch. Feed it with `take`, then read `rows`, `pairs` and `notices`."""

    def __init__(
        self,
        known: Known,
        now: int,
        *,
        late: Callable[[SettlementInstruction], bool],
        tolerance: Tolerance,
    ) -> None:
        self._now = now
        self._late = late
        self._tolerance = tolerance
        self._references = set(known.references)
        self._by_key: defaultdict[bytes, list[Waiting]] = defaultdict(list)
        self._paired: dict[str, Pair] = {}
        self._missed: dict[str, UnmatchedReason] = {}
        self._sides: list[tuple[Arrival, Side, MatchKeys]] = []
        self._refused: list[tuple[Arrival, Side, MatchKeys]] = []
        self._earlier: dict[str, Waiting] = {}
        self.pairs: list[Pair] = []
        self.notices: list[Notice] = []
        for waiting in known.waiting:
            self._earlier[waiting.side.id] = waiting
            self._wait(waiting)

    def _wait(self, waiting: Waiting) -> None:
        self._by_key[waiting.keys.a].append(waiting)
        self._by_key[waiting.keys.b].append(waiting)

    # ------------------------------------------------------------------ in

    def take(self, arrival: Arrival, keys: MatchKeys) -> None:
        """Take one instruction that is new, with its match keys: refused, matched, or left
        waiting."""
        instruction = arrival.instruction
        side = Side(
            id=new_id(),
            member=arrival.member,
            related=related(arrival.enveloped.header),
            instruction=instruction,
            entered_at=arrival.received_at,
        )
        reference = (arrival.member, instruction.transaction_id)
        if reference in self._references:
            self._refuse(
                side, RejectionReason.REFE, "TxId: used before by this sender; a new one is needed"
            )
            return
        self._references.add(reference)
        if arrival.refusal is not None:
            refusal = arrival.refusal
            self._refuse(side, refusal.code, f"{refusal.field}: {refusal.rule}")
            self._refused.append((arrival, side, keys))
            return
        self._sides.append((arrival, side, keys))
        self._match(arrival, side, keys)

    def _refuse(self, side: Side, code: ReasonCode, text: str) -> None:
        self._tell(
            side,
            StatusAdvice(
                references=references(side),
                processing=ProcessingStatus(
                    status=Processing.REJECTED, reasons=(AdviceReason.of(code, text=text),)
                ),
            ),
        )

    def _match(self, arrival: Arrival, side: Side, keys: MatchKeys) -> None:
        near = {w.side.id: w for key in (keys.a, keys.b) for w in self._by_key.get(key, ())}
        candidates = [
            Candidate(id=id, entered_at=w.entered_at, instruction=w.side.instruction)
            for id, w in near.items()
            if id not in self._paired
        ]
        instruction = side.instruction
        found = matching.best(instruction, candidates, self._tolerance)
        if found is None or isinstance(found, NearMiss):
            if found is not None:
                self._missed[side.id] = self._missed[found.id] = found.reason
            self._wait(Waiting(side=side, entered_at=arrival.received_at, keys=keys, advised=None))
            return
        other = near[found.id].side
        deliver, receive = (side, other) if instruction.movement is Movement.DELI else (other, side)
        pair = Pair(id=new_id(), deliver=deliver, receive=receive)
        self._paired[side.id] = self._paired[other.id] = pair
        self.pairs.append(pair)

    # ------------------------------------------------------------------ out

    def tell(self, waits: Mapping[str, Wait]) -> None:
        """Write the statuses of the batch; `waits` are the pairs that do not settle now.

        What one batch makes known of an instruction is one message: that it is accepted, that it is
        matched or alone, and why it does not settle yet, where that is so."""
        told = {
            side.id: advice
            for pair in self.pairs
            if (wait := waits.get(pair.id)) is not None
            for side, advice in pair.told_waiting(wait.codes, failing=wait.failing, text=wait.text)
        }
        for _, side, _ in self._sides:
            self._tell(side, self._advice(side, told, self._accepted(side)))
        new = {side.id for _, side, _ in self._sides}
        for pair in self.pairs:
            for side, _ in pair.sides:
                if side.id not in new:  # it came in an earlier batch
                    self._tell(side, self._advice(side, told))
        for id, waiting in self._earlier.items():
            if waiting.alleged and id in self._paired:
                self.notices.append(allegements.removed(waiting.side, self._now))
        for waiting, reason in self._nearer_now():
            self._tell(waiting.side, _umtchd(waiting.side, reason))

    def _advice(
        self,
        side: Side,
        told: Mapping[str, StatusAdvice],
        processing: ProcessingStatus | None = None,
    ) -> StatusAdvice:
        if (advice := told.get(side.id)) is not None:
            return msgspec.structs.replace(advice, processing=processing)
        if (pair := self._paired.get(side.id)) is not None:
            return _mtchd(side, pair.other(side), processing)
        return _umtchd(side, self._missed.get(side.id, UnmatchedReason.CMIS), processing)

    def _accepted(self, side: Side) -> ProcessingStatus:
        return _ACCEPTED_LATE if self._late(side.instruction) else _ACCEPTED

    def _nearer_now(self) -> Iterator[tuple[Waiting, UnmatchedReason]]:
        """Instructions of earlier batches that were told another reason than the one known now."""
        for id, waiting in self._earlier.items():
            reason = self._missed.get(id)
            if reason is not None and id not in self._paired and reason.value != waiting.advised:
                yield waiting, reason

    def accepted(self) -> Iterator[tuple[str, SettlementInstruction]]:
        """The instructions of this batch that break no rule, each with its member."""
        return ((side.member, side.instruction) for _, side, _ in self._sides)

    def rows(self) -> Iterator[InstructionRow]:
        """The instructions of this batch, to be stored."""
        for arrival, side, keys in self._sides:
            pair = self._paired.get(side.id)
            yield InstructionRow(
                arrival=arrival,
                side=side,
                keys=keys,
                pair=pair.id if pair else None,
                ended=False,
                advised=self._missed.get(side.id, UnmatchedReason.CMIS).value,
            )
        for arrival, side, keys in self._refused:
            yield InstructionRow(
                arrival=arrival, side=side, keys=keys, pair=None, ended=True, advised=None
            )

    def updates(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Earlier instructions that have changed: id, pair, what they were told."""
        for id, waiting in self._earlier.items():
            if id in self._paired:
                yield id, self._paired[id].id, waiting.advised
        for waiting, reason in self._nearer_now():
            yield waiting.side.id, None, reason.value

    def _tell(self, side: Side, message: Outbound) -> None:
        self.notices.append(notice(side, message, self._now))


_ACCEPTED: Final = ProcessingStatus(status=Processing.ACCEPTED)
_ACCEPTED_LATE: Final = ProcessingStatus(
    status=Processing.ACCEPTED, reasons=(AdviceReason.of(AcknowledgementReason.LATE),)
)
"""It has come after the cut-off of its date, and settles on the next business day."""

_MATCHED: Final = MatchingStatus(status=Matching.MATCHED)


def _mtchd(side: Side, other: Side, processing: ProcessingStatus | None) -> StatusAdvice:
    return StatusAdvice(
        references=references(side, other),
        processing=processing,
        matching=_MATCHED,
        details=TransactionDetails.of(side.instruction),
    )


def _umtchd(
    side: Side, reason: UnmatchedReason, processing: ProcessingStatus | None = None
) -> StatusAdvice:
    return StatusAdvice(
        references=references(side),
        processing=processing,
        matching=_unmatched(reason),
        details=TransactionDetails.of(side.instruction),
    )


def _unmatched(reason: UnmatchedReason) -> MatchingStatus:
    return MatchingStatus(status=Matching.UNMATCHED, reasons=(AdviceReason.of(reason),))


def keys_of(arrivals: Iterable[Arrival]) -> list[MatchKeys]:
    """The match keys of arrivals: for asking the store about candidates, and for the match."""
    return [matching.keys(arrival.instruction) for arrival in arrivals]
