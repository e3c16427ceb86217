"""`lockstep registry verify` and `watch`: what anybody sees who trusts no registry."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import tomli_w
from prometheus_client.parser import text_string_to_metric_families

from gateway.icsd_node import routes, views
from gateway.icsd_node.remote import Remote
from gateway.icsd_node.supervision import Fault, Sight, Supervision
from gateway.process.sockets import opened
from gateway.process.sockets import url as address
from gateway.process.supervisor import Watch
from gateway.telemetry import metrics
from htlc.units import SECOND, Instant
from ledgers.icsd.entry import Certificate, Statement, Vote, sign
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.proof import evidence
from ledgers.icsd.replica import Divergence
from ledgers.port import Lock
from tests.gateway.test_registry_commands import TOKEN, call, served
from tests.ledgers.icsd.registries import KEYS, NAMES, agree, all_alive, network, registries, until
from tests.ledgers.icsd.test_node import transfer
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    LEDGER,
    TRAITS,
    ManualClock,
    World,
    furnish,
)


class Seen:
    """What a command said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], genesis: Path, token: Path) -> None:
        self._capsys = capsys
        self._words = ("--genesis", genesis, "--token-file", token)
        self.out = self.err = ""

    async def call(self, command: str, urls: Sequence[str], *words: str) -> int:
        sources = [word for url in urls for word in ("--from", url)]
        code = await call(command, *self._words, *sources, *words)
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Seen:
    genesis, token = tmp_path / "genesis.toml", tmp_path / "token"
    members = [
        {"name": member.registry, "public_key": member.public_key.hex()}
        for member in network().epoch.members
    ]
    functions = [
        {"algorithm": f.algorithm.value, "encoding": f.encoding.value}
        for f in TRAITS.profile.hash_functions
    ]
    content = {"ledger": LEDGER, "registries": members, "hash_functions": functions}
    genesis.write_text(tomli_w.dumps(content))
    token.write_text(TOKEN)
    return Seen(capsys, genesis, token)


def two_votes() -> Any:
    """The fourth registry has signed two states of one height."""
    words = []
    for state in (b"\1", b"\2"):
        statement = Statement(epoch=1, height=3, block=b"b", results=b"r", state=state)  # type: ignore[arg-type]
        words.append(sign(Vote(registry=NAMES[3], statement=statement), KEYS[NAMES[3]]))
    return evidence(*words)


async def test_anybody_verifies_and_a_supervisor_follows_everything(
    postgres_server: str, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(Instant(time.time_ns() - 2 * SECOND))
    four = await registries(postgres_server, clock)
    async with all_alive(four) as ledgers, AsyncExitStack() as stack:
        world = await furnish(World(ledgers[0], clock))
        done, terms = transfer(quantity=3), world.terms()
        await ledgers[0].submit(ALICE, [done])
        await ledgers[0].submit(ALICE, [Lock(terms=terms)])
        await agree(ledgers)
        urls = [
            await stack.enter_async_context(served(ledger, registry))
            for ledger, registry in zip(ledgers[:2], four, strict=False)
        ]
        await _verify(seen, urls, done.id, terms.id)
        await _watch(seen, urls, ledgers)
        with monkeypatch.context() as lies:
            lies.setattr(views, "holding_proof", _richer)
            assert await seen.call("verify", urls, "holding", ALICE_ACCOUNT, "EUR") == 1
            assert "does not lead to this root" in seen.err
        with monkeypatch.context() as lies:
            lies.setattr(routes.light, "prove_contract", lambda view, id: _forged(view, id))
            assert await seen.call("verify", urls, "settlement", str(terms.id)) == 1
            assert "otherwise than it is told" in seen.err
        ledgers[1].node.stopped = "somebody pulled the plug"
        async with ledgers[0].pool.acquire() as connection:
            body = msgspec.msgpack.encode(two_votes())
            await connection.execute(
                "INSERT INTO evidence (registry, offence, epoch, place, body) "
                "VALUES ($1, 'two-votes', 1, 3, $2)",
                NAMES[3],
                body,
            )
        assert await seen.call("watch", urls, "--once") == 1
        await _told_to_prometheus(urls)
        assert "WRONG (node)" in seen.err and "somebody pulled the plug" in seen.err
        assert f"{NAMES[3]} is convicted of two-votes at 3" in seen.err
        ledgers[1].node.stopped = None
    assert await seen.call("watch", ["http://127.0.0.1:1"], "--once") == 1
    assert "cannot be asked" in seen.err


_HOLDING_PROOF = views.holding_proof


def _richer(proof: Any) -> Any:
    """The holding, with somebody else's leaf at its end."""
    told = _HOLDING_PROOF(proof)
    told["way"]["end"]["sum"] = "9"
    return told


_PROVE_CONTRACT = routes.light.prove_contract


def _forged(view: Any, id: Any) -> Any:
    return msgspec.structs.replace(_PROVE_CONTRACT(view, id), contract=None)


async def _verify(seen: Seen, urls: Sequence[str], transferred: str, contract: str) -> None:
    assert await seen.call("verify", urls, "holding", ALICE_ACCOUNT, "EUR") == 0, seen.err
    assert f"{ALICE_ACCOUNT} holds" in seen.out and seen.err.count("final, signed by") == 2
    assert await seen.call("verify", urls, "--json", "issue", "EUR") == 0
    [first, _] = msgspec.json.decode(seen.out)
    assert first["what"]["issued"] == str(sum(map(int, first["what"]["held"].values())))
    assert await seen.call("verify", urls, "settlement", contract) == 0, seen.err + seen.out
    assert f"{contract} is LOCKED" in seen.out
    assert await seen.call("verify", urls, "transfer", transferred) == 0
    assert f"{transferred} was done by block " in seen.out
    assert await seen.call("verify", urls[:1], "settlement", "0" * 8) == 1
    assert "0" * 8 in seen.out and "proved by block" in seen.err
    assert await seen.call("verify", urls[:1], "transfer", "0" * 8) == 1
    assert "nothing was done under 00000000 so far" in seen.err and not seen.out
    assert await seen.call("verify", urls, "issue", "nothing") == 1
    assert "no such thing" in seen.err
    assert await seen.call("verify", urls, "--age", "1", "issue", "EUR") == 1
    assert "older than 1 s: ask another registry" in seen.err
    assert await seen.call("verify", urls, "holding", "one") == 2
    assert "expected ACCOUNT ISIN" in seen.err


async def _watch(seen: Seen, urls: Sequence[str], ledgers: Sequence[RegistryLedger]) -> None:
    assert await seen.call("watch", urls, "--once") == 0, seen.err
    assert f"height {ledgers[0].node.head.height}" in seen.out
    assert "1 of 1 issues whole; 0 things wrong" in seen.out
    assert await seen.call("watch", urls, "--once", "--snapshot", "--json") == 0, seen.err
    told = msgspec.json.decode(seen.out)
    assert told["issues"][0]["whole"] and told["wrong"] == []
    assert await seen.call("watch", urls, "--once", "--metrics-port", "0") == 0
    assert "metrics at http://127.0.0.1:" in seen.err
    assert await seen.call("watch", urls, "--once", "--metrics-host", "x", "--metrics-port", "1")
    assert "cannot listen on x:1" in seen.err
    assert [node["registry"] for node in told["nodes"]] == list(NAMES[:2])


async def _told_to_prometheus(urls: Sequence[str]) -> None:
    """The second node has stopped, and the first one keeps a proof against the fourth."""
    async with aiohttp.ClientSession() as session:
        nodes = [Remote(session, url, TOKEN, tries=1) for url in urls]
        sights: list[Sight] = []
        watch = Watch(Supervision(network(), nodes), sights.append, 0.05)
        listening = opened("127.0.0.1:0")
        at = address(listening)
        async with watch.exposed(listening):
            async with session.get(f"{at}/readyz") as response:
                assert response.status == 503
                told = await response.json()
                assert told["conditions"]["looks"]["why"].startswith("it has not looked")
            before = await _samples(session, at)
            assert before["lockstep_supervisor_looks_total", ""] == 0
            assert ("lockstep_supervisor_look_timestamp_seconds", "") not in before
            running = asyncio.create_task(watch.run())
            await until(lambda: len(sights) > 1)
            after = await _samples(session, at)
            async with session.get(f"{at}/readyz") as response:
                assert response.status == 200, await response.text()
            running.cancel()
    assert watch.is_wrong
    wrong = {fault: after["lockstep_supervisor_wrong", fault] for fault in Fault}
    assert {fault for fault, count in wrong.items() if count} == {Fault.NODE, Fault.EQUIVOCATION}
    assert after["lockstep_supervisor_height", "final"] == sights[-1].final > 0
    assert after["lockstep_supervisor_issues", ""] == 1
    assert after["lockstep_supervisor_signed_height", NAMES[0]] > 0
    told = {name for name, _ in after if name.startswith("lockstep_supervisor_")}
    assert told == {name for name in metrics.ALL if name.startswith("lockstep_supervisor_")}
    assert not {name for name, _ in after if "database" in name}, "it has none"


async def _samples(session: aiohttp.ClientSession, at: str) -> dict[tuple[str, str], float]:
    """Each sample by its name and its one label's value."""
    async with session.get(f"{at}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
        return {
            (sample.name, next(iter(sample.labels.values()), "")): sample.value
            for family in families
            for sample in family.samples
        }


async def test_a_quorum_that_lies_and_a_standstill_have_faults_of_their_own() -> None:
    async with aiohttp.ClientSession() as session:
        nobody = Remote(session, "http://127.0.0.1:1", TOKEN, tries=1)
        supervision = Supervision(network(), [nobody])
        ours, theirs = (
            Statement(epoch=1, height=7, block=b"b", results=results, state=b"s")  # type: ignore[arg-type]
            for results in (b"1", b"2")
        )
        supervision.supervisor._replica.stopped = Divergence(
            height=7, ours=ours, certificate=Certificate(statement=theirs, signatures=())
        )
        sight = await supervision.look(Instant(supervision.supervisor.view.at + 61 * SECOND))
    said = {wrong.fault: wrong.what for wrong in sight.wrong}
    assert set(said) == {Fault.NODE, Fault.DIVERGENCE, Fault.STANDSTILL}
    assert "at height 7 a quorum certified something else: the results" in said[Fault.DIVERGENCE]
    assert said[Fault.STANDSTILL] == "no block for 61 s"
