"""Payment orders (pacs.009) that come in: rejected, or kept and told so (pacs.002 ACTC). One that a
pair has waited for settles it.
"""

from collections.abc import Callable, Sequence

import msgspec

from gateway import instructions, payments
from gateway.cash import Ordered, cash_legs
from gateway.fx_pairs import FxSide
from gateway.ids import new_id
from gateway.inbound import Arrival, related
from gateway.instructions import Named
from gateway.jobs import Begun, Done
from gateway.journal import QUERIES, Loaded, PendingPair, deliver
from gateway.pairs import notice
from gateway.resumption import Resumption
from gateway.sql import Connection
from htlc.settlement import Phase
from protocols.iso20022 import payment_rules
from protocols.iso20022.codes import PaymentReason
from protocols.iso20022.instruction import Movement
from protocols.iso20022.payment import PaymentOrder, PaymentStatus, TransactionStatus
from protocols.iso20022.rules import BusinessRefusal

_encoder = msgspec.json.Encoder()

Fitting = PendingPair | BusinessRefusal | None
"""What is found of an order: the pair that waits for it, why it does not fit, or no pair yet."""


class Orders:
    """Deals with pacs.009 inside the transaction of an intake."""

    def __init__(self, resumption: Resumption, now: Callable[[], int]) -> None:
        self._resumption = resumption
        self._now = now

    async def admit(
        self,
        connection: Connection,
        arrivals: Sequence[tuple[int, Arrival]],
        done: Sequence[Done],
    ) -> list[Begun]:
        """`intake.Admit`: an order may open the attempt of the pair that it pays."""
        openings: list[Begun] = []
        for n, arrival in arrivals:
            openings += await self._take(connection, n, arrival, done[n])
        return openings

    async def _take(
        self, connection: Connection, n: int, arrival: Arrival, done: Done
    ) -> list[Begun]:
        order = arrival.content
        assert isinstance(order, PaymentOrder), "dispatched by its family"
        about = related(arrival.enveloped.header)
        ordered = Ordered(id=new_id(), member=arrival.member, related=about, order=order)
        known = await instructions.named(connection, arrival.member, order)
        if known is not None:
            await instructions.keep_request(connection, known.side, arrival)
        fits: Fitting = arrival.refusal or await self._repeated(connection, ordered)
        if fits is None and known is not None:
            fits = await self._fits(connection, known, order)
        if isinstance(fits, BusinessRefusal):
            await deliver(connection, [payments.refused(ordered, fits, self._now())])
            return []
        await _store(connection, ordered, arrival.received_at)
        accepted = PaymentStatus(
            payment=order.references,
            status=TransactionStatus.ACCEPTED,
            market_tx=None if known is None else known.side.reference,
        )
        await deliver(connection, [notice(ordered, accepted, self._now())])
        if fits is None:
            return []
        pair = (await instructions.load_pairs(connection, [fits.pair]))[fits.pair]
        return await self._resumption.resume(connection, n, fits, pair, done)

    async def _repeated(self, connection: Connection, ordered: Ordered) -> BusinessRefusal | None:
        order = ordered.order
        if (late := payments.late(order, self._now())) is not None:
            return late
        if order.uetr is not None and await connection.fetchval(
            QUERIES["known_uetr"], ordered.member, order.uetr
        ):
            return _no(PaymentReason.DUPL, "PmtId/UETR", "a UETR names one payment, for ever")
        return None

    async def _fits(self, connection: Connection, known: Named, order: PaymentOrder) -> Fitting:
        """Whether an order pays this instruction, and where that stands."""
        if known.ended:
            return _no(PaymentReason.NARR, "PmtId", "the instruction is refused or cancelled")
        if known.pair is None:
            wrong = _alone(known, order)
            return wrong or await self._ordered_before(connection, known)
        pair = (await instructions.load_pairs(connection, [known.pair]))[known.pair]
        leg = next((leg for leg in cash_legs(pair) if leg.payer.id == known.side.id), None)
        if leg is None:
            return _NOT_PAYER
        wrong = payments.other(order, leg, pair) or await self._ordered_before(connection, known)
        if wrong is not None:
            return wrong
        waits = await self._resumption.waits(connection, known.pair)
        if isinstance(waits, Loaded):
            settled = waits.state.phase is Phase.SETTLED
            rule = "it is paid" if settled else "it is being paid"
            return _no(PaymentReason.DUPL, "PmtId", rule)
        return waits or _no(PaymentReason.NARR, "PmtId", "send it again")

    async def _ordered_before(self, connection: Connection, known: Named) -> BusinessRefusal | None:
        if not await payments.find(connection, [known.side]):
            return None
        return _no(PaymentReason.DUPL, "PmtId", "the instruction has a payment order that stands")


def _alone(known: Named, order: PaymentOrder) -> BusinessRefusal | None:
    """Held against the instruction itself, while it has no counterpart."""
    side = known.side
    if isinstance(side, FxSide):
        trade = side.instruction
        amount, currency, creditor = trade.sells.amount, trade.sells.currency, trade.counterparty
    elif side.instruction.movement is Movement.DELI:
        return _NOT_PAYER
    else:
        plain = side.instruction
        amount, currency = plain.amount or "", plain.currency or ""
        creditor = plain.delivering.party1
    # Whatever amount within the tolerance will be the matched one is not known yet.
    amounts = frozenset({amount}) if isinstance(side, FxSide) else frozenset({amount, order.amount})
    return payment_rules.mismatch(order, amounts=amounts, currency=currency, creditor=creditor)


def _no(code: PaymentReason, field: str, rule: str) -> BusinessRefusal:
    return BusinessRefusal(code=code, field=f"/Document/FICdtTrf/CdtTrfTxInf/{field}", rule=rule)


_NOT_PAYER = _no(PaymentReason.RC03, "Dbtr", "the instruction is paid by its counterparty")


async def _store(connection: Connection, ordered: Ordered, received_at: int) -> None:
    order = ordered.order
    await connection.execute(
        QUERIES["store_payment"],
        ordered.id,
        ordered.member,
        ordered.related.business_message_id,
        received_at,
        order.instruction_id,
        order.end_to_end_id,
        order.uetr,
        order.swap_id,
        ordered.related.stored,
        _encoder.encode(order).decode(),
    )
