"""An auditor's look at a ledger after a run: blocks over everything it did, made by the real
`ledgers.block`, then verified as somebody would who has only the dump and RFC 6962.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.simulation.ledger import Ledger
from htlc.invariants import Violation
from htlc.units import AccountId, AssetId
from ledgers import merkle
from ledgers.block import GENESIS, Block, Seal, is_signed, leaf, prove, read_leaf
from ledgers.book import Side

_KEY: Final = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"simulation").digest())
"""A published test key: nothing in a simulation is worth signing in earnest."""


def audit(ledger: Ledger) -> tuple[Violation, ...]:
    """2 and 4 from the dump alone: blocks chain, proofs hold, balances follow from the leaves."""
    blocks = _chain(ledger)
    return (*_unproved(ledger, blocks), *_unbalanced(ledger, blocks))


def _chain(ledger: Ledger) -> list[Block]:
    """One block per batch: entries of one ledger time."""
    seal, blocks = Seal(ledger.name, _KEY), list[Block]()
    for _, batch in groupby(ledger.log, key=lambda posted: posted.effect.at):
        previous = blocks[-1].hash if blocks else GENESIS
        leaves = [leaf(posted.effect) for posted in batch]
        blocks.append(seal.block(len(blocks) + 1, previous, leaves))
    return blocks


def _unproved(ledger: Ledger, blocks: Sequence[Block]) -> Iterator[Violation]:
    public_key, previous = _KEY.public_key().public_bytes_raw(), GENESIS
    for block in blocks:
        header = block.header
        sound = is_signed(block, public_key) and header.previous == previous
        if not sound or root(block.leaves) != header.root:
            what = f"{ledger.name}: block {header.height} is not what its header says"
            yield Violation(invariant=2, what=what)
        for position in range(header.count):
            proof = prove(block, position)
            leaf_hash = hashlib.sha256(b"\x00" + proof.leaf).digest()
            if not merkle.verify_inclusion(
                leaf_hash, position, header.count, proof.path, header.root
            ):
                what = f"{ledger.name}: entry {header.height}.{position} has no proof"
                yield Violation(invariant=2, what=what)
        previous = block.hash


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash by its definition (RFC 6962, section 2.1): split at the largest power
    of two below the number of leaves. Written again, so that it can disagree."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = root(leaves[:split]), root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def _unbalanced(ledger: Ledger, blocks: Sequence[Block]) -> Iterator[Violation]:
    """Every balance of the book, from the leaves alone."""
    told: Counter[tuple[AccountId, AssetId, Side]] = Counter()
    for block in blocks:
        for entry in map(read_leaf, block.leaves):
            quantity = int(entry.quantity)
            asset, (debit, credit) = AssetId(entry.asset), (entry.debit, entry.credit)
            told[AccountId(debit.account), asset, debit.balance] -= quantity
            told[AccountId(credit.account), asset, credit.balance] += quantity
    for (account, asset), balance in ledger.book.balances.items():
        if balance is not None:
            told[account, asset, Side.AVAILABLE] -= balance.available
            told[account, asset, Side.LOCKED] -= balance.locked
    for (account, asset, side), difference in sorted(told.items()):
        if difference:
            what = (
                f"{ledger.name}: blocks and book differ by {difference} {asset}, {account} {side}"
            )
            yield Violation(invariant=2, what=what)
