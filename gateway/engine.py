"""The engine of a gateway: runner, intake, ledger links and waiting pairs, connected and run.

Everything long-lived is a task of one group: if one of them fails, the process ends with the error
and its supervisor starts it again; recovery is the normal path, so nothing is lost by that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from gateway import cancellations, config, instructions, listener, preflight, swaps
from gateway.agreements import Agreements
from gateway.allegements import Allegements
from gateway.config import Settings
from gateway.desk import Desk
from gateway.directory import Directory, now_ns
from gateway.epoch import SupersededError
from gateway.ids import new_id
from gateway.intake import Intake, Openers
from gateway.jobs import AttemptJob, Done, Job, MessageJob, SwapJob, answer
from gateway.journal import LOST, QUERIES, Journal, PendingPair, registered
from gateway.lease import HEARTBEAT_SECONDS, Lease
from gateway.links import Link
from gateway.mailbox import Mailboxes
from gateway.origins import Origins
from gateway.pending import PendingPairs
from gateway.rulebook import Rulebook
from gateway.runner import Runner
from gateway.sql import Pool, open_pool
from gateway.taking_up import TakingUp
from gateway.tally import Tally
from gateway.vault import Vault, load_master
from htlc.settlement import Phase
from htlc.units import Duration, Instant, LedgerId, SettlementId, seconds
from ledgers.migrate import migrate
from ledgers.port import Description, LedgerUnreachable
from ledgers.remote import RemoteLedger, RemoteLedgerError

MIGRATIONS: Final = Path(__file__).with_name("migrations")

LINK_BATCH_MAX: Final = 500
"""Operations in one request to a ledger: 500 locks are 400 kB and about 15 ms of its time."""

LINK_IN_FLIGHT: Final = 2
"""Requests under way at one ledger: one that it works on, one that waits there."""

PREFLIGHT_AGAIN_SECONDS: Final = 30.0
"""A ledger that failed the preflight is asked again: it is repaired without us being restarted."""

ADOPT_MAX: Final = 1_000
"""Settlements folded at once after a start: some megabytes of journal."""


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
        self.links = {LedgerId(name): self._link(name, session) for name in settings.ledgers}
        vault = Vault(load_master(settings.master_file))
        self.agreements = Agreements(
            vault,
            settings.limits.limits(),
            lambda name: self.directory.profile(name, self._time(name)),
        )
        self.runner = Runner(
            journal=journal,
            vault=vault,
            links=self.links,
            agreements=self.agreements,
            tally=Tally({LedgerId(name): its.kind for name, its in settings.ledgers.items()}),
            say=say,
        )
        self.rulebook = self._rules()
        self.mailboxes = Mailboxes(pool)
        self.origins = Origins(settings.matching, self.mailboxes, lambda: self.pending)
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
            needs=self.directory.needs,
            # Nothing new is opened before it is known what a restore has lost.
            attempt=lambda job: not self.agreements.paused and self.intake.put(job),
            now=now_ns,
            today=self.today,
        )
        self.lease = Lease(
            pool,
            journal,
            recover=self._take_back,
            relinquish=self._relinquish,
            tally=self.runner.tally,
            say=say,
        )
        self.taking_up = self._taking_up(vault)
        self._recover = asyncio.Event()
        self.draining = False  # no new intake; what is open is brought to its end

    def _allegements(self) -> Allegements:
        return Allegements(
            self.pool,
            after=self.settings.matching.allege_after_seconds,
            is_member=lambda bic: self.directory.member(bic) is not None,
            now=now_ns,
            delivered=self.mailboxes.delivered,
            say=self._say,
        )

    def _taking_up(self, vault: Vault) -> TakingUp:
        return TakingUp(
            self.pool,
            self.journal,
            links=self.links,
            vault=vault,
            agreements=self.agreements,
            member_of=self.directory.owner,
            quiet_after=_quiet_after(self.settings),
            adopt=lambda lost: self.runner.adopt(lost, self.origins.swap(lost.state.swap)),
            over=self._mark_all,
            say=self._say,
        )

    def _rules(self) -> Rulebook:
        return Rulebook(
            self.directory,
            today=self.today,
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

    def today(self) -> date:
        """The business date: configured, or the day it is in UTC."""
        fixed = self.settings.business_date
        return date.fromisoformat(fixed) if fixed else datetime.now(UTC).date()

    # ------------------------------------------------------------------ origins

    def _openers(self) -> Openers:
        return Openers(
            pair_swap=self.directory.swap,
            opening=lambda state: self.agreements.opening(state),
            pair_origin=self.origins.pair,
            swap_origin=self.origins.swap,
            proposed=swaps.proposed,
            new_id=new_id,
            now=now_ns,
            today=self.today,
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
        self._recover.set()

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
        """Everything that goes on until the process ends. Raises SupersededError."""
        try:
            await self._run()
        except BaseExceptionGroup as group:
            over: BaseException | None = group.subgroup(SupersededError)
            while isinstance(over, BaseExceptionGroup):  # a group of tasks in a group of tasks
                over = over.exceptions[0]
            if over is not None:
                raise over from None
            raise

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.runner.run())
            group.create_task(self.intake.writer.run())
            group.create_task(self.lease.run())
            group.create_task(self.taking_up.run())
            group.create_task(self.allegements.run())
            group.create_task(
                listener.run(config.database(self.settings.dsn), self._heard, self._say)
            )
            group.create_task(self._recoveries())
            for name in self.links:
                group.create_task(self._acquaint(name))

    async def _acquaint(self, name: LedgerId) -> None:
        """Ask a ledger what it is until it says so, and until it can be trusted; it may start
        after us."""
        link = self.links[name]
        while (
            fault := preflight.fault(name, description := await self._describe(link))
        ) is not None:
            if self.directory.distrusted.get(name) != fault:
                self._say(f"PAGE: nothing settles on ledger {name}: {fault}")
            self.directory.distrusted[name] = fault
            await asyncio.sleep(PREFLIGHT_AGAIN_SECONDS)
        self.directory.distrusted.pop(name, None)
        link.trusted = True
        link.read(description.at)
        self._learn(name, description)
        text = msgspec.json.encode(description).decode()
        await self.pool.execute(QUERIES["store_description"], name, text)
        self._mark_all()

    def _mark_all(self) -> None:
        for live in self.runner.lives.values():
            self.runner.mark(live)

    def _learn(self, name: LedgerId, description: Description) -> None:
        self.directory.learn(name, description)
        self.rulebook.changed()

    async def remember_ledgers(self) -> None:
        """What the ledgers told before the last start."""
        for row in await self.pool.fetch(QUERIES["load_descriptions"]):
            if (name := LedgerId(row["ledger"])) in self.links:
                self._learn(name, msgspec.json.decode(row["description"], type=Description))

    async def _describe(self, link: Link) -> Description:
        pause = 0.05
        while True:
            try:
                return await link.ledger.describe()
            except (LedgerUnreachable, RemoteLedgerError) as error:
                self._say(f"ledger {link.name} does not tell what it is yet: {error}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)

    async def _take_back(self) -> None:
        """What has become ours is adopted, if not now then as soon as the database allows."""
        try:
            await self.recover()
        except LOST:
            self._recover.set()
            raise

    async def _relinquish(self) -> None:
        """Drop what other replicas took over while we were frozen or cut off."""
        lives, waiting = list(self.runner.lives), list(self.pending)
        own = self.journal.replica
        rows = await self.pool.fetch(QUERIES["open_settlements"], own)
        for id in set(lives) - {SettlementId(str(row["settlement"])) for row in rows}:
            self.runner.relinquish(id)
        rows = await self.pool.fetch(QUERIES["open_pairs"], own)
        for pair in set(waiting) - {str(row["pair"]) for row in rows}:
            self.pending.forget(pair)

    async def _recoveries(self) -> None:
        """After a lost connection: adopt whatever of ours is open and not in memory."""
        while True:
            await self._recover.wait()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._recover.clear()
            try:
                await self.recover()
            except LOST:
                self._recover.set()

    async def recover(self) -> None:
        """Adopt everything that is open and ours. The same at the start, after a takeover, and
        after a lost connection."""
        rows = await self.pool.fetch(QUERIES["open_pairs"], self.journal.replica)
        waits = {
            str(row["pair"]): PendingPair(
                pair=str(row["pair"]),
                due_at=row["due_at"],
                attempts=row["attempts"],
                advised=row["advised"],
            )
            for row in rows
        }
        rows = await self.pool.fetch(QUERIES["open_settlements"], self.journal.replica)
        missing = [SettlementId(str(row["settlement"])) for row in rows]
        missing = [id for id in missing if id not in self.runner.lives]
        for start in range(0, len(missing), ADOPT_MAX):
            await self._adopt(missing[start : start + ADOPT_MAX], waits)
        known = await instructions.load_pairs(self.pool, list(waits))
        for id, wait in waits.items():
            self.pending.wait(wait, known[id])

    async def _adopt(self, ids: Sequence[SettlementId], waits: dict[str, PendingPair]) -> None:
        loaded = await self.journal.load(ids)
        pair_ids = [item.pair for item in loaded.values() if item.pair]
        known = await instructions.load_pairs(self.pool, pair_ids)
        for item in loaded.values():
            self.runner.adopt(item, self.origins.loaded(item, known, waits))

    def _heard(self, settlement: str) -> None:
        self.runner.changed_elsewhere(SettlementId(settlement))


def desk_of(engine: Engine) -> Desk:
    """The services of an engine, for any interface."""
    return Desk(
        pool=engine.pool,
        journal=engine.journal,
        runner=engine.runner,
        intake=engine.intake,
        directory=engine.directory,
        rulebook=engine.rulebook,
        mailboxes=engine.mailboxes,
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
        await engine.remember_ledgers()
        await engine.taking_up.begin()
        await engine.recover()
        yield engine


def _quiet_after(settings: Settings) -> Duration:
    """After how long nothing that was sent before can change a ledger any more."""
    skew = max(its.latency.skew_seconds for its in settings.ledgers.values())
    return seconds(settings.limits.lock_within_seconds + 2 * skew)


async def _journal(pool: Pool, settings: Settings) -> Journal:
    async with pool.acquire() as connection:
        await migrate(connection, MIGRATIONS)  # type: ignore[arg-type]
    return await registered(pool, cancellations.conclude, settings.replica)
