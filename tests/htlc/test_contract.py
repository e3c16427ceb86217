"""One contract: how it ends, exactly once, and what its boundaries are."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from htlc import contract
from htlc.contract import Htlc, Refusal, Status, Terms
from htlc.hashlock import HashFunction
from htlc.units import AccountId, AssetId, HtlcId, Instant, LegId, Quantity, SettlementId

EXECUTION_KEY, CANCELLATION_KEY, WRONG_KEY = (bytes([n]) * 32 for n in (1, 2, 3))
SHA256 = HashFunction()
LOCK_BY, EXPIRES_AT, NOW = Instant(100), Instant(200), Instant(50)

TWO_KEY = Terms(
    id=HtlcId("00000000-0000-4000-8000-000000000001"),
    settlement=SettlementId("00000000-0000-4000-8000-000000000002"),
    leg=LegId("CASH"),
    payer=AccountId("alice"),
    payee=AccountId("bob"),
    asset=AssetId("EUR"),
    quantity=Quantity(5),
    execution_lock=SHA256.lock(EXECUTION_KEY),
    cancellation_lock=SHA256.lock(CANCELLATION_KEY),
    lock_by=LOCK_BY,
)
BACKSTOP = msgspec.structs.replace(TWO_KEY, expires_at=EXPIRES_AT)
PLAIN = msgspec.structs.replace(BACKSTOP, cancellation_lock=None)


def made(terms: Terms) -> Htlc:
    htlc = contract.lock(terms, NOW)
    assert isinstance(htlc, Htlc)
    return htlc


@pytest.mark.parametrize(("at", "locks"), [(99, True), (100, False), (101, False)])
def test_a_lock_needs_an_instant_before_lock_by(at: int, locks: bool) -> None:
    told = contract.lock(TWO_KEY, Instant(at))
    assert told == (
        Htlc(terms=TWO_KEY, status=Status.LOCKED, locked_at=Instant(at))
        if locks
        else Refusal.TOO_LATE
    )


@pytest.mark.parametrize(("at", "claims"), [(199, True), (200, False), (201, False)])
def test_a_claim_needs_an_instant_before_the_expiry_and_a_refund_the_others(
    at: int, claims: bool
) -> None:
    claimed = contract.execute(made(PLAIN), EXECUTION_KEY, Instant(at))
    refunded = contract.refund(made(PLAIN), Instant(at))
    assert isinstance(claimed, Htlc) is claims
    assert isinstance(refunded, Htlc) is not claims
    assert Refusal.EXPIRED in (claimed, None) or refunded is Refusal.NOT_EXPIRED


def test_a_wrong_key_is_told_before_a_passed_expiry() -> None:
    """Otherwise a wrong key would learn nothing and be tried on the next ledger."""
    assert contract.execute(made(PLAIN), WRONG_KEY, EXPIRES_AT) is Refusal.WRONG_KEY


def test_the_cancellation_key_works_at_any_time() -> None:
    for at in (NOW, EXPIRES_AT, Instant(10**18)):
        ended = contract.cancel(made(BACKSTOP), CANCELLATION_KEY, at)
        assert isinstance(ended, Htlc) and ended.key == CANCELLATION_KEY and ended.ended_at == at


def test_a_refund_keeps_no_key() -> None:
    ended = contract.refund(made(BACKSTOP), EXPIRES_AT)
    assert isinstance(ended, Htlc) and ended.status is Status.CANCELLED and ended.key is None


def test_what_a_contract_lacks_is_refused() -> None:
    assert contract.cancel(made(PLAIN), CANCELLATION_KEY, NOW) is Refusal.NO_CANCELLATION_LOCK
    assert contract.refund(made(TWO_KEY), Instant(10**18)) is Refusal.NO_EXPIRY


def test_a_cancel_after_a_refund_and_the_reverse_are_told_apart() -> None:
    refunded = contract.refund(made(BACKSTOP), EXPIRES_AT)
    cancelled = contract.cancel(made(BACKSTOP), CANCELLATION_KEY, NOW)
    assert isinstance(refunded, Htlc) and isinstance(cancelled, Htlc)
    told = contract.cancel(refunded, CANCELLATION_KEY, EXPIRES_AT)
    assert told is Refusal.ALREADY_CANCELLED
    assert contract.refund(cancelled, EXPIRES_AT) is Refusal.ALREADY_CANCELLED


def test_a_replay_finds_the_contract_as_it_was_left() -> None:
    """A lost answer is asked for again: the same key is no refusal, another one tells the end."""
    executed = contract.execute(made(BACKSTOP), EXECUTION_KEY, Instant(60))
    assert isinstance(executed, Htlc)
    assert (executed.key, executed.locked_at, executed.ended_at) == (EXECUTION_KEY, NOW, 60)
    assert contract.execute(executed, EXECUTION_KEY, Instant(70)) is executed
    assert contract.execute(executed, WRONG_KEY, Instant(70)) is Refusal.ALREADY_EXECUTED

    cancelled = contract.cancel(made(BACKSTOP), CANCELLATION_KEY, Instant(60))
    assert isinstance(cancelled, Htlc)
    assert contract.cancel(cancelled, CANCELLATION_KEY, Instant(70)) is cancelled
    assert contract.cancel(cancelled, WRONG_KEY, Instant(70)) is Refusal.ALREADY_CANCELLED

    refunded = contract.refund(made(BACKSTOP), EXPIRES_AT)
    assert isinstance(refunded, Htlc)
    assert contract.refund(refunded, Instant(300)) is refunded


ATTEMPTS = st.lists(
    st.tuples(
        st.sampled_from(["execute", "cancel", "refund"]),
        st.sampled_from([EXECUTION_KEY, CANCELLATION_KEY, WRONG_KEY, b"", EXECUTION_KEY[:31]]),
        st.integers(0, 20),
    ),
    max_size=12,
)


@given(st.sampled_from([TWO_KEY, BACKSTOP, PLAIN]), ATTEMPTS)
def test_a_contract_ends_once_and_stays_as_it_ended(
    terms: Terms, attempts: list[tuple[str, bytes, int]]
) -> None:
    htlc, at, endings = made(terms), 190, []
    for verb, key, passed in attempts:
        at += passed
        after = _attempt(htlc, verb, key, Instant(at))
        if isinstance(after, Htlc) and after is not htlc:
            endings.append((verb, at))
            htlc = after
    assert len(endings) <= 1
    if endings:
        verb, ended_at = endings[0]
        assert htlc.status is (Status.EXECUTED if verb == "execute" else Status.CANCELLED)
        assert htlc.ended_at == ended_at and htlc.terms == terms
        expired = terms.expires_at is not None and ended_at >= terms.expires_at
        assert {"execute": not expired, "refund": expired, "cancel": True}[verb]


def _attempt(htlc: Htlc, verb: str, key: bytes, at: Instant) -> Htlc | Refusal:
    match verb:
        case "execute":
            return contract.execute(htlc, key, at)
        case "cancel":
            return contract.cancel(htlc, key, at)
        case _:
            return contract.refund(htlc, at)
