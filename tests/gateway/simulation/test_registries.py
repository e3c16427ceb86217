"""The registry network under faults and lies: what must hold holds, and the judge would notice."""

import msgspec
import pytest

from gateway.simulation import scenario_file, scenario_network
from gateway.simulation.registries import Registries, Settings, begun, opened, whole_run
from gateway.simulation.registries_campaign import convictions
from gateway.simulation.registries_judge import final_blocks, longest, violations
from gateway.simulation.registries_liar import Liar, Lie
from gateway.simulation.registries_node import Node
from gateway.simulation.registries_recovery import recover
from gateway.simulation.scenario_file import ScenarioError
from gateway.simulation.scenario_run import Run
from htlc.units import AccountId
from ledgers.icsd.block import Block
from ledgers.icsd.entry import Hash
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.proof import Offence
from ledgers.parties import Balance

SHORT = Settings(seconds=8.0, requests=20)


def with_(**changed: object) -> Settings:
    return msgspec.structs.replace(SHORT, **changed)


def lying(*lies: Lie, name: str = "UZ", **changed: object) -> Settings:
    return with_(lies={name: frozenset(lies)}, **changed)


@pytest.fixture(scope="module")
def calm() -> Registries:
    return whole_run(1, SHORT)


def test_everything_asked_is_done_once_and_all_books_are_equal(calm: Registries) -> None:
    assert violations(calm) == ()
    assert len(calm.answers) == len(calm.requests) > 30
    assert {node.replica.final for node in calm.nodes.values()} == {longest(calm).replica.final}


def test_the_same_seed_gives_the_same_chain(calm: Registries) -> None:
    again = whole_run(1, SHORT)
    assert [b.header.hash for b in final_blocks(again)] == [
        b.header.hash for b in final_blocks(calm)
    ]


def test_crashes_lose_nothing() -> None:
    world = whole_run(2, with_(crashes=10, votes_lost=0.3, messages_lost=0.2))
    assert violations(world) == ()


@pytest.mark.parametrize(
    "lies",
    [
        (Lie.SILENT, Lie.STEAL),
        (Lie.FALSE_ROOT, Lie.FORGE),
        (Lie.EQUIVOCATE, Lie.TWO_BUNDLES),
        (Lie.BAD_CUTS, Lie.WRONG_TIME),
    ],
)
def test_one_liar_of_four_changes_nothing(lies: tuple[Lie, ...]) -> None:
    world = whole_run(3, lying(*lies, crashes=2))
    assert violations(world) == ()
    assert longest(world).replica.final > 3


def test_two_liars_of_seven_change_nothing() -> None:
    lies = {"BY": frozenset({Lie.EQUIVOCATE}), "KZ": frozenset({Lie.FORGE, Lie.STEAL})}
    world = whole_run(4, with_(registries=7, seconds=6.0, requests=10, lies=lies))
    assert violations(world) == ()


def test_who_loses_its_database_follows_until_it_knows_what_it_may_sign() -> None:
    world = whole_run(6, with_(wiped={"KZ": 4.0}, votes_lost=0.2, messages_lost=0.1))
    assert violations(world) == ()
    above = world.nodes[RegistryId("KZ")].replica.votes_above
    assert above is not None and 0 < above < longest(world).replica.final
    signed = [e.registry for node in world.honest for e in node.replica.evidence]
    assert signed == []


@pytest.mark.parametrize("seed", [2, 8])  # in others the careless get no quorum in time
def test_two_who_lost_their_votes_and_are_shown_another_log_make_no_fork(seed: int) -> None:
    """Each half of the log's readers gets one of the other: two quorums, if they voted."""
    lost = {"GE": 5.0, "KZ": 5.0}
    found = {}
    for careless in (False, True):
        world = whole_run(seed, with_(forks_at=3.0, apart=True, wiped=lost, careless=careless))
        found[careless] = [line for line in violations(world) if "another block" in line]
    assert found[False] == []
    assert found[True] != [], "without the rule two blocks of one height are certified"


def test_a_network_whose_log_forked_is_recovered_without_who_lost_its_votes() -> None:
    world = begun(8, with_(forks_at=3.0, wiped={"UZ": 4.0}))
    world.play(until=20.0)
    recover(world)
    world.play()
    assert violations(world) == ()
    assert world.nodes[RegistryId("UZ")].replica.votes_above is not None


def test_who_signs_twice_is_convicted_by_its_signatures() -> None:
    found = convictions(whole_run(5, lying(Lie.EQUIVOCATE, Lie.TWO_BUNDLES)))
    assert found == {Offence.TWO_VOTES: 1, Offence.TWO_BUNDLES: 1}


def test_more_liars_than_the_network_withstands_are_found_out() -> None:
    """Three of four sign one false state: the honest one stops, and says what differs."""
    lies = {name: frozenset({Lie.FALSE_ROOT}) for name in ("KZ", "UZ")}
    world = whole_run(6, with_(requests=0, lies=lies))
    assert longest(world).replica.final == 0, "two of four certify nothing"
    stopped = _three_liars()
    assert stopped.replica.stopped is not None
    assert "state" in stopped.replica.stopped.what
    assert stopped.replica.final == 0, "and its initiators are told nothing"


def _three_liars() -> Node:
    """One honest registry among three that sign the same false state."""
    settings = with_(requests=0)
    world = Registries(7, settings)
    for name in ("GE", "KZ", "UZ"):
        lies = frozenset({Lie.FALSE_ROOT})
        world.nodes[name] = Liar(name, world.epoch, world, lies)  # type: ignore[index, arg-type]
    honest = next(iter(world.nodes.values()))
    for node in world.nodes.values():
        world.wake(node, 0)  # type: ignore[arg-type]
    world.ask(honest.name, opened(honest.name, "AM-1"))
    world.play()
    return honest


# --- the log lies --------------------------------------------------------------------------------


def test_a_log_that_forks_is_replaced_and_nothing_is_lost() -> None:
    """Two of four are shown another order: no quorum, nothing final. People begin a new epoch."""
    world = begun(1, with_(forks_at=5.0, requests=30))
    world.play(until=40.0)
    assert len({node.replica.view.head for node in world.nodes.values()}) > 1
    answered = len(world.answers)
    assert answered < len(world.requests)
    epoch = recover(world)
    assert epoch.number == 2
    world.play(until=140.0)
    assert violations(world) == ()
    assert len(world.answers) == len(world.requests) > answered
    assert {block.header.epoch for block in final_blocks(world)} == {1, 2}


# --- the judge has teeth -------------------------------------------------------------------------


def copy_of(seed: int = 1) -> Registries:
    return whole_run(seed, with_(requests=6, seconds=7.0))


def test_the_judge_sees_what_is_wrong() -> None:
    world = copy_of()
    assert violations(world) == ()
    node = world.honest[0]
    answer = world.answers.pop(3)
    assert "was answered 0 times" in violations(world)[0]
    world.answers[3] = answer * 2
    assert "was answered 2 times" in violations(world)[0]
    world.answers[3] = answer
    block = node.blocks[2]
    wrong = msgspec.structs.replace(block.statement, state=Hash(bytes(32)))
    node.blocks[2] = msgspec.structs.replace(block, statement=wrong)
    assert any("another block or state at 3" in line for line in violations(world))
    node.blocks[2] = block
    for other in world.honest:
        other.blocks = [_without_moves(each) for each in other.blocks]
    assert any("stands 0 times in the chain" in line for line in violations(world))


def _without_moves(block: Block) -> Block:
    kept = tuple(effect for effect in block.effects if not effect.id.startswith("move-"))
    return msgspec.structs.replace(block, effects=kept)


def test_the_judge_sees_an_issue_that_is_not_whole() -> None:
    world = copy_of()
    view = world.honest[0].replica.view
    asset = next(iter(view.book.instruments))
    counter = view.book.instruments[asset].counter
    view.book.balances[AccountId(counter), asset] = Balance(-1, 0)
    assert any("is not whole" in line for line in violations(world))


# --- the scenarios -------------------------------------------------------------------------------


def run_of(id: str, case: int) -> Run:
    scenario = scenario_file.load(scenario_file.find(id))
    return scenario_network.play(scenario, scenario.cases[case], 3)


@pytest.mark.parametrize("case", [0, 1])
def test_the_altered_holdings_are_named(case: int) -> None:
    """The registry stops by itself, and a walk down the trees finds what differs: no more."""
    facts = run_of("R02", case).facts
    expected = ["UZ-1 KZ1C00001015", "UZ-2 KZ1C00001015"][: 2 - case]
    assert facts["holdings that differ"] == ", ".join(expected)
    assert float(facts["found after"].split()[0]) < 3


ALTERED = 'do = "alter_holding"\nregistry = "UZ"\nwhere = "memory"'


def test_a_network_scenario_says_what_it_cannot_have() -> None:
    text = (scenario_file.CATALOGUE / "R02.toml").read_text()
    for old, new, rule in (
        ('"AM", "GE", "KZ", "UZ"', '"AM", "GE", "UZ"', "four or more"),
        ('registry = "UZ"', 'registry = "XX"', "is one of GE, KZ, UZ"),
        ('"at 10 s"', '"opened"', "`at N s`"),
        (ALTERED, 'do = "reorganise"\nledger = "x"', "has `cut_off_registry`"),
    ):
        with pytest.raises(ScenarioError, match=rule):
            scenario_file.parse(text.replace(old, new))
