"""Secrets that a party holds, agreed by message: what lock blocks say of a swap.

The holder names itself and its hash in its own instruction. The other side consents to hash and
expiries by repeating the block, in its instruction or in its payment order, by `accept`, or by its
power of attorney. Without a holder in any block the vault keeps all keys.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.cash import Ordered
from gateway.pairs import MatchedPair
from htlc.hashlock import Algorithm, Encoding, HashFunction
from htlc.swap import LockProtocol, PartySecret, Swap
from htlc.units import Instant, MemberId
from protocols.iso20022 import fx_rules, lock_block
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.fx import FxTrade, base_currency
from protocols.iso20022.instruction import SettlementInstruction
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

_SECURITIES_ROOT: Final = "/Document/SctiesSttlmTxInstr"


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


class _Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a block is held against."""

    gives: Mapping[str, str]  # who may hold the secret: the leg that each of them gives
    legs: tuple[str, str]
    rule: str  # who may hold it, in words
    root: str  # the element that the block extends


def fault(instruction: SettlementInstruction | FxTrade) -> BusinessRefusal | None:
    """Why a party cannot hold the secret as the lock block of an instruction says, by itself."""
    block = instruction.lock
    if block is None or block.secret_holder is None:
        return None
    terms = _of_trade(instruction) if isinstance(instruction, FxTrade) else _of_dvp(instruction)
    for field, rule in _broken(block, bic11(block.secret_holder.bic), terms):
        place = f"{terms.root}/SplmtryData/Envlp/{field}"
        return BusinessRefusal(code=RejectionReason.VALR, field=place, rule=rule)
    return None


def _of_dvp(instruction: SettlementInstruction) -> _Terms:
    legs = ("SECU", "CASH")
    sides = (instruction.delivering, instruction.receiving)
    gives = {bic11(side.party1): leg for side, leg in zip(sides, legs, strict=True)}
    rule = f"the holder is one of {', '.join(sorted(gives))}"
    return _Terms(gives=gives, legs=legs, rule=rule, root=_SECURITIES_ROOT)


def _of_trade(trade: FxTrade) -> _Terms:
    base = base_currency(trade)
    seller = bic11(trade.party if trade.sells.currency == base else trade.counterparty)
    return _Terms(
        gives={seller: "FXSA"},
        legs=("FXSA", "FXSB"),
        rule=f"the holder is side A, the seller of the base currency {base}: {seller}",
        root=fx_rules.root(trade),
    )


def _broken(block: LockBlock, holder: str, terms: _Terms) -> Iterator[tuple[str, str]]:
    if block.cancellation_lock is not None:
        rule = "a secret held by a party opens one way only: a plain HTLC has no CxlHshLck"
        yield "CxlHshLck", rule
    if holder not in terms.gives:
        yield "ScrtHldr/AnyBIC", terms.rule
        return
    expires = {expiry.leg: expiry.expires_at for expiry in block.expiries}
    if not expires.keys() <= set(terms.legs):
        yield "TmLck/Leg", f"the legs are {' and '.join(terms.legs)}"
    given = terms.gives[holder]
    other = next(leg for leg in terms.legs if leg != given)
    if given in expires and other in expires and expires[given] <= expires[other]:
        rule = f"{given}, which the holder of the secret gives, expires later than {other}"
        yield "TmLck/ExpryDtTm", rule
