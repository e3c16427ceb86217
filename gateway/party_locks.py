"""Secrets that a party holds, agreed by message: what lock blocks say of a swap.

The holder names itself and its hash in its own instruction. The other side consents to hash and
expiries by repeating the block, in its instruction or in its payment order, by `accept`, or by its
power of attorney. Without a holder in any block the vault keeps all keys.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from gateway.cash import Ordered
from gateway.pairs import MatchedPair
from htlc.hashlock import Algorithm, Encoding, HashFunction
from htlc.swap import LockProtocol, PartySecret, Swap
from htlc.units import Instant, MemberId
from protocols.iso20022 import lock_block
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.lexical import bic11
from protocols.iso20022.lock_block import HashAlgorithm, LockBlock, PreimageEncoding
from protocols.iso20022.rules import BusinessRefusal

_ALGORITHMS: Final = {
    HashAlgorithm.SHA256: Algorithm.SHA256,
    HashAlgorithm.SM3: Algorithm.SM3,
    HashAlgorithm.KECCAK256: Algorithm.KECCAK256,
}
_ENCODINGS: Final = {
    PreimageEncoding.RAW: Encoding.RAW,
    PreimageEncoding.HEX_TEXT: Encoding.HEX_TEXT,
}

_ANCHORED: Final = lock_block.LockProtocol.ANCHORED

PLACE: Final = "/Document/SctiesSttlmTxInstr/SplmtryData/Envlp"


def party_block(pair: MatchedPair) -> LockBlock | None:
    """The block of the pair that names a holder: matching made sure that two say the same."""
    blocks = (side.instruction.lock for side, _ in pair.sides)
    return next((block for block in blocks if block and block.secret_holder), None)


def with_secret(swap: Swap, block: LockBlock) -> Swap:
    """The swap of an attempt with the terms that a block states: hash, expiries, last lock."""
    assert block.secret_holder is not None, "the vault's locks are no terms of a block"
    lock = block.execution_lock
    expiries = {expiry.leg: Instant(expiry.expires_at) for expiry in block.expiries}
    return replace(
        swap,
        legs=tuple(replace(leg, expires_at=expiries.get(leg.leg)) for leg in swap.legs),
        # After it nothing is decided, and so nothing is locked, on any ledger.
        commit_by=None if block.lock_by is None else Instant(block.lock_by),
        protocol=LockProtocol.ANCHORED if block.protocol is _ANCHORED else LockProtocol.HTLC,
        secret=PartySecret(
            holder=MemberId(bic11(block.secret_holder.bic)),
            function=HashFunction(
                algorithm=_ALGORITHMS[lock.algorithm], encoding=_ENCODINGS[lock.encoding]
            ),
            digest=bytes.fromhex(lock.digest),
        ),
    )


def consents(
    pair: MatchedPair, block: LockBlock, orders: Mapping[str, Ordered]
) -> frozenset[MemberId]:
    """The sides that have said these terms themselves."""
    return frozenset(_saying(pair, block, orders))


def _saying(
    pair: MatchedPair, block: LockBlock, orders: Mapping[str, Ordered]
) -> Iterator[MemberId]:
    for side, _ in pair.sides:
        said = [side.instruction.lock]
        if side.id in orders:
            said.append(orders[side.id].order.lock)
        if any(own is not None and _same(own, block) for own in said):
            yield MemberId(side.member)


def _same(one: LockBlock, other: LockBlock) -> bool:
    return lock_block.terms(one) == lock_block.terms(other)


def fault(block: LockBlock | None, parties: frozenset[str]) -> BusinessRefusal | None:
    """Why a party cannot hold the secret as a block says, by the block itself."""
    if block is None or block.secret_holder is None:
        return None
    if block.cancellation_lock is not None:
        rule = "a secret held by a party opens one way only: a plain HTLC has no CxlHshLck"
        return _refusal("CxlHshLck", rule)
    if bic11(block.secret_holder.bic) not in parties:
        return _refusal("ScrtHldr/AnyBIC", f"the holder is one of {', '.join(sorted(parties))}")
    return None


def _refusal(field: str, rule: str) -> BusinessRefusal:
    return BusinessRefusal(code=RejectionReason.VALR, field=f"{PLACE}/{field}", rule=rule)
