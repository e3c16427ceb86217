"""Amendment of a trade that is matched and not tried yet: both sides ask for the same (fxtr.015).

The first request waits for the counterparty's own; a side's next one takes the place of its last.
When two match each other, the pair of the trades as they were is parted and one of the trades as
amended takes its place, under a reference of its own: whoever still holds the old pair in memory, a
timer or another replica, finds that it waits no more. Without the second request the first does
nothing: the trade settles as it was matched.
"""

from collections.abc import Sequence

import msgspec

from gateway import fx_trades
from gateway.days import Days
from gateway.fx_admission import OpenTrade
from gateway.fx_pairs import FxPair, FxSide
from gateway.inbound import Arrival, related
from gateway.jobs import Done
from gateway.journal import QUERIES
from gateway.sql import Connection
from protocols import fx_matching
from protocols.iso20022.codes import UnmatchedReason
from protocols.iso20022.fx import FxAmendment
from protocols.iso20022.header import Related, related_of

_encoder = msgspec.json.Encoder()
_amendment = msgspec.json.Decoder(FxAmendment)


class Amended(msgspec.Struct, frozen=True, kw_only=True):
    """A side as it shall be, and the request that says so."""

    side: FxSide
    entered_at: int
    about: Related
    reason: str | None

    @property
    def open(self) -> OpenTrade:
        """The trade as one that is not matched, and was told that by the answer."""
        return OpenTrade(
            side=self.side,
            entered_at=self.entered_at,
            keys=fx_matching.keys(self.side.instruction),
            advised=UnmatchedReason.CMIS.value,
        )


def _amended(side: FxSide, asked: FxAmendment, entered_at: int, about: Related) -> Amended:
    return Amended(
        side=msgspec.structs.replace(side, instruction=asked.trade),
        entered_at=entered_at,
        about=about,
        reason=asked.reason,
    )


async def keep(
    connection: Connection, side: FxSide, asked: FxAmendment, arrival: Arrival
) -> Amended:
    """A side's request, which waits for the other one's."""
    about = related(arrival.enveloped.header)
    await connection.execute(
        QUERIES["keep_fx_amendment"],
        side.id,
        arrival.received_at,
        about.stored,
        _encoder.encode(asked).decode(),
    )
    return _amended(side, asked, arrival.received_at, about)


async def kept(connection: Connection, side: FxSide) -> Amended | None:
    """The request of a side that waits."""
    row = await connection.fetchrow(QUERIES["fx_amendment"], side.id)
    if row is None:
        return None
    about = related_of(row["header"])
    return _amended(side, _amendment.decode(row["content"]), row["entered_at"], about)


async def carry_out(
    connection: Connection, pair: FxPair, both: tuple[Amended, Amended], days: Days, done: Done
) -> Sequence[FxPair]:
    """The amended trades, which match, take the place of the pair: the new one."""
    await connection.execute(QUERIES["drop_pending"], [pair.id])
    await connection.execute(QUERIES["drop_fx_amendments"], [one.side.id for one in both])
    await connection.execute(QUERIES["part_pair"], pair.id)
    done.over.append(pair.id)
    for one in both:
        await fx_trades.amend(connection, one.open)
    found, members = await fx_trades.pair_up(connection, both[0].open, both[1].open, days)
    done.told.update(members)
    return found
