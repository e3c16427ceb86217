"""The load generator: a process of its own, so that its CPU time is not taken for the system's.

    {site}            ->    once: where to send, and as whom
    {order}           ->    a round
          <- {"event":"prepared"}    connections are open; whoever measures begins
    go                ->
          <- {outcome}               the round is over; whoever measures ends
    end of input      ->    the process ends

Closed loop: as many units in flight as ordered, each followed by the next when its last trade is
final for both parties. What is refused, told twice or never told is a fault of the round.
"""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from gateway.bench import bodies, database
from gateway.bench.bodies import Bodies
from gateway.bench.connection import Connection, post, post_head
from gateway.bench.plan import Case, Fate, Order, Outcome, Site, watch
from gateway.bench.trade import Trade
from gateway.bench.trades import DRAIN_SECONDS, Dealer, Tally, Unit
from gateway.bench.watching import Mailbox, Told
from gateway.ids import new_id
from protocols.iso20022.instruction import Movement

JSON, XML = "application/json", "application/xml"

TEXT_MAX: Final = 300
"""Of an answer that is quoted: enough for a problem's detail."""

_NOT_TAKEN: Final = re.compile(rb'"status":(?!202)')
"""The first result of an array that is no 202."""

BUSY_SECONDS: Final = 1.0
"""Until what the gateway had no room for is sent again: what `Retry-After` of its answers says."""

BUSY_TIMES_MAX: Final = 60
"""A gateway that is busy for a minute is not measured but broken."""

_BUSY: Final = (b'"status":503', b"XBSY")
"""In the answer to an array or a batch: there was no room for some of it."""

_REASON: Final = re.compile(rb"<RsnDesc>([^<]*)</RsnDesc>")


class Sender:
    """Hands a unit in, on connections of its own."""

    def __init__(self, site: Site, order: Order, tally: Tally) -> None:
        self._site = site
        self._case = order.case
        self._bodies = Bodies(site, order.protocol)
        self._tally = tally
        path, media = ("/v1/messages", XML) if order.case.is_iso else ("/v1/settlements", JSON)
        self._heads = [post_head(path, member.token, media) for member in site.members]

    async def send(self, unit: Unit, connections: Sequence[Connection]) -> None:
        if self._case.is_iso:
            seller, buyer = unit.trades[0].first_payer, unit.trades[0].first_payee
            both = [trade for trade in unit.trades if trade.fate is not Fate.ALONE]
            await asyncio.gather(
                self._instruct(unit.trades, Movement.DELI, seller.member, connections[0]),
                self._instruct(both, Movement.RECE, buyer.member, connections[1]),
            )
            return
        proposals = [self._bodies.proposal(trade) for trade in unit.trades]
        bulk = self._case is Case.JSON_BULK
        body = bodies.array(proposals) if bulk else proposals[0]
        member = unit.trades[0].first_payer.member
        await self._hand_in(member, body, connections[0], b'"status":202', len(proposals) * bulk)

    async def _instruct(
        self, trades: Sequence[Trade], movement: Movement, member: int, connection: Connection
    ) -> None:
        if not trades:
            return
        messages = [self._bodies.instruction(trade, movement) for trade in trades]
        body = bodies.batch(messages) if self._case is Case.ISO_BATCH else messages[0]
        await self._hand_in(member, body, connection, b"<RctAck>", len(messages))

    async def _hand_in(
        self, member: int, body: bytes, connection: Connection, mark: bytes, count: int
    ) -> None:
        """Until all is taken, which the answer says by so many marks. While the gateway is too busy
        for some of it, it is sent again as it is: what was taken is answered as before."""
        request = post(self._heads[member], body)
        status, answer = 0, b""
        for _ in range(BUSY_TIMES_MAX):
            status, answer = await connection.exchange(request)
            if status == 202 and answer.count(mark) >= count:
                return
            if not (status == 503 or any(busy in answer for busy in _BUSY)):
                break
            self._tally.resent += 1
            await asyncio.sleep(BUSY_SECONDS)
        self._tally.fault(f"not taken (status {status}): {_why(answer)}")


class GatewayLoad:
    """One order being carried out against a gateway."""

    def __init__(self, site: Site, order: Order, mailboxes: "Mailboxes") -> None:
        self._order = order
        self._mailboxes = mailboxes
        self._tally = Tally(site, case=order.case)
        self._dealer = Dealer(site, order)
        self._sender = Sender(site, order, self._tally)
        self._site = site
        self._until = 0.0
        self._next = 0.0  # when the next unit may start, where there is a rate

    async def run(self, prepared: Callable[[], None], go: Callable[[], Any]) -> Outcome:
        async with AsyncExitStack() as stack:
            connections = [
                [await self._connect(stack) for _ in range(2 if self._order.case.is_iso else 1)]
                for _ in range(self._order.units_in_flight)
            ]
            following = self._mailboxes.follow(self._order, self._tally.told)
            stack.push_async_callback(_cancel, following)
            prepared()
            await go()
            started = time.perf_counter()
            self._until = started + (self._order.seconds or float("inf"))
            first_id = new_id()
            await self._drained([self._slot(own) for own in connections], following)
        self._tally.lost()
        return self._tally.outcome(started, first_id)

    async def _connect(self, stack: AsyncExitStack) -> Connection:
        connection = await Connection.open(self._site.gateway)
        stack.push_async_callback(connection.close)
        return connection

    async def _slot(self, connections: Sequence[Connection]) -> None:
        """One unit after the other, each when the one before is final."""
        most = self._order.settlements or float("inf")
        while time.perf_counter() < self._until and self._tally.sent < most:
            if self._tally.faults:
                return  # the round has failed already
            unit = self._dealer.unit()
            await self._due(len(unit.trades))
            self._tally.expect(unit)
            await self._sender.send(unit, connections)
            if not self._tally.faults:
                await unit.done

    async def _due(self, trades: int) -> None:
        """Wait until the ordered rate allows for so many more."""
        if self._order.rate is not None:
            starts = self._next = max(self._next, time.perf_counter())
            self._next += trades / self._order.rate
            await asyncio.sleep(starts - time.perf_counter())

    async def _drained(self, slots: list[Any], following: "list[asyncio.Task[Any]]") -> None:
        """All slots have ended, or time is up, or a mailbox cannot be read any more."""
        loads = [asyncio.create_task(slot) for slot in slots]
        done = asyncio.ensure_future(self._all_final(loads))
        limit = DRAIN_SECONDS + (self._order.seconds or DRAIN_SECONDS)
        await asyncio.wait([done, *following], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        for task in following:
            if task.done():
                self._tally.fault(f"a mailbox cannot be read: {task.exception()!r}")
        await _cancel([done])
        for load in loads:
            load.cancel()
        for result in await asyncio.gather(*loads, return_exceptions=True):
            if isinstance(result, Exception):
                self._tally.fault(f"no answer: {result!r}")

    async def _all_final(self, loads: "list[asyncio.Task[None]]") -> None:
        """What is sent is settled, and what had to fail has failed."""
        await asyncio.gather(*loads)
        if not self._tally.faults:
            await self._tally.all_told()


class Mailboxes:
    """Every member's mailbox, each read on from where the round before has left it."""

    def __init__(self, site: Site) -> None:
        self._boxes = [Mailbox(site.gateway, member, self._told) for member in site.members]
        self._listener: Told = lambda *_: None

    def _told(self, member: str, reference: str, instead: str | None) -> None:
        self._listener(member, reference, instead)

    async def skip(self) -> None:
        for box in self._boxes:
            await box.skip()

    def follow(self, order: Order, told: Told) -> "list[asyncio.Task[Any]]":
        self._listener = told
        how = watch(order.in_flight)
        for box in self._boxes:
            box.go_on(order.cursors)
        return [asyncio.create_task(box.follow(how)) for box in self._boxes]


def _why(answer: bytes) -> str:
    """The reason in a rejection (admi.002); the first refusal of an array; or how it begins."""
    if found := _REASON.search(answer):
        return found[1].decode(errors="replace")
    refused = _NOT_TAKEN.search(answer)
    start = 0 if refused is None else refused.start()
    return answer[start : start + TEXT_MAX].decode(errors="replace")


async def _cancel(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _serve() -> None:
    lines = asyncio.StreamReader(limit=2**26)  # a site of some thousand accounts is one line
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    site = msgspec.json.decode(await lines.readline(), type=Site)
    mailboxes = Mailboxes(site)
    await mailboxes.skip()
    _say({"event": "ready"})
    while line := await lines.readline():
        order = msgspec.json.decode(line, type=Order)
        run: GatewayLoad | database.DatabaseLoad
        if order.case is Case.DATABASE:
            run = database.DatabaseLoad(site, order, Dealer(site, order))
        else:
            run = GatewayLoad(site, order, mailboxes)
        _say(await run.run(lambda: _say({"event": "prepared"}), lines.readline))


def _say(message: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(_serve())
