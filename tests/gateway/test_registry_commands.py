"""`lockstep registry` as an operator uses it: a book mended, a database rebuilt, a log replaced."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest
import tomli_w
from aiohttp.test_utils import TestServer

from gateway.cli import run
from gateway.icsd_node import snapshot
from gateway.icsd_node.locating import located
from gateway.icsd_node.remote import Remote
from gateway.icsd_node.service import build_app, document
from ledgers.access import token_digest
from ledgers.block import place
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.memory_log import MemoryLog
from ledgers.icsd.past import Past
from ledgers.icsd.rows import Rows
from ledgers.icsd.snapshot import Opening
from ledgers.icsd.store import Store
from ledgers.parties import Balance, Principal, Role
from ledgers.postgres import open_pool
from ledgers.problems import ProblemError
from tests.described import watch
from tests.ledgers.icsd.registries import (
    KEYS,
    NAMES,
    Registry,
    agree,
    all_alive,
    databases,
    network,
    registries,
    until,
)
from tests.ledgers.icsd.test_node import moved, transfer
from tests.ledgers.icsd.test_rebuild import some_history
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    BOB_ACCOUNT,
    EUR,
    LEDGER,
    START,
    SUPERVISOR,
    TRAITS,
    ManualClock,
)

TOKEN = "auditor"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@asynccontextmanager
async def history(
    server: str, clock: ManualClock
) -> AsyncIterator[tuple[list[Registry], list[RegistryLedger]]]:
    """Four registries that have done something, all alive and of one mind."""
    four = await registries(server, clock)
    async with all_alive(four) as ledgers:
        await some_history(ledgers, clock)
        await agree(ledgers)
        yield four, ledgers


def configured(
    registry: Registry, home: Path, dsn: str | None = None, peers: Sequence[str] = ()
) -> str:
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
                "dsn": dsn or registry.dsn,
                "key_file": str(key),
                "tokens": [{"name": "a", "role": "supervisor", "sha256": token_digest(TOKEN)}],
                "hash_functions": functions,
                "registry": registry.name,
                "registries": members,
                "log": {"servers": ["nats://x:1"], "monitors": [], "seed_file": str(seed)},
                "peers": [{"url": url, "token_file": str(home / "token")} for url in peers],
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
        app = build_app(ledger, {token_digest(TOKEN): auditor}, Store(pool), pool)
        wrong = watch(app, document(takes_messages=False))
        async with TestServer(app) as server:
            yield str(server.make_url("/"))
    assert wrong == [], "every answer is as the node's description has it"


async def test_an_altered_book_is_shown_and_mended(
    postgres_server: str, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with history(postgres_server, clock) as (four, _):
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
    async with history(postgres_server, clock) as (four, ledgers):
        final = ledgers[0].node.head.final
    config, token = configured(four[1], tmp_path), tmp_path / "token"
    token.write_text(TOKEN)
    connection = await asyncpg.connect(four[1].dsn)
    await connection.execute("UPDATE balances SET available = 7 WHERE account = $1", BOB_ACCOUNT)
    await connection.execute("DELETE FROM operations WHERE id = (SELECT min(id) FROM operations)")
    await connection.execute("DELETE FROM network_blocks WHERE height < 3")
    async with all_alive([four[0], *four[2:]]) as three, served(three[0], four[0]) as url:
        await three[0].submit(ALICE, [transfer()])  # the others go on
        source = ("--from", url, "--token-file", str(token))
        assert await call("check", "--config", config, "--from", url) == 2
        assert await call("check", "--config", config, *source, "--own-archive") == 2
        assert await call("check", "--config", config) == 1
        assert "the archive" in capsys.readouterr().err
        nobody = "http://127.0.0.1:1"
        configured(four[1], tmp_path, peers=[nobody, url])
        assert await call("check", "--config", config) == 1
        told = capsys.readouterr()
        assert f"{nobody}: " in told.err and f"questions to {url}" in told.err
        assert BOB_ACCOUNT in told.out, "one of the peers was asked: the archive is damaged"
        assert await call("check", "--config", config, "--own-archive") == 1
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


async def test_a_registry_that_stopped_finds_where_its_book_differs(
    postgres_server: str, clock: ManualClock
) -> None:
    async with (
        history(postgres_server, clock) as (four, ledgers),
        aiohttp.ClientSession() as session,
    ):
        wrong = ledgers[1].node
        for account, more in ((BOB_ACCOUNT, 5), (ALICE_ACCOUNT, -5)):
            balances, key = wrong.replica.view.book.balances, (account, EUR)
            held = balances[key]
            assert held is not None
            balances[key] = Balance(held.available + more, held.locked)
        await ledgers[0].submit(ALICE, [transfer()])
        await until(lambda: wrong.stopped is not None)
        assert "our book differs" in str(wrong.stopped)
        async with served(ledgers[0], four[0]) as url:
            nobody, peer = (
                Remote(session, at, TOKEN, tries=1) for at in ("http://127.0.0.1:1", url)
            )
            found = await located(wrong, network(), [nobody, peer])
        assert len(found) == 2
        assert all(f"'EUR') at {four[0].name}: found Balance" in line for line in found)
        [reason] = await located(wrong, network(), [])
        assert "no other registry is configured" in reason


async def test_a_lost_database_is_rebuilt_over_http(
    postgres_server: str, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with history(postgres_server, clock) as (four, _):
        config, token = configured(four[1], tmp_path), tmp_path / "token"
    await databases(postgres_server, [four[1].name])
    token.write_text(TOKEN)
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


def altered(content: Opening | Rows) -> bytes:
    """A record of a snapshot, with the holding of somebody changed."""
    if isinstance(content, Rows) and (BOB_ACCOUNT, EUR) in content.balances:
        content.balances[BOB_ACCOUNT, EUR] = Balance(9_999)
    return RECORD(content)


RECORD = snapshot._record


async def test_a_registry_joins_by_a_snapshot_which_may_not_be_altered(
    postgres_server: str,
    clock: ManualClock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with history(postgres_server, clock) as (four, _):
        config, token = configured(four[1], tmp_path), tmp_path / "token"
    await databases(postgres_server, [four[1].name])
    token.write_text(TOKEN)
    async with all_alive([four[0], *four[2:]]) as three:
        async with served(three[0], four[0]) as url:
            source = ("--from", url, "--token-file", str(token))
            monkeypatch.setattr(snapshot, "_record", altered)
            assert await call("join", "--config", config, *source) == 1
            told = capsys.readouterr().err
            assert f"('{BOB_ACCOUNT}', 'EUR') at {four[0].name}: found Balance(available=9" in told
            monkeypatch.setattr(snapshot, "_record", RECORD)
            async with served(three[1], four[2]) as other:
                confirmed = ("--confirm", other, token)
                assert await call("join", "--config", config, *source, *confirmed) == 0
            assert await call("join", "--config", config, *source) == 1
            assert "a snapshot goes into an empty one" in capsys.readouterr().err
            assert await call("check", "--config", config) == 1
            assert "joined by a snapshot" in capsys.readouterr().err
            assert await call("stop", "--config", config, "--out", tmp_path / "s") == 1
            assert "does not know what it has signed" in capsys.readouterr().err
            assert await call("check", "--config", config, *source) == 0
        async with four[1].alive() as again, served(again, four[1]) as url:
            everybody = [three[0], again, *three[1:]]
            await again.node.serving()
            await three[0].submit(ALICE, [transfer()])
            await agree(everybody)
            await until(lambda: again.node.head.votes_above is not None)
            await its_history_begins_with_the_snapshot(again, three[0])
            capsys.readouterr()
            other = configured(
                four[1], tmp_path, (await databases(postgres_server, ["new"]))["new"]
            )
            source = ("--from", url, "--token-file", str(token))
            assert await call("rebuild", "--config", other, *source) == 1
            assert "joined by a snapshot at height" in capsys.readouterr().err
            assert await call("release", "--config", other, "--above", "99") == 0
            assert await call("release", "--config", other, "--above", "98") == 1
            assert "knows by itself" in capsys.readouterr().err


async def its_history_begins_with_the_snapshot(
    again: RegistryLedger, other: RegistryLedger
) -> None:
    """What was posted since is the same at both; what was before only the other tells."""
    base = again.node.head.base_cursor
    for question in (
        lambda: again.facts(SUPERVISOR, "", 10),
        lambda: again.blocks(0, 10),
        lambda: again.proof(1, 0),
        lambda: again.last_before(START),
    ):
        with pytest.raises(ProblemError, match="joined by a snapshot"):
            await question()
    assert await again.facts(SUPERVISOR, base, 10) == await other.facts(SUPERVISOR, base, 10)
    height = place(base)[0]
    blocks = [await each.blocks(height, 10) for each in (again, other)]
    hashes = [[block.hash for block in found] for found in blocks]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 1
    assert await again.conservation() == await other.conservation()


async def test_a_new_log_is_begun_when_the_old_one_is_lost(
    postgres_server: str, clock: ManualClock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with history(postgres_server, clock) as (four, ledgers):
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
