"""Whether a dump of blocks is one whole chain of its ledger: pure, one block at a time.

What an auditor may do with blocks from whatever source, as `README.md` describes it. Nothing is
believed: every hash is computed again, and the signature must be that of a key that the caller has
from elsewhere.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from htlc.units import Instant, LedgerId
from ledgers import merkle
from ledgers.block import GENESIS, Block, is_signed


class Flaw(StrEnum):
    """What can be wrong with a block."""

    CHAIN = "chain"  # it does not follow the block before
    SIGNATURE = "signature"  # its hash or signature is not its own
    ROOT = "root"  # its leaves are not those that were signed


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One flaw of one block: what was expected, and what is there."""

    flaw: Flaw
    height: int
    what: str


class Chain:
    """Follows the blocks of one ledger from the first on; memory does not grow with them."""

    def __init__(self, ledger: LedgerId, public_key: bytes) -> None:
        self._ledger = ledger
        self._public_key = public_key
        self.height = 0
        self.hash = GENESIS
        self.at = Instant(0)

    def take(self, block: Block) -> Iterator[Fault]:
        """Follow one block: its faults. The next is held against this one, as it says itself, so
        that one damage is told once."""
        height = block.header.height
        for what in self._link_faults(block):
            yield Fault(flaw=Flaw.CHAIN, height=height, what=what)
        for what in self._seal_faults(block):
            yield Fault(flaw=Flaw.SIGNATURE, height=height, what=what)
        for what in _leaf_faults(block):
            yield Fault(flaw=Flaw.ROOT, height=height, what=what)
        self.height, self.hash, self.at = height, block.hash, block.header.at

    def _link_faults(self, block: Block) -> Iterator[str]:
        header = block.header
        if header.ledger != self._ledger:
            yield f"expected a block of {self._ledger}, found one of {header.ledger}"
        if header.height != self.height + 1:
            yield f"expected block {self.height + 1} before it, it is missing"
        elif header.previous != self.hash:
            yield f"expected previous {self.hash.hex()}, found {header.previous.hex()}"
        if header.at < self.at:
            yield f"expected ledger time from {self.at} on, found {header.at}: it went back"

    def _seal_faults(self, block: Block) -> Iterator[str]:
        expected = block.header.hash()
        if block.hash != expected:
            yield f"expected hash {expected.hex()} of its header, found {block.hash.hex()}"
        elif not is_signed(block, self._public_key):
            yield f"expected a signature of key {self._public_key.hex()}, found another"


def _leaf_faults(block: Block) -> Iterator[str]:
    header = block.header
    if header.count != len(block.leaves):
        yield f"expected {header.count} postings, found {len(block.leaves)}"
    root = merkle.root([merkle.leaf_hash(leaf) for leaf in block.leaves])
    if root != header.root:
        yield f"expected postings with Merkle root {header.root.hex()}, found {root.hex()}"
