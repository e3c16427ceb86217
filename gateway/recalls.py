"""Recalls of payment orders (camt.056): taken back while nothing is locked for them, else refused.

From the first lock of an attempt until its end the money is spoken for: neither side of a matched
trade gets out of it alone. Both may cancel the trade before it is decided (sese.020). What is
settled is given back by a new payment only. Every recall gets one answer (camt.029).
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from gateway import instructions
from gateway.inbound import Arrival, related
from gateway.instructions import Named
from gateway.jobs import Begun, Done
from gateway.journal import QUERIES, PendingPair, deliver
from gateway.pairs import notice_to
from gateway.resumption import Resumption
from gateway.sql import Connection, Record
from htlc.settlement import Phase
from protocols.iso20022.codes import RecallReason
from protocols.iso20022.payment import (
    PaymentOrder,
    PaymentRecall,
    PaymentReferences,
    RecallAnswer,
    Recalling,
)

_order = msgspec.json.Decoder(PaymentOrder)

NOWHERE: Final = "there is no such payment order; what a power of attorney pays is not recalled"
OVER: Final = {
    "SETTLED": "it is settled, finally; what is given back is a new payment",
    "REJECTED": "it was rejected before (pacs.002)",
    "RECALLED": "it was given back before",
}
LOCKING: Final = "its money is being locked; both sides may cancel the trade before it is decided"
AGAIN: Final = "it changes at this moment; ask again"

No = tuple[RecallReason, str]
"""Why a payment is not given back: code, text."""


class Recalls:
    """Deals with camt.056 inside the transaction of an intake."""

    def __init__(self, resumption: Resumption, now: Callable[[], int]) -> None:
        self._resumption = resumption
        self._now = now

    async def admit(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> list[Begun]:
        """`intake.Admit`: nothing is opened by a recall."""
        for n, arrival in arrivals:
            asked = arrival.content
            assert isinstance(asked, PaymentRecall), "dispatched by its family"
            no = await self._recall(connection, arrival, asked, done[n])
            answer = RecallAnswer(
                payment=asked.payment,
                status=Recalling.REJECTED if no else Recalling.CANCELLED,
                code=no[0] if no else None,
                text=no[1] if no else None,
            )
            about = related(arrival.enveloped.header)
            await deliver(connection, [notice_to(arrival.member, answer, self._now(), about=about)])
        return []

    async def _recall(
        self, connection: Connection, arrival: Arrival, asked: PaymentRecall, done: Done
    ) -> No | None:
        if asked.unserved is not None:
            return RecallReason.NARR, asked.unserved
        row = await _find(connection, arrival.member, asked.payment)
        if row is None:
            return RecallReason.NOOR, NOWHERE
        known = await instructions.named(connection, arrival.member, _order.decode(row["content"]))
        if known is not None:
            await instructions.keep_request(connection, known.side, arrival)
        if row["state"] != "OPEN":
            return RecallReason.NARR, OVER[row["state"]]
        return await self._give_back(connection, row, known, done)

    async def _give_back(
        self, connection: Connection, row: Record, known: Named | None, done: Done
    ) -> No | None:
        waits: PendingPair | None = None
        if known is not None and known.pair is not None:
            found = await self._resumption.waits(connection, known.pair)
            if found is None:
                return RecallReason.NARR, AGAIN
            if not isinstance(found, PendingPair):
                settled = found.state.phase is Phase.SETTLED
                return RecallReason.NARR, OVER["SETTLED"] if settled else LOCKING
            waits = found
        await connection.execute(QUERIES["end_payments"], [row["payment"]], ["RECALLED"])
        if waits is not None:
            pair = (await instructions.load_pairs(connection, [waits.pair]))[waits.pair]
            await self._resumption.look(connection, waits, pair, done)
        return None


async def _find(connection: Connection, member: str, payment: PaymentReferences) -> Record | None:
    """The order that has every reference which the recall names; one at least is named."""
    ids = (payment.uetr, payment.end_to_end_id, payment.instruction_id, payment.message_id)
    if all(id is None for id in ids):
        return None
    return await connection.fetchrow(QUERIES["recalled_payment"], member, *ids)
