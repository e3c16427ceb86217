"""When the log is lost, or lied: how the registries end an epoch and agree where the next begins.

The majority of the log's servers may be gone for good, or it gave different readers different
orders, so that no block finds a quorum. Machines cannot tell these from a slow day; people decide.
They exchange three kinds of records, by any channel:

    Stop     "I vote in this epoch no more; my highest certificate is this one", from n - f members
    Record   the next epoch: these Stops, and the highest certified block among them to go on from
    Ballot   consent to a Record; a registry gives one per epoch number, ever; a quorum begins it

Every final block is certified, and so is its child, whose q voters all held its certificate. Any
n - f members include an honest one of them (n - f + q - n > f), so the highest certificate among
the Stops is of the last final block or of a descendant of it: nothing that anybody was told is
lost. `tests/ledgers/icsd/model.py` tries all cases for up to seven members.

Blocks above the start were told to nobody. They are undone, and what they held is published again
by the registries that it came from, with `carried_over` in order.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from htlc.units import LedgerId
from ledgers.icsd.entry import SIGNATURE_TAG, Certificate, Entry, Hash, Signed, verified
from ledgers.icsd.epoch import Epoch, RegistryId, faults
from ledgers.icsd.proof import is_certified
from ledgers.port import Refund


class Stop(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """A registry's last word in an epoch."""

    network: LedgerId
    registry: RegistryId
    epoch: int  # the one that ends
    certificate: Certificate | None  # the highest that it holds; none before the first


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The epoch that begins."""

    network: LedgerId
    ends: int
    number: int
    start: int  # its first height
    certificate: Certificate | None  # of the block before
    stops: tuple[Signed, ...]  # by registry

    @property
    def hash(self) -> Hash:
        return Hash(hashlib.sha256(msgspec.msgpack.encode(self)).digest())


class Ballot(msgspec.Struct, frozen=True, kw_only=True, tag="ballot"):
    """A registry's consent to one record."""

    network: LedgerId
    registry: RegistryId
    number: int
    record: Hash


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A record with a quorum of ballots: what everybody stores, and light clients follow."""

    record: Record
    ballots: tuple[Signed, ...]


class RecordFault(StrEnum):
    """Why nobody may consent to a record."""

    WRONG_NETWORK = "wrong-network"
    WRONG_EPOCH = "wrong-epoch"  # not the one in force, or not the number that comes next
    BAD_STOP = "bad-stop"  # unreadable, forged, of another epoch, or with an invalid certificate
    TOO_FEW_STOPS = "too-few-stops"
    WRONG_START = "wrong-start"  # not after the highest certified block among the Stops


_decoder: Final = msgspec.msgpack.Decoder(Stop | Ballot)


def sign_word(word: Stop | Ballot, key: Ed25519PrivateKey) -> Signed:
    """As it is handed to the others. No word of recovery can pass for a message of the log, nor
    the other way round: their tags differ."""
    body = msgspec.msgpack.encode(word)
    return Signed(word.registry, body, key.sign(SIGNATURE_TAG + body))


def read(signed: Signed, epoch: Epoch) -> Stop | Ballot | None:
    """What a member of the epoch says; None for what is unreadable or not signed by it."""
    try:
        body = _decoder.decode(signed.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    key = epoch.key(signed.registry)
    if key is None or body.registry != signed.registry:
        return None
    return body if verified(signed.signature, signed.body, key) else None


def stops_needed(epoch: Epoch) -> int:
    """How many members must stop: n - f. All of the others may be liars, or gone."""
    return len(epoch.members) - faults(len(epoch.members))


def highest(certificates: Iterable[Certificate | None]) -> Certificate | None:
    """The highest certificate. Two of one height are of one block (`epoch.quorum`); the first in
    the order of the Stops is taken, so that all write the same record."""
    found = None
    for certificate in certificates:
        if certificate is not None and (
            found is None or certificate.statement.height > found.statement.height
        ):
            found = certificate
    return found


def propose(
    network: LedgerId, epoch: Epoch, following: Epoch | None, stops: Sequence[Signed]
) -> Record:
    """The record of these Stops. `epoch` is the one to be ended, `following` one that is decided
    and has not begun: its members take over at once (`successor`)."""
    ordered = sorted(stops, key=lambda signed: signed.registry)
    bodies = [read(signed, epoch) for signed in ordered]
    start = highest(body.certificate for body in bodies if isinstance(body, Stop))
    return Record(
        network=network,
        ends=epoch.number,
        number=successor_number(epoch, following),
        start=1 if start is None else start.statement.height + 1,
        certificate=start,
        stops=tuple(ordered),
    )


def successor_number(epoch: Epoch, following: Epoch | None) -> int:
    """Numbers are never used twice, also not that of an epoch which never began."""
    return (epoch if following is None else following).number + 1


def record_fault(
    record: Record,
    network: LedgerId,
    epoch: Epoch,
    following: Epoch | None,
    epochs: Mapping[int, Epoch],
) -> RecordFault | None:
    """Why we may not consent. `epochs` has all that we know, by number: a certificate may be of an
    earlier one, if nothing was certified in this one yet."""
    if record.network != network:
        return RecordFault.WRONG_NETWORK
    if (record.ends, record.number) != (epoch.number, successor_number(epoch, following)):
        return RecordFault.WRONG_EPOCH
    stops = [_valid_stop(signed, network, epoch, epochs) for signed in record.stops]
    names = [signed.registry for signed in record.stops]
    if None in stops or names != sorted(set(names)):
        return RecordFault.BAD_STOP
    if len(stops) < stops_needed(epoch):
        return RecordFault.TOO_FEW_STOPS
    start = highest(stop.certificate for stop in stops if stop is not None)
    height = 0 if start is None else start.statement.height
    if record.certificate != start or record.start != height + 1:
        return RecordFault.WRONG_START
    return None


def _valid_stop(
    signed: Signed, network: LedgerId, epoch: Epoch, epochs: Mapping[int, Epoch]
) -> Stop | None:
    stop = read(signed, epoch)
    if not isinstance(stop, Stop) or (stop.network, stop.epoch) != (network, epoch.number):
        return None
    if stop.certificate is None:
        return stop
    signers = epochs.get(stop.certificate.statement.epoch)
    return stop if signers is not None and is_certified(stop.certificate, signers) else None


def is_begun(begun: Begun, epoch: Epoch) -> bool:
    """Whether a quorum of the epoch that ends consented to the record. Says nothing of the record
    itself; a quorum of which at most f lie has checked it."""
    ballots = [read(signed, epoch) for signed in begun.ballots]
    names = {signed.registry for signed in begun.ballots}
    wanted = begun.record.network, begun.record.number, begun.record.hash
    return (
        begun.record.ends == epoch.number
        and len(names) == len(begun.ballots)
        and len(names) >= epoch.quorum
        and all(
            isinstance(ballot, Ballot) and (ballot.network, ballot.number, ballot.record) == wanted
            for ballot in ballots
        )
    )


def may_consent(record: Record, ballots: Mapping[int, Hash]) -> bool:
    """Whether we have not consented to another record of this number; `ballots` are ours by
    number, from the database. Store the ballot before it is told."""
    return ballots.get(record.number, record.hash) == record.hash


def successor(record: Record, epoch: Epoch, following: Epoch | None) -> Epoch:
    """The members of the epoch that begins: those of today, or those already decided for later. An
    emergency is no time to vote on members; the ordinary entry can change them afterwards."""
    members = (epoch if following is None else following).members
    return Epoch(number=record.number, members=members, start=record.start)


def carried_over(entries: Sequence[Entry]) -> list[Entry]:
    """What a registry publishes again in the new epoch: all that was not final, refunds last. A
    preimage is public once a claim was published, so no refund may overtake it."""
    return sorted(entries, key=lambda entry: isinstance(entry.operation, Refund))


def unpack_word(data: bytes) -> tuple[Signed, Stop | Ballot]:
    """A word as it was stored or handed over (`entry.pack`). Raises msgspec.DecodeError. Who said
    it is not checked here (`read`)."""
    signed = msgspec.msgpack.decode(data, type=Signed)
    return signed, _decoder.decode(signed.body)
