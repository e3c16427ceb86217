"""How long everything may be down, by hand: delivery 30, skew 5, the clocks of `samples`."""

from msgspec.structs import replace

from gateway.simulation import faults
from gateway.simulation.campaign import played
from gateway.simulation.faults import Scripted, When
from gateway.simulation.outages import Claimed, life
from gateway.simulation.settings import world_of
from gateway.simulation.trace import What
from htlc.downtime import safe_downtime
from htlc.events import Decision
from htlc.settlement import Settlement
from htlc.units import Duration, Instant
from tests.htlc import samples
from tests.htlc.samples import NOW

CLAIM = 30 + 5
"""A claim must be sent so long before its expiry: delivery and skew."""


def downtime(state: Settlement, at: int = NOW) -> Duration | None:
    return safe_downtime(state, samples.profiles(state.swap) | clocked(state, at))


def clocked(state: Settlement, at: int) -> dict[str, object]:
    known = samples.profile(now=Instant(at))
    return {leg.ledger: known for leg in state.swap.legs}


def expiry(state: Settlement, n: int) -> int:
    at = state.agreed.legs[n].terms.expires_at
    assert at is not None
    return at


def test_without_principal_risk_no_outage_is_too_long() -> None:
    for make in (samples.two_key, samples.anchored, samples.anchored_htlc, samples.anchored_party):
        state = samples.committed(make()) if make is not samples.anchored_party else make()
        assert downtime(state) is None


def test_before_the_first_key_is_shown_no_outage_is_too_long() -> None:
    assert downtime(samples.locked(samples.htlc())) is None


def test_after_the_first_claim_the_next_expiry_counts() -> None:
    """Leg 1 (cash) is claimed first; then leg 0 must be, in time."""
    state = samples.executed(samples.committed(samples.htlc()), 1)
    assert downtime(state) == expiry(state, 0) - NOW - CLAIM
    assert downtime(state, at=expiry(state, 0) - CLAIM) == 0
    assert downtime(state, at=expiry(state, 0)) == 0


def test_after_commit_the_claim_may_be_on_its_way() -> None:
    state = samples.committed(samples.htlc())
    assert downtime(state) == expiry(state, 0) - NOW - CLAIM


def test_a_party_may_show_its_secret_at_any_time() -> None:
    """The buyer's own leg shows it; the seller's cash must then be claimed in time."""
    state = samples.locked(samples.htlc_party())
    (shows,) = state.agreed.revealers
    assert downtime(state) == expiry(state, 1 - shows) - NOW - CLAIM
    assert downtime(samples.refunded(state, shows)) is None


def test_a_backstop_counts_for_every_leg_that_is_open() -> None:
    state = samples.committed(samples.backstop())
    assert downtime(state) == expiry(state, 0) - NOW - CLAIM
    assert downtime(samples.decided(samples.locked(samples.backstop()), Decision.CANCEL)) is None


def test_a_ledger_that_was_not_heard_promises_nothing() -> None:
    state = samples.executed(samples.committed(samples.htlc()), 1)
    assert safe_downtime(state, {}) == 0


def test_what_is_settled_is_at_no_risk() -> None:
    state = samples.executed(samples.committed(samples.htlc()), 1, 0)
    assert downtime(state) is None


def test_an_outage_as_long_as_promised_costs_nobody_anything() -> None:
    """Lived through: down from the first claim on, back just in time to look and to claim."""
    for seed in range(30):
        quiet = life(seed, 1.0, Claimed.ANY_TIME)
        crash = next(s for s in quiet.plan if isinstance(s.moment, When) and _executed(s.moment))
        plan = tuple(s for s in quiet.plan if s is not crash and not _noise(s))
        world = world_of(replace(quiet, plan=plan))
        claimed = next(e.at for e in world.run().trace if e.what is What.EXECUTED)
        agreement = next(iter(world.agreements.values()))
        second = next(n for n in (0, 1) if n not in agreement.revealers)
        expires_at = agreement.legs[second].terms.expires_at
        assert expires_at is not None
        ledger = world.ledgers[agreement.legs[second].ledger]
        left = expires_at - ledger.clock.read(claimed) - CLAIM
        catching_up = 4 * 4  # two looks and two answers, four ticks each at most
        for outage, whole in ((left - catching_up, True), (left + CLAIM + 20, False)):
            down = Scripted(moment=crash.moment, fault=faults.CrashAll(outage=outage))
            _, wrong = played(replace(quiet, plan=(*plan, down)))
            assert (not wrong) == whole, (seed, outage, wrong)


def _executed(moment: When) -> bool:
    return moment.what is What.EXECUTED


def _noise(scripted: Scripted) -> bool:
    return isinstance(scripted.fault, faults.Noise)


def test_an_ended_leg_does_not_hide_those_after_it() -> None:
    """Leg 0 has ended; leg 1 of a backstop is still to be claimed."""
    state = samples.executed(samples.committed(samples.backstop()), 0)
    assert downtime(state) == expiry(state, 1) - NOW - CLAIM
