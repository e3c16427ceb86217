"""A custodian's system, whole and small: what it keeps, and in which order, so that no instruction
is lost, sent twice or acted on twice, whoever dies when.

    python -m gateway.demo.custodian --as ALSTDEF0XXX FILE…

sends the files and tells what becomes of them until each has come to its end. Stopped at any moment
and started again it goes on where it was. The three rules of it:

1. Send the same bytes until there is an answer: the gateway knows a message by its sender and its
   BizMsgIdr, and answers the second time as it did the first.
2. Keep what a message says together with its cursor, in one write; then acknowledge it.
3. Read on from the cursor that is kept. The last message may come again: its id tells.

Delivery by webhook follows the same rules (`receiver`): answering 2xx is the acknowledgement.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import click
import msgspec
from aiohttp import web

from gateway import statuses
from gateway.cli.terminal import Connection, connection_options, failing, run_async
from gateway.client import (
    ForgedDeliveryError,
    GatewayClient,
    GatewayUnreachableError,
    Outcome,
    ProblemError,
    Rejected,
    opened_delivery,
)
from gateway.http import wire

PAUSE_SECONDS_MAX: Final = 30.0
"""Between two attempts to send: a gateway is away for seconds, and then wanted at once."""


ABOUT_ONE: Final = ("sese.", "fxtr.017")
"""Messages that tell something of one instruction; statements and the like are read elsewhere."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the custodian knows of one of its instructions: the last that it was told."""

    told: str
    over: bool = False


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """The custodian's memory: how far its mailbox is read, and what was in it."""

    cursor: str | None = None
    last: str | None = None  # id of the message at the cursor
    instructions: dict[str, Known] = {}


class Book:
    """That memory in a file, replaced as a whole: after a crash it is the old one or the new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kept = Kept()
        if path.exists():
            self.kept = msgspec.json.decode(path.read_bytes(), type=Kept)

    def take(self, message: wire.Delivery) -> statuses.Told | None:
        """Keep what a message says, and its cursor with it; None if it was here before, or says
        nothing of an instruction."""
        if message.id == self.kept.last:
            return None
        about_one = message.xml is not None and message.definition.startswith(ABOUT_ONE)
        told = statuses.told(message.xml) if message.xml and about_one else None
        instructions = dict(self.kept.instructions)
        if told is not None and told.allegement is None:
            before = instructions.get(told.transaction_id)
            over = told.is_final or (before is not None and before.over)
            instructions[told.transaction_id] = Known(told=str(told), over=over)
        self._save(Kept(cursor=message.cursor, last=message.id, instructions=instructions))
        return told

    def _save(self, kept: Kept) -> None:
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(kept))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        self.kept = kept


async def instruct(gateway: GatewayClient, body: bytes) -> tuple[Outcome, ...]:
    """Send until there is an answer, however often the connection breaks."""
    pause = 0.5
    while True:
        try:
            return await gateway.send(body)
        except GatewayUnreachableError:
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)


async def attend(gateway: GatewayClient, book: Book, tell: Callable[[statuses.Told], None]) -> None:
    """Read the mailbox as it fills, for ever. Breaks of the connection are the client's affair."""
    async for message in gateway.follow(book.kept.cursor):
        told = book.take(message)
        if told is not None:
            tell(told)
        with contextlib.suppress(GatewayUnreachableError):  # the next one covers it
            await gateway.acknowledge(message.cursor)


def receiver(book: Book, secret: str, tell: Callable[[statuses.Told], None]) -> web.Application:
    """The same as a webhook's receiver: keep it, then answer 204."""

    async def take(request: web.Request) -> web.Response:
        try:
            message = opened_delivery(secret, request.headers, await request.read())
        except ForgedDeliveryError as error:
            return web.Response(status=401, text=str(error))
        told = book.take(message)
        if told is not None:
            tell(told)
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    return app


@click.command("custodian")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--book",
    "path",
    type=click.Path(path_type=Path),
    help="File of what is known and how far the mailbox is read. [default: MEMBER.book.json]",
)
@connection_options
@run_async
async def command(files: Sequence[Path], path: Path | None, connection: Connection) -> int:
    """Send instructions, and tell what becomes of all that are known, until each is over."""
    with failing(ProblemError):
        async with aiohttp.ClientSession() as session:
            gateway = GatewayClient(session, connection.url, connection.token)
            book = Book(path or Path(f"{connection.name}.book.json"))
            return await _day(gateway, book, [file.read_bytes() for file in files])


async def _day(gateway: GatewayClient, book: Book, bodies: Sequence[bytes]) -> int:
    sent = [outcome for body in bodies for outcome in await instruct(gateway, body)]
    for outcome in sent:
        if isinstance(outcome, Rejected):
            click.echo(f"{outcome.reference}: {outcome.code} {outcome.description}", err=True)
    taken = len(sent) - sum(isinstance(outcome, Rejected) for outcome in sent)
    over = asyncio.Event()

    def tell(told: statuses.Told) -> None:
        click.echo(f"{told.transaction_id}: {told}")
        known = book.kept.instructions.values()
        if len(known) >= taken and all(item.over for item in known):
            over.set()

    reading = asyncio.create_task(attend(gateway, book, tell))
    finished = asyncio.create_task(over.wait())
    await asyncio.wait({reading, finished}, return_when=asyncio.FIRST_COMPLETED)
    reading.cancel()
    finished.cancel()
    await asyncio.wait({reading, finished})
    if not reading.cancelled():
        reading.result()  # what ended it: it never does by itself
    return 0 if taken == len(sent) else 1


if __name__ == "__main__":
    raise SystemExit(command(standalone_mode=False))
