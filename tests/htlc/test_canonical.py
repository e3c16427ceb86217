"""Canonical bytes against the published test data of RFC 8785."""

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from htlc.canonical import canonical, digest

DATA = Path(__file__).parent.parent / "vectors" / "jcs-rfc8785"
USED = ("arrays", "french", "unicode")
BEYOND = {
    "structures": "holds a float, which content that we hash never has",
    "values": "holds floats",
    "weird": "has a key outside the Basic Multilingual Plane; our keys are ASCII",
}


def test_every_file_of_the_published_data_is_used_or_known_to_be_beyond_our_content() -> None:
    assert {path.stem for path in (DATA / "input").iterdir()} == {*USED, *BEYOND}


def test_control_characters_are_escaped_as_published() -> None:
    """`weird` without its one key outside the Basic Multilingual Plane."""
    content = json.loads((DATA / "input" / "weird.json").read_bytes())
    expected = json.loads((DATA / "output" / "weird.json").read_bytes())
    assert content.pop("\U0001f602") == expected["\U0001f602"] == "Smiley"
    published = (DATA / "output" / "weird.json").read_text("utf-8")
    assert canonical(content).decode() == published.replace(',"\U0001f602":"Smiley"', "")


@pytest.mark.parametrize("name", USED)
def test_canonical_bytes_are_those_of_the_published_data(name: str) -> None:
    content = json.loads((DATA / "input" / f"{name}.json").read_bytes())
    assert canonical(content) == (DATA / "output" / f"{name}.json").read_bytes()


class Terms(msgspec.Struct):
    zeta: str
    alpha: str


def test_a_struct_is_written_like_the_dict_of_its_fields() -> None:
    as_dict = {"alpha": "1", "zeta": "2"}
    assert (
        canonical(Terms(zeta="2", alpha="1")) == canonical(as_dict) == b'{"alpha":"1","zeta":"2"}'
    )


def test_the_digest_is_sha256_of_the_canonical_bytes() -> None:
    expected = hashlib.sha256(b'{"a":"1","b":["x"]}').digest()
    assert digest({"b": ["x"], "a": "1"}) == expected
