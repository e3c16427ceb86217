"""The drill of a restore that lacks records, with real processes and a real backup.

`up` works on a database that is backed up; then comes a time under load that the backup does not
have, its end in the middle of full work, the backup in its place, `lockstep restore
--may-lack-records`, and the gateway again. Every settlement that any ledger knows must end alike on
all of them, members that send again must not be settled twice, and `lockstep audit` must find
nothing wrong.
"""

import asyncio
import os
import random
import shutil
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import config
from gateway.client import GatewayClient
from gateway.config import Settings
from gateway.embedded import temporary_directory
from gateway.ids import new_id
from gateway.machine import world as worlds
from gateway.vault import Vault, load_master
from htlc.agreement import Agreement, LedgerProfile, draw_up
from htlc.contract import Answer
from htlc.hashlock import HashFunction
from htlc.swap import Leg, LockProtocol, Party, Swap
from htlc.units import AccountId, AssetId, LedgerId, LegId, MemberId, Quantity, SettlementId
from ledgers.port import Lock
from ledgers.remote import RemoteLedger
from protocols.iso20022.instruction import Movement
from tests.k8s.archive import Site, site
from tests.system.load import EURO, REGISTRY, Load, Sent
from tests.system.machine import Machine, machine
from tests.system.test_audit import audited
from tests.system.test_crash import trade
from tests.system.test_up import call, result

pytestmark = pytest.mark.timeout(900)

WORKERS = 8
ENDED = ("SETTLED", "CANCELLED")
EVIDENCE = "both parties hold the confirmation, ref. 2026/77"
OPERATORS = ("gateway-operator", "registry-operator")


@pytest.fixture
def place() -> Iterator[Site]:
    home = temporary_directory()
    try:
        with site(home) as made:
            yield made
    finally:
        shutil.rmtree(home)


class ByHand:
    """What the gateway had sent when it died at just this instant: locks, and no record of them."""

    def __init__(self, data: Path, load: Load, session: aiohttp.ClientSession) -> None:
        self._settings = config.read(data / "services" / "gateway.toml", Settings)
        self._vault = Vault(load_master(self._settings.master_file))
        self._load = load
        self._ledgers = {
            LedgerId(name): RemoteLedger(session, its.url, config.secret(its.token_file))
            for name, its in self._settings.ledgers.items()
        }

    async def locked(self, *legs: int) -> SettlementId:
        """A settlement with these of its legs locked: 0 the securities, 1 the cash."""
        agreement = await self._agreement(SettlementId(new_id()))
        for n in legs:
            leg = agreement.legs[n]
            (answer,) = await self._ledgers[leg.ledger].apply([Lock(terms=leg.terms)])
            assert isinstance(answer, Answer) and answer.refusal is None, answer
        return agreement.settlement

    async def _agreement(self, id: SettlementId) -> Agreement:
        profiles = {
            name: LedgerProfile(
                two_key=True,
                htlc=True,
                functions=(HashFunction(),),
                latency=self._settings.ledgers[name].latency.latency(),
                now=(await ledger.describe()).at,
            )
            for name, ledger in self._ledgers.items()
        }
        locks = cache(partial(self._vault.lock, id))
        drawn = draw_up(self._swap(id), profiles, self._settings.limits.limits(), locks)
        assert isinstance(drawn, Agreement), drawn
        return drawn

    def _swap(self, id: SettlementId) -> Swap:
        seller, buyer, isin, _, _ = self._load._trade()

        def leg(name: str, ledger: str, asset: str, payer: str, payee: str) -> Leg:
            parties = [
                Party(member=MemberId(who), account=AccountId(self._load.account(who, ledger)))
                for who in (payer, payee)
            ]
            return Leg(
                leg=LegId(name),
                ledger=LedgerId(ledger),
                asset=AssetId(asset),
                quantity=Quantity(1),
                payer=parties[0],
                payee=parties[1],
            )

        secu = leg("SECU", REGISTRY, isin, seller, buyer)
        cash = leg("CASH", EURO, "EUR", buyer, seller)
        return Swap(id=id, legs=(secu, cash), protocol=LockProtocol.TWO_KEY)


@asynccontextmanager
async def gateway_dead(running: Machine) -> AsyncIterator[None]:
    """The gateway is killed, and nobody starts it again within the block."""
    os.kill(running.process.pid, signal.SIGSTOP)
    try:
        pid = running.pid_of("gateway")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(running.process.pid, signal.SIGCONT)


async def declared(place: Site) -> dict[str, Any]:
    arguments = ("restore", "--may-lack-records", "--dsn", place.dsn(), "--json")
    code, out, err = await call(*arguments)
    assert code == 0, err
    found: dict[str, Any] = result(out)
    return found


async def send_again(load: Load, pairs: Sequence[Sent]) -> None:
    """Both sides of trades whose final notices are gone, with their own references."""
    for each in pairs:
        assert each.references is not None
        what = (each.seller, each.buyer, each.isin, each.quantity, each.cents)
        await load._instruct(Movement.DELI, what, each.references[0])
        await load._instruct(Movement.RECE, what, each.references[1])


async def resolve(data: Path, id: str, decision: str) -> None:
    """By two operators, from the command line."""
    for n, operator in enumerate(OPERATORS):
        code, out, err = await call(
            *("settlement", "resolve", id, decision, "--evidence", EVIDENCE),
            *("--as", operator, "--data", str(data), "--json"),
        )
        assert code == 0, err
        view = result(out)
        assert len(view["resolutions"]) == n + 1
        assert (view["state"] == "FROZEN") == (n == 0), view


async def views(gateway: GatewayClient) -> dict[str, str]:
    """Every settlement, and its state as it is shown."""
    found, before = {}, None
    while True:
        page = await gateway.settlements(before, limit=200)
        for line in page.settlements:
            ended = line.state in ENDED
            found[line.id] = line.state if ended else (await gateway.settlement(line.id)).state
        if (before := page.next) is None:
            return found


async def all_ended(data: Path, gateway: GatewayClient, frozen: dict[str, str]) -> dict[str, str]:
    """Wait for every end, and resolve what is frozen: as said, else as COMMIT."""
    deadline = time.monotonic() + 240
    while True:
        seen = await views(gateway)
        for id in (id for id, state in seen.items() if state == "FROZEN"):
            await resolve(data, id, frozen.setdefault(id, "COMMIT"))
        if all(state in (*ENDED, "REJECTED") for state in seen.values()):
            return seen
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.2)


async def ends(running: Machine, session: aiohttp.ClientSession) -> dict[str, set[str]]:
    """How the legs of every settlement stand, by the ledgers themselves."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for ledger in (REGISTRY, EURO):
        remote = RemoteLedger(
            session, running.ready["ledgers"][ledger], running.operator("ledger", ledger)
        )
        async for fact in remote.facts():
            if fact.htlc is not None:
                terms = fact.htlc.terms
                found[terms.settlement][terms.leg] = fact.htlc.status
    return {id: set(legs.values()) for id, legs in found.items()}


async def lose(
    place: Site, data: Path, load: Load, running: Machine, session: aiohttp.ClientSession
) -> tuple[dict[str, str], str]:
    """Kill the gateway in full work and put the backup in place of its database. Two settlements
    are left with every leg locked (and how they are to be decided), one with half."""
    async with gateway_dead(running):
        by_hand = ByHand(data, load, session)
        frozen = {await by_hand.locked(0, 1): "COMMIT", await by_hand.locked(0, 1): "CANCEL"}
        half = await by_hand.locked(0)
        await asyncio.to_thread(place.destroy)
        await asyncio.to_thread(place.restore, archive=False)
        first, again = await declared(place), await declared(place)
        assert (first["epoch"], first["again"], again["again"]) == (2, False, True)
        return {str(id): decision for id, decision in frozen.items()}, half


def check_ends(stands: dict[str, set[str]], seen: dict[str, str], wanted: dict[str, str]) -> None:
    """Alike on every ledger, as the gateway says, and as operators have decided."""
    assert {id: legs for id, legs in stands.items() if len(legs) != 1} == {}, "ends differ"
    executed = {id for id, legs in stands.items() if legs == {"EXECUTED"}}
    assert executed == {id for id, state in seen.items() if state == "SETTLED"}
    assert {id: id in executed for id in wanted} == {id: w == "COMMIT" for id, w in wanted.items()}


def check_told(load: Load, told: dict[str, Counter[str]]) -> None:
    """Every instruction is confirmed to its sender, once."""
    for each in (each for each in load.sent if each.references is not None):
        assert each.references is not None
        for member, reference in zip((each.seller, each.buyer), each.references, strict=True):
            assert told[member][f"settled {reference}"] == 1, reference


async def test_a_restore_that_lacks_records_leaves_nothing_one_legged_or_twice(
    place: Site, data: Path
) -> None:
    options = ("--business-date", "2026-11-20", "--dsn", f"gateway={place.dsn()}")
    async with machine(data, *options) as running, aiohttp.ClientSession() as session:
        load = Load(running, worlds.load(worlds.find("dvp")), session, 9)
        await asyncio.gather(*(load.swap() for _ in range(5)), *(load.pair() for _ in range(5)))
        await load.settled()
        await asyncio.to_thread(place.back_up)
        kept = len(load.sent)
        stop, dice = asyncio.Event(), random.Random(9)
        traders = [asyncio.create_task(trade(load, stop, dice)) for _ in range(WORKERS)]
        await asyncio.sleep(4)
        lost = len(load.sent) - kept
        frozen, half = await lose(place, data, load, running, session)
        begun, wanted = time.monotonic(), frozen | {half: "CANCEL"}
        stop.set()
        await asyncio.gather(*traders)
        print(f"new work is taken again after {time.monotonic() - begun:.1f} s")
        await send_again(load, [each for each in load.sent[kept:] if each.references])
        gateway = GatewayClient(session, running.url, running.operator("gateway"))
        await all_ended(data, gateway, frozen)
        check_told(load, await load.settled())
        seen = await all_ended(data, gateway, frozen)
        print(f"{kept} trades kept, {lost} lost, {len(frozen)} frozen, {len(seen)} ended")
        assert lost > WORKERS, "the lost time was one of full work"
        check_ends(await ends(running, session), seen, wanted)
        code, report, err = await audited(data)
        assert (code, report.findings) == (0, ()), err
        print(f"excused by the restore: {[each.finding.what for each in report.excused]}")
