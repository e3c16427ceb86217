"""The database of a registry node: what is durable before anything is said to others.

One `Step` is everything that the node has decided since the last one: blocks it has applied, votes
it is about to tell, certificates it has counted, and of each block that has become final the rows
of the book and the postings of the ordinary chain. It is written in one statement. Blocks that are
not final yet are archived only; after a restart they are applied again to the book as it stands.

The head counts the steps. A process that did not see the last one cannot write, so of two processes
that are started with one registry's key and database only one can vote; the other is `Fenced`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from htlc.units import Instant, LedgerId
from ledgers import rows
from ledgers.block import GENESIS
from ledgers.books import Position
from ledgers.icsd import tables
from ledgers.icsd.block import Block, Outcome
from ledgers.icsd.client import Decided, Lineage
from ledgers.icsd.entry import NOTHING, Certificate, Signed, Statement, pack
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import Evidence, Header
from ledgers.icsd.recovery import Begun
from ledgers.icsd.rows import Place, Rows
from ledgers.icsd.tables import Sealed
from ledgers.migrate import migrate
from ledgers.queries import named_queries
from ledgers.reading import LOST, is_our_own_error

MIGRATIONS: Final = Path(__file__).parent / "migrations"
QUERIES: Final = named_queries(Path(__file__).parent / "queries.sql")

PAUSE_SECONDS: Final = 0.05
"""Before the first new try when the database is away; doubles with each, up to the longest."""

PAUSE_SECONDS_MAX: Final = 2.0
"""A registry that waits longer than this to find its database back would hold up the others'
finality for no reason."""

BOOK: Final = slice(15, 15 + len(tables.TABLES))
"""Where the rows of the book stand among the parameters of `write_step`."""

Value = TypeVar("Value")


class Fenced(Exception):
    """Another process has written to this registry's database: this one must end."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the database stands."""

    step: int = 0
    height: int = 0  # of the last block archived
    final: int = 0  # of the last block whose rows are in the book
    place: Place  # the same, as the book has it
    log: int = 1  # the log that `position` counts in: the epoch that began it
    position: int = 0  # in the log, of the cut of the last block archived
    votes_above: int | None = None  # heights that it may vote at; not known: `returning`
    base: int = 0  # of the snapshot by which we joined: what is before it is not here
    base_at: Instant = Instant(0)  # ledger time of that block
    base_cursor: str = ""  # of the last posting of the ordinary chain by then
    chain: int = 0  # height of the ordinary chain
    chain_hash: bytes = GENESIS


class Archived(msgspec.Struct, frozen=True, array_like=True):
    """A block as it is kept and given to others: from its messages and its cut everything else
    follows."""

    header: Header
    statement: Statement
    messages: tuple[bytes, ...]
    cut: bytes
    outcomes: tuple[Outcome, ...]


class Placed(msgspec.Struct, frozen=True, array_like=True):
    """An archived block and where it stands: what a registry that starts anew needs of another."""

    log: int  # the epoch that began the log
    position: int  # of its cut; its messages stand right before
    block: Archived


class Step(msgspec.Struct, kw_only=True):
    """What is written at once; `head` is as it stands afterwards."""

    head: Head
    blocks: Sequence[tuple[Block, int]] = ()  # applied, with the position of their cuts
    votes: Sequence[tuple[Statement, Signed]] = ()
    certificates: Sequence[Certificate] = ()
    evidence: Sequence[Evidence] = ()
    final: Sequence[Block] = ()  # oldest first
    sealed: Sequence[Sealed] = ()
    decided: Sequence[Decided] = ()  # changes of members that became final
    sent: int = 0  # own bundles up to this sequence are final
    bundle: tuple[int, bytes] | None = None  # the next own one, and its sequence


def head_after(head: Head, step: Step, votes_above: int | None) -> Head:
    """Where the database stands after the step."""
    changes: dict[str, object] = {"step": head.step + 1, "votes_above": votes_above}
    if step.blocks:
        block, position = step.blocks[-1]
        changes |= {"height": block.header.height, "position": position}
    if step.final:
        place = step.final[-1].changes.place
        changes |= {"final": place.height, "place": place}
    if step.sealed:
        last = step.sealed[-1].block
        changes |= {"chain": last.header.height, "chain_hash": last.hash}
    return msgspec.structs.replace(head, **changes)


_encode: Final = msgspec.msgpack.Encoder().encode
_blocks: Final = msgspec.msgpack.Decoder(Archived)
_certificates: Final = msgspec.msgpack.Decoder(Certificate)
_evidence: Final = msgspec.msgpack.Decoder(Evidence)
_begun: Final = msgspec.msgpack.Decoder(Begun)
_decided: Final = msgspec.msgpack.Decoder(Decided)
_places: Final = msgspec.msgpack.Decoder(Place)


def archived(block: Block) -> Archived:
    return Archived(block.header, block.statement, block.messages, block.cut, block.outcomes)


def encode_block(block: Archived) -> bytes:
    return _encode(block)


def decode_block(body: bytes) -> Archived:
    """Raises msgspec.DecodeError for what is no block: it may come from a peer."""
    return _blocks.decode(body)


async def prepare(
    pool: "asyncpg.Pool[asyncpg.Record]", network: LedgerId, registry: RegistryId, epoch: Epoch
) -> None:
    """Migrate the database and make sure that it is this registry's in this network, whose first
    members are those of `epoch`. Safe on every start."""
    place = Place(height=0, head=NOTHING, at=Instant(0), epoch=epoch, following=None)
    async with pool.acquire() as connection:
        await migrate(connection, MIGRATIONS)  # type: ignore[arg-type]  # a pool's proxy
        await connection.execute(QUERIES["create_head"], network, registry, _encode(place), GENESIS)
        row = await connection.fetchrow(QUERIES["head"])
    assert row is not None, "the head was created just now"
    if (row["network"], row["registry"]) != (network, registry):
        raise ValueError(
            f"this database is of registry {row['registry']!r} in network {row['network']!r}, "
            f"not of {registry!r} in {network!r}: give each registry a database of its own"
        )


class Store:
    """Reads and writes of one node; waits while the database is away. One task writes steps."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool
        self._kept: asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None = None
        self.waits = 0  # tries that found the database away

    async def head(self) -> Head:
        [row] = await self._fetch("head")
        return read_head(row)

    async def write(self, step: Step) -> None:
        """Make the step durable, however often the database goes away meanwhile. Raises Fenced."""
        query, values = _written(step)

        async def once() -> None:
            try:
                connection = await self._for_steps()
                if not step.decided:
                    await connection.execute(query, *values)
                    return
                async with connection.transaction():
                    await connection.execute(query, *values)
                    for each in step.decided:
                        await connection.execute(QUERIES["put_lineage"], *lineage_values(each))
            except (asyncpg.NotNullViolationError, asyncpg.UniqueViolationError) as error:
                # Either another process was here, or our own last try came through after all.
                if await self.head() != step.head:
                    raise Fenced(f"another process writes for this registry: {error}") from error
            except LOST:
                await self.rest()
                raise

        await self._persist(once)

    async def _for_steps(self) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
        """One connection for all steps: to take one and give it back costs half a step."""
        if self._kept is None:
            self._kept = await self.pool.acquire()
        return self._kept

    async def rest(self) -> None:
        """No step is written for now, or the connection is lost: the pool has it back."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await self.pool.release(kept)

    async def replace_bundle(self, sequence: int, signed: bytes) -> None:
        """The same entries, signed for another epoch."""
        await self._fetch("replace_bundle", sequence, signed)

    async def forget_bundles(self, after: int) -> None:
        """Their entries stand in earlier ones now."""
        await self._fetch("forget_bundles", after)

    async def outbox(self) -> list[bytes]:
        return [row["body"] for row in await self._fetch("load_outbox")]

    async def book(self, place: Place) -> Rows:
        """Every row of the book, as it stands at the final height of the head."""
        return tables.book(place, {n: await self._fetch(f"load_{n}") for n in tables.TABLES})

    async def put_book(self, head: Head, book: Rows, wrong: Sequence[tuple[str, Any]]) -> None:
        """Write rows as they must be, after those that are wrong (table and key) are gone."""
        step = Step(head=msgspec.structs.replace(head, step=head.step + 1))
        values = _values(step)
        values[BOOK] = tables.book_values(book)
        async with self.pool.acquire() as connection, connection.transaction():
            for table, key in wrong:
                columns = tables.KEYS[table]
                equal = " AND ".join(f"{c}::text = ${n}" for n, c in enumerate(columns, 1))
                one = key if isinstance(key, tuple) else (key,)
                await connection.execute(f"DELETE FROM {table} WHERE {equal}", *one)  # noqa: S608
            # A step writes new ones only.
            await connection.execute(
                "DELETE FROM operations WHERE id = ANY ($1)", list(book.operations)
            )
            await connection.execute(QUERIES["write_step"], *values)

    async def unfinal(self, final: int) -> list[tuple[Archived, int]]:
        """The blocks after `final`, with the positions of their cuts."""
        found = await self._fetch("load_unfinal", final)
        return [(decode_block(row["body"]), row["position"]) for row in found]

    async def blocks(self, after: int, limit: int) -> list[Archived]:
        found = await self._fetch("read_network_blocks", after, limit)
        return [decode_block(row["body"]) for row in found]

    async def archive(self, after: int, limit: int, bytes_max: int) -> list[Placed]:
        """Certified blocks after a height, for a registry that starts anew."""
        found = await self._fetch("read_archive", after, limit, bytes_max)
        return [placed(row) for row in found]

    async def begun(self) -> list[Begun]:
        """The epochs that people began, in their order."""
        return [_begun.decode(r["body"]) for r in await self._fetch("read_recoveries", "begun")]

    async def lineage(self) -> Lineage:
        """All that leads from the first members to those of today."""
        decided = [_decided.decode(row["body"]) for row in await self._fetch("read_lineage")]
        return Lineage(decided=tuple(decided), begun=tuple(await self.begun()))

    async def begin(self, begun: Begun) -> None:
        """Go on from the start of an epoch that people began, in its log."""
        record = begun.record
        certificate = None if record.certificate is None else _encode(record.certificate)
        await self._fetch("begin_epoch", record.start, record.number, _encode(begun), certificate)

    async def undo(self, height: int) -> None:
        """Take back the archived blocks from a height on: another one is certified there. None of
        them was final, so none is in the book."""
        head = await self.head()
        assert height > head.final, "a final block is never undone"
        kept = await self._fetch("place_of", height - 1)
        position = kept[0]["position"] if kept else 0
        await self._fetch("undo_blocks", height, position)

    async def said(self, kind: str) -> list[bytes]:
        """What this registry has said in recoveries: its "stop"s or "ballot"s."""
        return [row["body"] for row in await self._fetch("read_recoveries", kind)]

    async def votes(self, after: int) -> list[bytes]:
        """Own votes above a height, packed."""
        return [row["body"] for row in await self._fetch("load_votes", after)]

    async def certificates(self, heights: Sequence[int]) -> list[Certificate]:
        found = await self._fetch("read_certificates", list(heights))
        return [_certificates.decode(row["body"]) for row in found]

    async def last_certificate(self) -> Certificate | None:
        found = await self._fetch("last_certificate")
        return _certificates.decode(found[0]["body"]) if found else None

    async def evidence(self) -> list[Evidence]:
        return [_evidence.decode(row["body"]) for row in await self._fetch("read_evidence")]

    async def conservation(self) -> list[Position]:
        return [Position(**row) for row in await self._fetch("read_conservation")]

    async def release(self, above: int) -> bool:
        """Let a registry vote above a height that people vouch for. Not if it knows by itself."""
        return bool(await self._fetch("release", above))

    async def end(self, epoch: int, stop: bytes) -> bytes:
        """Vote in this epoch no more, whoever runs. What was said first comes back."""
        [row] = await self._fetch("end_epoch", epoch, stop)
        said: bytes = row["body"]
        return said

    async def agree(self, number: int, ballot: bytes) -> bytes:
        """Consent to an epoch, once per number: what was said first comes back."""
        [row] = await self._fetch("agree", "ballot", number, ballot)
        said: bytes = row["body"]
        return said

    async def _fetch(self, name: str, *values: Any) -> Sequence[rows.Row]:
        async def once() -> Any:
            return await self.pool.fetch(QUERIES[name], *values)

        found: Sequence[rows.Row] = await self._persist(once)
        return found

    async def _persist(self, once: Callable[[], Awaitable[Value]]) -> Value:
        pause = PAUSE_SECONDS
        while True:
            try:
                return await once()
            except LOST as error:
                if is_our_own_error(error):
                    raise
            self.waits += 1
            await self.pool.expire_connections()
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)


def read_head(row: rows.Row) -> Head:
    told = {name: row[name] for name in Head.__struct_fields__ if name != "place"}
    return Head(place=_places.decode(row["place"]), **told)


def placed(row: rows.Row) -> Placed:
    return Placed(row["log"], row["position"], decode_block(row["body"]))


async def read_lineage(connection: "asyncpg.Connection[asyncpg.Record]") -> Lineage:
    """As `Store.lineage`, in a transaction."""
    decided = await connection.fetch(QUERIES["read_lineage"])
    begun = await connection.fetch(QUERIES["read_recoveries"], "begun")
    return Lineage(
        decided=tuple(_decided.decode(row["body"]) for row in decided),
        begun=tuple(_begun.decode(row["body"]) for row in begun),
    )


def lineage_values(decided: Decided) -> tuple[int, bytes]:
    following = decided.shown.following
    assert following is not None, "a decision names who comes next"
    return following.number, _encode(decided)


def _written(step: Step) -> tuple[str, list[Any]]:
    """The statement that writes a step: the short one if nothing in the book becomes final."""
    if any(block.messages for block in step.final):
        return QUERIES["write_step"], _values(step)
    return QUERIES["write_said"], _said_values(step)


def _said_values(step: Step) -> list[Any]:
    """The parameters of `write_said`."""
    head = step.head
    return [
        *(head.step, head.height, head.final, head.log, head.position),
        *(head.chain, head.chain_hash, _encode(head.place), head.votes_above),
        [
            (b.header.height, b.header.hash, encode_block(archived(b)), head.log, position)
            for b, position in step.blocks
        ],
        [(s.epoch, s.height, pack(signed)) for s, signed in step.votes],
        [(c.statement.height, _encode(c)) for c in step.certificates],
        [(e.registry, e.offence, e.epoch, e.place, _encode(e), None) for e in step.evidence],
        [] if step.bundle is None else [step.bundle],
    ]


def _values(step: Step) -> list[Any]:
    """The parameters of `write_step`."""
    changed = (
        tables.merged([block.changes for block in step.final])
        if step.final
        else Rows(place=step.head.place)
    )
    return [
        *_said_values(step),
        step.sent,
        *tables.book_values(changed),
        *tables.gone_mandates(changed),
        *tables.chain_values(step.sealed),
    ]
