"""What a block costs one registry: `python -m tests.ledgers.icsd.measure_view`.

Transfers between 20,000 accounts of four registries, in bundles of 1 to 500 entries, four bundles a
block: processor time to verify, apply, hash and state the block, per entry and per block."""

import random
import time

from htlc.units import AccountId, Quantity
from ledgers.icsd.entry import ENTRIES_MAX, Entry
from ledgers.port import Transfer
from tests.ledgers.icsd.network import (
    FOUR,
    ISIN,
    KZ,
    Chain,
    asked,
    furnished,
    issued,
    opened,
    owner,
)

ACCOUNTS = 5_000
BLOCKS = 8


def account(registry: str, number: int) -> str:
    return f"{registry}-{number}"


def populated() -> Chain:
    """The accounts, each with a holding of one bond."""
    chain = furnished(Chain())
    for name in FOUR:
        holders = [account(name, n) for n in range(ACCOUNTS)]
        for start in range(0, ACCOUNTS, ENTRIES_MAX):
            part = holders[start : start + ENTRIES_MAX]
            chain.done(name, *(opened(name, holder) for holder in part))
            chain.done(KZ, *(issued("kz-issuer", h, 10**9, f"i-{h}") for h in part))
    return chain


def transfer(draw: random.Random, registry: str, id: str) -> Entry:
    debit = account(registry, draw.randrange(ACCOUNTS))
    credit = account(draw.choice(FOUR), draw.randrange(ACCOUNTS))
    operation = Transfer(
        id=id,
        debit=AccountId(debit),
        credit=AccountId(credit),
        asset=ISIN,
        quantity=Quantity(draw.randrange(1, 1_000)),
    )
    return asked(owner(debit), operation)


def measured(chain: Chain, draw: random.Random, entries: int) -> str:
    spent = 0.0
    for block in range(BLOCKS):
        bundles = [
            chain.pens[name].bundle(  # type: ignore[index]
                *(transfer(draw, name, f"{entries}-{block}-{name}-{n}") for n in range(entries))
            )
            for name in FOUR
        ]
        closing = chain.closing()
        start = time.process_time()
        chain.blocks.append(chain.view.apply(bundles, closing))
        spent += time.process_time() - start
    count = BLOCKS * entries * len(FOUR)
    figures = f"{1e3 * spent / BLOCKS:.1f} ms | {1e6 * spent / count:.0f} us | {count / spent:,.0f}"
    return f"| {entries} | {figures} |"


def main() -> None:
    chain, draw = populated(), random.Random(7)
    print("| entries of a bundle | a block of four | an entry | entries a second |")
    print("|---|---|---|---|")
    for entries in (1, 10, 100, ENTRIES_MAX):
        print(measured(chain, draw, entries), flush=True)


if __name__ == "__main__":
    main()
