"""Starts the service processes of one machine and keeps them alive: `lockstep up`.

Theory of operation
- The supervisor binds the listening sockets and gives them to the child by descriptor. A child
  that dies and is started again has its port back, and connections made meanwhile wait in the
  queue of the socket: clients see a pause, no refusal.
- A child says that it is ready by one line of JSON on its standard output. Its standard input is a
  pipe that only the supervisor holds: end of file there means that the supervisor is gone
  (`gateway.process.lifeline`).
- What dies is started again after a pause that grows, so that a lasting fault does not eat the
  machine and a passing one costs 0.1 s. What dies again and again without getting ready is given
  up, and then all of it: half a system is worse than none.
- Embedded databases are kept by the same rule, and stopped after the services that use them.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from gateway.embedded import Cluster, EmbeddedError
from gateway.machine import child
from gateway.machine.child import Address, Child, Service, SupervisorError, any_of

__all__ = ["Address", "Deaths", "Service", "Supervisor", "SupervisorError"]

# A passing fault (out of memory, a lost race for a port) is over in a tenth of a second, a lasting
# one is not worth more than one try in five seconds.
PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 5.0
# Who has lived this long has recovered: its next death is a new fault.
RECOVERED_SECONDS = 30.0
# The pauses before the eighth death add up to 11 s: enough for a database to come back, short
# enough to tell a person.
DEATHS_MAX = 8


class Deaths(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody has died lately, and how long to wait before the next start."""

    unready_in_a_row: int = 0
    pause_seconds: float = 0.0

    def one_more(
        self, *, ready: bool, lived_seconds: float, pause_seconds_max: float = PAUSE_SECONDS_MAX
    ) -> "Deaths":
        """The same with one more death: after `lived_seconds`, having been ready or not."""
        new_fault = self.pause_seconds == 0.0 or lived_seconds >= RECOVERED_SECONDS
        return Deaths(
            unready_in_a_row=0 if ready else self.unready_in_a_row + 1,
            pause_seconds=(
                PAUSE_SECONDS_MIN if new_fault else min(2 * self.pause_seconds, pause_seconds_max)
            ),
        )


class Charge(Protocol):
    """Something that is kept alive: a service process or a database cluster."""

    name: str

    async def up(self, hear: Callable[[bytes], bool]) -> str | None:
        """Start it; None when it is ready, else why it did not get there (nothing of it runs)."""

    async def gone(self) -> str:
        """Return when it has died, with how."""

    async def end(self) -> None:
        """Stop it, in a bounded time."""


class _Database:
    """An embedded cluster as a charge."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name = name
        self._cluster = cluster

    async def up(self, hear: Callable[[bytes], bool]) -> str | None:  # noqa: ARG002 - says nothing
        try:
            await self._cluster.start()
        except EmbeddedError as error:
            return f"did not start: {error}"
        return None

    async def gone(self) -> str:
        await self._cluster.wait()
        return "died"

    async def end(self) -> None:
        await self._cluster.stop()


class Supervisor:
    """Keeps services and clusters alive until stop()."""

    def __init__(
        self, *, say: Callable[[str], None], pause_seconds_max: float = PAUSE_SECONDS_MAX
    ) -> None:
        """`say` is given one-line messages for the operator."""
        self._say = say
        self._pause_seconds_max = pause_seconds_max
        self._kept: dict[str, tuple[Charge, asyncio.Task[None]]] = {}
        self._over = asyncio.Event()
        self._failure: BaseException | None = None
        # The ready line of each service, as its last start said it.
        self.ready: dict[str, Mapping[str, Any]] = {}

    async def start(self, service: Service) -> tuple[Address, ...]:
        """Start a service and wait until it is ready; the addresses really bound.

        Raises SupervisorError if an address is taken or the service is not ready in time.
        """
        bound = self.bind(service)
        await self.start_bound(bound)
        return bound.addresses

    def bind(self, service: Service) -> Child:
        """Open the sockets of a service that is started when others know where it will be. Raises
        SupervisorError if an address is taken."""
        assert service.name not in self._kept, f"two services are named {service.name}"
        return Child(service, child.listen(service))

    async def start_bound(self, bound: Child) -> None:
        """Start what was bound and wait until it is ready. Raises SupervisorError."""
        await self._keep(bound, child.READY_SECONDS)

    async def start_cluster(self, name: str, cluster: Cluster) -> None:
        """Start an embedded database and wait until it is ready. Raises SupervisorError.

        Without a time limit of ours: replay after a crash may be long, and the cluster bounds it.
        """
        assert name not in self._kept, f"two databases are named {name}"
        await self._keep(_Database(name, cluster), None)

    async def run(self) -> None:
        """Return after stop(); raises SupervisorError when something cannot be kept up."""
        await self._over.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Stop everything, the databases last; nothing is left. Idempotent.

        Raises what could not be stopped, after all the rest has been.
        """
        self._over.set()
        kept = list(self._kept.values())
        self._kept.clear()
        await _cancel(*(keeper for _, keeper in kept))
        services = [charge.end() for charge, _ in kept if not isinstance(charge, _Database)]
        ended = await asyncio.gather(*services, return_exceptions=True)
        databases = [charge.end() for charge, _ in kept if isinstance(charge, _Database)]
        ended += await asyncio.gather(*databases, return_exceptions=True)
        for failure in filter(None, ended):
            raise failure

    async def _keep(self, charge: Charge, seconds: float | None) -> None:
        first_ready = asyncio.Event()
        keeper = asyncio.create_task(self._keep_alive(charge, first_ready), name=charge.name)
        self._kept[charge.name] = (charge, keeper)
        try:
            await any_of(first_ready.wait(), asyncio.shield(keeper), seconds=seconds)
            if keeper.done():
                keeper.result()
            if not first_ready.is_set():
                raise SupervisorError(f"{charge.name} was not ready within {seconds:g} s.")
        except BaseException:
            if self._kept.pop(charge.name, None) is not None:  # else stop() has seen to it
                await _cancel(keeper)
                await charge.end()
            raise
        keeper.add_done_callback(self._note_end)

    def _note_end(self, keeper: "asyncio.Task[None]") -> None:
        if not keeper.cancelled():
            self._failure = self._failure or keeper.exception()
            self._over.set()

    async def _keep_alive(self, charge: Charge, first_ready: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        deaths = Deaths()
        while True:
            began = clock()
            why = await charge.up(lambda line: self._hear(charge.name, line))
            ready = why is None
            if ready:
                first_ready.set()
                why = await charge.gone()
            deaths = deaths.one_more(
                ready=ready,
                lived_seconds=clock() - began,
                pause_seconds_max=self._pause_seconds_max,
            )
            if deaths.unready_in_a_row >= DEATHS_MAX:
                raise SupervisorError(
                    f"{charge.name} cannot be kept up: {DEATHS_MAX} starts in a row failed, "
                    f"the last one because it {why}."
                )
            self._say(f"{charge.name} {why}; starting it again in {deaths.pause_seconds:g} s")
            await asyncio.sleep(deaths.pause_seconds)

    def _hear(self, name: str, line: bytes) -> bool:
        """A line of a child's standard output: keep the ready line, pass on any other."""
        ready = child.ready_line(line)
        if ready is None:
            self._say(f"{name}: {line.decode(errors='replace').rstrip()}")
            return False
        self.ready[name] = ready
        return True


async def _cancel(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
