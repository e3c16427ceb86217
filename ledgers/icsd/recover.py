"""One registry's part in a recovery (`recovery` has the rules): what it signs, stores and undoes.

    stop      every registry, its node stopped or not: it votes in this epoch no more
    propose   anybody, from n - f stops                                    (`recovery.propose`)
    consent   every registry, to one record
    begin     every registry, with a quorum of ballots; then its node is started on the new log

Each step may be repeated: what was said first comes back. The files that go from hand to hand are
the packed words, the record and the begun epoch (`recovery`), MessagePack.
"""

from collections.abc import Mapping

from ledgers.icsd.archive import Source
from ledgers.icsd.entry import pack
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.rebuild import catch_up
from ledgers.icsd.recovery import (
    Ballot,
    Begun,
    Record,
    Stop,
    is_begun,
    record_fault,
    sign_word,
    unpack_word,
)
from ledgers.icsd.start import Identity, Known, Network, known_state
from ledgers.icsd.store import Head, Store


class RecoveryRefused(Exception):
    """The step is not possible; the text says why."""


async def stop(network: Network, identity: Identity, store: Store) -> bytes:
    """End the epoch in force for this registry: its Stop, packed. A node that still runs on this
    database cannot write another vote. Raises Altered, Lost."""
    head = await store.head()
    _require_memory(head)
    known = await known_state(network, store, head)
    word = Stop(
        network=network.network,
        registry=identity.registry,
        epoch=known.view.epoch.number,
        certificate=await store.last_certificate(),
    )
    return await store.end(word.epoch, pack(sign_word(word, identity.key)))


def _require_memory(head: Head) -> None:
    """Others count on it that who stops knows the highest certificate that it has voted upon, and
    that nobody consents twice. Raises RecoveryRefused."""
    if head.votes_above is None:
        raise RecoveryRefused(
            "this registry does not know what it has signed: its database is new. The others stop "
            "and consent without it"
        )


async def consent(network: Network, identity: Identity, store: Store, record: Record) -> bytes:
    """Our ballot for the record, packed. Raises RecoveryRefused, Altered, Lost."""
    head = await store.head()
    _require_memory(head)
    known = await known_state(network, store, head)
    view = known.view
    fault = record_fault(
        record, network.network, view.epoch, view.following, _epochs(network, known)
    )
    if fault is not None:
        raise RecoveryRefused(f"nobody may consent to this record: {fault}")
    ballot = Ballot(
        network=network.network,
        registry=identity.registry,
        number=record.number,
        record=record.hash,
    )
    said = await store.agree(record.number, pack(sign_word(ballot, identity.key)))
    _, word = unpack_word(said)
    if not isinstance(word, Ballot) or word.record != record.hash:
        raise RecoveryRefused(f"this registry has consented to another epoch {record.number}")
    return said


async def begin(
    network: Network, identity: Identity, store: Store, begun: Begun, source: Source | None = None
) -> None:
    """Go on from the start of the epoch, in its log. What this registry had above the start is
    undone; what it has not reached yet is read from `source`, another registry's archive. Raises
    RecoveryRefused, Altered, Lost."""
    record = begun.record
    if any(each.record.number == record.number for each in await store.begun()):
        return
    known = await known_state(network, store, await store.head())
    if not is_begun(begun, known.view.epoch):
        raise RecoveryRefused("too few registries have consented to this epoch")
    if not await _stands_at(store, record):
        await _read_up_to(network, identity, store, record, source)
    await store.begin(begun)


async def _stands_at(store: Store, record: Record) -> bool:
    """Whether the block below the start is in our archive, the certified one."""
    if record.certificate is None:
        return True
    found = await store.blocks(record.start - 2, 1)
    return bool(found) and found[0].header.hash == record.certificate.statement.block


async def _read_up_to(
    network: Network, identity: Identity, store: Store, record: Record, source: Source | None
) -> None:
    if source is None:
        raise RecoveryRefused(
            f"this registry has not the block below {record.start}: name one that has (--from)"
        )
    await store.undo(record.start - 1)
    await catch_up(network, identity, store, source, record.start - 1)
    if not await _stands_at(store, record):
        raise RecoveryRefused("the other registry's archive does not reach the start either")


def _epochs(network: Network, known: Known) -> Mapping[int, Epoch]:
    """Those that a certificate may be of."""
    return {epoch.number: epoch for epoch in (network.epoch, known.view.epoch)}
