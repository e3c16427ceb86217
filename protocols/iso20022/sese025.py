"""Securities settlement transaction confirmation (sese.025.001.11), written."""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.advice import Confirmation
from protocols.iso20022.blocks import (
    account,
    cash_account,
    direction,
    parties,
    quantity,
    settlement_amount,
    tag,
    transaction_type,
)
from protocols.iso20022.instruction import CashAccountKind, SettlementInstruction
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "sese.025.001.11"


def write(confirmation: Confirmation) -> str:
    """The Document as XML text."""
    i = confirmation.instruction
    lock = confirmation.lock
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SctiesSttlmTxConf>'
        + _identification(confirmation)
        + f"<TradDtls><TradDt><Dt><Dt>{i.trade_date.isoformat()}</Dt></Dt></TradDt>"
        f"<SttlmDt><Dt><Dt>{i.settlement_date.isoformat()}</Dt></Dt></SttlmDt>"
        f"<FctvSttlmDt><Dt><DtTm>{instant_text(confirmation.effective_at)}</DtTm></Dt></FctvSttlmDt>"
        f"</TradDtls><FinInstrmId><ISIN>{escaped(i.isin)}</ISIN></FinInstrmId>"
        + _position(i)
        + f"<SttlmParams>{transaction_type(i.transaction_type, i.proprietary_type)}</SttlmParams>"
        + parties("DlvrgSttlmPties", i.delivering)
        + parties("RcvgSttlmPties", i.receiving)
        + settlement_amount(
            "SttldAmt", confirmation.settled_amount or i.amount, i.currency, i.credit_debit
        )
        + (lock_block.write(lock, "/Document/SctiesSttlmTxConf") if lock else "")
        + "</SctiesSttlmTxConf></Document>"
    )


def _identification(confirmation: Confirmation) -> str:
    ids, i = confirmation.references, confirmation.instruction
    return (
        f"<TxIdDtls><AcctOwnrTxId>{escaped(ids.account_owner_tx, 35)}</AcctOwnrTxId>"
        + tag("AcctSvcrTxId", ids.servicer_tx, 35)
        + tag("MktInfrstrctrTxId", ids.market_tx, 35)
        + tag("CtrPtyMktInfrstrctrTxId", ids.counterparty_market_tx, 35)
        + direction(i.movement, i.payment)
        + tag("CmonId", ids.common_id, 35)
        + "</TxIdDtls>"
    )


def _position(i: SettlementInstruction) -> str:
    # A cash wallet has no element of its own before sese.025.001.12; the lock block names the leg.
    wallet = i.cash_account_kind is CashAccountKind.WALLET
    return (
        "<QtyAndAcctDtls>"
        + quantity("SttldQty", i.quantity_type, i.quantity)
        + account(i.account_kind, i.safekeeping_account)
        + ("" if wallet else cash_account(i.cash_account_kind, i.cash_account))
        + "</QtyAndAcctDtls>"
    )
