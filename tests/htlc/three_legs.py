"""The exhaustive search over a cross-currency DvP: three legs. Minutes, so a command of its own:

python -m tests.htlc.three_legs [two_key] [anchored] [htlc]
"""

import sys
import time
from collections import Counter

from htlc import invariants
from htlc.explorer import Explorer
from htlc.settlement import Phase
from tests.htlc import samples
from tests.htlc.samples import key_of

SAMPLES = {"two_key": samples.two_key, "anchored": samples.anchored, "htlc": samples.htlc}


def search(name: str) -> bool:
    """Explore one protocol, print what was seen; whether it is as promised."""
    state = SAMPLES[name](samples.cross_swap(), samples.SHORT)
    explorer = Explorer(state.swap, state.agreed, lambda n, role: key_of(state, n, role))
    begun, worlds, bad, ends = time.monotonic(), 0, 0, Counter[Phase]()
    for world in explorer.explore():
        worlds += 1
        ends[explorer.state(world).phase] += 1
        bad += bool(invariants.one_end(explorer.agreement, explorer.held(world)))
    print(f"{name}: {worlds:,} situations in {time.monotonic() - begun:.0f} s, {bad:,} one-legged")
    assert ends[Phase.SETTLED] and ends[Phase.CANCELLED], "the search reaches both ends"
    return bool(bad) == (name == "htlc")


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(SAMPLES)
    sys.exit(not all([search(name) for name in wanted]))
