"""Registries that lie: each lie is one thing that an institution could do with its own key.

A liar runs the honest code and says other things than it finds. What it can never do is sign for
another registry; it may try.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.simulation.registries_node import Node, Request, altered, key_of
from htlc.units import SECOND, AccountId, AssetId, Instant, Quantity
from ledgers.icsd.entry import (
    CUT_SUBJECT,
    NOTHING,
    STEP_MAX,
    Bundle,
    Certificate,
    Cut,
    Entry,
    Signed,
    Statement,
    bundle_subject,
    pack,
    sign,
)
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.parties import Principal, Role
from ledgers.port import Transfer

if TYPE_CHECKING:
    from gateway.simulation.registries import Registries


NONSENSE: Final = Certificate(
    statement=Statement(epoch=1, height=0, block=NOTHING, results=NOTHING, state=NOTHING),
    signatures=(),
)
"""A certificate where none can be: of the block before the first."""


class Lie(StrEnum):
    SILENT = "silent"  # withholds its signature
    FALSE_ROOT = "false-root"  # signs a state that it did not compute
    EQUIVOCATE = "equivocate"  # signs two states, and tells each to half of the others
    STEAL = "steal"  # asks to move what belongs to another registry's holders
    FORGE = "forge"  # writes bundles in another registry's name, out of sequence, unreadable
    TWO_BUNDLES = "two-bundles"  # signs two bundles of one sequence
    BAD_CUTS = "bad-cuts"  # cuts too high, too early, without certificate
    WRONG_TIME = "wrong-time"  # cuts first of all, and with a time as far ahead as is valid


class Liar(Node):
    """A registry with some lies. Its own initiators are not looked after."""

    def __init__(
        self, name: RegistryId, epoch: Epoch, world: "Registries", lies: frozenset[Lie]
    ) -> None:
        super().__init__(name, epoch, world)
        self.lies = lies

    def step(self) -> None:
        super().step()
        if self.is_reachable and self.world.is_rough and self.world.draw.random() < 0.2:
            for lie, tell in (
                (Lie.FORGE, self._forge),
                (Lie.TWO_BUNDLES, self._sign_twice),
                (Lie.BAD_CUTS, self._cut_badly),
            ):
                if lie in self.lies:
                    tell()

    def say_vote(self, vote: Signed) -> None:
        if Lie.SILENT in self.lies:
            return
        told = [vote, altered(vote, self.key, 1)]
        if Lie.FALSE_ROOT in self.lies:
            told = told[1:] * 2
        elif Lie.EQUIVOCATE not in self.lies:
            told = told[:1] * 2
        for n, other in enumerate(self.world.nodes.values()):
            self.world.tell(self, other, told[n % 2])

    def publish_cut(self, cut: Cut) -> None:
        if Lie.WRONG_TIME in self.lies and cut.height > 1:
            at = Instant(self.replica.view.at + STEP_MAX)
            cut = msgspec.structs.replace(cut, at=at)
        super().publish_cut(cut)

    def entries(self, requests: Sequence[Request]) -> tuple[Entry, ...]:
        entries = super().entries(requests)
        return (*entries, self._theft()) if Lie.STEAL in self.lies else entries

    def tell_initiators(self) -> None:
        """It owes them nothing."""

    def _theft(self) -> Entry:
        """A transfer from somebody else's holder to one of ours, vouched for by us."""
        victim, asset = self.world.draw.choice(self.world.holdings_elsewhere(self.name))
        operation = Transfer(
            id=f"theft-{self.name}-{self.world.draw.getrandbits(60)}",
            debit=AccountId(victim),
            credit=AccountId(f"{self.name}-1"),
            asset=AssetId(asset),
            quantity=Quantity(1),
        )
        return Entry(by=Principal(name=victim, role=Role.OWNER), operation=operation)

    def _forge(self) -> None:
        draw, other = self.world.draw, self.world.draw.choice(list(self.world.nodes))
        last, previous = self.replica.view.tables.last(other)
        bundle = Bundle(
            epoch=1,
            registry=other,
            sequence=last + 1,
            previous=previous,
            entries=(self._theft(),),
        )
        foreign = pack(sign(bundle, self.key))
        skipped = msgspec.structs.replace(bundle, registry=self.name, sequence=last + 7)
        repeated = draw.choice(self.world.log).data if self.world.log else b""
        for data in (foreign, pack(sign(skipped, self.key)), repeated, b"\xc1" * 40):
            self.world.publish(self, bundle_subject(self.name), data)

    def _sign_twice(self) -> None:
        """Two bundles with the sequence that is next, both in order but for the other."""
        last, previous = self.replica.view.tables.last(self.name)
        for _ in range(2):
            body = Bundle(
                epoch=1,
                registry=self.name,
                sequence=last + 1,
                previous=previous,
                entries=(self._theft(),),
            )
            self.world.publish(self, bundle_subject(self.name), pack(sign(body, self.key)))

    def _cut_badly(self) -> None:
        view, certificate = self.replica.view, self.replica.certified
        at = Instant(view.at + SECOND)
        fine = Cut(
            epoch=1,
            registry=self.name,
            height=view.height + 1,
            at=at,
            certificate=certificate,
        )
        changed: list[dict[str, Any]] = [
            {"height": view.height + 2},
            {"epoch": 2},
            {"at": view.at},
            {"at": Instant(view.at + 2 * STEP_MAX)},
            {"certificate": None if certificate else NONSENSE},
        ]
        for change in changed:
            cut = msgspec.structs.replace(fine, **change)
            if view.height or "at" not in change:  # the first block may have any time
                self.world.publish(self, CUT_SUBJECT, pack(sign(cut, self.key)))
        stranger = msgspec.structs.replace(fine, registry=RegistryId("XX"))
        self.world.publish(self, CUT_SUBJECT, pack(sign(stranger, key_of("XX"))))
