"""The stream that a log is: how it is made, and how a node makes sure of it before it trusts it."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec

from ledgers.icsd.entry import MESSAGE_MAX
from ledgers.icsd.link import Access, Link, LinkLostError
from ledgers.icsd.log import LogRefused, LogUnreachable
from ledgers.icsd.stream import Info, JetStreamLog

HEADERS_BYTES: Final = 1_024
"""The engine counts a message's headers (id, guard, stream: 250 bytes) into its size."""

DUPLICATE_WINDOW_SECONDS: Final = 120
"""For how long the engine remembers ids; longer than any append is tried."""

LOG_BYTES_MAX: Final = 16 << 30
"""Of a stream, if its operator says nothing: 40 million entries of 400 bytes. A full log takes no
more; it never forgets what it has."""

VERSION_MIN: Final = (2, 15)
"""Before it, `sync_interval: always` with replicas syncs every message by itself: 20 times slower,
which tempts people to switch it off."""

SECONDS: Final = 5.0
"""For one answer of the engine's administration, or of a monitor."""


def stream_name(epoch: int) -> str:
    """A log that is lost is followed by another, in the next epoch of the network."""
    return f"ORD_E{epoch}"


def configuration(name: str, *, replicas: int, bytes_max: int = LOG_BYTES_MAX) -> dict[str, Any]:
    """The stream as the engine is asked for it (`$JS.API.STREAM.CREATE`)."""
    return {
        "name": name,
        "subjects": ["ord.*"],
        "num_replicas": replicas,
        "storage": "file",
        "retention": "limits",
        "discard": "new",  # full is an error of its operator, never a reason to forget
        "max_age": 0,
        "max_bytes": bytes_max,
        "max_msg_size": MESSAGE_MAX + HEADERS_BYTES,
        "duplicate_window": DUPLICATE_WINDOW_SECONDS * 1_000_000_000,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "republish": {"src": "ord.*", "dest": "tail.{{wildcard(1)}}"},
    }


OPERATORS_OWN: Final = ("num_replicas", "max_bytes")
"""What may differ from what we would choose."""


ABSENT: Final = 10059
"""The engine's code for "stream not found"."""


async def create(servers: Sequence[str], access: Access, wanted: dict[str, Any]) -> None:
    """Make the stream, if it is not there. `access` is the log's administrator's. Raises
    LogUnreachable, LogRefused."""
    link = await _first_link(servers, access)
    try:
        # First a look: asked to create a stream that is there, the engine may find no room for a
        # second one.
        found = await _administer(link, f"STREAM.INFO.{wanted['name']}", b"")
        if found.error is None:
            _compare(wanted, found)
        elif found.error.err_code == ABSENT:
            request = f"STREAM.CREATE.{wanted['name']}"
            found = await _administer(link, request, msgspec.json.encode(wanted))
    finally:
        await link.close()
    if found.error is not None:
        text = f"stream {wanted['name']}: {found.error.description}"
        raise LogUnreachable(text) if found.error.code >= 500 else LogRefused(text)


async def _administer(link: Link, request: str, data: bytes) -> Info:
    replies = await link.ask(f"$JS.API.{request}", data, seconds=SECONDS)
    if not replies or not replies[0].data:
        raise LogUnreachable("the engine does not answer its administrator: no majority of servers")
    return msgspec.json.decode(replies[0].data, type=Info)


async def _first_link(servers: Sequence[str], access: Access) -> Link:
    why = ""
    for server in servers:
        try:
            return await Link.open(server, access, {})
        except LinkLostError as error:
            why = str(error)
    raise LogUnreachable(why)


async def self_test(log: JetStreamLog, name: str, monitors: Sequence[str]) -> None:
    """Make sure that the log keeps what it acknowledges. `monitors` are the HTTP addresses of the
    servers' monitoring. Raises LogRefused with what to mend, LogUnreachable."""
    version = await log.version()
    if _numbers(version) < VERSION_MIN:
        least = ".".join(map(str, VERSION_MIN))
        raise LogRefused(f"the log's server is NATS {version}; install {least} or later")
    _compare(configuration(name, replicas=1), await log.info())
    await _synchronous(monitors)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdecimal())


def _compare(wanted: dict[str, Any], info: Info) -> None:
    wrong = [
        f"{key} is {info.config.get(key)!r} and must be {value!r}"
        for key, value in wanted.items()
        if key not in OPERATORS_OWN and (info.config.get(key) or None) != (value or None)
    ]
    if wrong:
        raise LogRefused(f"stream {wanted['name']} is not set up as a log: {'; '.join(wrong)}")


async def _synchronous(monitors: Sequence[str]) -> None:
    """Whether every server that answers writes to its disk before it acknowledges."""
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        told = await asyncio.gather(*(_sync_always(session, monitor) for monitor in monitors))
    for monitor, always in zip(monitors, told, strict=True):
        if always is False:
            raise LogRefused(
                f"the log's server at {monitor} acknowledges before its disk has the message: set "
                "`sync_interval: always` in the jetstream block of its configuration"
            )
    if not any(told):
        raise LogUnreachable(f"none of the log's monitors answers: {', '.join(monitors) or 'none'}")


async def _sync_always(session: aiohttp.ClientSession, monitor: str) -> bool | None:
    """None if it does not answer."""
    try:
        async with session.get(f"{monitor.rstrip('/')}/jsz", params={"config": "true"}) as response:
            said = await response.json()
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None
    config = said.get("config") if isinstance(said, dict) else None
    return bool(config.get("sync_always")) if isinstance(config, dict) else None
