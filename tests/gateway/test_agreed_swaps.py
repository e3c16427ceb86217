"""Agreed swaps through the whole gateway, on real ledgers."""

import asyncio
import json
import time

from gateway.ids import new_id
from gateway.port import Denied, Principal, Refused, View
from htlc.contract import Refusal
from htlc.settlement import Phase
from htlc.swap import Amount, LockProtocol, Party, Swap, cross_currency_dvp, dvp, pvp
from htlc.units import AccountId, AssetId, LedgerId, MemberId, Quantity, SettlementId
from tests.gateway.systems import (
    BUYER,
    DEALER,
    ISIN,
    OPENING,
    SELLER,
    System,
    account,
    until,
)


def party(ledger: str, member: str) -> Party:
    return Party(member=MemberId(member), account=AccountId(account(ledger, member)))


def amount(ledger: str, asset: str, quantity: int) -> Amount:
    return Amount(ledger=LedgerId(ledger), asset=AssetId(asset), quantity=Quantity(quantity))


def a_dvp(quantity: int = 100, cash: int = 9_950, **changes: object) -> Swap:
    drawn = dvp(
        SettlementId(new_id()),
        seller=party("registry", SELLER),
        buyer=party("registry", BUYER),
        securities=amount("registry", ISIN, quantity),
        cash=amount("bank", "EUR", cash),
    )
    from msgspec.structs import replace

    secu, money = drawn.legs
    money = replace(money, payer=party("bank", BUYER), payee=party("bank", SELLER))
    return replace(drawn, legs=(secu, money), **changes)


def member(bic: str) -> Principal:
    return Principal(name=bic, role="member")


async def settle(running: System, swap: Swap, by: str = SELLER) -> View:
    (taken,) = await running.desk.take_settlements(by, [(swap, b"digest")])
    assert isinstance(taken, View), taken

    async def ended() -> View | None:
        if swap.id in running.engine.runner.lives:  # its last entry is not written yet
            return None
        view = await running.desk.show(member(by), swap.id)
        return view if view is not None and view.state.ended else None

    found: View = await until(ended)
    return found


async def test_a_dvp_settles_and_both_parties_are_told_once(running: System) -> None:
    swap = a_dvp()
    view = await settle(running, swap)
    assert view.state.phase is Phase.SETTLED
    assert view.state.protocol is LockProtocol.TWO_KEY
    assert await running.balance("registry", BUYER, ISIN) == (OPENING[ISIN] + 100, 0)
    assert await running.balance("bank", SELLER, "EUR") == (OPENING["EUR"] + 9_950, 0)
    for bic in (SELLER, BUYER):
        (notice,) = await running.desk.read(bic, after=0, limit=10)
        told = json.loads(notice.content)
        assert (told["settlement"], told["state"], told["final"]) == (swap.id, "SETTLED", True)


async def test_every_protocol_settles_a_dvp(running: System) -> None:
    for protocol in LockProtocol:
        view = await settle(running, a_dvp(protocol=protocol))
        assert (view.state.phase, view.state.protocol) == (Phase.SETTLED, protocol)


async def test_short_of_cash_is_rejected_and_nothing_stays_locked(running: System) -> None:
    view = await settle(running, a_dvp(cash=OPENING["EUR"] + 1))
    assert view.state.phase is Phase.CANCELLED
    assert view.state.decided is not None
    assert view.state.decided.refusal is Refusal.INSUFFICIENT_BALANCE
    assert await running.balance("registry", SELLER, ISIN) == (OPENING[ISIN], 0)
    assert await running.balance("bank", BUYER, "EUR") == (OPENING["EUR"], 0)


async def test_a_pvp_and_a_cross_currency_dvp_settle(running: System) -> None:
    both = pvp(
        SettlementId(new_id()),
        side_a=party("bank", SELLER),
        side_b=party("bank", BUYER),
        gives=amount("bank", "EUR", 1_000),
        gets=amount("bank", "USD", 1_100),
    )
    assert (await settle(running, both)).state.phase is Phase.SETTLED
    three = cross_currency_dvp(
        SettlementId(new_id()),
        seller=party("registry", SELLER),
        buyer=party("registry", BUYER),
        dealer=party("bank", DEALER),
        securities=amount("registry", ISIN, 7),
        pays=amount("bank", "EUR", 700),
        gets=amount("bank", "USD", 770),
    )
    from msgspec.structs import replace

    secu, pays, gets = three.legs
    three = replace(
        three,
        legs=(
            secu,
            replace(pays, payer=party("bank", BUYER)),
            replace(gets, payee=party("bank", SELLER)),
        ),
    )
    assert (await settle(running, three)).state.phase is Phase.SETTLED


async def test_a_gateway_that_stops_at_any_moment_goes_on_where_it_was(
    dsns: dict[str, str], tmp_path: object
) -> None:
    from pathlib import Path

    from tests.gateway.systems import system

    async with system(dsns, Path(str(tmp_path)), lock_within_seconds=30) as made:
        swaps = [a_dvp(quantity=1, cash=100) for _ in range(200)]
        left = list(swaps)
        rounds = 0
        while left:
            rounds += 1
            async with made.gateway():
                batch, left = left[:20], left[20:]
                await made.desk.take_settlements(SELLER, [(swap, b"d") for swap in batch])
                await asyncio.sleep(0.005 * (rounds % 5))
        async with made.gateway():
            await until(lambda: not made.engine.runner.lives)
            views = [await made.desk.show(member(SELLER), swap.id) for swap in swaps]
        assert [view.state.phase for view in views if view] == [Phase.SETTLED] * len(swaps)
        assert await made.balance("registry", BUYER, ISIN) == (OPENING[ISIN] + len(swaps), 0)
        assert rounds == 10


async def test_a_swap_with_faults_is_refused_with_every_field(running: System) -> None:
    from msgspec.structs import replace

    swap = a_dvp()
    secu, cash = swap.legs
    bad = replace(
        swap,
        legs=(
            replace(secu, ledger=LedgerId("nowhere")),
            replace(cash, payer=party("bank", DEALER)),
        ),
    )
    (refused,) = await running.desk.take_settlements(SELLER, [(bad, b"x")])
    assert isinstance(refused, Refused)
    assert refused.faults


async def test_cancelling_a_settled_one_is_denied(running: System) -> None:
    swap = a_dvp()
    await settle(running, swap)
    denied = await running.desk.cancel(member(SELLER), swap.id, "changed my mind")
    assert isinstance(denied, Denied)
    assert denied.code == "DSET"


async def test_a_thousand_settle(running: System) -> None:
    swaps = [a_dvp(quantity=1, cash=100) for _ in range(1_000)]
    begun = time.monotonic()
    for n in range(0, len(swaps), 50):
        await running.desk.take_settlements(SELLER, [(s, b"d") for s in swaps[n : n + 50]])
    await until(lambda: not running.engine.runner.lives, within=60)
    print("settlements per second", len(swaps) / (time.monotonic() - begun))
    ended = running.engine.runner.tally.ended
    assert ended.total() == len(swaps)
    assert {outcome for _, _, outcome, _ in ended} == {"SETTLED"}
