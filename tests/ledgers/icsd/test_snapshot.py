"""A snapshot is the book that a quorum signed, or it is refused: each way to give another one."""

from collections.abc import Callable

import msgspec
import pytest

from htlc.units import AccountId, Instant
from ledgers.icsd.client import Lineage
from ledgers.icsd.entry import NOTHING
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.rows import Homed, Rows
from ledgers.icsd.snapshot import JoinRefused, Opening, Stood, check, confirm
from ledgers.icsd.start import Network
from ledgers.icsd.store import Archived, Placed, archived
from ledgers.icsd.tree import ForgedProof
from ledgers.parties import Balance
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    KZ,
    NETWORK,
    certificate_of,
    epoch_of,
    furnished,
    moved,
)
from tests.ledgers.icsd.test_compare import Peer, Watched

replace = msgspec.structs.replace
KZ_1 = AccountId("kz-1")


def given(chain: Watched) -> tuple[Opening, Rows]:
    """What a registry gives whose last final block is the one before the last."""
    rows = chain.view.tables.everything(chain.view.place)
    chain.done("UZ", moved("uz-1", "kz-1", 3, "late"))
    block, child = chain.blocks[-2:]
    opening = Opening(
        registry=KZ,
        block=Placed(1, 10, archived(block)),
        child=Placed(1, 12, archived(child)),
        certificate=certificate_of(child.statement, *FOUR),
        place=rows.place,
        lineage=Lineage(decided=(), begun=()),
        chain=2,
        chain_hash=NOTHING,
        cursor="2.0",
    )
    return opening, rows


@pytest.fixture
def chain() -> Watched:
    made = Watched()
    furnished(made)
    return made


async def checked(chain: Watched, opening: Opening, rows: Rows) -> None:
    network = Network(network=NETWORK, epoch=epoch_of(*FOUR))
    await check(network, opening, rows, Peer(chain))


async def test_the_book_that_was_certified_is_taken(chain: Watched) -> None:
    await checked(chain, *given(chain))


def _blocked(rows: Rows) -> None:
    homed = rows.accounts[KZ_1]
    assert homed is not None
    account = replace(homed.account, blocked=True)
    rows.accounts[KZ_1] = Homed(account=account, home=homed.home)


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        (lambda rows: rows.balances.update({(KZ_1, ISIN): Balance(1)}), "balances .*kz-1.* at KZ"),
        (lambda rows: rows.balances.pop((KZ_1, ISIN)), "balances .*kz-1.*: found None"),
        (lambda rows: rows.balances.update({(KZ_1, "NEW"): Balance(5)}), "balances .*'NEW'"),
        (lambda rows: rows.operations.clear(), "operations .*and|operations"),
        (lambda rows: rows.sequences.update(KZ=(7, NOTHING)), "sequences KZ"),
        (_blocked, "accounts kz-1"),
    ],
)
async def test_an_altered_row_is_refused_and_named(
    chain: Watched, alter: Callable[[Rows], object], named: str
) -> None:
    opening, rows = given(chain)
    alter(rows)
    with pytest.raises(JoinRefused, match=named):
        await checked(chain, opening, rows)


def _block(opening: Opening, **changed: object) -> Opening:
    placed = opening.block
    other: Archived = replace(placed.block, **changed)
    return replace(opening, block=Placed(placed.log, placed.position, other))


@pytest.mark.parametrize(
    "forge",
    [
        lambda o: _block(o, messages=(b"",)),
        lambda o: _block(o, outcomes=()),
        lambda o: _block(o, statement=o.child.block.statement),
        lambda o: _block(o, cut=o.child.block.cut),
        lambda o: _block(o, header=replace(o.block.block.header, count=9)),
        lambda o: replace(o, child=o.block),
        lambda o: replace(o, certificate=replace(o.certificate, signatures=())),
        lambda o: replace(o, place=replace(o.place, height=o.place.height + 1)),
        lambda o: replace(o, place=replace(o.place, at=o.place.at + 1)),
    ],
)
async def test_a_forged_opening_is_refused(
    chain: Watched, forge: Callable[[Opening], Opening]
) -> None:
    opening, rows = given(chain)
    with pytest.raises(ForgedProof):
        await checked(chain, forge(opening), rows)


async def test_other_members_than_those_certified_are_refused(chain: Watched) -> None:
    opening, rows = given(chain)
    place = replace(opening.place, epoch=epoch_of("KZ"))
    with pytest.raises(JoinRefused, match="head place"):
        await checked(chain, replace(opening, place=place), replace(rows, place=place))


class Told:
    """What another registry tells of its ordinary chain."""

    def __init__(self, *blocks: Stood) -> None:
        self.blocks = blocks

    async def chain(self, after: int) -> list[Stood]:
        return [block for block in self.blocks if block.height > after][:2]


async def test_another_registry_confirms_where_the_ordinary_chain_stands(chain: Watched) -> None:
    opening, _ = given(chain)
    at = opening.place.at
    same, late = Stood(height=2, hash=NOTHING, at=at), Stood(height=3, hash=b"3", at=at)
    await confirm(opening, Told(same))
    await confirm(opening, Told(same, late))
    for other in (
        Told(replace(same, hash=b"other")),
        Told(replace(same, at=Instant(at + 1))),
        Told(same, replace(late, at=Instant(at - 1))),
    ):
        with pytest.raises(JoinRefused, match="does not stand at block 2"):
            await confirm(opening, other)
    with pytest.raises(LogUnreachable, match="has not block 2"):
        await confirm(opening, Told())
    none = replace(opening, chain=0, cursor="")
    await confirm(none, Told())
    with pytest.raises(JoinRefused):
        await confirm(none, Told(replace(same, height=1, at=Instant(at - 1))))
