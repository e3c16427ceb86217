"""What a registry's members ask for by message, as operations of the network. Pure: an order is
judged once, before it is received, and its operation is kept beside it.

semt.013 is a movement within an account, or between two accounts of one owner; sese.023 `FREE`
`DELI` is a delivery to an account at any registry. A preimage never stands in a message: a claim
with a key is made at `POST /v1/operations`.
"""

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from gateway.icsd_node.postings import Asked
from htlc.hashlock import Algorithm, Encoding, Hashlock
from htlc.units import SECOND, AccountId, AssetId, HtlcId, Instant, LegId, Quantity, SettlementId
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.view import View
from ledgers.names import is_name
from ledgers.parties import Principal
from ledgers.port import Lock, Refund, Terms, Transfer
from protocols.iso20022 import rules
from protocols.iso20022.codes import RejectionReason as Reason
from protocols.iso20022.instruction import (
    Movement,
    Payment,
    QuantityType,
    SettlementInstruction,
    Unreadable,
)
from protocols.iso20022.lexical import bic11, units
from protocols.iso20022.lock_block import HashLock, LockBlock, PreimageEncoding
from protocols.iso20022.positions import Posting
from protocols.iso20022.rules import UNITS_MAX, BusinessRefusal
from protocols.iso20022.semt013_read import ROOT as MOVEMENT
from protocols.iso20022.semt013_read import PositionOrder

DELIVERY: Final = "/Document/SctiesSttlmTxInstr"

_NAMESPACE: Final = uuid.UUID("6f2b6c6f-636b-5374-8570-69636d736773")
"""Of `operation_id`: any constant does (RFC 9562 section 5.5); with another one, a message that
is repeated to a registry that has lost its database would be done twice."""

_ENCODINGS: Final = {
    PreimageEncoding.RAW: Encoding.RAW,
    PreimageEncoding.HEX_TEXT: Encoding.HEX_TEXT,
}

Order = PositionOrder | SettlementInstruction


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is judged by: the book as this registry has it, and who its members are."""

    view: View
    me: RegistryId
    at: Instant  # ledger time of the last final block
    depositories: Mapping[RegistryId, str]  # BIC of each registry, eleven characters


def operation_id(member: str, message: str) -> str:
    """The id of what a message asks for, a UUID made of the member's pseudonym and the BizMsgIdr:
    the network knows it, so a message is done once even where our database was lost."""
    return str(uuid.uuid5(_NAMESPACE, f"{member}\n{message}"))


def judged(order: Order, by: Principal, id: str, network: Network) -> Asked | BusinessRefusal:
    """The operation that an order stands for, or the first rule that it breaks."""
    if isinstance(order, PositionOrder):
        refusal = next(_movement_faults(order, by, network), None)
        return refusal or _movement(order, id, network)
    refusal = next(_delivery_faults(order, by, network), None)
    return refusal or _delivery(order, id, network)


# --- semt.013 -------------------------------------------------------------------------------------


def _movement_faults(
    order: PositionOrder, by: Principal, network: Network
) -> Iterator[BusinessRefusal]:
    yield from _unreadable(order.unreadable)
    position = order.position
    if not owns(by, position.account, network):
        yield _no(Reason.SAFE, "SfkpgAcct/Id", "no account of the sender at this registry")
    yield from _dated(MOVEMENT, order.settlement_date, "IntraPosDtls/SttlmDt/Dt", network)
    yield from _quantity(order, network)
    match order.posting:
        case Posting.LOCK:
            yield from _lock_faults(order)
        case Posting.RELEASE:
            yield from _release_faults(order, network)
        case _:
            if order.to_account is None or not owns(by, order.to_account, network):
                rule = 'say "to account X", an account of the same owner at this registry'
                yield _no(Reason.SAFE, "IntraPosDtls/InstrPrcgAddtlDtls", rule)


def _no(code: Reason, field: str, rule: str) -> BusinessRefusal:
    return BusinessRefusal(code=code, field=f"{MOVEMENT}/{field}", rule=rule)


def _unreadable(faults: tuple[Unreadable, ...]) -> Iterator[BusinessRefusal]:
    for fault in faults:
        yield BusinessRefusal(code=fault.code, field=fault.field, rule=fault.rule)


def owns(by: Principal, account: str, network: Network) -> bool:
    """Whether an account is the sender's, and at home here."""
    known = network.view.book.accounts.get(AccountId(account))
    home = network.view.tables.homes.get(AccountId(account))
    return known is not None and known.owner == by.name and home == network.me


def _dated(root: str, day: date, field: str, network: Network) -> Iterator[BusinessRefusal]:
    if day > business_date(network.at):
        rule = f"a registry does it at once: send it on {day}, not before"
        yield BusinessRefusal(code=Reason.DDAT, field=f"{root}/{field}", rule=rule)


def business_date(at: Instant) -> date:
    """The day of ledger time, UTC."""
    return datetime.fromtimestamp(at // SECOND, UTC).date()


def _quantity(order: PositionOrder, network: Network) -> Iterator[BusinessRefusal]:
    position = order.position
    instrument = network.view.book.instruments.get(AssetId(position.isin))
    if instrument is None:
        rule = f"{position.isin} is not on this network"
        yield _no(Reason.DSEC, "FinInstrmId/ISIN", rule)
        return
    field = "IntraPosDtls/SttlmQty"
    if position.quantity_type != instrument.quantity_type:
        rule = f"{position.isin} is settled in {instrument.quantity_type}"
        yield _no(Reason.DQUA, field, rule)
    try:
        count = units(position.quantity, instrument.scale)
    except ValueError as error:
        yield _no(Reason.DQUA, field, str(error))
        return
    if not 0 < count <= UNITS_MAX:
        yield _no(Reason.DQUA, field, "a quantity is more than zero and fits 63 bits")


def _lock_faults(order: PositionOrder) -> Iterator[BusinessRefusal]:
    field = "SplmtryData/Envlp/Document/HshdTmLckSD1"
    if order.lock is None:
        yield _no(Reason.VALR, field, "a lock (AVAI to BLOK) needs a lock block with its terms")
    elif order.lock.lock_by is None:
        yield _no(Reason.VALR, f"{field}/LckBy", "say by when it must be locked")
    if order.to_account is None or not is_name(order.to_account):
        rule = 'say "to account X": the payee, whom the key opens it to'
        yield _no(Reason.SAFE, "IntraPosDtls/InstrPrcgAddtlDtls", rule)


def _release_faults(order: PositionOrder, network: Network) -> Iterator[BusinessRefusal]:
    """What it says of the lock must be so: a release of something else was not meant."""
    field = "Lnkgs/Ref/AcctSvcrTxId"
    known = network.view.book.contracts.get(_contract(order.lock_reference or ""))
    if known is None:
        yield _no(Reason.REFE, field, "name the lock by the AcctSvcrTxId that confirmed it")
        return
    terms, position = known.terms, order.position
    if (terms.payer, terms.asset) != (position.account, position.isin):
        yield _no(Reason.REFE, field, "the lock is of another account or security")
    elif terms.quantity != _units(position.isin, position.quantity, network):
        yield _no(Reason.DQUA, "IntraPosDtls/SttlmQty", "a lock is released whole")


def _contract(reference: str) -> HtlcId:
    """A contract by its reference in messages: its UUID without hyphens (Max35Text)."""
    try:
        return HtlcId(str(uuid.UUID(reference)))
    except ValueError:
        return HtlcId("")


def _movement(order: PositionOrder, id: str, network: Network) -> Asked:
    position = order.position
    account, asset = AccountId(position.account), AssetId(position.isin)
    quantity = _units(position.isin, position.quantity, network)
    if order.posting is Posting.RELEASE:
        return Refund(id=_contract(order.lock_reference or ""))
    to = AccountId(order.to_account or "")
    if order.posting is Posting.TRANSFER:
        return Transfer(id=id, debit=account, credit=to, asset=asset, quantity=quantity)
    assert order.lock is not None and order.lock.lock_by is not None, "judged before"
    block = order.lock
    return Lock(
        terms=Terms(
            id=HtlcId(id),
            settlement=SettlementId(block.swap_id),
            leg=LegId(block.leg),
            payer=account,
            payee=to,
            asset=asset,
            quantity=quantity,
            execution_lock=_hashlock(block.execution_lock),
            cancellation_lock=_hashlock(block.cancellation_lock)
            if block.cancellation_lock
            else None,
            lock_by=Instant(order.lock.lock_by),
            expires_at=_expiry(block),
        )
    )


def _units(isin: str, quantity: str, network: Network) -> Quantity:
    return Quantity(units(quantity, network.view.book.instruments[AssetId(isin)].scale))


def _hashlock(lock: HashLock) -> Hashlock:
    return Hashlock(
        algorithm=Algorithm(lock.algorithm.value.lower()),
        encoding=_ENCODINGS[lock.encoding],
        digest=bytes.fromhex(lock.digest),
    )


def _expiry(block: LockBlock) -> Instant | None:
    """Of the leg itself; other legs stand on other ledgers."""
    own = (each.expires_at for each in block.expiries if each.leg == block.leg)
    return next(map(Instant, own), None)


# --- sese.023 -------------------------------------------------------------------------------------


def _delivery_faults(
    order: SettlementInstruction, by: Principal, network: Network
) -> Iterator[BusinessRefusal]:
    yield from _unreadable(order.unreadable)
    if (order.movement, order.payment) != (Movement.DELI, Payment.FREE):
        field = "SttlmTpAndAddtlParams/Pmt"
        yield _refused(Reason.VALR, field, "a registry delivers free of payment: DELI, FREE")
    if order.lock is not None or order.hold:
        rule = "a delivery free of payment is done at once, without lock or hold"
        yield _refused(Reason.VALR, "SplmtryData", rule)
    broken = rules.check(order, _reference(order, by, network), order.settlement_date)
    if broken is not None:
        yield broken
    yield from _dated(DELIVERY, order.settlement_date, "TradDtls/SttlmDt/Dt/Dt", network)
    yield from _places(order, network)


def _refused(code: Reason, field: str, rule: str) -> BusinessRefusal:
    return BusinessRefusal(code=code, field=f"{DELIVERY}/{field}", rule=rule)


def _reference(order: SettlementInstruction, by: Principal, network: Network) -> rules.Reference:
    """What `rules.check` asks for, of this instruction. Members of other registries are known to
    those only: any party is taken there, and its account judged by its home."""
    ledger = network.view.network
    named = order.own_account
    mine = frozenset([named] if named and owns(by, named, network) else [])
    parties: dict[str, Mapping[str, frozenset[str]]] = {bic11(order.other.party1): {}}
    parties[bic11(order.sender)] = {ledger: mine}
    return rules.Reference(
        instruments=_instruments(order.isin, network),
        currencies={},
        depositories=frozenset(network.depositories.values()),
        accounts=parties,
    )


def _instruments(isin: str, network: Network) -> dict[str, rules.Instrument]:
    known = network.view.book.instruments.get(AssetId(isin))
    if known is None:
        return {}
    kind = QuantityType(known.quantity_type)
    return {
        isin: rules.Instrument(ledger=network.view.network, quantity_type=kind, scale=known.scale)
    }


def _places(order: SettlementInstruction, network: Network) -> Iterator[BusinessRefusal]:
    """Each side's depository is the registry that keeps its account."""
    if bic11(order.delivering.depository) != network.depositories[network.me]:
        yield _refused(Reason.DEPT, "DlvrgSttlmPties/Dpstry", "the account is kept by us")
    home = network.view.tables.homes.get(AccountId(order.receiving.account or ""))
    if home is None:
        rule = "name an account that one of the registries keeps"
        yield _refused(Reason.SAFE, "RcvgSttlmPties/Pty1/SfkpgAcct/Id", rule)
    elif network.depositories.get(home) != bic11(order.receiving.depository):
        rule = "the account is kept by another registry"
        yield _refused(Reason.DEPT, "RcvgSttlmPties/Dpstry", rule)


def _delivery(order: SettlementInstruction, id: str, network: Network) -> Transfer:
    return Transfer(
        id=id,
        debit=AccountId(order.own_account or ""),
        credit=AccountId(order.receiving.account or ""),
        asset=AssetId(order.isin),
        quantity=_units(order.isin, order.quantity, network),
    )
