"""A world set up by code, with faults at named moments: what scenarios stand on."""

import re
from pathlib import Path

import pytest

import gateway.simulation
from gateway.simulation import faults
from gateway.simulation.faults import (
    At,
    CrashAll,
    Cut,
    Fault,
    HandSecret,
    Moment,
    Restore,
    UseSecret,
    When,
    cancelled,
    committed,
    executed,
    key_sent,
)
from gateway.simulation.run import Run
from gateway.simulation.trace import What
from gateway.simulation.world import HTLC_ONLY, World, party
from htlc.agreement import PrincipalRisk
from htlc.contract import Status
from htlc.events import Decision
from htlc.swap import Amount, Leg, LockProtocol, dvp
from htlc.units import SECOND, AccountId, AssetId, LedgerId, MemberId, Quantity, SettlementId


def amount(ledger: str, asset: str, quantity: int) -> Amount:
    return Amount(ledger=LedgerId(ledger), asset=AssetId(asset), quantity=Quantity(quantity))


def legs() -> tuple[Leg, ...]:
    """100 ISIN against 98 EUR."""
    return dvp(
        SettlementId("unused"),
        seller=party("SELLER"),
        buyer=party("BUYER"),
        securities=amount("csd", "ISIN", 100),
        cash=amount("rtgs", "EUR", 98),
    ).legs


def world(*, cash: int = 98, old_rtgs: bool = False, replicas: int = 2) -> World:
    made = World(seed=7, replicas=replicas)
    made.ledger("csd")
    made.ledger("rtgs", **({"kinds": HTLC_ONLY} if old_rtgs else {}))
    made.hold("csd", "SELLER", "ISIN", 100)
    made.hold("rtgs", "BUYER", "EUR", cash)
    return made


def played(made: World, *wrong: tuple[Moment, Fault], **rest: object) -> Run:
    made.propose(legs(), **rest)  # type: ignore[arg-type]
    for moment, fault in wrong:
        made.on(moment, fault)
    run = made.run()
    assert run.violations == ()
    return run


def held(run: Run, account: str, asset: str) -> int:
    """What an account has free in the end."""
    return sum(h.available for h in run.after if (h.account, h.asset) == (account, asset))


def test_a_trade_settles_and_everybody_has_what_was_agreed() -> None:
    run = played(world())
    (end,) = run.ends
    assert (end.state, end.protocol, end.risk) == ("SETTLED", "two_key", PrincipalRisk.NONE)
    assert held(run, "buyer", "ISIN") == 100
    assert held(run, "seller", "EUR") == 98
    before = {(h.account, h.asset): h.available for h in run.before}
    assert before["seller", "ISIN"] == 100
    assert run.ended_at < SECOND


def test_a_fault_strikes_inside_the_instant_that_it_waits_for() -> None:
    """COMMIT is durable, nothing has left: for 30 s no key is on its way."""
    run = played(world(), (committed(), CrashAll(outage=30 * SECOND)))
    decided = next(entry.at for entry in run.trace if entry.what is What.DECIDED)
    first_key = next(entry.at for entry in run.trace if entry.what is What.KEY_SHOWN)
    assert first_key >= decided + 30 * SECOND
    assert run.ends[0].state == "SETTLED"


def test_a_cut_after_the_first_claim_only_delays_the_second() -> None:
    cut = Cut(ledger="csd", outage=600 * SECOND)
    run = played(world(), (key_sent(), cut))
    assert run.ends[0].state == "SETTLED"
    assert run.ended_at > 600 * SECOND


def test_the_same_under_htlc_is_one_legged_and_the_judge_says_so() -> None:
    """The residual risk that is announced: everything down for longer than the window."""
    made = world()
    made.propose(legs(), protocol=LockProtocol.HTLC)
    made.on(executed(), CrashAll(outage=7200 * SECOND))
    run = made.run()
    (end,) = run.ends
    assert end.risk is PrincipalRisk.RESIDUAL
    assert [violation.invariant for violation in run.violations] == [1]
    assert end.state == "BROKEN"


def test_a_payer_without_enough_ends_it_and_gets_everything_back() -> None:
    run = played(world(cash=97), (cancelled(), CrashAll(outage=SECOND)))
    assert run.ends[0].decision is Decision.CANCEL
    assert held(run, "seller", "ISIN") == 100


def test_a_cancellation_in_time_is_carried_out_and_one_too_late_denied() -> None:
    order = faults.Cancel(by=MemberId("AUTHORITY"), ordered=True)
    run = played(world(), (When(what=What.LOCKED), order))
    assert run.ends[0].state == "CANCELLED"
    party_asks = faults.Cancel(by=MemberId("BUYER"))
    run = played(world(), (committed(), party_asks))
    assert run.ends[0].state == "SETTLED"
    assert any(e.what is What.CANCEL_ASKED and "denied" in e.detail for e in run.trace)


@pytest.mark.parametrize(("act", "state"), [(UseSecret(), "SETTLED"), (HandSecret(), "SETTLED")])
def test_a_party_uses_its_secret_or_hands_it_over(act: Fault, state: str) -> None:
    opened = When(what=What.OPENED)
    run = played(world(), (opened, act), protocol=LockProtocol.ANCHORED, holder="BUYER")
    assert run.ends[0].state == state


def test_a_party_that_withholds_costs_time_and_nothing_else() -> None:
    run = played(world(), protocol=LockProtocol.HTLC, holder="BUYER")
    assert run.ends[0].state == "CANCELLED"
    assert held(run, "seller", "ISIN") == 100
    assert held(run, "buyer", "EUR") == 98


def test_a_restore_that_lost_the_commit_freezes_and_operators_resolve_it() -> None:
    restore = Restore(lost=3, outage=SECOND)
    run = played(world(), (committed(), restore))
    assert run.ends[0].state == "FROZEN"
    assert {c.status for c in run.ends[0].legs if c} == {Status.LOCKED}
    resolve = (At(time=10 * SECOND), faults.Resolve())
    run = played(world(), (committed(), restore), resolve)
    assert run.ends[0].state == "SETTLED"


def test_an_account_that_is_blocked_stops_the_lock_and_not_the_trade_that_is_locked() -> None:
    block = faults.Block(ledger="csd", account=AccountId("seller"))
    assert played(world(), (At(time=0), block)).ends[0].state == "CANCELLED"
    assert played(world(), (committed(), block)).ends[0].state == "SETTLED"


def test_a_message_is_lost_doubled_or_late_as_scripted() -> None:
    lose = faults.Lose(ledger="csd", back=True, count=2)
    double = faults.Double(ledger="rtgs")
    late = faults.Delay(ledger="rtgs", back=True, by=2 * SECOND)
    opened = When(what=What.OPENED)
    run = played(world(replicas=1), (opened, lose), (opened, double), (opened, late))
    assert run.ends[0].state == "SETTLED"
    told = {(entry.what, entry.node) for entry in run.trace}
    assert {(What.LOST, "csd"), (What.DOUBLED, "rtgs")} <= told
    assert run.ended_at > 2 * SECOND


def test_clocks_far_off_move_no_principal() -> None:
    """An hour fast on one ledger, an hour slow on the other, stepped in the middle."""
    made = World(seed=1)
    made.ledger("csd", offset=3600 * SECOND, drift=40_000)
    made.ledger("rtgs", kinds=HTLC_ONLY, offset=-3600 * SECOND)
    made.hold("csd", "SELLER", "ISIN", 100)
    made.hold("rtgs", "BUYER", "EUR", 98)
    step = faults.Step(node="rtgs", by=-1800 * SECOND)
    slow = faults.Drift(node="gateway-1", ppm=-40_000)
    run = played(made, (When(what=What.LOCKED), step), (At(time=0), slow))
    assert run.ends[0].protocol is LockProtocol.ANCHORED
    assert run.ends[0].state in ("SETTLED", "CANCELLED")


def test_a_fault_of_a_moment_that_never_comes_never_strikes() -> None:
    run = played(world(), (executed("CASH", SettlementId("other")), CrashAll(outage=SECOND)))
    assert not any(entry.what is What.FAULT for entry in run.trace)


def test_the_example_of_the_readme_runs() -> None:
    text = (Path(gateway.simulation.__file__).parent / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    told: dict[str, object] = {}
    exec(example, told)
    run = told["run"]
    assert isinstance(run, Run)
    assert run.ends[0].state == "SETTLED"
    assert run.ends[0].protocol is LockProtocol.ANCHORED
    assert run.violations == ()
