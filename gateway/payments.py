"""Payment orders (pacs.009) that stand: tied to the instruction that they pay, used by its attempt.

A member with a power of attorney needs none: its matched instruction is enough. The pair of one
without waits for its order. An order names the instruction by its TxId (InstrId, EndToEndId), or by
the common reference or the swap's id; it may come first. It stands until the money has moved, a
ledger has refused it, it is recalled, or its instruction is cancelled; every end is told, once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from gateway.cash import CashLeg, Ordered, cash_legs
from gateway.journal import QUERIES, Notice, deliver
from gateway.pairs import MatchedPair, MatchedSide, Side, notice
from gateway.sql import Connection, Executor, Record
from htlc.units import Value
from protocols.iso20022 import lock_block, payment_rules
from protocols.iso20022.codes import PaymentReason
from protocols.iso20022.header import related_of
from protocols.iso20022.payment import (
    NO_REFERENCE,
    PaymentOrder,
    PaymentStatus,
    TransactionStatus,
)
from protocols.iso20022.rules import BusinessRefusal

_order = msgspec.json.Decoder(PaymentOrder)

CANCELLED = "the instruction that it pays is cancelled"


class Standing(Value, frozen=True, kw_only=True):
    """How the cash of a pair is paid: its orders by the payer's instruction, and the instructions
    whose order is missing."""

    orders: Mapping[str, Ordered] = {}
    unpaid: frozenset[str] = frozenset()


class Payments:
    """Finds the orders of pairs that are to be settled."""

    def __init__(self, attorney: Callable[[str], bool], now: Callable[[], int]) -> None:
        #: Whether a member has given the gateway a power of attorney for its payments.
        self._attorney = attorney
        self._now = now

    async def standing(
        self, connection: Connection, pairs: Sequence[MatchedPair], told: set[str]
    ) -> dict[str, Standing]:
        """The orders of these pairs. One that turns out to be another payment, or has waited beyond
        its time, is rejected now; `told` gets the members that hear of it."""
        legs = {pair.id: cash_legs(pair) for pair in pairs}
        payers = [leg.payer for mine in legs.values() for leg in mine]
        found = await find(connection, payers)
        of = {leg.payer.id: pair for pair in pairs for leg in legs[pair.id]}
        rejected = []
        for leg in (leg for mine in legs.values() for leg in mine if leg.payer.id in found):
            ordered = found[leg.payer.id]
            if (
                refusal := late(ordered.order, self._now())
                or other(ordered.order, leg, of[leg.payer.id])
            ) is None:
                continue
            del found[leg.payer.id]
            rejected.append((ordered, refusal))
        await self._reject(connection, rejected, told)
        return {id: self._standing(mine, found) for id, mine in legs.items()}

    def _standing(self, legs: Sequence[CashLeg], found: Mapping[str, Ordered]) -> Standing:
        payers = [leg.payer for leg in legs]
        return Standing(
            orders={side.id: found[side.id] for side in payers if side.id in found},
            unpaid=frozenset(
                side.id
                for side in payers
                if side.id not in found and not self._attorney(side.member)
            ),
        )

    async def _reject(
        self,
        connection: Connection,
        rejected: Sequence[tuple[Ordered, BusinessRefusal]],
        told: set[str],
    ) -> None:
        if not rejected:
            return
        await _end(connection, [ordered for ordered, _ in rejected], "REJECTED")
        notices = [refused(ordered, refusal, self._now()) for ordered, refusal in rejected]
        await deliver(connection, notices)
        told.update(item.member for item in notices)


async def use(connection: Connection, pair: MatchedPair, standing: Standing) -> None:
    """An attempt of the pair is opened with these orders: from now on they are its."""
    if not standing.orders:
        return
    ids = [ordered.id for ordered in standing.orders.values()]
    await connection.execute(QUERIES["use_payments"], ids, [pair.id] * len(ids))
    for side, ordered in standing.orders.items():
        await connection.execute(
            QUERIES["store_request"],
            side,
            ordered.related.business_message_id,
            ordered.related.stored,
        )


async def used(connection: Executor, pairs: Mapping[str, MatchedPair]) -> dict[str, Standing]:
    """How the attempts of these pairs are paid: by the open orders that they were opened with."""
    orders: dict[str, dict[str, Ordered]] = {id: {} for id in pairs}
    for row in await connection.fetch(QUERIES["used_payments"], list(pairs)) if pairs else ():
        id, ordered = str(row["pair"]), _ordered(row)
        payer = next(leg.payer for leg in cash_legs(pairs[id]) if leg.payer.member == row["member"])
        orders[id][payer.id] = ordered
    return {id: Standing(orders=found) for id, found in orders.items()}


async def reject_cancelled(
    connection: Connection, sides: Iterable[MatchedSide], now: int
) -> list[Notice]:
    """Instructions are cancelled: the orders that would have paid them are over."""
    found = await find(connection, list(sides))
    await _end(connection, list(found.values()), "REJECTED")
    refusal = BusinessRefusal(code=PaymentReason.NARR, field="", rule=CANCELLED)
    return [refused(ordered, refusal, now) for ordered in found.values()]


async def find(connection: Connection, sides: Sequence[MatchedSide]) -> dict[str, Ordered]:
    """The open orders of these instructions."""
    if not sides:
        return {}
    common = [side.instruction.common_id for side in sides]
    blocks = [side.instruction.lock for side in sides]
    rows = await connection.fetch(
        QUERIES["standing_payments"],
        [side.id for side in sides],
        [side.member for side in sides],
        [side.instruction.transaction_id for side in sides],
        [None if id == NO_REFERENCE else id for id in common],
        [None if block is None else block.swap_id for block in blocks],
    )
    return {str(row["instruction"]): _ordered(row) for row in rows}


async def _end(connection: Connection, orders: Sequence[Ordered], state: str) -> None:
    if orders:
        ids = [ordered.id for ordered in orders]
        await connection.execute(QUERIES["end_payments"], ids, [state] * len(ids))


def _ordered(row: Record) -> Ordered:
    return Ordered(
        id=str(row["payment"]),
        member=row["member"],
        related=related_of(row["header"]),
        order=_order.decode(row["content"]),
    )


def late(order: PaymentOrder, now: int) -> BusinessRefusal | None:
    if order.reject_at is None or order.reject_at > now:
        return None
    return BusinessRefusal(
        code=PaymentReason.TM01,
        field="/Document/FICdtTrf/CdtTrfTxInf/SttlmTmReq/RjctTm",
        rule="the payment was to be rejected if not made by then",
    )


def other(order: PaymentOrder, leg: CashLeg, pair: MatchedPair) -> BusinessRefusal | None:
    """Why an order is another payment than that of this leg, or speaks of other locks."""
    amounts = {leg.amount}
    if isinstance(leg.payer, Side) and leg.payer.instruction.amount is not None:
        amounts.add(leg.payer.instruction.amount)  # within the tolerance: both are agreed
    wrong = payment_rules.mismatch(
        order,
        amounts=frozenset(amounts),
        currency=leg.currency,
        creditor=leg.payee.member,
    )
    return wrong or _other_locks(order, pair)


def _other_locks(order: PaymentOrder, pair: MatchedPair) -> BusinessRefusal | None:
    """The terms of locks are repeated as they are, or not at all."""
    said = [side.instruction.lock for side, _ in pair.sides]
    agreed = {lock_block.terms(block) for block in said if block is not None}
    if order.lock is None or not agreed or lock_block.terms(order.lock) in agreed:
        return None
    return BusinessRefusal(
        code=PaymentReason.NARR,
        field="/Document/FICdtTrf/CdtTrfTxInf/SplmtryData/Envlp",
        rule="its lock terms are not those of the instruction (VALR)",
    )


def refused(ordered: Ordered, refusal: BusinessRefusal, now: int) -> Notice:
    """Why an order is not carried out, for good."""
    code = PaymentReason(refusal.code.value)
    text = f"{refusal.field}: {refusal.rule}" if refusal.field else refusal.rule
    status = PaymentStatus(
        payment=ordered.order.references,
        status=TransactionStatus.REJECTED,
        code=code,
        text=text.removeprefix("/Document/FICdtTrf/CdtTrfTxInf/"),
    )
    return notice(ordered, status, now)
