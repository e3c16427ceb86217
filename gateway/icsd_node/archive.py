"""A registry's archive over HTTP: served to registries that start anew, and read by them.

MessagePack: what is served are the very bytes that were signed and archived.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from ledgers.access import PRINCIPAL
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.recovery import Begun
from ledgers.icsd.store import Placed, Store
from ledgers.problems import ProblemError
from ledgers.wire import integer

ARCHIVE: Final = "/v1/registry/archive"
BEGUN: Final = "/v1/registry/begun"

BLOCKS_MAX: Final = 500
BYTES_MAX: Final = 4 << 20
"""Of one page, whichever is reached first; one block at least, which may have more bytes."""

SECONDS: Final = 30.0
"""For one page, over a slow line too."""

TRIES: Final = 5

STORE: Final = web.AppKey("archive", Store)

_encode: Final = msgspec.msgpack.Encoder().encode

Value = TypeVar("Value")


def add(app: web.Application, store: Store) -> None:
    """Serve the archive."""
    app[STORE] = store
    app.router.add_get(ARCHIVE, get_archive)
    app.router.add_get(BEGUN, get_begun)


async def get_archive(request: web.Request) -> web.Response:
    """Certified blocks after a height."""
    _require_follower(request)
    after = integer(request.query.get("after", "0"), "after")
    return _packed(await request.app[STORE].archive(after, BLOCKS_MAX, BYTES_MAX))


async def get_begun(request: web.Request) -> web.Response:
    """The epochs that people began when a log was lost."""
    _require_follower(request)
    return _packed(await request.app[STORE].begun())


def _require_follower(request: web.Request) -> None:
    if not request[PRINCIPAL].follows_the_ledger:
        raise ProblemError(HTTPStatus.FORBIDDEN, "forbidden", "read by operators and supervisors")


def _packed(content: object) -> web.Response:
    return web.Response(body=_encode(content), content_type="application/msgpack")


class RemoteArchive:
    """Another registry's archive, as a `ledgers.icsd.archive.Source`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def page(self, after: int) -> Sequence[Placed]:
        """Raises LogUnreachable."""
        return await self._read(f"{ARCHIVE}?after={after}", list[Placed])

    async def begun(self) -> Sequence[Begun]:
        """Raises LogUnreachable."""
        return await self._read(BEGUN, list[Begun])

    async def _read(self, path: str, kind: type[Value]) -> Value:
        why = ""
        for attempt in range(TRIES):
            await asyncio.sleep(attempt)
            try:
                async with (
                    asyncio.timeout(SECONDS),
                    self._session.get(self._url + path, headers=self._headers) as response,
                ):
                    body = await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                why = f"{type(error).__name__}: {error}"
                continue
            if response.status == HTTPStatus.OK:
                return msgspec.msgpack.decode(body, type=kind)
            why = f"status {response.status}: {body.decode(errors='replace')[:200]}"
        raise LogUnreachable(f"{self._url}{path}: {why}")
