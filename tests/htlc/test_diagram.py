"""The README shows what the code does, and names tests that exist."""

import re
from pathlib import Path

import pytest

from htlc import contract, diagram
from htlc.contract import Htlc, Refusal
from htlc.settlement import Phase
from htlc.swap import LockProtocol
from htlc.units import Instant

TEXT = diagram.README.read_text()


def test_the_diagrams_of_the_readme_are_those_of_the_code() -> None:
    assert diagram.written_into(TEXT) == TEXT, "run: python -m htlc.diagram --write"
    assert set(re.findall(r"<!-- diagram: (\w+) -->", TEXT)) == set(diagram.diagrams())


def test_every_test_that_the_readme_names_exists() -> None:
    here = Path(__file__).parent
    tests = {
        name
        for file in here.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", TEXT)) - {file.stem for file in here.glob("test_*.py")}
    assert len(named) > 20
    assert named <= tests


def test_only_htlc_can_break_and_only_its_legs_are_refunded() -> None:
    for protocol in LockProtocol:
        edges = diagram.settlement_edges(protocol)
        breaks = any(after is Phase.BROKEN for _, after in edges)
        assert breaks == (protocol is LockProtocol.HTLC)
    causes = [
        what for whats in diagram.settlement_edges(LockProtocol.TWO_KEY).values() for what in whats
    ]
    assert not any("REFUNDED" in what for what in causes)


def test_a_planted_boundary_shows_in_the_diagram_of_the_contract(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = diagram.contract_diagram()
    execute = contract.execute

    def late(held: Htlc, key: bytes, at: Instant) -> Htlc | Refusal:
        return execute(held, key, Instant(at - 1))

    monkeypatch.setattr(contract, "execute", late)
    assert diagram.contract_diagram() != drawn


def test_the_command_prints_all_diagrams(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["diagram"])
    diagram.main()
    printed = capsys.readouterr().out
    assert re.findall(r"^%% (\w+)$", printed, re.MULTILINE) == ["contract", *LockProtocol]
