"""A network namespace for one registry's node: its link can be pulled, as a cable can.

A proxy (`registry_line`) closes or holds connections; a link that is down loses packets and tells
nobody. Needs root, iproute2 and a kernel that lets root do this; nothing leaves the machine.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

PREFIX_BITS = 30
"""Of a link with two ends."""


class Space:
    """One namespace and the link into it."""

    def __init__(self, number: int) -> None:
        own = os.getpid()
        self.name = f"lockstep-{own}-{number}"
        self._device = f"ls{own}-{number}"  # at most 15 characters
        network = f"10.{128 + own % 100}.{own // 100 % 200}"
        self.outside = f"{network}.{4 * number + 1}"
        self.inside = f"{network}.{4 * number + 2}"

    @property
    def command(self) -> tuple[str, ...]:
        """In front of a command that is to run inside; it becomes that command, with its pid."""
        return "ip", "netns", "exec", self.name

    async def __aenter__(self) -> "Space":
        await _ip("netns", "add", self.name)
        await _ip(
            *("link", "add", self._device, "type", "veth"),
            *("peer", "name", "eth0", "netns", self.name),
        )
        await _ip("address", "add", f"{self.outside}/{PREFIX_BITS}", "dev", self._device)
        await _ip("-n", self.name, "address", "add", f"{self.inside}/{PREFIX_BITS}", "dev", "eth0")
        for device in ("lo", "eth0"):
            await _ip("-n", self.name, "link", "set", device, "up")
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await _ip("link", "delete", self._device)
        await _ip("netns", "delete", self.name)

    async def pull(self) -> None:
        await _ip("link", "set", self._device, "down")

    async def mend(self) -> None:
        await _ip("link", "set", self._device, "up")


@contextlib.asynccontextmanager
async def spaces(count: int) -> AsyncIterator[list[Space]]:
    """So many; all gone at the end."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Space(number)) for number in range(count)]


async def _ip(*words: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", *words, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode:
        raise OSError(f"ip {' '.join(words)}: {said.decode().strip()}; namespaces need root")
