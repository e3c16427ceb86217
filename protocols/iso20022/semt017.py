"""Securities transaction posting report (semt.017.001.12), written: a statement of movements."""

from typing import Final

from protocols.iso20022.blocks import tag
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.instruction import QuantityType
from protocols.iso20022.lexical import escaped, instant_text, padded
from protocols.iso20022.positions import account
from protocols.iso20022.schemas import ISO
from protocols.iso20022.semt002 import general, number, owner, pagination
from protocols.iso20022.statements import Balance, InstrumentMovements, MovementsPage, Transaction

DEFINITION: Final = "semt.017.001.12"


def write(page: MovementsPage) -> str:
    """The Document as XML text."""
    head = page.head
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SctiesTxPstngRpt>'
        + pagination("Pgntn", head)
        + f"<StmtGnlDtls>{number(head)}<StmtId>{escaped(head.statement, 35)}</StmtId>"
        f"<StmtPrd><FrDtTmToDtTm><FrDtTm>{instant_text(head.from_at)}</FrDtTm>"
        f"<ToDtTm>{instant_text(head.to_at)}</ToDtTm></FrDtTmToDtTm></StmtPrd>"
        + general(head)
        + "</StmtGnlDtls>"
        + owner(head)
        + account(head.account)
        + "".join(_instrument(instrument) for instrument in page.instruments)
        + "</SctiesTxPstngRpt></Document>"
    )


def _instrument(instrument: InstrumentMovements) -> str:
    kind = instrument.quantity_type
    transactions = instrument.transactions
    return (
        f"<FinInstrmDtls><FinInstrmId><ISIN>{escaped(instrument.isin)}</ISIN></FinInstrmId>"
        + _balance("OpngBal", "Frst", kind, instrument.opening)
        + _balance("ClsgBal", "Fnl", kind, instrument.closing)
        + "".join(_transaction(transaction, kind) for transaction in transactions)
        + "</FinInstrmDtls>"
    )


def _balance(name: str, final: str, kind: QuantityType, balance: Balance | None) -> str:
    if balance is None:
        return ""
    stage = final if balance.final else "Intrmy"
    return (
        f"<{name}><ShrtLngInd>LONG</ShrtLngInd><{name}><{stage}>"
        f"<Qty><{kind}>{balance.quantity}</{kind}></Qty></{stage}></{name}></{name}>"
    )


def _transaction(tx: Transaction, kind: QuantityType) -> str:
    return (
        f"<Tx><AcctOwnrTxId>{escaped(tx.account_owner_tx, 35)}</AcctOwnrTxId>"
        + tag("AcctSvcrTxId", tx.servicer_tx, 35)
        + tag("MktInfrstrctrTxId", tx.market_tx, 35)
        + tag("CtrPtyMktInfrstrctrTxId", tx.counterparty_market_tx, 35)
        + tag("CmonId", tx.common_id, 35)
        + "<TxDtls><TxActvty><Cd>SETT</Cd></TxActvty><SttlmTxOrCorpActnEvtTp><SctiesTxTp>"
        f"<Cd>{escaped(tx.transaction_type)}</Cd></SctiesTxTp></SttlmTxOrCorpActnEvtTp>"
        f"<SctiesMvmntTp>{tx.movement}</SctiesMvmntTp><Pmt>{tx.payment}</Pmt>"
        f"<PstngQty><Qty><{kind}>{tx.quantity}</{kind}></Qty></PstngQty>"
        + _amount(tx)
        + f"<FctvSttlmDt><DtTm>{instant_text(tx.effective_at)}</DtTm></FctvSttlmDt>"
        + (
            f"<SttlmDt><Dt><Dt>{tx.settlement_date}</Dt></Dt></SttlmDt>"
            if tx.settlement_date
            else ""
        )
        + "</TxDtls></Tx>"
    )


def _amount(tx: Transaction) -> str:
    if tx.amount is None or tx.currency is None or tx.credit_debit is None:
        return ""
    text = padded(tx.amount, minor_units(tx.currency) or 0)
    return (
        f'<PstngAmt><Amt Ccy="{escaped(tx.currency)}">{text}</Amt>'
        f"<CdtDbt>{tx.credit_debit}</CdtDbt></PstngAmt>"
    )
