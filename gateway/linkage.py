"""Linked instructions: one settles after another one of the same member (`Lnkgs` of sese.023).

`AFTE`: this one settles after the one it names; `BEFO`: the one it names settles after this one.
Both name it by its TxId (`SctiesSttlmTxId`). A pair of which one side waits so is pending with LINK
until the other instruction is settled, or has ended otherwise, so that nothing is left to wait for.
One that is not known yet is waited for too; what never comes ends with the pair's own expiry.

`WITH` asks that both settle or none, which would be one settlement of two pairs: it is kept and
shown like `INFO`, and orders nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from gateway.journal import QUERIES
from gateway.pairs import MatchedPair, Pair
from gateway.sql import Connection
from protocols.iso20022.instruction import SettlementInstruction

_OWN: Final = "SctiesSttlmTxId"


def _links(member: str, instruction: SettlementInstruction) -> Iterator[tuple[str, str, str]]:
    """Who waits for whom, by TxId."""
    own = instruction.transaction_id
    for link in instruction.links:
        if link.kind != _OWN or link.reference == own:
            continue
        if link.position == "AFTE":
            yield member, own, link.reference
        elif link.position == "BEFO":
            yield member, link.reference, own


async def keep(connection: Connection, taken: Iterable[tuple[str, SettlementInstruction]]) -> bool:
    """Note the links of new instructions, each with its member; whether there were any."""
    rows = [row for member, instruction in taken for row in _links(member, instruction)]
    if rows:
        columns = zip(*rows, strict=True)
        await connection.execute(QUERIES["store_links"], *(list(column) for column in columns))
    return bool(rows)


async def waiting(connection: Connection, pairs: Sequence[MatchedPair]) -> frozenset[str]:
    """Of these pairs, those that wait for a linked instruction."""
    sides = {
        (side.member, side.instruction.transaction_id): pair.id
        for pair in pairs
        if isinstance(pair, Pair)
        for side, _ in pair.sides
    }
    if not sides:
        return frozenset()
    rows = await connection.fetch(
        QUERIES["open_links"], [member for member, _ in sides], [tx for _, tx in sides]
    )
    return frozenset(sides[row["member"], row["waits"]] for row in rows)
