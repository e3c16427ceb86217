"""The one loop: due -> decide -> perform -> append -> evolve.

Everything that a settlement needs to know to go on is in its journal and on the ledgers, so the
loop is the same for a settlement that was opened a moment ago and for one found after a crash:
fold, ask `decide`, carry out. The runner holds no rule of settlement; it paces, batches and writes.

- A `Record` goes through the journal's group commit, at the last folded sequence + 1, one at a time
  per settlement. If its place was taken (another replica, a request), the journal is loaded again.
- A turn that would find nothing new to do is not taken (`htlc.clocks.rests`, `wakes`).
- Commands to ledgers go to their links. One is never in flight twice; after an answer that
  changed nothing, or none, it is held for a growing pause.
- Facts are written with the next record; at once where others may need them (`_must_save`).
"""

import asyncio
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway import elsewhere
from gateway.agreements import Agreements
from gateway.group import GroupWriter
from gateway.journal import Entry, Journal, Loaded
from gateway.keys import Keys
from gateway.links import Link, Task
from gateway.live import HOLD_MAX, Append, Live, Origin, Request, about, facts, must_save
from gateway.process.ending import ending
from gateway.tally import Tally
from gateway.telemetry import logs
from gateway.wakes import Wakes
from htlc import commands
from htlc.contract import Answer, Refusal, Unknown
from htlc.coordinator import Clock, decide, evolve, rests, wake_at
from htlc.events import Answered, Event
from htlc.settlement import BROKEN, Settlement
from htlc.units import LedgerId, SettlementId
from ledgers.trace import Trace

_log = logging.getLogger("settlement")

SLICE: Final = 100
"""Settlements decided before other tasks get their turn: about 3 ms."""

BATCH_MAX: Final = 500
"""Journal entries in one transaction: a bounded commit keeps latency even under a backlog."""


class Runner:
    """Drives every settlement that this replica has taken on, until it ends."""

    def __init__(
        self,
        *,
        journal: Journal,
        keys: Keys,
        links: Mapping[LedgerId, Link],
        agreements: Agreements,
        tally: Tally,
        say: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._keys = keys
        self._links = links
        self.agreements = agreements
        self._say = say
        self.tally = tally
        self.lives: dict[SettlementId, Live] = {}
        self._due: dict[SettlementId, Live] = {}
        self._due_since = 0.0  # monotonic
        self._detailed = False  # whether each phase and command is logged; asked once a turn
        self._wake = asyncio.Event()
        self._wakes = Wakes(self._woken)
        self._reloads: asyncio.Queue[Live] = asyncio.Queue()
        #: Decided in this turn, and not handed on yet.
        self._tasks: defaultdict[LedgerId, list[Task]] = defaultdict(list)
        self._appends: list[Append] = []
        self.quarantined: dict[SettlementId, str] = {}
        #: Told of every change of a pair's lock; the engine says who listens.
        self.changed: Callable[[Live], None] = lambda _: None
        self.writer: GroupWriter[Append, bool] = GroupWriter(
            lambda batch: journal.append([append.entry for append in batch]),
            self._appended,
            lambda append, error: self._quarantine(append.live, error),
            batch_max=BATCH_MAX,
            queue_max=sys.maxsize,  # bounded by what is open: one entry per settlement
            say=say,
        )

    # ------------------------------------------------------------------ taking on and letting go

    def adopt(self, loaded: Loaded, origin: Origin, trace: Trace | None = None) -> None:
        """Take on a settlement whose journal has been folded."""
        id = loaded.state.swap.id
        if id in self.lives or loaded.state.ended:
            return
        trace = self.tally.adopt(loaded.state, loaded.created_at, trace)
        live = self.lives[id] = Live(loaded, origin, trace)
        if live.pair is not None:
            self.changed(live)
        self.mark(live)

    def mark(self, live: Live) -> None:
        """Something may be owed: have it decided."""
        if not self._due:
            self._due_since = time.monotonic()
            self._wake.set()
        self._due[live.id] = live

    def _let_go(self, live: Live) -> None:
        self._drop(live.id)
        for request in live.requests:
            self._answer(live, request)
        if live.state.phase is not live.phase:
            self._moved(live)
        self._keys.forget(live.id)
        self.tally.end(live.state, (time.time_ns() - live.created_at) / 1e9)
        live.origin.ended(live.state)

    def _drop(self, id: SettlementId) -> Live | None:
        """Nothing more is done for it here."""
        live = self.lives.pop(id, None)
        if live is not None:
            self._wakes.drop(live)
        return live

    def relinquish(self, id: SettlementId) -> None:
        """Another replica runs it now; what its users have asked for here, they ask again."""
        live = self._drop(id)
        if live is None:
            return
        self.tally.relinquish(id)
        for request in live.requests:
            if not request.answer.done():
                request.answer.set_result(elsewhere.ASK_AGAIN)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._turns())
            group.create_task(ending(self.writer.run()))
            group.create_task(self._wakes.run())
            group.create_task(ending(self._reload()))
            for link in self._links.values():
                group.create_task(link.run())

    async def _turns(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, {}
            since = self._due_since
            clocks = self.clocks()
            self._detailed = _log.isEnabledFor(logging.DEBUG)
            for n, live in enumerate(due.values(), 1):
                try:
                    self._step(live, clocks)
                except AssertionError as error:
                    self._quarantine(live, error)
                if n % SLICE == 0:
                    self._hand_on()
                    await asyncio.sleep(0)
            self._hand_on()
            self.tally.turns.observe(time.monotonic() - since)

    def _hand_on(self) -> None:
        """What has been decided goes out together: a call for each queue, not for each thing."""
        for ledger, tasks in self._tasks.items():
            self._links[ledger].put(tasks)
        self._tasks.clear()
        self.writer.put(*self._appends)
        self._appends.clear()

    def _moved(self, live: Live) -> None:
        """The settlement is in another phase than when we last looked."""
        left, live.phase = live.phase, live.state.phase
        now = time.monotonic()
        self.tally.left(left, live.state, now - live.since)
        live.since = now
        if self._detailed:
            _log.debug("%s to %s", left, live.phase, extra=about(live))
        if live.phase is BROKEN:
            with logs.bound(**about(live)):
                self._say(f"PAGE: settlement {live.id} is one-legged; saving what can be saved")

    def _quarantine(self, live: Live, error: Exception) -> None:
        """Our own error in one settlement stops that one, loudly, and no other."""
        self._drop(live.id)
        self.quarantined[live.id] = repr(error)
        with logs.bound(settlement=live.id):
            self._say(f"PAGE: settlement {live.id} is stopped, its state makes no sense: {error!r}")

    def clocks(self) -> dict[LedgerId, Clock]:
        """The ledgers' times, as far as they have been heard."""
        return {name: clock for name, link in self._links.items() if (clock := link.clock)}

    # ------------------------------------------------------------------ decide and perform

    def _step(self, live: Live, clocks: Mapping[LedgerId, Clock]) -> None:
        if live.id not in self.lives:
            return
        if live.state.phase is not live.phase:
            self._moved(live)
        if live.requests and not live.appending:
            self._take_request(live)
        for command in decide(live.state, clocks):
            if isinstance(command, commands.Record):
                self._append(live, (command.event,))
            elif isinstance(command, commands.Open):
                self._open(live)
            else:
                self._send(live, command)
        if live.appending:
            return  # whatever it waits for, it is looked at again when that is written
        if live.state is not live.saved and must_save(live.saved, live.state):
            self._append(live, ())
        else:
            self._schedule(live)

    def _open(self, live: Live) -> None:
        if not live.appending and (event := self.agreements.opening(live.state)) is not None:
            self._append(live, (event,))

    def _send(
        self,
        live: Live,
        command: commands.Lock | commands.Unlock | commands.Refund | commands.Look,
    ) -> None:
        key = (command.leg, type(command).__name__)
        if key in live.in_flight or (live.held and live.is_held(key)):
            return
        if live.state.swap.secret is not None and self._keys.is_unread(
            live.state, command, lambda: self.mark(live)
        ):
            return
        if isinstance(command, commands.Unlock):
            self._journal.require_current()
        live.in_flight.add(key)
        leg = live.state.agreed.legs[command.leg]
        if self._detailed:
            _log.debug("%s leg %s", key[1], leg.terms.leg, extra=about(live, leg.ledger))
        self._tasks[leg.ledger].append(
            Task(
                settlement=live.id,
                key=key,
                contract=leg.terms.id,
                operation=self._keys.operation(live.state, command, leg.terms),
                trace=live.trace,
            )
        )

    # ------------------------------------------------------------------ answers

    def told(self, tasks: Sequence[Task], answers: Sequence[Answer | Unknown]) -> None:
        """A ledger has answered a batch, or has not."""
        for task, answer in zip(tasks, answers, strict=True):
            live = self.lives.get(task.settlement)
            if live is None:
                continue
            live.in_flight.discard(task.key)
            if isinstance(answer, Unknown) or not self._learned(live, task.key[0], answer):
                pause = live.hold(task.key)
                asyncio.get_running_loop().call_later(pause, self.mark, live)

    def _learned(self, live: Live, leg: int, answer: Answer) -> bool:
        """Whether an answer was news of a leg: then what may be owed now is decided."""
        if answer.refusal is not None and answer.refusal is Refusal.OVERLOADED:
            return False
        before = live.state
        state = live.state = evolve(before, Answered(leg=leg, answer=answer))
        if state.legs[leg].status is before.legs[leg].status:
            return False
        if live.held:
            live.held.clear()
        if live.pair is not None:  # of agreed swaps nobody is told what lasts
            self.changed(live)
        if live.requests or not rests(state, live.in_flight):
            self.mark(live)
        return True

    def _schedule(self, live: Live) -> None:
        """Have it decided again when time alone may have changed what is owed."""
        instant = wake_at(live.state)
        if instant is None or instant == live.wakes_at:
            return
        live.wakes_at = instant
        self._wakes.put(live, max(0.0, (instant - time.time_ns()) / 1e9))

    def _woken(self, live: Live) -> None:
        """The ledger's own clock may lag behind ours: unless something changes, come back."""
        self._wakes.put(live, HOLD_MAX)
        self.mark(live)

    # ------------------------------------------------------------------ the journal

    def _append(
        self, live: Live, events: tuple[Event, ...], request: Request | None = None
    ) -> None:
        if live.appending:
            return
        live.appending = True
        if live.state.restored and live.state.frozen and not live.saved.frozen:
            with logs.bound(**about(live)):
                self._say(f"PAGE: settlement {live.id} is frozen after a restore; see the runbook")
        before = after = live.state
        for event in events:
            after = evolve(after, event)
        known = facts(live.saved, live.state) if live.saved.legs else ()
        advice = live.origin.advise(live.saved, after)
        entry = Entry(
            settlement=live.id,
            sequence=live.sequence + 1,
            events=(*known, *events),
            phase=after.phase,
            decision=after.decision if before.decided is None else None,
            ended=after.ended,
            notices=advice.notices,
            pending=advice.pending,
            settled_pair=advice.settled_pair,
            end=advice.end,
            payments=advice.payments,
        )
        self._appends.append(
            Append(
                live=live,
                entry=entry,
                before=before,
                after=after,
                events=events,
                request=request,
            )
        )

    def save(self, live: Live) -> None:
        """Write what is known of its locks now, and not with the next record."""
        if live.id in self.lives and live.saved.legs and facts(live.saved, live.state):
            self._append(live, ())
            self._hand_on()

    def _appended(self, append: Append, written: bool) -> None:
        live = append.live
        if not written:
            self.tally.conflicts += 1
            if append.request is not None:
                live.requests.insert(0, append.request)
            self._reloads.put_nowait(live)  # `appending` stays set: nothing is written meanwhile
            return
        live.appending = False
        live.sequence = append.entry.sequence
        live.saved = append.after
        if live.state is append.before:
            live.state = append.after
        else:  # a fact has come meanwhile
            for event in append.events:
                live.state = evolve(live.state, event)
        if append.request is not None and not append.request.answer.done():
            append.request.answer.set_result(None)
        if live.saved.ended:
            self._let_go(live)
        else:
            self.mark(live)

    async def _reload(self) -> None:
        """Read again what others have written, and go on from there."""
        while True:
            live = await self._reloads.get()
            try:
                loaded = (await self._journal.load([live.id]))[live.id]
            except OSError as error:
                self._say(f"cannot read the journal of {live.id} ({error!r}); trying again")
                await asyncio.sleep(HOLD_MAX)
                self._reloads.put_nowait(live)
                continue
            self._resume(live, loaded)

    def _resume(self, live: Live, loaded: Loaded) -> None:
        known = facts(loaded.state, live.state) if live.state.legs and loaded.state.legs else ()
        live.appending = False
        live.sequence = loaded.sequence
        live.saved = live.state = loaded.state
        for fact in known:
            live.state = evolve(live.state, fact)
        if live.saved.ended:
            self._let_go(live)
        else:
            self.mark(live)

    # ------------------------------------------------------------------ requests of users

    async def request(
        self, id: SettlementId, event: Event, check: Callable[[Settlement], str | None]
    ) -> str | None:
        """Append what a user asks for, durably, unless `check` refuses (its text is returned).

        Works on any replica: where another one runs the settlement, the request is written into
        the journal, and the other one finds it there. Raises KeyError for an unknown id."""
        live = self.lives.get(id)
        if live is None:
            return await elsewhere.request(self._journal, id, event, check)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        live.requests.append(Request(event=event, check=check, answer=answer))
        self.mark(live)
        return await answer

    def _take_request(self, live: Live) -> None:
        request = live.requests.pop(0)
        if request.check(live.state) is not None:
            self._answer(live, request)
            self.mark(live)  # there may be more of them
        else:
            self._append(live, (request.event,), request)

    def _answer(self, live: Live, request: Request) -> None:
        if not request.answer.done():
            request.answer.set_result(request.check(live.state))

    def changed_elsewhere(self, id: SettlementId) -> None:
        """Another replica has written into a journal of ours: read it."""
        live = self.lives.get(id)
        if live is not None and not live.appending:
            live.appending = True
            self._reloads.put_nowait(live)
