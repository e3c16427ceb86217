"""A registry of the simulated network: the real `Replica`, with a memory that survives a crash.

What a node would store in its database is kept here from one life to the next: the book after the
last block, the last vote, the certificate, the bundles that it signed, and up to which block its
initiators were told. What it would lose is lost: messages not yet closed, votes heard.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from htlc.units import MILLISECOND, SECOND, Duration, Instant, LedgerId
from ledgers.icsd.block import Block
from ledgers.icsd.entry import (
    CUT_SUBJECT,
    NOTHING,
    Bundle,
    Certificate,
    Cut,
    Entry,
    Hash,
    Signed,
    Statement,
    Vote,
    bundle_subject,
    pack,
    sign,
    unpack,
)
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import Result
from ledgers.icsd.replica import Replica
from ledgers.icsd.view import View
from ledgers.profile import Profile

if TYPE_CHECKING:
    from gateway.simulation.registries import Registries

NETWORK: Final = LedgerId("icsd")
PROFILE: Final = Profile()

BUSY: Final = Duration(40 * MILLISECOND)
IDLE: Final = Duration(SECOND)
"""How long a node sleeps when nothing wakes it: with something under way, and without."""

AGAIN: Final = Duration(SECOND)
"""After this long a bundle that stands in no block is published, and a vote told, again."""


def key_of(registry: str) -> Ed25519PrivateKey:
    """The key of a simulated registry; no secret."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(registry.encode()).digest())


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What an initiator asks of its registry."""

    number: int
    entry: Entry


class Node:
    """One registry. `world` carries what it says, and tells it when to wake."""

    def __init__(self, name: RegistryId, epoch: Epoch, world: "Registries") -> None:
        self.name = name
        self.key = key_of(name)
        self.world = world
        self.replica = Replica(name, View.genesis(NETWORK, epoch, PROFILE))
        self.read = 0  # messages of the log
        self.blocks: list[Block] = []
        self.queue: list[Request] = []
        self.signed = 0, NOTHING  # sequence and hash of the last bundle
        self.outbox: dict[int, tuple[bytes, tuple[Request, ...]]] = {}
        self.published_at = Instant(0)
        self.told = 0  # height up to which the initiators were told
        self.last_vote: Signed | None = None
        self.vote_told_at = Instant(0)
        self.is_down = False
        self.failed: str | None = None  # why it refuses to run
        self.is_wiped = False
        self.marker = b""
        self.marked_at = Instant(0)  # when the marker of a return was published

    @property
    def is_reachable(self) -> bool:
        return not self.is_down and not self.world.is_cut_off(self.name)

    # --- a life ----------------------------------------------------------------------------------

    def crash(self) -> None:
        self.is_down = True

    def restart(self) -> None:
        """From what was stored: all rows, and the statement that we made of the head."""
        old = self.replica
        rows = old.view.tables.everything(old.view.place)
        view = View.restore(NETWORK, PROFILE, rows)
        statement = self.blocks[-1].statement if self.blocks else None
        old.view = view
        if statement is not None and view.state.root != statement.state:
            self.failed = "the rows on disk do not make the state root that we signed"
            return
        vote = None if self.last_vote is None else unpack(pack(self.last_vote))
        self.replica = Replica(
            self.name,
            view,
            voted=vote[1].statement if vote and isinstance(vote[1], Vote) else None,
            certified=self._stored_certificate(),
            statement=statement,
            guard=self._last_cut(),
            votes_above=old.votes_above,
            marker=self.marker,
        )
        self.replica.evidence = old.evidence
        self.read = self._last_cut()
        self.is_down = False

    def wipe(self, marker: bytes) -> None:
        """Begin again with an empty database, and read everything."""
        self.world.forgotten |= {r.number for _, asked in self.outbox.values() for r in asked}
        view = View.genesis(NETWORK, self.world.epoch, PROFILE)
        self.marker = marker
        above = 0 if self.world.settings.careless else None
        self.replica = Replica(self.name, view, votes_above=above, marker=marker)
        self.read = self.told = 0
        self.blocks, self.outbox = [], {}
        self.signed, self.last_vote = (0, NOTHING), None
        self.is_wiped, self.is_down = True, False

    def mend(self, view: View) -> None:
        """Go on from a book that was checked against the certified root of our last block."""
        self.replica.view = view
        self.failed = None
        self.restart()

    def _stored_certificate(self) -> Certificate | None:
        """The highest if there was time to store it, else the one that came with the head."""
        highest = self.replica.certified
        if not self.blocks or self.world.draw.random() < 0.5:
            return highest
        read = unpack(self.blocks[-1].cut)
        assert read is not None and isinstance(read[1], Cut)
        return read[1].certificate

    def _last_cut(self) -> int:
        """The sequence in the log of the cut that closed our head."""
        cut = self.blocks[-1].cut if self.blocks else None
        return next((m.sequence for m in self.world.log_of(self) if m.data == cut), 0)

    def step(self) -> None:
        """Read, vote, cut, publish, tell: what a node does whenever it wakes."""
        if not self.is_reachable or self.failed or self.replica.stopped:
            return
        now = self.world.now
        for message in self.world.log_of(self)[self.read :]:
            self.read = message.sequence
            block = self.replica.take(message)
            if block is not None:
                self.blocks.append(block)
        self.replica.caught_up(now)
        self._vote(now)
        self._mark(now)
        cut = self.replica.to_cut(now, False)
        if cut is not None:
            self.publish_cut(cut)
        self._publish(now)
        self.tell_initiators()

    def _vote(self, now: Instant) -> None:
        statement = self.replica.to_vote(now)
        if statement is not None:
            self.last_vote = sign(Vote(registry=self.name, statement=statement), self.key)
            self.replica.signed(statement)
            self._say(self.last_vote, now)
        elif self.last_vote and now >= self.vote_told_at + AGAIN and self._is_wanted():
            self._say(self.last_vote, now)

    def _mark(self, now: Instant) -> None:
        """Ask for a fresh sign, if we do not know what we have signed."""
        returning = self.replica.returning
        if returning and not returning.is_marked and now >= self.marked_at + AGAIN:
            self.marked_at = now
            self.world.publish(self, bundle_subject(self.name), returning.marker)

    def _say(self, vote: Signed, now: Instant) -> None:
        self.vote_told_at = now
        self.say_vote(vote)

    def _is_wanted(self) -> bool:
        """We, or somebody who asks, have not heard enough votes for the head."""
        return self.replica.is_asked_again() or self._is_unheard()

    def _is_unheard(self) -> bool:
        certified = self.replica.certified
        return certified is None or certified.statement.height < self.replica.view.height

    # --- what a liar does otherwise --------------------------------------------------------------

    def say_vote(self, vote: Signed) -> None:
        for other in self.world.nodes.values():
            self.world.tell(self, other, vote)

    def publish_cut(self, cut: Cut) -> None:
        self.world.publish(self, CUT_SUBJECT, pack(sign(cut, self.key)), after=self.replica.guard)

    def entries(self, requests: Sequence[Request]) -> tuple[Entry, ...]:
        return tuple(request.entry for request in requests)

    # --- bundles and answers ---------------------------------------------------------------------

    def _publish(self, now: Instant) -> None:
        """One bundle in flight; the next requests gather meanwhile."""
        last = self.replica.view.tables.last(self.name)
        sequence, self.signed = last[0] + 1, max(self.signed, last)
        if sequence not in self.outbox and self.queue and self.signed[0] < sequence:
            requests, self.queue = tuple(self.queue[:50]), self.queue[50:]
            self.outbox[sequence] = self.bundle(sequence, self.entries(requests)), requests
            self.published_at = Instant(0)
        if sequence in self.outbox and now >= self.published_at + AGAIN:
            self.published_at = now
            self.world.publish(self, bundle_subject(self.name), self.outbox[sequence][0])

    def bundle(self, sequence: int, entries: tuple[Entry, ...]) -> bytes:
        body = Bundle(
            epoch=self.replica.view.epoch_at(self.replica.view.height + 1).number,
            registry=self.name,
            sequence=sequence,
            previous=self.signed[1],
            entries=entries,
        )
        signed = sign(body, self.key)
        self.signed = sequence, signed.hash
        return pack(signed)

    def publish_again(self) -> None:
        """In a new log: what stands in no block is asked again, signed for the new epoch."""
        last = self.replica.view.tables.last(self.name)
        lost = [self.outbox.pop(n)[1] for n in sorted(self.outbox) if n > last[0]]
        self.queue = [request for requests in lost for request in requests] + self.queue
        self.signed = last

    def tell_initiators(self) -> None:
        """Answer the initiators of what has become final."""
        while self.told < self.replica.final:
            self.told += 1
            for outcome in self.blocks[self.told - 1].outcomes:
                if outcome.registry == self.name:
                    requests = self.outbox.pop(outcome.sequence, (b"", ()))[1]
                    self._answer(requests, outcome.results)

    def _answer(self, requests: Sequence[Request], results: Sequence[Result]) -> None:
        for request, result in zip(requests, results, strict=False):
            self.world.answered(request, result)

    @property
    def rest(self) -> Duration:
        """How long it may sleep."""
        replica = self.replica
        busy = self._is_unheard() or replica.pending or self.queue or self.outbox
        return BUSY if busy or replica.final < replica.view.height - 1 else IDLE

    def hear(self, signed: Signed) -> None:
        read = unpack(pack(signed))
        if self.is_reachable and read is not None and isinstance(read[1], Vote):
            self.replica.hear(signed, read[1])


def altered(vote: Signed, key: Ed25519PrivateKey, mark: int) -> Signed:
    """The same vote with another state root, well signed."""
    read = unpack(pack(vote))
    assert read is not None and isinstance(read[1], Vote)
    statement: Statement = read[1].statement
    state = Hash(bytes([mark]) * 32)
    lie = msgspec.structs.replace(statement, state=state)
    return sign(Vote(registry=vote.registry, statement=lie), key)
