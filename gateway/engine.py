"""The engine of a gateway: runner, intake, ledger links and waiting pairs, connected and run.

Everything long-lived is a task of one group: if one of them fails, the process ends with the error
and its supervisor starts it again; recovery is the normal path, so nothing is lost by that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from gateway import cancellations, config, listener, swaps
from gateway.acquaintance import Acquaintance
from gateway.agreements import Agreements
from gateway.attempts import Openers
from gateway.config import Settings, calendars_of, tolerance_of
from gateway.connections import Connections
from gateway.days import Days
from gateway.desk import Desk
from gateway.directory import Directory, now_ns
from gateway.end_of_day import EndOfDay
from gateway.epoch import JournalError
from gateway.forgetting import Forgetting
from gateway.ids import new_id
from gateway.intake import Intake
from gateway.jobs import AttemptJob, Done, Job, MessageJob, SwapJob, answer
from gateway.journal import QUERIES, Journal, registered
from gateway.keys import Keys
from gateway.lease import Lease
from gateway.links import Link, ledger
from gateway.mailbox import Mailboxes
from gateway.origins import Origins
from gateway.pending import PendingPairs
from gateway.positions import PositionMessages
from gateway.process.ending import ending
from gateway.reconciliation.service import Reconciliation
from gateway.recovery import Recovery
from gateway.rulebook import Rulebook
from gateway.runner import Runner
from gateway.sql import Pool, open_pool
from gateway.statements.references import References
from gateway.statements.service import Statements
from gateway.taking_up import TakingUp
from gateway.tally import Tally
from gateway.tellers import Tellers
from gateway.vault import Vault, load_master
from gateway.webhooks import Webhooks
from htlc.settlement import Phase
from htlc.units import Duration, Instant, LedgerId, SettlementId, seconds
from ledgers.migrate import migrate
from ledgers.port import Ledger
from protocols.iso20022.payment import LiquidityTransfer

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
        self.ledgers = {
            LedgerId(name): ledger(session, its) for name, its in settings.ledgers.items()
        }
        self.links = {name: self._link(name, its) for name, its in self.ledgers.items()}
        master = load_master(settings.master_file)
        vault = Vault(master)
        self.agreements = self._agreements(vault)
        self.keys = Keys(pool, vault, say)
        self.runner = self._runner()
        self.positions = PositionMessages(self.directory, now=now_ns)
        self.rulebook = self._rules()
        self.mailboxes = Mailboxes(pool)
        self.webhooks = self._webhooks(master)
        self.origins = self._origins()
        self.intake = Intake(
            pool,
            journal,
            self._openers(),
            done=self._taken,
            failed=self._not_taken,
            lost=self._lost,
            say=say,
        )
        self.pending = self._pending()
        self.tellers = Tellers(self, say)
        self.allegements, self.liquidity = self.tellers.allegements, self.tellers.liquidity
        self.recovery = self._recovery()
        self.statements = self._statements()
        self.reconciliation = self._reconciliation()
        self.acquaintance = Acquaintance(
            self.links, self.directory, pool, learned=self._learned, say=say
        )
        self.lease = self._lease()
        self.taking_up = self._taking_up(vault)
        self.draining = False  # no new intake; what is open is brought to its end

    def _agreements(self, vault: Vault) -> Agreements:
        return Agreements(
            vault,
            self.settings.limits.limits(),
            lambda name: self.directory.profile(name, self._time(name)),
        )

    def _recovery(self) -> Recovery:
        return Recovery(
            self.pool,
            self.journal,
            self.runner,
            self.pending,
            self.origins,
        )

    def _reconciliation(self) -> Reconciliation:
        return Reconciliation(
            self.pool,
            self.directory,
            self.ledgers,
            daily_at=self.settings.reconciliation.at(),
            now=now_ns,
            today=self.days.today,
            delivered=self.mailboxes.delivered,
            say=self._say,
        )

    def _statements(self) -> Statements:
        by_hand = self.settings.business_date is not None
        return Statements(
            self.pool,
            self.directory,
            calendars_of(self.settings),
            self.ledgers,
            references=lambda member: References(self.pool, member),
            daily=self.settings.statements.daily and not by_hand,
            now=now_ns,
            learned=self.rulebook.changed,
            delivered=self.mailboxes.delivered,
            say=self._say,
        )

    def _runner(self) -> Runner:
        kinds = {LedgerId(name): its.kind for name, its in self.settings.ledgers.items()}
        return Runner(
            journal=self.journal,
            keys=self.keys,
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

    def _pending(self) -> PendingPairs:
        return PendingPairs(
            needs=self.directory.needs,
            # Nothing new is opened before it is known what a restore has lost.
            attempt=lambda job: not self.agreements.paused and self.intake.put(job),
            days=self.days,
        )

    def _lease(self) -> Lease:
        return Lease(
            self.pool,
            self.journal,
            recover=self.recovery.take_back,
            relinquish=self.recovery.relinquish,
            tally=self.runner.tally,
            say=self._say,
        )

    def _origins(self) -> Origins:
        return Origins(
            self.settings.matching,
            self.days,
            self.mailboxes,
            self.positions,
            lambda: self.pending,
        )

    def _taking_up(self, vault: Vault) -> TakingUp:
        return TakingUp(
            self.pool,
            self.journal,
            links=self.links,
            ledgers=self.ledgers,
            vault=vault,
            agreements=self.agreements,
            member_of=self.directory.owner,
            quiet_after=_quiet_after(self.settings),
            adopt=lambda lost: self.runner.adopt(lost, self.origins.swap(lost.state.swap)),
            over=self._mark_all,
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

    def _link(self, name: LedgerId, ledger: Ledger) -> Link:
        return Link(
            name,
            ledger,
            skew=seconds(self.settings.ledgers[name].latency.skew_seconds),
            batch_max=LINK_BATCH_MAX,
            in_flight_max=LINK_IN_FLIGHT,
            told=lambda tasks, answers: self.runner.told(tasks, answers),
            say=self._say,
            stopped=partial(self.directory.is_stopped, name),
        )

    def _time(self, name: LedgerId) -> Instant | None:
        clock = self.links[name].clock
        return None if clock is None else clock.at

    # ------------------------------------------------------------------ origins

    def _openers(self) -> Openers:
        return Openers(
            pair_swap=self.directory.swap,
            opening=lambda state: self.agreements.opening(state),
            pair_origin=self.origins.pair,
            attorney=self.directory.has_power_of_attorney,
            with_consent_time=lambda swap: self.rulebook.with_consent_time(swap),
            keeper=self.directory.money,
            swap_origin=self.origins.swap,
            proposed=swaps.proposed,
            new_id=new_id,
            now=now_ns,
            days=self.days,
            tolerance=tolerance_of(self.settings.matching),
        )

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
                answer(job.answer, done.messages)
                self.mailboxes.delivered({arrival.member for arrival in job.arrivals})
                if any(isinstance(item.content, LiquidityTransfer) for item in job.arrivals):
                    self.liquidity.wake()
            case SwapJob():
                answer(job.answer, done.swaps)
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
        """Everything that goes on until the process ends. Raises JournalError."""
        try:
            await self._run()
        except BaseExceptionGroup as group:
            over: BaseException | None = group.subgroup(JournalError)
            while isinstance(over, BaseExceptionGroup):  # a group of tasks in a group of tasks
                over = over.exceptions[0]
            if over is not None:
                raise over from None
            raise

    async def _run(self) -> None:
        dsn = config.database(self.settings.dsn)
        tasks = (
            self.runner.run(),
            self.intake.writer.run(),
            self.lease.run(),
            self.recovery.run(),
            self.taking_up.run(),
            self.tellers.run(),
            self.statements.run(),
            self.reconciliation.run(),
            self._end_of_day().run(),
            Forgetting(self.pool, self._say).run(),
            listener.run(dsn, self._heard, self._say),
            *(self.acquaintance.run(name) for name in self.links),
        )
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(ending(task))

    def _learned(self) -> None:
        """A ledger has told what it is: what waited for that may go on."""
        self.rulebook.changed()
        self._mark_all()

    def _mark_all(self) -> None:
        for live in self.runner.lives.values():
            self.runner.mark(live)

    def _heard(self, settlement: str) -> None:
        self.runner.changed_elsewhere(SettlementId(settlement))


def desk_of(engine: Engine) -> Desk:
    """The services of an engine, for any interface."""
    return Desk(
        pool=engine.pool,
        journal=engine.journal,
        runner=engine.runner,
        intake=engine.intake,
        keys=engine.keys,
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
        await engine.taking_up.begin()
        await engine.recovery.now()
        yield engine


def _quiet_after(settings: Settings) -> Duration:
    """After how long nothing that was sent before can change a ledger any more."""
    skew = max((its.latency.skew_seconds for its in settings.ledgers.values()), default=0.0)
    return seconds(settings.limits.lock_within_seconds + 2 * skew)


async def _journal(pool: Pool, settings: Settings) -> Journal:
    async with pool.acquire() as connection:
        await migrate(connection, MIGRATIONS)  # type: ignore[arg-type]
    return await registered(pool, cancellations.conclude, settings.replica)
