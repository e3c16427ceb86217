"""Securities settlement transaction instruction (sese.023): decode versions .09 to .13.

`decode` reads what `instruction.SettlementInstruction` holds and nothing else, element by element,
without XPath: it stands on the hot path. Writing one is in `sese023_write.py`.
"""

from collections.abc import Iterator
from datetime import date
from typing import Final

from lxml import etree

from protocols.iso20022 import lock_block
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.instruction import (
    CASH_ACCOUNTS,
    CUM_EX,
    DIRECTIONS,
    MOVEMENTS,
    NO_DATE,
    PAYMENTS,
    QUANTITY_TYPES,
    AccountKind,
    CashAccountKind,
    Client,
    CreditDebit,
    CumEx,
    Link,
    ProprietaryCode,
    QuantityType,
    SettlementInstruction,
    SettlementParties,
    Unreadable,
)
from protocols.iso20022.lexical import boolean, decimal_text
from protocols.iso20022.lock_block import LockBlock
from protocols.iso20022.sese023_write import encode

__all__ = ["decode", "encode"]

ROOT: Final = "/Document/SctiesSttlmTxInstr"

_Children = dict[str, etree._Element]


def decode(enveloped: Enveloped) -> SettlementInstruction:
    """The instruction in a validated message. What the schema allows and nobody here can settle
    (a date code, a party by name) is told in `unreadable`, for the business answer."""
    reading = _Reading(enveloped)
    return reading.instruction()


class _Reading:
    """One message being read: its namespace, and what could not be read so far."""

    def __init__(self, enveloped: Enveloped) -> None:
        self._header = enveloped.header
        self._definition = enveloped.definition
        self._ns_length = str(enveloped.document.tag).index("}") + 1
        self._ns = str(enveloped.document.tag)[: self._ns_length]
        self._root = enveloped.document[0]
        self._unreadable: list[Unreadable] = []

    def instruction(self) -> SettlementInstruction:
        root = self._children(self._root)
        kind = self._children(root["SttlmTpAndAddtlParams"])
        trade = self._children(root["TradDtls"])
        parameters = self._children(root["SttlmParams"])
        position = self._children(root["QtyAndAcctDtls"])
        quantity_type, quantity = self._quantity(position["SttlmQty"])
        account_kind, account = self._account(position)
        cash_kind, cash_account = self._cash_account(position.get("CshAcct"))
        transaction_type, proprietary_type = self._transaction_type(parameters["SctiesTxTp"])
        amount, currency, credit_debit = self._amount(root.get("SttlmAmt"))
        return SettlementInstruction(
            sender=self._header.sender,
            definition=self._definition,
            transaction_id=_text(root["TxId"]),
            movement=MOVEMENTS[_text(kind["SctiesMvmntTp"])],
            payment=PAYMENTS[_text(kind["Pmt"])],
            common_id=_optional(kind.get("CmonId")),
            trade_date=self._date(trade.get("TradDt"), "TradDt", RejectionReason.DTRD),
            settlement_date=self._date(trade["SttlmDt"], "SttlmDt", RejectionReason.DDAT),
            isin=self._isin(root["FinInstrmId"]),
            quantity_type=quantity_type,
            quantity=quantity,
            account_owner=self._owner(position.get("AcctOwnr")),
            safekeeping_account=account,
            account_kind=account_kind,
            cash_account=cash_account,
            cash_account_kind=cash_kind,
            hold="HldInd" in parameters and boolean(_text(parameters["HldInd"][0])),
            priority=self._priority(parameters.get("Prty")),
            transaction_type=transaction_type,
            proprietary_type=proprietary_type,
            opt_out="SttlmTxCond" in parameters and self._opt_out(root["SttlmParams"]),
            cum_ex=self._cum_ex(root["TradDtls"]) if "TradTxCond" in trade else None,
            partial=_optional(parameters.get("PrtlSttlmInd")),
            delivering=self._parties(root.get("DlvrgSttlmPties"), "DlvrgSttlmPties"),
            receiving=self._parties(root.get("RcvgSttlmPties"), "RcvgSttlmPties"),
            amount=amount,
            currency=currency,
            credit_debit=credit_debit,
            lock=self._lock(),
            links=tuple(self._links()) if "Lnkgs" in root else (),
            unreadable=tuple(self._unreadable),
        )

    def _children(self, element: etree._Element) -> _Children:
        length = self._ns_length
        return {child.tag[length:]: child for child in element}

    def _name(self, element: etree._Element) -> str:
        return element.tag[self._ns_length :]

    def _fault(self, code: RejectionReason, field: str, rule: str) -> None:
        self._unreadable.append(Unreadable(code=code, field=f"{ROOT}/{field}", rule=rule))

    def _date(self, choice: etree._Element | None, name: str, code: RejectionReason) -> date:
        """TradDt and SttlmDt are Dt/Dt (a date), Dt/DtTm or a code; a date is needed."""
        if choice is None:
            self._fault(code, f"TradDtls/{name}", "a date is needed here")
            return NO_DATE
        leaf = choice[0][0]
        if self._name(choice[0]) != "Dt" or self._name(leaf) != "Dt":
            self._fault(code, f"TradDtls/{name}", "a calendar date is needed, not a time or a code")
            return NO_DATE
        text = _text(leaf).strip()
        if len(text) == 10:  # YYYY-MM-DD; a zone, a sign or a fifth digit of the year is longer
            try:
                return date.fromisoformat(text)
            except ValueError:  # the year 0000, which XML Schema 1.1 knows
                pass
        self._fault(code, f"TradDtls/{name}/Dt/Dt", f"{text} is not YYYY-MM-DD without a zone")
        return NO_DATE

    def _isin(self, element: etree._Element) -> str:
        first = element[0] if len(element) else None
        if first is not None and self._name(first) == "ISIN":
            return _text(first)
        self._fault(RejectionReason.DSEC, "FinInstrmId/ISIN", "the security is named by its ISIN")
        return ""

    def _quantity(self, choice: etree._Element) -> tuple[QuantityType, str]:
        field = "QtyAndAcctDtls/SttlmQty"
        if self._name(choice[0]) != "Qty":
            rule = "original and current face are not settled here; give one quantity"
            self._fault(RejectionReason.DQUA, f"{field}/{self._name(choice[0])}", rule)
            return QuantityType.AMORTISED, "0"
        leaf = choice[0][0]
        kind = QUANTITY_TYPES[self._name(leaf)]
        return kind, self._decimal(leaf, RejectionReason.DQUA, field)

    def _decimal(self, leaf: etree._Element, code: RejectionReason, field: str) -> str:
        try:
            return decimal_text(_text(leaf))
        except ValueError as error:
            self._fault(code, field, str(error))
            return "0"

    def _account(self, holder: _Children) -> tuple[AccountKind, str | None]:
        if "SfkpgAcct" in holder:
            return AccountKind.ACCOUNT, _text(holder["SfkpgAcct"][0])
        if "BlckChainAdrOrWllt" in holder:
            return AccountKind.WALLET, _text(holder["BlckChainAdrOrWllt"][0])
        return AccountKind.ACCOUNT, None

    def _cash_account(self, choice: etree._Element | None) -> tuple[CashAccountKind, str | None]:
        if choice is None:
            return CashAccountKind.PROPRIETARY, None
        kind = CASH_ACCOUNTS[self._name(choice[0])]
        leaf = choice[0][0] if kind is CashAccountKind.WALLET else choice[0]
        return kind, _text(leaf)

    def _owner(self, element: etree._Element | None) -> str | None:
        if element is None or self._name(element[0][0]) != "AnyBIC":
            return None
        return _text(element[0][0])

    def _priority(self, choice: etree._Element | None) -> str | None:
        if choice is None or self._name(choice[0]) != "Nmrc":
            return None
        return _text(choice[0])

    def _transaction_type(
        self, choice: etree._Element
    ) -> tuple[str | None, ProprietaryCode | None]:
        if self._name(choice[0]) == "Cd":
            return _text(choice[0]), None
        parts = self._children(choice[0])
        return None, ProprietaryCode(
            id=_text(parts["Id"]),
            issuer=_text(parts["Issr"]),
            scheme=_optional(parts.get("SchmeNm")),
        )

    def _codes(self, element: etree._Element, name: str) -> Iterator[str]:
        return (_text(choice[0]) for choice in element.iterchildren(self._ns + name))

    def _opt_out(self, parameters: etree._Element) -> bool:
        return "NOMC" in self._codes(parameters, "SttlmTxCond")

    def _cum_ex(self, trade: etree._Element) -> CumEx | None:
        for code in self._codes(trade, "TradTxCond"):
            if code in CUM_EX:
                return CUM_EX[code]
        return None

    def _parties(self, element: etree._Element | None, name: str) -> SettlementParties:
        members = {} if element is None else self._children(element)
        first = self._children(members["Pty1"]) if "Pty1" in members else {}
        kind, account = self._account(first)
        return SettlementParties(
            depository=self._depository(members.get("Dpstry"), name),
            party1=self._party1(first, name),
            lei=_optional(first.get("LEI")),
            account=account,
            account_kind=kind,
            processing_id=_optional(first.get("PrcgId")),
            party2=self._client(members.get("Pty2")),
        )

    def _depository(self, element: etree._Element | None, name: str) -> str:
        if element is not None and self._name(element[0][0]) == "AnyBIC":
            return _text(element[0][0])
        self._fault(RejectionReason.DEPT, f"{name}/Dpstry", "the depository is named by its BIC")
        return ""

    def _party1(self, party: _Children, name: str) -> str:
        if "Id" in party and self._name(party["Id"][0]) == "AnyBIC":
            return _text(party["Id"][0])
        self._fault(RejectionReason.ICAG, f"{name}/Pty1", "the party is named by its BIC")
        return ""

    def _client(self, element: etree._Element | None) -> Client | None:
        if element is None:
            return None
        parts = self._children(element)
        choice = parts["Id"][0]
        by = self._name(choice)
        proprietary = by == "PrtryId"
        kind, account = self._account(parts)
        return Client(
            bic=_text(choice) if by == "AnyBIC" else None,
            proprietary_id=_text(choice[0]) if proprietary else None,
            proprietary_issuer=_text(choice[1]) if proprietary else None,
            account=account,
            account_kind=kind,
            processing_id=_optional(parts.get("PrcgId")),
        )

    def _amount(
        self, element: etree._Element | None
    ) -> tuple[str | None, str | None, CreditDebit | None]:
        if element is None:
            return None, None, None
        parts = self._children(element)
        amount = self._decimal(parts["Amt"], RejectionReason.DMON, "SttlmAmt/Amt")
        currency = str(parts["Amt"].get("Ccy"))
        return amount, currency, DIRECTIONS[_text(parts["CdtDbtInd"])]

    def _links(self) -> Iterator[Link]:
        for linkage in self._root.iterchildren(self._ns + "Lnkgs"):
            parts = self._children(linkage)
            position = parts.get("PrcgPos")
            coded = position is not None and self._name(position[0]) == "Cd"
            reference = parts["Ref"][0]
            yield Link(
                position=_text(position[0]) if position is not None and coded else None,
                reference=_text(reference),
                kind=self._name(reference),
            )

    def _lock(self) -> LockBlock | None:
        return lock_block.find(self._root.iterchildren(self._ns + "SplmtryData"), self._fault)


def _text(element: etree._Element) -> str:
    return element.text or ""


def _optional(element: etree._Element | None) -> str | None:
    return None if element is None else element.text or ""
