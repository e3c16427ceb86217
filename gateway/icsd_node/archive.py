"""A registry's archive over HTTP: served to registries that start anew, and read by them.

MessagePack: what is served are the very bytes that were signed and archived.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from gateway.icsd_node.remote import Remote
from gateway.icsd_node.served import STORE, packed, require_follower, require_kept
from ledgers.icsd.client import Lineage
from ledgers.icsd.recovery import Begun
from ledgers.icsd.store import Placed
from ledgers.wire import integer

ARCHIVE: Final = "/v1/registry/archive"
BEGUN: Final = "/v1/registry/begun"
LINEAGE: Final = "/v1/registry/lineage"

BLOCKS_MAX: Final = 500
BYTES_MAX: Final = 4 << 20
"""Of one page, whichever is reached first; one block at least, which may have more bytes."""


async def get_archive(request: web.Request) -> web.Response:
    """Certified blocks after a height."""
    require_follower(request)
    after = integer(request.query.get("after", "0"), "after")
    require_kept((await request.app[STORE].head()).base, after + 1)
    return packed(await request.app[STORE].archive(after, BLOCKS_MAX, BYTES_MAX))


async def get_begun(request: web.Request) -> web.Response:
    """The epochs that people began when a log was lost."""
    require_follower(request)
    return packed(await request.app[STORE].begun())


async def get_lineage(request: web.Request) -> web.Response:
    """Every change of the members, with its proof."""
    require_follower(request)
    return packed(await request.app[STORE].lineage())


class RemoteArchive:
    """Another registry's archive, as a `ledgers.icsd.archive.Source`."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def page(self, after: int) -> Sequence[Placed]:
        """Raises LogUnreachable, Gone."""
        return await self._remote.get(f"{ARCHIVE}?after={after}", list[Placed])

    async def begun(self) -> Sequence[Begun]:
        """Raises LogUnreachable."""
        return await self._remote.get(BEGUN, list[Begun])

    async def lineage(self) -> Lineage:
        """Raises LogUnreachable."""
        return await self._remote.get(LINEAGE, Lineage)
