"""Decimals, instants and cursors: one spelling for a value, and nothing rounded."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.http
from gateway.http import notation
from gateway.http.notation import Form, Unreadable
from gateway.http.problems import Kind
from htlc.units import QUANTITY_MAX
from tests.gateway.http.client import DOCUMENT


@given(value=st.integers(1, QUANTITY_MAX), scale=st.integers(0, 18))
def test_a_decimal_is_read_back_as_it_was(value: int, scale: int) -> None:
    text = notation.decimal(value, scale)
    assert notation.units(text, scale) == value
    assert re.fullmatch(notation.QUANTITY.pattern, text)
    assert len(text.partition(".")[2]) == scale


@given(value=st.integers(1, 10**9), scale=st.integers(0, 6), more=st.integers(1, 6))
def test_a_decimal_with_too_many_digits_is_never_rounded(value: int, scale: int, more: int) -> None:
    with pytest.raises(Unreadable, match=f"{scale} decimals"):
        notation.units(notation.decimal(value, scale + more), scale)


@pytest.mark.parametrize(
    ("text", "scale", "value"),
    [("1", 2, 100), ("0.01", 2, 1), ("1.5", 2, 150), (f"{QUANTITY_MAX}", 0, QUANTITY_MAX)],
)
def test_a_decimal_is_counted_in_the_smallest_unit(text: str, scale: int, value: int) -> None:
    assert notation.units(text, scale) == value


@given(st.integers(0, 2**63 - 1))
def test_a_cursor_is_read_back_and_sorts_like_its_place(place: int) -> None:
    assert notation.sequence(notation.cursor(place)) == place
    assert notation.cursor(place) <= notation.cursor(2**63 - 1)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-10-06T09:00:00.5Z", 1_791_277_200_500_000_000),
        ("2026-10-06T09:00:00.000000001Z", 1_791_277_200_000_000_001),
    ],
)
def test_an_instant_is_nanoseconds(text: str, at: int) -> None:
    assert notation.nanoseconds(text) == at


FORMS = [form for form in vars(notation).values() if isinstance(form, Form)]


@pytest.mark.parametrize("form", FORMS, ids=[form.rule[:20] for form in FORMS])
def test_the_published_pattern_is_the_one_that_is_asked(form: Form) -> None:
    """A pattern in the description that nobody uses, or that Python reads otherwise, would lie."""
    assert json.dumps(form.pattern) in json.dumps(DOCUMENT)
    assert form.pattern.startswith("^")
    assert form.pattern.endswith("$")
    assert not form.compiled().fullmatch("\n")


def test_the_readme_has_every_kind_of_problem() -> None:
    assert gateway.http.__file__ is not None
    readme = (Path(gateway.http.__file__).parent / "README.md").read_text("utf-8")
    table = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (\d+) \|$", readme, re.MULTILINE)
    assert table == [(kind.value, kind.title, str(kind.status)) for kind in Kind]
