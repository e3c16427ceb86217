"""What each settlement attempt of a matched pair means to both its sides (`live.Origin`).

The trade is told of by the pair, the money beside it (`gateway.cash`); an attempt that ends without
settling leaves the pair waiting for the next one.
"""

from collections.abc import Callable
from datetime import date
from typing import Protocol

import msgspec

from gateway.journal import PairEnd, PaymentEnd, PendingPair
from gateway.live import Advice
from gateway.pairs import Addressee, MatchedPair, Told, notice
from gateway.stages import Stage
from htlc.events import Decision, Reason
from htlc.settlement import Phase, Settlement
from protocols.iso20022.advice import Outbound
from protocols.iso20022.lock_block import LockBlock, LockStatus


class CashAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of the money beside the trade, and the payment orders that are over with it."""

    told: tuple[tuple[Addressee, Outbound], ...] = ()
    ends: tuple[PaymentEnd, ...] = ()


class CashTeller(Protocol):
    """Says what becomes of the money of one attempt (`gateway.cash`)."""

    def advise(self, before: Settlement, after: Settlement, *, news: bool) -> CashAdvice:
        """`news`: why it does not settle is told with this change, for the first time."""
        ...

    def lasting(self, stage: Stage, state: Settlement) -> Told:
        """To payers: where their payments stand, for a while now."""
        ...

    def block(self, state: Settlement, number: int, status: LockStatus) -> LockBlock | None:
        """The terms of a leg's lock, for parties who speak of them."""
        ...


class PairOrigin:
    """Tells both sides of a pair what becomes of one attempt (`live.Origin`)."""

    def __init__(
        self,
        pair: MatchedPair,
        *,
        wait: PendingPair,
        cash: CashTeller,
        now: Callable[[], int],
        today: Callable[[], date],
        retry_at: Callable[[int], int],
        over: Callable[["PairOrigin", Settlement], None],
    ) -> None:
        self.pair = pair
        self._wait = wait  # as the pair stood before this attempt
        self._cash = cash
        self._today = today
        self._now = now
        self._retry_at = retry_at
        self._over = over

    def advise(self, before: Settlement, after: Settlement) -> Advice:
        """Notices of the change, and what is written about the pair."""
        now = self._now()
        cash = self._cash.advise(before, after, news=self._is_news(after))
        messages: Told = list(cash.told)
        if before.decided is None and after.decision is Decision.CANCEL:
            messages += self._not_now(after, now)
        if after.phase is Phase.SETTLED and before.phase is not Phase.SETTLED:
            messages += self.pair.told_settled(after)
        if after.phase is Phase.CANCELLED and self.cancelled_by_users(after):
            messages += self.pair.told_cancelled(now, by_system=False)
        return Advice(
            notices=tuple(notice(side, message, now, after.swap.id) for side, message in messages),
            pending=self.waits(after),
            settled_pair=self.pair.id if self._is_over(after) else None,
            end=self._end(after),
            payments=cash.ends,
        )

    def lasting(self, stage: Stage, state: Settlement, now: int) -> Told:
        """Its locks have stood so for a while."""
        told = self.pair.told_lasting(
            stage, now, lambda leg, status: self._cash.block(state, leg, status)
        )
        return [*self._cash.lasting(stage, state), *told]

    def _is_news(self, after: Settlement) -> bool:
        """Whether the reason for which it does not settle is another than was told before."""
        if after.decided is None or after.phase is Phase.SETTLED:
            return False
        return self.pair.reasons(after, after.decided)[0] != self._wait.advised

    def _not_now(self, after: Settlement, now: int) -> Told:
        """The pair is pending for a reason; told once, not at every attempt."""
        assert after.decided is not None
        if self.cancelled_by_users(after) or not self._is_news(after):
            return []
        codes = self.pair.reasons(after, after.decided)
        return self.pair.told_pending(codes, now, failing=self._wait.failing)

    def cancelled_by_users(self, state: Settlement) -> bool:
        """Both sides, or an authority, wanted it ended: the pair is over with the attempt."""
        return state.decided is not None and state.decided.reason is Reason.CANCEL_ACCEPTED

    def _is_over(self, state: Settlement) -> bool:
        if state.phase is Phase.SETTLED:
            return bool(self._wait.advised)  # else it never waited
        return state.phase is Phase.CANCELLED and self.cancelled_by_users(state)

    def _end(self, state: Settlement) -> PairEnd | None:
        """The end of a pair about which a party has asked for cancellation."""
        if not state.ended or not (state.cancel_by or state.cancel_ordered):
            return None
        if state.phase is Phase.SETTLED or self.cancelled_by_users(state):
            return PairEnd(pair=self.pair.id, settled=state.phase is Phase.SETTLED)
        return None

    def waits(self, state: Settlement) -> PendingPair | None:
        """An ended attempt that leaves the pair pending."""
        if state.phase is not Phase.CANCELLED or self.cancelled_by_users(state):
            return None
        assert state.decided is not None
        attempt = self._wait.attempts + 1
        codes = self.pair.reasons(state, state.decided)
        same = codes[0] == self._wait.advised
        return msgspec.structs.replace(
            self._wait,
            due_at=self._retry_at(attempt),
            attempts=attempt,
            advised=codes[0],
            mirrored=codes[1],
            told_on=self._wait.told_on if same else self._today(),
        )

    def ended(self, state: Settlement) -> None:
        self._over(self, state)
