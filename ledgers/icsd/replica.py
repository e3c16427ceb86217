"""What one registry knows of the network, and what it would say next. Decides; does nothing itself.

Feed it the messages of the log in their order (`take`), what others tell (`hear`) and, when the log
had nothing more, that it had nothing more (`caught_up`). Ask it then what is ours to sign
(`to_vote`) and to publish (`to_cut`). A supervisor is a replica without a name: it checks all and
signs nothing.

    applied    a valid cut closed the block; nobody may be told of it yet
    certified  a quorum signed one statement of it
    final      certified, and so is its child, which carries its certificate: told to its initiators

A replica that finds a certificate for something else than it computed stops there: either its own
book or log is wrong, or more registries lie than the network withstands. People decide.
"""

from typing import Final

import msgspec

from htlc.units import INSTANT_MAX, MILLISECOND, SECOND, Duration, Instant
from ledgers.icsd.block import Block
from ledgers.icsd.entry import (
    CUT_SUBJECT,
    STEP_MAX,
    Bundle,
    Certificate,
    Cut,
    Signed,
    Statement,
    Vote,
    encode,
    unpack,
    verified,
)
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.log import Message
from ledgers.icsd.proof import Evidence, evidence
from ledgers.icsd.returning import Returning, corroborated
from ledgers.icsd.tally import Heard, Tally
from ledgers.icsd.view import View

CLOCK_TOLERANCE: Final = Duration(30 * SECOND)
"""How far the time of a cut may be from our clock for us to vote for it: clocks that are further
apart are out of order (NTP keeps them within a second)."""

HEIGHTS_AHEAD: Final = 16
"""Votes for blocks that we have not read yet are kept so far ahead. Votes are told again every
second, so nothing is lost by keeping few; a liar cannot fill our memory."""

HEIGHTS_BEHIND: Final = 64
"""Votes are kept so far back, to convict who signs another one later: some seconds of blocks."""

BUNDLES_AHEAD: Final = 16
"""Bundles of a registry after its last one that are kept to be compared: it has one in flight, so
more of them between two cuts are rare, and a liar cannot fill our memory."""

EVIDENCE_MAX: Final = 10
"""Records kept of one offence of one registry: one convicts, some more show that it goes on."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """When a block is cut."""

    tick: Duration = Duration(20 * MILLISECOND)  # lets what arrives together share a block
    heartbeat: Duration = Duration(5 * SECOND)  # ledger time must advance without traffic too
    again: Duration = Duration(2 * SECOND)  # a cut of ours that nobody saw is cut again
    gather: Duration = Duration(60 * SECOND)  # after a recovery: all publish their claims again


class _Rest(msgspec.Struct, kw_only=True):
    """Since the head: what decides when the next block is cut."""

    since: Instant | None = None  # we knew its certificate and were asked
    asked: Instant | None = None  # somebody waited for the next block
    cut_made: Instant | None = None  # we published a cut that was not answered by another message


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """A quorum certified something else than we computed."""

    height: int
    ours: Statement
    certificate: Certificate

    @property
    def what(self) -> str:
        """The first thing that differs."""
        theirs = self.certificate.statement
        if self.ours.block != theirs.block:
            return "the order: we read another block in the log"
        if self.ours.results != theirs.results:
            return "the results: we answer an entry of it differently"
        return "the state: our book differs from that of the quorum"


class Replica:
    """One registry's (or, without a name, a supervisor's) knowledge of the network.

    `voted` is the last statement that we signed, from the database; `certified` the highest
    certificate stored; `statement` what we make of the head; `guard` the sequence in the log of
    the last stored cut. `recovered`: the next block is the first of an epoch that people began
    (`recovery`). Its time goes on from the block before, however long that took: claims that were
    published in time and lost with the log are in time again. `votes_above` is None for one that
    does not know what it has signed; it then needs a `marker` (`returning`)."""

    def __init__(
        self,
        me: RegistryId | None,
        view: View,
        *,
        voted: Statement | None = None,
        certified: Certificate | None = None,
        statement: Statement | None = None,
        guard: int = 0,
        recovered: bool = False,
        votes_above: int | None = 0,
        marker: bytes = b"",
        pace: Pace | None = None,
    ) -> None:
        self.me = me
        self.view = view
        self.pace = Pace() if pace is None else pace
        self.certified = certified
        self.guard = guard
        self.stopped: Divergence | None = None
        self.evidence: list[Evidence] = []
        self.withheld: str | None = None  # why we did not vote for the head when last asked
        self.pending: list[bytes] = []  # messages since the last valid cut
        self._voted = voted
        self._statement = statement  # of the head, once we know it
        assert view.height == 0 or statement is not None, "what we make of the head is stored"
        self._tally = Tally(self._convict)
        self._bundles: dict[tuple[RegistryId, int, int], Signed] = {}
        self._parent_at = Instant(0)  # ledger time of the block before the head, if we read both
        self._seen_until = view.at  # our clock when the log was last read to its end,
        self._head_since = view.at  # and when it was so before the head stood there
        self._latest_possible = view.at  # time that the head could have, after the block before
        self._head_has_entries = statement is not None  # after a restart: perhaps
        self._rest = _Rest()
        self._recovered = recovered
        self._ended = False
        self._is_asked_again = False
        self.votes_above = votes_above
        self.returning = Returning(me, marker) if me and votes_above is None else None

    @property
    def final(self) -> int:
        """The height up to which everything is final."""
        return 0 if self.certified is None else self.certified.statement.height - 1

    # --- the log ---------------------------------------------------------------------------------

    def take(self, message: Message) -> Block | None:
        """The next message of the log; the block, if it closes one."""
        if self.stopped is not None:
            return None
        read = unpack(message.data)
        if message.subject == CUT_SUBJECT:
            self.guard, self._rest.cut_made = message.sequence, None
        if read is not None and isinstance(read[1], Cut):
            if self.view.cut_fault(read[0], read[1]) is None:
                return self._close(read[1], message.data)
        elif read is not None and isinstance(read[1], Bundle):
            self._compare_bundles(read[0], read[1])
        self.pending.append(message.data)
        return None

    def _close(self, cut: Cut, data: bytes) -> Block | None:
        if cut.certificate is not None:
            self._hear_all(cut.certificate)
            if not self._certify(cut.certificate):
                return None
        block = self.view.apply(self.pending, data)
        self.pending = []
        self._statement = block.statement
        self._head_since = self._seen_until
        before = block.before.place
        self._parent_at = before.at
        self._latest_possible = Instant(before.at + STEP_MAX) if before.height else INSTANT_MAX
        self._head_has_entries = bool(block.messages)
        self._rest, self.withheld, self._recovered = _Rest(), None, False
        self._is_asked_again = False
        if self.returning is not None:
            self.returning.read(block, self.view.epoch)
        self._forget()
        self._count()
        return block

    def caught_up(self, now: Instant) -> None:
        """The log was read to its end by a read that began at `now`. A cut that comes later is
        judged by our clock; one that was published while we were away is not, nor is the first
        after a recovery."""
        if self.view.height <= 1 and self.view.epoch.number == 1 and self.certified is None:
            # The network begins: a block that was certified would have a child in the log.
            self.votes_above, self.returning = self.votes_above or 0, None
        if not self._recovered:
            self._seen_until = max(self._seen_until, now)

    def end(self) -> None:
        """We signed a Stop: never vote or cut in this epoch again."""
        self._ended = True

    # --- votes -----------------------------------------------------------------------------------

    def hear(self, signed: Signed, vote: Vote) -> None:
        """A vote that somebody told; bad ones are dropped."""
        height = vote.statement.height
        if self.stopped is not None or vote.registry != signed.registry:
            return
        if not self.view.height - HEIGHTS_BEHIND <= height <= self.view.height + HEIGHTS_AHEAD:
            return
        # Who returns counts every vote, late ones too.
        is_certified = self._is_certified_at(height)
        is_late = is_certified and self.returning is None
        heard = self._tally.hear(signed, vote, self.view.epoch_at(height), is_late=is_late)
        if heard is None or height != self.view.height:
            return
        is_repeated = heard is Heard.REPEATED and vote.registry != self.me
        self._is_asked_again |= is_repeated and is_certified
        self._count()

    def is_asked_again(self) -> bool:
        """Whether somebody told its vote for the head again although we know the certificate: it
        has missed votes, perhaps ours. Told once more they save it the wait for the next cut. Asks
        once for each repetition."""
        asked, self._is_asked_again = self._is_asked_again, False
        return asked

    def _hear_all(self, certificate: Certificate) -> None:
        """The votes of a certificate, too: who told us another one is convicted by the two."""
        for registry, signature in certificate.signatures:
            vote = Vote(registry=registry, statement=certificate.statement)
            self.hear(Signed(registry, encode(vote), signature), vote)

    def _count(self) -> None:
        """Make a certificate of what was heard of the head, be it of our statement or another."""
        if self._is_certified_at(self.view.height):
            return
        certificate = self._tally.certificate(self.view.height, self.view.epoch)
        if certificate is not None:
            self._certify(certificate)

    def _is_certified_at(self, height: int) -> bool:
        return self.certified is not None and self.certified.statement.height >= height

    def _certify(self, certificate: Certificate) -> bool:
        """Keep a valid certificate of the head; stop if it is of something else than ours."""
        height, ours = certificate.statement.height, self._statement
        assert ours is not None and ours.height == height, "only the head is certified"
        if certificate.statement != ours:
            self.stopped = Divergence(height=height, ours=ours, certificate=certificate)
            return False
        if not self._is_certified_at(height):
            self.certified = certificate
        return True

    def _forget(self) -> None:
        """Drop the votes and bundles that are too old to convict anybody."""
        self._tally.forget(self.view.height - HEIGHTS_BEHIND)
        last = self.view.tables.last
        for key in [key for key in self._bundles if key[2] < last(key[0])[0]]:
            del self._bundles[key]

    # --- what is ours to say ---------------------------------------------------------------------

    def to_vote(self, now: Instant) -> Statement | None:
        """The statement on the head to sign now, if it is ours to sign and was not. Store the vote
        before it is told, and say so (`signed`)."""
        ours = self._statement
        self._may_return()
        if ours is None or self.me is None or self._is_silent:
            return None
        if self.view.epoch.key(self.me) is None or self._has_voted(ours):
            return None
        if self._is_certified_at(ours.height):
            return None  # it has its quorum without us
        if not self._may_sign(ours, self.me):
            return None
        self.withheld = self._reason_to_withhold(now)
        return None if self.withheld else ours

    def _may_return(self) -> None:
        if self.returning is None:
            return
        self.votes_above = self.returning.over(self._tally.votes)
        if self.votes_above is not None:
            self.returning = None

    def _may_sign(self, ours: Statement, me: RegistryId) -> bool:
        """Whether what we may have signed and forgotten leaves us free to sign this."""
        if self.votes_above is not None and ours.height > self.votes_above:
            return True
        return corroborated(ours, self._tally.of(ours.height), me, self.view.epoch)

    @property
    def _is_silent(self) -> bool:
        return self._ended or self.stopped is not None

    def signed(self, statement: Statement) -> None:
        """We signed this, and stored that we did."""
        assert not self._has_voted(statement), "one vote per epoch and height, ever"
        self._voted = statement

    def _has_voted(self, statement: Statement) -> bool:
        last = self._voted
        return last is not None and (last.epoch, last.height) >= (statement.epoch, statement.height)

    def _reason_to_withhold(self, now: Instant) -> str | None:
        """The time of the head is not believable: it lies ahead of our clock, or before the time
        at which we knew that it had not been cut yet. A time that stands is believed even if our
        clock was set back since: a quorum has certified it before. One that goes on is not, or
        many small steps would lead anywhere."""
        if self.view.at > max(now + CLOCK_TOLERANCE, self._parent_at):
            return "the time of the block is ahead of our clock by more than 30 s"
        if self.view.at < min(self._head_since - CLOCK_TOLERANCE, self._latest_possible):
            return "the time of the block is behind our clock by more than 30 s"
        return None

    def cut_due(self, now: Instant, waiting: bool) -> Instant | None:
        """When we would publish the next cut, as things stand; None if it is not ours to do.
        `waiting`: somebody needs a time later than the head's."""
        height = self.view.height + 1
        epoch = self.view.epoch_at(height)
        if self.me is None or self._is_silent or epoch.key(self.me) is None:
            return None
        if self.view.height and not self._has_certificate_of_head:
            return None
        due = self._due_at(now, waiting) + 3 * epoch.rank(self.me, height) * self.pace.tick
        made = self._rest.cut_made
        if made is not None and made <= now:
            due = max(due, made + self.pace.again)
        return Instant(due)

    def to_cut(self, now: Instant, waiting: bool) -> Cut | None:
        """The cut to publish now, if it is our turn, after `guard`."""
        due = self.cut_due(now, waiting)
        if due is None or now < due or self.me is None:
            return None
        height = self.view.height + 1
        self._rest.cut_made = now
        return Cut(
            epoch=self.view.epoch_at(height).number,
            registry=self.me,
            height=height,
            at=self._time_of_cut(now),
            certificate=self.certified,
        )

    @property
    def _has_certificate_of_head(self) -> bool:
        """Not one of a later block: that is known while archived blocks are read again."""
        return self.certified is not None and self.certified.statement.height == self.view.height

    def _time_of_cut(self, now: Instant) -> Instant:
        earliest, latest = self.view.at, Instant(self.view.at + STEP_MAX)
        if self.view.height == 0:
            return max(now, earliest)
        return earliest if self._recovered else min(max(now, earliest), latest)

    def _due_at(self, now: Instant, waiting: bool) -> Instant:
        """When the first in rank cuts. A block with entries gets its child as soon as it is
        certified, because that makes it final; and a time that has stood still is brought up."""
        rest = self._rest
        # A clock that was set back must not hold up the blocks for as long.
        rest.since = now if rest.since is None else min(now, rest.since)
        if self._recovered:
            return Instant(rest.since + self.pace.gather)
        if self._head_has_entries or (self.view.height and now > self.view.at + STEP_MAX):
            return rest.since
        due = rest.since + self.pace.heartbeat
        if waiting or self.pending:
            rest.asked = now if rest.asked is None else min(now, rest.asked)
            due = min(due, rest.asked + self.pace.tick)
        return Instant(due)

    # --- evidence --------------------------------------------------------------------------------

    def _convict(self, first: Signed, second: Signed) -> None:
        shown = evidence(first, second)
        if shown is None:
            return
        alike = [
            known.place
            for known in self.evidence
            if (known.offence, known.registry) == (shown.offence, shown.registry)
        ]
        if shown.place not in alike and len(alike) < EVIDENCE_MAX:
            self.evidence.append(shown)

    def _compare_bundles(self, signed: Signed, bundle: Bundle) -> None:
        """Two bundles of one registry with one sequence: it may sign one only. Signatures are
        verified here only where two differ, so that the ordinary case is verified once."""
        key = bundle.registry, bundle.epoch, bundle.sequence
        epoch, last = self.view.epoch_at(self.view.height + 1), self.view.tables.last(key[0])[0]
        public_key = epoch.key(bundle.registry)
        if bundle.epoch != epoch.number or not last <= bundle.sequence <= last + BUNDLES_AHEAD:
            return
        first = self._bundles.setdefault(key, signed)
        if first.body == signed.body or public_key is None:
            return
        if not verified(first.signature, first.body, public_key):
            self._bundles[key] = signed  # somebody else put it there
        elif verified(signed.signature, signed.body, public_key):
            self._convict(first, signed)
