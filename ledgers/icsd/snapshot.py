"""The book at one final height, given to a registry that joins, and checked by it.

It need not trust who gives it. Who the members are follows from the first ones (`client.Lineage`),
a quorum of them signed the block and its child, and the trees over the rows must have the state
root that was signed: one row too many, too few or altered, and it is not taken. What no signature
covers is where the ordinary chain stands (`Opening.chain`): others are asked (`confirm`).
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol

import asyncpg
import msgspec

from htlc.units import Duration, Instant
from ledgers.icsd import tables
from ledgers.icsd.block import carried
from ledgers.icsd.client import LightClient, Lineage
from ledgers.icsd.compare import Difference, Gone, Peer, compare, state_of, strays
from ledgers.icsd.entry import Certificate
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.light import Certified
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.past import TABLES
from ledgers.icsd.proof import certificate_hash, operations_root, results_root
from ledgers.icsd.rows import Place, Rows
from ledgers.icsd.start import Network
from ledgers.icsd.store import (
    QUERIES,
    Archived,
    Placed,
    encode_block,
    lineage_values,
    placed,
    read_head,
    read_lineage,
)
from ledgers.icsd.tree import ForgedProof

PAGE: Final = 2_000
"""Rows of a page: 0.2 MB, some milliseconds of the node that gives them."""

COPY_SECONDS: Final = 600.0
"""For the rows of one table: millions."""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What comes before the rows."""

    registry: RegistryId  # who gives it
    block: Placed  # final: the rows are as it left them
    child: Placed
    certificate: Certificate  # of the child
    place: Place
    lineage: Lineage
    chain: int  # height of the ordinary chain by then, its hash, and the cursor of its last posting
    chain_hash: bytes
    cursor: str


class Source(Protocol):
    """Another registry that gives a snapshot. Raises LogUnreachable, Gone."""

    def snapshot(self) -> AbstractAsyncContextManager[tuple[Opening, AsyncIterator[Rows]]]: ...


class Stood(msgspec.Struct, frozen=True, kw_only=True):
    """A block of the ordinary chain, as a registry tells it."""

    height: int
    hash: bytes
    at: Instant


class Confirming(Protocol):
    """Another registry that tells blocks of its ordinary chain. Raises LogUnreachable, Gone."""

    async def chain(self, after: int) -> Sequence[Stood]:
        """The next two blocks after a height, without their entries; fewer at the end."""
        ...


class JoinRefused(Exception):
    """The snapshot is not taken; the text says why."""


# --- who gives it --------------------------------------------------------------------------------


@asynccontextmanager
async def taken(
    pool: "asyncpg.Pool[asyncpg.Record]", registry: RegistryId
) -> AsyncIterator[tuple[Opening, AsyncIterator[Rows]]]:
    """The book as it stands, in one transaction that sees no later change. Raises Gone while
    nothing is final."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        opening = await _opening(connection, registry)
        yield opening, _pages(connection, opening.place)


async def _opening(connection: Any, registry: RegistryId) -> Opening:
    head = read_head(await connection.fetchrow(QUERIES["head"]))
    if head.final == 0:
        raise Gone("nothing is final yet: there is no snapshot; read the log from its beginning")
    found = await connection.fetch(QUERIES["read_archive"], head.final - 1, 2, 1 << 62)
    block, child = map(placed, found)
    [certificate] = await connection.fetch(QUERIES["read_certificates"], [head.final + 1])
    cursor = await connection.fetchval(QUERIES["read_chain_end"])
    return Opening(
        registry=registry,
        block=block,
        child=child,
        certificate=msgspec.msgpack.decode(certificate["body"], type=Certificate),
        place=head.place,
        lineage=await read_lineage(connection),
        chain=head.chain,
        chain_hash=head.chain_hash,
        cursor=cursor or head.base_cursor,
    )


async def _pages(connection: Any, place: Place) -> AsyncIterator[Rows]:
    for table in tables.TABLES:
        cursor = await connection.cursor(QUERIES[f"load_{table}"])
        while found := await cursor.fetch(PAGE):
            yield tables.book(place, {name: () for name in tables.TABLES} | {table: found})


# --- who takes it --------------------------------------------------------------------------------


async def join(
    network: Network,
    pool: "asyncpg.Pool[asyncpg.Record]",
    source: Source,
    peer: Peer,
    confirming: Sequence[Confirming] = (),
) -> Opening:
    """Take a registry's snapshot into an empty database; the node can then be started, or read the
    blocks after it from an archive (`rebuild`). Raises JoinRefused, ForgedProof, Gone,
    LogUnreachable."""
    async with source.snapshot() as (opening, pages):
        rows = await gathered(opening.place, pages)
    await check(network, opening, rows, peer)
    for other in confirming:
        await confirm(opening, other)
    await enter(pool, opening, rows)
    return opening


async def gathered(place: Place, pages: AsyncIterator[Rows]) -> Rows:
    """All rows."""
    whole = Rows(place=place)
    async for page in pages:
        for table in TABLES:
            getattr(whole, table).update(getattr(page, table))
    return whole


async def check(network: Network, opening: Opening, rows: Rows, peer: Peer) -> None:
    """That the rows are the book that a quorum signed. Raises ForgedProof; JoinRefused, naming the
    rows that are wrong, as far as `peer` (who gave them) shows the trees."""
    members = LightClient(network.network, network.epoch, Duration(0))
    members.follow_all(opening.lineage)
    certified = _check_blocks(opening, members)
    extra = list(strays(rows, lambda table, key: getattr(rows, table).get(key)))
    if state_of(rows).root == certified.certificate.statement.state and not extra:
        return
    raise JoinRefused(await _what_differs(rows, peer, opening, members))


def _check_blocks(opening: Opening, members: LightClient) -> Certified:
    block, child = opening.block.block, opening.child.block
    carries = carried(child.cut)
    if carries is None:
        raise ForgedProof("the child carries no certificate")
    shown = Certified(header=block.header, certificate=carries)
    members.check_final(shown, Certified(header=child.header, certificate=opening.certificate))
    _check_archived(block, carries)
    _check_archived(child, opening.certificate)
    place, header = opening.place, block.header
    if (place.height, place.head, place.at) != (header.height, header.hash, header.at):
        raise ForgedProof("the place in the chain is not the certified block's")
    return shown


def _check_archived(archived: Archived, certificate: Certificate) -> None:
    """That a block as it is kept is the one that was certified: we shall hand it on."""
    results = [result for outcome in archived.outcomes for result in outcome.results]
    told = (
        archived.statement,
        operations_root(archived.messages),
        results_root(results),
        certificate_hash(carried(archived.cut)),
    )
    statement, header = certificate.statement, archived.header
    if told != (statement, header.operations, statement.results, header.certificate):
        raise ForgedProof(f"block {header.height} is not as it was certified")


async def _what_differs(rows: Rows, peer: Peer, opening: Opening, members: LightClient) -> str:
    height = opening.place.height
    begins = f"the snapshot is not the book that was certified at height {height}"
    try:
        found = await compare(rows, peer, height, members)
    except (ForgedProof, Gone, LogUnreachable) as error:
        return f"{begins}, and where is not shown: {error}"
    return f"{begins}: {_told(found.differences)}"


def _told(differences: Iterable[Difference]) -> str:
    told = [str(each) for each in differences]
    more = f"; and {len(told) - 5} more" if len(told) > 5 else ""
    return "; ".join(told[:5]) + more


async def confirm(opening: Opening, other: Confirming) -> None:
    """That the ordinary chain stands where another registry has it, too: no signature covers that.
    Raises JoinRefused, LogUnreachable, Gone."""
    found = {block.height: block for block in await other.chain(max(0, opening.chain - 1))}
    last, after = found.get(opening.chain), found.get(opening.chain + 1)
    if opening.chain and last is None:
        raise LogUnreachable(f"who is to confirm has not block {opening.chain} of its chain yet")
    is_same = last is None or last.hash == opening.chain_hash
    is_last = last is None or last.at <= opening.place.at
    is_next = after is None or after.at >= opening.place.at
    if not (is_same and is_last and is_next):
        raise JoinRefused(
            f"the ordinary chain of {opening.registry} does not stand at block {opening.chain} "
            f"after block {opening.place.height}, as another registry has it"
        )


async def enter(pool: "asyncpg.Pool[asyncpg.Record]", opening: Opening, rows: Rows) -> None:
    """Write the book into an empty database, all or nothing. Raises JoinRefused."""
    block, child = opening.block, opening.child
    values = (
        *(child.block.header.height, block.block.header.height, child.log, child.position),
        *(opening.chain, opening.chain_hash, msgspec.msgpack.encode(opening.place)),
        *(opening.place.at, opening.cursor),
    )
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        if await connection.execute(QUERIES["enter_snapshot"], *values) != "UPDATE 1":
            raise JoinRefused(
                "this database has a history of its own: a snapshot goes into an empty one"
            )
        for table, found in zip(tables.TABLES, tables.book_values(rows), strict=True):
            await connection.copy_records_to_table(table, records=found, timeout=COPY_SECONDS)
        await _put_history(connection, opening)


async def _put_history(connection: Any, opening: Opening) -> None:
    """The blocks at which the archive begins, and how the members came to be."""
    for each in (opening.block, opening.child):
        header = each.block.header
        values = header.height, header.hash, encode_block(each.block), each.log, each.position
        await connection.execute(QUERIES["put_archived"], *values)
    carries = carried(opening.child.block.cut)
    for certificate in (carries, opening.certificate):
        assert certificate is not None, "it was checked"
        height = certificate.statement.height
        body = msgspec.msgpack.encode(certificate)
        await connection.execute(QUERIES["put_certificate"], height, body)
    for decided in opening.lineage.decided:
        await connection.execute(QUERIES["put_lineage"], *lineage_values(decided))
    for begun in opening.lineage.begun:
        if begun.record.start <= opening.child.block.header.height:  # later ones are read anew
            number, body = begun.record.number, msgspec.msgpack.encode(begun)
            await connection.execute(QUERIES["put_begun"], number, body)
