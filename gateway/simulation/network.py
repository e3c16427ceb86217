"""The network of the simulated world: it loses, doubles, delays, reorders; links are cut."""

import random
from typing import Protocol

import msgspec

from gateway.simulation.faults import Delay, Double, Lose, Noise
from gateway.simulation.replica import Pace

FOREVER = 1 << 62
"""Later than any run."""


class Aimed(msgspec.Struct):
    """A fault that waits for the next messages that it fits."""

    fault: Lose | Double | Delay
    left: int

    def fits(self, ledger: str, back: bool) -> bool:
        fault = self.fault
        return self.left > 0 and fault.back == back and fault.ledger in (None, ledger)


class Disturbance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What noise did to message number `message`: kept, so that it can be replayed alone."""

    message: int
    lost: bool = False
    copies: int = 1
    late: int = 0


class Surroundings(Protocol):
    """What the network needs of the world."""

    now: int
    pace: Pace


class Network:
    """Decides what becomes of each message: after how long it arrives, and how often (never,
    once, twice). Messages overtake each other, for each has a journey of its own."""

    def __init__(self, world: Surroundings, seed: int) -> None:
        self.world = world
        # Two generators: leaving the noise out leaves the journeys as they were.
        self._journeys = random.Random(seed)
        self._noise = random.Random(~seed)
        self.noise: Noise | None = None
        self.noise_heard: list[Disturbance] = []
        self.replayed: dict[int, Disturbance] | None = None
        self.aimed: list[Aimed] = []
        self.cuts: dict[tuple[str | None, str | None], int] = {}
        self.messages = 0
        self._in_row: dict[tuple[str, str, bool], int] = {}

    def cut(self, gateway: str | None, ledger: str | None, until: int) -> None:
        self.cuts[gateway, ledger] = max(until, self.cuts.get((gateway, ledger), 0))

    def is_cut(self, gateway: str, ledger: str) -> bool:
        now = self.world.now
        return bool(self.cuts) and any(
            now < until and between[0] in (None, gateway) and between[1] in (None, ledger)
            for between, until in self.cuts.items()
        )

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.noise, self.replayed, self.aimed, self.cuts = None, None, [], {}

    def journeys(self, gateway: str, ledger: str, back: bool) -> list[int]:
        """After how long the next message arrives, once for each time that it does."""
        self.messages += 1
        if self.is_cut(gateway, ledger):
            return []
        copies, late = self._aimed_at(ledger, back)
        if copies and (self.noise is not None or self.replayed is not None):
            disturbed = self._disturbed(gateway, ledger, back)
            copies = 0 if disturbed.lost else copies + disturbed.copies - 1
            late += disturbed.late
        pace = self.world.pace
        return [self._journeys.randint(pace.journey_min, pace.journey) + late] * min(copies, 1) + [
            self._journeys.randint(pace.journey_min, pace.journey) for _ in range(copies - 1)
        ]

    def _aimed_at(self, ledger: str, back: bool) -> tuple[int, int]:
        for aimed in self.aimed:
            if aimed.fits(ledger, back):
                aimed.left -= 1
                match aimed.fault:
                    case Lose():
                        return 0, 0
                    case Double():
                        return 2, 0
                    case Delay(by=by):
                        return 1, by
        return 1, 0

    def _disturbed(self, gateway: str, ledger: str, back: bool) -> Disturbance:
        if self.replayed is not None:
            return self.replayed.get(self.messages) or Disturbance(message=self.messages)
        assert self.noise is not None
        noise, draw = self.noise, self._noise.random
        channel = (gateway, ledger, back)
        in_row = self._in_row.get(channel, 0)
        if in_row < noise.losses_in_row_max and draw() < noise.loss:
            self._in_row[channel] = in_row + 1
            return self._heard(Disturbance(message=self.messages, lost=True))
        self._in_row[channel] = 0
        copies = 2 if draw() < noise.doubling else 1
        late = self._noise.randint(1, noise.straggle) if draw() < noise.straggler else 0
        if copies == 1 and not late:
            return Disturbance(message=self.messages)
        return self._heard(Disturbance(message=self.messages, copies=copies, late=late))

    def _heard(self, disturbed: Disturbance) -> Disturbance:
        self.noise_heard.append(disturbed)
        return disturbed
