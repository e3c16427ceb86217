"""The lock block of a leg (`supl.001.001.01`), made from its agreement: what every message that
speaks of a lock repeats unchanged, and what has become of it since."""

from htlc import swap
from htlc.agreement import Agreement
from htlc.agreement import PrincipalRisk as Risk
from htlc.hashlock import Encoding, Hashlock
from protocols.iso20022.lock_block import (
    HashAlgorithm,
    HashLock,
    LedgerEvent,
    LegExpiry,
    LockBlock,
    LockProtocol,
    LockStatus,
    PreimageEncoding,
    PrincipalRisk,
    SecretHolder,
)

_PROTOCOLS = {
    swap.LockProtocol.TWO_KEY: LockProtocol.TWO_KEY,
    swap.LockProtocol.ANCHORED: LockProtocol.ANCHORED,
    swap.LockProtocol.HTLC: LockProtocol.HTLC,
}
_RISKS = {Risk.NONE: PrincipalRisk.NONE, Risk.RESIDUAL: PrincipalRisk.RESIDUAL}
_ENCODINGS = {
    Encoding.RAW: PreimageEncoding.RAW,
    Encoding.HEX_TEXT: PreimageEncoding.HEX_TEXT,
}

_FX_ROLES = {"FXSA": ("SIDA", "SIDB"), "FXSB": ("SIDB", "SIDA")}
"""Of who pays a leg of a foreign exchange trade, and who is paid."""


def lock_block(
    agreement: Agreement, leg: int, status: LockStatus, event: LedgerEvent | None = None
) -> LockBlock:
    """What a message says of leg number `leg`."""
    terms = agreement.legs[leg].terms
    return LockBlock(
        swap_id=agreement.settlement,
        leg=terms.leg,
        execution_lock=_hash_lock(terms.execution_lock),
        cancellation_lock=_hash_lock(terms.cancellation_lock) if terms.cancellation_lock else None,
        lock_by=terms.lock_by,
        expiries=tuple(
            LegExpiry(leg=each.terms.leg, expires_at=each.terms.expires_at)
            for each in agreement.legs
            if each.terms.expires_at is not None
        ),
        secret_holder=_holder(agreement, leg),
        protocol=_PROTOCOLS[agreement.protocol],
        principal_risk=_RISKS[agreement.risk],
        status=status,
        event=event,
    )


def _hash_lock(lock: Hashlock) -> HashLock:
    return HashLock(
        algorithm=HashAlgorithm(lock.algorithm.value.upper()),
        encoding=_ENCODINGS[lock.encoding],
        digest=lock.digest.hex(),
    )


def _holder(agreement: Agreement, leg: int) -> SecretHolder | None:
    """The party that made the secret, by its part in this leg."""
    if agreement.holder is None:
        return None
    this = agreement.legs[leg]
    payer, payee = _FX_ROLES.get(this.terms.leg, ("DLVR", "RCVR"))
    roles = {this.payer: payer, this.payee: payee}
    return SecretHolder(bic=agreement.holder, role=roles.get(agreement.holder, "OTHR"))
