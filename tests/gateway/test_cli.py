"""The command line: exit codes, one-line errors, what is loaded for what."""

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from gateway import cli
from gateway.cli import settlement
from gateway.cli.printing import print_table
from gateway.cli.terminal import Failure, connect
from gateway.demo.expected import DAY
from gateway.http import wire
from gateway.machine.data_directory import DataDirectory, Ready

SINGLE = DAY / "RHEIDEF0XXX" / "04-single.xml"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and the line on standard error of a call that fails."""
    code = cli.run(list(arguments))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("lockstep: ")
    assert err.count("\n") == 1
    return code, err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    out = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: lockstep {name} ")


def test_help_loads_no_database_and_no_network() -> None:
    script = (
        "import sys; from gateway import cli; cli.run(['--help']); "
        "print([m for m in ('asyncpg', 'aiohttp', 'lxml', 'rich', 'cryptography') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing command"),
        (("settlement",), "Missing command"),
        (("scenario",), "Missing command"),
        (("registry",), "Missing command"),
        (("upp",), "No such command 'upp'"),
        (("restore", "--dsn", "postgresql://x"), "say --may-lack-records"),
        (("restore", "--may-lack-records", "--since", "noon"), "is no instant with a zone"),
        (("up", "--business-date", "2026-13-01"), "2026-13-01 is no day; write YYYY-MM-DD"),
        (("up", "--business-date", "20261008"), "20261008 is no day"),
        (("up", "--dsn", "registry"), "write NAME=DSN"),
        (("up", "--registries", "0"), "0 is not in the range x>=1"),
        (("send", "--as", "X"), "Missing argument 'FILE…'"),
        (("send", "/nowhere.xml", "--as", "X"), "'/nowhere.xml' does not exist"),
        (("inbox",), "Missing option '--as'"),
        (("ledger",), "Missing option '--config'"),
        (("settlement", "list", "--as", "X", "--limit", "0"), "0 is not in the range"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = refused(capsys, *arguments)
    assert code == 2
    assert said in err
    assert "--help`)" in err


def test_a_world_that_is_not_there_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = refused(capsys, "up", "--world", "mars", "--data", str(tmp_path / "d"))
    assert code == 1
    assert (
        "there is no world 'mars': take one of cross-border, cross-currency, dvp, pvp, ring" in err
    )
    assert not (tmp_path / "d" / "running.json").exists()


def test_a_conversation_tells_what_each_notice_says() -> None:
    said = wire.Said(
        direction="out",
        id="1",
        definition="lockstep.settlement.1",
        related=None,
        at="2026-10-08T08:00:00Z",
        message={"settlement": "s", "state": "SETTLED", "final": True},
    )
    assert settlement.line(said)[-1] == "SETTLED"
    assert settlement.line(msgspec.structs.replace(said, direction="in"))[-1] == ""


def test_a_database_that_does_not_answer_is_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, so that nobody else answers there
        dsn = f"postgresql://x@127.0.0.1:{nobody.getsockname()[1]}/x?sslmode=disable"
        code, err = refused(capsys, "migrate", "gateway", "--dsn", dsn)
    assert code == 1
    assert "nothing answers where --dsn or the configuration points" in err


def test_a_database_for_nobody_is_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = refused(capsys, "up", "--dsn", "gold=postgresql://x", "--data", str(tmp_path))
    assert code == 1
    assert "--dsn gold: expected one of registry, euro, gateway" in err


def test_without_a_running_gateway_it_is_said_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = refused(capsys, "inbox", "--as", "ALSTDEF0XXX", "--data", str(tmp_path))
    assert code == 1
    assert f"no `lockstep up` is ready in {tmp_path}; start it, or give --data" in err


def test_a_wrong_configuration_names_key_and_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ledger.toml"
    file.write_text('ledger = "euro"\ndsm = "x"\n')
    code, err = refused(capsys, "ledger", "--config", str(file))
    assert code == 1
    assert "unknown field `dsm`" in err


class TestConnect:
    """Where a command finds the gateway and its token."""

    def running(self, tmp_path: Path) -> DataDirectory:
        directory = DataDirectory(tmp_path)
        members = directory.write(
            "members.json",
            b'{"members":{"ALSTDEF0XXX":{"token":"t","accounts":{}}},"operators":{}}',
        )
        directory.announce(
            Ready(
                gateway="http://here",
                bic="LKSPBEB0XXX",
                metrics={},
                ledgers={},
                members=str(members),
                registries={"securities": {"KZ": "http://kz", "UZ": "http://uz"}},
            )
        )
        return directory

    def test_by_default_it_is_the_running_up(self, tmp_path: Path) -> None:
        found = connect("ALSTDEF0XXX", None, None, self.running(tmp_path))
        assert (found.url, found.token) == ("http://here", "t")

    def test_another_gateway_and_members_file_can_be_named(self, tmp_path: Path) -> None:
        directory = self.running(tmp_path / "up")
        found = connect(
            "ALSTDEF0XXX", "https://there", directory.members, DataDirectory(tmp_path / "none")
        )
        assert (found.url, found.token) == ("https://there", "t")

    def test_somebody_unknown_has_no_token(self, tmp_path: Path) -> None:
        with pytest.raises(Failure, match="has no token for NEMOGB20XXX"):
            connect("NEMOGB20XXX", None, None, self.running(tmp_path))

    @pytest.mark.parametrize(
        ("options", "code", "said"),
        [
            (("--registry", "KG"), 1, "no registry KG in the `lockstep up` of"),
            (("--registry", "KZ", "--gateway", "http://x"), 2, "give one of them"),
        ],
    )
    def test_a_registry_is_one_of_the_running_ones(
        self,
        options: tuple[str, ...],
        code: int,
        said: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.running(tmp_path)
        data = ("--data", str(tmp_path))
        found, err = refused(capsys, "inbox", "--as", "ALSTDEF0XXX", *options, *data)
        assert (found, said in err) == (code, True), err

    @pytest.fixture(autouse=True)
    def _made(self, tmp_path: Path) -> None:
        (tmp_path / "up").mkdir()


class TestValidate:
    """What intake would answer, offline."""

    def verdicts(
        self, capsys: pytest.CaptureFixture[str], *arguments: str
    ) -> tuple[int, list[dict[str, object]]]:
        code = cli.run(["validate", "--json", "--business-date", "2026-10-08", *arguments])
        return code, json.loads(capsys.readouterr().out)

    def test_a_good_message_is_accepted(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, (verdict,) = self.verdicts(capsys, str(SINGLE))
        assert code == 0
        assert verdict["accepted"]
        assert verdict["definition"] == "sese.023.001.11"

    @pytest.mark.parametrize(
        ("file", "code", "place"),
        [
            ("ALSTDEF0XXX/81-not-xml.xml", "XWEL", "1:1"),
            ("RHEIDEF0XXX/81-schema.xml", "XSDV", "/TradDtls/SttlmDate"),
            ("LUTEFRP0XXX/81-version.xml", "XVER", "/Document"),
            ("CIBEESM0XXX/82-dsec.xml", "DSEC", "/FinInstrmId/ISIN"),
            ("DKUSNL20XXX/82-dmon.xml", "DMON", "/SttlmAmt/Amt"),
            ("PADAITM0XXX/82-icag.xml", "ICAG", "/RcvgSttlmPties/Pty1/Id/AnyBIC"),
        ],
    )
    def test_a_bad_one_is_refused_with_code_and_place(
        self, file: str, code: str, place: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        exit_code, (verdict,) = self.verdicts(capsys, str(DAY / file))
        assert exit_code == 1
        assert verdict["code"] == code
        assert str(verdict["place"]).endswith(place)

    def test_the_whole_day_is_judged_as_a_gateway_judges_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        batches = [str(path) for path in sorted(DAY.glob("*/0*.xml"))]
        code, verdicts = self.verdicts(capsys, *batches)
        assert code == 0
        assert len(verdicts) > 400

    def test_a_table_is_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run(["validate", str(SINGLE)]) == 0
        assert "accepted" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("known", "names"),
        [("dvp", ("deliver", "receive")), ("pvp", ("fx-sell", "fx-buy"))],
    )
    def test_what_a_newcomer_sends_first_is_accepted(
        self, capsys: pytest.CaptureFixture[str], known: str, names: tuple[str, ...]
    ) -> None:
        files = [str(DAY.parent / "first" / f"{name}.xml") for name in names]
        code, verdicts = self.verdicts(capsys, "--world", known, *files)
        assert (code, [verdict["accepted"] for verdict in verdicts]) == (0, [True, True])

    def test_the_place_of_a_broken_end_is_told_once(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        cut = tmp_path / "cut.xml"
        cut.write_bytes(SINGLE.read_bytes()[:700])
        code, (verdict,) = self.verdicts(capsys, str(cut))
        assert (code, verdict["code"]) == (1, "XWEL")
        assert "column" not in verdict["why"] and ":" in verdict["place"]


def test_text_from_outside_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("what",), [("\x1b[31mred[/]",)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[31mred[/]" in out


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ((), "/v1/settlements"),
        (("--of", "ledger"), "/v1/operations"),
        (("--of", "registry"), "/v1/registry/head"),
    ],
)
def test_openapi_prints_the_description(
    words: Sequence[str], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["openapi", *words]) == 0
    assert path in json.loads(capsys.readouterr().out)["paths"]
