"""A registry that lost its votes cannot be made to sign against them, whatever the log shows it."""

import itertools
from collections.abc import Iterator

import pytest

from htlc.units import SECOND, Instant
from ledgers.icsd.block import Block
from ledgers.icsd.entry import CUT_SUBJECT, Entry, Statement
from ledgers.icsd.epoch import RegistryId, faults, quorum
from ledgers.icsd.log import Message
from ledgers.icsd.replica import Replica
from ledgers.icsd.returning import needed
from tests.ledgers.icsd.network import (
    FOUR,
    START,
    Chain,
    Pen,
    certificate_of,
    epoch_of,
    fresh_view,
    furnished,
    moved,
)

MARKER = b"\x07" * 32


# --- all cases of one height ---------------------------------------------------------------------


def cases(n: int) -> Iterator[tuple[int, int, int, int]]:
    """Who signs what at a height where the log forks: honest ones who sign X, and Y; liars, who
    sign both; and who signed X, lost its database, and is shown Y."""
    for x, y, liars, lost in itertools.product(range(n + 1), repeat=4):
        if x + y + liars + lost <= n and liars <= faults(n):
            yield x, y, liars, lost


def forks(n: int, follows_after: int) -> int:
    """In how many of the cases both X and Y are certified, if who lost its votes signs Y after so
    many others have."""
    q, found = quorum(n), 0
    for x, y, liars, lost in cases(n):
        returned = lost if y + liars >= follows_after else 0
        found += x + lost + liars >= q and y + liars + returned >= q
    return found


@pytest.mark.parametrize("n", range(3, 11))
def test_who_follows_enough_others_makes_no_fork(n: int) -> None:
    names = [f"R{number:02}" for number in range(n)]
    enough = needed(epoch_of(*names))
    assert enough <= quorum(n)
    assert forks(n, enough) == 0


@pytest.mark.parametrize("n", [4, 7, 10])
def test_one_fewer_would_make_one(n: int) -> None:
    names = [f"R{number:02}" for number in range(n)]
    assert forks(n, 0) > 0
    assert forks(n, needed(epoch_of(*names)) - 1) > 0


def test_who_is_alone_asks_nobody_and_who_is_one_of_two_the_other() -> None:
    assert [needed(epoch_of(*FOUR[:n])) for n in (1, 2, 3, 4)] == [0, 1, 2, 3]


# --- a log that shows another block after the loss -----------------------------------------------


class Two:
    """The two blocks that the log has shown at one height, to a registry before and after."""

    def __init__(self) -> None:
        self.one, self.other = furnished(Chain()), furnished(Chain())
        self.before = list(self.one.blocks)
        self.first = self.one.block(self.one.pens[RegistryId("KZ")].bundle(moves("first")))
        self.second = self.other.block(self.other.pens[RegistryId("KZ")].bundle(moves("second")))


def moves(id: str) -> Entry:
    return moved("kz-1", "uz-1", 5, id)


def messages(blocks: list[Block]) -> list[Message]:
    found = []
    for block in blocks:
        for data in block.messages:
            found.append(Message(sequence=len(found) + 1, subject="ord.x", data=data))
        found.append(Message(sequence=len(found) + 1, subject=CUT_SUBJECT, data=block.cut))
    return found


def returned(blocks: list[Block], votes_above: int | None) -> Replica:
    """KZ with an empty database, after it has read these blocks."""
    replica = Replica(RegistryId("KZ"), fresh_view(), votes_above=votes_above, marker=MARKER)
    for message in messages(blocks):
        replica.take(message)
    replica.caught_up(now(replica))
    return replica


def now(replica: Replica) -> Instant:
    return Instant(replica.view.at + SECOND)


def hears(replica: Replica, statement: Statement, *names: str) -> None:
    for name in names:
        replica.hear(*Pen(RegistryId(name)).vote(statement))


def test_a_lost_vote_is_not_given_again_to_another_block() -> None:
    """AM lies, GE and KZ have certified the first block with it; UZ and KZ are shown the second."""
    two = Two()
    certified = certificate_of(two.first.statement, "AM", "GE", "KZ")
    assert len(certified.signatures) == epoch_of(*FOUR).quorum
    careless = returned([*two.before, two.second], votes_above=0)
    assert careless.to_vote(now(careless)) == two.second.statement, "this would be the fork"
    kz = returned([*two.before, two.second], votes_above=None)
    assert kz.to_vote(now(kz)) is None
    hears(kz, two.second.statement, "AM", "UZ")
    assert kz.to_vote(now(kz)) is None and kz.certified is not None
    assert kz.certified.statement.height == len(two.before), "the second is not certified"
    assert kz.votes_above is None


def test_it_follows_so_many_that_nothing_else_can_be_certified() -> None:
    """Of five, three others: with it they are a quorum, which they are not without it."""
    names = (*FOUR, "TJ")
    chain = Chain(*names)
    block = chain.block()
    chain.block()
    statement = chain.blocks[-1].statement
    assert needed(epoch_of(*names)) == 3 < quorum(5) and block.header.height == 1
    kz = Replica(RegistryId("KZ"), fresh_view(*names), votes_above=None, marker=MARKER)
    for message in messages(chain.blocks):
        kz.take(message)
    kz.caught_up(now(kz))
    hears(kz, statement, "AM", "GE")
    assert kz.to_vote(now(kz)) is None
    hears(kz, statement, "UZ")
    assert kz.to_vote(now(kz)) == statement
    assert kz.votes_above is None, "it still follows"


def test_above_a_block_with_its_marker_it_votes_as_everybody_does() -> None:
    chain = furnished(Chain())
    old = list(chain.blocks)
    kz = returned(old, votes_above=None)
    marked = chain.block(MARKER)
    for message in messages(chain.blocks)[len(messages(old)) :]:
        kz.take(message)
    assert kz.returning is not None and kz.returning.is_marked
    hears(kz, marked.statement, "AM", "GE", "KZ")
    assert kz.to_vote(now(kz)) is None, "its own old signature counts for nothing"
    assert kz.votes_above is None
    hears(kz, marked.statement, "UZ")
    assert kz.to_vote(now(kz)) is None and kz.votes_above == marked.header.height
    after = chain.block()
    kz.take(Message(sequence=100, subject=CUT_SUBJECT, data=after.cut))
    assert kz.to_vote(now(kz)) == after.statement


def test_when_the_network_begins_all_vote_at_once() -> None:
    kz = returned([], votes_above=None)
    assert kz.votes_above == 0
    chain = Chain()
    block = chain.block(at=START)
    for message in messages([block]):
        kz.take(message)
    assert kz.to_vote(now(kz)) == block.statement
    late = returned([chain.blocks[0], chain.block()], votes_above=None)
    assert late.votes_above is None
