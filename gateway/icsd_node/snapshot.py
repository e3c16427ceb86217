"""A registry's book over HTTP, for one that joins: served from its database, and read.

One answer, `application/octet-stream`: records of MessagePack, each after its length (4 bytes, big
endian): the opening, pages of rows, and at the end a record of length 0, so that an answer which
broke off is not taken for a whole one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp
import asyncpg
import msgspec
from aiohttp import web

from gateway.icsd_node.remote import Remote, problem
from gateway.icsd_node.served import NODE, require_follower
from htlc.units import Instant
from ledgers.icsd.compare import Gone
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.rows import Rows
from ledgers.icsd.snapshot import Opening, Stood, taken
from ledgers.port import LedgerUnreachable
from ledgers.problems import Kind, ProblemError
from ledgers.views import BlockJson

PATH: Final = "/v1/registry/snapshot"

RECORD_MAX: Final = 64 << 20
"""Bytes of one record: the opening has two blocks, of some MB each at the most."""

SILENCE_SECONDS: Final = 30.0
"""Without a byte: the other registry, or the line, is gone."""

POOL: Final = web.AppKey("snapshot-pool", asyncpg.Pool)
ONE: Final = web.AppKey("snapshot-one", asyncio.Lock)

_encode: Final = msgspec.msgpack.Encoder().encode


def keep(app: web.Application, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """What snapshots are read from, one at a time: each holds a transaction for as long as it is
    read."""
    app[POOL], app[ONE] = pool, asyncio.Lock()


async def get_snapshot(request: web.Request) -> web.StreamResponse:
    require_follower(request)
    lock = request.app[ONE]
    if lock.locked():
        raise LedgerUnreachable("another registry is given a snapshot; ask again")
    async with lock:
        try:
            async with taken(request.app[POOL], request.app[NODE].me) as snapshot:
                return await _stream(request, *snapshot)
        except Gone as error:
            raise ProblemError(Kind.NO_SNAPSHOT, str(error)) from None


async def _stream(
    request: web.Request, opening: Opening, pages: AsyncIterator[Rows]
) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(_record(opening))
    async for page in pages:
        await response.write(_record(page))
    await response.write(bytes(4))
    await response.write_eof()
    return response


def _record(content: Opening | Rows) -> bytes:
    body = _encode(content)
    return len(body).to_bytes(4, "big") + body


class RemoteSnapshot:
    """Another registry's snapshot, as a `ledgers.icsd.snapshot.Source`."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[tuple[Opening, AsyncIterator[Rows]]]:
        """Raises LogUnreachable, Gone."""
        remote = self._remote
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_SECONDS)
        try:
            async with remote.session.get(
                remote.url + PATH, headers=remote.headers, timeout=timeout
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise problem(remote.url + PATH, response.status, await response.read())
                opening = msgspec.msgpack.decode(await _read(response.content), type=Opening)
                yield opening, _pages(response.content)
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise LogUnreachable(f"{remote.url}: {type(error).__name__}: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LogUnreachable(f"{remote.url}: not of the notation: {error}") from None


async def _pages(content: aiohttp.StreamReader) -> AsyncIterator[Rows]:
    while record := await _read(content):
        yield msgspec.msgpack.decode(record, type=Rows)


async def _read(content: aiohttp.StreamReader) -> bytes:
    length = int.from_bytes(await content.readexactly(4), "big")
    if length > RECORD_MAX:
        raise LogUnreachable(f"a record of {length} bytes is no part of a snapshot")
    return await content.readexactly(length)


class RemoteChain:
    """Another registry's ordinary chain, as a `ledgers.icsd.snapshot.Confirming`."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def chain(self, after: int) -> list[Stood]:
        """Raises LogUnreachable, Gone."""
        body = await self._remote.body(f"/v1/blocks?after={after}&limit=2")
        try:
            told = msgspec.json.decode(body, type=list[BlockJson])
            return [
                Stood(
                    height=int(each.header["height"]),
                    hash=bytes.fromhex(each.hash),
                    at=Instant(int(each.header["at"])),
                )
                for each in told
            ]
        except (msgspec.DecodeError, KeyError, ValueError) as error:
            raise LogUnreachable(f"{self._remote.url}: not of the notation: {error}") from None
