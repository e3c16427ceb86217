"""Draws a life from a seed. Swarm style: each life has a subset of the kinds of faults, so some
lives have one kind without the others that would hide its effect. Most are aimed: at the commit
instant, between claims, while unwinding, at expiry.
"""

import random
from collections.abc import Iterator
from typing import Final

from gateway.simulation import faults, settings
from gateway.simulation.faults import At, Fault, Moment, Scripted, When
from gateway.simulation.settings import Life, Setting
from gateway.simulation.trace import What
from htlc.swap import Leg, LockProtocol
from htlc.units import MemberId

KINDS: Final = (
    "noise",
    "crash",
    "crash all",
    "ledger down",
    "cut",
    "journal down",
    "clocks",
    "reorganisation",
    "poor",
    "cancel",
    "people",
    "restore",
)
"""Every kind of fault that a life without a time budget may have."""

WITHIN: Final = ("noise", "crash", "decision outage", "clocks", "poor", "cancel", "people")
"""The kinds that the expiries of `htlc` allow for, within their bounds."""

SHARE: Final = {"poor": 0.05, "restore": 0.08, "people": 0.05, "cancel": 0.2}
"""How many lives have a kind; the others `USUAL`. These end a life early, and hide the rest."""

USUAL: Final = 0.45

AIMS: Final = (
    When(what=What.OPENED),
    When(what=What.SENT, detail="Lock"),
    When(what=What.LOCKED),
    When(what=What.DECIDED),
    When(what=What.DECIDED, detail="COMMIT"),
    When(what=What.KEY_SHOWN),
    When(what=What.SENT, detail="Unlock"),
    When(what=What.EXECUTED),
    When(what=What.CANCELLED),
    When(what=What.REFUNDED),
    When(what=What.ANSWERED, detail="EXECUTED"),
    When(what=What.DECIDED, detail="CANCEL"),
)
"""Where crashes hurt: a decision just durable, a key just sent, between two claims, unwinding."""

SHAPES: Final = ((70, settings.DVP), (8, settings.ONE_LEDGER), (14, settings.CROSS))
"""Two legs most of the time: everything can go wrong with two. The rest are rings and hubs."""


def draw(seed: int, protocol: LockProtocol) -> Life:
    """The life of a seed. For `htlc` its faults stay within the time budget."""
    rng = random.Random(f"{protocol} {seed}")  # a text: seeded by its bytes, in every process
    within = protocol is LockProtocol.HTLC
    kinds = {
        kind for kind in (WITHIN if within else KINDS) if rng.random() < SHARE.get(kind, USUAL)
    }
    setting = _setting(rng, seed, protocol, kinds, within)
    drawn = _Within(rng, setting) if within else _Hostile(rng, setting)
    plan = tuple(scripted for kind in sorted(kinds) for scripted in drawn.of(kind))
    return Life(setting=setting, plan=(*plan, *_holder(rng, setting)))


def _setting(
    rng: random.Random, seed: int, protocol: LockProtocol, kinds: set[str], within: bool
) -> Setting:
    legs = _shape(rng)
    ledgers = tuple(dict.fromkeys(leg.ledger for leg in legs))
    skew = settings.LATENCY.skew if within else 40  # eight times what is promised
    old = protocol is LockProtocol.ANCHORED and len(ledgers) > 1 and rng.random() < 0.4
    holder = None
    if protocol is not LockProtocol.TWO_KEY and legs is settings.DVP and rng.random() < 0.15:
        holder = settings.BUYER.member
        old = False
    return Setting(
        seed=seed,
        protocol=protocol,
        legs=legs,
        htlc_only=(rng.choice(ledgers),) if old else (),
        holder=holder,
        replicas=rng.choice((1, 1, 2, 3)) if rng.random() < 0.5 else 1,
        trades=2 if rng.random() < 0.05 and holder is None else 1,
        offsets=tuple(rng.randint(-skew, skew) if "clocks" in kinds else 0 for _ in ledgers),
        poor=(rng.randrange(len(legs)),) if "poor" in kinds else (),
        pace=settings.PROMPT if within else settings.PATIENT,
        heals_at=3_000 if within else 2_500,
    )


def _shape(rng: random.Random) -> tuple[Leg, ...]:
    place = rng.randrange(100)
    for share, legs in SHAPES:
        place -= share
        if place < 0:
            return legs
    return rng.choice((settings.RING, settings.HUB))


def _holder(rng: random.Random, setting: Setting) -> Iterator[Scripted]:
    """What the holder of a secret does with it: withholds, claims, claims late, hands it over."""
    if setting.holder is None:
        return
    acts: tuple[Fault | None, ...] = (
        None,
        faults.UseSecret(),
        faults.ClaimLate(before=rng.randint(1, 3)),
        faults.HandSecret(),
    )
    act = rng.choice(acts)
    if act is not None:
        yield Scripted(moment=When(what=What.OPENED, later=rng.randint(0, 300)), fault=act)


class _Hostile:
    """Faults without any bound but the end of the safety phase."""

    outage_max = 1_500  # three times as long as any expiry lies ahead

    def __init__(self, rng: random.Random, setting: Setting) -> None:
        self.rng = rng
        self.setting = setting

    def of(self, kind: str) -> Iterator[Scripted]:
        """The faults of one kind in this life."""
        for fault, moment in self._of(kind):
            yield Scripted(moment=moment, fault=fault)

    def _of(self, kind: str) -> Iterator[tuple[Fault, Moment]]:
        match kind:
            case "noise":
                yield self._noise(), At(time=0)
            case "crash":
                for _ in range(self.rng.randint(1, 4)):
                    yield faults.Crash(outage=self._outage()), self._at_a_gateway()
            case "crash all":
                yield faults.CrashAll(outage=self._outage()), self._aim()
            case "ledger down":
                yield self._ledger_down()
            case "cut":
                cut = faults.Cut(gateway=None, ledger=self._ledger(), outage=self._outage())
                yield cut, self._aim()
            case "journal down":
                yield faults.JournalDown(outage=self._outage()), self._aim()
            case "clocks" | "poor":
                yield from self._clocks() if kind == "clocks" else ()
            case "reorganisation":
                yield from self._reorganisations()
            case _:
                yield from self._people(kind)

    def _noise(self) -> faults.Noise:
        return faults.Noise(
            loss=self.rng.choice((0.0, 0.1, 0.3, 0.5)),
            doubling=self.rng.choice((0.0, 0.2)),
            straggler=self.rng.choice((0.0, 0.1, 0.3)),
            straggle=400,  # later than `lock_by` and than many a decision
        )

    def _outage(self) -> int:
        """Often short, so that a life sees what comes after; sometimes longer than anything."""
        return self.rng.randint(1, self.rng.choice((20, 100, 400, self.outage_max)))

    def _aim(self) -> Moment:
        if self.rng.random() < 0.2:
            return At(time=self.rng.randint(0, 400))
        aim = self.rng.choice(AIMS)
        return When(what=aim.what, detail=aim.detail, nth=self.rng.choice((1, 1, 1, 2, 3)))

    def _at_a_gateway(self) -> Moment:
        """A moment whose node is a gateway."""
        own = (What.OPENED, What.SENT, What.DECIDED, What.ANSWERED)
        aim = self.rng.choice([aim for aim in AIMS if aim.what in own])
        return When(what=aim.what, detail=aim.detail, nth=self.rng.choice((1, 1, 1, 2, 3)))

    def _ledger(self) -> str:
        return self.rng.choice(self.setting.ledgers)

    def _ledger_down(self) -> tuple[Fault, Moment]:
        return faults.Crash(node=self._ledger(), outage=self._outage()), self._aim()

    def _clocks(self) -> Iterator[tuple[Fault, Moment]]:
        """Steps of minutes where seconds are promised, drift of percents, gateways included."""
        node = self.rng.choice((self._ledger(), "gateway-1"))
        yield faults.Step(node=node, by=self.rng.randint(-300, 300)), self._aim()
        yield faults.Drift(node=self._ledger(), ppm=self.rng.randint(-50_000, 50_000)), At(time=0)

    def _reorganisations(self) -> Iterator[tuple[Fault, Moment]]:
        finality = self.setting.latency.finality
        for what in (What.LOCKED, What.EXECUTED, What.CANCELLED):
            if self.rng.random() < 0.5:
                after = self.rng.randint(0, finality - 1)
                moment = When(what=what, nth=self.rng.choice((1, 2)))
                yield faults.Reorganise(after=after), moment

    def _people(self, kind: str) -> Iterator[tuple[Fault, Moment]]:
        leg = self.rng.choice(self.setting.legs)
        match kind:
            case "cancel":
                yield faults.Cancel(by=MemberId("AUTHORITY"), ordered=True), self._aim()
            case "people" if self.rng.random() < 0.5:
                yield faults.Block(ledger=leg.ledger, account=leg.payer.account), self._aim()
            case "people":
                spend = faults.Spend(ledger=leg.ledger, account=leg.payer.account, asset=leg.asset)
                yield spend, self._aim()
            case "restore":
                restore = faults.Restore(lost=self.rng.randint(0, 4), outage=self._outage())
                yield restore, self._aim()
                yield faults.Resolve(), At(time=self.setting.heals_at + 100)
            case _:
                raise AssertionError(kind)


class _Within(_Hostile):
    """The worst that the expiries of `htlc` allow for: one loss in a row, two outages with the
    time to catch up, clocks as true as promised. Before the first key is shown no outage is too
    long, so a decision may be followed by one of any length."""

    outage_max = 70

    def _of(self, kind: str) -> Iterator[tuple[Fault, Moment]]:
        match kind:
            case "noise":
                yield (
                    faults.Noise(
                        loss=0.25, losses_in_row_max=1, doubling=0.2, straggler=0.1, straggle=20
                    ),
                    At(time=0),
                )
            case "crash":
                for _ in range(2):
                    crash = self.rng.choice((faults.Crash, faults.CrashAll))
                    yield crash(outage=self.rng.randint(1, self.outage_max)), self._at_a_gateway()
            case "decision outage" if self.setting.holder is None:
                outage = faults.CrashAll(outage=self.rng.randint(1, 1_500))
                yield outage, When(what=What.DECIDED)
            case "clocks" | "poor" | "decision outage":
                pass  # the setting has them; a party's secret may be shown at any time
            case _:
                yield from self._people(kind)
