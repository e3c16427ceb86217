"""`lockstep registry` as an operator uses it: a book mended, a database rebuilt, a log replaced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
import tomli_w
from aiohttp.test_utils import TestServer

from gateway.cli import run
from gateway.icsd_node import archive, moments
from ledgers.access import token_digest
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.memory_log import MemoryLog
from ledgers.icsd.past import Past
from ledgers.icsd.store import Store
from ledgers.parties import Principal, Role
from ledgers.postgres import open_pool
from ledgers.service import build_app
from tests.ledgers.icsd.registries import (
    KEYS,
    NAMES,
    Registry,
    agree,
    all_alive,
    databases,
    network,
    registries,
)
from tests.ledgers.icsd.test_node import moved, transfer
from tests.ledgers.icsd.test_rebuild import some_history
from tests.ledgers.worlds import ALICE, BOB_ACCOUNT, LEDGER, TRAITS, ManualClock

TOKEN = "auditor"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def configured(registry: Registry, home: Path) -> str:
    """The registry's configuration, as its node is started with."""
    key, seed = home / f"{registry.name}.key", home / "seed"
    key.write_bytes(KEYS[registry.name].private_bytes_raw())
    seed.write_text("SU")
    functions = [
        {"algorithm": function.algorithm.value, "encoding": function.encoding.value}
        for function in TRAITS.profile.hash_functions
    ]
    members = [
        {"name": member.registry, "public_key": member.public_key.hex()}
        for member in network().epoch.members
    ]
    file = home / f"{registry.name}.toml"
    file.write_text(
        tomli_w.dumps(
            {
                "ledger": LEDGER,
                "dsn": registry.dsn,
                "key_file": str(key),
                "tokens": [{"name": "a", "role": "supervisor", "sha256": token_digest(TOKEN)}],
                "hash_functions": functions,
                "registry": registry.name,
                "registries": members,
                "log": {"servers": ["nats://x:1"], "monitors": [], "seed_file": str(seed)},
            }
        )
    )
    return str(file)


async def call(*words: str | Path) -> int:
    """One command, beside what the test serves."""
    return await asyncio.to_thread(run, ["registry", *map(str, words)])


@asynccontextmanager
async def served(ledger: RegistryLedger, registry: Registry) -> AsyncIterator[str]:
    """A registry's HTTP service; its URL."""
    auditor = Principal(name="auditor", role=Role.SUPERVISOR)
    async with await open_pool(registry.dsn) as pool:
        app = build_app(ledger, {token_digest(TOKEN): auditor})
        archive.add(app, Store(pool))
        moments.add(app, ledger.node, Store(pool))
        async with TestServer(app) as server:
            yield str(server.make_url("/"))


async def test_an_altered_book_is_shown_and_mended(
    postgres_server: str, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    four = await registries(postgres_server, clock)
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
        await agree(ledgers)
    config = configured(four[0], tmp_path)
    assert await call("check", "--config", config) == 0
    connection = await asyncpg.connect(four[0].dsn)
    await connection.execute("UPDATE balances SET available = 7 WHERE account = $1", BOB_ACCOUNT)
    await connection.close()
    assert await call("check", "--config", config) == 1
    assert BOB_ACCOUNT in capsys.readouterr().out
    assert await call("repair", "--config", config) == 0
    assert await call("check", "--config", config) == 0


async def test_an_altered_book_is_compared_with_another_registry_and_mended(
    postgres_server: str, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    four = await registries(postgres_server, clock)
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
        await agree(ledgers)
        final = ledgers[0].node.head.final
    config, token = configured(four[1], tmp_path), tmp_path / "token"
    token.write_text(TOKEN)
    connection = await asyncpg.connect(four[1].dsn)
    await connection.execute("UPDATE balances SET available = 7 WHERE account = $1", BOB_ACCOUNT)
    await connection.execute("DELETE FROM operations")
    await connection.execute("DELETE FROM network_blocks WHERE height < 3")
    async with all_alive([four[0], *four[2:]]) as three, served(three[0], four[0]) as url:
        await three[0].submit(ALICE, [transfer()])  # the others go on
        source = ("--from", url, "--token-file", str(token))
        assert await call("check", "--config", config) == 1
        assert "the archive" in capsys.readouterr().err
        assert await call("check", "--config", config, *source) == 1
        told = capsys.readouterr()
        [line] = [line for line in told.out.splitlines() if f" {BOB_ACCOUNT} " in line]
        assert f"{BOB_ACCOUNT} EUR" in line and four[0].name in line and "7 available" in line
        assert int(told.err.split(" questions")[0].split()[-1]) < 40, told.err
        assert await call("repair", "--config", config, *source) == 0
        assert await call("check", "--config", config, *source) == 0
        three[0].node.past = Past(three[0].node.replica.view)
        assert await call("check", "--config", config, *source) == 1
        assert f"height {final} is not kept: only later ones" in capsys.readouterr().err
    await connection.close()
    async with all_alive(four) as ledgers:
        await ledgers[1].look([])
        await agree(ledgers)


async def test_a_lost_database_is_rebuilt_over_http(
    postgres_server: str, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    four = await registries(postgres_server, clock)
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
        await agree(ledgers)
    await databases(postgres_server, [four[1].name])
    token = tmp_path / "token"
    token.write_text(TOKEN)
    config = configured(four[1], tmp_path)
    async with all_alive([four[0], *four[2:]]) as three:
        async with served(three[0], four[0]) as url:
            source = ("--from", url, "--token-file", str(token))
            assert await call("rebuild", "--config", config, *source) == 0
            token.write_text("nobody")
            assert await call("rebuild", "--config", config, *source) == 1
            assert "status 401" in capsys.readouterr().err
        async with four[1].alive() as again:
            await again.node.serving()
            await again.look([])
            assert await moved(again) == await moved(three[0])


async def test_a_new_log_is_begun_when_the_old_one_is_lost(
    postgres_server: str, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    four = await registries(postgres_server, clock)
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
        await agree(ledgers)
        before = await moved(ledgers[0])
    configs = [configured(each, tmp_path) for each in four[:3]]
    stops = [tmp_path / f"{name}.stop" for name in NAMES[:3]]
    ballots = [tmp_path / f"{name}.ballot" for name in NAMES[:3]]
    record = tmp_path / "record"
    for config, out in zip(configs, stops, strict=True):
        assert await call("stop", "--config", config, "--out", out) == 0
    assert await call("propose", "--config", configs[0], "--out", record, *stops) == 0
    for config, out in zip(configs, ballots, strict=True):
        assert await call("consent", "--config", config, "--out", out, record) == 0
    assert await call("begin", "--config", configs[0], record, *ballots[:2]) == 1
    assert "too few registries" in capsys.readouterr().err
    assert await call("begin", "--config", configs[0], record, stops[0], *ballots[:2]) == 1
    for config in configs:
        assert await call("begin", "--config", config, record, *ballots) == 0
    new_log = MemoryLog()
    for each in four[:3]:
        each.connect = new_log.connect
    async with all_alive(four[:3]) as ledgers:
        [answer] = await ledgers[0].submit(ALICE, [transfer()])
        assert await moved(ledgers[0]) == before + 1, answer
