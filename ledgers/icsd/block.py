"""What a block of the network did: everything that a node stores of it."""

from enum import StrEnum

import msgspec

from ledgers.book import Effect
from ledgers.icsd.entry import Certificate, Cut, Hash, Statement, unpack
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.proof import Header, Result
from ledgers.icsd.rows import Rows


class Fault(StrEnum):
    """Why a message of the log has no effect."""

    UNREADABLE = "unreadable"
    NO_BUNDLE = "no-bundle"  # a cut that closes nothing, mostly one that came second; a vote
    TOO_LARGE = "too-large"  # more bytes or entries than a bundle may have, or no entry
    NOT_A_MEMBER = "not-a-member"  # of the epoch in force at this height
    WRONG_EPOCH = "wrong-epoch"
    BAD_SIGNATURE = "bad-signature"
    WRONG_SEQUENCE = "wrong-sequence"  # not the next of its registry
    WRONG_PREVIOUS = "wrong-previous"  # the bundle before it is another one
    # Of cuts only:
    WRONG_HEIGHT = "wrong-height"
    WRONG_TIME = "wrong-time"  # ledger time never goes back; it may stand, as a clock may,
    TOO_FAR = "too-far"  # nor advances by more than `entry.STEP_MAX`
    UNCERTIFIED = "uncertified"  # no valid certificate of the block before


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a block that had no effect."""

    position: int
    registry: RegistryId | None  # who it says it is from: any text, unless it is a member
    fault: Fault


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one valid bundle is told: a result for each entry."""

    registry: RegistryId
    sequence: int
    bundle: Hash
    results: tuple[Result, ...]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a node stores of one block."""

    header: Header
    statement: Statement  # what we make of it; to be signed
    messages: tuple[bytes, ...]
    cut: bytes  # the message that closed it
    outcomes: tuple[Outcome, ...]
    ignored: tuple[Ignored, ...]
    effects: tuple[Effect, ...]
    changes: Rows  # the rows that it changed, as they are now
    before: Rows  # the same rows as they were


def carried(cut: bytes) -> Certificate | None:
    """The certificate of the block before that the cut of a block carries."""
    read = unpack(cut)
    assert read is not None and isinstance(read[1], Cut), "a block is closed by a cut"
    return read[1].certificate
