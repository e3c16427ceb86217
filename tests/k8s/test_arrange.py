"""What `arrange` writes for a laptop is what the processes start with, seed and settle on: the same
files, with the places of a pod replaced by places here."""

import asyncio
import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import tomli_w

from gateway.client import GatewayClient
from gateway.config import Settings, read
from gateway.machine import arrangement
from gateway.machine.ledger_client import LedgerClient
from gateway.process.ledger import LedgerProcess
from k8s.arrange import arrange, begin
from tests import postgres
from tests.k8s.conftest import OVERLAYS
from tests.system.load import EURO, REGISTRY


def test_secrets_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    made = arrange(tmp_path / "laptop")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    arrange(tmp_path / "laptop")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for path in before:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert (made / "members.json") in before


def test_nothing_that_arrange_writes_is_kept_by_git() -> None:
    ignored = (OVERLAYS.parents[1] / ".gitignore").read_text().splitlines()
    assert "k8s/overlays/**/made/" in ignored


@contextlib.contextmanager
def running(kind: str, settings: msgspec.Struct, file: Path) -> Iterator[str]:
    """A process with this configuration; its address."""
    file.write_text(tomli_w.dumps(arrangement.plain(settings)))
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", kind, "--config", file],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            url: str = json.loads(process.stdout.readline())["url"]
            yield url
        finally:
            process.terminate()


def here(overlay: Path, name: str, dsn: str) -> LedgerProcess:
    """A ledger's configuration with places of this machine."""
    return msgspec.structs.replace(
        read(overlay / name / "made" / "ledger.toml", LedgerProcess),
        dsn=dsn,
        key_file=overlay / name / "made" / "key",
        listen="127.0.0.1:0",
        metrics_listen="127.0.0.1:0",
    )


async def test_a_laptop_is_seeded_and_its_members_are_let_in(
    tmp_path: Path, postgres_server: str, dsn: str
) -> None:
    overlay = tmp_path / "laptop"
    made = arrange(overlay)
    people = json.loads((made / "members.json").read_text())
    async with (
        postgres.database(postgres_server, "arranged-registry") as registry,
        postgres.database(postgres_server, "arranged-euro") as euro,
        aiohttp.ClientSession() as session,
    ):
        with (
            running("ledger", here(overlay, REGISTRY, registry), tmp_path / "r.toml") as first,
            running("ledger", here(overlay, EURO, euro), tmp_path / "e.toml") as second,
        ):
            urls = {REGISTRY: first, EURO: second}
            for _ in range(2):  # a second time does nothing
                await asyncio.to_thread(begin, made, urls)
            operator = people["operators"]["euro-operator"]["token"]
            (position,) = await LedgerClient(session, second, operator).conservation()
            assert int(position.issued) > 0 and int(position.difference) == 0
            arranged = read(overlay / "gateway" / "made" / "gateway.toml", Settings)
            settings = msgspec.structs.replace(
                arranged,
                dsn=dsn,
                master_file=overlay / "gateway" / "made" / "master",
                listen="127.0.0.1:0",
                metrics_listen="127.0.0.1:0",
                ledgers={
                    name: msgspec.structs.replace(
                        access,
                        url=urls[name],
                        token_file=overlay / "gateway" / "made" / f"{name}.token",
                    )
                    for name, access in arranged.ledgers.items()
                },
            )
            with running("gateway", settings, tmp_path / "g.toml") as gateway:
                token = people["members"]["RHEIDEF0XXX"]["token"]
                page = await GatewayClient(session, gateway, token).settlements()
                assert page.settlements == ()
