"""The rules of locking, keys and time, each as statements about the core. What needs many steps
(rules 4, 14) is in `test_explorer` and `test_lives`; rule 11 is in `test_schedule`, 17 in
`test_restore`."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from htlc import invariants
from htlc.agreement import PrincipalRisk, Role
from htlc.commands import Command, Lock, Look, Open, Record, Refund, Unlock
from htlc.contract import Refusal, Status
from htlc.coordinator import decide, evolve, propose
from htlc.events import CancelRequested, Decision, Proposed, Reason
from htlc.keys import may_show
from htlc.leg import LegStatus
from htlc.settlement import Phase, Settlement
from htlc.swap import LockProtocol
from htlc.units import Instant, MemberId, Quantity
from tests.htlc.samples import (
    BUYER,
    DEALER,
    NOW,
    SECRET,
    absent,
    agreement,
    anchored,
    anchored_htlc,
    anchored_party,
    backstop,
    cancelled,
    clocks,
    committed,
    contract,
    cross_swap,
    decided,
    dvp_swap,
    executed,
    htlc,
    htlc_party,
    key_of,
    locked,
    locking,
    refunded,
    tell,
    two_key,
    with_secret,
)

Make = Callable[[], Settlement]
ALL: list[Make] = [two_key, backstop, anchored, anchored_htlc, anchored_party, htlc, htlc_party]


def owed(state: Settlement, at: int = NOW + 10, skew: int = 0) -> tuple[Command, ...]:
    return decide(state, clocks(state, at, skew))


def shows(state: Settlement, role: Role) -> list[int]:
    return [n for n in range(len(state.legs)) if may_show(state, n, role)]


def undone(state: Settlement) -> Settlement:
    return decided(locked(state), Decision.CANCEL)


# ------------------------------------------------------------------ 1 to 5: locking


def test_rule_1_no_ledger_hears_of_a_settlement_before_it_is_opened() -> None:
    swap = dvp_swap()
    state = propose(Proposed(swap=swap, consents=tuple(swap.payers)))
    assert owed(state) == (Open(),)
    assert not may_show(state, 0, Role.EXECUTION) and not may_show(state, 0, Role.CANCELLATION)


@pytest.mark.parametrize("status", list(Status))
def test_rule_2_an_answer_that_is_not_final_is_no_fact(status: Status) -> None:
    state = locked(two_key(), 1)
    key = None if status is Status.LOCKED else key_of(state, 0, Role.EXECUTION)
    assert tell(state, 0, contract(state, 0, status, key), final=False) == state
    assert tell(state, 0, None, 99_999, final=False) == state


def test_rule_3_a_leg_is_finished_unlocked_exactly_from_lock_by_on() -> None:
    state = two_key()
    lock_by = state.agreed.legs[0].terms.lock_by
    assert absent(state, 0, at=lock_by - 1).legs[0].status is LegStatus.ABSENT
    assert absent(state, 0, at=lock_by).legs[0].status is LegStatus.UNLOCKED


def test_rule_3_a_contract_on_other_terms_is_a_refusal_and_nobody_waits_for_it() -> None:
    state = two_key()
    ours = contract(state, 0)
    other = replace(ours, terms=replace(ours.terms, quantity=Quantity(99)))
    state = tell(state, 0, other)
    assert state.legs[0].status is LegStatus.FOREIGN
    assert state.legs[0].refusal is Refusal.CONFLICT
    state = decided(locked(state, 1), Decision.CANCEL)
    assert owed(state) == (Unlock(leg=1, role=Role.CANCELLATION),)
    assert cancelled(state, 1).phase is Phase.CANCELLED


def test_rule_3_an_anchor_on_other_terms_is_lost() -> None:
    state = locked(anchored(), 1)
    ours = contract(state, 0)
    other = replace(ours, terms=replace(ours.terms, quantity=Quantity(99)))
    state = decided(tell(state, 0, other), Decision.CANCEL)
    assert state.anchor_lost
    assert owed(state) == (Unlock(leg=1, role=Role.CANCELLATION),)


# ------------------------------------------------------------------ 6, 7: keys


def test_rule_6_two_key_opens_for_the_journalled_decision_and_for_nothing_else() -> None:
    state = locked(two_key())
    assert shows(state, Role.EXECUTION) == shows(state, Role.CANCELLATION) == []
    assert shows(committed(two_key()), Role.EXECUTION) == [0, 1]
    assert shows(committed(two_key()), Role.CANCELLATION) == []
    assert shows(undone(two_key()), Role.CANCELLATION) == [0, 1]
    assert shows(undone(two_key()), Role.EXECUTION) == []
    assert shows(executed(undone(two_key()), 0), Role.EXECUTION) == []
    assert shows(executed(locked(two_key()), 0), Role.EXECUTION) == []


@pytest.mark.parametrize("make", [htlc, backstop])
def test_rules_6_and_10_a_clock_that_can_win_frees_the_key_only_once_a_leg_is_executed(
    make: Make,
) -> None:
    state = locked(make())
    assert shows(state, Role.EXECUTION) == [] and shows(undone(make()), Role.EXECUTION) == []
    assert shows(executed(undone(make()), 0), Role.EXECUTION) == [0, 1]


def test_rule_7_commit_opens_only_the_anchor() -> None:
    state = committed(anchored())
    assert shows(state, Role.EXECUTION) == [0]
    assert shows(state, Role.CANCELLATION) == []
    assert owed(state) == (Unlock(leg=0, role=Role.EXECUTION),)


@pytest.mark.parametrize("decision", list(Decision))
def test_rule_7_followers_are_executed_exactly_when_the_anchor_is(decision: Decision) -> None:
    state = decided(locked(anchored()), decision)
    assert not may_show(state, 1, Role.EXECUTION)
    state = executed(state, 0)
    assert may_show(state, 1, Role.EXECUTION) and not may_show(state, 1, Role.CANCELLATION)


@pytest.mark.parametrize("decision", list(Decision))
@pytest.mark.parametrize("lose", [cancelled, refunded])
def test_rule_7_followers_are_cancelled_exactly_when_the_anchor_is_lost_and_decided(
    decision: Decision, lose: Callable[..., Settlement]
) -> None:
    state = locked(anchored())
    assert not may_show(lose(state, 0), 1, Role.CANCELLATION)
    state = decided(state, decision)
    assert not may_show(state, 1, Role.CANCELLATION)
    state = lose(state, 0)
    assert may_show(state, 1, Role.CANCELLATION) and not may_show(state, 1, Role.EXECUTION)


def test_rule_7_a_two_key_anchor_is_opened_back_for_a_journalled_cancel_only() -> None:
    assert shows(undone(anchored()), Role.CANCELLATION) == [0]
    assert shows(undone(anchored_htlc()), Role.CANCELLATION) == []


# ------------------------------------------------------------------ 8: a party's secret


def test_rule_8_an_anchor_with_a_partys_secret_is_locked_after_all_followers_are_final() -> None:
    swap = with_secret(cross_swap(), BUYER)
    state = locking(agreement(swap, LockProtocol.ANCHORED), swap)
    assert owed(state) == (Lock(leg=1), Lock(leg=2))
    state = tell(locked(state, 1), 2, contract(state, 2), final=False)
    assert owed(state) == (Lock(leg=2),)
    assert owed(locked(state, 2)) == (Lock(leg=0),)


def test_rule_8_a_cancel_is_only_a_wish_until_the_anchor_is_lost() -> None:
    state = undone(anchored_party())
    assert not state.cancellable
    assert owed(state) == (Look(leg=0),)
    expires_at = state.agreed.legs[0].terms.expires_at
    assert expires_at is not None
    state = locked(state, 0, at=expires_at)
    assert owed(state) == (Refund(leg=0),)
    assert owed(refunded(state, 0)) == (Unlock(leg=1, role=Role.CANCELLATION),)


def test_rule_8_with_a_partys_secret_no_cancellation_is_accepted_once_open() -> None:
    for make in (anchored_party, htlc_party):
        assert not make().cancellable
    assert two_key().cancellable and not committed(two_key()).cancellable


# ------------------------------------------------------------------ 9: the backstop


def test_rule_9_a_backstop_is_on_every_leg_and_turns_the_class() -> None:
    agreed = backstop().agreed
    assert {leg.terms.expires_at for leg in agreed.legs} == {Instant(agreed.commit_by + 1_000)}
    assert all(leg.terms.cancellation_lock for leg in agreed.legs)
    assert agreed.risk is PrincipalRisk.RESIDUAL and agreed.backstop
    plain = two_key().agreed
    assert {leg.terms.expires_at for leg in plain.legs} == {None}
    assert plain.risk is PrincipalRisk.NONE and not plain.backstop


@pytest.mark.parametrize("n", [0, 1])
def test_rule_9_commit_and_first_execution_ask_the_margin_of_every_leg(n: int) -> None:
    state = locked(backstop())
    leg = state.agreed.legs[n]
    assert leg.terms.expires_at is not None
    latest = leg.terms.expires_at - leg.margin
    now = {**clocks(state, NOW), leg.ledger: clocks(state, latest)[leg.ledger]}
    assert not any(
        isinstance(c, Record) and c.event.decision is Decision.COMMIT for c in decide(state, now)
    )
    state = committed(backstop())
    assert not any(isinstance(c, Unlock) for c in decide(state, now))
    now[leg.ledger] = clocks(state, latest - 1)[leg.ledger]
    assert [c for c in decide(state, now) if isinstance(c, Unlock)] == [
        Unlock(leg=0, role=Role.EXECUTION),
        Unlock(leg=1, role=Role.EXECUTION),
    ]


def test_rule_9_after_a_refund_with_nothing_executed_nothing_more_is_executed() -> None:
    state = refunded(committed(backstop()), 0)
    assert state.phase is Phase.UNWINDING
    assert owed(state) == (Look(leg=1),)
    assert shows(state, Role.CANCELLATION) == []


# ------------------------------------------------------------------ 10, 12, 13: time


def test_rule_10_the_first_key_is_shown_with_the_margin_left_and_not_one_tick_later() -> None:
    state = committed(htlc())
    leg = state.agreed.legs[1]
    assert leg.terms.expires_at is not None
    latest = leg.terms.expires_at - leg.margin
    claim = Unlock(leg=1, role=Role.EXECUTION)
    assert claim in owed(state, latest - 1) and claim not in owed(state, latest)
    assert claim in owed(state, latest - 6, skew=5) and claim not in owed(state, latest - 5, skew=5)


def test_rule_10_no_first_key_is_shown_once_a_leg_is_known_to_be_refunded() -> None:
    state = refunded(committed(htlc()), 0, at=NOW + 5)
    assert not any(isinstance(c, Unlock) for c in owed(state))


def test_rule_10_an_anchor_is_not_tried_once_a_follower_is_known_to_have_gone_back() -> None:
    """After a death the follower is heard of first: it went back, so the anchor was lost."""
    state = cancelled(decided(anchored(), Decision.COMMIT), 1)
    assert owed(state) == (Look(leg=0),)


@pytest.mark.parametrize("decision", list(Decision))
def test_rule_10_once_one_leg_is_executed_all_others_are_due_at_once(decision: Decision) -> None:
    state = executed(decided(locked(htlc(cross_swap())), decision), 2)
    key = key_of(state, 2, Role.EXECUTION)
    assert owed(state, 99_999) == tuple(Unlock(leg=n, role=Role.EXECUTION, key=key) for n in (0, 1))


def test_rule_10_a_claim_is_given_up_on_the_ledgers_answer_never_on_an_estimate() -> None:
    state = executed(committed(htlc()), 1)
    expires_at = state.agreed.legs[0].terms.expires_at
    assert expires_at is not None
    assert isinstance(owed(state, expires_at + 5_000)[0], Unlock)
    early = tell(state, 0, contract(state, 0), expires_at - 1, refusal=Refusal.EXPIRED)
    assert isinstance(owed(early)[0], Unlock)
    late = tell(state, 0, contract(state, 0), expires_at, refusal=Refusal.EXPIRED)
    assert owed(late) == (Refund(leg=0),)


def test_rule_12_a_partys_htlc_legs_are_locked_one_by_one_from_the_latest_expiry_down() -> None:
    swap = with_secret(cross_swap(), DEALER)
    state = locking(agreement(swap, LockProtocol.HTLC), swap)
    by_expiry = sorted(range(3), key=lambda n: -(state.agreed.legs[n].terms.expires_at or 0))
    for n in by_expiry:
        assert owed(state) == (Lock(leg=n),)
        assert owed(tell(state, n, contract(state, n), final=False)) == (Lock(leg=n),)
        state = locked(state, n)
    assert state.agreed.revealers == (by_expiry[-1],)


def test_rule_12_whoever_has_the_key_may_claim_for_the_party() -> None:
    """The gateway is everyone's watch: it claims with the key that a ledger has shown."""
    state = executed(locked(htlc_party()), 0)
    state = decided(state, Decision.COMMIT, Reason.EXECUTED_ON_LEDGER)
    assert owed(state) == (Unlock(leg=1, role=Role.EXECUTION, key=SECRET),)


def test_rule_13_after_a_restart_the_ledger_is_asked_before_a_first_key_is_shown() -> None:
    state = committed(htlc())
    assert decide(state, {}) == (Look(leg=0), Look(leg=1))


def test_rule_13_commit_by_counts_on_the_clock_of_leg_0_at_its_latest() -> None:
    state = locked(two_key(), 0)
    commit_by = state.agreed.commit_by
    elsewhere = state.agreed.legs[1].ledger
    late_elsewhere = {**clocks(state, NOW), elsewhere: clocks(state, 9_999)[elsewhere]}
    assert decide(state, late_elsewhere) == (Lock(leg=1),)
    assert isinstance(owed(state, commit_by - 5, skew=5)[0], Record)
    assert owed(state, commit_by - 6, skew=5) == (Lock(leg=1),)


# ------------------------------------------------------------------ 15, 16


def test_rule_15_settled_only_after_the_last_leg_is_final() -> None:
    state = executed(committed(two_key()), 0)
    held = contract(state, 1, Status.EXECUTED, key_of(state, 1, Role.EXECUTION))
    assert tell(state, 1, held, final=False).phase is Phase.EXECUTING
    assert tell(state, 1, held).phase is Phase.SETTLED


def test_rule_16_both_keys_of_a_pair_on_ledgers_are_a_proof() -> None:
    state = two_key()
    held = [
        contract(state, 0, Status.EXECUTED, key_of(state, 0, Role.EXECUTION)),
        contract(state, 1, Status.CANCELLED, key_of(state, 1, Role.CANCELLATION)),
    ]
    (violation,) = invariants.keys_apart(state.agreed, held)
    assert violation.invariant == 3


# ------------------------------------------------------------------ across all protocols


@pytest.mark.parametrize("make", ALL)
def test_every_vault_key_that_is_owed_may_be_shown(make: Make) -> None:
    """`decide` and `keys` are two locks on one door: they agree."""
    opened = 0
    for state in (
        committed(make()),
        undone(make()),
        executed(committed(make()), 0, 1),
        executed(committed(make()), make().agreed.revealers[0]),
        refunded(committed(make()), make().agreed.revealers[0]),
        cancelled(undone(make()), 0),
    ):
        for command in owed(state):
            if isinstance(command, Unlock) and command.key is None:
                opened += 1
                held = state.agreed.holder and command.leg in state.agreed.revealers
                assert may_show(state, command.leg, command.role) and not held
    assert opened or make is htlc_party


@pytest.mark.parametrize("make", ALL)
def test_decide_is_repeatable_and_changes_nothing(make: Make) -> None:
    state = evolve(committed(make()), CancelRequested(by=MemberId("BUYER")))
    assert owed(state) == owed(state)
    assert evolve(state, CancelRequested(by=MemberId("BUYER"))) == state
