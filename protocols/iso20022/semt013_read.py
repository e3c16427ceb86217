"""Intra-position movement instruction (semt.013.001.06), read: what a registry is asked to do.

The other account and the lock stand where `semt013` writes them: `InstrPrcgAddtlDtls` says "to
account X", supplementary data hold the lock block. A release names the lock by the reference that
the registry told when it locked (`Lnkgs/Ref/AcctSvcrTxId`).
"""

import re
from datetime import date
from typing import Final

import msgspec

from protocols.iso20022 import lock_block
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.instruction import NO_DATE, QuantityType, Unreadable
from protocols.iso20022.lexical import bic11, decimal_text
from protocols.iso20022.lock_block import LockBlock
from protocols.iso20022.positions import Position, Posting
from protocols.iso20022.schemas import local_name

ROOT: Final = "/Document/IntraPosMvmntInstr"


_TO_ACCOUNT: Final = re.compile(r"to account (\S{1,140})").fullmatch

#: BalFr and BalTo as `positions.balances` writes them. A move of what is locked needs the key,
#: which never stands in a message.
_POSTINGS: Final = {
    ("AVAI", "BLOK"): Posting.LOCK,
    ("BLOK", "AVAI"): Posting.RELEASE,
    ("AVAI", "MOVE"): Posting.TRANSFER,
}


class PositionOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a semt.013 asks for. Where `unreadable` is not empty it is refused; past that every
    field holds."""

    id: str  # the sender's TxId
    position: Position
    posting: Posting
    settlement_date: date
    to_account: str | None = None
    lock_reference: str | None = None
    lock: LockBlock | None = None
    unreadable: tuple[Unreadable, ...] = ()


class _Reading:
    """One document; faults are gathered on the way."""

    def __init__(self, enveloped: Enveloped) -> None:
        self.root = enveloped.document[0]
        self.sender = enveloped.header.sender
        self.faults: list[Unreadable] = []

    def fault(self, code: RejectionReason, field: str, rule: str) -> None:
        self.faults.append(Unreadable(code=code, field=f"{ROOT}/{field}", rule=rule))

    def text(self, path: str) -> str | None:
        """The text of a leaf; None where there is none."""
        return self.root.findtext("/".join(f"{{*}}{name}" for name in path.split("/")))


def decode(enveloped: Enveloped) -> PositionOrder:
    """The order in a validated message."""
    reading = _Reading(enveloped)
    position, posting = _position(reading), _posting(reading)
    supplements = reading.root.iterchildren("{*}SplmtryData")
    lock, to_account = lock_block.find(supplements, reading.fault), _to_account(reading)
    settlement_date = _date(reading)
    return PositionOrder(
        id=reading.text("TxId") or "",
        position=position,
        posting=posting,
        settlement_date=settlement_date,
        to_account=to_account,
        lock_reference=reading.text("Lnkgs/Ref/AcctSvcrTxId"),
        lock=lock,
        unreadable=tuple(reading.faults),
    )


def _position(reading: _Reading) -> Position:
    account = reading.text("SfkpgAcct/Id") or reading.text("BlckChainAdrOrWllt/Id")
    if account is None:
        reading.fault(RejectionReason.SAFE, "SfkpgAcct/Id", "name the account")
    owner = reading.text("AcctOwnr/AnyBIC") or reading.sender
    if bic11(owner) != bic11(reading.sender):
        reading.fault(RejectionReason.SAFE, "AcctOwnr/AnyBIC", "the account's owner is the sender")
    isin = reading.text("FinInstrmId/ISIN")
    if isin is None:
        rule = "the security is named by its ISIN"
        reading.fault(RejectionReason.DSEC, "FinInstrmId/ISIN", rule)
    kind, quantity = _quantity(reading)
    return Position(
        owner=owner,
        account=account or "",
        isin=isin or "",
        quantity_type=kind,
        quantity=quantity,
    )


def _quantity(reading: _Reading) -> tuple[QuantityType, str]:
    holder = reading.root.find("{*}IntraPosDtls/{*}SttlmQty")
    assert holder is not None, "the schema requires it"
    leaf = holder[0]
    try:
        return QuantityType(local_name(leaf)), decimal_text(leaf.text or "")
    except ValueError as error:
        reading.fault(RejectionReason.DQUA, "IntraPosDtls/SttlmQty", str(error))
        return QuantityType.AMORTISED, "0"


def _posting(reading: _Reading) -> Posting:
    source, target = _balance(reading, "BalFr"), _balance(reading, "BalTo")
    posting = _POSTINGS.get((source, target))
    if posting is not None:
        return posting
    rule = f"from {source} to {target}: done here are AVAI to BLOK, BLOK to AVAI, AVAI to MOVE"
    reading.fault(RejectionReason.VALR, "IntraPosDtls/BalTo", rule)
    return Posting.LOCK


def _balance(reading: _Reading, name: str) -> str:
    place = f"IntraPosDtls/{name}/Tp"
    return reading.text(f"{place}/Cd") or reading.text(f"{place}/Prtry/Id") or ""


def _date(reading: _Reading) -> date:
    text = (reading.text("IntraPosDtls/SttlmDt/Dt") or "").strip()
    if len(text) == 10:  # YYYY-MM-DD; a zone, a sign or a fifth digit of the year is longer
        try:
            return date.fromisoformat(text)
        except ValueError:  # the year 0000, which XML Schema 1.1 knows
            pass
    rule = "a calendar date is needed, YYYY-MM-DD without a zone"
    reading.fault(RejectionReason.DDAT, "IntraPosDtls/SttlmDt/Dt", rule)
    return NO_DATE


def _to_account(reading: _Reading) -> str | None:
    text = reading.text("IntraPosDtls/InstrPrcgAddtlDtls")
    found = None if text is None else _TO_ACCOUNT(text.strip())
    if text is not None and found is None:
        rule = 'it says "to account X", or is left out'
        reading.fault(RejectionReason.VALR, "IntraPosDtls/InstrPrcgAddtlDtls", rule)
    return found[1] if found else None
