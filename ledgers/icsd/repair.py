"""A book in the database that is not the certified one: where it differs, and how it is mended.

Either the own archive is the proof: every block is applied again from the first on, and what comes
out has the root that a quorum signed, whatever else is in the database. Or another registry is
asked for the trees of that height, and descended with (`compare`). Rows that differ were changed by
somebody or something else, and are written as they must be. An archive that does not lead to the
certified root is damaged itself: then ask another registry, or read its archive (`rebuild`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from htlc.units import Duration
from ledgers.icsd import tables
from ledgers.icsd.client import LightClient, Lineage
from ledgers.icsd.compare import HEAD, Compared, Difference, Peer, compare
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.proof import is_certified
from ledgers.icsd.recovery import successor
from ledgers.icsd.rows import Rows
from ledgers.icsd.start import Lost, Network
from ledgers.icsd.store import Head, Store
from ledgers.icsd.view import View

PAGE: Final = 200
"""Blocks that are read at once: some 20 MB of full ones."""


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


async def differences_with(
    network: Network, store: Store, peer: Peer, lineage: Lineage
) -> Compared:
    """The same, with another registry instead of the own archive. Raises ForgedProof (it lies),
    Gone (it keeps this height no more), TooDifferent, LogUnreachable."""
    head = await store.head()
    members = LightClient(network.network, network.epoch, Duration(0))
    members.follow_all(lineage)
    return await compare(await store.book(head.place), peer, head.final, members)


async def repair_with(network: Network, store: Store, peer: Peer, lineage: Lineage) -> Compared:
    """Mend them with what another registry has proved; returns what was mended. The node must not
    run. Raises what `differences_with` does, and Lost if the book is not right even then."""
    head = await store.head()
    found = await differences_with(network, store, peer, lineage)
    if found.differences:
        wrong = [(each.table, each.key) for each in found.differences if each.table != HEAD]
        right = msgspec.structs.replace(head, place=found.certified.place)
        await store.put_book(right, found.certified, wrong)
        book = await store.book(right.place)
        if View.restore(network.network, network.profile, book).state != found.state:
            raise Lost(f"the book is not the one certified at {head.final} after its repair either")
    return found


async def replayed(network: Network, store: Store, head: Head) -> Rows:
    """The book at the final height as the archive gives it, shown to be what a quorum signed.
    Raises Lost."""
    if head.base:
        raise Lost(
            f"this registry joined by a snapshot at height {head.base}: its archive begins there; "
            "compare with another registry (--from)"
        )
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
