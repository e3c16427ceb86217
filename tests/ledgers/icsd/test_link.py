"""A connection to the log at its end: whatever the transport is then, another one is made."""

import asyncio
from types import SimpleNamespace

import pytest

from ledgers.icsd.direct import Direct
from ledgers.icsd.link import Access, Link
from ledgers.icsd.stream import JetStreamLog

A = Access(name="A")


class Closed:
    """TLS of Python 3.11.2, closed and cut off before."""

    def abort(self) -> None:
        raise AttributeError("'NoneType' object has no attribute '_abort'")


async def test_a_link_that_is_cut_off_twice_is_lost_and_nothing_else() -> None:
    client = Direct()
    client._transport = SimpleNamespace(  # type: ignore[assignment]
        _io_writer=SimpleNamespace(transport=Closed()),
        close=lambda: None,
        wait_closed=lambda: asyncio.sleep(0),
    )
    link = Link(client, A)
    await link.close()
    assert link.lost.is_set()


async def test_an_error_of_ours_ends_the_process_not_only_the_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a registry would look alive for ever, and say that the log cannot be reached."""

    async def broken(*_: object) -> Link:
        raise ValueError("an error of ours")

    monkeypatch.setattr(Link, "open", broken)
    log = JetStreamLog(["nats://127.0.0.1:1"], A, "log")
    log._keeping = asyncio.create_task(log._keep_connected())
    await asyncio.wait({log._keeping})
    with pytest.raises(ValueError, match="of ours"):
        await log.info()
