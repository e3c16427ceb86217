"""The time arithmetic of hash time locks: ranks, windows, margins, expiries.

Theory of operation
-------------------
With one hash on all legs, whoever claims first publishes the key. The *leader* claims the legs that
pay it; their payers read the key from the ledger and claim the legs that pay them; and so on
backwards through the swap. So a leg's *rank* is the longest path, along the legs, from its payee to
the leader, and expiries rise with the rank (Herlihy 2018, section 4). Where several legs pay the
leader, one of them is first, and the others follow it by a window: whoever claims for the leader
may die between two claims.

If leg i is claimed before leg j (the payer of i is the payee of j), then whoever learns the key
from i must still be able to use it on j after the worst that the budget allows:

    expires_j - expires_i >= window(i, j)
      = finality_i      until the claim of i is final
      + 2 x lookup_i    until it is noticed: a look just before, and the next one
      + skew_i          the clock of ledger i may be wrong by this much
      + recovery        from the first death of the claimer until it has caught up
      + delivery_j      until the claim of j reaches its ledger
      + skew_j          and that ledger's clock may be wrong too

One tick less and a swap can end one-legged, so the comparison is exact. `margin_i`, the largest
window out of leg i, is what must be left before the key is shown for the first time: a claim that
is refused because it came late has published the key all the same (COMIT RFC-003).

All of this is needed only for the protocol `htlc` and for locks with an expiry. Locks of two keys
(`two_key`, and the followers of `anchored`) have no race and no schedule.
"""

from collections.abc import Sequence

import msgspec

from htlc.swap import Fault, Leg
from htlc.units import INSTANT_MAX, Duration, Instant, MemberId, after


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long things take on one ledger at worst; configuration, with a reason for each."""

    finality: Duration  # from a ledger's answer until nothing can undo it
    lookup: Duration  # between two looks at a contract
    delivery: Duration  # from sending an operation until the ledger has judged it
    skew: Duration  # how far the ledger's clock may be off true time

    @property
    def claim(self) -> Duration:
        """From the decision to claim until the claim is final and noticed."""
        return Duration(self.delivery + self.finality + 2 * self.lookup + self.skew)


def window(first: Latency, then: Latency, recovery: Duration) -> Duration:
    """How much later a leg on ledger `then` must expire than the one on `first` before it."""
    return Duration(
        first.finality + 2 * first.lookup + first.skew + recovery + then.delivery + then.skew
    )


def leaders(legs: Sequence[Leg]) -> tuple[MemberId, ...]:
    """The parties whose removal leaves no cycle, in the order of the legs: one of them leads.

    Empty if there is none; then `htlc` cannot be used, for some cycle would have no first claim."""
    payers = dict.fromkeys(leg.payer.member for leg in legs)
    return tuple(member for member in payers if ranks(legs, member) is not None)


def ranks(legs: Sequence[Leg], leader: MemberId) -> tuple[int, ...] | None:
    """Per leg the longest path from its payee to the leader; None if a cycle avoids the leader."""
    distance: dict[MemberId, int] = {leader: 0}
    open_members = {leg.payer.member for leg in legs} - {leader}
    while open_members:
        solved = {
            member: 1
            + max(distance[leg.payee.member] for leg in legs if leg.payer.member == member)
            for member in open_members
            if all(leg.payee.member in distance for leg in legs if leg.payer.member == member)
        }
        if not solved:
            return None
        distance |= solved
        open_members -= solved.keys()
    return tuple(distance[leg.payee.member] for leg in legs)


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When each leg of an `htlc` swap expires, and what must be left before it reveals the key."""

    expires_at: tuple[Instant, ...]
    margin: tuple[Duration, ...]
    outage_max: Duration  # the longest outage after the first claim that costs nobody anything


def first_claimed(legs: Sequence[Leg], leader: MemberId, expires_at: Sequence[Instant]) -> int:
    """The leg that shows the key: of those that pay the leader, the one that expires first."""
    paid = [n for n, leg in enumerate(legs) if leg.payee.member == leader]
    return min(paid, key=expires_at.__getitem__)


def claimed_next(legs: Sequence[Leg], leader: MemberId, first: int, i: int) -> tuple[int, ...]:
    """The legs that may have to wait until leg `i` is claimed: what its payer is paid; after the
    first of all, also what else the leader is paid, for it may die between two claims."""
    payer = legs[i].payer.member
    return tuple(
        j
        for j, leg in enumerate(legs)
        if (leg.payee.member == payer != leader) or (i == first != j and leg.payee.member == leader)
    )


def draw(
    legs: Sequence[Leg],
    latencies: Sequence[Latency],
    leader: MemberId,
    *,
    recovery: Duration,
    first_claim_by: Instant,
) -> Schedule:
    """The schedule in which, at `first_claim_by`, every leg has its margin and the time of its own
    claim left, and each leg the window after those that are claimed before it.

    Expiries that the parties set themselves are kept as they are, and must pass `faults`."""
    order = ranks(legs, leader)
    assert order is not None, "a leader was chosen, so no cycle avoids it"
    # An expiry that a party has set stays, so the legs that are free follow it.
    wanted = [Instant(leg.expires_at or INSTANT_MAX) for leg in legs]
    first = first_claimed(legs, leader, wanted)
    margin = [_margin(legs, latencies, leader, first, recovery, i) for i in range(len(legs))]
    expires = [
        leg.expires_at or after(first_claim_by, margin[i], latencies[i].claim)
        for i, leg in enumerate(legs)
    ]
    for i in sorted(range(len(legs)), key=lambda i: (order[i], i != first)):
        for j in claimed_next(legs, leader, first, i):
            if legs[j].expires_at is None:
                step = window(latencies[i], latencies[j], recovery)
                expires[j] = max(expires[j], after(expires[i], step))
    return Schedule(
        expires_at=tuple(expires),
        margin=tuple(margin),
        outage_max=_outage_max(legs, latencies, leader, expires),
    )


def faults(
    legs: Sequence[Leg],
    latencies: Sequence[Latency],
    leader: MemberId,
    expires_at: Sequence[Instant],
    *,
    recovery: Duration,
) -> tuple[Fault, ...]:
    """The pairs of legs whose expiries leave less than the window between them. Exact."""
    first = first_claimed(legs, leader, expires_at)
    return tuple(
        Fault(
            field=f"legs[{j}].expires_at",
            rule=f"UNSAFE_EXPIRY_ORDER: leg {legs[j].leg} must expire at least "
            f"{window(latencies[i], latencies[j], recovery)} ns after leg {legs[i].leg}",
        )
        for i in range(len(legs))
        for j in claimed_next(legs, leader, first, i)
        if expires_at[j] - expires_at[i] < window(latencies[i], latencies[j], recovery)
    )


def _margin(
    legs: Sequence[Leg],
    latencies: Sequence[Latency],
    leader: MemberId,
    first: int,
    recovery: Duration,
    i: int,
) -> Duration:
    """The largest window out of leg `i`; at least the time that its own claim takes."""
    following = claimed_next(legs, leader, first, i)
    return max(
        [latencies[i].claim, *(window(latencies[i], latencies[j], recovery) for j in following)]
    )


def _outage_max(
    legs: Sequence[Leg], latencies: Sequence[Latency], leader: MemberId, expires: Sequence[Instant]
) -> Duration:
    first = first_claimed(legs, leader, expires)
    spare = [
        expires[j] - expires[i] - window(latencies[i], latencies[j], Duration(0))
        for i in range(len(legs))
        for j in claimed_next(legs, leader, first, i)
    ]
    return Duration(max(0, min(spare, default=0)))
