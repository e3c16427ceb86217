"""What an orchestrator needs of a process: secrets from files, a name for each replica."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import tomli_w

from gateway import cli
from gateway.config import ConfigurationError, database


def test_a_dsn_is_what_is_written_or_what_its_file_holds(tmp_path: Path) -> None:
    mounted = tmp_path / "uri"
    mounted.write_text("postgresql://lockstep:secret@postgres-rw/lockstep\n")
    assert database("postgresql://x/y") == "postgresql://x/y"
    assert database(f"file:{mounted}") == "postgresql://lockstep:secret@postgres-rw/lockstep"
    mounted.write_text("postgresql://lockstep:changed@postgres-rw/lockstep\n")
    assert "changed" in database(f"file:{mounted}"), "a rotated password is read again"


def test_a_dsn_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="uri: No such file"):
        database(f"file:{tmp_path}/uri")


def gateway_file(tmp_path: Path, dsn: str) -> Path:
    """A gateway without ledgers, its DSN in a file."""
    (tmp_path / "master").write_bytes(bytes(32))
    (tmp_path / "uri").write_text(dsn)
    settings = {
        "bic": "LKSPBEB0XXX",
        "dsn": f"file:{tmp_path}/uri",
        "master_file": f"{tmp_path}/master",
        "listen": "127.0.0.1:0",
        "metrics_listen": "127.0.0.1:0",
        "ledgers": {},
        "members": [],
    }
    file = tmp_path / "gateway.toml"
    file.write_text(tomli_w.dumps(settings))
    return file


async def replica_names(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {row["name"] for row in await connection.fetch("SELECT name FROM replica")}
    finally:
        await connection.close()


@pytest.mark.parametrize("how", ["option", "environment"])
async def test_replicas_share_a_file_and_have_names_of_their_own(
    how: str, tmp_path: Path, dsn: str
) -> None:
    option = ["--replica", "gateway-7"] if how == "option" else []
    environment = {"LOCKSTEP_REPLICA": "gateway-7"} if how == "environment" else {}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "gateway"),
        *("--config", str(gateway_file(tmp_path, dsn)), *option),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 100))
        assert ready["event"] == "ready"
        assert await replica_names(dsn) == {"gateway-7"}
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0


def test_migrate_reads_its_dsn_from_a_file(
    tmp_path: Path, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "uri").write_text(dsn)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gateway.cli", "migrate", "gateway", "--json"),
            *("--dsn", f"file:{tmp_path}/uri"),
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout)["applied"][0] == "0001_gateway"
    assert cli.run(["migrate", "ledger", "--dsn", f"file:{tmp_path}/none"]) == 1
    assert "No such file" in capsys.readouterr().err
