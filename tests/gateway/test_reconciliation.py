"""Reconciliation on real ledgers: what is tampered with is found, stops locks, and is lifted."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time
from typing import Any

import asyncpg
import msgspec
import pytest

from gateway.config import ConfigurationError, ReconciliationSettings, check
from gateway.port import Difference, Refused
from gateway.reconciliation.compare import BreakKind, Told, of_accounts, of_assets
from gateway.telemetry.gateway import GatewaySource
from gateway.telemetry.traffic import Traffic
from htlc.units import AccountId, AssetId, LedgerId
from ledgers.books import Holding, Position
from tests.gateway.systems import BUYER, ISIN, OPENING, SELLER, System, account, until
from tests.gateway.test_agreed_swaps import a_dvp, settle
from tests.gateway.test_instructions import _outbound, both, codes, send

LEDGERS = ("registry", "bank")


def position(issued: int, available: int, locked: int) -> Position:
    return Position(asset=AssetId("EUR"), issued=issued, available=available, locked=locked)


@pytest.mark.parametrize(
    ("seen", "told", "kinds"),
    [
        (position(10, 7, 3), Told(issued=10, locked=3), []),
        (position(10, 8, 3), Told(issued=10, locked=3), [BreakKind.ISSUED]),
        (position(11, 8, 3), Told(issued=10, locked=3), [BreakKind.TOLD_ISSUED]),
        (position(10, 6, 4), Told(issued=10, locked=3), [BreakKind.TOLD_LOCKED]),
        (position(9, 7, 3), Told(issued=10, locked=3), [BreakKind.ISSUED, BreakKind.TOLD_ISSUED]),
    ],
)
def test_three_numbers_of_each_asset_agree_or_are_named(
    seen: Position, told: Told, kinds: list[BreakKind]
) -> None:
    assert [each.kind for each in of_assets([seen], {"EUR": told})] == kinds


def test_an_account_that_only_one_side_has_is_held_against_nothing() -> None:
    def held(account: str, available: int, locked: int = 0) -> Holding:
        return Holding(
            account=AccountId(account), asset=AssetId("EUR"), available=available, locked=locked
        )

    found = of_accounts(
        [held("a", 5), held("b", 0), held("c", 1, 2)],
        [held("a", 5), held("c", 2, 1), held("d", 4)],
    )
    assert [(each.account, each.kind, each.expected, each.found) for each in found] == [
        ("c", BreakKind.AVAILABLE, 2, 1),
        ("c", BreakKind.LOCKED, 1, 2),
        ("d", BreakKind.AVAILABLE, 4, 0),
    ]


class Tampering:
    """A person with psql in a ledger's database."""

    def __init__(self, dsns: dict[str, str]) -> None:
        self._dsns = dsns

    async def __call__(self, ledger: str, statement: str, *values: Any) -> None:
        connection = await asyncpg.connect(self._dsns[ledger])
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()


ADD = "UPDATE balances SET available = available + $2 WHERE account = $1 AND asset = $3"


async def reconcile(running: System, *ledgers: str, afresh: bool = False) -> list[Difference]:
    service = running.engine.reconciliation
    assert await service.ask(ledgers or LEDGERS, afresh=afresh)
    assert not service.failures
    found = await service.differences(LEDGERS, 2**62)
    assert sum(service.breaks.values()) == len(found)
    return found


async def metric(running: System, name: str) -> dict[str, float]:
    source = GatewaySource(running.engine, running.desk, Traffic())
    (family,) = [each for each in source.collect() if each.name == name]
    return {sample.labels["ledger"]: sample.value for sample in family.samples}


@pytest.fixture
async def tamper(dsns: dict[str, str]) -> AsyncIterator[Tampering]:
    yield Tampering(dsns)


async def test_what_settles_agrees_also_while_it_goes_on(running: System) -> None:
    """Runs beside traffic: each comparison is of one posting."""
    swaps = asyncio.gather(*(settle(running, a_dvp(quantity=n)) for n in range(1, 30)))
    for _ in range(5):
        assert await reconcile(running) == []
    await swaps
    assert await reconcile(running) == []
    runs = {run.ledger: run for run in await running.engine.reconciliation.reconciled(LEDGERS)}
    (registry,) = runs["registry"].totals
    assert (registry.issued, registry.held, registry.told) == (3 * OPENING[ISIN],) * 3
    assert [total.asset for total in runs["bank"].totals] == ["EUR", "USD"]
    assert runs["registry"].holdings == 4  # three members, one issuer
    assert set(await metric(running, "lockstep_reconciliation_breaks")) == set(LEDGERS)


async def test_a_tampered_balance_is_found_stops_locks_and_is_lifted_when_repaired(
    running: System, tamper: Tampering
) -> None:
    assert await reconcile(running) == []
    await tamper("bank", ADD, account("bank", BUYER), 500, "EUR")
    found = await reconcile(running)
    assert {
        (each.asset, each.account, each.kind, each.found - each.expected) for each in found
    } == {
        ("EUR", "", "issued", 500),
        ("EUR", account("bank", BUYER), "available", 500),
    }
    first_seen = {each.first_seen_at for each in found}
    assert any("PAGE: reconciliation break on bank" in line for line in running.said)
    assert (await metric(running, "lockstep_reconciliation_breaks"))["bank"] == 2

    (refused,) = await running.desk.take_settlements(SELLER, [(a_dvp(), b"digest")])
    assert isinstance(refused, Refused) and refused.faults[0].field == "legs[1].asset"
    for side in both():
        await send(running, side)
    for member, told in ((SELLER, ["Mtchd"]), (BUYER, ["AckdAccptd", "Mtchd"])):
        assert (await statuses_only(running, member))[-1] == [*told, "Pdg/PRSY"]
    assert not running.engine.runner.lives
    assert (await notices(running, SELLER)) == [("stopped", ["EUR"])]
    stored = await running.desk.read(SELLER, after=0, limit=500)
    assert [item.definition for item in stored].count("admi.004.001.02") == 1

    again = await reconcile(running)
    assert {each.first_seen_at for each in again} == first_seen  # the age counts from the first
    assert len(await notices(running, SELLER)) == 1

    await tamper("bank", ADD, account("bank", BUYER), -500, "EUR")
    assert await reconcile(running) == []
    assert (await metric(running, "lockstep_reconciliation_breaks"))["bank"] == 0
    lifted = await running.engine.reconciliation.differences(LEDGERS, 0)
    assert len(lifted) == 2 and all(each.closed_at for each in lifted)
    assert (await notices(running, SELLER))[-1] == ("resumed", ["EUR"])
    running.engine.pending._try(next(iter(running.engine.pending)))  # its ten seconds are over
    await until(lambda: _settled(running, SELLER))


async def _settled(running: System, member: str) -> bool:
    return ["settled"] in await statuses_only(running, member)


async def statuses_only(running: System, member: str) -> list[list[str]]:
    """Statuses and confirmations; what is told of money and of the system stands beside them."""
    stored = await running.desk.read(member, after=0, limit=500)
    return [
        codes(_outbound.decode(item.content))
        for item in stored
        if item.definition.startswith("sese.")
    ]


async def notices(running: System, member: str) -> list[tuple[str, list[str]]]:
    stored = await running.desk.read(member, after=0, limit=500)
    found = [
        msgspec.json.decode(item.content)
        for item in stored
        if item.definition == "lockstep.reconciliation.1"
    ]
    return [(each["state"], each["assets"]) for each in found]


async def test_moving_between_two_accounts_beside_the_postings_is_found_account_by_account(
    running: System, tamper: Tampering
) -> None:
    assert await reconcile(running) == []
    await tamper("registry", ADD, account("registry", SELLER), -7, ISIN)
    await tamper("registry", ADD, account("registry", BUYER), 7, ISIN)
    found = await reconcile(running)
    assert [(each.account, each.found - each.expected) for each in found] == [
        (account("registry", BUYER), 7),
        (account("registry", SELLER), -7),
    ]


async def test_a_stop_leaves_what_is_locked_to_its_end(running: System, tamper: Tampering) -> None:
    bank = running.engine.links[LedgerId("bank")]
    bank.trusted = False  # only the securities are locked
    swap = a_dvp(quantity=40)
    await running.desk.take_settlements(SELLER, [(swap, b"digest")])

    async def locked() -> bool:
        return (await running.balance("registry", SELLER, ISIN))[1] == 40

    await until(locked)
    await tamper("bank", ADD, account("bank", BUYER), 1, "EUR")
    await reconcile(running)
    bank.trusted = True  # the cash leg is stopped all the same; the securities go back
    await until(lambda: not running.engine.runner.lives)
    assert await running.balance("registry", SELLER, ISIN) == (OPENING[ISIN], 0)
    assert (await running.balance("bank", BUYER, "EUR"))[1] == 0


async def test_a_ledger_that_has_forgotten_stops_as_a_whole_until_a_person_says_it_is_right(
    running: System, tamper: Tampering
) -> None:
    assert await reconcile(running) == []
    forget = "UPDATE own_book_place SET place = '99999.0' WHERE ledger = 'bank'"
    await tamper("gateway", forget)  # as if it had told more than it has now
    (found,) = await reconcile(running)
    assert (found.asset, found.kind, found.expected) == ("", "order", 99999)
    assert running.engine.directory.is_stopped("bank", "USD")
    assert not running.engine.directory.is_stopped("registry", ISIN)
    assert (await notices(running, SELLER)) == [("stopped", [])]
    assert await reconcile(running, "bank", afresh=True) == []
    assert not running.engine.directory.is_stopped("bank", "USD")


async def test_a_leg_that_ended_otherwise_than_its_settlement_is_found(
    running: System, tamper: Tampering
) -> None:
    view = await settle(running, a_dvp(quantity=9))
    await until(lambda: not running.engine.runner.lives)
    await tamper(
        "gateway",
        "UPDATE journal SET phase = 'CANCELLED' WHERE settlement = $1 AND phase = 'SETTLED'",
        view.id,
    )
    found = await reconcile(running)
    assert {(each.asset, each.kind, each.found) for each in found} == {
        (ISIN, "leg", 9),
        ("EUR", "leg", 9950),
    }


async def test_another_replica_obeys_and_a_ledger_that_is_away_is_no_break(
    running: System, tamper: Tampering
) -> None:
    await tamper("bank", ADD, account("bank", BUYER), 1, "EUR")
    await reconcile(running)
    running.engine.directory.stopped = set()  # as a replica that did not run it
    await until(lambda: running.engine.directory.is_stopped("bank", "EUR"))
    service = running.engine.reconciliation
    service._ledgers[LedgerId("registry")]._url = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    assert await service.ask(LEDGERS, afresh=False)
    assert list(service.failures) == ["registry"]
    assert service.breaks["registry"] == 0 and service.breaks["bank"] == 2


async def test_it_is_due_once_a_day_at_the_set_time(running: System) -> None:
    service = running.engine.reconciliation
    noon = int(datetime(2036, 5, 6, 12, tzinfo=UTC).timestamp()) * 10**9
    hour = 3600 * 10**9
    service._begun_at = noon - 24 * hour
    name, at = LedgerId("bank"), time(12)
    service._now = lambda: noon - 1
    assert not service._is_due(name, at)
    service._now = lambda: noon
    assert service._is_due(name, at)
    await reconcile(running)
    assert not service._is_due(name, at)
    service._now = lambda: noon + 24 * hour
    assert service._is_due(name, at)
    service.runs.clear()
    service._begun_at = noon + 23 * hour
    assert service._is_due(name, at)  # a process that was started before the set time


def test_the_set_time_is_checked_at_the_start(running: System) -> None:
    wrong = ReconciliationSettings(daily_at="7pm")
    settings = msgspec.structs.replace(running.settings, reconciliation=wrong)
    with pytest.raises(ConfigurationError, match=r"reconciliation\.daily_at"):
        check(settings)
    assert ReconciliationSettings(daily_at="").at() is None
