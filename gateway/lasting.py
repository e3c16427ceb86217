"""Lock and claim states that last: both sides of a pair are told of them after a while (sese.024
CDLR, AWSH, AWMO; fxtr.017 SMAP; pacs.002 PDNG, ACSP), each member after its own `advise_after`.

Told once for each attempt, state and side: a row says so, whoever else runs the settlement, and
however often the gateway starts. The trade's state is where its locks stand, the payment's is the
status told of it (`topic`): it outlasts a change of the other leg, and is then not told again. An
attempt that has ended meanwhile is told its end only.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from gateway.journal import LOST, QUERIES, Notice, deliver
from gateway.live import Live
from gateway.pairs import notice
from gateway.positions import pair_origin
from gateway.sql import Pool
from gateway.stages import Stage, stage
from gateway.wakes import Wakes
from htlc.units import SettlementId
from protocols.iso20022.advice import Outbound
from protocols.iso20022.payment import PaymentStatus

_Key = tuple[SettlementId, str, str]
"""Attempt, member, what it is told of: a row of `lock_advice`."""


class _Since:
    """Since when (monotonic) the locks of an attempt stand as they do, and who is still to be told
    of that when it has lasted."""

    __slots__ = ("at", "live", "members", "waiting")

    def __init__(self, live: Live, members: frozenset[str]) -> None:
        self.live = live
        self.at = 0.0
        self.members = members
        self.waiting = members


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A member is to be told of a state, if it is still the state then."""

    live: Live
    member: str
    stage: Stage


class Lasting:
    """Remembers when states began, and tells those that last."""

    def __init__(
        self,
        pool: Pool,
        *,
        after: Callable[[str], float],
        open_here: Callable[[Live], bool],
        save: Callable[[Live], None],
        now: Callable[[], int],
        delivered: Callable[[Iterable[str]], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._after = after
        self._open_here = open_here
        self._save = save
        self._now = now
        self._delivered = delivered
        self._say = say
        self._since: dict[SettlementId, _Since] = {}
        self._wakes = Wakes[_Since](self._look)
        self._due: list[Due] = []
        self._some = asyncio.Event()

    def changed(self, live: Live) -> None:
        """Something about a lock of this attempt is new, or is learned after a start."""
        since = self._since.get(live.id)
        if since is None:
            origin = pair_origin(live.origin)
            if origin is None:
                return
            since = self._since[live.id] = _Since(live, origin.pair.members)
            self._wakes.put(since, min(map(self._after, since.members)))
        since.live, since.at, since.waiting = live, time.monotonic(), since.members

    def _look(self, since: _Since) -> None:
        """The time has come for the first one who waits, unless a lock has changed meanwhile."""
        if self._open_here(since.live):
            lasted = time.monotonic() - since.at
            pauses = {member: self._after(member) - lasted for member in since.waiting}
            since.waiting = frozenset(member for member, pause in pauses.items() if pause > 0)
            if (stands := stage(since.live.state)) is not None:
                for member in sorted(pauses.keys() - since.waiting):
                    self._due.append(Due(live=since.live, member=member, stage=stands))
                    self._some.set()
            if since.waiting:
                self._wakes.put(since, min(pauses[member] for member in since.waiting))
                return
        del self._since[since.live.id]

    async def run(self) -> None:
        """Tell what is due until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wakes.run())
            group.create_task(self._telling())

    async def _telling(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            due, self._due = self._due, []
            try:
                await self._tell(due)
            except LOST as error:
                self._say(f"what lasts is told later, the database is away: {error!r}")
                self._again(item.live for item in due)

    def _again(self, lives: Iterable[Live]) -> None:
        """They could not be told now: unless they have ended, they are looked at again."""
        for live in {live.id: live for live in lives}.values():
            if self._open_here(live):
                self.changed(live)

    async def _tell(self, due: Sequence[Due]) -> None:
        for live in {item.live.id: item.live for item in due}.values():
            self._save(live)  # with its lock goes the status of an ordered payment
        ids = [item.live.id for item in due]
        async with self._pool.acquire() as connection, connection.transaction():
            members = sorted({item.member for item in due})
            await connection.execute(QUERIES["lock_heads"], members)
            rows = await connection.fetch(QUERIES["lock_open"], ids)
            going = {str(row["settlement"]) for row in rows}
            still = {  # once more: its stage may have passed while the database was asked
                (item.live.id, item.member): item
                for item in due
                if item.live.id in going and stage(item.live.state) is item.stage
            }
            found = [told for item in still.values() for told in self._notices(item)]
            rows = await connection.fetch(
                QUERIES["advise_stages"], *([key[n] for key, _ in found] for n in range(3))
            )
            new = {(str(row["settlement"]), row["member"], row["stage"]) for row in rows}
            notices = [told for key, told in found if key in new]
            await deliver(connection, notices)
        self._delivered({item.member for item in notices})
        self._again(item.live for item in due if item.live.id not in going)

    def _notices(self, item: Due) -> Iterator[tuple[_Key, Notice]]:
        origin, state, now = pair_origin(item.live.origin), item.live.state, self._now()
        assert origin is not None, "only pairs are told"
        for side, message in origin.lasting(item.stage, state, now):
            if side.member == item.member:
                key = (item.live.id, item.member, topic(item.stage, message))
                yield key, notice(side, message, now, item.live.id)


def topic(stage: Stage, message: Outbound) -> str:
    """What of an attempt a message tells a member: each once. (One member may pay both legs.)"""
    if isinstance(message, PaymentStatus):
        return f"{message.status.value} {message.market_tx}"
    return stage.value
