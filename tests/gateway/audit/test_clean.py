"""A system that nothing was done to has no finding, at rest and at work."""

import asyncio
from pathlib import Path

import pytest

from gateway.audit import run
from gateway.audit.databases import LEDGER, AuditError, Snapshot, opened
from gateway.audit.findings import Check, lines
from gateway.audit.gateway import GatewayAudit
from gateway.audit.places import Places
from tests.gateway.audit.day import Copy
from tests.gateway.systems import SELLER, System, system, until
from tests.gateway.test_agreed_swaps import a_dvp, settle


async def test_an_untouched_system_has_no_finding(copy: Copy) -> None:
    report = await copy.audit()
    assert lines(report.findings) == []
    assert report.clean and report.findings_total == 0
    assert {row.check for row in report.checked} == set(Check), "everything was checked"
    assert [row for row in report.checked if not row.count and row.check is not Check.OVERDUE] == []
    assert (report.excused, report.notes) == ((), ())


async def test_what_was_audited_before_is_still_there(copy: Copy) -> None:
    earlier = (await copy.audit()).heads
    report = await copy.audit(earlier=earlier)
    assert report.clean and report.heads == earlier


async def test_a_ledger_can_be_audited_by_itself(copy: Copy) -> None:
    places = copy.places()
    alone = Places(gateway=None, ledgers={"bank": places.ledgers["bank"]}, keys=places.keys)
    report = await run.audit(alone, run.Wanted(), lambda *_: None)
    assert report.clean and report.settlements == 0 and report.postings > 90
    assert {row.of for row in report.checked} == {"bank"}


async def test_without_a_pinned_key_it_is_said_whose_word_the_key_is(copy: Copy) -> None:
    places = copy.places()
    unpinned = Places(gateway=places.gateway, ledgers=places.ledgers)
    report = await run.audit(unpinned, run.Wanted(), lambda *_: None)
    assert report.clean
    assert [note for note in report.notes if "pin it with --key" in note] == list(report.notes)
    assert len(report.notes) == 2


@pytest.mark.parametrize(
    ("description", "why"),
    [
        ("{}", "missing required field"),
        ("x", "malformed"),
        (
            "replace(description, substring(description, '\"public_key\":\"([^\"]*)'), 'AAAA')",
            "3 bytes",
        ),
    ],
)
async def test_a_ledgers_word_that_cannot_be_read_is_said_in_a_line(
    copy: Copy, description: str, why: str
) -> None:
    value = description if "(" in description else f"'{description}'"
    await copy.execute("gateway", f"UPDATE ledger SET description = {value}")
    places = copy.places()
    unpinned = Places(gateway=places.gateway, ledgers=places.ledgers)
    with pytest.raises(AuditError, match=why) as caught:
        await run.audit(unpinned, run.Wanted(), lambda *_: None)
    assert "told the gateway of itself cannot be read" in str(caught.value)
    assert "--key" in str(caught.value)


async def test_a_servers_limits_on_those_who_serve_people_do_not_end_an_audit(copy: Copy) -> None:
    name = (await copy.row("bank", "SELECT current_database() AS name"))["name"]
    limits = ("idle_in_transaction_session_timeout", "statement_timeout")
    for limit in limits:
        await copy.execute("bank", f"ALTER DATABASE \"{name}\" SET {limit} = '20ms'")
    try:
        async with opened("bank", copy.dsns["bank"], LEDGER) as snapshot:
            await snapshot.take()
            await asyncio.sleep(0.1)
            assert await snapshot.value("volume") > 0
    finally:
        await copy.execute("bank", *(f'ALTER DATABASE "{name}" RESET {x}' for x in limits))


async def test_a_ledger_that_is_not_audited_is_said_and_nothing_else(copy: Copy) -> None:
    places = copy.places()
    one = Places(gateway=places.gateway, ledgers={"bank": places.ledgers["bank"]}, keys=places.keys)
    report = await run.audit(one, run.Wanted(), lambda *_: None)
    assert report.clean, lines(report.findings)
    assert "legs on ledgers that are not audited" in report.notes[0]


async def test_a_system_at_work_is_found_clean_however_often_one_looks(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made, made.gateway():
        places = Places(
            gateway=dsns["gateway"],
            ledgers={name: dsns[name] for name in made.ledgers},
            keys={name: ledger.seal.public_key for name, ledger in made.ledgers.items()},
        )

        async def trades() -> None:
            while True:
                swaps = [a_dvp(quantity=1, cash=100) for _ in range(12)]
                await made.desk.take_settlements(SELLER, [(swap, b"d") for swap in swaps])
                await asyncio.sleep(0.02)  # the audit has to get its turn, too

        work = asyncio.create_task(trades())
        await until(lambda: made.engine.runner.lives)
        audited = []
        for _ in range(4):
            report = await run.audit(places, run.Wanted(), lambda *_: None)
            assert lines(report.findings) == []
            audited.append(report.settlements)
        work.cancel()
        await asyncio.wait({work})
        await until(lambda: not made.engine.runner.lives)
        assert audited == sorted(audited) and audited[0] < audited[-1], "it was at work"


@pytest.mark.parametrize(
    ("moved_before", "doubts"),
    [("bank", {Check.LOCKED, Check.LEARNED}), ("the gateway", {Check.LEARNED})],
)
async def test_what_moved_between_two_snapshots_is_looked_at_again(
    running: System,
    dsns: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    moved_before: str,
    doubts: set[Check],
) -> None:
    places = Places(
        gateway=dsns["gateway"],
        ledgers={name: dsns[name] for name in running.ledgers},
        keys={name: ledger.seal.public_key for name, ledger in running.ledgers.items()},
    )
    take, confirm, seen = Snapshot.take, GatewayAudit.confirm, set[Check]()

    async def taken(snapshot: Snapshot) -> None:
        if snapshot.name == moved_before:
            await settle(running, a_dvp())
        await take(snapshot)

    async def confirmed(audit: GatewayAudit) -> None:
        seen.update(check for checks in audit._doubts.values() for check in checks)
        await confirm(audit)

    monkeypatch.setattr(Snapshot, "take", taken)
    monkeypatch.setattr(GatewayAudit, "confirm", confirmed)
    report = await run.audit(places, run.Wanted(), lambda *_: None)
    assert seen == doubts, "it looked wrong at first"
    assert lines(report.findings) == []
