"""Who the registries of the network are, and how many of them must agree.

An epoch is a set of registries with their keys and the height at which it begins. Registries
join, leave and change keys only from one epoch to the next.

Up to `faults(n)` registries of n may lie, sign twice or be silent, and the others still never make
two different blocks final: two quorums meet in at least faults(n) + 1 registries. "2f + 1" would
be right for n = 3f + 1 only; at n = 5 or 6 it lets one liar fork the chain.
"""

from typing import NewType

import msgspec

RegistryId = NewType("RegistryId", str)
"""The name of a registry in the network, as it stands in subjects of the log: a token of visible
ASCII without dots, blanks and wildcards."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A registry and the key that its signatures are verified with (Ed25519, 32 bytes)."""

    registry: RegistryId
    public_key: bytes


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """One set of registries. `members` are in the order of their names: ranks follow from it."""

    number: int  # the first has 1
    members: tuple[Member, ...]
    start: int  # the first height that this set certifies

    def key(self, registry: str) -> bytes | None:
        """The key of a member; None for who is no member."""
        for member in self.members:
            if member.registry == registry:
                return member.public_key
        return None

    @property
    def quorum(self) -> int:
        return quorum(len(self.members))

    def rank(self, registry: RegistryId, height: int) -> int:
        """In which turn a registry may cut the block at `height`: 0 is first."""
        names = [member.registry for member in self.members]
        return (names.index(registry) - height) % len(names)


def faults(registries: int) -> int:
    """How many dishonest registries the others withstand."""
    return (registries - 1) // 3


def quorum(registries: int) -> int:
    """How many equal signatures certify a block: floor((n + f) / 2) + 1."""
    return (registries + faults(registries)) // 2 + 1
