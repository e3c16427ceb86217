"""Foreign exchange trade instruction (fxtr.014), amendment (.015), cancellation (.016): decode.

Versions .03 to .06 of the instruction, .05 of the others. What the three share is read alike. Until
.04 an amount stands by itself, from .05 it is a choice beside an amount of digital tokens.
"""

from datetime import date
from typing import Final, TypeVar

from lxml import etree

from protocols.iso20022 import lock_block
from protocols.iso20022.codes import RejectionReason
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.fx import FxAmendment, FxAmount, FxCancellation, FxTrade, Rate
from protocols.iso20022.instruction import NO_DATE, Unreadable
from protocols.iso20022.lexical import boolean, decimal_text
from protocols.iso20022.lock_block import LockBlock
from protocols.iso20022.schemas import local_name

#: ISO 4217: "no currency", where an amount is none in money.
NO_CURRENCY: Final = "XXX"


_Request = TypeVar("_Request", FxAmendment, FxCancellation)


def decode(enveloped: Enveloped) -> FxTrade:
    """The trade in a validated fxtr.014. What the schema allows and nobody here can settle (an
    amount of tokens, a party by name) is told in `unreadable`, for the business answer."""
    return _Reading(enveloped).trade()


def decode_amendment(enveloped: Enveloped) -> FxAmendment:
    """The amendment in a validated fxtr.015."""
    return _request(enveloped, FxAmendment)


def decode_cancellation(enveloped: Enveloped) -> FxCancellation:
    """The cancellation in a validated fxtr.016."""
    return _request(enveloped, FxCancellation)


def _request(enveloped: Enveloped, kind: type[_Request]) -> _Request:
    reading = _Reading(enveloped)
    return kind(
        market_reference=reading.text("TradInf/MtchgSysRef/*") or "",
        reason=reading.text("TradInf/AmdOrCclRsn"),
        trade=reading.trade(),
    )


class _Reading:
    """One message being read, and what could not be read so far."""

    def __init__(self, enveloped: Enveloped) -> None:
        self._header = enveloped.header
        self._definition = enveloped.definition
        self._root = enveloped.document[0]
        self._place = f"/Document/{local_name(self._root)}"
        self._unreadable: list[Unreadable] = []

    def trade(self) -> FxTrade:
        party = self._party("TradgSdId")
        counterparty = self._party("CtrPtySdId")
        self._refuse_what_is_not_served()
        return FxTrade(
            sender=self._header.sender,
            definition=self._definition,
            transaction_id=self.text("TradInf/OrgtrRef") or "",
            common_id=self.text("TradInf/CmonRef"),
            trade_date=self._date("TradInf/TradDt", RejectionReason.DTRD),
            settlement_date=self._date("TradAmts/SttlmDt", RejectionReason.DDAT),
            party=party,
            counterparty=counterparty,
            buys=self.amount("TradgSdBuyAmt"),
            sells=self.amount("TradgSdSellAmt"),
            rate=self._rate(),
            operation=self.text("TradInf/OprTp"),
            product=self.text("TradInf/PdctTp"),
            pvp=boolean(self.text("TradInf/PmtVrssPmtInd") or ""),
            receiving_account=self._receiving_account(),
            paying_account=self.text("CtrPtySdSttlmInstrs/DlvryAgt/PtyId/AcctNb"),
            lock=self._lock(),
            unreadable=tuple(self._unreadable),
        )

    def _find(self, path: str) -> etree._Element | None:
        """An element of the message's own namespace; `path` is a constant of this module."""
        steps = (step if step == "*" else f"{{*}}{step}" for step in path.split("/"))
        return self._root.find("/".join(steps))

    def text(self, path: str) -> str | None:
        """The text of a leaf; None where it is not there."""
        element = self._find(path)
        return None if element is None else element.text or ""

    def _fault(self, code: RejectionReason, field: str, rule: str) -> None:
        fault = Unreadable(code=code, field=f"{self._place}/{field}", rule=rule)
        self._unreadable.append(fault)

    def _date(self, path: str, code: RejectionReason) -> date:
        text = (self.text(path) or "").strip()
        if len(text) == 10:  # YYYY-MM-DD; a zone, a sign or a fifth digit of the year is longer
            try:
                return date.fromisoformat(text)
            except ValueError:  # the year 0000, which XML Schema 1.1 knows
                pass
        self._fault(code, path, f"{text} is not YYYY-MM-DD without a zone")
        return NO_DATE

    def _party(self, side: str) -> str:
        """A side is named by the BIC of who submits; who trades through another is not served."""
        submitting = self._bic(f"{side}/SubmitgPty")
        if submitting is None:
            rule = "the party is named by its BIC"
            self._fault(RejectionReason.ICAG, f"{side}/SubmitgPty", rule)
            return ""
        if self._find(f"{side}/TradPty") is not None:
            trading = self._bic(f"{side}/TradPty")
            if trading != submitting:
                rule = "a submitting party settles its own trades"
                self._fault(RejectionReason.ICUS, f"{side}/TradPty", rule)
        if self._find(f"{side}/FndId") is not None:
            self._fault(RejectionReason.ICUS, f"{side}/FndId", "trades of funds are not served")
        return submitting

    def _bic(self, path: str) -> str | None:
        return self.text(f"{path}/AnyBIC/AnyBIC") or self.text(f"{path}/PtyId/AnyBIC/AnyBIC")

    def _refuse_what_is_not_served(self) -> None:
        for name in ("NDFConds", "PstTradEvt"):
            if self._find(name) is not None:
                rule = "only trades that are settled by delivery of both currencies are served"
                self._fault(RejectionReason.SETS, name, rule)

    def amount(self, name: str) -> FxAmount:
        """One side's amount, canonical; a neutral one where it is none in money."""
        place = f"TradAmts/{name}"
        element = self._find(place)
        assert element is not None, "the schema asks for both amounts"
        if len(element):  # a choice, from fxtr.014.001.05 on
            element = element[0]
        currency = element.get("Ccy")
        if currency is None:
            rule = "an amount of money is needed, not of digital tokens"
            self._fault(RejectionReason.DMON, f"{place}/{local_name(element)}", rule)
            return FxAmount(currency=NO_CURRENCY, amount="0")
        text = self._decimal(element.text or "", RejectionReason.DMON, place)
        return FxAmount(currency=str(currency), amount=text)

    def _decimal(self, text: str, code: RejectionReason, field: str) -> str:
        try:
            return decimal_text(text)
        except ValueError as error:
            self._fault(code, field, str(error))
            return "0"

    def _rate(self) -> Rate:
        field = "AgrdRate/XchgRate"
        text = (self.text(field) or "").strip()
        return Rate(
            value=self._decimal(text, RejectionReason.DDEA, field),
            decimals=len(text.partition(".")[2]),
            unit=self.text("AgrdRate/UnitCcy"),
            quoted=self.text("AgrdRate/QtdCcy"),
        )

    def _receiving_account(self) -> str | None:
        """Where the trading side is paid: with the beneficiary, else with the receiving agent."""
        instructions = "TradgSdSttlmInstrs"
        return self.text(f"{instructions}/BnfcryInstn/PtyId/AcctNb") or self.text(
            f"{instructions}/RcvgAgt/PtyId/AcctNb"
        )

    def _lock(self) -> LockBlock | None:
        return lock_block.find(self._root.iterfind("{*}SplmtryData"), self._fault)
