"""Writing a sese.023 from what the gateway understands of one: for tools, tests and load.

The gateway receives instructions; it never sends one to a member.
"""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import (
    account,
    cash_account,
    parties,
    settlement_amount,
    tag,
    transaction_type,
)
from protocols.iso20022.instruction import AccountKind, Link, QuantityType, SettlementInstruction
from protocols.iso20022.lexical import boolean_text, escaped
from protocols.iso20022.schemas import ISO

#: Versions without wallets and token units, and with a mandatory safekeeping account.
_BEFORE_TOKENS: Final = ("sese.023.001.09", "sese.023.001.10")


def encode(instruction: SettlementInstruction, version: str = "sese.023.001.11") -> str:
    """The Document as XML text. An instruction that the version cannot carry is our own error."""
    i = instruction
    assert not i.unreadable, "an instruction that could not be read is not written again"
    assert version not in _BEFORE_TOKENS or _fits_before_tokens(i), f"{version} cannot carry it"
    return (
        f'<Document xmlns="{ISO}{version}"><SctiesSttlmTxInstr>'
        f"<TxId>{escaped(i.transaction_id, 35)}</TxId>"
        f"<SttlmTpAndAddtlParams><SctiesMvmntTp>{i.movement}</SctiesMvmntTp><Pmt>{i.payment}</Pmt>"
        + tag("CmonId", i.common_id, 35)
        + "</SttlmTpAndAddtlParams>"
        + "".join(_link(link) for link in i.links)
        + f"<TradDtls><TradDt><Dt><Dt>{i.trade_date}</Dt></Dt></TradDt>"
        f"<SttlmDt><Dt><Dt>{i.settlement_date}</Dt></Dt></SttlmDt>"
        + (f"<TradTxCond><Cd>{i.cum_ex}</Cd></TradTxCond>" if i.cum_ex else "")
        + f"</TradDtls><FinInstrmId><ISIN>{escaped(i.isin)}</ISIN></FinInstrmId>"
        + _position(i)
        + _parameters(i)
        + parties("DlvrgSttlmPties", i.delivering)
        + parties("RcvgSttlmPties", i.receiving)
        + settlement_amount("SttlmAmt", i.amount, i.currency, i.credit_debit)
        + (lock_block.write(i.lock, "/Document/SctiesSttlmTxInstr") if i.lock else "")
        + "</SctiesSttlmTxInstr></Document>"
    )


def _fits_before_tokens(i: SettlementInstruction) -> bool:
    kinds = {i.account_kind, i.delivering.account_kind, i.receiving.account_kind}
    tokens = AccountKind.WALLET in kinds or i.quantity_type is QuantityType.DIGITAL
    return not tokens and i.safekeeping_account is not None


def _link(link: Link) -> str:
    return (
        "<Lnkgs>"
        + (f"<PrcgPos><Cd>{link.position}</Cd></PrcgPos>" if link.position else "")
        + f"<Ref>{tag(link.kind, link.reference, 35)}</Ref></Lnkgs>"
    )


def _position(i: SettlementInstruction) -> str:
    owner = i.account_owner
    return (
        f"<QtyAndAcctDtls><SttlmQty><Qty><{i.quantity_type}>{i.quantity}</{i.quantity_type}></Qty>"
        "</SttlmQty>"
        + (f"<AcctOwnr><Id><AnyBIC>{escaped(owner)}</AnyBIC></Id></AcctOwnr>" if owner else "")
        + account(i.account_kind, i.safekeeping_account)
        + cash_account(i.cash_account_kind, i.cash_account)
        + "</QtyAndAcctDtls>"
    )


def _parameters(i: SettlementInstruction) -> str:
    return (
        f"<SttlmParams><HldInd><Ind>{boolean_text(i.hold)}</Ind></HldInd>"
        + (f"<Prty><Nmrc>{escaped(i.priority)}</Nmrc></Prty>" if i.priority else "")
        + transaction_type(i.transaction_type, i.proprietary_type)
        + ("<SttlmTxCond><Cd>NOMC</Cd></SttlmTxCond>" if i.opt_out else "")
        + tag("PrtlSttlmInd", i.partial)
        + "</SttlmParams>"
    )
