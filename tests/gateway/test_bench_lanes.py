"""Where the bench finds trades of each shape: ledgers, circles of members, accounts."""

from pathlib import Path

import pytest

from gateway.access import Access, Members
from gateway.bench import lanes, throwaway
from gateway.bench.lanes import Market, Unfit
from gateway.bench.plan import Shape
from gateway.http import wire
from gateway.machine import world
from gateway.machine.world import World
from htlc.units import AssetId
from ledgers.port import AssetDescription


def made(shape: Shape, path: Path) -> World:
    return world.load(throwaway.write(path / "bench.toml", shape))


def market(shape: Shape, of: World) -> Market:
    views = wire.LedgerList(ledgers=tuple(_view(name, of) for name in of.ledgers))
    held = {(h.ledger, h.account, h.asset): h.quantity for h in world.holdings(of)}
    members = {
        member.bic: Access(
            token="", accounts={name: tuple(ids) for name, ids in member.accounts.items()}
        )
        for member in of.members
    }
    return Market(
        ledgers=lanes.ledgers(shape, views),
        members=Members(members=members, operators={}),
        held=held,
        without_power=frozenset(m.bic for m in of.members if not m.power_of_attorney),
    )


def _view(name: str, of: World) -> wire.LedgerView:
    spec = of.ledgers[name]
    return wire.LedgerView(
        name=name,
        kind=spec.kind,
        reachable=True,
        clock_at=None,
        lock_kinds=spec.lock_kinds,
        hash_functions=(spec.hash_function,),
        finality_seconds=None,
        skew_seconds=None,
        public_key=None,
        assets=tuple(
            AssetDescription(
                asset=AssetId(code), scale=asset.scale, quantity_type=asset.quantity_type
            )
            for code, asset in spec.assets.items()
        ),
    )


@pytest.mark.parametrize("shape", Shape)
def test_the_bench_makes_a_world_for_each_shape(shape: Shape, tmp_path: Path) -> None:
    found = market(shape, made(shape, tmp_path))
    groups = found.groups()
    assert [len(group) for group in groups] == [throwaway.SECURITIES] * throwaway.CIRCLES
    for lane in (lane for group in groups for lane in group):
        assert len(lane.assets) == len(lane.parties) == len(shape.legs)
        assert len({party.member for party in lane.parties}) == len(shape.legs)
        for n, asset in enumerate(lane.assets):
            payer, payee = lane.parties[n], lane.parties[(n + 1) % len(lane.parties)]
            assert asset.ledger in payer.accounts and asset.ledger in payee.accounts
            assert asset.beyond > max(found.held.values()), "more than anybody has"
    accounts = {str(lane.parties) for group in groups for lane in group}
    assert len(accounts) == throwaway.SECURITIES * throwaway.CIRCLES
    absent = found.absent()
    assert absent is not None and absent.member == throwaway.CIRCLES * len(shape.legs)


def test_the_hot_lanes_share_one_cash_account_and_nothing_else(tmp_path: Path) -> None:
    groups = market(Shape.DVP, made(Shape.DVP, tmp_path)).groups()
    chosen = lanes.hot(groups)
    ledger = groups[0][0].assets[-1].ledger
    assert len({lane.parties[0].accounts[ledger] for lane in chosen}) == 1
    assert len({lane.parties[1].accounts[ledger] for lane in chosen}) == len(chosen)
    assert len({lane.parties[0].accounts["registry"] for lane in chosen}) == len(chosen)


def test_a_world_that_is_too_small_is_told_of(tmp_path: Path) -> None:
    of = made(Shape.DVP, tmp_path)
    with pytest.raises(Unfit, match="not enough currency ledgers"):
        market(Shape.PVP, of)
    found = market(Shape.DVP, of)
    poor = Market(ledgers=found.ledgers, members=found.members, held={})
    with pytest.raises(Unfit, match="no 2 members hold enough on registry, euro"):
        poor.groups()
