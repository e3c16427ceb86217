"""What a node is put together from, and what it counts."""

from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledgers.block import Seal
from ledgers.distribution import Distribution
from ledgers.hosted import Clock
from ledgers.icsd.block import Block
from ledgers.icsd.entry import Signed, Vote
from ledgers.icsd.log import OrderedLog
from ledgers.icsd.past import Past
from ledgers.icsd.replica import Replica
from ledgers.icsd.store import Head, Store


class Numbers(msgspec.Struct):
    """The node's own numbers since it started; metrics read them."""

    blocks: int = 0  # applied
    messages: int = 0
    ignored: int = 0  # messages without effect
    entries: int = 0  # of all registries
    cuts: int = 0  # published
    steps: int = 0  # written
    unknown: int = 0  # own entries whose outcome was not learned in time
    certified_seconds: Distribution = msgspec.field(default_factory=Distribution)  # from asked on
    final_seconds: Distribution = msgspec.field(default_factory=Distribution)  # the same


class Part(msgspec.Struct, kw_only=True):
    """What a node is put together from; `start.start` makes it."""

    replica: Replica
    store: Store
    head: Head
    unfinal: Sequence[tuple[Block, int]]  # applied again from the archive
    past: Past
    log: OrderedLog
    key: Ed25519PrivateKey
    seal: Seal
    clock: Clock
    kept: Sequence[bytes]  # own bundles that may not be final
    voted: tuple[Signed, Vote] | None  # the last vote: stored, but perhaps never told
