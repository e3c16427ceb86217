"""What a gateway tells its members beside the course of settlements: allegements, receipts of
liquidity transfers, states that last, events of the system.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.allegements import Allegements
from gateway.config import Settings, calendars_of
from gateway.directory import Directory, now_ns
from gateway.lasting import Lasting
from gateway.links import Link
from gateway.liquidity import Liquidity
from gateway.mailbox import Mailboxes
from gateway.pending import PendingPairs
from gateway.process.ending import ending
from gateway.runner import Runner
from gateway.sql import Pool
from gateway.system_events import SystemEvents
from htlc.units import LedgerId


class Parts(Protocol):
    """The parts of an engine that are needed here."""

    settings: Settings
    pool: Pool
    directory: Directory
    links: dict[LedgerId, Link]
    runner: Runner
    mailboxes: Mailboxes
    pending: PendingPairs


class Tellers:
    """The tasks that do it, run together."""

    def __init__(self, parts: Parts, say: Callable[[str], None]) -> None:
        pool, delivered = parts.pool, parts.mailboxes.delivered
        self.allegements = Allegements(
            pool,
            after=parts.settings.matching.allege_after_seconds,
            is_member=lambda bic: parts.directory.member(bic) is not None,
            now=now_ns,
            delivered=delivered,
            say=say,
        )
        self.liquidity = Liquidity(
            pool,
            parts.links,
            now=now_ns,
            delivered=delivered,
            funded=parts.pending.brought,
            say=say,
        )
        self.lasting = Lasting(
            pool,
            after=parts.directory.advise_after,
            open_here=lambda live: live.id in parts.runner.lives,
            save=parts.runner.save,
            now=now_ns,
            delivered=delivered,
            say=say,
        )
        parts.runner.changed = self.lasting.changed
        self.system_events = SystemEvents(
            pool,
            parts.directory,
            calendars_of(parts.settings),
            parts.links,
            now=now_ns,
            delivered=delivered,
            say=say,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for task in (self.allegements, self.liquidity, self.lasting, self.system_events):
                group.create_task(ending(task.run()))
