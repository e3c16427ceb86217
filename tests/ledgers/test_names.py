"""Names checked many at a time are those that are names one by one."""

from itertools import product

import pytest

from ledgers.names import are_ids, are_terms, is_leg, is_name, is_uuid

UUID = "019ab3c4-0046-7000-80a9-660fc0363388"
TEXTS = (
    *(UUID, UUID.upper(), UUID.replace("-", ""), f"{UUID} ", f"{UUID} {UUID}", f"{UUID}\n"),
    *("L1", "L1\n", "l1", "LEG-1", "L" * 8, "L" * 9, "L1 A"),
    *("SAFE-1", "A" * 64, "A" * 65, "A B", "É", "A\x00", "", " "),
)
GOOD = (UUID, UUID, "L1", "SAFE-1", "SAFE-2", "XS9998000014")


@pytest.mark.parametrize("place", range(6))
def test_each_of_the_six_names_of_terms_is_checked_by_its_own_rule(place: int) -> None:
    rule = (is_uuid, is_uuid, is_leg, is_name, is_name, is_name)[place]
    for text in TEXTS:
        names = (*GOOD[:place], text, *GOOD[place + 1 :])
        assert are_terms(*names) == rule(text), names
        if place < 3:
            assert are_ids(*names[:3]) == rule(text), names


def test_what_is_no_name_is_none_beside_another_one() -> None:
    for first, second in product(TEXTS, repeat=2):
        names = (UUID, UUID, "L1", "SAFE-1", first, second)
        assert are_terms(*names) == (is_name(first) and is_name(second)), names
        assert are_ids(first, second, "L1") == (is_uuid(first) and is_uuid(second))
