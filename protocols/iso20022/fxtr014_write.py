"""Writing fxtr.014, .015 and .016 from what the gateway understands of them: for tools and tests.

The gateway receives them; it never sends one to a member.
"""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import tag
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.fx import FxAmendment, FxAmount, FxCancellation, FxTrade, Operation
from protocols.iso20022.lexical import boolean_text, escaped, padded
from protocols.iso20022.schemas import ISO

#: Versions in which an amount stands by itself, not in a choice.
_PLAIN_AMOUNTS: Final = ("fxtr.014.001.03", "fxtr.014.001.04")


def encode(trade: FxTrade, version: str = "fxtr.014.001.05") -> str:
    """The Document of a fxtr.014 as XML text."""
    t = trade
    product = "" if version == "fxtr.014.001.03" else tag("PdctTp", t.product, 35)
    return (
        f'<Document xmlns="{ISO}{version}"><FXTradInstr>'
        f"<TradInf><TradDt>{t.trade_date}</TradDt>"
        f"<OrgtrRef>{escaped(t.transaction_id, 35)}</OrgtrRef>"
        + tag("CmonRef", t.common_id, 35)
        + tag("OprTp", t.operation, 4)
        + product
        + f"<PmtVrssPmtInd>{boolean_text(t.pvp)}</PmtVrssPmtInd></TradInf>"
        + _terms(t, plain=version in _PLAIN_AMOUNTS)
        + (lock_block.write(t.lock, "/Document/FXTradInstr") if t.lock else "")
        + "</FXTradInstr></Document>"
    )


def encode_amendment(amendment: FxAmendment) -> str:
    """The Document of a fxtr.015.001.05 as XML text."""
    t = amendment.trade
    return (
        f'<Document xmlns="{ISO}fxtr.015.001.05"><FXTradInstrAmdmnt>'
        + _changed(amendment, Operation.AMEND)
        + _terms(t)
        + (lock_block.write(t.lock, "/Document/FXTradInstrAmdmnt") if t.lock else "")
        + "</FXTradInstrAmdmnt></Document>"
    )


def encode_cancellation(cancellation: FxCancellation) -> str:
    """The Document of a fxtr.016.001.05 as XML text."""
    t = cancellation.trade
    return (
        f'<Document xmlns="{ISO}fxtr.016.001.05"><FXTradInstrCxl>'
        + _changed(cancellation, Operation.CANCEL)
        + parties(t)
        + rate(t)
        + amounts(t)
        + "</FXTradInstrCxl></Document>"
    )


def _changed(request: FxAmendment | FxCancellation, operation: Operation) -> str:
    """The trade that an amendment or a cancellation is about."""
    t = request.trade
    return (
        f"<TradInf><TradDt>{t.trade_date}</TradDt>"
        + _references(t.transaction_id, request.market_reference)
        + tag("CmonRef", t.common_id, 35)
        + tag("AmdOrCclRsn", request.reason, 35)
        + f"<OprTp>{operation}</OprTp>"
        + tag("PdctTp", t.product, 35)
        + f"<PmtVrssPmtInd>{boolean_text(t.pvp)}</PmtVrssPmtInd></TradInf>"
    )


def _references(transaction_id: str, market_reference: str) -> str:
    return (
        f"<OrgtrRef>{escaped(transaction_id, 35)}</OrgtrRef>"
        f"<MtchgSysRef>{tag('MtchgSysUnqRef', market_reference, 35)}</MtchgSysRef>"
    )


def _terms(t: FxTrade, *, plain: bool = False) -> str:
    return (
        parties(t)
        + amounts(t, plain=plain)
        + rate(t)
        + _receiving("TradgSdSttlmInstrs", t)
        + _paying("CtrPtySdSttlmInstrs", t)
    )


def parties(t: FxTrade) -> str:
    """Both sides, as the fxtr messages have them. A side that was not named by a BIC is told so."""
    return _party("TradgSdId", t.party or t.sender) + _party("CtrPtySdId", t.counterparty)


def _party(name: str, bic: str) -> str:
    identity = _named(bic) if bic else "<NmAndAdr><Nm>not named by a BIC</Nm></NmAndAdr>"
    return f"<{name}><SubmitgPty>{identity}</SubmitgPty></{name}>"


def amounts(t: FxTrade, *, plain: bool = False) -> str:
    """What each side gives, and the value date."""
    return (
        "<TradAmts>"
        + _amount("TradgSdBuyAmt", t.buys, plain=plain)
        + _amount("TradgSdSellAmt", t.sells, plain=plain)
        + f"<SttlmDt>{t.settlement_date}</SttlmDt></TradAmts>"
    )


def _amount(name: str, amount: FxAmount, *, plain: bool) -> str:
    text = padded(amount.amount, minor_units(amount.currency) or 0)
    currency = escaped(amount.currency)
    if plain:
        return f'<{name} Ccy="{currency}">{text}</{name}>'
    return f'<{name}><Amt Ccy="{currency}">{text}</Amt></{name}>'


def rate(t: FxTrade) -> str:
    """The agreed rate, with the decimals it was written with."""
    r = t.rate
    return (
        f"<AgrdRate><XchgRate>{padded(r.value, r.decimals)}</XchgRate>"
        + tag("UnitCcy", r.unit)
        + tag("QtdCcy", r.quoted)
        + "</AgrdRate>"
    )


def _account(number: str) -> str:
    return f"<PtyId><AcctNb>{escaped(number, 34)}</AcctNb></PtyId>"


def _receiving(name: str, t: FxTrade) -> str:
    if t.receiving_account is None:
        return ""
    return f"<{name}><RcvgAgt>{_account(t.receiving_account)}</RcvgAgt></{name}>"


def _paying(name: str, t: FxTrade) -> str:
    """How the counterparty is paid: from the trading side's account. The receiving agent must be
    named (schema); the counterparty's own instructions say where."""
    if t.paying_account is None:
        return ""
    agent = _named(t.counterparty)
    return (
        f"<{name}><DlvryAgt>{_account(t.paying_account)}</DlvryAgt>"
        f"<RcvgAgt>{agent}</RcvgAgt></{name}>"
    )


def _named(bic: str) -> str:
    return f"<AnyBIC><AnyBIC>{escaped(bic)}</AnyBIC></AnyBIC>"
