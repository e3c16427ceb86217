"""Debit credit notification (camt.054.001.08), written: one entry, booked and final."""

from typing import Final

from protocols.iso20022 import lock_block
from protocols.iso20022.blocks import tag
from protocols.iso20022.camt053 import bank_transaction_code
from protocols.iso20022.header import Header
from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.paying import money
from protocols.iso20022.payment import CashEntry
from protocols.iso20022.schemas import ISO

DEFINITION: Final = "camt.054.001.08"

_PLACE: Final = "/Document/BkToCstmrDbtCdtNtfctn/Ntfctn/Ntry/NtryDtls/TxDtls"


def write(entry: CashEntry, head: Header) -> str:
    """The Document as XML text; it shares identifier and time with its header."""
    message_id = escaped(head.business_message_id, 35)
    created = instant_text(head.created_at)
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><BkToCstmrDbtCdtNtfctn>'
        f"<GrpHdr><MsgId>{message_id}</MsgId><CreDtTm>{created}</CreDtTm></GrpHdr>"
        f"<Ntfctn><Id>{message_id}</Id><CreDtTm>{created}</CreDtTm>"
        f"<Acct><Id><Othr><Id>{escaped(entry.account, 34)}</Id></Othr></Id>"
        f"<Ccy>{escaped(entry.currency)}</Ccy></Acct>" + _entry(entry) + "</Ntfctn>"
        "</BkToCstmrDbtCdtNtfctn></Document>"
    )


def _entry(e: CashEntry) -> str:
    booked, amount = instant_text(e.booked_at), money("Amt", e.amount, e.currency)
    direction = f"<CdtDbtInd>{e.credit_debit.value}</CdtDbtInd>"
    return (
        f"<Ntry><NtryRef>1</NtryRef>{amount}{direction}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><DtTm>{booked}</DtTm></BookgDt><ValDt><Dt>{booked[:10]}</Dt></ValDt>"
        f"<AcctSvcrRef>{escaped(e.servicer_ref, 35)}</AcctSvcrRef>"
        f"<BkTxCd>{bank_transaction_code(e.kind)}</BkTxCd>"
        f"<NtryDtls><TxDtls>{_references(e)}{amount}{direction}"
        + (f"<FinInstrmId>{tag('ISIN', e.isin)}</FinInstrmId>" if e.isin else "")
        + (lock_block.write(e.lock, _PLACE) if e.lock else "")
        + "</TxDtls></NtryDtls></Ntry>"
    )


def _references(e: CashEntry) -> str:
    return (
        "<Refs>"
        + tag("InstrId", e.payment.instruction_id, 35)
        + tag("EndToEndId", e.payment.end_to_end_id, 35)
        + tag("UETR", e.payment.uetr)
        + tag("AcctOwnrTxId", e.account_owner_tx, 35)
        + tag("MktInfrstrctrTxId", e.market_tx, 35)
        + "</Refs>"
    )
