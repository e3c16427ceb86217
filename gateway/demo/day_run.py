"""Runs the day: a throw-away world, every custodian sends and reads, then the books are audited."""

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import aiohttp
import msgspec

from gateway.client import GatewayClient
from gateway.config import LimitSettings, MatchingSettings
from gateway.demo import audit, expected
from gateway.demo.audit import Auditor, Books
from gateway.demo.expected import DAY, Expected, Sent, Trade
from gateway.demo.outcomes import Difference, Heard, differences
from gateway.demo.trades import Story
from gateway.embedded import temporary_directory
from gateway.machine.data_directory import Ready
from gateway.machine.up import Machine, Options, Say, running
from gateway.machine.world import World
from gateway.statuses import told

PATIENCE_SECONDS: Final = 60.0
"""For every outcome to be told. The day needs some seconds; a busy machine a multiple."""

LOCK_WITHIN_SECONDS: Final = 3.0
RETRY_FIRST_SECONDS: Final = 1.0
"""The day ends when the last chain has settled: a trade whose securities arrive later is tried
again after seconds here, not after half a minute. On one machine a lock takes milliseconds."""

POLL_SECONDS: Final = 0.1


class Progress(Protocol):
    """Shows how far the day is."""

    def show(self, sent: int, settled: int, missing: int) -> None:
        """Files sent, sese.025 received, outcomes that have not come yet."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How the day went."""

    day: Expected
    world: World
    differences: tuple[Difference, ...]
    faults: tuple[str, ...]  # of the books; none if all is right
    before: dict[str, Books]
    after: dict[str, Books]
    settlements: int  # attempts, ended or not
    settled: int
    messages: int  # in all mailboxes
    seconds: float  # from the first file to the last outcome
    unchained: int  # settled trades that waited for no other
    unchained_seconds: float  # from the first file to the last confirmation of these

    @property
    def is_as_expected(self) -> bool:
        return not self.differences and not self.faults


async def run(say: Say, progress: Progress, data: Path | None = None) -> Result:
    """The whole demo. `data` is kept if it is given. Raises one of `gateway.machine.up.FAULTS`."""
    directory = temporary_directory() if data is None else data
    day = expected.load()
    options = Options(
        data=directory,
        world=day.world,
        business_date=day.business_date,
        limits=LimitSettings(lock_within_seconds=LOCK_WITHIN_SECONDS),
        matching=MatchingSettings(retry_first_seconds=RETRY_FIRST_SECONDS),
    )
    try:
        async with (
            running(options, say) as (machine, ready),
            aiohttp.ClientSession() as session,
        ):
            return await _Day(session, machine, ready, day, progress).run()
    finally:
        if data is None:
            shutil.rmtree(directory, ignore_errors=True)


class _Day:
    """One day under way."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        machine: Machine,
        ready: Ready,
        day: Expected,
        progress: Progress,
    ) -> None:
        self._machine = machine
        self._day = day
        self._progress = progress
        self._auditor = Auditor(session, machine, ready)
        self._clients = {
            bic: GatewayClient(session, ready.gateway, token)
            for bic, token in machine.credentials.members.items()
        }
        self._heard = Heard()
        self._sent = 0
        self._expected: Sequence[Sent] = [side for trade in day.trades for side in trade.sides]

    async def run(self) -> Result:
        """Send, read and audit; the first thing that goes wrong is raised."""
        try:
            async with asyncio.TaskGroup() as group:
                return await self._run(group)
        except ExceptionGroup as several:
            raise several.exceptions[0] from None

    async def _run(self, group: asyncio.TaskGroup) -> Result:
        before = await self._auditor.books()
        readers = [group.create_task(self._read(bic)) for bic in self._clients]
        began = time.monotonic()
        for bic in self._clients:
            group.create_task(self._send(bic))
        ended = await self._watch()
        result = await self._audited(before, began, ended)
        for reader in readers:
            reader.cancel()
        return result

    async def _send(self, bic: str) -> None:
        """One custodian's files, in their order."""
        for file in sorted((DAY / bic).iterdir()):
            answers = await self._clients[bic].send(file.read_bytes())
            self._heard.answer(bic, file.name, answers)
            self._sent += 1

    async def _read(self, bic: str) -> None:
        """One custodian's mailbox, as it fills."""
        async for message in self._clients[bic].follow():
            assert isinstance(message.xml, str), "all of the day is ISO 20022"
            self._heard.tell(bic, message.related, told(message.xml), time.monotonic())

    async def _watch(self) -> float:
        """Until every outcome is as expected, or patience ends; when the last one came."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        missing = list(self._expected)
        while missing and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            missing = [sent for sent in missing if self._heard.difference(sent) is not None]
            self._progress.show(self._sent, len(self._heard.settled_at), len(missing))
        return time.monotonic()

    async def _audited(self, before: dict[str, Books], began: float, ended: float) -> Result:
        world = self._machine.world
        views = await self._auditor.settlements()
        ends = await self._auditor.ends(views)
        after = await self._auditor.books()
        settled = sum(view.state == "SETTLED" for view in views)
        wanted = [trade for trade in self._day.trades if trade.settles]
        unchained = [trade for trade in wanted if trade.story != Story.CHAIN]
        if settled != len(wanted):
            ends.append(f"{settled} settlements are SETTLED, the day has {len(wanted)}")
        return Result(
            day=self._day,
            world=world,
            # Once more, now that all has been quiet for a while: an end is told once.
            differences=tuple(differences(self._heard, self._expected)),
            faults=tuple(ends + audit.faults(world, before, after, self._day.trades)),
            before=before,
            after=after,
            settlements=len(views),
            settled=settled,
            messages=self._heard.messages,
            seconds=ended - began,
            unchained=len(unchained),
            unchained_seconds=max(map(self._settled_at, unchained), default=ended) - began,
        )

    def _settled_at(self, trade: Trade) -> float:
        """When the later side of a trade has read its confirmation."""
        times = self._heard.settled_at
        return max(times.get((side.sender, side.reference or ""), 0.0) for side in trade.sides)
