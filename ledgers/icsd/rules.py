"""What a registry may ask of the network's book, on top of the book's own rules.

Every account has a home registry and every instrument an issuer registry, the home of its
counter-account. Entries come from other institutions and are checked here as the HTTP service
checks its requests: names as they are spelled, numbers that fit, nothing that a node cannot store.
"""

from collections.abc import Mapping
from typing import Final

from htlc.contract import Refusal
from htlc.units import INSTANT_MAX, QUANTITY_MAX, AccountId, AssetId
from ledgers.administration import Act, DefineInstrument, GrantMandate, OpenAccount, RevokeMandate
from ledgers.icsd.entry import Entry, Membership
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.instruments import SCALE_MAX, Instrument
from ledgers.names import is_name
from ledgers.parties import Mandate
from ledgers.port import Issue, Lock, Operation, Redeem, Transfer

MEMBERS_MAX: Final = 100
"""Members of an epoch: a certificate of so many is 7 kB, and every block carries one."""

TEXT_MAX: Final = 350
"""Characters of an instrument's name: `Max350Text` of ISO 20022."""

QUANTITY_TYPES: Final = frozenset({"FaceAmt", "Unit", "Ccy"})

Homes = Mapping[AccountId, RegistryId]


def issuer_registry(
    asset: AssetId, instruments: Mapping[AssetId, Instrument], homes: Homes
) -> RegistryId | None:
    """The registry that keeps the issue."""
    instrument = instruments.get(asset)
    return None if instrument is None else homes.get(instrument.counter)


def refused_operation(
    operation: Operation,
    registry: RegistryId,
    instruments: Mapping[AssetId, Instrument],
    homes: Homes,
) -> Refusal | None:
    """Why the registry may not submit the operation. Who does not exist belongs to nobody: the
    book refuses it as unknown. Execute, cancel and refund come from anywhere: the key, or the
    clock, is the right."""
    match operation:
        case Transfer(debit=debit):
            owner = homes.get(debit)
        case Lock(terms=terms):
            owner = homes.get(terms.payer)
        case Issue(asset=asset) | Redeem(asset=asset):
            owner = issuer_registry(asset, instruments, homes)
        case _:
            return None
    return None if owner in (None, registry) else Refusal.NOT_AUTHORISED


def refused_act(act: Act, registry: RegistryId, homes: Homes) -> Refusal | None:
    """Why the registry may not do the act: it is somebody else's account, or ill-formed."""
    match act:
        case GrantMandate(mandate=mandate):
            account = mandate.account
        case DefineInstrument(instrument=instrument):
            account = instrument.counter
        case _:
            account = act.account
    if homes.get(account) not in (None, registry):
        return Refusal.NOT_AUTHORISED
    return None if _is_well_formed(act) else Refusal.TERMS_REFUSED


def _is_well_formed(act: Act) -> bool:
    match act:
        case OpenAccount(account=account, owner=owner):
            return is_name(account) and is_name(owner)
        case GrantMandate(mandate=mandate):
            return _is_mandate(mandate)
        case RevokeMandate(operator=operator):
            return is_name(operator)
        case DefineInstrument(instrument=instrument):
            return _is_instrument(instrument)
        case _:
            return True


def _is_mandate(mandate: Mandate) -> bool:
    return (
        is_name(mandate.operator)
        and 1 <= mandate.limit <= QUANTITY_MAX
        and 0 <= mandate.until <= INSTANT_MAX
    )


def _is_instrument(instrument: Instrument) -> bool:
    return (
        is_name(instrument.asset)
        and is_name(instrument.issuer)
        and 0 <= instrument.scale <= SCALE_MAX
        and instrument.quantity_type in QUANTITY_TYPES
        and len(instrument.name) <= TEXT_MAX
        and instrument.name.isprintable()
    )


def refused_entry(entry: Entry) -> Refusal | None:
    """Why an entry is none: it asks for nothing, for several things, or for nobody."""
    if entry.operation is not None:
        asks_one = entry.act is None and entry.membership is None
    else:
        asks_one = (entry.act is None) != (entry.membership is None)
    return None if asks_one and is_name(entry.by.name) else Refusal.TERMS_REFUSED


def refused_membership(change: Membership, epoch: Epoch, following: Epoch | None) -> Refusal | None:
    """Why a change of members cannot be, whoever has signed it."""
    if following is not None or change.epoch != epoch.number + 1:
        return Refusal.CONFLICT
    return None if are_members(change.members) else Refusal.TERMS_REFUSED


def are_members(members: tuple[Member, ...]) -> bool:
    """Whether these can be the members of an epoch: in order, each once, names that are a token of
    a subject and keys of 32 bytes."""
    names = [member.registry for member in members]
    return (
        1 <= len(names) <= MEMBERS_MAX
        and names == sorted(set(names))
        and all(is_registry(name) for name in names)
        and all(len(member.public_key) == 32 for member in members)
    )


def is_registry(name: str) -> bool:
    """A name without what separates or stands for tokens of a subject, and not that of the cuts."""
    return is_name(name) and not set(name) & set(".*>+") and name != "cut"
