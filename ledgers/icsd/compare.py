"""An own book held against another registry's at one height: which rows differ, and what is right.

The other registry shows; the certificate of the height decides. Its state root commits the trees
and the small parts. The trees are descended (`descent`) to the leaves that differ, and each row
that is then told must hash to its leaf. So what comes out is certified, whoever was asked, and
there are as many questions as the trees are deep, not as the book is large.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from htlc.units import QUANTITY_MAX, AccountId, AssetId
from ledgers.icsd import tree
from ledgers.icsd.client import LightClient
from ledgers.icsd.descent import PLACES_MAX, Descent, Found
from ledgers.icsd.entry import Hash
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.light import Certified
from ledgers.icsd.past import RECORDS, TABLES, TreeName
from ledgers.icsd.proof import State, epochs_hash, sequences_hash
from ledgers.icsd.roots import (
    Holding,
    Issuance,
    Roots,
    holding_leaf,
    issuance_leaf,
    operation_leaves,
    operation_place,
    record_leaf,
    records,
)
from ledgers.icsd.rows import Place, Rows
from ledgers.icsd.tree import Children, ForgedProof, Tree
from ledgers.icsd.view import committed
from ledgers.parties import Balance

INSTRUMENTS: Final = TreeName("instruments")
RECORDS_TREE: Final = TreeName("records")
OPERATIONS: Final = TreeName("operations")

BLOCKS_MAX: Final = 16
"""Blocks whose operations one question asks for: some megabytes where they are full."""

HEAD: Final = "head"
"""The table with the place at which the book stands."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a registry shows of the book after one final block."""

    block: Certified
    child: Certified
    state: State
    place: Place
    sequences: dict[RegistryId, tuple[int, Hash]]


class Peer(Protocol):
    """Another registry, asked about one height. Raises LogUnreachable; Gone if it has no trees of
    that height any more."""

    async def shown(self, height: int) -> Shown: ...

    async def children(
        self, height: int, name: TreeName, places: Sequence[str]
    ) -> Sequence[Children]:
        """What stands at places of a tree, in their order."""
        ...

    async def issuances(self, height: int, places: Sequence[bytes]) -> Sequence[Issuance]:
        """The instruments whose leaves stand at these keys."""
        ...

    async def rows(self, height: int, name: TreeName, places: Sequence[bytes]) -> Rows:
        """The rows whose leaves of a tree stand at these keys."""
        ...


class Gone(Exception):
    """The registry that was asked does not keep what was asked for; the text says what it keeps."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not as the network has it; None where there is none."""

    table: str
    key: object
    found: object
    certified: object
    home: RegistryId | None = None  # of the account, where the row is a holding

    def __str__(self) -> str:
        at = f" at {self.home}" if self.home else ""
        return f"{self.table} {self.key}{at}: found {self.found}, certified {self.certified}"


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison found."""

    height: int
    state: State  # that was certified
    differences: Sequence[Difference]
    certified: Rows  # the rows that differ, as a quorum signed them
    questions: int  # that were asked


def check_shown(shown: Shown, height: int, members: LightClient) -> None:
    """That a quorum signed what is shown of this height. Raises ForgedProof."""
    members.check_final(shown.block, shown.child)
    header, state = shown.block.header, shown.state
    if header.height != height or shown.block.certificate.statement.state != state.root:
        raise ForgedProof(f"this is not what was certified at height {height}")
    if sequences_hash(shown.sequences) != state.sequences:
        raise ForgedProof("the last bundles are not those that were certified")
    place = shown.place
    if (place.height, place.head, place.at) != (height, header.hash, header.at):
        raise ForgedProof("the place in the chain is not the certified block's")
    if epochs_hash(place.epoch, place.following) != state.epochs:
        raise ForgedProof("the members are not those that were certified")


async def compare(own: Rows, peer: Peer, height: int, members: LightClient) -> Compared:
    """Every row that differs from the certified book at `height`. Raises ForgedProof (the peer
    lies), Gone, TooDifferent, LogUnreachable."""
    shown = await peer.shown(height)
    check_shown(shown, height, members)
    return await _Comparison(own, peer, shown).run()


class _Comparison:
    """One comparison. `_wrong` gathers the rows that may differ, `_right` what is certified."""

    def __init__(self, own: Rows, peer: Peer, shown: Shown) -> None:
        self._own = own
        self._peer = peer
        self._shown = shown
        self._height = shown.place.height
        self._roots = trees(own)
        self._right = Rows(place=shown.place)
        self._wrong: dict[tuple[str, Any], None] = {}
        self._homes: dict[AccountId, RegistryId] = {}
        self._questions = 1

    async def run(self) -> Compared:
        self._sequences()
        await self._records()
        await self._operations()
        await self._instruments()
        for table, key, right in strays(self._own, self._mended):
            if (table, key) not in self._wrong:
                self._note(table, key, right)
        return Compared(
            height=self._height,
            state=self._shown.state,
            differences=list(self._differences()),
            certified=self._right,
            questions=self._questions,
        )

    def _note(self, table: str, key: Any, certified: Any) -> None:
        self._wrong[table, key] = None
        if certified is not None:
            getattr(self._right, table)[key] = certified

    def _sequences(self) -> None:
        theirs = self._shown.sequences
        for name in self._own.sequences.keys() | theirs.keys():
            self._note("sequences", name, theirs.get(name))

    async def _descend(self, name: TreeName, root: bytes, total: int) -> Found:
        descent = Descent(_own_tree(self._roots, name), root, total)
        while places := descent.places:
            self._questions += 1
            descent.take(await self._peer.children(self._height, name, places))
        return descent.found

    async def _rows(self, name: TreeName, found: Found) -> Rows:
        """The certified rows of the leaves that the other side has."""
        there = Rows(place=self._shown.place)
        wanted = [key for key, (_, theirs) in found.items() if theirs is not None]
        at_once = places_max(name)
        for start in range(0, len(wanted), at_once):
            self._questions += 1
            told = await self._peer.rows(self._height, name, wanted[start : start + at_once])
            for table in TABLES:
                getattr(there, table).update(getattr(told, table))
        return there

    # --- records ---------------------------------------------------------------------------------

    async def _records(self) -> None:
        state = self._shown.state
        found = await self._descend(RECORDS_TREE, state.records, state.count)
        if not found:
            return
        there = await self._rows(RECORDS_TREE, found)
        shown = dict(record_leaf(*record) for record in records(there))
        _require_shown(found, shown)
        for table, record in RECORDS.items():
            right: dict[Any, Any] = getattr(there, table)
            mine = [k for k in getattr(self._own, table) if tree.key_of(record(k)) in found]
            for key in right.keys() | set(mine):
                self._note(table, key, right.get(key))

    async def _operations(self) -> None:
        state = self._shown.state
        found = await self._descend(OPERATIONS, state.operations, state.done)
        if not found:
            return
        right = (await self._rows(OPERATIONS, found)).operations
        _require_shown(found, operation_leaves(right))
        mine = [
            id
            for id, done in self._own.operations.items()
            if done is not None and operation_place(done) in found
        ]
        for id in right.keys() | set(mine):
            self._note("operations", id, right.get(id))

    # --- holdings --------------------------------------------------------------------------------

    async def _instruments(self) -> None:
        state = self._shown.state
        found = await self._descend(INSTRUMENTS, state.holdings, state.instruments)
        wanted = [key for key, (_, theirs) in found.items() if theirs is not None]
        told: list[Issuance] = []
        for start in range(0, len(wanted), PLACES_MAX):
            self._questions += 1
            part = wanted[start : start + PLACES_MAX]
            told += await self._peer.issuances(self._height, part)
        leaves = [issuance_leaf(issuance) for issuance in told]
        _require_shown(found, {leaf.key: leaf for leaf in leaves})
        for issuance in told:
            await self._issue(issuance)

    async def _issue(self, issuance: Issuance) -> None:
        """One instrument of which something differs."""
        asset = issuance.asset
        parts = {part.registry: (part.root, part.held) for part in issuance.parts}
        for registry in sorted(parts.keys() | self._roots.holders.get(asset, {}).keys()):
            name = TreeName("holders", asset, registry)
            await self._holders(name, *parts.get(registry, (tree.EMPTY_HASH, 0)))
        instrument = self._right.instruments.get(asset) or self._own.instruments[asset]
        assert instrument is not None, "its record was compared before"
        self._note("balances", (instrument.counter, asset), Balance(-issuance.issued))
        self._homes[instrument.counter] = issuance.registry
        omnibus = {(asset, p.registry): p.omnibus for p in issuance.parts if p.omnibus}
        mine = [key for key in self._own.omnibus if key[0] == asset]
        for key in omnibus.keys() | set(mine):
            self._note("omnibus", key, omnibus.get(key))

    async def _holders(self, name: TreeName, root: bytes, total: int) -> None:
        found = await self._descend(name, root, total)
        if not found:
            return
        there = (await self._rows(name, found)).balances
        shown = dict(holding_leaf(account, balance) for (account, _), balance in there.items())
        _require_shown(found, shown)
        mine = [key for key in self._own.balances if key[1] == name.asset]
        here = [key for key in mine if tree.key_of(key[0]) in found]
        for key in there.keys() | set(here):
            self._note("balances", key, there.get(key))
            self._homes[key[0]] = name.registry

    def _mended(self, table: str, key: Any) -> Any:
        rows = self._right if (table, key) in self._wrong else self._own
        return getattr(rows, table).get(key)

    # --- the result ------------------------------------------------------------------------------

    def _differences(self) -> Iterator[Difference]:
        if self._own.place != self._shown.place:
            yield Difference(
                table=HEAD, key="place", found=self._own.place, certified=self._shown.place
            )
        for table, key in sorted(self._wrong, key=str):
            found, right = getattr(self._own, table).get(key), getattr(self._right, table).get(key)
            if _there(found) != _there(right):
                home = self._homes.get(key[0]) if table == "balances" else None
                yield Difference(table=table, key=key, found=found, certified=right, home=home)


def places_max(name: TreeName) -> int:
    """Leaves of a tree whose rows one question may ask for."""
    return BLOCKS_MAX if name == OPERATIONS else PLACES_MAX


def _there(row: Any) -> Any:
    """A row that says "nothing" is as none."""
    return None if row in (0, Balance()) else row


def _require_shown(found: Found, shown: Mapping[bytes, Any]) -> None:
    """That the rows which were told are those of the leaves, all of them."""
    certified = {key: theirs for key, (_, theirs) in found.items() if theirs is not None}
    if dict(shown) != certified:
        raise ForgedProof("the rows that were told are not those of the certified leaves")


def strays(
    rows: Rows, right: Callable[[str, Any], Any]
) -> Iterator[tuple[str, Any, Balance | None]]:
    """Rows that stand in no tree, because they are impossible or of no account or instrument, with
    what they should be. `right` tells a row (by table and key) as it should be."""
    for key, balance in rows.balances.items():
        instrument = right("instruments", key[1])
        if balance is None or balance == Balance():
            continue
        if instrument is not None and instrument.counter == key[0]:
            if balance.locked:
                yield "balances", key, Balance(balance.available)
        elif instrument is None or not _is_in_tree(rows, key, balance):
            yield "balances", key, None
    for stray in rows.omnibus:
        if right("instruments", stray[0]) is None:
            yield "omnibus", stray, None


def state_of(rows: Rows) -> State:
    """What the rows make, if there are all of them."""
    place = rows.place
    return committed(trees(rows), rows.sequences, place.epoch, place.following)


# --- the own trees -------------------------------------------------------------------------------


def _own_tree(roots: Roots, name: TreeName) -> Tree:
    if name.kind == "holders":
        return roots.holders.get(name.asset, {}).get(name.registry)
    found: Tree = getattr(roots, name.kind)
    return found


def trees(rows: Rows) -> Roots:
    """The trees of a book that may be damaged: what can stand in none is left out of them."""
    found = Roots()
    for (asset, registry), balances in _by_tree(rows).items():
        found.hold(asset, registry, balances)
    found.list(dict(_issuances(rows, found)))
    found.record(records(rows))
    found.do(rows.operations)
    return found


def _by_tree(rows: Rows) -> Mapping[tuple[AssetId, RegistryId], list[Holding]]:
    found: dict[tuple[AssetId, RegistryId], list[Holding]] = {}
    for (account, asset), balance in rows.balances.items():
        homed = rows.accounts.get(account)
        if (
            homed is not None
            and balance is not None
            and _is_in_tree(rows, (account, asset), balance)
        ):
            found.setdefault((asset, homed.home), []).append((account, balance))
    return found


def _issuances(rows: Rows, roots: Roots) -> Iterable[tuple[AssetId, Issuance]]:
    omnibus: dict[AssetId, dict[RegistryId, int]] = {}
    for (asset, registry), quantity in rows.omnibus.items():
        if quantity:
            omnibus.setdefault(asset, {})[registry] = quantity
    for asset, instrument in rows.instruments.items():
        homed = None if instrument is None else rows.accounts.get(instrument.counter)
        if instrument is None or homed is None:
            continue
        counter = rows.balances.get((instrument.counter, asset)) or Balance()
        held = omnibus.get(asset, {})
        yield asset, roots.issuance(asset, homed.home, -counter.available, held)


def _is_in_tree(rows: Rows, key: tuple[AccountId, AssetId], balance: Balance) -> bool:
    """Whether a balance is a holding that can stand in a tree."""
    account, asset = key
    instrument = rows.instruments.get(asset)
    return (
        rows.accounts.get(account) is not None
        and (instrument is None or instrument.counter != account)
        and min(balance.available, balance.locked) >= 0
        and balance.available + balance.locked <= QUANTITY_MAX
    )
