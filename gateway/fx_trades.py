"""Foreign exchange trades in the store, and their way through an intake's transaction.

They are kept beside the securities instructions: one table of business references, one of pairs.
"""

from collections.abc import Sequence

import msgspec

from gateway import waiting
from gateway.days import Days
from gateway.fx_admission import OpenTrade, TradeRow, Trades
from gateway.fx_pairs import FxPair, FxSide
from gateway.inbound import NEAR_MAX, Arrival
from gateway.journal import QUERIES, deliver
from gateway.sql import Connection, Record
from protocols import fx_matching
from protocols.iso20022.fx import FxTrade
from protocols.iso20022.header import related_of
from protocols.matching import MatchKeys

_encoder = msgspec.json.Encoder()
_trade = msgspec.json.Decoder(FxTrade)


def side(row: Record) -> FxSide:
    """One side as stored."""
    return FxSide(
        id=str(row["instruction"]),
        member=row["member"],
        related=related_of(row["header"]),
        instruction=_trade.decode(row["content"]),
        entered_at=row["entered_at"],
    )


async def known(connection: Connection, trades: Sequence[tuple[str, FxTrade]], now: int) -> Trades:
    """What the store knows about trades of these members."""
    references = await connection.fetch(
        QUERIES["known_references"],
        [member for member, _ in trades],
        [trade.transaction_id for _, trade in trades],
    )
    keys = [fx_matching.keys(trade) for _, trade in trades]
    waiting = await connection.fetch(
        QUERIES["candidates"],
        [key.a for key in keys],
        [key.b for key in keys],
        [member for member, _ in trades],
        NEAR_MAX,
    )
    return Trades(
        ((row["member"], row["transaction_id"]) for row in references),
        [
            OpenTrade(
                side=side(row),
                entered_at=row["entered_at"],
                keys=MatchKeys(a=row["key_a"], b=row["key_b"]),
                advised=row["advised"],
            )
            for row in waiting
        ],
        now,
    )


async def admit(
    connection: Connection, arrivals: Sequence[Arrival], now: int, days: Days
) -> tuple[Sequence[FxPair], set[str]]:
    """Take new trades, in order: the pairs that were found, and the members that were told."""
    contents = [
        (arrival.member, arrival.content)
        for arrival in arrivals
        if isinstance(arrival.content, FxTrade)
    ]
    trades = await known(connection, contents, now)
    for arrival in arrivals:
        trades.take(arrival)
    return await store(connection, trades, days)


async def amend(connection: Connection, amended: OpenTrade) -> None:
    """A trade that is not matched is another from now on."""
    await connection.execute(
        QUERIES["amend_instruction"],
        amended.side.id,
        amended.entered_at,
        amended.keys.a,
        amended.keys.b,
        amended.advised,
        _encoder.encode(amended.side.instruction).decode(),
    )


async def match(
    connection: Connection, trade: OpenTrade, now: int, days: Days
) -> tuple[Sequence[FxPair], set[str]]:
    """Look again for the counterpart of a trade that is stored; as `admit`."""
    trades = await known(connection, [(trade.side.member, trade.side.instruction)], now)
    trades.match(trade)
    return await store(connection, trades, days)


async def pair_up(
    connection: Connection, x: OpenTrade, y: OpenTrade, days: Days
) -> tuple[Sequence[FxPair], set[str]]:
    """Two stored trades that match, and shall have each other: no older one comes between."""
    trades = Trades((), [x], days.now())
    trades.match(y)
    assert len(trades.pairs) == 1, "they were compared"
    return await store(connection, trades, days)


async def store(
    connection: Connection, trades: Trades, days: Days
) -> tuple[Sequence[FxPair], set[str]]:
    """Keep what became of a batch, and tell it."""
    trades.tell(lambda pair: waiting.must_wait(pair, days, frozenset()))
    if rows := list(trades.rows()):
        await _store(connection, rows)
    if updates := list(trades.updates()):
        await connection.execute(
            QUERIES["update_instructions"],
            *zip(*updates, strict=True),
        )
    await deliver(connection, trades.notices)
    return trades.pairs, {notice.member for notice in trades.notices}


async def _store(connection: Connection, rows: Sequence[TradeRow]) -> None:
    await connection.execute(
        QUERIES["store_instructions"],
        [row.side.id for row in rows],
        [row.side.member for row in rows],
        [row.side.instruction.transaction_id for row in rows],
        [row.message_id for row in rows],
        [row.entered_at for row in rows],
        [row.keys.a for row in rows],
        [row.keys.b for row in rows],
        [row.pair for row in rows],
        [row.ended for row in rows],
        [row.advised for row in rows],
        [row.side.related.stored for row in rows],
        [_encoder.encode(row.side.instruction).decode() for row in rows],
    )
