"""The engine of a gateway: runner, intake, ledger links and waiting pairs, connected and run.

Everything long-lived is a task of one group: if one of them fails, the process ends with the error
and its supervisor starts it again; recovery is the normal path, so nothing is lost by that.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import msgspec

from gateway import cancellations, config, listener, preflight, swaps
from gateway.adoption import Adoption
from gateway.agreements import Agreements
from gateway.attempts import Openers
from gateway.cash import CashLegs
from gateway.config import Settings
from gateway.desk import Desk
from gateway.directory import Directory, now_ns
from gateway.ids import new_id
from gateway.intake import Intake
from gateway.jobs import AttemptJob, Done, Job, MessageJob, SwapJob
from gateway.journal import LOST, QUERIES, Journal, Notice
from gateway.keys import Keys
from gateway.lease import HEARTBEAT_SECONDS, Lease
from gateway.links import Link
from gateway.mailbox import Mailboxes
from gateway.pair_origin import PairOrigin
from gateway.pairs import MatchedPair
from gateway.payments import Standing
from gateway.pending import PendingPairs
from gateway.rulebook import Rulebook
from gateway.runner import Runner
from gateway.sql import Pool, open_pool
from gateway.swaps import SwapOrigin
from gateway.tally import Tally
from gateway.tellers import Tellers
from gateway.vault import Vault, load_master
from htlc.settlement import Phase, Settlement
from htlc.swap import Swap
from htlc.units import Instant, LedgerId, SettlementId, seconds
from ledgers.migrate import migrate
from ledgers.port import Description, LedgerUnreachable
from ledgers.remote import RemoteLedger, RemoteLedgerError
from protocols.iso20022.payment import LiquidityTransfer

MIGRATIONS: Final = Path(__file__).with_name("migrations")

LINK_BATCH_MAX: Final = 500
"""Operations in one request to a ledger: 500 locks are 400 kB and about 15 ms of its time."""

LINK_IN_FLIGHT: Final = 2
"""Requests under way at one ledger: one that it works on, one that waits there."""

PREFLIGHT_AGAIN_SECONDS: Final = 30.0
"""A ledger that failed the preflight is asked again: it is repaired without us being restarted."""


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
        self.keys = Keys(pool, vault, say)
        self.runner = Runner(
            journal=journal,
            keys=self.keys,
            links=self.links,
            agreements=self.agreements,
            tally=Tally({LedgerId(name): its.kind for name, its in settings.ledgers.items()}),
            say=say,
        )
        self.rulebook = self._rules()
        self.mailboxes = Mailboxes(pool)
        self.intake = Intake(
            pool,
            journal,
            self._openers(),
            done=self._taken,
            failed=self._not_taken,
            lost=self._lost,
            say=say,
        )
        self.pending = PendingPairs(
            needs=self.directory.needs, attempt=self.intake.put, now=now_ns, today=self.today
        )
        self.lease = Lease(
            pool,
            journal.replica,
            recover=self._take_back,
            relinquish=self._relinquish,
            tally=self.runner.tally,
            say=say,
        )
        self.tellers = Tellers(self, say)
        self.allegements, self.liquidity = self.tellers.allegements, self.tellers.liquidity
        self._adoption = Adoption(pool, journal, self.runner, self._pair_origin, self._swap_origin)
        self._recover = asyncio.Event()
        self.draining = False  # no new intake; what is open is brought to its end

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
            pair_origin=self._pair_origin,
            swap_origin=self._swap_origin,
            proposed=self._proposed,
            keeper=self.directory.money,
            with_consent_time=lambda swap: self.rulebook.with_consent_time(swap),
            attorney=self.directory.has_power_of_attorney,
            new_id=new_id,
            now=now_ns,
            today=self.today,
        )

    def _pair_origin(
        self, pair: MatchedPair, attempt: int, advised: str, standing: Standing
    ) -> PairOrigin:
        return PairOrigin(
            pair,
            attempt=attempt,
            advised=advised,
            cash=CashLegs(pair, standing.orders),
            now=now_ns,
            retry_at=self._retry_at,
            over=self._pair_over,
        )

    def _swap_origin(self, swap: Swap) -> SwapOrigin:
        return SwapOrigin(swap, now=now_ns, over=self._over)

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
                if any(isinstance(item.content, LiquidityTransfer) for item in job.arrivals):
                    self.liquidity.wake()
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
        """Everything that goes on until the process ends."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.runner.run())
            group.create_task(self.intake.writer.run())
            group.create_task(self.lease.run())
            group.create_task(self.tellers.run())
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
        waits, pairs = await self._adoption.recover()
        for id, wait in waits.items():
            self.pending.wait(wait, pairs[id])

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
        keys=engine.keys,
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
        await engine.recover()
        yield engine


async def _journal(pool: Pool, settings: Settings) -> Journal:
    async with pool.acquire() as connection:
        await migrate(connection, MIGRATIONS)  # type: ignore[arg-type]
    replica = await pool.fetchval(QUERIES["register_replica"], settings.replica)
    epoch = await pool.fetchval(QUERIES["current_epoch"])
    return Journal(pool, cancellations.conclude, epoch=epoch, replica=replica)
