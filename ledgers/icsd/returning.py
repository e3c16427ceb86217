"""A registry that does not know what it has signed: how it votes again without forking the chain.

Theory of operation
-------------------
One vote per epoch and height, ever: that keeps two certificates of one height apart. Who has lost
its database has lost its votes with it, and would sign again what the log shows now. Where the log
shows other messages than before, that makes an honest registry one more liar.

With n members, f of them liars and q a quorum, let `needed` = n - q + f + 1 (at most q).

1. It follows. While it returns it signs a statement only after `needed` others have told that they
   signed the same. n - q + 1 of them are honest and have signed nothing else at this height, so at
   most q - 1 can ever sign anything else: whatever it had signed before is harmless.
2. It asks for a fresh sign. It publishes a marker, 32 random bytes, as a message of its own, which
   is without effect and stands in the next block, k. When `needed` others have signed block k they
   did so after it came back. One of them is honest and has signed the highest certificate C of
   before the loss, too (`needed` + (q - 1) exceeds the n - 1 others by more than f), and honest
   registries sign upwards: k > C. It can have voted at most at C + 1, because a cut carries the
   certificate of the block before. So above k it votes as everybody does.

Several may return at once: the first to follow follows `needed` that do not return, so both
arguments count on those. What is left is the very first block: while the log shows nothing that is
certified, a registry that begins cannot be told from one that returns, and votes at once.
"""

from collections.abc import Mapping

from ledgers.icsd.block import Block
from ledgers.icsd.entry import Hash, Signed, Statement
from ledgers.icsd.epoch import Epoch, RegistryId, faults

Votes = Mapping[RegistryId, tuple[Signed, Statement]]
"""What was heard of one height."""


def needed(epoch: Epoch) -> int:
    """How many others must have signed. Who is alone has nobody to ask."""
    members = len(epoch.members)
    return min(members - epoch.quorum + faults(members) + 1, members - 1)


def corroborated(statement: Statement, votes: Votes, me: RegistryId, epoch: Epoch) -> bool:
    """Whether so many others have signed the same that nothing else can be certified."""
    others = [name for name, (_, said) in votes.items() if name != me and said == statement]
    return len(others) >= needed(epoch)


class Returning:
    """The way back of one registry. `marker` is what it publishes: nobody can have known it."""

    def __init__(self, me: RegistryId, marker: bytes) -> None:
        self._me = me
        self.marker = marker
        self._marked: tuple[int, Hash, Epoch] | None = None

    @property
    def is_marked(self) -> bool:
        """Whether the marker stands in a block that we have read."""
        return self._marked is not None

    def read(self, block: Block, epoch: Epoch) -> None:
        """The next block, which this epoch certifies."""
        if self._marked is None and self.marker in block.messages:
            self._marked = block.header.height, block.header.hash, epoch

    def over(self, votes: Mapping[int, Votes]) -> int | None:
        """The height above which it may vote again, once that is known, by the votes heard."""
        if self._marked is None:
            return None
        height, block, epoch = self._marked
        others = [
            name
            for name, (_, said) in votes.get(height, {}).items()
            if name != self._me and said.block == block
        ]
        return height if len(others) >= needed(epoch) else None
