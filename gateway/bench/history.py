"""A long past, made from a short one: what some hundred settlements have really written, in every
table of the gateway and the ledgers, is copied with new ids until it is as many as wanted.

Blocks are sealed anew by the ledger's own code and key, so that the chain is one and `lockstep
audit` finds nothing. What copies share with their original are quantities, times, and the keys of
the locks. Nobody may use the system meanwhile.
"""

import asyncio
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from gateway.bench.copies import Names, Renaming, Rows
from gateway.bench.plan import Flow
from gateway.bench.system import System
from gateway.sql import Connection
from ledgers.block import Block, Seal
from ledgers.queries import named_queries

QUERIES: Final = named_queries(Path(__file__).with_name("history.sql"))

GATEWAY_TABLES: Final = (
    *("settlement", "party", "journal", "mailbox"),
    *("inbound", "instruction", "lock_advice"),
)
"""What a settled DvP leaves rows in, whether it came as JSON or as two instructions."""

CHUNK: Final = 8
"""Copies that are written in one transaction: some ten thousand rows of each table."""

_AT: Final = re.compile(rb'"at":"[0-9]+"')


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be copied: what a run has written since, and what it moved in all."""

    since: str  # an id before the first one of the run
    heights: Mapping[str, int]  # of each ledger then
    settled: int
    flows: tuple[Flow, ...]


class GatewayPast:
    """The gateway's rows of the run."""

    def __init__(self, rows: Mapping[str, tuple[tuple[str, ...], Rows]]) -> None:
        """`rows`: of each table the columns and the text."""
        self._rows = rows
        _, mailbox = rows["mailbox"]
        self._counts: dict[bytes, int] = {}
        for place in mailbox.places:
            if place.startswith(b"@"):
                member = place[1:].partition(b":")[0]
                self._counts[member] = self._counts.get(member, 0) + 1

    @classmethod
    async def of(cls, connection: Connection, since: str) -> "GatewayPast":
        return cls({name: await _taken(connection, name, since) for name in GATEWAY_TABLES})

    @property
    def places(self) -> set[bytes]:
        return set().union(*(rows.places for _, rows in self._rows.values()))

    async def write(
        self, connection: Connection, copies: Sequence[Names], last: dict[str, int]
    ) -> None:
        """Write copies; `last` is the number of each mailbox's last message, and is counted on."""
        numbered = []
        for names in copies:
            numbered.append({**names, **self._numbers(last)})
            for member, count in self._counts.items():
                last[member.decode()] += count
        async with connection.transaction():
            for table, (columns, rows) in self._rows.items():
                await _write(connection, table, columns, [rows.copy(n) for n in numbered])
            await connection.executemany(QUERIES["advance_mailbox"], list(last.items()))

    def _numbers(self, last: Mapping[str, int]) -> dict[bytes, bytes]:
        return {
            b"@%b:%d@" % (member, number): b"%d" % (last[member.decode()] + number)
            for member, count in self._counts.items()
            for number in range(1, count + 1)
        }


class LedgerPast:
    """A ledger's rows of the run, and its chain, which goes on from where it is."""

    def __init__(
        self,
        seal: Seal,
        rows: Mapping[str, tuple[tuple[str, ...], Rows]],
        blocks: Sequence[Sequence[Rows]],
        head: tuple[int, bytes],
        flows: Sequence[Flow],
    ) -> None:
        self._seal = seal
        self._rows = rows
        self._blocks = blocks
        self._flows = flows
        self.height, self._hash = head

    @classmethod
    async def of(cls, connection: Connection, seal: Seal, written: Written) -> "LedgerPast":
        height = written.heights[seal.ledger]
        head = await connection.fetchrow(QUERIES["last_block"])
        assert head is not None, "every ledger has a head"
        rows = {
            "contracts": await _taken(connection, "contracts", written.since, head["at"]),
            "movements": await _taken(connection, "movements", height),
        }
        blocks: dict[int, list[Rows]] = {}
        for row in await connection.fetch(QUERIES["leaves"], height):
            leaf = _AT.sub(b'"at":"%d"' % head["at"], row["leaf"])
            blocks.setdefault(row["block"], []).append(Rows(leaf))
        flows = [flow for flow in written.flows if flow.ledger == seal.ledger]
        return cls(seal, rows, list(blocks.values()), (head["height"], head["hash"]), flows)

    @property
    def places(self) -> set[bytes]:
        return set().union(*(rows.places for _, rows in self._rows.values()))

    async def write(self, connection: Connection, copies: Sequence[Names]) -> None:
        """Write copies: their contracts, their blocks behind the last one, and what they moved:
        whoever reconciles meanwhile finds books that agree."""
        before, numbered, blocks = self.height, [], []
        for names in copies:
            heights = {
                b"@height:%d@" % n: b"%d" % (self.height + n)
                for n in range(1, len(self._blocks) + 1)
            }
            numbered.append({**names, **heights})
            blocks += [self._sealed([leaf.copy(names) for leaf in block]) for block in self._blocks]
        async with connection.transaction():
            for table, (columns, rows) in self._rows.items():
                await _write(connection, table, columns, [rows.copy(n) for n in numbered])
            await write_blocks(connection, blocks, before)
            moved = [
                (flow.account, flow.asset, flow.quantity * len(copies)) for flow in self._flows
            ]
            await connection.executemany(QUERIES["move"], moved)

    def _sealed(self, leaves: Sequence[bytes]) -> Block:
        block = self._seal.block(self.height + 1, self._hash, leaves)
        self.height, self._hash = block.header.height, block.hash
        return block


async def write_blocks(connection: Connection, blocks: Sequence[Block], before: int) -> None:
    """Append blocks to the chain whose last one had the height `before`."""
    lines, postings = [], []
    for block in blocks:
        header = block.header
        fields = (header.previous, header.root, block.hash, block.signature)
        previous, root, own, signature = (b"\\\\x" + field.hex().encode() for field in fields)
        lines.append(
            b"%d\t%b\t%b\t%d\t%d\t%b\t%b\n"
            % (header.height, previous, root, header.count, header.at, own, signature)
        )
        for position, leaf in enumerate(block.leaves):
            assert b"\\" not in leaf, "names on a ledger are plain, so no character is escaped"
            postings.append(b"%d\t%d\t%b\n" % (header.height, position, leaf))
    columns = ("height", "previous", "root", "count", "at", "hash", "signature")
    await _write(connection, "blocks", columns, lines)
    await _write(connection, "postings", ("height", "position", "leaf"), postings)
    last = blocks[-1]
    done = await connection.execute(QUERIES["advance_head"], last.header.height, last.hash, before)
    assert done == "UPDATE 1", "nobody uses the ledger while its past is made"


async def multiply(system: System, written: Written, times: int) -> None:
    """Write what the run has written so many times again."""
    names = system.databases.ledgers
    seals = system.seals()
    gateway = await asyncpg.connect(system.databases.gateway)
    ledgers = {name: await asyncpg.connect(dsn) for name, dsn in names.items()}
    try:
        past = await GatewayPast.of(gateway, written.since)
        pasts = {
            name: await LedgerPast.of(connection, seals[name], written)
            for name, connection in ledgers.items()
        }
        contracts = [
            tuple(row)
            for connection in ledgers.values()
            for row in await connection.fetch(QUERIES["contract_ids"], written.since)
        ]
        places = past.places.union(*(its.places for its in pasts.values()))
        renaming = Renaming(places, contracts)
        last = {row["member"]: row["last"] for row in await gateway.fetch(QUERIES["mailbox_heads"])}
        for start in range(0, times, CHUNK):
            copies = [renaming.names() for _ in range(min(CHUNK, times - start))]
            await asyncio.gather(
                past.write(gateway, copies, last),
                *(its.write(ledgers[name], copies) for name, its in pasts.items()),
            )
    finally:
        for connection in (gateway, *ledgers.values()):
            await connection.close()


async def _taken(
    connection: Connection, query: str, *arguments: object
) -> tuple[tuple[str, ...], Rows]:
    """The columns and the text of what a query gives."""
    prepared = await connection.prepare(QUERIES[query])
    columns = tuple(attribute.name for attribute in prepared.get_attributes())
    text = io.BytesIO()
    await connection.copy_from_query(QUERIES[query], *arguments, output=text)
    return columns, Rows(text.getvalue())


async def _write(
    connection: Connection, table: str, columns: Sequence[str], text: Sequence[bytes]
) -> None:
    await connection.copy_to_table(table, source=io.BytesIO(b"".join(text)), columns=list(columns))
