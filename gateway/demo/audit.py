"""Whether the books are right, asked of the ledgers themselves: sums, balances, ends of all legs.

Nothing here trusts the gateway: it names the contracts of its settlements, the ledgers tell what
became of them, and every account's balance is computed a second time from the trades of the day.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import aiohttp
import msgspec

from gateway.client import GatewayClient
from gateway.demo.expected import Trade
from gateway.http import wire
from gateway.machine.data_directory import Ready
from gateway.machine.ledger_client import LedgerClient
from gateway.machine.up import Machine
from gateway.machine.world import World, counter_account, holdings, smallest_units
from htlc.contract import Answer, Status
from htlc.invariants import Holding, conserved, one_known_end
from htlc.leg import LegStatus
from htlc.units import AccountId, AssetId, HtlcId, LedgerId, LegId, SettlementId
from ledgers.remote import RemoteLedger
from ledgers.views import AccountViewJson, PositionJson

AT_ONCE: Final = 16
"""Settlements that are read at the same time: enough to keep the gateway busy, no more."""

PAGE: Final = 200

_LEG_STATUS: Final = {
    Status.LOCKED: LegStatus.LOCKED,
    Status.EXECUTED: LegStatus.EXECUTED,
    Status.CANCELLED: LegStatus.CANCELLED,
}

Key = tuple[str, str, str]
"""Ledger, account, asset."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """One ledger at one time: its own totals, and every account."""

    positions: tuple[PositionJson, ...]
    accounts: tuple[AccountViewJson, ...]

    def issued(self) -> dict[str, int]:
        """What was issued of each asset, as the ledger says."""
        return {position.asset: int(position.issued) for position in self.positions}

    def holdings(self, ledger: str) -> list[Holding]:
        return [
            Holding(
                ledger=LedgerId(ledger),
                asset=AssetId(held.asset),
                account=AccountId(view.account),
                available=int(held.available),
                locked=int(held.locked),
                counter=view.account == counter_account(held.asset),
            )
            for view in self.accounts
            for held in view.holdings
        ]


class Auditor:
    """Reads the ledgers as a supervisor, and the gateway as its operator."""

    def __init__(self, session: aiohttp.ClientSession, machine: Machine, ready: Ready) -> None:
        token = machine.credentials.gateway_operator
        self._world = machine.world
        self._gateway = GatewayClient(session, ready.gateway, token)
        self._clients = {
            name: LedgerClient(session, url, token) for name, url in ready.ledgers.items()
        }
        self._ports = {
            name: RemoteLedger(session, url, token) for name, url in ready.ledgers.items()
        }

    async def books(self) -> dict[str, Books]:
        """All ledgers, now."""
        return {
            name: Books(
                positions=tuple(await client.conservation()),
                accounts=tuple(await client.accounts()),
            )
            for name, client in self._clients.items()
        }

    async def settlements(self) -> list[wire.SettlementView]:
        """Every settlement that the gateway knows."""
        ids: list[str] = []
        before: str | None = None
        while True:
            page = await self._gateway.settlements(before, PAGE)
            ids += [line.id for line in page.settlements]
            before = page.next
            if before is None:
                break
        turn = asyncio.Semaphore(AT_ONCE)

        async def show(id: str) -> wire.SettlementView:
            async with turn:
                return await self._gateway.settlement(id)

        return list(await asyncio.gather(*map(show, ids)))

    async def ends(self, views: Sequence[wire.SettlementView]) -> list[str]:
        """What is wrong with how the legs of settlements ended, by the ledgers' own word."""
        statuses: dict[tuple[str, str], LegStatus] = {}
        for name, port in self._ports.items():
            ids = [
                HtlcId(leg.contract)
                for view in views
                for leg in view.legs
                if leg.ledger == name and leg.contract is not None
            ]
            for id, answer in zip(ids, await port.look(ids), strict=True):
                statuses[name, id] = _leg_status(answer)
        return [fault for view in views for fault in one_end(view, statuses)]


def _leg_status(answer: object) -> LegStatus:
    if not isinstance(answer, Answer):
        return LegStatus.UNSEEN
    return LegStatus.ABSENT if answer.htlc is None else _LEG_STATUS[answer.htlc.status]


def one_end(
    view: wire.SettlementView, statuses: Mapping[tuple[str, str], LegStatus]
) -> Iterable[str]:
    legs = {
        LegId(leg.leg): statuses.get((leg.ledger, leg.contract or ""), LegStatus.ABSENT)
        for leg in view.legs
    }
    for violation in one_known_end(SettlementId(view.id), legs):
        yield violation.what
    executed = [status is LegStatus.EXECUTED for status in legs.values()]
    if all(executed) != (view.state == "SETTLED") or any(executed) != all(executed):
        yield f"{view.id} is {view.state}, its ledgers say {', '.join(legs.values())}"


def faults(
    world: World, before: Mapping[str, Books], after: Mapping[str, Books], trades: Iterable[Trade]
) -> list[str]:
    """What is wrong with the books of the ledgers after the day."""
    found = []
    for name in world.ledgers:
        found += [violation.what for violation in conserved(after[name].holdings(name))]
        found += [
            f"{name}: {position.asset} differs from its issue by {position.difference}"
            for position in after[name].positions
            if position.difference != "0"
        ]
        if before[name].issued() != after[name].issued():
            found.append(f"{name}: the issued amounts have changed")
    return found + _wrong_balances(world, after, trades)


def _wrong_balances(world: World, after: Mapping[str, Books], trades: Iterable[Trade]) -> list[str]:
    wanted = _balances_wanted(world, trades)
    seen: dict[Key, int] = {
        (name, holding.account, holding.asset): holding.available + holding.locked
        for name, books in after.items()
        for holding in books.holdings(name)
        if not holding.counter
    }
    return [
        f"{key[0]}: {key[1]} has {seen.get(key, 0)} of {key[2]}, the trades make it {wanted[key]}"
        for key in sorted(wanted.keys() | seen.keys())
        if seen.get(key, 0) != wanted[key]
    ]


def _balances_wanted(world: World, trades: Iterable[Trade]) -> Counter[Key]:
    """Opening balances, and every trade that settles: what each account has in the end."""
    wanted: Counter[Key] = Counter()
    for held in holdings(world):
        wanted[held.ledger, held.account, held.asset] += held.quantity
    accounts = {
        (member.bic, ledger): next(iter(names))
        for member in world.members
        for ledger, names in member.accounts.items()
    }
    for trade in trades:
        if not trade.settles:
            continue
        assert trade.isin and trade.quantity and trade.amount
        assert trade.deliverer and trade.receiver
        scale = world.ledgers["registry"].assets[trade.isin].scale
        quantity = smallest_units(trade.quantity, scale)
        amount = smallest_units(trade.amount, world.ledgers["euro"].assets["EUR"].scale)
        for ledger, asset, units, giver, taker in (
            ("registry", trade.isin, quantity, trade.deliverer, trade.receiver),
            ("euro", "EUR", amount, trade.receiver, trade.deliverer),
        ):
            wanted[ledger, accounts[giver, ledger], asset] -= units
            wanted[ledger, accounts[taker, ledger], asset] += units
    return wanted
