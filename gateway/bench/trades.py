"""The trades of a round: how they are drawn, and what has been told of each."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from gateway.bench import bodies
from gateway.bench.bodies import Trade
from gateway.bench.plan import Case, Flow, Lane, Order, Outcome, Site
from gateway.ids import new_id
from protocols.iso20022.instruction import Movement

DRAIN_SECONDS: Final = 60.0
"""For the last trades of a round to become final: `commit_by` of the gateway's defaults."""

QUANTITIES: Final = 1000
"""Different quantities, and amounts, of the trades: few enough to be written once."""

FAULTS_MAX: Final = 20
"""Faults that are told in words; one is enough to fail."""


class Unit:
    """What is sent at once: its trades, and when the last of them was final."""

    __slots__ = ("done", "open", "started", "trades")

    def __init__(self, trades: list[Trade]) -> None:
        self.trades = trades
        self.open = len(trades)
        self.started = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Dealer:
    """Draws units: members and lanes in turn, and in both directions, so that nobody runs dry."""

    def __init__(self, site: Site, order: Order) -> None:
        self._site = site
        self._order = order
        self._units = 0
        self._hot = 0
        self._trades = 0

    def unit(self) -> Unit:
        case = self._order.case
        number, self._units = self._units, self._units + 1
        pair = self._site.pairs[number % len(self._site.pairs)]
        reverse = bool(number // len(self._site.pairs) % 2)
        if self._hot < self._order.hot_share * self._units:
            self._hot += 1
            pair, reverse = self._site.pairs[0][:1], bool(self._hot % 2)
        return Unit([self._trade(pair, reverse) for _ in range(case.unit)])

    def _trade(self, pair: Sequence[Lane], reverse: bool) -> Trade:
        number, self._trades = self._trades, self._trades + 1
        id = new_id()
        return Trade(
            id=id.replace("-", "") if self._order.case.is_iso else id,
            lane=pair[number // len(self._site.pairs) % len(pair)],
            reverse=reverse,
            quantity=1 + number % QUANTITIES,
            amount=1 + number * 7 % QUANTITIES,
        )


class Tally:
    """What has been sent and what has been told, trade by trade."""

    def __init__(self, site: Site, *, case: Case) -> None:
        self._site = site
        self._case = case
        self._expected: dict[tuple[str, str], tuple[Unit, Trade]] = {}
        self._told_once: set[str] = set()
        self._over: set[tuple[str, str]] = set()
        self.flows: Counter[tuple[str, str, str]] = Counter()
        self.latencies: list[float] = []
        self.faults: list[str] = []
        self.sent = 0
        self.last_final = 0.0

    def expect(self, unit: Unit) -> None:
        """A unit is about to be sent."""
        unit.started = time.perf_counter()
        self.sent += len(unit.trades)
        for trade in unit.trades:
            for key in self._keys(trade):
                self._expected[key] = (unit, trade)

    def _keys(self, trade: Trade) -> tuple[tuple[str, str], tuple[str, str]]:
        """Who is told about a trade, and by which reference."""
        seller, buyer = (self._site.members[h.member].bic for h in (trade.seller, trade.buyer))
        if self._case.is_iso:
            return (
                (seller, bodies.message_id(trade.id, Movement.DELI)),
                (buyer, bodies.message_id(trade.id, Movement.RECE)),
            )
        return (seller, trade.id), (buyer, trade.id)

    def told(self, member: str, reference: str, instead: str | None) -> None:
        """A final notice has come in; None is settled."""
        key = (member, reference)
        found = self._expected.pop(key, None)
        if found is None:
            if key in self._over:
                self.fault(f"{member} was told twice about {reference}")
            return  # else of somebody else: a target may have other users
        self._over.add(key)
        unit, trade = found
        if instead is not None:
            self.fault(f"{reference} ended as {instead}, not settled")
        if trade.id in self._told_once:
            self.final(unit, trade)
        else:
            self._told_once.add(trade.id)

    def final(self, unit: Unit, trade: Trade) -> None:
        """Both parties know how a trade has ended."""
        self.last_final = time.perf_counter()
        self.latencies.append(self.last_final - unit.started)
        self._moved(trade)
        unit.open -= 1
        if unit.open == 0:
            unit.done.set_result(None)

    def _moved(self, trade: Trade) -> None:
        """Note what a settled trade has moved."""
        securities, cash = trade.lane.security, trade.lane.cash
        seller, buyer = trade.seller, trade.buyer
        self.flows[securities.ledger, seller.securities_account, securities.code] -= trade.quantity
        self.flows[securities.ledger, buyer.securities_account, securities.code] += trade.quantity
        self.flows[cash.ledger, buyer.cash_account, cash.code] -= trade.amount
        self.flows[cash.ledger, seller.cash_account, cash.code] += trade.amount

    def fault(self, text: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)

    def lost(self) -> None:
        """The round is over: whatever is still expected was lost."""
        if self._expected:
            member, reference = next(iter(self._expected))
            self.fault(
                f"{len(self._expected)} final notices are missing after {DRAIN_SECONDS:g} s, "
                f"one of them to {member} about {reference}"
            )

    def outcome(self, started: float, first_id: str) -> Outcome:
        """What the round has come to; it began at `started` of the performance counter."""
        return Outcome(
            first_id=first_id,
            sent=self.sent,
            settled=len(self.latencies),
            seconds=max(self.last_final - started, 0.0),
            latencies=tuple(self.latencies),
            flows=tuple(
                Flow(ledger=ledger, account=account, asset=asset, quantity=quantity)
                for (ledger, account, asset), quantity in self.flows.items()
                if quantity
            ),
            faults=tuple(self.faults),
        )
