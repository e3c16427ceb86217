"""From a proposal as posted to the swap that it means, with every fault at once, and its digest.

The digest says whether two payers posted the same terms. It is SHA-256 over the RFC 8785 bytes of
the proposal in normal form: quantities with all decimals of their asset, instants with no digit
more than they need, members that say nothing left out.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from gateway.http import notation, wire
from gateway.http.notation import Unreadable
from gateway.port import Busy, Gateway, Refused
from htlc.canonical import digest
from htlc.hashlock import HashFunction
from htlc.swap import Fault, Leg, Party, PartySecret, Swap
from htlc.units import (
    AccountId,
    AssetId,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    Quantity,
    SettlementId,
)
from protocols.iso20022.lexical import instant_text

Drawn = tuple[Swap, bytes]
"""A swap and the digest of the terms as posted."""

_NO_TIME: Final = Instant(0)
_NO_QUANTITY: Final = Quantity(0)
"""Stand in a swap that is refused anyway."""


def read(proposal: wire.Proposal, gateway: Gateway) -> Drawn | Refused | Busy:
    """The swap of a proposal, or what is wrong with how it is written. Whether it is sound and can
    be met is the gateway's to say."""
    faults: list[Fault] = []
    legs = [_leg(n, leg, gateway, faults) for n, leg in enumerate(proposal.legs)]
    commit_by = _instant("commit_by", proposal.commit_by, faults)
    secret = _secret(proposal.secret, faults)
    if not notation.is_uuid(proposal.id):
        faults.append(Fault(field="id", rule=notation.UUID.rule))
    if _unheard(proposal, faults, gateway):
        return Busy()
    if faults:
        return Refused(faults=tuple(faults))
    swap = Swap(
        id=SettlementId(proposal.id),
        legs=tuple(leg for leg, _ in legs),
        protocol=proposal.protocol,
        commit_by=commit_by,
        secret=secret,
    )
    return swap, digest(_normal(proposal, tuple(normal for _, normal in legs), commit_by))


def _normal(
    proposal: wire.Proposal, legs: tuple[wire.LegProposal, ...], commit_by: Instant | None
) -> wire.Proposal:
    return wire.Proposal(
        id=proposal.id,
        legs=legs,
        protocol=proposal.protocol,
        commit_by=None if commit_by is None else instant_text(commit_by),
        secret=proposal.secret,
    )


def _leg(
    n: int, leg: wire.LegProposal, gateway: Gateway, faults: list[Fault]
) -> tuple[Leg, wire.LegProposal]:
    quantity, text = _quantity(n, leg, gateway, faults)
    expires_at = leg.expires_at
    at = None if expires_at is None else _instant(f"legs[{n}].expires_at", expires_at, faults)
    normal_expiry = None if at is None else instant_text(at)
    if text != leg.quantity or normal_expiry != expires_at:
        normal = msgspec.structs.replace(leg, quantity=text, expires_at=normal_expiry)
    else:
        normal = leg
    return (
        Leg(
            leg=LegId(leg.leg),
            ledger=LedgerId(leg.ledger),
            asset=AssetId(leg.asset),
            quantity=quantity,
            payer=_party(n, "payer", leg.payer, faults),
            payee=_party(n, "payee", leg.payee, faults),
            expires_at=at,
        ),
        normal,
    )


def _party(n: int, side: str, party: wire.Party, faults: list[Fault]) -> Party:
    if not notation.is_bic(party.member):
        faults.append(Fault(field=f"legs[{n}].{side}.member", rule=notation.BIC.rule))
    if not notation.is_account(party.account):
        faults.append(Fault(field=f"legs[{n}].{side}.account", rule=notation.ACCOUNT.rule))
    return Party(member=MemberId(party.member), account=AccountId(party.account))


def _quantity(
    n: int, leg: wire.LegProposal, gateway: Gateway, faults: list[Fault]
) -> tuple[Quantity, str]:
    """In the asset's smallest unit, and its normal spelling."""
    scale = gateway.scale(leg.ledger, leg.asset)
    if scale is None:
        faults.append(_unknown(n, leg, gateway))
        return _NO_QUANTITY, leg.quantity
    try:
        value = notation.units(leg.quantity, scale)
    except Unreadable as error:
        faults.append(Fault(field=f"legs[{n}].quantity", rule=str(error)))
        return _NO_QUANTITY, leg.quantity
    return Quantity(value), notation.decimal(value, scale)


def _unknown(n: int, leg: wire.LegProposal, gateway: Gateway) -> Fault:
    names = [ledger.name for ledger in gateway.ledgers()]
    if leg.ledger not in names:
        return Fault(field=f"legs[{n}].ledger", rule=f"is one of {', '.join(names)}")
    return Fault(
        field=f"legs[{n}].asset", rule=f"is an asset that ledger {leg.ledger} keeps (/v1/ledgers)"
    )


def _unheard(proposal: wire.Proposal, faults: list[Fault], gateway: Gateway) -> bool:
    """Whether an asset is unknown only because its ledger has not been heard since the start."""
    if not any(fault.field.endswith(".asset") for fault in faults):
        return False
    silent = {ledger.name for ledger in gateway.ledgers() if ledger.description is None}
    return any(leg.ledger in silent for leg in proposal.legs)


def _instant(field: str, text: str | None, faults: list[Fault]) -> Instant | None:
    if text is None:
        return None
    try:
        return Instant(notation.nanoseconds(text))
    except Unreadable as error:
        faults.append(Fault(field=field, rule=str(error)))
        return _NO_TIME


def _secret(secret: wire.SecretProposal | None, faults: list[Fault]) -> PartySecret | None:
    if secret is None:
        return None
    faults.extend(_secret_faults(secret))
    return PartySecret(
        holder=MemberId(secret.holder),
        function=HashFunction(algorithm=secret.algorithm, encoding=secret.encoding),
        digest=bytes.fromhex(secret.hash) if notation.is_digest(secret.hash) else b"",
    )


def _secret_faults(secret: wire.SecretProposal) -> Iterator[Fault]:
    if not notation.is_bic(secret.holder):
        yield Fault(field="secret.holder", rule=notation.BIC.rule)
    if not notation.is_digest(secret.hash):
        yield Fault(field="secret.hash", rule=notation.DIGEST.rule)
