"""All cases of certification, finality and recovery for small networks, and what a quorum must be.

`python -m tests.ledgers.icsd.model` tries n = 4 to 10 and prints what it found.

The model has one height and two blocks A and B that compete for it (an equivocating log told both),
and their children. An honest registry votes for A, for B, or not; it may hold the certificate of
one if there is one; with it, it may vote for the child that carries it. The f others do whatever
harms most: they sign everything, and say in their Stops that they saw nothing. Honest registries
differ by what they did only, so multisets of them are all cases.
"""

import sys
from collections.abc import Iterator
from itertools import combinations_with_replacement

import msgspec

from ledgers.icsd.entry import Certificate, Hash, Statement
from ledgers.icsd.epoch import faults, quorum
from ledgers.icsd.recovery import highest

A, B, NONE = "A", "B", "-"


class Honest(msgspec.Struct, frozen=True, order=True):
    """What one honest registry did."""

    vote: str  # at the height
    holds: str  # whose certificate
    child: str  # whose child it voted for


Case = tuple[Honest, ...]

STATES = tuple(
    Honest(vote, holds, child)
    for vote in (A, B, NONE)
    for holds in (A, B, NONE)
    for child in (A, B, NONE)
    if child in (NONE, holds)  # a cut carries the certificate of the block before
)


class Count(msgspec.Struct):
    """What was found over all cases of one network."""

    cases: int = 0
    forks: int = 0  # both blocks certified
    finals: int = 0  # cases and Stop sets with a final block
    hidden: int = 0  # and the start chosen from the Stops is not of it
    hidden_by_one_round: int = 0  # the same, if "certified" were called final


def possible(case: Case, f: int, q: int) -> bool:
    """Nobody holds a certificate that cannot exist."""
    return all(state.holds == NONE or voters(case, state.holds) + f >= q for state in case)


def voters(case: Case, block: str) -> int:
    return sum(state.vote == block for state in case)


def explore(n: int, q: int) -> Count:
    count, f = Count(), faults(n)
    for case in combinations_with_replacement(STATES, n - f):
        if possible(case, f, q):
            count.cases += 1
            _judge(case, n, f, q, count)
    return count


def _judge(case: Case, n: int, f: int, q: int, count: Count) -> None:
    certified = [block for block in (A, B) if voters(case, block) + f >= q]
    count.forks += len(certified) == 2
    for block in certified:
        final = sum(state.child == block for state in case) + f >= q
        for stops in stop_sets(case, n, f):
            lost = started_from(stops) != block
            count.finals += final
            count.hidden += final and lost
            count.hidden_by_one_round += lost


def stop_sets(case: Case, n: int, f: int) -> Iterator[Case]:
    """What the honest among n - f stopped registries are: up to f of the set may be liars."""
    for honest in range(n - 2 * f, n - f + 1):
        seen: set[Case] = set()
        for members in _subsets(case, honest):
            if members not in seen:
                seen.add(members)
                yield members


def _subsets(case: Case, size: int) -> Iterator[Case]:
    if size == 0:
        yield ()
    elif len(case) >= size:
        for rest in _subsets(case[1:], size - 1):
            yield (case[0], *rest)
        yield from _subsets(case[1:], size)


def started_from(stops: Case) -> str:
    """The block that the next epoch goes on from, by the code that chooses it."""
    found = highest([_certificate(state.holds) for state in stops])
    return NONE if found is None else found.statement.block.decode()


def _certificate(block: str) -> Certificate | None:
    if block == NONE:
        return None
    zero = Hash(bytes(32))
    statement = Statement(epoch=1, height=1, block=Hash(block.encode()), results=zero, state=zero)
    return Certificate(statement=statement, signatures=())


def main(largest: int = 10) -> None:
    print(
        "| n | f | q | cases | forks | final, Stop sets | hidden | hidden if one round were final |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for n in range(4, largest + 1):
        for q in sorted({quorum(n), 2 * faults(n) + 1}, reverse=True):
            found = explore(n, q)
            print(
                f"| {n} | {faults(n)} | {q} | {found.cases:,} | {found.forks:,} "
                f"| {found.finals:,} | {found.hidden:,} | {found.hidden_by_one_round:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
