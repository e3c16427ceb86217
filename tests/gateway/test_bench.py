"""The bench: its statistics, its accounting, what it sends, and one small run of everything."""

import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from gateway.bench import compare, throwaway
from gateway.bench.bodies import Bodies, array, batch, message_id
from gateway.bench.facts import Database, Facts, cpu_model, python_build
from gateway.bench.lanes import hot
from gateway.bench.plan import (
    UNMATCHED,
    Asset,
    Case,
    Fate,
    Holder,
    Lane,
    Member,
    Order,
    Shape,
    Site,
    Watch,
    fates,
    watch,
)
from gateway.bench.report import Parameters, Report, figures, ratios, row
from gateway.bench.rounds import Round
from gateway.bench.statistics import Spread, chance, differ, percentile, rounds_suffice
from gateway.bench.system import GATEWAY, LEDGERS, LOAD, POSTGRESQL
from gateway.bench.trade import Trade
from gateway.bench.trades import Dealer, Tally, Unit
from gateway.cli import bench as cli
from gateway.http import wire
from gateway.machine import processes as cpu
from gateway.machine import world
from protocols import matching
from protocols.iso20022 import envelope, sese023
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.instruction import Movement

# --- statistics -----------------------------------------------------------------------------------


def test_the_spread_of_rounds_is_their_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 9.0, 4.0]) == Spread(median=3.0, low=1.0, high=9.0)


def test_a_percentile_is_the_nearest_rank() -> None:
    values = list(range(1, 101))
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50, 99)
    assert percentile([7.0], 0.99) == 7.0


def test_the_rank_test_is_exact() -> None:
    """Against every arrangement of ranks, one by one."""
    for m, n in ((2, 3), (4, 4), (5, 3)):
        arrangements = list(itertools.combinations(range(m + n), m))
        for chosen in arrangements:
            rest = [rank for rank in range(m + n) if rank not in chosen]
            extreme = _distance(chosen, rest)
            as_far = sum(
                _distance(other, [r for r in range(m + n) if r not in other]) >= extreme
                for other in arrangements
            )
            expected = min(1.0, as_far / len(arrangements))
            assert chance(chosen, rest) == pytest.approx(expected), (chosen, rest)


def _distance(x: Any, y: Any) -> float:
    u = sum(a < b for a in x for b in y)
    return abs(u - len(x) * len(y) / 2)


def test_equal_rounds_are_never_different() -> None:
    assert chance([5, 5, 5, 5], [5, 5, 5, 5]) == 1.0
    assert not differ([5.0, 5.1, 5.2, 5.0, 5.1], [5.1, 5.0, 5.2, 5.1, 5.0])


def test_a_difference_is_beyond_noise_and_large_enough() -> None:
    calm = [100.0, 101.0, 102.0, 103.0, 104.0]
    assert differ(calm, [value * 1.2 for value in calm])
    assert not differ(calm, [value + 2 for value in calm]), "of no use to anybody"
    wild = [100.0, 180.0, 120.0, 160.0, 140.0]
    assert not differ(wild, [value * 1.1 for value in wild]), "such rounds overlap anyway"


def test_three_rounds_against_three_show_nothing() -> None:
    assert not rounds_suffice(3, 3)
    assert rounds_suffice(4, 4)


# --- CPU time -------------------------------------------------------------------------------------


def test_a_process_name_may_hold_brackets_and_blanks() -> None:
    line = "4711 (a) b (c)) S 12 4711 4711 0 -1 4194560 1 0 0 0 100 20 3 4 20 0 1 0 9 1 1\n"
    assert cpu.read(line) == cpu.Process(pid=4711, parent=12, name="a) b (c)", ticks=127)


def test_a_family_is_everybody_below() -> None:
    known = {
        pid: cpu.Process(pid=pid, parent=parent, name="", ticks=1)
        for pid, parent in {1: 0, 2: 1, 3: 2, 4: 3, 5: 1}.items()
    }
    assert cpu.family([2], known) == {2, 3, 4}
    assert cpu.family([9], known) == set()


def test_the_time_of_children_that_have_ended_is_counted() -> None:
    spin = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    before = cpu.used({"own": [os.getpid()]})["own"]
    subprocess.run([sys.executable, "-c", spin], check=True)
    assert cpu.used({"own": [os.getpid()]})["own"] - before >= 0.28


def test_a_process_that_has_gone_is_noticed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    with pytest.raises(LookupError, match="ledgers"):
        cpu.used({"ledgers": [child.pid]})


def test_the_machine_is_busy() -> None:
    before = cpu.busy()
    end = os.times().user + 0.2
    while os.times().user < end:
        pass
    assert cpu.busy() > before


def test_the_cpu_is_named_where_the_kernel_names_it() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: EPYC 9\nflags: x\n") == "EPYC 9"
    assert cpu_model("") != ""


@pytest.mark.parametrize(
    ("configured", "debian", "told"),
    [
        ("'--enable-shared'", False, "without PGO, without LTO"),
        ("'--enable-optimizations'", False, "with PGO, without LTO"),
        ("'--enable-optimizations' '--with-lto=full'", False, "with PGO, with LTO"),
        ("'--enable-optimizations' '--with-lto=no'", False, "with PGO, without LTO"),
        ("'--prefix=/usr'", True, "with PGO, with LTO"),
    ],
)
def test_the_build_of_the_interpreter_is_told(configured: str, debian: bool, told: str) -> None:
    assert python_build(configured, debian=debian) == told


# --- trades ---------------------------------------------------------------------------------------

SECURITY = Asset(
    code="XS9990000010", ledger="registry", scale=2, quantity_type="FaceAmt", beyond=901
)
EURO = Asset(code="EUR", ledger="bank", scale=2, quantity_type="Ccy", beyond=902)


def lane(first: int, place: int) -> Lane:
    parties = tuple(
        Holder(member=m, accounts={"registry": f"REG-{m}-{place}", "bank": f"EUR-{m}-{place}"})
        for m in (first, first + 1)
    )
    return Lane(assets=(SECURITY, EURO), parties=parties)


GROUPS = ((lane(0, 0), lane(0, 1)), (lane(2, 0), lane(2, 1)))


SITE = Site(
    shape=Shape.DVP,
    gateway="http://127.0.0.1:1",
    bic="LCKSNL20XXX",
    depository="REGADEF0XXX",
    business_date="2026-10-08",
    members=tuple(Member(bic=f"BNM{x}DEF0XXX", token=f"token-{x}") for x in "ABCDX"),
    groups=GROUPS,
    hot=hot(GROUPS),
    absent=Holder(member=4, accounts={"registry": "REG-4-0", "bank": "EUR-4-0"}),
    database=None,
)


def drawn(case: Case, count: int, **changes: Any) -> list[Unit]:
    dealer = Dealer(SITE, Order(case=case, in_flight=1, **changes))
    return [dealer.unit() for _ in range(count)]


async def test_a_bulk_is_between_two_members_and_in_one_direction() -> None:
    for unit in drawn(Case.JSON_BULK, 8):
        assert len(unit.trades) == 50
        assert len({(t.first_payer.member, t.first_payee.member) for t in unit.trades}) == 1


async def test_directions_and_members_take_turns() -> None:
    trades = [unit.trades[0] for unit in drawn(Case.JSON_SINGLE, 8)]
    directions = [(trade.first_payer.member, trade.first_payee.member) for trade in trades]
    assert directions == [(0, 1), (2, 3), (1, 0), (3, 2)] * 2
    assert len({t.lane.parties[0].accounts["registry"] for t in trades}) == 4


async def test_the_hot_share_goes_over_one_cash_account() -> None:
    def over(unit: Unit) -> bool:
        return unit.trades[0].lane.parties[0].accounts["bank"] == "EUR-0-0"

    units = drawn(Case.JSON_SINGLE, 100, hot_share=0.3)
    assert sum(map(over, drawn(Case.JSON_SINGLE, 100))) == 25, "one lane of four"
    taken = [unit for unit in units if over(unit)]
    assert 10 < len(taken) - 30 < 25, "thirty by themselves, and its share of the other seventy"
    sellers = [unit.trades[0].first_payer.member for unit in taken]
    assert 0.3 < statistics.mean(sellers) < 0.7, "the hot account does not run dry either"
    all_hot = drawn(Case.JSON_SINGLE, 10, hot_share=1.0)
    assert all(map(over, all_hot))
    assert len({u.trades[0].lane.parties[0].accounts["registry"] for u in all_hot}) == 2


async def test_the_fault_rate_is_of_the_trades_and_in_turn_of_all_fates() -> None:
    trades = [t for unit in drawn(Case.JSON_BULK, 4, fault_rate=0.1) for t in unit.trades]
    assert [sum(t.fate is fate for t in trades) for fate in Fate] == [180, 10, 10, 0]
    uncovered = next(t for t in trades if t.fate is Fate.NO_COVER)
    assert uncovered.quantities[-1] == EURO.beyond
    for lapsed in (t for t in trades if t.fate is Fate.LAPSED):
        assert lapsed.first_payer.member != 4, "whoever hands it in consents by that"
        assert 4 in [party.member for party in lapsed.lane.parties]
    sides = drawn(Case.ISO_SINGLE, 20, fault_rate=0.25)
    assert sum(unit.trades[0].fate is Fate.ALONE for unit in sides) == 5


def test_how_trades_can_fail_depends_on_the_locks_and_the_members() -> None:
    def able(site: Site = SITE, **changes: Any) -> tuple[Fate, ...]:
        return fates(
            replace(Order(case=Case.JSON_BULK, in_flight=1, fault_rate=0.1), **changes), site
        )

    assert able() == (Fate.NO_COVER, Fate.LAPSED)
    assert able(protocol="htlc") == (Fate.LAPSED,), "a lock would come back after minutes"
    assert able(replace(SITE, absent=None)) == (Fate.NO_COVER,)
    assert able(replace(SITE, absent=None), protocol="htlc") == ()
    assert able(fault_rate=0.0) == ()


async def test_a_trade_that_must_fail_holds_nobody_up_and_must_fail() -> None:
    tally = Tally(SITE, case=Case.JSON_SINGLE)
    doomed, settled = (
        Unit([replace(trade(), id=id, fate=fate)])
        for id, fate in (("a", Fate.NO_COVER), ("b", Fate.NO_COVER))
    )
    for unit in (doomed, settled):
        tally.expect(unit)
        assert unit.done.done()
    for member in ("BNMADEF0XXX", "BNMBDEF0XXX"):
        tally.told(member, "a", "REJECTED")
        tally.told(member, "b", None)
    await asyncio.wait_for(tally.all_told(), 1)
    assert (tally.failed, tally.latencies, len(tally.flows)) == (2, [], 0)
    assert all("settled, it should be no cover" in fault for fault in tally.faults)
    assert len(tally.faults) == 2


async def test_unmatched_is_an_end_only_of_one_who_is_alone() -> None:
    tally = Tally(SITE, case=Case.ISO_SINGLE)
    matched, alone = (Unit([trade(id=id)]) for id in "ab")
    alone = Unit([trade(id="b", fate=Fate.ALONE)])
    for unit in (matched, alone):
        tally.expect(unit)
    for id in "ab":
        tally.told("BNMADEF0XXX", message_id(id, Movement.DELI), UNMATCHED)
    assert (tally.failed, matched.open, tally.faults) == (1, 1, [])


def test_in_flight_is_rounded_up_to_whole_units() -> None:
    assert Order(case=Case.JSON_BULK, in_flight=256).units_in_flight == 6
    assert Order(case=Case.JSON_BULK, in_flight=1).units_in_flight == 1
    assert Order(case=Case.ISO_SINGLE, in_flight=256).units_in_flight == 256


def test_latency_is_watched_at_once_and_throughput_cheaply() -> None:
    assert (watch(1), watch(256)) == (Watch.STREAM, Watch.PAGES)


async def test_a_trade_is_settled_when_both_parties_are_told() -> None:
    tally = Tally(SITE, case=Case.JSON_SINGLE)
    (unit,) = drawn(Case.JSON_SINGLE, 1)
    (trade,) = unit.trades
    tally.expect(unit)
    tally.told("BNMADEF0XXX", trade.id, None)
    assert (tally.latencies, unit.done.done()) == ([], False)
    tally.told("BNMBDEF0XXX", trade.id, None)
    assert (len(tally.latencies), unit.done.done(), tally.faults) == (1, True, [])
    moved = {(f.account, f.quantity) for f in tally.outcome(0.0, "id").flows}
    delivered, paid = trade.quantities
    assert moved == {
        ("REG-0-0", -delivered),
        ("REG-1-0", delivered),
        ("EUR-1-0", -paid),
        ("EUR-0-0", paid),
    }


async def test_each_side_of_an_instruction_is_told_under_its_own_message() -> None:
    tally = Tally(SITE, case=Case.ISO_SINGLE)
    (unit,) = drawn(Case.ISO_SINGLE, 1)
    id = unit.trades[0].id
    tally.expect(unit)
    tally.told("BNMADEF0XXX", message_id(id, Movement.DELI), None)
    tally.told("BNMBDEF0XXX", message_id(id, Movement.RECE), None)
    assert unit.done.done() and not tally.faults


async def test_what_is_lost_told_twice_or_refused_is_a_fault() -> None:
    tally = Tally(SITE, case=Case.JSON_SINGLE)
    first, second = drawn(Case.JSON_SINGLE, 2)
    for unit in (first, second):
        tally.expect(unit)
    id = first.trades[0].id
    tally.told("BNMADEF0XXX", id, None)
    tally.told("BNMADEF0XXX", id, None)
    tally.told("BNMBDEF0XXX", id, "CANCELLED")
    tally.told("STRANGE0XXX", "somebody else's", None)
    tally.lost()
    twice, ended, missing = tally.faults
    assert "told twice" in twice and "CANCELLED" in ended and "2 final notices" in missing


# --- what is sent ---------------------------------------------------------------------------------


def trade(**changes: Any) -> Trade:
    plain = Trade(
        id="0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071",
        lane=GROUPS[0][0],
        reverse=False,
        quantities=(12345, 7),
    )
    return replace(plain, **changes)


def test_a_patched_proposal_says_what_its_trade_says() -> None:
    bodies = Bodies(SITE, "two_key")
    sent = array(
        [bodies.proposal(trade()), bodies.proposal(trade(reverse=True, quantities=(1, 7)))]
    )
    there, back = msgspec.json.decode(sent, type=tuple[wire.Proposal, ...])
    assert (there.id, there.protocol) == (trade().id, "two_key")
    assert [leg.quantity for leg in there.legs] == ["123.45", "0.07"]
    assert [leg.quantity for leg in back.legs] == ["0.01", "0.07"]
    assert [leg.payer.account for leg in there.legs] == ["REG-0-0", "EUR-1-0"]
    assert [leg.payer.account for leg in back.legs] == ["REG-1-0", "EUR-0-0"]


def test_patched_instructions_are_valid_and_match() -> None:
    bodies = Bodies(SITE)
    id = trade().id.replace("-", "")
    sides = [bodies.instruction(trade(id=id), movement) for movement in Movement]
    read = []
    for item in envelope.split(batch(sides)):
        assert isinstance(item, Enveloped), item
        envelope.validate(item)
        read.append(sese023.decode(item))
        assert item.header.business_message_id == message_id(id, read[-1].movement)
    deliver, receive = read
    assert matching.compare(deliver, receive, matching.T2S_TOLERANCE) == ()
    assert (deliver.quantity, deliver.amount) == ("123.45", "0.07")
    assert deliver.settlement_date == date(2026, 10, 8)


def test_the_bench_makes_a_sound_world(tmp_path: Path) -> None:
    made = world.load(throwaway.write(tmp_path / "bench.toml"))
    assert len(made.ledgers["registry"].assets) == throwaway.SECURITIES
    assert len(made.members) == 2 * throwaway.CIRCLES + 1


# --- reports --------------------------------------------------------------------------------------


def measured(gateway: float, database: float = 1.0, settled: int = 1000) -> Round:
    return Round(
        settled=settled,
        failed=0,
        seconds=2.0,
        latencies=tuple(0.001 * n for n in range(1, 101)),
        cpu={
            f"{GATEWAY}/gateway": gateway,
            f"{LEDGERS}/registry": 0.2,
            f"{LEDGERS}/euro": 0.3,
            f"{POSTGRESQL}/gateway": database,
            f"{LOAD}/client": 9.0,
        },
        others_cores=0.25,
        sizes=None,
    )


def reported(*gateway: float, cores: int = 2) -> Report:
    return Report(
        measured_at="2026-10-08T00:00:00Z",
        version="0",
        machine=Facts(
            cores=cores,
            cpu="x",
            kernel="y",
            memory_gib=1.0,
            python="3.11",
            databases=(
                Database(version="18", fsync="on", synchronous_commit="on", full_page_writes="on"),
            ),
        ),
        parameters=Parameters(
            rounds=len(gateway),
            seconds=2.0,
            settlements=None,
            hot_share=0.0,
            protocol=None,
            target=None,
        ),
        figures=(figures(Case.JSON_BULK, 256, [measured(value) for value in gateway]),),
        faults=(),
    )


def test_the_load_generator_is_shown_and_in_no_sum() -> None:
    found = figures(Case.JSON_BULK, 256, [measured(1.0), measured(2.0), measured(3.0)])
    assert found.cpu_us_per_settlement == (2500.0, 3500.0, 4500.0)
    assert found.cpu_us_by_group[LOAD] == (9000.0, 9000.0, 9000.0)
    assert found.cpu_us_by_group[LEDGERS] == (500.0, 500.0, 500.0)
    assert found.cpu_us_by_process[f"{LEDGERS}/registry"] == (200.0, 200.0, 200.0)
    assert found.settlements_per_second == (500.0, 500.0, 500.0)
    assert (found.latency_p50_ms, found.latency_p99_ms) == (pytest.approx(50), pytest.approx(99))
    assert "3,500 (2,500-4,500)" in row(found)


def test_the_single_database_is_the_yardstick() -> None:
    bare = replace(
        figures(Case.DATABASE, 8, [measured(0.0, 1.0, 2000)]),
        cpu_us_per_settlement=(250.0,),
    )
    report = reported(1.0)
    (line,) = ratios(replace(report, figures=(*report.figures, bare)))
    assert line.startswith("json-bulk at 256 in flight: 10.00 times the CPU time")
    assert "0.50 times its settlements" in line
    assert ratios(report) == []


def test_a_comparison_tells_worse_from_noise() -> None:
    before = reported(1.0, 1.1, 1.05, 1.02, 1.08)
    same, worse, few = (
        compare.compare(before, after)[0].verdict
        for after in (
            reported(1.04, 1.09, 1.01, 1.12, 1.03),
            reported(1.5, 1.6, 1.55, 1.52, 1.58),
            reported(9.0),
        )
    )
    assert (same, worse, few) == (
        compare.Verdict.SAME,
        compare.Verdict.WORSE,
        compare.Verdict.TOO_FEW,
    )
    better = compare.compare(reported(1.5, 1.6, 1.55, 1.52, 1.58), before)
    assert better[0].verdict is compare.Verdict.BETTER


def test_another_machine_is_warned_of() -> None:
    assert compare.warnings(reported(1.0), reported(1.0, 1.0)) == []
    (warning,) = compare.warnings(reported(1.0), reported(1.0, cores=64))
    assert "machines" in warning


# --- all of it ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("--cases", "json-bulk,xml"),
        ("--in-flight", "0"),
        ("--in-flight", "many"),
        ("--seconds", "1", "--settlements", "5"),
        ("--cases", "iso-batch", "--protocol", "htlc"),
        ("--cases", "iso-batch", "--shape", "pvp"),
        ("--shape", "ring", "--against-database"),
        ("--fault-rate", "1"),
        ("--settled", "1", "--target", "."),
        ("--soak", "5"),
        ("--soak", "5", "--cases", "json-bulk", "--in-flight", "50", "--seconds", "9"),
        ("--soak", "1", "--cases", "json-bulk", "--in-flight", "50"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_refused_before_anything_starts(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.command, arguments)
    assert result.exit_code == 2, result.output


@pytest.mark.system
@pytest.mark.timeout(240)  # a few seconds of rounds, and four PostgreSQL servers to start and stop
async def test_a_small_bench_of_everything_adds_up(tmp_path: Path) -> None:
    kept = tmp_path / "bench.json"
    command = (
        *(sys.executable, "-m", "gateway.cli", "bench"),
        *("--rounds", "1", "--settlements", "60", "--in-flight", "30"),
        *("--cases", "json-bulk,iso-single", "--fault-rate", "0.1"),
        *("--hot-share", "0.5", "--against-database", "--json", str(kept)),
    )
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    shown, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    report = json.loads(kept.read_bytes())
    assert report["faults"] == []
    assert [found["case"] for found in report["figures"]] == [
        *("json-bulk", "iso-single", "database")
    ]
    for found in report["figures"]:
        assert found["settled"] + found["failed"] >= 60
        assert (found["failed"] >= 6) == (found["case"] != "database")
        assert all(value > 0 for value in found["cpu_us_per_settlement"])
        for value in found["cpu_us_by_group"].values():
            assert value[0] >= 0
    held = report["holdings"]
    assert held["settled"] == sum(f["settled"] for f in report["figures"][:2])
    for before, after in zip(
        *(held[when]["stores"].values() for when in ("before", "after")), strict=True
    ):
        assert after["transactions"] > before["transactions"]
    assert all(one["memory_bytes"] and one["files"] for one in held["after"]["processes"].values())
    assert report["machine"]["databases"][0]["fsync"] == "on"
    assert "settlements/s" in shown.decode() and "times the CPU time" in shown.decode()
