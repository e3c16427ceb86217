"""What is hashed and signed of a block, and the checks that anybody can make with it.

    header hash    SHA-256(tag || canonical JSON of the header)
    operations     Merkle root (RFC 6962) over the messages of the block, as they came
    results        Merkle root over the canonical JSON of each answer, in the order of the entries
    state          SHA-256(tag || canonical JSON of the parts below)

A certificate is a quorum of signatures on one statement. A block is final when it is certified and
so is a child that carries this certificate: only then can no other block take its height.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from htlc.canonical import canonical
from htlc.contract import Answer, Refusal
from htlc.units import Instant, LedgerId
from ledgers import merkle
from ledgers.icsd.entry import (
    NOTHING,
    Bundle,
    Certificate,
    Hash,
    Membership,
    Signed,
    Statement,
    Vote,
    encode,
    unpack,
    verified,
)
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.wire import answer_json

HEADER_TAG: Final = b"lockstep-icsd-block-v1\x00"
STATE_TAG: Final = b"lockstep-icsd-state-v1\x00"
MEMBERS_TAG: Final = b"lockstep-icsd-members-v1\x00"
"""Before what is hashed or signed: none of these can pass for another."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What the hash of a block is over."""

    network: LedgerId
    epoch: int
    height: int  # the first block has 1
    previous: Hash  # hash of the block before
    operations: Hash  # Merkle root of the messages
    count: int  # messages, those without effect included; 0 in a heartbeat
    at: Instant  # ledger time of all that is done in it
    certificate: Hash  # of the certificate of the block before that its cut carries

    def fields(self) -> dict[str, str]:
        """The header in JSON notation."""
        return {
            "network": self.network,
            "epoch": str(self.epoch),
            "height": str(self.height),
            "previous": self.previous.hex(),
            "operations": self.operations.hex(),
            "count": str(self.count),
            "at": str(self.at),
            "certificate": self.certificate.hex(),
        }

    @property
    def hash(self) -> Hash:
        return Hash(hashlib.sha256(HEADER_TAG + canonical(self.fields())).digest())


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a state root: `sequences` and `epochs` are hashes over small lists, the other
    three are trees (`roots`), each with its total."""

    holdings: Hash  # per instrument: issuer, issued amount, and what each registry's holders have
    instruments: int
    records: Hash  # accounts, mandates, instruments, contracts
    count: int
    operations: Hash  # issues, redemptions and transfers done, by block
    done: int
    sequences: Hash  # per registry: the last bundle
    epochs: Hash  # the members, and those of the next epoch if it is decided

    @property
    def root(self) -> Hash:
        fields = {
            "holdings": self.holdings.hex(),
            "instruments": str(self.instruments),
            "records": self.records.hex(),
            "count": str(self.count),
            "operations": self.operations.hex(),
            "done": str(self.done),
            "sequences": self.sequences.hex(),
            "epochs": self.epochs.hex(),
        }
        return Hash(hashlib.sha256(STATE_TAG + canonical(fields)).digest())


Result = Answer | Refusal | None
"""What an entry is told: an operation its answer; an act or a change of members its refusal."""


def operations_root(messages: Sequence[bytes]) -> Hash:
    return Hash(merkle.root([merkle.leaf_hash(message) for message in messages]))


def results_root(results: Sequence[Result]) -> Hash:
    return Hash(merkle.root([_result_hash(result) for result in results]))


def _result_hash(result: Result) -> bytes:
    # Most of a block are told the same: done, at its time. Contracts differ.
    if isinstance(result, Answer) and result.htlc is not None:
        return merkle.leaf_hash(result_bytes(result))
    return _plain_result_hash(result)


@lru_cache(maxsize=256)
def _plain_result_hash(result: Result) -> bytes:
    return merkle.leaf_hash(result_bytes(result))


def result_bytes(result: Result) -> bytes:
    """The canonical bytes of what one entry is told."""
    if isinstance(result, Answer):
        return canonical(answer_json(result))
    return canonical({} if result is None else {"refusal": result.value})


def sequences_hash(sequences: dict[RegistryId, tuple[int, Hash]]) -> Hash:
    rows = [[name, str(last), hash.hex()] for name, (last, hash) in sorted(sequences.items())]
    return Hash(hashlib.sha256(canonical(rows)).digest())


def epochs_hash(epoch: Epoch, following: Epoch | None) -> Hash:
    rows = [epoch_fields(known) for known in (epoch, following) if known is not None]
    return Hash(hashlib.sha256(canonical(rows)).digest())


def epoch_fields(epoch: Epoch) -> dict[str, object]:
    return {
        "epoch": str(epoch.number),
        "start": str(epoch.start),
        "members": [[member.registry, member.public_key.hex()] for member in epoch.members],
    }


def membership_statement(network: LedgerId, epoch: int, members: Sequence[Member]) -> bytes:
    """What is signed to change the members (`entry.verified` adds the tag of all signatures): by a
    quorum of the epoch that ends, and by each member that is new or has a new key."""
    fields = {
        "network": network,
        "epoch": str(epoch),
        "members": [[member.registry, member.public_key.hex()] for member in members],
    }
    return MEMBERS_TAG + canonical(fields)


# --- certificates --------------------------------------------------------------------------------


def certificate_hash(certificate: Certificate | None) -> Hash:
    """What a header has of the certificate that its cut carried."""
    if certificate is None:
        return NOTHING
    return Hash(hashlib.sha256(msgspec.msgpack.encode(certificate)).digest())


def is_certified(certificate: Certificate, epoch: Epoch) -> bool:
    """Whether a quorum of the epoch signed the statement, each registry once."""
    statement, names = certificate.statement, [name for name, _ in certificate.signatures]
    return (
        statement.epoch == epoch.number
        and len(set(names)) == len(names)
        and len(names) >= epoch.quorum
        and all(voted(statement, name, sig, epoch) for name, sig in certificate.signatures)
    )


def voted(statement: Statement, registry: RegistryId, signature: bytes, epoch: Epoch) -> bool:
    """Whether a member of the epoch signed the statement."""
    key = epoch.key(registry)
    return key is not None and _voted(statement, registry, signature, key)


VOTES_REMEMBERED: Final = 4_096
"""Verified votes that are not verified again when they come back in a certificate: some hundred
blocks of the largest network, a megabyte."""


@lru_cache(maxsize=VOTES_REMEMBERED)
def _voted(statement: Statement, registry: RegistryId, signature: bytes, key: bytes) -> bool:
    return verified(signature, encode(Vote(registry=registry, statement=statement)), key)


def is_final(header: Header, certificate: Certificate, child: Header) -> bool:
    """Whether `child` (itself certified) makes the certified block of `header` final."""
    return (
        certificate.statement.block == header.hash
        and certificate.statement.height == header.height
        and child.height == header.height + 1
        and child.previous == header.hash
        and child.certificate == certificate_hash(certificate)
    )


# --- evidence ------------------------------------------------------------------------------------


class Offence(StrEnum):
    """What a registry can be convicted of by its own signatures."""

    TWO_VOTES = "two-votes"  # of one epoch and height, with different content
    TWO_BUNDLES = "two-bundles"  # of one epoch and sequence, with different content


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Two statements of one registry of which it may sign one only. Shows itself: whoever has the
    registry's key of that epoch needs to trust nobody."""

    offence: Offence
    registry: RegistryId
    epoch: int
    place: int  # the height of the votes, the sequence of the bundles
    first: Signed
    second: Signed


def evidence(first: Signed, second: Signed) -> Evidence | None:
    """What two messages convict their sender of; None if both are in order. Signatures are the
    caller's to check (`is_evidence`)."""
    bodies = [unpack(msgspec.msgpack.encode(signed)) for signed in (first, second)]
    if first.registry != second.registry or first.body == second.body:
        return None
    match [body and body[1] for body in bodies]:
        case [Vote(statement=one), Vote(statement=other)] if one.epoch == other.epoch:
            if one.height != other.height:
                return None
            return _evidence(Offence.TWO_VOTES, one.epoch, one.height, first, second)
        case [Bundle() as one, Bundle() as other] if one.epoch == other.epoch:
            if one.sequence != other.sequence:
                return None
            return _evidence(Offence.TWO_BUNDLES, one.epoch, one.sequence, first, second)
    return None


def _evidence(offence: Offence, epoch: int, place: int, first: Signed, second: Signed) -> Evidence:
    return Evidence(
        offence=offence,
        registry=first.registry,
        epoch=epoch,
        place=place,
        first=first,
        second=second,
    )


def is_evidence(shown: Evidence, epoch: Epoch) -> bool:
    """Whether the record convicts the registry that it names."""
    key = epoch.key(shown.registry)
    return (
        key is not None
        and shown.epoch == epoch.number
        and evidence(shown.first, shown.second) == shown
        and all(verified(s.signature, s.body, key) for s in (shown.first, shown.second))
    )


def membership_signed(network: LedgerId, change: Membership, epoch: Epoch) -> bool:
    """Whether a quorum of `epoch` and every member that is new have signed the change."""
    statement = membership_statement(network, change.epoch, change.members)
    signatures = dict(change.signatures)
    if len(signatures) != len(change.signatures):
        return False
    old = {member.registry: member.public_key for member in epoch.members}
    consents = [
        name
        for name, key in old.items()
        if name in signatures and verified(signatures[name], statement, key)
    ]
    joiners = [member for member in change.members if old.get(member.registry) != member.public_key]
    return len(consents) >= epoch.quorum and all(
        verified(signatures.get(_joiner(member, old), b""), statement, member.public_key)
        for member in joiners
    )


def _joiner(member: Member, old: dict[RegistryId, bytes]) -> RegistryId:
    """Under which name the signature of a new key stands: a member that changes its key signs with
    the old one under its own name, and with the new one under that name and a sign."""
    return RegistryId(f"{member.registry}+") if member.registry in old else member.registry
