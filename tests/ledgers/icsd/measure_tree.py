"""What the tree costs on this machine: `python -m tests.ledgers.icsd.measure_tree`.

Builds a tree of 100,000 and one of 1,000,000 holdings and prints, in processor time: to build it,
to change 200 and 1,000 holdings, a proof and its size, the search for two differing holdings."""

import gc
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable

import msgspec

from ledgers.icsd import tree
from ledgers.icsd.roots import holding_leaf
from ledgers.icsd.tree import Tree
from ledgers.parties import Balance

SIZES = (100_000, 1_000_000)
ROUNDS = 20


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def changes(draw: random.Random, size: int, count: int) -> dict[bytes, tree.Leaf | None]:
    return dict(
        holding_leaf(f"KZ-{draw.randrange(size)}", Balance(draw.randrange(1, 10**9), 0))  # type: ignore[arg-type]
        for _ in range(count)
    )


def updates(whole: Tree, draw: random.Random, size: int, count: int) -> float:
    """Milliseconds of one update of `count` holdings, the median of some."""
    batches = [changes(draw, size, count) for _ in range(ROUNDS)]
    return 1_000 * statistics.median(
        timed(lambda b=batch: tree.update(whole, b)) for batch in batches
    )  # type: ignore[misc]


def proofs(whole: Tree, draw: random.Random, size: int) -> tuple[float, float]:
    """Bytes and microseconds of a proof made and verified, the median of 1,000."""
    keys = [tree.key_of(f"KZ-{draw.randrange(size)}") for _ in range(1_000)]
    root, total = tree.root(whole), tree.total(whole)
    sizes = [len(msgspec.msgpack.encode(tree.prove(whole, key))) for key in keys]
    times = [timed(lambda k=key: tree.verify(tree.prove(whole, k), k, root, total)) for key in keys]  # type: ignore[misc]
    return statistics.median(sizes), 1e6 * statistics.median(times)


def measured(size: int) -> str:
    draw = random.Random(7)
    leaves = {}
    for i in range(size):
        key, leaf = holding_leaf(f"KZ-{i}", Balance(draw.randrange(1, 10**9), 0))  # type: ignore[arg-type]
        leaves[key] = leaf
    start = time.process_time()
    whole = tree.update(None, leaves)
    build = time.process_time() - start
    del leaves
    gc.collect()
    other = tree.update(whole, changes(draw, size, 2))
    found = timed(lambda: tree.differences(whole, other))
    small, large = updates(whole, draw, size, 200), updates(whole, draw, size, 1_000)
    bytes_, micros = proofs(whole, draw, size)
    return (
        f"| {size:,} | {build:.1f} s | {small:.1f} ms | {large:.0f} ms | {bytes_:,.0f} B "
        f"| {micros:.0f} us | {1e6 * found:.0f} us |"
    )


def main() -> None:
    print("| holdings | build | 200 changes | 1,000 changes | proof | prove + verify | find 2 |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        print(measured(size), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory {peak // 1024:,} MB, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
