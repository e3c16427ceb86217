"""A light client over the years: it follows the members, and believes no head that is too old.

It knows the epoch that it was given once, over a channel that it trusts. Members who come later are
decided in the book, and their certified state says so; after the loss of the log a quorum of the
members begins the next epoch itself (`recovery`). From one to the next it needs nobody's word.

A node cannot show anything false. It can show an old block that is true; so heads have an age, and
whoever must know the newest asks two nodes.
"""

import msgspec

from htlc.units import Duration, Instant, LedgerId
from ledgers.icsd.entry import Statement
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.light import Certified, EpochProof, check_certified, check_epochs
from ledgers.icsd.proof import is_final
from ledgers.icsd.recovery import Begun, is_begun, successor
from ledgers.icsd.tree import ForgedProof


class StaleHead(Exception):
    """The block is final, and too old to say anything of today. Ask another node."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A change of members as a final block shows it, to be followed later."""

    block: Certified
    child: Certified
    shown: EpochProof


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """All that leads from the first members to those of today: what a registry hands out."""

    decided: tuple[Decided, ...]
    begun: tuple[Begun, ...]


class LightClient:
    """Who knows the members of a network. Its methods raise ForgedProof."""

    def __init__(self, network: LedgerId, epoch: Epoch, age: Duration) -> None:
        self.network = network
        self.epochs = [epoch]  # by their start
        self.age = age

    def accept(self, block: Certified, child: Certified, now: Instant) -> Statement:
        """What a quorum said of a final block that is younger than `age`: proofs are checked
        against its `state` (`light`). Raises StaleHead."""
        self.check_final(block, child)
        if block.header.at < now - self.age:
            raise StaleHead(f"block {block.header.height} is from {block.header.at}")
        return block.certificate.statement

    def follow(self, block: Certified, child: Certified, shown: EpochProof) -> None:
        """Learn who was decided to come next. Any final block from the decision on shows it, until
        they have begun."""
        self.check_final(block, child)
        following = check_epochs(shown, block.certificate.statement.state)
        if following is not None and following.number > self.epochs[-1].number:
            self.epochs.append(following)

    def follow_recovery(self, begun: Begun) -> None:
        """Learn of an epoch that people began. Changes of members that were decided before are to
        be followed first: the record counts on them."""
        record = begun.record
        epoch = next((known for known in self.epochs if known.number == record.ends), None)
        if record.network != self.network or epoch is None or not is_begun(begun, epoch):
            raise ForgedProof("no quorum of members that we know began this epoch")
        following = next((known for known in self.epochs if known.number > epoch.number), None)
        begins = successor(record, epoch, following)
        self.epochs = [known for known in self.epochs if known.start < begins.start] + [begins]

    def follow_all(self, lineage: Lineage) -> None:
        """Follow what we do not know yet, each epoch by its number."""
        steps: dict[int, Decided | Begun] = {
            each.shown.following.number: each
            for each in lineage.decided
            if each.shown.following is not None
        }
        steps |= {each.record.number: each for each in lineage.begun}
        for number in sorted(steps):
            step = steps[number]
            if number <= self.epochs[-1].number:
                continue
            if isinstance(step, Begun):
                self.follow_recovery(step)
            else:
                self.follow(step.block, step.child, step.shown)

    def check_final(self, block: Certified, child: Certified) -> None:
        """That nothing else can ever stand at this height."""
        for shown in (block, child):
            header, epoch = shown.header, self._epoch_at(shown.header.height)
            if (header.network, header.epoch) != (self.network, epoch.number):
                raise ForgedProof("a block of another network, or of members that we do not know")
            check_certified(shown, epoch)
        if not is_final(block.header, block.certificate, child.header):
            raise ForgedProof("the child does not make the block final")

    def _epoch_at(self, height: int) -> Epoch:
        """The members who certify a height; the first that we know for all before."""
        return next((e for e in reversed(self.epochs) if e.start <= height), self.epochs[0])
