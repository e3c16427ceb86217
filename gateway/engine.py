"""The engine of a gateway: runner, intake, ledger links and waiting pairs, connected and run.

Everything long-lived is a task of one group: if one of them fails, the process ends with the error
and its supervisor starts it again; recovery is the normal path, so nothing is lost by that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, TypeVar

import aiohttp

from gateway import cancellations, config, listener, swaps, waiting
from gateway.acquaintance import Acquaintance
from gateway.agreements import Agreements
from gateway.allegements import Allegements
from gateway.config import Settings, calendars_of, tolerance_of
from gateway.connections import Connections
from gateway.days import Days
from gateway.desk import Desk
from gateway.directory import Directory, now_ns
from gateway.end_of_day import EndOfDay
from gateway.forgetting import Forgetting
from gateway.ids import new_id
from gateway.intake import Intake, Openers
from gateway.jobs import AttemptJob, Done, Job, MessageJob, SwapJob
from gateway.journal import QUERIES, Journal, Notice, PendingPair
from gateway.lease import Lease
from gateway.links import Link
from gateway.live import Origin
from gateway.mailbox import Mailboxes
from gateway.pairs import MatchedPair, PairOrigin
from gateway.pending import PendingPairs
from gateway.positions import PositionMessages
from gateway.recovery import Recovery
from gateway.rulebook import Rulebook
from gateway.runner import Runner
from gateway.sql import Pool, open_pool
from gateway.swaps import SwapOrigin
from gateway.tally import Tally
from gateway.vault import Vault, load_master
from gateway.webhooks import Webhooks
from htlc.settlement import Phase, Settlement
from htlc.swap import Swap
from htlc.units import Instant, LedgerId, SettlementId, seconds
from ledgers.migrate import migrate
from ledgers.remote import RemoteLedger

MIGRATIONS: Final = Path(__file__).with_name("migrations")

LINK_BATCH_MAX: Final = 500
"""Operations in one request to a ledger: 500 locks are 400 kB and about 15 ms of its time."""

LINK_IN_FLIGHT: Final = 2
"""Requests under way at one ledger: one that it works on, one that waits there."""


class Engine:
    """The parts of a gateway process, and what connects them."""

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        journal: Journal,
        session: aiohttp.ClientSession,
        say: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.pool = pool
        self.journal = journal
        self._say = say
        self.directory = Directory(settings)
        self.connections = Connections(settings)
        self.days = Days(calendars_of(settings), self.directory, now_ns)
        self.links = {LedgerId(name): self._link(name, session) for name in settings.ledgers}
        master = load_master(settings.master_file)
        vault = Vault(master)
        self.agreements = self._agreements(vault)
        self.runner = self._runner(vault)
        self.positions = PositionMessages(self.directory, now=now_ns)
        self.rulebook = self._rules()
        self.mailboxes = Mailboxes(pool)
        self.webhooks = self._webhooks(master)
        self.intake = Intake(
            pool,
            journal,
            self._openers(),
            done=self._taken,
            failed=self._not_taken,
            lost=self._lost,
            say=say,
        )
        self.allegements = self._allegements()
        self.pending = PendingPairs(
            needs=self.directory.needs, attempt=self.intake.put, days=self.days
        )
        self.recovery = Recovery(
            pool,
            journal,
            self.runner,
            self.pending,
            pair_origin=self._pair_origin,
            swap_origin=self._swap_origin,
        )
        self.acquaintance = Acquaintance(
            self.links, self.directory, pool, learned=self._learned, say=say
        )
        self.lease = Lease(
            pool,
            journal.replica,
            recover=self.recovery.take_back,
            relinquish=self.recovery.relinquish,
            tally=self.runner.tally,
            say=say,
        )
        self.draining = False  # no new intake; what is open is brought to its end

    def _agreements(self, vault: Vault) -> Agreements:
        return Agreements(
            vault,
            self.settings.limits.limits(),
            lambda name: self.directory.profile(name, self._time(name)),
        )

    def _runner(self, vault: Vault) -> Runner:
        kinds = {LedgerId(name): its.kind for name, its in self.settings.ledgers.items()}
        return Runner(
            journal=self.journal,
            vault=vault,
            links=self.links,
            agreements=self.agreements,
            tally=Tally(kinds),
            say=self._say,
        )

    def _webhooks(self, master: bytes) -> Webhooks:
        return Webhooks(
            self.pool,
            self.mailboxes,
            self.settings.webhooks,
            master=master,
            replica=self.journal.replica,
            say=self._say,
        )

    def _allegements(self) -> Allegements:
        return Allegements(
            self.pool,
            after=self.settings.matching.allege_after_seconds,
            is_member=lambda bic: self.directory.member(bic) is not None,
            now=now_ns,
            delivered=self.mailboxes.delivered,
            say=self._say,
        )

    def _end_of_day(self) -> EndOfDay:
        return EndOfDay(
            self.pool,
            self.journal,
            self.days,
            unmatched_days=self.settings.matching.unmatched_days,
            matched_days=self.settings.matching.matched_days,
            delivered=self.mailboxes.delivered,
            waiting=self.pending.all,
            changed=self.pending.wait,
            over=self.pending.forget,
            say=self._say,
        )

    def _rules(self) -> Rulebook:
        return Rulebook(
            self.directory,
            days=self.days,
            consent_within=seconds(self.settings.limits.consent_within_seconds),
            clock=lambda name: self._time(name) or Instant(now_ns()),
        )

    def _link(self, name: str, session: aiohttp.ClientSession) -> Link:
        access = self.settings.ledgers[name]
        return Link(
            LedgerId(name),
            RemoteLedger(session, access.url, config.secret(access.token_file)),
            skew=seconds(access.latency.skew_seconds),
            batch_max=LINK_BATCH_MAX,
            in_flight_max=LINK_IN_FLIGHT,
            told=lambda task, answer: self.runner.told(task, answer),
            say=self._say,
        )

    def _time(self, name: LedgerId) -> Instant | None:
        clock = self.links[name].clock
        return None if clock is None else clock.at

    # ------------------------------------------------------------------ origins

    def _openers(self) -> Openers:
        return Openers(
            pair_swap=self.directory.swap,
            opening=lambda state: self.agreements.opening(state),
            pair_origin=self._pair_origin,
            swap_origin=self._swap_origin,
            proposed=self._proposed,
            new_id=new_id,
            now=now_ns,
            days=self.days,
            tolerance=tolerance_of(self.settings.matching),
        )

    def _pair_origin(self, pair: MatchedPair, wait: PendingPair | None) -> Origin:
        origin = PairOrigin(
            pair,
            wait=wait or waiting.fresh(pair, self.days),
            now=now_ns,
            today=self.days.today,
            retry_at=self._retry_at,
            over=self._pair_over,
        )
        return self.positions.beside(origin, pair.market_reference)

    def _swap_origin(self, swap: Swap) -> Origin:
        return self.positions.beside(SwapOrigin(swap, now=now_ns, over=self._over), None)

    def _proposed(self, state: Settlement, now: int) -> tuple[Notice, ...]:
        return swaps.proposed(state, now)

    def _retry_at(self, attempt: int) -> int:
        matching = self.settings.matching
        pause = min(matching.retry_first_seconds * 2 ** (attempt - 1), matching.retry_max_seconds)
        return now_ns() + seconds(pause)

    def _over(self, state: Settlement) -> None:
        self.mailboxes.delivered(state.swap.parties)
        if state.phase is Phase.SETTLED:
            self.pending.settled(state)

    def _pair_over(self, origin: PairOrigin, state: Settlement) -> None:
        self._over(state)
        waits = origin.waits(state)
        if waits is None:
            self.pending.forget(origin.pair.id)
        else:
            self.pending.wait(waits, origin.pair)

    # ------------------------------------------------------------------ intake's results

    def _taken(self, job: Job, done: Done) -> None:
        for started in done.started:
            if started.loaded.state.agreement is not None:
                self.runner.tally.open(started.loaded.state)
            self.runner.adopt(started.loaded, started.origin, job.trace)
        for wait, pair in done.waits:
            self.pending.wait(wait, pair)
        for id in done.over:
            self.pending.forget(id)
        self.mailboxes.delivered(done.told)
        match job:
            case MessageJob():
                _answer(job.answer, done.messages)
                self.mailboxes.delivered({arrival.member for arrival in job.arrivals})
            case SwapJob():
                _answer(job.answer, done.swaps)
            case AttemptJob():
                pass

    def _not_taken(self, job: Job, error: Exception) -> None:
        """Our own error in one job: whoever waits is told, nobody else is harmed."""
        self._say(f"PAGE: an intake could not be written: {error!r}")
        if not isinstance(job, AttemptJob) and not job.answer.done():
            job.answer.set_exception(error)

    def _lost(self) -> None:
        """A connection was lost in the middle of an intake: what it wrote has to be found."""
        self.recovery.lost()

    # ------------------------------------------------------------------ the end

    def refuse(self) -> None:
        """Take nothing new from now on."""
        self.draining = True

    @property
    def idle(self) -> bool:
        """Nothing is being written, and no settlement goes on: proposals wait for parties."""
        writers = (self.intake.writer, self.runner.writer)
        return not any(len(writer) or writer.lag for writer in writers) and all(
            live.state.phase is Phase.PROPOSED for live in self.runner.lives.values()
        )

    # ------------------------------------------------------------------ tasks

    async def run(self) -> None:
        """Everything that goes on until the process ends."""
        dsn = config.database(self.settings.dsn)
        tasks = (
            self.runner.run(),
            self.intake.writer.run(),
            self.lease.run(),
            self.recovery.run(),
            self.allegements.run(),
            self._end_of_day().run(),
            Forgetting(self.pool, self._say).run(),
            listener.run(dsn, self._heard, self._say),
            *(self.acquaintance.run(name) for name in self.links),
        )
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)

    def _learned(self) -> None:
        """A ledger has told what it is: what waited for that may go on."""
        self.rulebook.changed()
        for live in self.runner.lives.values():
            self.runner.mark(live)

    def _heard(self, settlement: str) -> None:
        self.runner.changed_elsewhere(SettlementId(settlement))


_T = TypeVar("_T")


def _answer(future: "asyncio.Future[_T]", value: _T) -> None:
    if not future.done():  # whoever asked may have gone away
        future.set_result(value)


def desk_of(engine: Engine) -> Desk:
    """The services of an engine, for any interface."""
    return Desk(
        pool=engine.pool,
        journal=engine.journal,
        runner=engine.runner,
        intake=engine.intake,
        directory=engine.directory,
        rulebook=engine.rulebook,
        connections=engine.connections,
        mailboxes=engine.mailboxes,
        webhooks=engine.webhooks,
        open_max=engine.settings.limits.open_max,
        legs_max=engine.settings.limits.legs_max,
        reachable=lambda name: not engine.links[LedgerId(name)].failures,
        draining=lambda: engine.draining,
    )


@contextlib.asynccontextmanager
async def open_engine(settings: Settings, say: Callable[[str], None]) -> AsyncIterator[Engine]:
    """An engine on its database, everything that is open and ours adopted; `run` it."""
    async with (
        open_pool(config.database(settings.dsn), settings.replica) as pool,
        aiohttp.ClientSession() as session,
    ):
        engine = Engine(settings, pool, await _journal(pool, settings), session, say)
        await pool.execute(QUERIES["ensure_mailboxes"], list(engine.directory.members))
        await engine.acquaintance.remember()
        await engine.recovery.now()
        yield engine


async def _journal(pool: Pool, settings: Settings) -> Journal:
    async with pool.acquire() as connection:
        await migrate(connection, MIGRATIONS)  # type: ignore[arg-type]
    replica = await pool.fetchval(QUERIES["register_replica"], settings.replica)
    epoch = await pool.fetchval(QUERIES["current_epoch"])
    return Journal(pool, cancellations.conclude, epoch=epoch, replica=replica)
