"""The network of the simulated world: it loses, doubles, delays, reorders; links are cut."""

import random
from typing import Protocol

import msgspec

from gateway.simulation.faults import Delay, Disturbance, Double, Lose, Noise
from gateway.simulation.replica import Pace

FOREVER = 1 << 61
"""Later than any run; with an epoch added, still a signed 64-bit word."""


class Aimed(msgspec.Struct):
    """A fault that waits for the next messages that it fits."""

    fault: Lose | Double | Delay
    left: int

    def fits(self, ledger: str, back: bool) -> bool:
        fault = self.fault
        return self.left > 0 and fault.back == back and fault.ledger in (None, ledger)


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
        return any(
            now < until and between[0] in (None, gateway) and between[1] in (None, ledger)
            for between, until in self.cuts.items()
        )

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.noise, self.replayed, self.aimed, self.cuts = None, None, [], {}

    def journeys(self, gateway: str, ledger: str, back: bool) -> list[int]:
        """After how long the next message arrives, once for each time that it does."""
        self.messages += 1
        if self.cuts and self.is_cut(gateway, ledger):
            return []
        copies, late = self._aimed_at(ledger, back) if self.aimed else (1, 0)
        if copies and (self.noise is not None or self.replayed is not None):
            disturbed = self._disturbed(gateway, ledger, back)
            if disturbed is None:
                return [self._journey() + late] * copies
            copies = 0 if disturbed.lost else copies + disturbed.copies - 1
            late += disturbed.late
        if copies == 1:
            return [self._journey() + late]
        return [self._journey() + (0 if n else late) for n in range(copies)]

    def _journey(self) -> int:
        pace = self.world.pace
        spread = pace.journey - pace.journey_min + 1
        return pace.journey_min + int(self._journeys.random() * spread)

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

    def _disturbed(self, gateway: str, ledger: str, back: bool) -> Disturbance | None:
        """What becomes of this message; None if nothing does."""
        if self.replayed is not None:
            return self.replayed.get(self.messages)
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
            return None
        return self._heard(Disturbance(message=self.messages, copies=copies, late=late))

    def _heard(self, disturbed: Disturbance) -> Disturbance:
        self.noise_heard.append(disturbed)
        return disturbed
