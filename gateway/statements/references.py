"""The references of what was posted: whose instruction it came from, as its sender knows it."""

from collections.abc import Sequence

import msgspec

from gateway import instructions
from gateway.fx_pairs import FxPair
from gateway.journal import QUERIES
from gateway.pairs import Pair
from gateway.sql import Pool
from ledgers.port import Fact
from protocols.iso20022.instruction import SettlementInstruction


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of one posting beside its quantity; None where nobody has instructed it."""

    own: str | None = None
    market: str | None = None
    counterparty_market: str | None = None
    common: str | None = None
    instruction: SettlementInstruction | None = None  # of securities
    amount: str | None = None  # as settled: the deliverer's


class References:
    """Looks them up for many postings at once."""

    def __init__(self, pool: Pool, member: str) -> None:
        self._pool = pool
        self._member = member

    async def of(self, facts: Sequence[Fact]) -> list[Reference]:
        """One for each fact, in their order."""
        ids = {fact.htlc.terms.settlement for fact in facts if fact.htlc is not None}
        rows = await self._pool.fetch(QUERIES["pairs_of_settlements"], list(ids)) if ids else ()
        pairs = {str(row["settlement"]): str(row["pair"]) for row in rows}
        known = await instructions.load_pairs(self._pool, list(set(pairs.values())))
        return [self._reference(fact, known.get(_pair_id(fact, pairs))) for fact in facts]

    def _reference(self, fact: Fact, pair: Pair | FxPair | None) -> Reference:
        if fact.htlc is None:
            return Reference()
        if pair is None or self._member not in pair.members:
            settlement = fact.htlc.terms.settlement.replace("-", "")
            return Reference(own=settlement, market=settlement)
        mine, other = next(
            (mine, other) for mine, other in pair.sides if mine.member == self._member
        )
        instruction = mine.instruction
        return Reference(
            own=instruction.transaction_id,
            market=mine.reference,
            counterparty_market=other.reference,
            common=instruction.common_id,
            instruction=instruction if isinstance(instruction, SettlementInstruction) else None,
            amount=pair.deliver.instruction.amount if isinstance(pair, Pair) else None,
        )


def _pair_id(fact: Fact, pairs: dict[str, str]) -> str:
    return "" if fact.htlc is None else pairs.get(fact.htlc.terms.settlement, "")
