"""Instructions in the store: what is known of a batch, and what is kept of it."""

from collections.abc import Sequence
from datetime import date

import msgspec

from gateway import fx_trades
from gateway.admission import Admission, InstructionRow, Known, Waiting
from gateway.fx_pairs import FxPair, FxSide
from gateway.inbound import NEAR_MAX, Arrival, related
from gateway.journal import QUERIES
from gateway.pairs import Pair, Side
from gateway.sql import Connection, Executor, Record
from htlc.units import SettlementId
from protocols.iso20022 import inbound
from protocols.iso20022.header import related_of
from protocols.iso20022.instruction import SettlementInstruction
from protocols.iso20022.payment import NO_REFERENCE, PaymentOrder
from protocols.matching import MatchKeys

_encoder = msgspec.json.Encoder()


async def known(
    connection: Connection, arrivals: Sequence[Arrival], keys: Sequence[MatchKeys]
) -> Known:
    """What the store knows about these arrivals, each with its match keys."""
    references = await connection.fetch(
        QUERIES["known_references"],
        [arrival.member for arrival in arrivals],
        [arrival.instruction.transaction_id for arrival in arrivals],
    )
    waiting = await connection.fetch(
        QUERIES["candidates"],
        [key.a for key in keys],
        [key.b for key in keys],
        [arrival.member for arrival in arrivals],
        NEAR_MAX,
    )
    used = frozenset((row["member"], row["transaction_id"]) for row in references)
    return Known(
        references=used,
        links=("", "") in used,
        waiting=tuple(
            Waiting(
                side=_side(row),
                entered_at=row["entered_at"],
                keys=MatchKeys(a=row["key_a"], b=row["key_b"]),
                advised=row["advised"],
                alleged=row["alleged"],
            )
            for row in waiting
        ),
    )


_instruction = msgspec.json.Decoder(SettlementInstruction)


def _side(row: Record) -> Side:
    return Side(
        id=str(row["instruction"]),
        member=row["member"],
        related=related_of(row["header"]),
        instruction=_instruction.decode(row["content"]),
        entered_at=row["entered_at"],
    )


def _any_side(row: Record) -> Side | FxSide:
    return fx_trades.side(row) if _is_fx(row) else _side(row)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A securities instruction and where it stands."""

    side: Side
    pair: str | None
    ended: bool
    cancelled: bool
    alleged: bool


async def find(connection: Connection, member: str, transaction_id: str) -> Found | None:
    """The securities instruction that a member knows by this reference."""
    row = await connection.fetchrow(QUERIES["find_instruction"], member, transaction_id)
    if row is None or _is_fx(row):
        return None
    return Found(
        side=_side(row),
        pair=str(row["pair"]) if row["pair"] else None,
        ended=row["ended"],
        cancelled=row["cancelled"],
        alleged=row["alleged"],
    )


class FoundTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign exchange trade and where it stands."""

    side: FxSide
    pair: str | None
    ended: bool
    cancelled: bool


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction or a trade that a payment order names."""

    side: Side | FxSide
    pair: str | None
    ended: bool


async def named(connection: Connection, member: str, order: PaymentOrder) -> Named | None:
    """The instruction of the member that its payment order names."""
    row = await connection.fetchrow(
        QUERIES["named_instruction"],
        member,
        [id for id in (order.instruction_id, order.end_to_end_id) if id is not None],
        None if order.end_to_end_id == NO_REFERENCE else order.end_to_end_id,
        order.swap_id,
    )
    if row is None:
        return None
    return Named(
        side=_any_side(row),
        pair=str(row["pair"]) if row["pair"] else None,
        ended=row["ended"],
    )


async def find_trade(connection: Connection, member: str, transaction_id: str) -> FoundTrade | None:
    """The foreign exchange trade that a member knows by this reference."""
    row = await connection.fetchrow(QUERIES["find_instruction"], member, transaction_id)
    if row is None or not _is_fx(row):
        return None
    return FoundTrade(
        side=fx_trades.side(row),
        pair=str(row["pair"]) if row["pair"] else None,
        ended=row["ended"],
        cancelled=row["cancelled"],
    )


def _is_fx(row: Record) -> bool:
    return inbound.family(related_of(row["header"]).definition) == "fxtr.014"


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
    both = [_side(row) for row in rows]
    return Pair(
        id=id,
        deliver=next(side for side in both if side.instruction.movement == "DELI"),
        receive=next(side for side in both if side.instruction.movement == "RECE"),
    )


async def keep_request(connection: Connection, side: Side | FxSide, arrival: Arrival) -> None:
    """Note that a message was about this instruction."""
    header = arrival.enveloped.header
    about = related(header).stored
    await connection.execute(QUERIES["store_request"], side.id, header.business_message_id, about)


async def allege(connection: Connection, before: int, most: int) -> list[Side]:
    """Note as alleged what came before an instant, oldest first, and is without a counterpart."""
    rows = await connection.fetch(QUERIES["allege"], before, most)
    return [_side(row) for row in rows]


class Unmatched(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a counterpart, and when it was last told something new."""

    side: Side | FxSide
    alleged: bool
    changed_at: int


async def unmatched(pool: Executor, before: date, after: str, most: int) -> list[Unmatched]:
    """A page of what waits for a counterpart, its date and its last status being before a day;
    `after` is the id of the last one of the page before."""
    return list(map(_unmatched, await pool.fetch(QUERIES["unmatched"], before, after, most)))


async def still_unmatched(connection: Connection, ids: Sequence[str]) -> list[Unmatched]:
    """Of these instructions, those that wait for a counterpart."""
    return list(map(_unmatched, await connection.fetch(QUERIES["still_unmatched"], list(ids))))


def _unmatched(row: Record) -> Unmatched:
    return Unmatched(side=_any_side(row), alleged=row["alleged"], changed_at=row["changed_at"])


async def hold(connection: Connection, side: Side, held: bool) -> None:
    """Note that an instruction is held by its party, or is no more. What it said when it came is
    in `inbound`."""
    now = msgspec.structs.replace(side.instruction, hold=held)
    await connection.execute(QUERIES["hold_instruction"], side.id, _encoder.encode(now).decode())


async def known_digests(
    executor: Executor, ids: Sequence[SettlementId]
) -> dict[SettlementId, bytes]:
    """The digests of settlements that exist; empty for one that came from messages."""
    rows = await executor.fetch(QUERIES["known_settlements"], list(ids))
    return {SettlementId(str(row["settlement"])): row["digest"] or b"" for row in rows}


async def store(connection: Connection, admission: Admission) -> None:
    """Keep the instructions of a batch, and what became of earlier ones."""
    rows = list(admission.rows())
    if rows:
        await _store_instructions(connection, rows)
    updates = list(admission.updates())
    if updates:
        await connection.execute(
            QUERIES["update_instructions"],
            *zip(*updates, strict=True),
        )


async def _store_instructions(connection: Connection, rows: Sequence[InstructionRow]) -> None:
    await connection.execute(
        QUERIES["store_instructions"],
        [row.side.id for row in rows],
        [row.arrival.member for row in rows],
        [row.arrival.instruction.transaction_id for row in rows],
        [row.arrival.message_id for row in rows],
        [row.arrival.received_at for row in rows],
        [row.keys.a for row in rows],
        [row.keys.b for row in rows],
        [row.pair for row in rows],
        [row.ended for row in rows],
        [row.advised for row in rows],
        [row.side.related.stored for row in rows],
        [_encoder.encode(row.side.instruction).decode() for row in rows],
    )
