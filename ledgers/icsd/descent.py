"""Where an own tree and a certified one differ, found from the root down, place by place.

The other tree is at a peer, who is not believed: its root is certified, and what stands at a place
must hash to what was shown of it above. So the peer can refuse to go on and cannot mislead. Each
round asks for all places of one depth at which the trees differ: some log2(n) rounds, however many
differences there are.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from ledgers.icsd import tree
from ledgers.icsd.tree import Branch, Children, ForgedProof, Leaf, Sibling, Tree

PLACES_MAX: Final = 256
"""Places of one question: 20 kB of hashes."""

DIFFERENCES_MAX: Final = 10_000
"""More than these are no damage but another book: a snapshot is faster."""


Found = dict[bytes, tuple[Leaf | None, Leaf | None]]
"""The keys at which two trees differ, with the leaf of ours and of the other."""


class TooDifferent(Exception):
    """More leaves differ than a descent is for: take a snapshot (`lockstep registry join`)."""


class _Pair(msgspec.Struct, frozen=True):
    """A place at which the trees differ: ours, and what is proved of the other's."""

    path: str
    ours: Tree
    theirs: Sibling


class Descent:
    """Compares `ours` with the tree of this root and total. Ask the peer for `places`, `take` its
    answers in the same order, until there are no more; `found` is then what differs."""

    def __init__(self, ours: Tree, root: bytes, total: int) -> None:
        self.found: Found = {}
        self._open: list[_Pair] = []
        self._compare("", ours, Sibling(root, total))

    @property
    def places(self) -> list[str]:
        """What the next question asks for."""
        return [pair.path for pair in self._open[:PLACES_MAX]]

    def take(self, answers: Sequence[Children]) -> None:
        """What stands at `places`. Raises ForgedProof, TooDifferent."""
        asked, self._open = self._open[:PLACES_MAX], self._open[PLACES_MAX:]
        if len(answers) != len(asked):
            raise ForgedProof(f"asked for {len(asked)} places of a tree, told of {len(answers)}")
        for pair, told in zip(asked, answers, strict=True):
            self._descend(pair, told)

    def _descend(self, pair: _Pair, told: Children) -> None:
        if tree.shown(told) != pair.theirs:
            raise ForgedProof("what stands at a place is not what was certified above it")
        if told.leaf is not None:
            if not tree.stands_at(told.leaf[0], pair.path):
                raise ForgedProof("a leaf does not stand where its key leads to")
            self._differ(pair.ours, tree.leaf(*told.leaf))
            return
        sides = told.left or tree.EMPTY_SIBLING, told.right or tree.EMPTY_SIBLING
        for bit, mine, theirs in zip("01", _sides(pair.ours, pair.path), sides, strict=True):
            self._compare(pair.path + bit, mine, theirs)

    def _compare(self, path: str, ours: Tree, theirs: Sibling) -> None:
        if (tree.root(ours), tree.total(ours)) == (theirs.hash, theirs.sum):
            return
        if len(path) > tree.KEY_BITS:
            raise ForgedProof("no way through a tree is so long")
        if theirs == tree.EMPTY_SIBLING:
            self._differ(ours, None)
        else:
            self._open.append(_Pair(path, ours, theirs))

    def _differ(self, ours: Tree, theirs: Leaf | None) -> None:
        self.found |= tree.differences(ours, theirs)
        if len(self.found) > DIFFERENCES_MAX:
            raise TooDifferent(f"more than {DIFFERENCES_MAX} entries differ")


def _sides(ours: Tree, path: str) -> tuple[Tree, Tree]:
    """Our tree in two halves, as a branch has them: our leaf may stand higher than theirs does."""
    if isinstance(ours, Branch):
        return ours.left, ours.right
    if ours is None:
        return None, None
    return (None, ours) if tree.stands_at(ours.key, path + "1") else (ours, None)
