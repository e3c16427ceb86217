"""Hypothesis drives a world: it chooses what goes wrong between any two events, and shrinks what it
finds. After every step the judge has nothing to say; once all is well again, everything ends."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.simulation import faults
from gateway.simulation.faults import Fault
from gateway.simulation.settings import CROSS, DVP, ONE_LEDGER, PATIENT, Setting, world_of
from gateway.simulation.settings import Life as Drawn
from htlc.swap import Leg, LockProtocol
from htlc.units import MemberId

OUTAGES = st.integers(1, 1_500)
"""Up to three times as long as any expiry lies ahead."""

NODES = st.sampled_from(["csd", "rtgs"])
BACK = st.booleans()

WRONGS: st.SearchStrategy[Fault] = st.one_of(
    st.builds(faults.Crash, node=st.sampled_from(["gateway-1", "gateway-2"]), outage=OUTAGES),
    st.builds(faults.CrashAll, outage=OUTAGES),
    st.builds(faults.Crash, node=st.just("csd"), outage=OUTAGES),
    st.builds(faults.Cut, ledger=st.none() | st.just("csd"), outage=OUTAGES),
    st.builds(faults.JournalDown, outage=OUTAGES),
    st.builds(faults.Lose, back=BACK, count=st.integers(1, 3)),
    st.builds(faults.Double, back=BACK),
    st.builds(faults.Delay, back=BACK, by=st.integers(1, 600)),
    st.builds(faults.Step, node=st.just("csd"), by=st.integers(-300, 300)),
    st.builds(faults.Reorganise, ledger=st.just("csd"), after=st.integers(0, 6)),
    st.builds(faults.Cancel, by=st.just(MemberId("AUTHORITY")), ordered=st.just(True)),
    st.builds(
        faults.Spend, ledger=st.just("csd"), account=st.just("seller"), asset=st.just("ISIN")
    ),
)


class Hostile(RuleBasedStateMachine):
    """A swap under `two_key` or `anchored`, and whatever goes wrong."""

    @initialize(
        protocol=st.sampled_from([LockProtocol.TWO_KEY, LockProtocol.ANCHORED]),
        legs=st.sampled_from([DVP, ONE_LEDGER, CROSS]),
        seed=st.integers(0, 1_000),
        offset=st.integers(-40, 40),
    )
    def begin(self, protocol: LockProtocol, legs: tuple[Leg, ...], seed: int, offset: int) -> None:
        ledgers = {leg.ledger for leg in legs}
        setting = Setting(
            seed=seed,
            protocol=protocol,
            legs=legs,
            replicas=2,
            offsets=tuple(offset * n for n in range(len(ledgers))),
            pace=PATIENT,
        )
        self.world = world_of(Drawn(setting=setting))
        self.world.heals_at = None
        self.world.begin()

    @rule(events=st.integers(1, 12))
    def some_time_passes(self, events: int) -> None:
        for _ in range(events):
            self.world.step()

    @rule(fault=WRONGS)
    def something_goes_wrong(self, fault: Fault) -> None:
        self.world.actions.do(fault, None)

    @invariant()
    def nothing_is_violated(self) -> None:
        if hasattr(self, "world"):
            assert self.world.judge.violations == []

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.heal()
        while self.world.step():
            pass
        run = self.world.finish()
        assert run.violations == ()
        assert all(end.state in ("SETTLED", "CANCELLED", "REJECTED") for end in run.ends)


TestHostile = Hostile.TestCase
TestHostile.settings = settings(
    max_examples=120,
    stateful_step_count=25,
    deadline=None,  # a life takes what it takes on a busy machine
    derandomize=True,  # the same in every build; `lockstep simulate` looks for new ones
    suppress_health_check=[HealthCheck.too_slow],
)
