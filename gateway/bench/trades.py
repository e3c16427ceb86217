"""The trades of a round: how they are drawn, and what has been told of each."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from gateway.bench import bodies
from gateway.bench.plan import (
    UNMATCHED,
    Case,
    Fate,
    Flow,
    Holder,
    Lane,
    Order,
    Outcome,
    Site,
    fates,
)
from gateway.bench.trade import Trade, quantities
from gateway.ids import new_id
from protocols.iso20022.instruction import Movement

DRAIN_SECONDS: Final = 60.0
"""For the last trades of a round to become final: `commit_by` of the gateway's defaults."""

FAULTS_MAX: Final = 20
"""Faults that are told in words; one is enough to fail."""


class Unit:
    """What is sent at once, and when the last of it was settled. A trade that has to fail takes its
    time to lapse: the next unit does not wait for it."""

    __slots__ = ("done", "open", "started", "trades")

    def __init__(self, trades: list[Trade]) -> None:
        self.trades = trades
        self.open = sum(trade.fate is Fate.SETTLED for trade in trades)
        self.started = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.open:
            self.done.set_result(None)


class Dealer:
    """Draws units: members and lanes in turn, and in both directions, so that nobody runs dry."""

    def __init__(self, site: Site, order: Order) -> None:
        self._site = site
        self._order = order
        self._fates = fates(order, site)
        self._units = 0
        self._hot = 0
        self._trades = 0
        self._failing = 0

    def unit(self) -> Unit:
        number, self._units = self._units, self._units + 1
        lanes = self._site.groups[number % len(self._site.groups)]
        reverse = bool(number // len(self._site.groups) % 2)
        if self._hot < self._order.hot_share * self._units:
            self._hot += 1
            lanes, reverse = self._site.hot, bool(self._hot % 2)
        return Unit([self._trade(lanes, reverse) for _ in range(self._order.case.unit)])

    def _trade(self, lanes: Sequence[Lane], reverse: bool) -> Trade:
        number, self._trades = self._trades, self._trades + 1
        id = new_id()
        trade = Trade(
            id=id.replace("-", "") if self._order.case.is_iso else id,
            lane=lanes[number // len(self._site.groups) % len(lanes)],
            reverse=reverse,
            quantities=quantities(number, len(lanes[0].assets)),
        )
        if self._fates and self._failing < self._order.fault_rate * self._trades:
            self._failing += 1
            return self._doomed(trade, self._fates[self._failing % len(self._fates)])
        return trade

    def _doomed(self, trade: Trade, fate: Fate) -> Trade:
        """The same trade, so that it must fail."""
        match fate:
            case Fate.NO_COVER:
                moved = (*trade.quantities[:-1], trade.lane.assets[-1].beyond)
                return replace(trade, fate=fate, quantities=moved)
            case Fate.LAPSED:
                assert self._site.absent is not None, "else it is no fate of this site"
                parties = list(trade.lane.parties)  # whoever hands it in, consents
                parties[0 if trade.reverse else 1] = self._site.absent
                lane = replace(trade.lane, parties=tuple(parties))
                return replace(trade, fate=fate, lane=lane)
            case Fate.ALONE | Fate.SETTLED:
                return replace(trade, fate=fate)


class Tally:
    """What has been sent and what has been told, trade by trade."""

    def __init__(self, site: Site, *, case: Case) -> None:
        self._site = site
        self._case = case
        self._expected: dict[tuple[str, str], tuple[Unit, Trade]] = {}
        self._untold: dict[str, int] = {}  # parties of each trade that have not been told its end
        self._over: set[tuple[str, str]] = set()
        self._all_told = asyncio.Event()
        self.flows: Counter[tuple[str, str, str]] = Counter()
        self.latencies: list[float] = []
        self.faults: list[str] = []
        self.sent = 0
        self.failed = 0
        self.resent = 0  # requests, because the gateway was busy
        self.last_settled = 0.0

    def expect(self, unit: Unit) -> None:
        """A unit is about to be sent."""
        unit.started = time.perf_counter()
        self._all_told.clear()
        self.sent += len(unit.trades)
        for trade in unit.trades:
            keys = self._keys(trade)
            self._untold[trade.id] = len(keys)
            for key in keys:
                self._expected[key] = (unit, trade)

    def _keys(self, trade: Trade) -> tuple[tuple[str, str], ...]:
        """Who is told about a trade, and by which reference."""
        if not self._case.is_iso:
            return tuple((self._bic(party), trade.id) for party in trade.lane.parties)
        seller = self._bic(trade.first_payer), bodies.message_id(trade.id, Movement.DELI)
        buyer = self._bic(trade.first_payee), bodies.message_id(trade.id, Movement.RECE)
        return (seller,) if trade.fate is Fate.ALONE else (seller, buyer)

    def _bic(self, holder: Holder) -> str:
        return self._site.members[holder.member].bic

    def told(self, member: str, reference: str, instead: str | None) -> None:
        """A final notice has come in; None is settled."""
        key = (member, reference)
        found = self._expected.get(key)
        if found is None:
            if key in self._over and instead != UNMATCHED:
                self.fault(f"{member} was told twice about {reference}")
            return  # else of somebody else: a target may have other users
        unit, trade = found
        if instead == UNMATCHED and trade.fate is not Fate.ALONE:
            return  # until its counterparty's instruction comes in, a moment later
        del self._expected[key]
        self._over.add(key)
        if not self._expected:
            self._all_told.set()
        if instead not in trade.fate.ends:
            self.fault(f"{reference} ended as {instead or 'settled'}, it should be {trade.fate}")
        self._untold[trade.id] -= 1
        if not self._untold[trade.id]:
            del self._untold[trade.id]
            self.final(unit, trade)

    def final(self, unit: Unit, trade: Trade) -> None:
        """All parties know how a trade has ended."""
        if trade.fate is not Fate.SETTLED:
            self.failed += 1
            return
        self.last_settled = time.perf_counter()
        self.latencies.append(self.last_settled - unit.started)
        self._moved(trade)
        unit.open -= 1
        if unit.open == 0:
            unit.done.set_result(None)

    def _moved(self, trade: Trade) -> None:
        """Note what a settled trade has moved."""
        for transfer in trade.transfers:
            asset = transfer.asset
            for holder, sign in ((transfer.payer, -1), (transfer.payee, 1)):
                key = asset.ledger, holder.accounts[asset.ledger], asset.code
                self.flows[key] += sign * transfer.quantity

    def fault(self, text: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)

    async def all_told(self) -> None:
        """Return when nobody waits for a notice any more: trades that fail take their time."""
        await self._all_told.wait()

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
            failed=self.failed,
            resent=self.resent,
            seconds=max(self.last_settled - started, 0.0),
            latencies=tuple(self.latencies),
            flows=tuple(
                Flow(ledger=ledger, account=account, asset=asset, quantity=quantity)
                for (ledger, account, asset), quantity in self.flows.items()
                if quantity
            ),
            faults=tuple(self.faults),
        )
