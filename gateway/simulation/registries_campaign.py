"""Random lives of registry networks: `python -m gateway.simulation.registries_campaign [SEEDS]`.

Each seed draws a network of four to ten registries with up to f liars, each with some lies, and
crashes, losses, repetitions and some seconds of being cut off for the others. Where nobody lies the
log itself does: it forks, and people replace it (`registries_recovery`). Prints each seed that
broke a rule with what it broke, and a line of totals; exit code 1 if there was any.
"""

import random
import sys
from collections import Counter
from typing import Final

from gateway.simulation.registries import NAMES, Registries, Settings, begun, whole_run
from gateway.simulation.registries_judge import longest, violations
from gateway.simulation.registries_liar import Lie
from gateway.simulation.registries_recovery import recover
from ledgers.icsd.epoch import faults

RECOVERED_AFTER: Final = 30.0
"""Seconds from the fork of a log to its replacement by people: in truth rather hours."""


def drawn(seed: int, largest: int = 10) -> Settings:
    """The settings of a seed. The liars are as many as the network withstands, or fewer."""
    draw = random.Random(f"settings {seed}")
    registries = draw.randint(4, largest)
    names = sorted(NAMES[:registries])
    liars = draw.sample(names, draw.randint(0, faults(registries)))
    lies = {
        name: frozenset(draw.sample(sorted(Lie), draw.randint(1, 3)))  # more would hide each other
        for name in liars
    }
    away = draw.choice([name for name in names if name not in lies])
    begin = draw.uniform(1, 8)
    return Settings(
        registries=registries,
        seconds=12.0,
        requests=draw.choice((10, 40, 80)),
        votes_lost=draw.choice((0.0, 0.1, 0.4)),
        messages_lost=draw.choice((0.0, 0.1, 0.3)),
        messages_repeated=draw.choice((0.0, 0.1, 0.3)),
        crashes=draw.choice((0, 3, 12)),
        cut_off={away: (begin, begin + draw.uniform(0.5, 4))} if draw.random() < 0.5 else {},
        lies=lies,
        forks_at=draw.uniform(3, 10) if not lies else None,
    )


def played(seed: int, settings: Settings) -> Registries:
    """The whole life; of a log that forks, with its replacement half a minute later."""
    if settings.forks_at is None:
        return whole_run(seed, settings)
    world = begun(seed, settings)
    world.play(until=settings.forks_at + RECOVERED_AFTER)
    recover(world)
    world.play()
    return world


def convictions(world: Registries) -> Counter[str]:
    """Which offences of how many registries the honest hold evidence of."""
    found = {(e.offence, e.registry) for node in world.honest for e in node.replica.evidence}
    return Counter(str(offence) for offence, _ in found)


def main(seeds: int) -> int:
    broken, totals, offences = 0, Counter[str](), Counter[str]()
    for seed in range(seeds):
        world = played(seed, drawn(seed))
        found = violations(world)
        broken += bool(found)
        for line in found[:5]:
            sys.stdout.write(f"seed {seed}: {line}\n")
        totals["liars"] += len(world.settings.lies)
        totals["blocks"] += longest(world).replica.final
        totals["requests"] += len(world.answers)
        totals["forks"] += world.epoch.number - 1
        totals["crashes"] += world.settings.crashes
        offences += convictions(world)
    figures = {**totals, **offences}
    said = ", ".join(f"{count:,} {what}" for what, count in figures.items())
    sys.stdout.write(f"{seeds} networks, {broken} broke a rule: {said}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
