"""Frozen settlements, and the two operators who say how the lost decision went (design rule 17).

After a restore a `two_key` settlement with every leg locked waits: COMMIT may have been recorded
and lost. Evidence is whatever survived outside (a log, a notice that a member still has, the
parties' word): each of two different operators states the decision and the evidence, and only if
both state the same does the journal take it. It is then irrevocable, and the risk is residual.
"""

from typing import Final

from gateway.directory import now_ns
from gateway.journal import QUERIES
from gateway.port import Resolution
from gateway.sql import Pool
from htlc.events import Decided, Decision, Reason
from htlc.settlement import Phase, Settlement
from htlc.units import SettlementId

OPERATORS_NEEDED: Final = 2


class Resolutions:
    """What operators have said."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def said(self, id: SettlementId) -> tuple[Resolution, ...]:
        """Of one settlement, oldest first; of each operator what it said last."""
        rows = await self._pool.fetch(QUERIES["resolutions"], id)
        return tuple(
            Resolution(
                operator=row["operator"],
                decision=Decision(row["decision"]),
                evidence=row["evidence"],
                said_at=row["said_at"],
            )
            for row in rows
        )

    async def say(
        self, id: SettlementId, operator: str, decision: Decision, evidence: str
    ) -> Decided | None:
        """Keep what an operator says; the decision, if two say the same by now."""
        await self._pool.execute(
            QUERIES["store_resolution"], id, operator, decision, evidence, now_ns()
        )
        agreeing = {
            said.operator
            for said in await self.said(id)
            if (said.decision, said.evidence) == (decision, evidence)
        }
        if len(agreeing) < OPERATORS_NEEDED:
            return None
        return Decided(decision=decision, reason=Reason.OPERATORS)


def may_resolve(state: Settlement) -> str | None:
    """Why operators cannot decide it, with the code of the denial."""
    if state.frozen:
        return None
    if state.phase is Phase.SETTLED:
        return "DSET it is settled"
    if state.phase is Phase.CANCELLED:
        return "DCAN it is cancelled already"
    if state.decided is not None:
        return f"DPRG {state.decided.decision} is in the journal, and stands"
    return "DPRG it is not frozen: only what a restore left undecided with every leg locked is"


def is_done(state: Settlement, decision: Decision) -> bool:
    """Whether operators have decided just this already: said again, it is no news."""
    decided = state.decided
    return decided is not None and (decided.decision, decided.reason) == (
        decision,
        Reason.OPERATORS,
    )
