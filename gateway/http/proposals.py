"""From a proposal as posted to the swap that it means, with every fault at once, and its digest.

The digest says whether two payers posted the same terms. It is SHA-256 over the swap that they
mean, as JSON: there a quantity is a number of smallest units, an instant one of nanoseconds, a BIC
has eleven characters, and what was not said is not there. However it was spelt, it is the same.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from gateway.http import notation, wire
from gateway.http.notation import Unreadable
from gateway.port import Busy, Gateway, Refused
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
from protocols.iso20022.lexical import bic11

Drawn = tuple[Swap, bytes]
"""A swap and the digest of its terms."""

_json: Final = msgspec.json.Encoder().encode
"""Members in the order of their types, integers as they are: for our own comparison only."""

_NO_TIME: Final = Instant(0)
_NO_QUANTITY: Final = Quantity(0)
_NOBODY: Final = Party(member=MemberId(""), account=AccountId(""))
"""Stand in a swap that is refused anyway."""


def read(proposal: wire.Proposal, gateway: Gateway) -> Drawn | Refused | Busy:
    """The swap of a proposal, or what is wrong with how it is written; Busy while a ledger that it
    names has not been heard. Whether it is sound and can be met is the gateway's to say."""
    faults: list[Fault] = []
    swap = _swap(proposal, gateway, faults)
    if not faults:
        return swap, hashlib.sha256(_json(swap)).digest()
    return Busy() if _unheard(proposal, faults, gateway) else Refused(faults=tuple(faults))


def _swap(proposal: wire.Proposal, gateway: Gateway, faults: list[Fault]) -> Swap:
    if not notation.is_uuid(proposal.id):
        faults.append(Fault(field="id", rule=notation.UUID.rule))
    at, secret = proposal.commit_by, proposal.secret
    return Swap(
        id=SettlementId(proposal.id),
        legs=tuple([_leg(n, leg, gateway, faults) for n, leg in enumerate(proposal.legs)]),
        protocol=proposal.protocol,
        commit_by=None if at is None else _instant("commit_by", at, faults),
        secret=None if secret is None else _secret(secret, faults),
    )


def _leg(n: int, leg: wire.LegProposal, gateway: Gateway, faults: list[Fault]) -> Leg:
    at = leg.expires_at
    return Leg(
        leg=LegId(leg.leg),
        ledger=LedgerId(leg.ledger),
        asset=AssetId(leg.asset),
        quantity=_quantity(n, leg, gateway, faults),
        payer=_party(leg.payer) or _strange(f"legs[{n}].payer", leg.payer, faults),
        payee=_party(leg.payee) or _strange(f"legs[{n}].payee", leg.payee, faults),
        expires_at=None if at is None else _instant(f"legs[{n}].expires_at", at, faults),
    )


@lru_cache(maxsize=16_384)  # the accounts of a market's members; about 4 MB
def _party(party: wire.PartyProposal) -> Party | None:
    if notation.is_bic(party.member) and notation.is_account(party.account):
        return Party(member=MemberId(bic11(party.member)), account=AccountId(party.account))
    return None


def _strange(field: str, party: wire.PartyProposal, faults: list[Fault]) -> Party:
    if not notation.is_bic(party.member):
        faults.append(Fault(field=f"{field}.member", rule=notation.BIC.rule))
    if not notation.is_account(party.account):
        faults.append(Fault(field=f"{field}.account", rule=notation.ACCOUNT.rule))
    return _NOBODY


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


def _instant(field: str, text: str, faults: list[Fault]) -> Instant:
    try:
        return Instant(notation.nanoseconds(text))
    except Unreadable as error:
        faults.append(Fault(field=field, rule=str(error)))
        return _NO_TIME


def _secret(secret: wire.SecretProposal, faults: list[Fault]) -> PartySecret:
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
