"""What is a sound swap, and which field and rule are named when it is not."""

import pytest
from msgspec.structs import replace

from htlc.swap import Swap, check, pvp
from htlc.units import QUANTITY_MAX, Quantity
from tests.htlc.samples import (
    BUYER,
    CASH,
    CSD,
    DEALER,
    DOLLARS,
    ID,
    SECURITIES,
    SELLER,
    amount,
    changed,
    cross_swap,
    dvp_swap,
    hub_swap,
    party,
    ring_swap,
    with_secret,
)

MAX = 8


def named(swap: Swap) -> list[str]:
    return [fault.field for fault in check(swap, legs_max=MAX)]


def arrows(swap: Swap) -> list[tuple[str, str, str, str]]:
    return [(leg.leg, leg.payer.member, leg.payee.member, leg.asset) for leg in swap.legs]


def test_dvp_is_securities_against_cash() -> None:
    assert arrows(dvp_swap()) == [
        ("SECU", "SELLER", "BUYER", "ISIN"),
        ("CASH", "BUYER", "SELLER", "EUR"),
    ]
    assert named(dvp_swap()) == []


def test_pvp_is_one_currency_against_another() -> None:
    swap = pvp(ID, side_a=SELLER, side_b=BUYER, gives=CASH, gets=DOLLARS)
    assert arrows(swap) == [
        ("FXSA", "SELLER", "BUYER", "EUR"),
        ("FXSB", "BUYER", "SELLER", "USD"),
    ]
    assert named(swap) == []


def test_cross_currency_dvp_goes_through_a_dealer() -> None:
    assert arrows(cross_swap()) == [
        ("SECU", "SELLER", "BUYER", "ISIN"),
        ("FXSA", "BUYER", "DEALER", "EUR"),
        ("FXSB", "DEALER", "SELLER", "USD"),
    ]
    assert named(cross_swap()) == []


def test_a_ring_passes_gifts_on_until_they_come_back() -> None:
    assert arrows(ring_swap(3)) == [
        ("R0", "M0", "M1", "A0"),
        ("R1", "M1", "M2", "A1"),
        ("R2", "M2", "M0", "A2"),
    ]
    assert named(ring_swap(MAX)) == []


def test_payers_and_parties_are_the_same_people_in_a_sound_swap() -> None:
    for swap in (dvp_swap(), cross_swap(), ring_swap(5), hub_swap()):
        assert swap.payers == swap.parties


@pytest.mark.parametrize("count", [1, MAX + 1])
def test_too_few_or_too_many_legs_are_refused(count: int) -> None:
    swap = ring_swap(max(count, 2))
    assert named(changed(swap, legs=swap.legs[:count])) == ["legs"]


def test_a_leg_that_lies_on_no_cycle_is_named() -> None:
    """Somebody who gives and gets nothing back cannot be made safe by any protocol."""
    swap = dvp_swap()
    gift = amount(CSD, "GIFT").leg("GIFT", BUYER, DEALER)
    (fault,) = check(changed(swap, legs=(*swap.legs, gift)), legs_max=MAX)
    assert fault.field == "legs[2]"
    assert "GIFT" in fault.rule and "DEALER" in fault.rule and "BUYER" in fault.rule


def test_two_swaps_in_one_are_named_apart() -> None:
    other = [
        amount(CSD, "X").leg("X1", party("E"), party("F")),
        amount(CSD, "Y").leg("X2", party("F"), party("E")),
    ]
    swap = changed(dvp_swap(), legs=(*dvp_swap().legs, *other))
    assert named(swap) == ["legs[2]", "legs[3]"]


def test_nobody_pays_a_leg_to_itself() -> None:
    swap = dvp_swap()
    legs = (replace(swap.legs[0], payee=party("SELLER")), swap.legs[1])
    assert named(changed(swap, legs=legs)) == ["legs[0].payee.member"]


@pytest.mark.parametrize("name", ["", "secu", "SECURITY1", "SE-U"])
def test_a_leg_is_named_as_messages_can_carry_it(name: str) -> None:
    legs = (SECURITIES.leg(name, SELLER, BUYER), CASH.leg("CASH", BUYER, SELLER))
    assert named(Swap(id=ID, legs=legs)) == ["legs[0].leg"]


def test_two_legs_of_one_name_are_refused() -> None:
    legs = (SECURITIES.leg("A", SELLER, BUYER), CASH.leg("A", BUYER, SELLER))
    assert named(Swap(id=ID, legs=legs)) == ["legs[1].leg"]


@pytest.mark.parametrize(("quantity", "sound"), [(0, 0), (-1, 0), (1, 1), (QUANTITY_MAX, 1)])
def test_a_quantity_is_positive_and_fits_63_bits(quantity: int, sound: int) -> None:
    legs = (amount(CSD, "I", quantity).leg("SECU", SELLER, BUYER), dvp_swap().legs[1])
    assert (named(changed(dvp_swap(), legs=legs)) == []) == bool(sound)
    over = replace(legs[0], quantity=Quantity(QUANTITY_MAX + 1))
    assert named(changed(dvp_swap(), legs=(over, legs[1])))[0] == "legs[0].quantity"


def test_only_a_party_can_hold_the_secret() -> None:
    assert named(with_secret(dvp_swap(), BUYER)) == []
    assert named(with_secret(dvp_swap(), DEALER)) == ["secret.holder"]


def test_every_fault_is_named_at_once() -> None:
    legs = (
        amount(CSD, "I", 0).leg("bad", SELLER, SELLER),
        dvp_swap().legs[1],
    )
    assert named(changed(dvp_swap(), legs=legs)) == [
        "legs[0].leg",
        "legs[0].quantity",
        "legs[0].payee.member",
    ]
