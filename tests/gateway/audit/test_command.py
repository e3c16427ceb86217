"""The command: exit codes, a table and lines for people, JSON for programs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway import cli
from gateway.audit.findings import Report
from tests.gateway.audit.day import Copy, Day


@pytest.fixture
def damaged(day: Day) -> Iterator[Day]:
    """A day with a balance that somebody has raised."""
    copy = Copy(day=day)
    theft = "UPDATE balances SET available = available + 100 WHERE account LIKE 'BANK-SEL%'"
    asyncio.run(copy.execute("bank", theft))
    yield day
    asyncio.run(copy.renew())


def arguments(day: Day) -> list[str]:
    found = ["audit", "--gateway-dsn", day.dsns["gateway"]]
    for name, key in day.keys.items():
        found += ["--ledger", f"{name}={day.dsns[name]}", "--key", f"{name}={key.hex()}"]
    return found


def test_a_clean_audit_is_a_table_and_a_verdict(
    day: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments(day)) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("Nothing is wrong: ")
    assert "are without gap, fold, and decide once" in out
    assert err.splitlines()[-1].startswith("bank: block ")


def test_findings_are_lines_that_name_the_place(
    damaged: Day, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments(damaged)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("4 findings: ")
    assert sum(line.startswith("balance: ledger bank: account BANK-SEL") for line in lines) == 2
    assert sum(line.startswith("conservation: ledger bank: expected none: ") for line in lines) == 2


def test_json_can_be_kept_and_given_to_the_next_audit(
    day: Day, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    assert cli.run([*arguments(day), "--json"]) == 0
    kept.write_text(capsys.readouterr().out)
    report = msgspec.json.decode(kept.read_bytes(), type=Report)
    assert report.clean and set(report.heads) == {"registry", "bank"}
    assert cli.run([*arguments(day), "--earlier", str(kept)]) == 0
    capsys.readouterr()
    head = msgspec.structs.replace(report.heads["bank"], hash="00" * 32)
    other = msgspec.structs.replace(report, heads={"bank": head})
    kept.write_bytes(msgspec.json.encode(other))
    assert cli.run([*arguments(day), "--earlier", str(kept)]) == 1
    assert "history was rewritten" in capsys.readouterr().out


def test_a_key_may_be_the_file_of_the_secret_one(
    day: Day, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "other.key"
    file.write_bytes(bytes(range(32)))
    assert cli.run([*arguments(day), "--key", f"bank={file}"]) == 1
    assert "signature: ledger bank block 1: expected a signature" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("--data", "{home}/nothing"), 1, "is no data directory"),
        (("--ledger", "bank"), 2, "write NAME=DSN"),
        (("--ledger", "bank=postgresql://127.0.0.1:1/x"), 1, "cannot be reached"),
        (("--ledger", "bank={registry}"), 1, "the public key of bank is not known"),
        (
            ("--ledger", "bank={registry}", "--key", f"bank={'00' * 32}"),
            1,
            "the database of bank is the ledger registry",
        ),
        (("--gateway-dsn", "{empty}"), 1, "a database cannot be read"),
        (("--key", "bank=nothing"), 1, "expected 32 bytes in hex, or a key file"),
        (("--earlier", "{file}"), 1, "expected what `audit --json` printed"),
    ],
)
def test_what_cannot_be_audited_is_said_in_a_line(
    day: Day,
    postgres_server: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    names = {
        "home": tmp_path,
        "registry": day.dsns["registry"],
        "empty": f"postgresql:///template1?host={postgres_server}&user=lockstep",
        "file": __file__,
    }
    assert cli.run(["audit", *(text.format(**names) for text in given)]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
