"""The votes that a registry has heard, by height: verified when they count, kept to convict.

A quorum of votes certifies a block; whoever votes after it adds nothing. Such a vote is kept as it
came, and verified when a second one comes in the same name: then the two convict their registry, or
it asks for ours again.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from ledgers.icsd.entry import Certificate, Signed, Statement, Vote
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import voted

VOTE_BYTES_MAX: Final = 1_024
"""Of a vote that is kept without a look at its signature; an honest one has 180. A liar cannot fill
our memory."""


class Heard(Enum):
    """What a vote was that counts."""

    NEW = "new"
    REPEATED = "repeated"


class Tally:
    """The votes of each height. `convict` is given two votes of one registry that differ."""

    def __init__(self, convict: Callable[[Signed, Signed], None]) -> None:
        self.votes: dict[int, dict[RegistryId, tuple[Signed, Statement]]] = {}
        self._late: dict[int, dict[RegistryId, tuple[Signed, Vote]]] = {}
        self._convict = convict

    def of(self, height: int) -> Mapping[RegistryId, tuple[Signed, Statement]]:
        """What each registry has voted there first."""
        return self.votes.get(height, {})

    def hear(self, signed: Signed, vote: Vote, epoch: Epoch, *, is_late: bool) -> Heard | None:
        """A vote for a height that `epoch` certifies, after its certificate (`is_late`) or before;
        None if it is not one, or need not be looked at yet."""
        height, registry = vote.statement.height, vote.registry
        if (first := self._late.get(height, {}).pop(registry, None)) is not None:
            self._count(*first, epoch)
        elif is_late and registry not in self.of(height) and len(signed.body) <= VOTE_BYTES_MAX:
            if epoch.key(registry) is not None:
                self._late.setdefault(height, {})[registry] = signed, vote
            return None
        return self._count(signed, vote, epoch)

    def _count(self, signed: Signed, vote: Vote, epoch: Epoch) -> Heard | None:
        statement, registry = vote.statement, vote.registry
        if statement.epoch != epoch.number:
            return None
        if not voted(statement, registry, signed.signature, epoch):
            return None
        heard = self.votes.setdefault(statement.height, {})
        known = heard.get(registry)
        if known is None:
            heard[registry] = signed, statement
            return Heard.NEW
        if known[0].body == signed.body:
            return Heard.REPEATED
        self._convict(known[0], signed)
        return None

    def certificate(self, height: int, epoch: Epoch) -> Certificate | None:
        """Of what a quorum has voted there, if one has."""
        signatures: dict[Statement, list[tuple[RegistryId, bytes]]] = {}
        for registry, (signed, statement) in self.of(height).items():
            if statement.epoch == epoch.number:
                signatures.setdefault(statement, []).append((registry, signed.signature))
        for statement, found in signatures.items():
            if len(found) >= epoch.quorum:
                return Certificate(statement=statement, signatures=tuple(sorted(found)))
        return None

    def forget(self, oldest: int) -> None:
        """Drop what is below a height."""
        for kept in (self.votes, self._late):
            for height in [height for height in kept if height < oldest]:
                del kept[height]
