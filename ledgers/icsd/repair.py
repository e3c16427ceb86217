"""A book in the database that is not the certified one: where it differs, and how it is mended.

The archive is the proof. Every block is applied again from the first on; what comes out has the
root that a quorum signed, whatever else is in the database. Rows that differ from it were changed
by somebody or something else, and are written as they must be. An archive that does not lead to
the certified root is damaged itself: then the registry reads another one's (`rebuild`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from ledgers.icsd import tables
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.proof import is_certified
from ledgers.icsd.recovery import successor
from ledgers.icsd.rows import Rows
from ledgers.icsd.start import Lost, Network
from ledgers.icsd.store import Head, Store
from ledgers.icsd.view import View

PAGE: Final = 200
"""Blocks that are read at once: some 20 MB of full ones."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not as the network has it; None where there is none."""

    table: str
    key: object
    found: object
    certified: object

    def __str__(self) -> str:
        return f"{self.table} {self.key}: found {self.found}, certified {self.certified}"


async def differences(network: Network, store: Store) -> list[Difference]:
    """Every row of the book that is not as certified. Raises Lost if the archive does not show."""
    head = await store.head()
    certified = await replayed(network, store, head)
    return list(_compared(await store.book(head.place), certified))


async def repair(network: Network, store: Store) -> list[Difference]:
    """Mend them; returns what was mended. The node must not run. Raises Lost."""
    head = await store.head()
    certified = await replayed(network, store, head)
    found = list(_compared(await store.book(head.place), certified))
    if found:
        await store.put_book(head, certified, [(each.table, each.key) for each in found])
    return found


async def replayed(network: Network, store: Store, head: Head) -> Rows:
    """The book at the final height as the archive gives it, shown to be what a quorum signed.
    Raises Lost."""
    view = View.genesis(network.network, network.epoch, network.profile)
    begun = {each.record.start: each.record for each in await store.begun()}
    while view.height < head.final:
        page = await store.blocks(view.height, min(PAGE, head.final - view.height))
        if not page:
            raise Lost(f"the archive ends at height {view.height}, final is {head.final}")
        for archived in page:
            if record := begun.get(view.height + 1):
                view.begin(successor(record, view.epoch, view.following))
            block = view.apply(archived.messages, archived.cut)
            if block.header != archived.header:
                raise Lost(f"block {archived.header.height} of the archive was changed")
    await _require_certified(view, store, head)
    return view.tables.everything(view.place)


async def _require_certified(view: View, store: Store, head: Head) -> None:
    epoch: Epoch = view.epoch
    for certificate in await store.certificates([head.final]):
        statement = certificate.statement
        if (statement.state, statement.block) != (view.state.root, view.head) or not is_certified(
            certificate, epoch
        ):
            raise Lost(f"the archive does not lead to what was certified at {head.final}")


def _compared(found: Rows, certified: Rows) -> Iterator[Difference]:
    for table in tables.TABLES:
        mine: Mapping[Any, Any] = _there(getattr(found, table))
        theirs: Mapping[Any, Any] = _there(getattr(certified, table))
        for key in sorted(mine.keys() | theirs.keys(), key=str):
            if mine.get(key) != theirs.get(key):
                yield Difference(
                    table=table, key=key, found=mine.get(key), certified=theirs.get(key)
                )


def _there(rows: Mapping[Any, Any]) -> dict[Any, Any]:
    """Without the rows that say "nothing": they need not be written at all."""
    return {key: row for key, row in rows.items() if row is not None and row not in _NOTHING}


_NOTHING: Final = (0, tables.NO_BALANCE)
