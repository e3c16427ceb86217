"""Messages of a registry's members, in the database of its node; mailboxes are the gateway's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from gateway import journal
from gateway.ids import new_id
from gateway.journal import Notice, deliver
from gateway.sql import Pool
from ledgers.icsd.entry import Entry
from ledgers.queries import named_queries
from protocols.iso20022.advice import Outbound
from protocols.iso20022.header import Related
from protocols.iso20022.render import definition

QUERIES: Final = named_queries(Path(__file__).parent / "queries.sql")

_entries: Final = msgspec.msgpack.Decoder(Entry)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it is kept; `entry` is what it asks for, none where it was refused at once."""

    member: str  # pseudonym
    message: str  # BizMsgIdr
    id: str  # of what it asks for
    definition: str
    digest: bytes
    received_at: int  # UTC ns, by our clock
    raw: bytes
    entry: Entry | None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is not answered yet."""

    number: int
    member: str
    id: str
    raw: bytes
    received_at: int
    entry: Entry


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What came before under an identifier."""

    id: str
    digest: bytes
    received_at: int


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a member is told of its message."""

    member: str  # BIC
    related: Related
    at: int  # UTC ns, by our clock
    content: Outbound


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What is not answered yet."""

    count: int = 0
    oldest_at: int | None = None  # when it was received, UTC ns


class MessageStore:
    """Only one process writes to a registry's database (`ledgers.icsd.store`)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, members: Sequence[str]) -> None:
        """Every member has a mailbox."""
        await self._pool.execute(journal.QUERIES["ensure_mailboxes"], members)

    async def known(self, member: str, message: str) -> Known | None:
        row = await self._pool.fetchrow(QUERIES["known"], member, message)
        if row is None:
            return None
        return Known(id=str(row["id"]), digest=row["digest"], received_at=row["received_at"])

    async def keep(self, message: Message, told: Reply | None) -> bool:
        """Durable when it returns; with the answer of one that was refused at once. False if the
        identifier is known meanwhile."""
        m = message
        entry = None if m.entry is None else msgspec.msgpack.encode(m.entry)
        answered_at = None if told is None else told.at
        row = (m.member, m.message, m.id, m.definition, m.digest, m.received_at, m.raw)
        async with self._pool.acquire() as connection, connection.transaction():
            kept = await connection.fetchval(QUERIES["keep"], *row, entry, answered_at)
            if kept is not None and told is not None:
                await deliver(connection, [_notice(told)])
        return kept is not None

    async def waiting(self, limit: int) -> list[Waiting]:
        """The oldest that are not answered, in the order in which they came."""
        return [
            Waiting(
                number=row["number"],
                member=row["member"],
                id=str(row["id"]),
                raw=row["raw"],
                received_at=row["received_at"],
                entry=_entries.decode(row["entry"]),
            )
            for row in await self._pool.fetch(QUERIES["open"], limit)
        ]

    async def backlog(self) -> Backlog:
        row = await self._pool.fetchrow(QUERIES["backlog"])
        assert row is not None, "an aggregate"
        return Backlog(count=row["count"], oldest_at=row["oldest_at"])

    async def answer(self, replies: list[tuple[Waiting, Reply]]) -> None:
        """Put what was done into the mailboxes, each exactly once."""
        async with self._pool.acquire() as connection, connection.transaction():
            told = [
                _notice(reply)
                for waiting, reply in replies
                if await connection.fetchval(QUERIES["answered"], waiting.number, reply.at)
            ]
            await deliver(connection, told)


def _notice(told: Reply) -> Notice:
    return Notice(
        member=told.member,
        id=new_id(),
        definition=definition(told.content),
        related=msgspec.json.encode(told.related).decode(),
        created_at=told.at,
        settlement=None,
        content=msgspec.json.encode(told.content).decode(),
    )
