"""The rows of the network's book: what one block found and left, or all of them.

`Rows` says what some rows are; None says that there is no such row. A node stores the rows that a
block left, and those that it found until the block is final: they tell `look` what was, and take
the block back if its epoch is lost.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from htlc.contract import Htlc
from htlc.units import AccountId, AssetId, HtlcId, Instant
from ledgers.administration import Act, DefineInstrument, GrantMandate, RevokeMandate
from ledgers.book import Book, Effect
from ledgers.icsd.entry import NOTHING, Hash
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.instruments import Instrument
from ledgers.parties import Account, Balance, Mandate


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the chain a book stands."""

    height: int  # of the last block; 0 before the first
    head: Hash
    at: Instant
    epoch: Epoch  # in force at this height
    following: Epoch | None  # decided, and not yet begun


class Homed(msgspec.Struct, frozen=True, kw_only=True):
    """An account with its home registry."""

    account: Account
    home: RegistryId


Done = tuple[bytes, int]
"""The digest of an operation that was done, and the height of the block that did it."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Some rows of the book, as they are (or were) at `place`."""

    place: Place
    accounts: dict[AccountId, Homed | None] = msgspec.field(default_factory=dict)
    instruments: dict[AssetId, Instrument | None] = msgspec.field(default_factory=dict)
    mandates: dict[tuple[AccountId, str], Mandate | None] = msgspec.field(default_factory=dict)
    balances: dict[tuple[AccountId, AssetId], Balance | None] = msgspec.field(default_factory=dict)
    omnibus: dict[tuple[AssetId, RegistryId], int] = msgspec.field(default_factory=dict)
    contracts: dict[HtlcId, Htlc | None] = msgspec.field(default_factory=dict)
    operations: dict[str, Done | None] = msgspec.field(default_factory=dict)
    sequences: dict[RegistryId, tuple[int, Hash]] = msgspec.field(default_factory=dict)


class Tables:
    """All rows of the network: the book, and what the network knows beside it."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.homes: dict[AccountId, RegistryId] = {}
        self.heights: dict[str, int] = {}  # of the blocks that did the operations of the book
        self.done: dict[int, list[str]] = {}  # the same by height; all of a block or none
        self.omnibus: dict[AssetId, dict[RegistryId, int]] = {}
        self.sequences: dict[RegistryId, tuple[int, Hash]] = {}

    def homed(self, id: AccountId) -> Homed | None:
        account = self.book.accounts.get(id)
        return None if account is None else Homed(account=account, home=self.homes[id])

    def last(self, registry: RegistryId) -> tuple[int, Hash]:
        """Sequence and hash of the last bundle of a registry."""
        return self.sequences.get(registry, (0, NOTHING))

    def did(self, height: int, operations: Iterable[str]) -> None:
        """The block at this height has done these operations."""
        if done := list(operations):
            self.done[height] = done
            self.heights.update(dict.fromkeys(done, height))

    def now(self, known: Rows, place: Place) -> Rows:
        """The same rows as `known` has, as they are now."""
        book, digests, heights = self.book, self.book.operations, self.heights
        return Rows(
            place=place,
            accounts={id: self.homed(id) for id in known.accounts},
            instruments={asset: book.instruments.get(asset) for asset in known.instruments},
            mandates={key: book.mandates.get(key) for key in known.mandates},
            balances={key: book.balances.get(key) for key in known.balances},
            omnibus={
                (asset, registry): self.omnibus.get(asset, {}).get(registry, 0)
                for asset, registry in known.omnibus
            },
            contracts={id: book.contracts.get(id) for id in known.contracts},
            operations={
                id: None if (digest := digests.get(id)) is None else (digest, heights.get(id, 0))
                for id in known.operations
            },
            sequences={registry: self.last(registry) for registry in known.sequences},
        )

    def everything(self, place: Place) -> Rows:
        """All rows: a snapshot."""
        book = self.book
        all_of_it = Rows(
            place=place,
            accounts=dict.fromkeys(book.accounts),
            instruments=dict.fromkeys(book.instruments),
            mandates=dict.fromkeys(book.mandates),
            balances=dict.fromkeys(book.balances),
            omnibus={(asset, name): 0 for asset in self.omnibus for name in self.omnibus[asset]},
            contracts=dict.fromkeys(book.contracts),
            operations=dict.fromkeys(book.operations),
            sequences=dict(self.sequences),
        )
        return self.now(all_of_it, place)

    def put(self, rows: Rows) -> None:
        """Make the rows what `rows` says."""
        book = self.book
        for id, homed in rows.accounts.items():
            _set(book.accounts, id, None if homed is None else homed.account)
            _set(self.homes, id, None if homed is None else homed.home)
        _set_all(book.instruments, rows.instruments)
        _set_all(book.mandates, rows.mandates)
        _set_all(book.balances, rows.balances)
        _set_all(book.contracts, rows.contracts)
        for operation_id, done in rows.operations.items():
            self._put_operation(operation_id, done)
        for (asset, registry), quantity in rows.omnibus.items():
            _set(self.omnibus.setdefault(asset, {}), registry, quantity or None)
        for registry, last in rows.sequences.items():
            _set(self.sequences, registry, last if last[0] else None)

    def _put_operation(self, id: str, done: Done | None) -> None:
        if done is not None:
            self.book.operations[id], self.heights[id] = done
            self.done.setdefault(done[1], []).append(id)
        elif id in self.heights:  # its block is undone, with all that it did
            del self.book.operations[id]
            self.done.pop(self.heights.pop(id), None)


K = TypeVar("K")
V = TypeVar("V")


def _set(rows: dict[K, V], key: K, value: V | None) -> None:
    """A row that is not there and one that says None are the same: none is kept."""
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value


def _set_all(rows: dict[K, V], values: Mapping[K, V | None]) -> None:
    for key, value in values.items():
        _set(rows, key, value)


class Touched:
    """Keeps, of every row that a block is about to change, what it was before."""

    def __init__(self, tables: Tables, place: Place) -> None:
        self._tables = tables
        self.before = Rows(place=place)

    def effect(self, effect: Effect, registries: Iterable[RegistryId]) -> None:
        """Before an effect is posted; `registries` are those whose omnibus accounts it moves."""
        book, before, asset, htlc = self._tables.book, self.before, effect.asset, effect.htlc
        balances, known = before.balances, book.balances
        for key in ((effect.debit, asset), (effect.credit, asset)):
            if key not in balances:
                balances[key] = known.get(key)
        if htlc is not None:
            id = htlc.terms.id
            before.contracts.setdefault(id, book.contracts.get(id))
        else:
            before.operations[effect.id] = None  # once, so it was not there
        for registry in registries:
            held = self._tables.omnibus.get(asset, {}).get(registry, 0)
            before.omnibus.setdefault((asset, registry), held)

    def found(self, act: Act) -> Rows:
        """The rows that an act changes if it is done, as they are."""
        book, rows = self._tables.book, Rows(place=self.before.place)
        match act:
            case GrantMandate(mandate=mandate):
                key = mandate.account, mandate.operator
                rows.mandates[key] = book.mandates.get(key)
            case RevokeMandate(account=account, operator=operator):
                key = account, operator
                rows.mandates[key] = book.mandates.get(key)
            case DefineInstrument(instrument=instrument):
                asset, counter = instrument.asset, (instrument.counter, instrument.asset)
                rows.instruments[asset] = book.instruments.get(asset)
                rows.balances[counter] = book.balances.get(counter)
            case _:
                rows.accounts[act.account] = self._tables.homed(act.account)
        return rows

    def act(self, found: Rows) -> None:
        """After an act was done. One that was refused has touched nothing: its rows may be of
        accounts and instruments that do not exist."""
        for table in ("accounts", "instruments", "mandates", "balances"):
            before: dict[object, object] = getattr(self.before, table)
            for key, row in getattr(found, table).items():
                before.setdefault(key, row)

    def bundle(self, registry: RegistryId) -> None:
        """Before the sequence of a registry moves."""
        self.before.sequences.setdefault(registry, self._tables.last(registry))
