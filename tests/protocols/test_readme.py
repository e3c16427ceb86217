"""The README's table of reject codes says what the code says."""

from pathlib import Path

from protocols.iso20022.errors import RejectCode


def test_the_table_of_reject_codes_is_the_enumeration() -> None:
    text = (Path(__file__).parents[2] / "protocols" / "README.md").read_text("utf-8")
    rows = [f"| {c.value} | {c.status_hint} | {c.meaning} |" for c in RejectCode]
    assert [line for line in text.splitlines() if line.startswith("| X")] == rows
