"""A campaign against four registries: kills, pauses, cut lines, lost disks, under load.

    python -m tests.system.registries --rounds 200 [--servers 3] [--namespaces] [--seed N]

Each round makes one fault (sometimes two at once), mends it, and waits until every registry has
answered somebody again. At the end: nothing acknowledged is lost, doubled or reordered, equal
heights have equal roots, every client was answered, every balance is explained (`registry_load`),
and every message has one answer (`registry_messages`).
"""

import argparse
import asyncio
import contextlib
import math
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from tests.ledgers.icsd.servers import MEMBERS
from tests.system import mortal_node
from tests.system.registry_load import Load, check
from tests.system.registry_messages import MessageLoad, check_answers
from tests.system.registry_site import Site, member_serves, site

CLIENTS = 3
"""At each registry."""

PROGRESS_SECONDS = 60.0
"""From the end of a fault until every registry has answered again: a new leader of the log takes up
to 16 s, a node some seconds to start on a busy machine."""

POINT_SECONDS = 60.0
"""For a node to come to a point of a message's life: messages come all the time, but the others may
be dead or dying, and without a quorum, back after some seconds each, nothing becomes final."""

Fault = Callable[[Site, random.Random], Awaitable[None]]


async def node_killed(made: Site, dice: random.Random) -> None:
    made.members[dice.choice(MEMBERS)].kill()


async def two_nodes_killed(made: Site, dice: random.Random) -> None:
    """No quorum is left until one is back."""
    for name in dice.sample(MEMBERS, 2):
        made.members[name].kill()


async def all_nodes_killed(made: Site, dice: random.Random) -> None:
    for name in MEMBERS:
        made.members[name].kill()


async def nodes_killed_at_messages(made: Site, dice: random.Random) -> None:
    """Each at another point in the life of a message that it was sent."""
    points = dice.sample(mortal_node.POINTS, len(MEMBERS))
    reached = await asyncio.gather(
        *(
            made.members[name].kill_at(point, POINT_SECONDS)
            for name, point in zip(MEMBERS, points, strict=True)
        )
    )
    made.deaths.update(point for point, met in zip(points, reached, strict=True) if met)


async def node_paused(made: Site, dice: random.Random) -> None:
    member = made.members[dice.choice(MEMBERS)]
    member.kill(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(0.5, 3.0))
    member.kill(signal.SIGCONT)


async def database_killed(made: Site, dice: random.Random) -> None:
    made.members[dice.choice(MEMBERS)].kill_database()


async def line_cut(made: Site, dice: random.Random) -> None:
    lines = made.members[dice.choice(MEMBERS)].lines
    for line in lines:
        line.cut()
    await asyncio.sleep(dice.uniform(0.5, 3.0))
    for line in lines:
        line.mend()


async def line_frozen(made: Site, dice: random.Random) -> None:
    lines = made.members[dice.choice(MEMBERS)].lines
    for line in lines:
        line.freeze()
    await asyncio.sleep(dice.uniform(0.5, 6.0))
    for line in lines:
        line.cut()  # what has waited in it is gone
        line.mend()


async def link_pulled(made: Site, dice: random.Random) -> None:
    """Packets are lost, to the log and to those who ask the registry, and nobody is told."""
    space = made.members[dice.choice(MEMBERS)].space
    assert space is not None, "drawn only for nodes in namespaces"
    await space.pull()
    await asyncio.sleep(dice.uniform(0.5, 12.0))
    await space.mend()


async def server_killed(made: Site, dice: random.Random) -> None:
    server = dice.choice(made.log.servers)
    server.signal(signal.SIGKILL)
    await server.wait()
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    await server.start()


async def servers_killed(made: Site, dice: random.Random) -> None:
    for server in made.log.servers:
        server.signal(signal.SIGKILL)
    await asyncio.gather(*(server.wait() for server in made.log.servers))
    await made.log.start()


async def server_paused(made: Site, dice: random.Random) -> None:
    server = dice.choice(made.log.servers)
    server.signal(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(0.5, 6.0))
    server.signal(signal.SIGCONT)


async def disk_lost(made: Site, dice: random.Random) -> None:
    """One of three servers of the log begins again with nothing. Not while another one has not
    caught up: two lost disks of three lose what was acknowledged (`README.md`)."""
    await made.log_whole()
    number = dice.randrange(len(made.log.servers))
    server = made.log.servers[number]
    server.signal(signal.SIGKILL)
    await server.wait()
    shutil.rmtree(made.log.directory / f"n{number}" / "store")
    await server.start()
    await made.log_whole()


FAULTS: Mapping[str, Fault] = {
    function.__name__: function
    for function in (
        *(node_killed, two_nodes_killed, all_nodes_killed, nodes_killed_at_messages),
        *(node_paused, database_killed),
        *(line_cut, line_frozen, link_pulled),
        *(server_killed, servers_killed, server_paused, disk_lost),
    )
}


def faults_of(servers: int, *, namespaces: bool) -> list[str]:
    """A log of a single server does not survive the loss of its disk (`README.md`)."""
    out = {"disk_lost"} if servers == 1 else set()
    return [name for name in FAULTS if name not in out and (namespaces or name != "link_pulled")]


async def progress(made: Site, *loads: Load | MessageLoad) -> None:
    """Wait until every registry has answered somebody since now, and a message."""
    before = [(load, name, load.answered[name]) for load in loads for name in MEMBERS]

    def waiting() -> list[str]:
        return [f"{type(o).__name__} at {name}" for o, name, n in before if o.answered[name] <= n]

    try:
        async with asyncio.timeout(PROGRESS_SECONDS):
            while waiting():
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"no progress: {waiting()}; {await made.states()}") from None


@contextlib.asynccontextmanager
async def traffic(made: Site, dice: random.Random) -> AsyncIterator[tuple[Load, MessageLoad]]:
    """Clients that go on until the end of the block, and until they are answered."""
    load = Load(made, dice)
    messages = MessageLoad(made, dice, load)
    clients = [asyncio.create_task(load.client(name)) for name in MEMBERS for _ in range(CLIENTS)]
    clients += [asyncio.create_task(messages.client(name)) for name in MEMBERS]
    readers = [asyncio.create_task(messages.reader(name)) for name in MEMBERS]
    try:
        yield load, messages
        load.stop()
        messages.stop()
        await asyncio.wait_for(asyncio.gather(*clients), PROGRESS_SECONDS)
    finally:
        for task in (*clients, *readers):
            task.cancel()
        await asyncio.gather(*clients, *readers, return_exceptions=True)


def drawn(rounds: int, servers: int, seed: int, *, namespaces: bool) -> list[list[str]]:
    """The faults of each round; mostly one, sometimes two at once."""
    dice = random.Random(seed)
    faults = faults_of(servers, namespaces=namespaces)
    plan = [dice.sample(faults, 2 if dice.random() < 0.2 else 1) for _ in range(rounds)]
    return [_together(names) for names in plan]


def _together(names: list[str]) -> list[str]:
    """What of these may happen at once."""
    # With its disk a server of three loses a vote on what was acknowledged: no other may be away.
    if "disk_lost" in names:
        return ["disk_lost"]
    # One fault must not kill the very process that another one has just begun to start or to wake.
    return names[:1] if all(name.startswith("server") for name in names) else names


async def campaign(
    plan: Sequence[Sequence[str]],
    servers: int,
    seed: int,
    say: Callable[[str], object],
    seconds: float = math.inf,
    *,
    namespaces: bool = False,
) -> Counter[str]:
    """Ends with the plan, or with the round after `seconds`; the points in the life of a message at
    which nodes died (`mortal_node`). Raises AssertionError or TimeoutError,
    with the seed said before."""
    dice = random.Random(seed)
    say(f"seed {seed}, {len(plan)} rounds, {servers} log server(s)\n")
    begun, met = time.monotonic(), Counter[str]()
    async with site(servers, namespaces=namespaces) as made:
        async with traffic(made, dice) as (load, messages):
            await progress(made, load, messages)
            for number, names in enumerate(plan):
                if time.monotonic() > begun + seconds:
                    break
                met.update(names)
                say(f"{number + 1}: {', '.join(names)}")
                await asyncio.gather(*(FAULTS[name](made, dice) for name in names))
                await progress(made, load, messages)
                say(f"; {len(load.asked)} transfers\n")
        for member in made.members.values():
            await member_serves(member)
        height = await check(made, load)
        await check_answers(made, messages)
        lives = sum(member.lives for member in made.members.values())
    say(
        f"{met.total()} faults, {len(load.asked)} transfers, "
        f"{sum(one.tries for one in load.asked)} tries, all answered; "
        f"{len(messages.sent)} messages, each answered once; height {height}; "
        f"{lives} lives of nodes; longest wait {load.longest:.1f} s; "
        f"{time.monotonic() - begun:.0f} s; faults {dict(met)}\n"
    )
    return made.deaths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--servers", type=int, choices=(1, 3), default=3)
    parser.add_argument(
        "--namespaces", action="store_true", help="A network for each node, whose link is pulled."
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="No new round after it.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    chosen = parser.parse_args()

    def said(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    plan = drawn(chosen.rounds, chosen.servers, chosen.seed, namespaces=chosen.namespaces)
    asyncio.run(
        campaign(
            *(plan, chosen.servers, chosen.seed, said, 60 * chosen.minutes),
            namespaces=chosen.namespaces,
        )
    )
