"""From a proposal as posted to the swap that it means, with every fault at once, and its digest.

The digest says whether two payers posted the same terms. It is SHA-256 over the RFC 8785 bytes of
the proposal in normal form: quantities with all decimals of their asset, instants with no digit
more than they need, BICs with eleven characters, members that say nothing left out.
"""

from collections.abc import Callable, Iterator
from typing import Final

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
from protocols.iso20022.lexical import bic11, instant_text

Drawn = tuple[Swap, bytes]
"""A swap and the digest of the terms as posted."""

_NO_TIME: Final = Instant(0)
_NO_QUANTITY: Final = Quantity(0)
"""Stand in a swap that is refused anyway."""


def read(proposal: wire.Proposal, gateway: Gateway) -> Drawn | Refused | Busy:
    """The swap of a proposal, or what is wrong with how it is written; Busy while a ledger that it
    names has not been heard. Whether it is sound and can be met is the gateway's to say."""
    faults: list[Fault] = []
    swap = _swap(proposal, gateway, faults)
    if not faults:
        return swap, digest(_normal(swap, gateway))
    return Busy() if _unheard(proposal, faults, gateway) else Refused(faults=tuple(faults))


def _swap(proposal: wire.Proposal, gateway: Gateway, faults: list[Fault]) -> Swap:
    if not notation.is_uuid(proposal.id):
        faults.append(Fault(field="id", rule=notation.UUID.rule))
    return Swap(
        id=SettlementId(proposal.id),
        legs=tuple([_leg(n, leg, gateway, faults) for n, leg in enumerate(proposal.legs)]),
        protocol=proposal.protocol,
        commit_by=_instant("commit_by", proposal.commit_by, faults),
        secret=_secret(proposal.secret, faults),
    )


def _leg(n: int, leg: wire.LegProposal, gateway: Gateway, faults: list[Fault]) -> Leg:
    return Leg(
        leg=LegId(leg.leg),
        ledger=LedgerId(leg.ledger),
        asset=AssetId(leg.asset),
        quantity=_quantity(n, leg, gateway, faults),
        payer=_party(n, "payer", leg.payer, faults),
        payee=_party(n, "payee", leg.payee, faults),
        expires_at=_instant(f"legs[{n}].expires_at", leg.expires_at, faults),
    )


def _party(n: int, side: str, party: wire.Party, faults: list[Fault]) -> Party:
    if not notation.is_bic(party.member):
        faults.append(Fault(field=f"legs[{n}].{side}.member", rule=notation.BIC.rule))
    if not notation.is_account(party.account):
        faults.append(Fault(field=f"legs[{n}].{side}.account", rule=notation.ACCOUNT.rule))
    return Party(member=MemberId(bic11(party.member)), account=AccountId(party.account))


def _quantity(n: int, leg: wire.LegProposal, gateway: Gateway, faults: list[Fault]) -> Quantity:
    """In the asset's smallest unit."""
    scale = gateway.scale(leg.ledger, leg.asset)
    if scale is None:
        faults.append(_unknown(n, leg, gateway))
        return _NO_QUANTITY
    try:
        return Quantity(notation.units(leg.quantity, scale))
    except Unreadable as error:
        faults.append(Fault(field=f"legs[{n}].quantity", rule=str(error)))
        return _NO_QUANTITY


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
        holder=MemberId(bic11(secret.holder)),
        function=HashFunction(algorithm=secret.algorithm, encoding=secret.encoding),
        digest=bytes.fromhex(secret.hash) if notation.is_digest(secret.hash) else b"",
    )


def _secret_faults(secret: wire.SecretProposal) -> Iterator[Fault]:
    if not notation.is_bic(secret.holder):
        yield Fault(field="secret.holder", rule=notation.BIC.rule)
    if not notation.is_digest(secret.hash):
        yield Fault(field="secret.hash", rule=notation.DIGEST.rule)


def _normal(swap: Swap, gateway: Gateway) -> wire.Proposal:
    """The terms of a swap as everybody would write them."""
    return wire.Proposal(
        id=swap.id,
        legs=tuple([_normal_leg(leg, gateway.scale) for leg in swap.legs]),
        protocol=swap.protocol,
        commit_by=_time(swap.commit_by),
        secret=_normal_secret(swap.secret),
    )


def _normal_leg(leg: Leg, scale: Callable[[str, str], int | None]) -> wire.LegProposal:
    decimals = scale(leg.ledger, leg.asset)
    assert decimals is not None, "its quantity was read with it a moment ago"
    return wire.LegProposal(
        leg=leg.leg,
        ledger=leg.ledger,
        asset=leg.asset,
        quantity=notation.decimal(leg.quantity, decimals),
        payer=wire.Party(member=leg.payer.member, account=leg.payer.account),
        payee=wire.Party(member=leg.payee.member, account=leg.payee.account),
        expires_at=_time(leg.expires_at),
    )


def _normal_secret(secret: PartySecret | None) -> wire.SecretProposal | None:
    if secret is None:
        return None
    return wire.SecretProposal(
        holder=secret.holder,
        algorithm=secret.function.algorithm,
        encoding=secret.function.encoding,
        hash=secret.digest.hex(),
    )


def _time(at: Instant | None) -> str | None:
    return None if at is None else instant_text(at)
