"""The book at each of the last heights, for a registry whose own differs and must see where.

Such a registry compares its book with another one's at one height, while the other goes on. So each
node keeps, of its last blocks, the trees that each left and the rows that the next one found. Trees
are values that share what did not change: what is kept grows with the changes only.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from htlc.units import AssetId
from ledgers.icsd import tree
from ledgers.icsd.block import Block, carried
from ledgers.icsd.client import Decided
from ledgers.icsd.entry import Certificate
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.light import Certified, EpochProof, prove_epochs
from ledgers.icsd.proof import State
from ledgers.icsd.roots import (
    Issuance,
    Roots,
    account_record,
    block_place,
    contract_record,
    instrument_record,
    mandate_record,
)
from ledgers.icsd.rows import Place, Rows
from ledgers.icsd.tree import Tree
from ledgers.icsd.view import View

HEIGHTS: Final = 1_000
"""Blocks that are kept at most: an hour and more without traffic (a heartbeat is 5 s)."""

ROWS: Final = 50_000
"""Rows changed since the oldest kept block: in a book of a million holdings their old tree nodes
take 2.3 kB each (measured with 20,000), so some 115 MB. Who asks for an older height takes a
snapshot instead."""

TABLES: Final = tuple(name for name in Rows.__struct_fields__ if name != "place")

Holders = Mapping[RegistryId, Tree]


class TreeName(msgspec.Struct, frozen=True, array_like=True):
    """One of the trees of the book: "instruments", "records", "operations", or the "holders" of an
    instrument at a registry."""

    kind: str
    asset: AssetId = AssetId("")
    registry: RegistryId = RegistryId("")


class Moment(msgspec.Struct, kw_only=True):
    """The book after one block, as far as later ones have changed it."""

    place: Place
    state: State
    instruments: Tree
    records: Tree
    operations: Tree
    before: Rows | None = None  # rows as the next block found them
    holders: dict[AssetId, Holders] = msgspec.field(default_factory=dict)  # trees, the same


class Past:
    """The last heights of one view. `note` each block that it applies."""

    def __init__(self, view: View, *, heights: int = HEIGHTS, rows: int = ROWS) -> None:
        self._view = view
        self._heights_max, self._rows_max = heights, rows
        self._holders = {asset: dict(of) for asset, of in view.roots.holders.items()}
        self._moments = deque([self._now()])
        self._rows = 0
        self._decisions: list[EpochProof] = []  # changes of members that are not final yet

    def _now(self) -> Moment:
        view, roots = self._view, self._view.roots
        return Moment(
            place=view.place,
            state=view.state,
            instruments=roots.instruments,
            records=roots.records,
            operations=roots.operations,
        )

    def note(self, block: Block) -> None:
        """The view has applied a block."""
        last = self._moments[-1]
        assert block.header.height == last.place.height + 1, "every block is noted"
        last.before = block.before
        for asset in {asset for _, asset in block.before.balances}:
            last.holders[asset] = self._holders.get(asset, {})
            self._holders[asset] = dict(self._view.roots.holders.get(asset, {}))
        self._rows += size(block.before)
        self._moments.append(self._now())
        if self._view.following not in (None, last.place.following):
            self._decisions.append(prove_epochs(self._view))
        while len(self._moments) > self._heights_max or self._rows > self._rows_max:
            self._rows -= size(self._moments.popleft().before)

    def decided(self, blocks: Sequence[Block], certified: Certificate | None) -> list[Decided]:
        """The changes of members that are final now, once: by the blocks that were not stored as
        final yet, and the highest certificate."""
        if not self._decisions or certified is None:
            return []
        certificates = {block.header.height - 1: carried(block.cut) for block in blocks}
        certificates[certified.statement.height] = certified
        shown = {
            block.header.height: Certified(header=block.header, certificate=known)
            for block in blocks
            if (known := certificates.get(block.header.height)) is not None
        }
        found = [each for each in self._decisions if _decided_at(each) + 1 in shown]
        self._decisions = [each for each in self._decisions if each not in found]
        return [
            Decided(block=shown[_decided_at(each)], child=shown[_decided_at(each) + 1], shown=each)
            for each in found
        ]

    @property
    def heights(self) -> range:
        """Those that are kept."""
        return range(self._moments[0].place.height, self._moments[-1].place.height + 1)

    def at(self, height: int) -> Moment | None:
        """The book after a block, if it is kept."""
        first = self._moments[0].place.height
        return self._moments[height - first] if height in self.heights else None

    def tree(self, moment: Moment, name: TreeName) -> Tree:
        """A tree as it was; an empty one if there is none of this name."""
        if name.kind == "holders":
            return self._holders_at(moment, name.asset).get(name.registry)
        if name.kind not in ("instruments", "records", "operations"):
            return None
        found: Tree = getattr(moment, name.kind)
        return found

    def _holders_at(self, moment: Moment, asset: AssetId) -> Holders:
        for later in self._from(moment):
            if asset in later.holders:
                return later.holders[asset]
        return self._holders.get(asset, {})

    def rows(self, moment: Moment, wanted: Rows) -> Rows:
        """The same rows as `wanted` has, as they were."""
        found = self._view.tables.now(wanted, self._view.place)
        for later in reversed(self._from(moment)):
            for table in TABLES if later.before is not None else ():
                there, then = getattr(found, table), getattr(later.before, table)
                there.update((key, then[key]) for key in there.keys() & then.keys())
        return found

    def issuance(self, moment: Moment, asset: AssetId) -> Issuance | None:
        """An instrument as it stood in the network."""
        place = self._view.place
        omnibus = {key: 0 for key in self._omnibus_keys(moment, asset)}
        found = self.rows(moment, Rows(place=place, instruments={asset: None}, omnibus=omnibus))
        instrument = found.instruments[asset]
        if instrument is None:
            return None
        key = instrument.counter, asset
        wanted = Rows(place=place, accounts={key[0]: None}, balances={key: None})
        counter = self.rows(moment, wanted)
        home, balance = counter.accounts[key[0]], counter.balances[key]
        assert home is not None, "an instrument has an issuer registry"
        held = {name: quantity for (_, name), quantity in found.omnibus.items() if quantity}
        roots = Roots()
        roots.holders[asset] = dict(self._holders_at(moment, asset))
        issued = 0 if balance is None else -balance.available
        return roots.issuance(asset, home.home, issued, held)

    def _omnibus_keys(self, moment: Moment, asset: AssetId) -> set[tuple[AssetId, RegistryId]]:
        found = {(asset, registry) for registry in self._view.tables.omnibus.get(asset, {})}
        for later in self._from(moment):
            if later.before is not None:
                found |= {key for key in later.before.omnibus if key[0] == asset}
        return found

    def keys(self, moment: Moment, table: str) -> list[Any]:
        """The keys of all rows of a table that there are, or were since; of operations the heights
        of the blocks that did them, each with their ids."""
        tables = self._view.tables
        if table == "operations":
            return list(tables.done.items())
        now: dict[Any, Any] = getattr(tables.book, table)
        found = dict.fromkeys(now)
        for later in self._from(moment):
            if later.before is not None:
                found |= dict.fromkeys(getattr(later.before, table))
        return list(found)

    def _from(self, moment: Moment) -> list[Moment]:
        return list(self._moments)[moment.place.height - self._moments[0].place.height :]


def _decided_at(shown: EpochProof) -> int:
    """The height of the decision: two blocks before the new members begin."""
    assert shown.following is not None, "a decision names who comes next"
    return shown.following.start - 2


def size(rows: Rows | None) -> int:
    """How many rows there are."""
    return 0 if rows is None else sum(len(getattr(rows, table)) for table in TABLES)


# --- whose place in a tree it is ------------------------------------------------------------------

RECORDS: Final[Mapping[str, Callable[[Any], str]]] = {
    "accounts": lambda id: account_record(id, None, None)[0],
    "instruments": lambda asset: instrument_record(asset, None)[0],
    "mandates": lambda key: mandate_record(key, None)[0],
    "contracts": lambda id: contract_record(id, None)[0],
}
"""Of each table with records, the name of a row's record by the row's key."""


def named(
    name: TreeName, keys: Mapping[str, Iterable[Any]], places: Iterable[bytes], place: Place
) -> Rows:
    """The rows whose places in a tree these are, found among the `keys` of each table; without
    their values. One hash for each key: a microsecond or two."""
    wanted, found = frozenset(places), Rows(place=place)
    if name.kind == "holders":
        there = [id for id in keys["accounts"] if tree.key_of(id) in wanted]
        found.balances.update(dict.fromkeys([(id, name.asset) for id in there]))
        return found
    if name.kind == "operations":
        for height, done in keys["operations"]:
            if block_place(height) in wanted:
                found.operations.update(dict.fromkeys(done))
        return found
    for table, record in RECORDS.items():
        at = [key for key in keys[table] if tree.key_of(record(key)) in wanted]
        getattr(found, table).update(dict.fromkeys(at))
    return found


def tables_of(name: TreeName) -> Sequence[str]:
    """The tables that `named` looks through."""
    return {"holders": ("accounts",), "operations": ("operations",)}.get(name.kind, tuple(RECORDS))
