"""The node of one registry: reads the log, applies blocks, votes, cuts, and answers who asked.

Theory of operation
-------------------
Some tasks, each at its own pace, around one replica that decides:

    inbox     the log -> messages; what others tell -> votes
    outbox    own entries -> bundles -> the log
    worker    messages and votes -> replica
    writer    what the replica says -> one `store.Step` -> votes told, callers answered
    teller    tells the own vote until it is no longer needed
    cutter    publishes a cut when it is our turn

Nothing leaves that is not durable: a vote is told, and a caller answered, after the step that holds
it is written. So the process may be killed at any point. It then starts from the book at the last
final block, applies what it has archived since, and reads on.

A node stops for good when it finds what only people can decide: a certificate of something else
than it computed, a log that has changed, a second process on its database. Callers that wait are
told that the outcome is not known, and whoever comes later that the registry is out of service.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from htlc.contract import Htlc
from htlc.units import SECOND, HtlcId, Instant
from ledgers.icsd.block import Block, Outcome, carried
from ledgers.icsd.entry import (
    CUT_SUBJECT,
    Certificate,
    Cut,
    Entry,
    Signed,
    Statement,
    Vote,
    bundle_subject,
    pack,
    sign,
    vote_subject,
)
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.inbox import Inbox, came
from ledgers.icsd.log import LogBroken, LogRefused
from ledgers.icsd.outbox import Outbox
from ledgers.icsd.part import Numbers, Part
from ledgers.icsd.proof import Evidence, Result
from ledgers.icsd.store import Fenced, Step, head_after
from ledgers.icsd.tables import sealed
from ledgers.port import LedgerUnreachable

STEP_SECONDS: Final = 0.1
"""Of applying before what was applied is written: while a node catches up, blocks share a step."""

TELL_SECONDS: Final = 1.0
"""Between two times that a vote is told, until its block is certified: telling promises nothing."""

ANSWER_SECONDS: Final = 12.0
"""That a caller waits, less than a client's own deadline (15 s): then it hears that the outcome is
not known yet. A log without a leader is back after 4 to 16 s; who asks again is told the same."""

LOOK_SECONDS: Final = 0.001
LOOK_SECONDS_MAX: Final = 0.2
"""The shortest and the longest time between two looks at the clock: when a cut falls due is known,
but clocks are set."""


class Node:
    """One registry of the network. `run` lives as long as the node does."""

    def __init__(self, part: Part) -> None:
        replica = part.replica
        assert replica.me is not None, "a supervisor has no node: it signs nothing"
        self.me: RegistryId = replica.me
        self.replica = replica
        self.numbers = Numbers()
        self.stopped: str | None = None
        self.differences: Sequence[str] = ()  # where its book differs, once it stopped for that
        self.head = part.head
        self.inbox = Inbox(part.log, part.head.position + 1, part.clock)
        self._changed = asyncio.Event()  # there may be something to write
        self.outbox = Outbox(self.me, part.key, part.log, part.store, self._changed.set)
        self.outbox.begin(replica.view.epoch.number, replica.view.tables.last(self.me), part.kept)
        self._serving = asyncio.Event()
        self._store = part.store
        self._log = part.log
        self._key = part.key
        self._seal = part.seal
        self._clock = part.clock
        self.past = part.past
        self._unfinal: deque[tuple[Block, int]] = deque(part.unfinal)
        self._archived = part.head.height
        self._certified = 0 if replica.certified is None else replica.certified.statement.height
        self._evidence = len(replica.evidence)
        self._vote: Signed | None = None
        self._voted = asyncio.Event()
        if part.voted is not None:
            self._hold_to(*part.voted)
        self._writing = asyncio.Lock()
        self._written = asyncio.Event()  # a step is durable
        self._turned = asyncio.Event()  # the worker has done something: maybe a cut is due
        self._times: list[tuple[Instant, int, asyncio.Future[None]]] = []

    # --- what callers ask ------------------------------------------------------------------------

    @property
    def at(self) -> Instant:
        """Ledger time of the last final block."""
        return self.head.place.at

    @property
    def caught_up(self) -> bool:
        """Whether the log was read to its end since the start."""
        return self._serving.is_set()

    async def serving(self) -> None:
        """Wait until the log was read to its end."""
        await self._serving.wait()

    def require_service(self) -> None:
        """Raises LedgerUnreachable while what we would tell is not the network's state."""
        if self.stopped is not None:
            raise LedgerUnreachable(f"out of service: {self.stopped}")
        if not self.caught_up:
            raise LedgerUnreachable("the registry is catching up with the network")

    async def ask(self, entries: Sequence[Entry]) -> list[Result]:
        """Have entries ordered and done: what each is told, when it is final. Raises
        LedgerUnreachable; the outcome is then not known."""
        self.require_service()
        begun = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                results = await self.outbox.ask(entries)
        except TimeoutError:
            self.numbers.unknown += len(entries)
            raise LedgerUnreachable(f"not final after {ANSWER_SECONDS:.0f} s") from None
        self.numbers.final_seconds.observe(time.monotonic() - begun)
        return results

    async def reach(self, at: Instant, height: int = 0) -> None:
        """Wait until ledger time is `at` or later and this height is final: a block is made for it
        if none is under way. Raises LedgerUnreachable."""
        self.require_service()
        if self.at >= at and self.head.final >= height:
            return
        future = asyncio.get_running_loop().create_future()
        self._times.append((at, height, future))
        self._turned.set()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await future
        except TimeoutError:
            raise LedgerUnreachable(f"no block in {ANSWER_SECONDS:.0f} s") from None

    def contract(self, id: HtlcId) -> Htlc | None:
        """A contract as it is after the last final block."""
        for block, _ in self._unfinal:
            if id in block.before.contracts:
                return block.before.contracts[id]
        return self.replica.view.book.contracts.get(id)

    # --- life ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled or until `stopped` says why no more. Raises our own errors."""
        work = (
            *(self.inbox.read(), self.inbox.listen(), self.outbox.run()),
            *(self._work(), self._write(), self._tell(), self._cut()),
        )
        tasks = [asyncio.create_task(each) for each in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = next(task for task in tasks if task.done())
            self.stopped = self.stopped or "the connection to the log was closed"
            if error := ended.exception():
                self.stopped = f"{type(error).__name__}: {error}"
                if not isinstance(error, LogBroken | LogRefused | Fenced):
                    raise error
        finally:
            self._release(self.stopped or "the registry is shutting down")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._store.rest()

    def _release(self, why: str) -> None:
        self.outbox.fail(why)
        for *_, future in self._times:
            if not future.done():
                future.set_exception(LedgerUnreachable(why))
        self._times.clear()

    # --- the worker and the writer ---------------------------------------------------------------

    async def _work(self) -> None:
        while self.replica.stopped is None:
            await self.inbox.awake.wait()
            self.inbox.awake.clear()
            self._take()
            self._turned.set()  # a cut needs nothing of ours that is not durable
            await self._hand_over(self.replica.view.height - 1)
            if self.inbox.messages:
                self.inbox.awake.set()
        await self._flush()
        divergence = self.replica.stopped
        self.stopped = (
            f"at height {divergence.height} a quorum certified something else than this registry "
            f"computed: {divergence.what}"
        )

    async def _hand_over(self, height: int) -> None:
        """To the writer, and wait until the blocks up to there are durable: so the next block is
        applied while the last is written, and what is not written stays little."""
        self._changed.set()
        while self.head.height < height:
            self._written.clear()
            await self._written.wait()

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._flush()

    async def _flush(self) -> None:
        async with self._writing:
            while step := self._step():
                await self._store.write(step)
                self._done(step)
                await asyncio.sleep(0)  # a vote, a bundle, a cut leave before the next is encoded

    def _take(self) -> None:
        """Apply what has come, for a while."""
        begun = time.monotonic()
        while self.inbox.votes:
            self.replica.hear(*self.inbox.votes.popleft())
        while (message := self.inbox.take()) is not None:
            self.numbers.messages += 1
            if (block := self.replica.take(message)) is not None:
                self._unfinal.append((block, message.sequence))
                self.past.note(block)
                self._look_for_own(block)
                view = self.replica.view
                self.outbox.enter(view.epoch.number, view.tables.last(self.me))
                self._count(block)
                if time.monotonic() > begun + STEP_SECONDS:
                    return
        if self.inbox.read_until is not None:
            self.replica.caught_up(self.inbox.read_until)
            self._serving.set()

    def _look_for_own(self, block: Block) -> None:
        """A bundle in our name that we did not send: from before our database was lost, as long as
        we are reading what happened without us; later, somebody else has our key."""
        for outcome in self._own([block]):
            if not self.outbox.counted(outcome.sequence, outcome.bundle) and self.caught_up:
                raise Fenced("another process publishes bundles in the name of this registry")

    def _count(self, block: Block) -> None:
        self.numbers.blocks += 1
        self.numbers.ignored += len(block.ignored)
        self.numbers.entries += sum(len(outcome.results) for outcome in block.outcomes)

    def _step(self) -> Step | None:
        """What is to be made durable now; None if nothing is."""
        replica, head = self.replica, self.head
        applied = [each for each in self._unfinal if each[0].header.height > head.height]
        final = [block for block, _ in self._unfinal if block.header.height <= replica.final]
        votes, certificates = self._to_vote(), self._certificates(applied)
        evidence, bundle = self._new_evidence(), self.outbox.next()
        if not (applied or final or votes or certificates or evidence or bundle):
            return None
        step = Step(
            head=head,
            blocks=applied,
            votes=votes,
            certificates=certificates,
            evidence=evidence,
            final=final,
            sealed=sealed(self._seal, head.chain, head.chain_hash, final),
            decided=self.past.decided([b for b, _ in self._unfinal], replica.certified),
            sent=max((o.sequence for o in self._own(final)), default=0),
            bundle=bundle,
        )
        step.head = head_after(head, step, replica.votes_above)
        return step

    def _to_vote(self) -> list[tuple[Statement, Signed]]:
        statement = self.replica.to_vote(self._clock())
        if statement is None:
            return []
        return [(statement, sign(Vote(registry=self.me, statement=statement), self._key))]

    def _certificates(self, applied: Sequence[tuple[Block, int]]) -> list[Certificate]:
        """Those that are not stored yet: carried by the cuts, and our own count of the head's."""
        found = [carried(block.cut) for block, _ in applied]
        found.append(self.replica.certified)
        by_height = {c.statement.height: c for c in found if c is not None}
        return [by_height[height] for height in sorted(by_height) if height > self._certified]

    def _new_evidence(self) -> list[Evidence]:
        return self.replica.evidence[self._evidence :]

    def _own(self, blocks: Iterable[Block]) -> list[Outcome]:
        return [o for block in blocks for o in block.outcomes if o.registry == self.me]

    def _done(self, step: Step) -> None:
        """The step is durable: say what follows from it."""
        self.numbers.steps += 1
        self.head = step.head
        self._written.set()
        self.outbox.kept()
        self._note_certified(step.certificates)
        self._evidence += len(step.evidence)
        for _ in step.final:
            self._unfinal.popleft()
        for outcome in self._own(step.final):
            self.outbox.answered(outcome.sequence, outcome.results)
        for statement, signed in step.votes:
            self.replica.signed(statement)
            self._hold_to(signed, Vote(registry=self.me, statement=statement))
            self._turned.set()
            self.inbox.awake.set()
        if step.final:
            self._tell_time()

    def _hold_to(self, signed: Signed, vote: Vote) -> None:
        """Count our own vote, and tell it until its block is certified."""
        self.replica.hear(signed, vote)
        self._vote = signed
        self._voted.set()

    def _note_certified(self, certificates: Sequence[Certificate]) -> None:
        heights = {certificate.statement.height for certificate in certificates}
        self._certified = max(heights, default=self._certified)
        now = time.monotonic()
        for outcome in self._own(b for b, _ in self._unfinal if b.header.height in heights):
            for begun in self.outbox.begun(outcome.sequence):
                self.numbers.certified_seconds.observe(now - begun)

    def _tell_time(self) -> None:
        for at, height, future in self._times:
            if at <= self.at and height <= self.head.final and not future.done():
                future.set_result(None)
        self._times = [each for each in self._times if not each[2].done()]

    # --- the teller and the cutter ---------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            await came(self._voted, TELL_SECONDS)
            self._voted.clear()
            await self._mark()
            is_needed = self._certified < self.replica.view.height
            if self._vote is not None and (self.replica.is_asked_again() or is_needed):
                await self._log.tell(vote_subject(self.me), pack(self._vote))

    async def _mark(self) -> None:
        """Ask for a fresh sign of the others, until we know above what we may vote."""
        returning = self.replica.returning
        if returning is not None and not returning.is_marked and self.caught_up:
            subject, id = bundle_subject(self.me), returning.marker.hex()
            await self._log.append(subject, returning.marker, id=id)

    async def _cut(self) -> None:
        while True:
            self._turned.clear()
            now, waiting = self._clock(), bool(self._times)
            due = self.replica.cut_due(now, waiting)
            if due is not None and due <= now:
                cut = self.replica.to_cut(now, waiting)
                assert cut is not None, "it is due"
                await self._publish(cut)
                due = self.replica.cut_due(now, waiting)
            seconds = LOOK_SECONDS_MAX if due is None else (due - now) / SECOND
            await came(self._turned, min(max(seconds, LOOK_SECONDS), LOOK_SECONDS_MAX))

    async def _publish(self, cut: Cut) -> None:
        """Whatever becomes of it, the log will tell: another registry's may have been first."""
        signed = sign(cut, self._key)
        self.numbers.cuts += 1
        await self._log.append(
            CUT_SUBJECT, pack(signed), id=signed.hash.hex(), after=self.replica.guard
        )
