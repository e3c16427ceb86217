"""What the log survives: real servers killed, paused, wiped and cut off while two registries write.

    python -m tests.ledgers.icsd.log_faults [NAME…]     about a minute; the table goes to stdout

Checked each time: what was acknowledged stands at its sequence with its content, nothing stands
twice, no sequence is missing, each registry's messages are in its own order, and the log can be
read as a whole afterwards from each server.
"""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from ledgers.icsd.log import LogUnreachable, Message, Stored
from ledgers.icsd.stream import JetStreamLog
from tests.ledgers.icsd.servers import REGISTRIES, STREAM, Servers, running


class Seen(msgspec.Struct):
    """What the writers were told."""

    stored: dict[int, tuple[str, bytes]] = {}
    repeated: int = 0
    unresolved: int = 0
    longest_gap_seconds: float = 0.0


async def write(log: JetStreamLog, registry: str, seen: Seen, over: asyncio.Event) -> None:
    """One message after the other, each again until its outcome is known."""
    number, last = 0, time.monotonic()
    while not over.is_set():
        number += 1
        subject, data = f"ord.{registry}", f"{registry} {number}".encode()
        while True:
            outcome = await log.append(subject, data, id=data.hex())
            if isinstance(outcome, Stored):
                break
            seen.unresolved += 1
        assert outcome.sequence not in seen.stored, "one place, two messages"
        seen.stored[outcome.sequence] = (subject, data)
        seen.repeated += outcome.repeated
        now = time.monotonic()
        seen.longest_gap_seconds = max(seen.longest_gap_seconds, now - last)
        last = now


async def whole(log: JetStreamLog, seconds: float = 60) -> list[Message]:
    """All of it, with patience."""
    found: list[Message] = []
    async with asyncio.timeout(seconds):
        while True:
            try:
                last = await log.last()
                while len(found) < last:
                    found += await log.read(len(found) + 1, 500)
            except LogUnreachable:
                await asyncio.sleep(0.1)
                continue
            return found


def check(messages: list[Message], seen: Seen) -> None:
    assert [message.sequence for message in messages] == list(range(1, len(messages) + 1))
    told = {message.sequence: (message.subject, message.data) for message in messages}
    assert {s: told.get(s) for s in seen.stored} == seen.stored, "acknowledged, and not there"
    for registry in REGISTRIES:
        own = [m.data for m in messages if m.subject == f"ord.{registry}"]
        assert own == [f"{registry} {n}".encode() for n in range(1, len(own) + 1)]


async def leader(servers: Servers) -> int:
    info = json.loads(await servers.administer(f"STREAM.INFO.{STREAM}"))
    return int(info["cluster"]["leader"][1:])


async def kill(servers: Servers, *numbers: int) -> None:
    for number in numbers:
        servers.servers[number].signal(signal.SIGKILL)
    await asyncio.gather(*(servers.servers[number].wait() for number in numbers))


async def leader_killed(servers: Servers) -> None:
    await kill(servers, await leader(servers))
    await asyncio.sleep(1)
    await servers.start()


async def all_killed(servers: Servers) -> None:
    await kill(servers, *range(len(servers.servers)))
    await asyncio.sleep(1)
    await servers.start()


async def disk_lost(servers: Servers) -> None:
    """One of three begins again with nothing."""
    await kill(servers, 2)
    shutil.rmtree(servers.directory / "n2" / "store")
    await servers.start()


async def leader_paused(servers: Servers) -> None:
    server = servers.servers[await leader(servers)]
    server.signal(signal.SIGSTOP)
    await asyncio.sleep(6)
    server.signal(signal.SIGCONT)


FAULTS: Mapping[str, Callable[[Servers], Awaitable[None]]] = {
    "leader killed": leader_killed,
    "all killed": all_killed,
    "disk lost": disk_lost,
    "leader paused": leader_paused,
}


async def suffer(servers: Servers, fault: Callable[[Servers], Awaitable[None]]) -> Seen:
    """Write through a fault, and on for a second of the time after it; check."""
    seen, over = Seen(), asyncio.Event()
    logs = [await servers.open(registry) for registry in REGISTRIES]
    writers = [
        asyncio.create_task(write(log, registry, seen, over))
        for log, registry in zip(logs, REGISTRIES, strict=True)
    ]
    await asyncio.sleep(0.5)
    await fault(servers)
    before = len(seen.stored)
    async with asyncio.timeout(60):
        while len(seen.stored) < before + 50:
            await asyncio.sleep(0.05)
    over.set()
    await asyncio.gather(*writers)
    for server in servers.servers:
        check(await whole(await servers.open("sup", [server.url])), seen)
    return seen


async def main(names: list[str]) -> None:
    print(
        f"{'fault':16} {'acknowledged':>12} {'repeated':>8} {'unresolved':>10} {'longest gap':>11}"
    )
    for name in names or FAULTS:
        async with running(3) as servers:
            await servers.make()
            seen = await suffer(servers, FAULTS[name])
            print(
                f"{name:16} {len(seen.stored):12} {seen.repeated:8} {seen.unresolved:10} "
                f"{seen.longest_gap_seconds:9.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
