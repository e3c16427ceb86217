"""Where settlements come from, and who is told of their ends: made for intake and for recovery."""

from collections.abc import Callable, Mapping

import msgspec

from gateway import waiting
from gateway.cash import CashLegs
from gateway.config import MatchingSettings
from gateway.days import Days
from gateway.directory import now_ns
from gateway.journal import Loaded, PendingPair
from gateway.live import Origin
from gateway.mailbox import Mailboxes
from gateway.pair_origin import PairOrigin
from gateway.pairs import MatchedPair
from gateway.payments import Standing
from gateway.pending import PendingPairs
from gateway.positions import PositionMessages
from gateway.swaps import SwapOrigin
from htlc.settlement import Phase, Settlement
from htlc.units import seconds


class Origins:
    """Tells the origin of each settlement of one gateway process."""

    def __init__(
        self,
        matching: MatchingSettings,
        days: Days,
        mailboxes: Mailboxes,
        positions: PositionMessages,
        pending: Callable[[], PendingPairs],
    ) -> None:
        #: Of every swap that its parties agreed on by themselves.
        self.swaps = positions.beside(SwapOrigin(now=now_ns, over=self._over), None)
        self._matching = matching
        self._days = days
        self._mailboxes = mailboxes
        self._positions = positions
        self._pending = pending

    def pair(self, pair: MatchedPair, wait: PendingPair | None, standing: Standing) -> Origin:
        """One attempt of a pair of instructions, what the pair waited for before it, and the
        payment orders that it is made with."""
        origin = PairOrigin(
            pair,
            wait=wait or waiting.fresh(pair, self._days),
            cash=CashLegs(pair, standing.orders),
            now=now_ns,
            today=self._days.today,
            retry_at=self._retry_at,
            over=self._pair_over,
        )
        return self._positions.beside(origin, pair.market_reference)

    def loaded(
        self,
        item: Loaded,
        known: Mapping[str, MatchedPair],
        waits: Mapping[str, PendingPair],
        standing: Mapping[str, Standing],
    ) -> Origin:
        """Of a settlement found in the journal, with the pairs, what they wait for, and how they
        are paid."""
        if item.pair is None:
            return self.swaps
        assert item.attempt is not None, "a pair's settlement is one of its attempts"
        wait = waits.get(item.pair)
        if wait is not None:  # as it stood before this attempt
            wait = msgspec.structs.replace(wait, attempts=item.attempt - 1)
        return self.pair(known[item.pair], wait, standing[item.pair])

    def _retry_at(self, attempt: int) -> int:
        first, longest = self._matching.retry_first_seconds, self._matching.retry_max_seconds
        return now_ns() + seconds(min(first * 2 ** (attempt - 1), longest))

    def _over(self, state: Settlement) -> None:
        self._mailboxes.delivered(state.swap.parties)
        if state.phase is Phase.SETTLED:
            self._pending().settled(state)

    def _pair_over(self, origin: PairOrigin, state: Settlement) -> None:
        self._over(state)
        waits = origin.waits(state)
        if waits is None:
            self._pending().forget(origin.pair.id)
        else:
            self._pending().wait(waits, origin.pair)
