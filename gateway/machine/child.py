"""A service process of this machine: its sockets, its pipes, its start and its end.

What a service may rely on: its listening sockets are open before it starts and stay open when it
dies; standard output takes its ready line and standard input ends when the supervisor does
(`gateway.process.lifeline`); it has a session of its own, so Ctrl-C reaches only the supervisor.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

# From the start of a child to its ready line. Migrations of a new database take 1 to 2 s; a
# machine that is busy with ten other first starts stretches that by as much.
READY_SECONDS = 30.0
# From SIGTERM to SIGKILL: longer than a service needs to finish the commands in flight.
STOP_SECONDS = 10.0
# What a dead process has written is in the pipe already; a process of its own that it left behind
# may hold the pipe open for ever.
DRAIN_SECONDS = 1.0
# Connections that may wait while a child is being started again.
BACKLOG = 1024
# No line a service writes on its standard output is near this long.
LINE_BYTES_MAX = 1_000_000

Address = tuple[str, int]


class SupervisorError(Exception):
    """A service cannot be started or kept up; the text is a sentence that says which and why."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep alive.

    `{fd0}`, `{fd1}`, … in `argv` are replaced by the descriptors of the sockets that listen on the
    addresses of `listen`, in their order; port 0 takes any free one.
    """

    name: str
    argv: tuple[str, ...]
    listen: tuple[Address, ...] = ()


async def any_of(*events: Awaitable[object], seconds: float | None = None) -> None:
    """Return when the first of `events` has come or failed, or after `seconds`."""
    waiting = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waiting:
            if not wait.cancel() and not wait.cancelled():
                wait.exception()  # looked at, so that asyncio does not report it as lost


async def all_of(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all at once; the first failure, when the others have ended."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def listen(service: Service) -> list[socket.socket]:
    """Open the sockets of a service. Raises SupervisorError if an address is taken."""
    sockets: list[socket.socket] = []
    for host, port in service.listen:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sockets.append(socket.create_server((host, port), family=family, backlog=BACKLOG))
        except OSError as error:
            for opened in sockets:
                opened.close()
            raise SupervisorError(
                f"{service.name} cannot listen on {host} port {port}: {error.strerror}. "
                f"Stop what uses the address, or choose another."
            ) from None
    return sockets


class Child:
    """A service process, through all its lives: the sockets are kept from one to the next."""

    def __init__(self, service: Service, sockets: list[socket.socket]) -> None:
        self.name = service.name
        self._argv = service.argv
        self._sockets = sockets
        self._life: _Life | None = None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What the sockets are really bound to."""
        names = [listening.getsockname() for listening in self._sockets]
        return tuple((str(name[0]), int(name[1])) for name in names)

    async def up(self, hear: Callable[[bytes], bool]) -> str | None:
        """Start it; None when it is ready, else why it did not get there (nothing of it runs).

        `hear` is given each line of its standard output and says whether it is the ready line.
        """
        try:
            self._life = await _Life.begin(self._filled_in(), self._descriptors(), hear)
        except OSError as error:
            return f"could not be started ({error.strerror}: {self._argv[0]})"
        process = self._life.process
        await any_of(self._life.ready.wait(), process.wait(), seconds=READY_SECONDS)
        if process.returncode is not None:
            return await self.gone()
        if self._life.ready.is_set():
            return None
        await self._bury(self._life)
        return f"was not ready within {READY_SECONDS:g} s"

    async def gone(self) -> str:
        """Return when it has died, with how."""
        assert self._life is not None
        status = await self._life.process.wait()
        await self._bury(self._life)
        if status < 0:
            return f"was killed by signal {-status}"
        return f"ended with exit status {status}"

    async def end(self) -> None:
        """Stop it: SIGTERM, a bounded wait, SIGKILL; and close its sockets."""
        if self._life is not None:
            process = self._life.process
            if process.returncode is None:
                # Not Process.terminate(): that one polls first and may take the exit status of a
                # process that has just died away from asyncio, which then reports 255.
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGTERM)
            await any_of(process.wait(), seconds=STOP_SECONDS)
            await self._bury(self._life)
        for listening in self._sockets:
            listening.close()

    async def _bury(self, life: "_Life") -> None:
        await life.end()
        self._life = None

    def _descriptors(self) -> tuple[int, ...]:
        return tuple(listening.fileno() for listening in self._sockets)

    def _filled_in(self) -> list[str]:
        words = list(self._argv)
        for index, descriptor in enumerate(self._descriptors()):
            words = [word.replace(f"{{fd{index}}}", str(descriptor)) for word in words]
        return words


class _Life:
    """One process from its start to its end.

    The pipes are made here, not by asyncio: with its own, Process.wait() does not return (some
    versions) while a process that the child has left behind holds one of them open.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, lifeline: int, output: asyncio.ReadTransport
    ) -> None:
        self.process = process
        self.ready = asyncio.Event()
        self._lifeline: int | None = lifeline
        self._output = output
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def begin(
        cls, argv: list[str], descriptors: tuple[int, ...], hear: Callable[[bytes], bool]
    ) -> "_Life":
        """Start the process. Raises OSError if there is no such program."""
        child_input, lifeline = os.pipe()
        output, child_output = os.pipe()
        reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb", buffering=0)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=child_input,
                stdout=child_output,
                pass_fds=descriptors,
                start_new_session=True,
            )
        except BaseException:
            os.close(lifeline)
            transport.close()
            raise
        finally:
            os.close(child_input)
            os.close(child_output)
        life = cls(process, lifeline, transport)
        life._reading = asyncio.create_task(life._read(reader, hear))
        return life

    async def _read(self, reader: asyncio.StreamReader, hear: Callable[[bytes], bool]) -> None:
        """Hear every line to the end, so that the pipe never fills."""
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # too long: what is left of it comes as further lines
                continue
            if not line:
                return
            if hear(line):
                self.ready.set()

    async def end(self) -> None:
        """End the process and what it has started: a worker left over would keep the sockets."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._reading is not None:
            await any_of(self._reading, seconds=DRAIN_SECONDS)
        self._output.close()


def ready_line(line: bytes) -> Mapping[str, Any] | None:
    """What a line of standard output says if it is the ready line: `{"event":"ready", …}`."""
    try:
        said = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return said if isinstance(said, dict) and said.get("event") == "ready" else None
