"""A damaged book held against another registry's: what differs is found, and no lie is believed."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from htlc.units import SECOND, AccountId, Duration, Instant
from ledgers.icsd import tree
from ledgers.icsd.block import Block, carried
from ledgers.icsd.client import LightClient
from ledgers.icsd.compare import BLOCKS_MAX, OPERATIONS, Compared, Shown, compare
from ledgers.icsd.descent import Descent, TooDifferent
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.light import Certified
from ledgers.icsd.past import Past, TreeName, named, tables_of
from ledgers.icsd.roots import Issuance
from ledgers.icsd.rows import Homed, Rows
from ledgers.icsd.tree import Children, ForgedProof, Sibling
from ledgers.parties import Account, Balance
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    NETWORK,
    Chain,
    certificate_of,
    epoch_of,
    furnished,
    moved,
    opened,
)

KZ_1, UZ_B = AccountId("kz-1"), AccountId("UZ-b")
replace = msgspec.structs.replace


class Watched(Chain):
    """A chain of which the last heights are kept."""

    def __init__(self, heights: int = 1_000, rows: int = 50_000) -> None:
        super().__init__()
        self.past = Past(self.view, heights=heights, rows=rows)

    def block(self, *messages: bytes, at: Instant | None = None) -> Block:
        block = super().block(*messages, at=at)
        self.past.note(block)
        return block


class Peer:
    """A registry of the chain, asked in memory."""

    def __init__(self, chain: Watched) -> None:
        self.chain = chain
        self.past = chain.past

    async def shown(self, height: int) -> Shown:
        moment = self.past.at(height)
        assert moment is not None
        block, child = self.chain.blocks[height - 1], self.chain.blocks[height]
        its = carried(child.cut)
        assert its is not None
        wanted = Rows(place=moment.place, sequences=dict(self.chain.view.tables.sequences))
        return Shown(
            block=Certified(header=block.header, certificate=its),
            child=Certified(
                header=child.header, certificate=certificate_of(child.statement, *FOUR)
            ),
            state=moment.state,
            place=moment.place,
            sequences=self.past.rows(moment, wanted).sequences,
        )

    async def children(
        self, height: int, name: TreeName, places: Sequence[str]
    ) -> Sequence[Children]:
        moment = self.past.at(height)
        assert moment is not None
        return [tree.children(self.past.tree(moment, name), place) for place in places]

    async def issuances(self, height: int, places: Sequence[bytes]) -> Sequence[Issuance]:
        moment = self.past.at(height)
        assert moment is not None
        assert list(places) == [tree.key_of(ISIN)]
        found = self.past.issuance(moment, ISIN)
        return [] if found is None else [found]

    async def rows(self, height: int, name: TreeName, places: Sequence[bytes]) -> Rows:
        moment = self.past.at(height)
        assert moment is not None
        keys = {table: self.past.keys(moment, table) for table in tables_of(name)}
        return self.past.rows(moment, named(name, keys, places, moment.place))


@pytest.fixture
def world() -> tuple[Peer, Rows, int]:
    """A peer that has gone on, all rows at an earlier height, and that height."""
    chain = Watched()
    furnished(chain)
    chain.done("UZ", opened("UZ", UZ_B))
    chain.done("KZ", moved("kz-1", "uz-1", 50, "m-1"))
    rows, height = chain.view.tables.everything(chain.view.place), chain.view.height
    chain.done("KZ", opened("KZ", "KZ-late"), moved("kz-1", "uz-1", 7, "m-2"))
    chain.done("UZ", moved("uz-1", UZ_B, 20, "m-3"))
    chain.block()
    return Peer(chain), rows, height


async def compared(peer: Peer, rows: Rows, height: int) -> Compared:
    members = LightClient(NETWORK, epoch_of(*FOUR), Duration(60 * SECOND))
    return await compare(rows, peer, height, members)


async def test_a_book_as_it_was_certified_does_not_differ(world: tuple[Peer, Rows, int]) -> None:
    peer, rows, height = world
    found = await compared(peer, rows, height)
    assert (found.differences, found.questions) == ([], 1)


def _balance(rows: Rows, of: Balance) -> None:
    rows.balances[KZ_1, ISIN] = of


def _issued(rows: Rows) -> None:
    instrument = rows.instruments[ISIN]
    assert instrument is not None
    rows.balances[instrument.counter, ISIN] = Balance(-5)


def _owner(rows: Rows) -> None:
    rows.accounts[KZ_1] = Homed(account=Account(id=KZ_1, owner="mallory"), home=RegistryId("KZ"))


def _home(rows: Rows) -> None:
    homed = rows.accounts[KZ_1]
    assert homed is not None
    rows.accounts[KZ_1] = replace(homed, home=RegistryId("UZ"))


def _name(rows: Rows) -> None:
    instrument = rows.instruments[ISIN]
    assert instrument is not None
    rows.instruments[ISIN] = replace(instrument, name="Junk")


def _done(rows: Rows, height: int | None = None, more: bytes = b"") -> None:
    done = rows.operations["m-1"]
    assert done is not None
    rows.operations["m-1"] = done[0] + more, done[1] if height is None else height


DAMAGES: dict[str, tuple[Callable[[Rows], Any], set[str]]] = {
    "a holding": (lambda r: _balance(r, Balance(1, 2)), {"balances"}),
    "an impossible one": (lambda r: _balance(r, Balance(-1)), {"balances"}),
    "a holding is gone": (lambda r: r.balances.pop((KZ_1, ISIN)), {"balances"}),
    "one too many": (lambda r: r.balances.update({(UZ_B, ISIN): Balance(3)}), {"balances"}),
    "of nobody": (lambda r: r.balances.update({(AccountId("x"), ISIN): Balance(3)}), {"balances"}),
    "of nothing": (lambda r: r.balances.update({(KZ_1, "X"): Balance(3)}), {"balances"}),  # type: ignore[dict-item]
    "the issued amount": (_issued, {"balances"}),
    "an omnibus account": (lambda r: r.omnibus.update({(ISIN, "UZ"): 1}), {"omnibus"}),  # type: ignore[dict-item]
    "an owner": (_owner, {"accounts"}),
    "a home": (_home, {"accounts"}),
    "an account is gone": (lambda r: r.accounts.pop(KZ_1), {"accounts"}),
    "an instrument": (_name, {"instruments"}),
    "an instrument is gone": (lambda r: r.instruments.pop(ISIN), {"instruments"}),
    "an operation": (lambda r: r.operations.update({"m-1": (b"\1" * 32, 5)}), {"operations"}),
    "its block": (lambda r: _done(r, height=4), {"operations"}),
    "an impossible block": (lambda r: _done(r, height=-1), {"operations"}),
    "its length": (lambda r: _done(r, more=b"x"), {"operations"}),
    "an operation is gone": (lambda r: r.operations.pop("m-1"), {"operations"}),
    "one that was not done": (
        lambda r: r.operations.update({"x": (b"\1" * 32, 5)}),
        {"operations"},
    ),
    "at no height": (lambda r: r.operations.update({"x": (b"\1" * 32, 1 << 62)}), {"operations"}),
    "a sequence": (lambda r: r.sequences.update({"KZ": (99, b"\1" * 32)}), {"sequences"}),  # type: ignore[dict-item]
    "the members": (lambda r: r, {"head"}),
}


@pytest.mark.parametrize("what", DAMAGES)
async def test_what_was_altered_is_found_with_what_is_right_and_nothing_else(
    world: tuple[Peer, Rows, int], what: str
) -> None:
    peer, rows, height = world
    right = msgspec.msgpack.decode(msgspec.msgpack.encode(rows), type=Rows)
    damage, tables = DAMAGES[what]
    damage(rows)
    if tables == {"head"}:
        rows = replace(rows, place=replace(rows.place, epoch=epoch_of("KZ")))
    found = await compared(peer, rows, height)
    assert {each.table for each in found.differences} == tables
    assert len(found.differences) == 1
    [one] = found.differences
    if tables != {"head"}:
        assert one.certified == getattr(right, one.table).get(one.key)
    if what == "a holding":
        assert (one.home, one.found) == ("KZ", Balance(1, 2))


class Patient(Peer):
    """Notes how many leaves it is asked for the rows of at once."""

    def __init__(self, chain: Watched) -> None:
        super().__init__(chain)
        self.asked: list[int] = []

    async def rows(self, height: int, name: TreeName, places: Sequence[bytes]) -> Rows:
        if name == OPERATIONS:
            self.asked.append(len(places))
        return await super().rows(height, name, places)


async def test_the_operations_of_many_blocks_are_asked_for_some_blocks_at_a_time() -> None:
    chain = Watched()
    furnished(chain)
    for block in range(BLOCKS_MAX):
        chain.done("KZ", *(moved("kz-1", "uz-1", 1, f"{block}-{n}") for n in range(3)))
    rows, height = chain.view.tables.everything(chain.view.place), chain.view.height
    chain.block()
    done = dict(rows.operations)
    rows.operations.clear()
    peer = Patient(chain)
    found = await compared(peer, rows, height)
    assert found.certified.operations == done and len(found.differences) == len(done)
    assert peer.asked == [BLOCKS_MAX, 2]  # those that furnished it have done some, too


def _descended(size: int, wrong: int) -> tuple[int, set[bytes], set[bytes]]:
    draw = random.Random(size)
    leaves = [tree.leaf(tree.key_of(str(n)), n, bytes(16)) for n in range(size)]
    other = [tree.leaf(leaf.key, leaf.sum + 1, leaf.content) for leaf in draw.sample(leaves, wrong)]
    theirs = tree.build(leaves)
    ours = tree.update(theirs, {leaf.key: leaf for leaf in other})
    descent, rounds = Descent(ours, tree.root(theirs), tree.total(theirs)), 0
    while places := descent.places:
        rounds += 1
        descent.take([tree.children(theirs, place) for place in places])
    return rounds, set(descent.found), {leaf.key for leaf in other}


def test_as_many_questions_are_asked_as_the_tree_is_deep() -> None:
    for size, wrong in ((1_000, 1), (1_000, 20), (20_000, 3)):
        rounds, found, expected = _descended(size, wrong)
        assert found == expected
        assert rounds <= 2 * size.bit_length()


def test_a_whole_other_book_is_not_descended() -> None:
    theirs = tree.build(tree.leaf(tree.key_of(str(n)), 1, b"") for n in range(10_500))
    descent = Descent(None, tree.root(theirs), tree.total(theirs))
    with pytest.raises(TooDifferent, match="more than 10000"):
        while places := descent.places:
            descent.take([tree.children(theirs, place) for place in places])


class Liar(Peer):
    """Says one thing otherwise."""

    lie = ""

    async def shown(self, height: int) -> Shown:
        told = await super().shown(height)
        match self.lie:
            case "state":
                return replace(told, state=replace(told.state, count=told.state.count + 1))
            case "height":
                return await super().shown(height + 1)
            case "sequences":
                return replace(told, sequences={})
            case "members":
                return replace(told, place=replace(told.place, epoch=epoch_of("KZ")))
            case "time":
                return replace(told, place=replace(told.place, at=told.place.at + 1))
            case "unsigned":
                signed = replace(told.child.certificate, signatures=())
                return replace(told, child=replace(told.child, certificate=signed))
        return told

    async def children(
        self, height: int, name: TreeName, places: Sequence[str]
    ) -> Sequence[Children]:
        told = list(await super().children(height, name, places))
        match self.lie:
            case "fewer":
                return told[1:]
            case "nothing there":
                return [Children() for _ in told]
            case "other sums" if told[0].left is not None:
                left = Sibling(told[0].left.hash, told[0].left.sum + 1)
                return [replace(told[0], left=left), *told[1:]]
        return told

    async def issuances(self, height: int, places: Sequence[bytes]) -> Sequence[Issuance]:
        told = await super().issuances(height, places)
        if self.lie == "issued":
            return [replace(told[0], issued=told[0].issued + 1)]
        return told

    async def rows(self, height: int, name: TreeName, places: Sequence[bytes]) -> Rows:
        told = await super().rows(height, name, places)
        if self.lie == "no rows":
            return Rows(place=told.place)
        if self.lie == "other rows" and name.kind == "holders":
            told.balances.update(dict.fromkeys(told.balances, Balance(9)))
        if self.lie == "other operations":
            told.operations.update(dict.fromkeys(told.operations, (b"\2" * 32, told.place.height)))
        return told


@pytest.mark.parametrize(
    "lie",
    [
        *("state", "height", "sequences", "members", "time", "unsigned", "fewer", "nothing there"),
        *("other sums", "issued", "no rows", "other rows", "other operations"),
    ],
)
async def test_a_peer_that_lies_is_caught(world: tuple[Peer, Rows, int], lie: str) -> None:
    peer, rows, height = world
    _balance(rows, Balance(1))
    _owner(rows)
    rows.operations.clear()
    liar = Liar(peer.chain)
    liar.lie = lie
    with pytest.raises(ForgedProof):
        await compared(liar, rows, height)


def test_old_heights_are_given_up_and_the_newest_never() -> None:
    chain = Watched(heights=3)
    furnished(chain)
    last = chain.view.height
    assert list(chain.past.heights) == [last - 2, last - 1, last]
    assert chain.past.at(last - 3) is None
    few = Watched(rows=1)
    furnished(few)
    assert list(few.past.heights) == [few.view.height]
