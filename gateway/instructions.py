"""Instructions in the store: what is known of a batch, and what is kept of it."""

from collections.abc import Sequence

import msgspec

from gateway import fx_trades
from gateway.admission import Admission, InstructionRow, Known, Waiting, keys_of
from gateway.fx_pairs import FxPair, FxSide
from gateway.inbound import Arrival
from gateway.journal import QUERIES
from gateway.pairs import Pair, Side
from gateway.sql import Connection, Executor, Record
from protocols.iso20022 import inbound
from protocols.iso20022.header import Related
from protocols.iso20022.instruction import SettlementInstruction
from protocols.matching import MatchKeys

_encoder = msgspec.json.Encoder()


async def known(connection: Connection, arrivals: Sequence[Arrival]) -> Known:
    """What the store knows about these arrivals."""
    keys = keys_of(arrivals)
    references = await connection.fetch(
        QUERIES["known_references"],
        [arrival.member for arrival in arrivals],
        [arrival.instruction.transaction_id for arrival in arrivals],
    )
    waiting = await connection.fetch(
        QUERIES["candidates"], [key.a for key in keys], [key.b for key in keys]
    )
    return Known(
        references=frozenset((row["member"], row["transaction_id"]) for row in references),
        waiting=tuple(
            Waiting(
                side=_side(row["instruction"], row["member"], row["header"], row["content"]),
                entered_at=row["entered_at"],
                keys=MatchKeys(a=row["key_a"], b=row["key_b"]),
                advised=row["advised"],
            )
            for row in waiting
        ),
    )


_related = msgspec.json.Decoder(Related)
_instruction = msgspec.json.Decoder(SettlementInstruction)


def _side(id: object, member: str, header: str, content: str) -> Side:
    return Side(
        id=str(id),
        member=member,
        related=_related.decode(header),
        instruction=_instruction.decode(content),
    )


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction and where it stands."""

    side: Side | FxSide
    pair: str | None
    ended: bool
    cancelled: bool


async def find(connection: Connection, member: str, transaction_id: str) -> Found | None:
    """The instruction that a member knows by this reference."""
    row = await connection.fetchrow(QUERIES["find_instruction"], member, transaction_id)
    if row is None:
        return None
    return Found(
        side=_any_side(row),
        pair=str(row["pair"]) if row["pair"] else None,
        ended=row["ended"],
        cancelled=row["cancelled"],
    )


def _is_fx(row: Record) -> bool:
    return inbound.family(_related.decode(row["header"]).definition) == "fxtr.014"


def _any_side(row: Record) -> Side | FxSide:
    if _is_fx(row):
        return fx_trades.side(row)
    return _side(row["instruction"], row["member"], row["header"], row["content"])


async def load_pairs(pool: Executor, ids: Sequence[str]) -> dict[str, Pair | FxPair]:
    """Pairs with both their sides, as stored."""
    sides: dict[str, list[Record]] = {}
    for row in await pool.fetch(QUERIES["load_pairs"], list(ids)):
        sides.setdefault(str(row["pair"]), []).append(row)
    return {id: _pair(id, both) for id, both in sides.items()}


def _pair(id: str, rows: Sequence[Record]) -> Pair | FxPair:
    if _is_fx(rows[0]):
        x, y = (fx_trades.side(row) for row in rows)
        return FxPair.of(id, x, y)
    both = [_side(row["instruction"], row["member"], row["header"], row["content"]) for row in rows]
    return Pair(
        id=id,
        deliver=next(side for side in both if side.instruction.movement == "DELI"),
        receive=next(side for side in both if side.instruction.movement == "RECE"),
    )


async def known_digests(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """The digests of settlements that exist; empty for one that came from messages."""
    rows = await connection.fetch(QUERIES["known_settlements"], list(ids))
    return {str(row["settlement"]): row["digest"] or b"" for row in rows}


async def store(connection: Connection, admission: Admission) -> None:
    """Keep the instructions of a batch, and what became of earlier ones."""
    rows = list(admission.rows())
    if rows:
        await _store_instructions(connection, rows)
    updates = list(admission.updates())
    if updates:
        await connection.execute(
            QUERIES["update_instructions"], *(list(column) for column in zip(*updates, strict=True))
        )


async def _store_instructions(connection: Connection, rows: Sequence[InstructionRow]) -> None:
    await connection.execute(
        QUERIES["store_instructions"],
        [row.side.id for row in rows],
        [row.arrival.member for row in rows],
        [row.arrival.instruction.transaction_id for row in rows],
        [row.arrival.key[1] for row in rows],
        [row.arrival.received_at for row in rows],
        [row.keys.a for row in rows],
        [row.keys.b for row in rows],
        [row.pair for row in rows],
        [row.ended for row in rows],
        [row.advised for row in rows],
        [_encoder.encode(row.side.related).decode() for row in rows],
        [_encoder.encode(row.side.instruction).decode() for row in rows],
    )
