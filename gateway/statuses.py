"""What a message of the gateway tells a member about an instruction, read: sese.024, sese.025, the
answers to requests (sese.027, sese.031), allegements (sese.028, sese.029), fxtr.017, and what is
told of money (pacs.002, camt.054, camt.029, camt.025) and of the system (admi.004).

The gateway writes these and never reads them; this is the other side's view, for the command line,
the demo and tests.
"""

from typing import Final

import msgspec
from lxml import etree

from protocols.iso20022.fx import TradeStatus
from protocols.iso20022.instruction import CreditDebit
from protocols.iso20022.payment import Recalling, TransactionStatus
from protocols.iso20022.schemas import local_name
from protocols.iso20022.xml import parse


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One status advice or confirmation. Each part is None where the message does not speak of it.

    `codes` are the reasons beside any of them, standard before proprietary.
    """

    transaction_id: str
    processing: str | None = None  # AckdAccptd, Rjctd, Canc, …
    request: str | None = None  # what became of a request: PdgCxl, Canc, Cmpltd, Dnd, Rjctd
    allegement: str | None = None  # alleged, removed
    matching: str | None = None  # Mtchd, Umtchd
    settlement: str | None = None  # Pdg, Flng
    settled: str | None = None  # the settled amount, of a confirmation
    trade: str | None = None  # fxtr.017: UMTC, FMTC, SMAP, STLD, …
    answers: str | None = None  # fxtr.017: the request answered, AMND or CANC; else it is news
    cash: str | None = None  # of a payment, an entry, a recall, a transfer, or the system
    codes: tuple[str, ...] = ()
    text: str | None = None

    @property
    def is_final(self) -> bool:
        """Nothing more is told about the instruction after this."""
        if self.trade is not None:
            return self.answers is None and TradeStatus(self.trade).is_final
        return self.settled is not None or self.processing in ("Rjctd", "Canc")

    def __str__(self) -> str:
        asked = None if self.request is None else f"request {self.request}"
        parts = [
            self.cash,
            asked,
            self.allegement,
            self.answers and f"to {self.answers}:",
            self.trade and f"{self.trade} {TradeStatus(self.trade).name.lower()}",
            self.processing,
            self.matching,
            self.settlement,
        ]
        if self.settled is not None:
            parts.append(f"settled {self.settled}")
        words = [part for part in parts if part] + list(self.codes)
        return ": ".join(part for part in (" ".join(words), self.text) if part)


_REQUESTS: Final = {
    "SctiesTxCxlReqStsAdvc": "{*}TxId/{*}AcctOwnrTxId/{*}SctiesSttlmTxId/{*}TxId",
    "SctiesSttlmCondModStsAdvc": "{*}ReqDtls/{*}Ref/{*}AcctOwnrTxId",
}
"""Answers to requests, and where they name the instruction."""

_ALLEGEMENTS: Final = {
    "SctiesSttlmTxAllgmtNtfctn": "alleged",
    "SctiesSttlmAllgmtRmvlAdvc": "allegement removed",
}


_REPORTS: Final = {
    "SctiesBalCtdyRpt": ("holdings", "{*}StmtGnlDtls/{*}StmtId"),
    "SctiesTxPstngRpt": ("movements", "{*}StmtGnlDtls/{*}StmtId"),
    "BkToCstmrStmt": ("cash", "{*}Stmt/{*}Id"),
    "IntraPosMvmntInstr": ("position, to do", "{*}TxId"),
    "IntraPosMvmntStsAdvc": ("position, not done", "{*}TxId/{*}AcctOwnrTxId"),
    "IntraPosMvmntConf": ("position, done", "{*}AddtlParams/{*}AcctOwnrTxId"),
}
"""Statements and position messages: what they are, and where they are named."""


def told(xml: str) -> Told:
    """What a BizMsg of the gateway says."""
    root = parse(xml.encode())
    document = next(child for child in root if local_name(child) == "Document")
    (content,) = document
    if local_name(content) in _CASH:
        return _CASH[local_name(content)](content)
    if local_name(content) == "SctiesSttlmTxConf":
        return _confirmation(content)
    if local_name(content) == "FXTradStsAndDtlsNtfctn":
        return _trade(content)
    if local_name(content) in _REQUESTS:
        return Told(
            transaction_id=content.findtext(_REQUESTS[local_name(content)]) or "",
            request=_part(content, "PrcgSts"),
            codes=_codes(content),
            text=content.findtext(".//{*}AddtlRsnInf"),
        )
    if local_name(content) in _ALLEGEMENTS:
        return Told(transaction_id="", allegement=_ALLEGEMENTS[local_name(content)])
    if local_name(content) in _REPORTS:
        return _report(content)
    return Told(
        transaction_id=content.findtext("{*}TxId/{*}AcctOwnrTxId") or "",
        processing=_part(content, "PrcgSts"),
        matching=_part(content, "MtchgSts"),
        settlement=_part(content, "SttlmSts"),
        codes=_codes(content),
        text=content.findtext(".//{*}AddtlRsnInf"),
    )


def _payment(content: etree._Element) -> Told:
    status = content.findtext("{*}TxInfAndSts/{*}TxSts") or ""
    return Told(
        transaction_id=content.findtext("{*}TxInfAndSts/{*}OrgnlInstrId") or "",
        cash=f"payment {status} {TransactionStatus(status).name.lower()}",
        codes=_texts(content, ".//{*}StsRsnInf/{*}Rsn/*"),
        text=content.findtext(".//{*}AddtlInf"),
    )


def _entry(content: etree._Element) -> Told:
    entry = content.find("{*}Ntfctn/{*}Ntry")
    assert entry is not None, "a notification of ours has one entry"
    amount = entry.find("{*}Amt")
    assert amount is not None, "the schema requires it"
    credited = entry.findtext("{*}CdtDbtInd") == CreditDebit.CRDT
    account = content.findtext("{*}Ntfctn/{*}Acct/{*}Id/{*}Othr/{*}Id")
    side = "credited" if credited else "debited"
    return Told(
        transaction_id=entry.findtext("{*}NtryDtls/{*}TxDtls/{*}Refs/{*}AcctOwnrTxId") or "",
        cash=f"{side} {amount.text} {amount.get('Ccy')} on {account}",
    )


def _recall(content: etree._Element) -> Told:
    status = content.findtext("{*}Sts/{*}Conf") or ""
    return Told(
        transaction_id=content.findtext(".//{*}OrgnlInstrId") or "",
        cash=f"recall {status} {Recalling(status).name.lower()}",
        codes=_texts(content, ".//{*}CxlStsRsnInf/{*}Rsn/{*}Cd"),
        text=content.findtext(".//{*}AddtlInf"),
    )


def _transfer(content: etree._Element) -> Told:
    status, *codes = _texts(content, ".//{*}ReqHdlg/{*}StsCd")
    texts = _texts(content, ".//{*}ReqHdlg/{*}Desc")
    return Told(
        transaction_id=content.findtext(".//{*}OrgnlMsgId/{*}MsgId") or "",
        cash=f"transfer {status}",
        codes=tuple(codes),
        text=texts[-1] if codes else None,
    )


def _event(content: etree._Element) -> Told:
    return Told(
        transaction_id="",
        cash=f"system {content.findtext('.//{*}EvtCd')}",
        codes=_texts(content, ".//{*}EvtParam"),
        text=content.findtext(".//{*}EvtDesc"),
    )


_CASH: Final = {
    "FIToFIPmtStsRpt": _payment,
    "BkToCstmrDbtCdtNtfctn": _entry,
    "RsltnOfInvstgtn": _recall,
    "Rct": _transfer,
    "SysEvtNtfctn": _event,
}
"""Readers of what is told of money and of the system."""


def _texts(content: etree._Element, path: str) -> tuple[str, ...]:
    return tuple(element.text or "" for element in content.iterfind(path))


def _report(content: etree._Element) -> Told:
    what, place = _REPORTS[local_name(content)]
    page = content.findtext(".//{*}PgNb")
    ends = content.findtext(".//{*}LastPgInd") == "true"
    return Told(
        transaction_id=content.findtext(place) or "",
        codes=_codes(content),
        text=what if page is None else f"{what}, page {page}{', the last' if ends else ''}",
    )


def _confirmation(content: etree._Element) -> Told:
    amount = content.find("{*}SttldAmt/{*}Amt")
    settled = "free of payment" if amount is None else f"{amount.text} {amount.get('Ccy')}"
    return Told(
        transaction_id=content.findtext("{*}TxIdDtls/{*}AcctOwnrTxId") or "", settled=settled
    )


def _trade(content: etree._Element) -> Told:
    sub_status = content.findtext("{*}StsDtls/{*}CurSts/{*}SubStsCd")
    return Told(
        transaction_id=content.findtext("{*}TradInf/{*}OrgtrRef") or "",
        trade=content.findtext("{*}StsDtls/{*}CurSts/{*}StsCd/{*}Cd"),
        answers=content.findtext("{*}TradInf/{*}OprTp"),
        codes=(sub_status,) if sub_status else (),
        text=content.findtext("{*}GnlInf/{*}SndrToRcvrInf"),
    )


def _part(content: etree._Element, name: str) -> str | None:
    status = content.find(f"{{*}}{name}")
    return None if status is None else local_name(status[0])


def _codes(content: etree._Element) -> tuple[str, ...]:
    status = content.find("{*}PrcgSts") if local_name(content) in _REQUESTS else content
    if status is None:
        return ()
    standard = status.iterfind(".//{*}Rsn/{*}Cd/{*}Cd")
    proprietary = content.iterfind(".//{*}Rsn/{*}Cd/{*}Prtry/{*}Id")
    return tuple(element.text or "" for element in (*standard, *proprietary))
