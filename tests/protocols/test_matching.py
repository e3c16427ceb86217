"""Matching: each field changed alone gives its code; tolerance at its edges; the best candidate."""

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.iso20022.codes import UnmatchedReason as Reason
from protocols.iso20022.instruction import (
    Client,
    CreditDebit,
    CumEx,
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
)
from protocols.matching import (
    T2S_TOLERANCE,
    Candidate,
    Matched,
    NearMiss,
    best,
    compare,
    keys,
)
from tests.protocols import samples

DELIVERY = samples.delivery()
RECEIPT = samples.receipt()


def altered(i: SettlementInstruction, **fields: Any) -> SettlementInstruction:
    return msgspec.structs.replace(i, **fields)


def side(i: SettlementInstruction, name: str, **fields: Any) -> SettlementInstruction:
    return altered(i, **{name: msgspec.structs.replace(getattr(i, name), **fields)})


def reasons(x: SettlementInstruction, y: SettlementInstruction) -> list[str]:
    assert compare(x, y, T2S_TOLERANCE) == compare(y, x, T2S_TOLERANCE)
    return [reason.value for reason in compare(x, y, T2S_TOLERANCE)]


def candidate(i: SettlementInstruction, name: str = "c", entered_at: int = 1) -> Candidate:
    return Candidate(id=name, entered_at=entered_at, instruction=i)


CLIENT = Client(bic="CLNTDEF0XXX")
SAME_ID = Client(proprietary_id="CLNTDEF0XXX", proprietary_issuer="REGADEF0XXX")
MANDATORY = {
    "payment": (
        altered(RECEIPT, payment=Payment.FREE, amount=None, currency=None, credit_debit=None),
        "FRAP",
    ),
    "payment, amount kept": (altered(RECEIPT, payment=Payment.FREE), "FRAP"),
    "movement": (altered(RECEIPT, movement=Movement.DELI), "DELN"),
    "credit or debit": (altered(RECEIPT, credit_debit=CreditDebit.CRDT), "DELN"),
    "both directions": (
        altered(RECEIPT, movement=Movement.DELI, credit_debit=CreditDebit.CRDT),
        "DELN",
    ),
    "ISIN": (altered(RECEIPT, isin="XS9990000028"), "DSEC"),
    "quantity": (altered(RECEIPT, quantity="1000001"), "DQUA"),
    "quantity type": (altered(RECEIPT, quantity_type=QuantityType.UNIT), "DQUA"),
    "trade date": (altered(RECEIPT, trade_date=date(2026, 10, 5)), "DTRD"),
    "settlement date": (altered(RECEIPT, settlement_date=date(2026, 10, 9)), "DDAT"),
    "currency": (altered(RECEIPT, currency="CHF"), "NCRR"),
    "amount": (altered(RECEIPT, amount="998775.01"), "DMON"),
    "delivering depository": (side(RECEIPT, "delivering", depository="REGBDEF0XXX"), "DEPT"),
    "receiving depository": (side(RECEIPT, "receiving", depository="REGBDEF0XXX"), "DEPT"),
    "delivering party": (side(RECEIPT, "delivering", party1="OTHRDEF0XXX"), "ICAG"),
    "receiving party": (side(RECEIPT, "receiving", party1="OTHRDEF0XXX"), "ICAG"),
}
ADDITIONAL = {
    "opt-out": (DELIVERY, altered(RECEIPT, opt_out=True), "DMCT"),
    "cum on one side": (DELIVERY, altered(RECEIPT, cum_ex=CumEx.CUM), "DCMX"),
    "cum and ex": (altered(DELIVERY, cum_ex=CumEx.EX), altered(RECEIPT, cum_ex=CumEx.CUM), "DCMX"),
}
OPTIONAL = {
    "common reference": (
        altered(DELIVERY, common_id="A"),
        altered(RECEIPT, common_id="a"),
        "IIND",
    ),
    "delivering client": (
        side(DELIVERY, "delivering", party2=CLIENT),
        side(RECEIPT, "delivering", party2=Client(bic="ELSEDEF0XXX")),
        "ICUS",
    ),
    "receiving client, BIC and proprietary id": (
        side(DELIVERY, "receiving", party2=CLIENT),
        side(RECEIPT, "receiving", party2=SAME_ID),
        "ICUS",
    ),
    "delivering account": (
        DELIVERY,
        side(RECEIPT, "delivering", account="REGA-SELADE-0002"),
        "SAFE",
    ),
    "receiving account": (
        side(DELIVERY, "receiving", account="REGA-BUYRFR-0002"),
        RECEIPT,
        "SAFE",
    ),
}


def test_two_sides_of_a_trade_match() -> None:
    assert reasons(DELIVERY, RECEIPT) == []
    deliver = samples.read(samples.deliver())
    head = samples.sample("head.001-sese.023.xml")
    receive = samples.read(samples.wrapped(head, samples.sample("sese.023-receive.xml")))
    assert reasons(deliver, receive) == []
    assert keys(deliver) == keys(receive)


@pytest.mark.parametrize("name", MANDATORY)
def test_a_mandatory_field_changed_alone_gives_its_code(name: str) -> None:
    other, code = MANDATORY[name]
    assert reasons(DELIVERY, other) == [code]


@pytest.mark.parametrize("name", ADDITIONAL)
def test_an_additional_field_is_filled_on_both_sides_or_on_none(name: str) -> None:
    x, y, code = ADDITIONAL[name]
    assert reasons(x, y) == [code]


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_field_filled_on_both_sides_must_be_equal(name: str) -> None:
    x, y, code = OPTIONAL[name]
    assert reasons(x, y) == [code]
    assert keys(x) == keys(y)


@pytest.mark.parametrize("name", [n for n in OPTIONAL if "account" not in n])
def test_an_optional_field_matches_a_blank(name: str) -> None:
    x, y, _ = OPTIONAL[name]
    assert reasons(x, RECEIPT) == []
    assert reasons(DELIVERY, y) == []


def test_a_client_known_by_name_only_is_compared_with_nobody() -> None:
    x = side(DELIVERY, "delivering", party2=Client())
    assert reasons(x, side(RECEIPT, "delivering", party2=CLIENT)) == []


def free(i: SettlementInstruction) -> SettlementInstruction:
    return altered(i, payment=Payment.FREE, amount=None, currency=None, credit_debit=None)


def test_free_of_payment_an_amount_is_an_additional_field() -> None:
    x, y = free(DELIVERY), free(RECEIPT)
    with_amount = altered(y, amount="10", currency="EUR", credit_debit=CreditDebit.DBIT)
    its_pair = altered(x, amount="10", currency="EUR", credit_debit=CreditDebit.CRDT)
    assert reasons(x, y) == []
    assert reasons(x, with_amount) == ["DMON"]
    assert reasons(its_pair, with_amount) == []
    assert reasons(altered(its_pair, amount="10.01"), with_amount) == ["DMON"]
    assert keys(x) == keys(with_amount)


def test_lock_blocks_match_a_blank_or_their_equal() -> None:
    lock = samples.read(samples.deliver()).lock
    assert lock is not None
    told = msgspec.structs.replace(lock, leg="CASH", expiries=lock.expiries[::-1])
    later = msgspec.structs.replace(
        lock, expiries=(msgspec.structs.replace(lock.expiries[0], expires_at=1), lock.expiries[1])
    )
    x = altered(DELIVERY, lock=lock)
    assert reasons(x, RECEIPT) == []
    assert reasons(x, altered(RECEIPT, lock=told)) == []
    assert reasons(x, altered(RECEIPT, lock=later)) == ["HTLM"]
    assert reasons(x, altered(RECEIPT, lock=msgspec.structs.replace(lock, secret_holder=None))) == [
        "HTLM"
    ]
    digest = msgspec.structs.replace(lock.execution_lock, digest="00" * 32)
    other_hash = msgspec.structs.replace(lock, execution_lock=digest)
    assert reasons(x, altered(RECEIPT, lock=other_hash)) == ["HTLM"]


@pytest.mark.parametrize(
    ("delivered", "received", "match"),
    [
        ("100000", "99998", True),
        ("100000", "100002", True),
        ("100000", "99997.99", False),
        ("100000", "100002.01", False),
        ("100000.01", "99975.01", True),
        ("100000.01", "100025.01", True),
        ("100000.01", "99975", False),
        ("100000.01", "100025.02", False),
        ("50", "52", True),
        ("50", "52.01", False),
    ],
)
def test_the_deliverers_amount_chooses_the_tolerance(
    delivered: str, received: str, match: bool
) -> None:
    x, y = altered(DELIVERY, amount=delivered), altered(RECEIPT, amount=received)
    assert reasons(x, y) == ([] if match else ["DMON"])
    assert keys(x) == keys(y)


def test_a_currency_without_bands_matches_exactly() -> None:
    x = altered(DELIVERY, currency="CHF")
    y = altered(RECEIPT, currency="CHF", amount="998750.01")
    assert reasons(x, y) == ["DMON"]
    assert reasons(x, altered(y, amount="998750")) == []


@pytest.mark.parametrize("name", MANDATORY)
def test_a_near_miss_shares_a_key_and_is_told_by_its_code(name: str) -> None:
    other, code = MANDATORY[name]
    mine, theirs = keys(DELIVERY), keys(other)
    assert mine.a == theirs.a or mine.b == theirs.b
    assert best(DELIVERY, [candidate(other)]) == NearMiss(id="c", reason=Reason(code))


def test_two_differences_are_no_near_miss() -> None:
    other = altered(RECEIPT, isin="XS9990000028", quantity="1")
    assert best(DELIVERY, [candidate(other)]) is None
    both = side(side(RECEIPT, "delivering", depository="X"), "receiving", depository="X")
    assert best(DELIVERY, [candidate(both)]) is None
    assert best(DELIVERY, []) is None


def test_the_smallest_difference_wins_then_the_oldest() -> None:
    def amount(text: str) -> SettlementInstruction:
        return altered(RECEIPT, amount=text)

    far, near, exact = amount("998740"), amount("998749"), amount("998750")
    candidates = [candidate(far, "far", 1), candidate(near, "near", 2)]
    assert best(DELIVERY, candidates) == Matched(id="near", amount="998750")
    candidates += [candidate(exact, "young", 9), candidate(exact, "old", 8)]
    assert best(DELIVERY, candidates) == Matched(id="old", amount="998750")


def test_the_deliverers_amount_settles_whoever_asks() -> None:
    receive = altered(RECEIPT, amount="998755")
    assert best(DELIVERY, [candidate(receive)]) == Matched(id="c", amount="998750")
    assert best(receive, [candidate(DELIVERY)]) == Matched(id="c", amount="998750")


def test_the_most_specific_near_miss_is_told_then_the_oldest() -> None:
    amount = altered(RECEIPT, amount="1")
    isin = altered(RECEIPT, isin="XS9990000028")
    candidates = [candidate(amount, "a", 1), candidate(isin, "b", 3), candidate(isin, "c", 2)]
    assert best(DELIVERY, candidates) == NearMiss(id="c", reason=Reason.DSEC)


def test_two_deliveries_of_one_party_are_two_trades() -> None:
    assert best(DELIVERY, [candidate(altered(DELIVERY, transaction_id="2"))]) is None


def test_a_move_between_own_accounts_may_mistake_its_direction() -> None:
    own = side(DELIVERY, "receiving", party1=samples.SELLER)
    twin = altered(own, transaction_id="2")
    assert best(own, [candidate(twin)]) == NearMiss(id="c", reason=Reason.DELN)


def test_a_bic_of_eight_matches_the_one_of_eleven() -> None:
    short = side(RECEIPT, "delivering", party1="SELADEF0", depository="REGADEF0")
    assert reasons(DELIVERY, short) == []
    assert keys(DELIVERY) == keys(short)


def _texts() -> st.SearchStrategy[str]:
    return st.text("ab\0", max_size=3)


@given(_texts(), _texts(), _texts(), _texts())
def test_other_fields_give_other_keys(a: str, b: str, c: str, d: str) -> None:
    """Fields are separated, so that moving a character from one to the next is seen."""
    x = side(altered(DELIVERY, isin=a), "receiving", party1=b)
    y = side(altered(DELIVERY, isin=c), "receiving", party1=d)
    clean = not any("\0" in text for text in (a, b, c, d))
    if clean:
        same = (a, b if len(b) == 11 else b + "XXX") == (c, d if len(d) == 11 else d + "XXX")
        assert (keys(x).a == keys(y).a) == same
