"""The gateway's journal is put back from a copy that lacks records, and nothing goes wrong.

Real databases, real ledgers. What happens in the lost time is done by the gateway itself, or, where
it would have had to die at one instant, by hand with the gateway's own master secret.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway import cli
from gateway.app import gateway_health
from gateway.audit import run
from gateway.audit.findings import Report, lines
from gateway.audit.places import Places
from gateway.config import LatencySettings
from gateway.epoch import LackingError, SupersededError
from gateway.journal import Entry
from gateway.port import Busy, Conflict, Denied, Principal, View
from gateway.restore import Declared, declare
from gateway.sql import open_pool
from htlc.agreement import Agreement, PrincipalRisk, htlc_id
from htlc.events import Decision, Reason
from htlc.settlement import Phase
from htlc.swap import LockProtocol
from htlc.units import AccountId, Instant, LegId, SettlementId, seconds
from ledgers.port import Lock
from tests.gateway.audit import dishonest
from tests.gateway.audit.day import RENEW, SAVE, Copy, Day
from tests.gateway.audit.dishonest import CANCEL, CASH, COMMIT, SECU, Rogue, rogue
from tests.gateway.systems import (
    BUYER,
    DEALER,
    GATEWAY,
    ISIN,
    SELLER,
    System,
    account,
    system,
    until,
)
from tests.gateway.test_agreed_swaps import a_dvp, member, settle
from tests.gateway.test_instructions import both, send

ONE = Principal(name="operator-one", role="gateway")
OTHER = Principal(name="operator-other", role="ledger", ledger="registry")
EVIDENCE = "both parties hold the confirmation, ref. 77"


class Site:
    """A system whose gateway's database is saved, and put back."""

    def __init__(self, made: System, dsns: dict[str, str], home: Path) -> None:
        self.made = made
        seals = {name: ledger.seal for name, ledger in made.ledgers.items()}
        self.day = Day(dsns=dsns, seals=seals, master=(home / "master").read_bytes())
        self.copy = Copy(day=self.day)

    async def save(self) -> None:
        await self.copy.execute("gateway", "DROP SCHEMA IF EXISTS saved CASCADE", SAVE)

    async def put_back(self) -> None:
        await self.copy.execute("gateway", RENEW)

    async def declared(self) -> Declared:
        async with open_pool(self.day.dsns["gateway"], "restore") as pool:
            return await declare(pool)

    @asynccontextmanager
    async def by_hand(self) -> AsyncIterator[Rogue]:
        async with rogue(self.copy) as operator:
            yield operator

    async def audited(self) -> Report:
        ledgers = {name: self.day.dsns[name] for name in ("registry", "bank")}
        places = Places(gateway=self.day.dsns["gateway"], ledgers=ledgers, keys=self.day.keys)
        return await run.audit(places, run.Wanted(), lambda *_: None)

    async def state(self, id: str, by: Principal = ONE) -> str:
        view = await self.view(id, by)
        return "" if view is None else str(view.state.phase)

    async def view(self, id: str, by: Principal = ONE) -> View | None:
        return await self.made.desk.show(by, SettlementId(id))


@pytest.fixture
async def site(
    dsns: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    limits = msgspec.structs.replace(dishonest.LIMITS, lock_within=seconds(1))  # the system's
    monkeypatch.setattr(dishonest, "LIMITS", limits)
    latency = LatencySettings(skew_seconds=0.05)  # one machine: no need to wait for two clocks
    async with system(dsns, tmp_path) as made:
        ledgers = {
            name: msgspec.structs.replace(its, latency=latency)
            for name, its in made.settings.ledgers.items()
        }
        made.settings = msgspec.structs.replace(made.settings, ledgers=ledgers)
        async with made.gateway():
            pass  # the database is made, and the ledgers are known
        yield Site(made, dsns, tmp_path)


async def both_locked(operator: Rogue, **changes: LockProtocol) -> Agreement:
    agreement = await operator.open(**changes)
    await operator.lock(agreement, SECU, CASH)
    return agreement


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What the lost time has left, by how it must end."""

    settled: list[str]
    cancelled: list[str]
    frozen: list[str]
    expiring: str
    anchored: str


async def lose(site: Site) -> Left:
    """A time that the journal knows nothing of, with every situation that a settlement may be left
    in; and some that were open before it."""
    made = site.made
    await site.save()
    async with made.gateway():
        settled = [a_dvp(protocol=protocol) for protocol in LockProtocol]
        for swap in settled:
            await settle(made, swap)
    await site.put_back()
    async with site.by_hand() as operator:
        kept_open = await operator.open()
        kept_locked = await operator.open()
        kept_decided = await operator.open(CANCEL)
        await site.save()
        await operator.lock(kept_locked, SECU, CASH)
        await operator.lock(kept_decided, SECU)
        frozen = await both_locked(operator)
        half = await operator.open()
        await operator.lock(half, SECU)
        executed = await both_locked(operator)
        await operator.execute(executed, CASH)
        returned = await both_locked(operator)
        await operator.cancel(returned, SECU)
        anchored = await both_locked(operator, protocol=LockProtocol.ANCHORED)
        expiring = await both_locked(operator, protocol=LockProtocol.HTLC)
    await site.put_back()
    gone_back = (kept_open, kept_decided, half, returned)
    return Left(
        settled=[*(swap.id for swap in settled), executed.settlement],
        cancelled=[agreement.settlement for agreement in gone_back],
        frozen=[frozen.settlement, kept_locked.settlement],
        expiring=expiring.settlement,
        anchored=anchored.settlement,
    )


async def test_whatever_the_lost_time_left_ends_alike_on_every_ledger(site: Site) -> None:
    made, left = site.made, await lose(site)
    declared = await site.declared()
    assert (declared.epoch, declared.again, declared.decided) == (2, False, 1)
    assert set(declared.restored) == {left.cancelled[0], left.frozen[1]}
    assert declared.protocols == {"two_key": 2}
    async with made.gateway():
        assert made.engine.agreements.paused and made.engine.taking_up.why is not None
        await until(lambda: not made.engine.agreements.paused)
        for id in left.settled:
            await becomes(site, id, "SETTLED")
        for id in left.cancelled:
            await becomes(site, id, "CANCELLED")
        await becomes(site, left.expiring, "UNWINDING")  # its clock opens it, later
        for id in left.frozen:
            await until(lambda id=id: is_frozen(site, id))
        await resolved(site, left.frozen[0], Decision.COMMIT, "SETTLED")
        await resolved(site, left.frozen[1], Decision.CANCEL, "CANCELLED")
        await told_once(site, left.frozen[0], "SETTLED")
        await until(lambda: set(made.engine.runner.lives) == {left.expiring})
        assert await site.state(left.anchored) == "SETTLED", "its anchor decided, and nobody else"
    report = await site.audited()
    assert report.clean, lines(report.findings)
    assert not report.excused
    who = f"by {ONE.name} and {OTHER.name}: {EVIDENCE}"
    assert sorted(report.notes) == sorted(
        f"settlement {id} was resolved as {decision} {who}"
        for id, decision in zip(left.frozen, ("COMMIT", "CANCEL"), strict=True)
    )


async def becomes(site: Site, id: str, state: str) -> None:
    async def so() -> bool:
        return await site.state(id) == state

    try:
        await until(so)
    except AssertionError:
        raise AssertionError(f"{id} is {await site.view(id)}") from None


async def is_frozen(site: Site, id: str) -> bool:
    view = await site.view(id)
    return view is not None and view.state.frozen and bool(view.state.legs)


async def resolved(site: Site, id: str, decision: Decision, end: str) -> None:
    """By two operators, and not by one, nor by two who bring different evidence."""
    desk, id = site.made.desk, SettlementId(id)
    assert await desk.resolve(member(SELLER), id, decision, EVIDENCE) is not None
    for by, evidence in ((ONE, EVIDENCE), (ONE, EVIDENCE), (OTHER, "another ref.")):
        view = await desk.resolve(by, id, decision, evidence)
        assert isinstance(view, View) and view.state.frozen
    assert [said.operator for said in view.resolutions] == [ONE.name, OTHER.name]
    cancelled = await desk.cancel(member(SELLER), id, "we want out")
    assert isinstance(cancelled, Denied) and cancelled.code == "DPRG"
    decided = await desk.resolve(OTHER, id, decision, EVIDENCE)
    assert isinstance(decided, View) and decided.state.decided is not None
    assert (decided.state.decision, decided.state.decided.reason) == (decision, Reason.OPERATORS)
    assert decided.state.risk is PrincipalRisk.RESIDUAL
    await becomes(site, id, end)
    again = await desk.resolve(OTHER, id, decision, EVIDENCE)
    assert isinstance(again, View), "said again, it is no news"
    other = Decision.CANCEL if decision is Decision.COMMIT else Decision.COMMIT
    refused = await desk.resolve(ONE, id, other, EVIDENCE)
    assert isinstance(refused, Denied)


async def told_once(site: Site, id: str, state: str) -> None:
    """Each party has one final notice of it."""
    for bic in (SELLER, BUYER):
        box = await site.made.desk.read(bic, after=0, limit=500)
        (told,) = [json.loads(n.content) for n in box if n.settlement == id]
        assert (told["state"], told["final"], told["principal_risk"]) == (state, True, "residual")


async def test_declared_twice_before_a_gateway_has_started_it_is_one_restore(site: Site) -> None:
    first, again = await site.declared(), await site.declared()
    assert (first.epoch, again.epoch, again.again) == (2, 2, True)
    async with site.made.gateway():
        await until(lambda: not site.made.engine.agreements.paused)
    assert (await site.declared()).epoch == 3


def is_over(made: System) -> bool:
    """Whether the replica knows that its epoch is over."""
    try:
        made.engine.journal.require_current()
    except SupersededError:
        return True
    return False


async def test_a_replica_of_an_older_epoch_writes_nothing_and_stops(site: Site) -> None:
    made = site.made
    with pytest.raises(SupersededError, match="epoch 1 of the journal is over"):
        async with made.gateway():
            await site.declared()
            entry = Entry(
                settlement=a_dvp().id, sequence=1, events=(COMMIT,), phase=Phase.EXECUTING
            )
            with pytest.raises(SupersededError):
                await made.engine.journal.append([entry])
            assert is_over(made)
            await until(lambda: made.engine.lease.age > 2)  # the heartbeat has found it, and ended
    async with made.gateway():
        await until(lambda: not made.engine.agreements.paused)
        assert (await settle(made, a_dvp())).state.phase is Phase.SETTLED


async def test_two_restores_of_one_backup_are_two_epochs_of_one_number(site: Site) -> None:
    await site.save()
    assert (await site.declared()).epoch == 2
    with pytest.raises(SupersededError, match="epoch 2 of the journal is over"):
        async with site.made.gateway():
            await site.put_back()
            assert (await site.declared()).epoch == 2
            await until(lambda: is_over(site.made))


async def test_a_replica_whose_row_was_not_in_the_copy_stops(site: Site) -> None:
    with pytest.raises(SupersededError, match="no longer knows this replica"):
        async with site.made.gateway():
            await site.copy.execute("gateway", "DELETE FROM replica")
            await until(lambda: site.made.engine.lease.age > 2)


async def test_nothing_new_is_taken_until_the_ledgers_have_been_read(site: Site) -> None:
    made = site.made
    await site.declared()
    async with made.gateway():
        (busy,) = await made.desk.take_settlements(SELLER, [(a_dvp(), b"digest")])
        assert isinstance(busy, Busy)
        assert made.desk.busy["restore"] == 1
        state = gateway_health(made.engine)
        why = state.conditions()["restore"].why
        assert why is not None and "the journal was restored" in why
        await until(lambda: not made.engine.agreements.paused)
        assert state.conditions()["restore"].ok
        assert (await settle(made, a_dvp())).state.phase is Phase.SETTLED


async def test_a_copy_that_lacks_records_is_noticed_though_nobody_said_so(site: Site) -> None:
    made = site.made
    async with made.gateway():
        await settle(made, a_dvp())
        await until(lambda: not made.engine.runner.lives)
    await site.save()
    async with site.by_hand() as operator:
        lost = await both_locked(operator)
    await site.put_back()
    for _ in range(2):  # a supervisor starts it again: nothing changes by that
        with pytest.raises(LackingError, match=r"lockstep restore --may-lack-records"):
            async with made.gateway():
                raise AssertionError("it does not start")
    assert any("PAGE: ledger " in said and lost.settlement in said for said in made.said)
    await site.declared()
    async with made.gateway():
        await until(lambda: is_frozen(site, lost.settlement))


async def test_a_stray_lock_beside_an_executed_leg_holds_nobody_up(site: Site) -> None:
    """Anybody may lock something of its own under an id of ours, with the hashes that it sees."""
    await site.save()
    async with site.by_hand() as operator:
        lost = await both_locked(operator)
        like = lost.legs[CASH].terms
        stray = msgspec.structs.replace(
            like,
            id=htlc_id(lost.settlement, LegId("STRAY")),
            leg=LegId("STRAY"),
            payee=AccountId(account("bank", DEALER)),
        )
        await operator.execute(lost, SECU)
        await site.made.ledgers["bank"].submit(GATEWAY, [Lock(terms=stray)])
    await site.put_back()
    await site.declared()
    async with site.made.gateway():
        await becomes(site, lost.settlement, "SETTLED")
        view = await site.view(lost.settlement)
        assert view is not None and len(view.state.legs) == 3
    assert (await site.audited()).clean


async def test_facts_before_the_copy_need_not_be_read(site: Site) -> None:
    made = site.made
    await site.save()
    async with site.by_hand() as operator:
        await both_locked(operator)
    later = Instant(time.time_ns())
    async with site.by_hand() as operator:
        lost = await both_locked(operator)
    await site.put_back()
    async with open_pool(site.day.dsns["gateway"], "restore") as pool:
        await declare(pool, later)
    async with made.gateway():
        await until(lambda: not made.engine.agreements.paused)
        assert set(made.engine.runner.lives) == {lost.settlement}
        counts = [said for said in made.said if said.startswith("read ")]
        assert len(counts) == 2 and all(said.startswith("read 1 facts of ") for said in counts)


async def test_instructions_sent_again_are_not_settled_again(site: Site) -> None:
    """The delivery is in the copy; the receipt, and what settled both, are lost and found."""
    made = site.made
    deliver, receive = both()
    async with made.gateway():
        await send(made, deliver)
    await site.save()
    async with made.gateway():
        await send(made, receive)
        await until(lambda: confirmed(made, BUYER, 1))
    moved = await made.balance("registry", BUYER, ISIN)
    await site.put_back()
    await site.declared()
    async with made.gateway():
        await until(lambda: not made.engine.agreements.paused)
        await send(made, receive)
        for member_ in (SELLER, BUYER):
            await until(lambda who=member_: confirmed(made, who, 1))
        for item in both(quantity="7"):  # another trade is none of it
            await send(made, item)
        await until(lambda: confirmed(made, BUYER, 2))
    assert await made.balance("registry", BUYER, ISIN) == (moved[0] + 7, 0)
    report = await site.audited()
    assert report.clean, lines(report.findings)


async def test_half_a_swap_that_was_found_is_told_to_who_posts_it_again(site: Site) -> None:
    made = site.made
    await site.save()
    async with site.by_hand() as operator:
        half = await operator.open()
        await operator.lock(half, CASH)
    swap = msgspec.structs.replace(a_dvp(quantity=1, cash=100), id=half.settlement)
    await site.put_back()
    await site.declared()
    async with made.gateway():
        await until(lambda: not made.engine.agreements.paused)
        (told,) = await made.desk.take_settlements(SELLER, [(swap, b"digest")])
        assert isinstance(told, View) and told.id == swap.id
        await becomes(site, swap.id, "CANCELLED")


async def confirmed(made: System, who: str, count: int) -> bool:
    """Whether a member has so many confirmations."""
    box = await made.desk.read(who, after=0, limit=500)
    return sum(item.definition.startswith("sese.025") for item in box) == count


async def test_a_swap_posted_again_is_the_one_that_was_found(site: Site) -> None:
    made = site.made
    await site.save()
    swap = a_dvp()
    async with made.gateway():
        await settle(made, swap)
    moved = await made.balance("bank", SELLER, "EUR")
    await site.put_back()
    await site.declared()
    async with made.gateway():
        await until(lambda: not made.engine.agreements.paused)
        (again,) = await made.desk.take_settlements(SELLER, [(swap, b"digest")])
        assert isinstance(again, View) and again.id == swap.id
        await becomes(site, swap.id, "SETTLED")
        other = msgspec.structs.replace(a_dvp(quantity=1), id=swap.id)
        (conflict,) = await made.desk.take_settlements(SELLER, [(other, b"other")])
        assert isinstance(conflict, Conflict)
    assert await made.balance("bank", SELLER, "EUR") == moved


async def test_the_command_says_what_it_did_as_a_table_and_as_json(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = site.day.dsns["gateway"]
    async with site.by_hand() as operator:
        opened = await operator.open()
    arguments = ["restore", "--may-lack-records", "--dsn", dsn]
    assert await asyncio.to_thread(cli.run, arguments) == 0
    out, err = capsys.readouterr()
    assert "open, undecided" in out and "restored: 1 two_key" in out
    assert "start the gateway" in err
    assert await asyncio.to_thread(cli.run, [*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["epoch"], told["again"], told["restored"]) == (2, True, [])
    row = await site.copy.row("gateway", "SELECT events FROM journal WHERE epoch = 2")
    assert json.loads(row["events"]) == [{"event": "restored", "epoch": 2}]
    view = await site.copy.row("gateway", "SELECT settlement FROM journal WHERE epoch = 2")
    assert str(view["settlement"]) == opened.settlement
