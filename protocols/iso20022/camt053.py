"""Bank to customer statement (camt.053.001.08), written."""

from datetime import date
from functools import cache
from typing import Final

from protocols.iso20022.blocks import tag
from protocols.iso20022.currencies import minor_units
from protocols.iso20022.lexical import escaped, instant_text, padded
from protocols.iso20022.schemas import ISO
from protocols.iso20022.semt002 import pagination
from protocols.iso20022.statements import BankTransaction, CashPage, Entry, Frequency

DEFINITION: Final = "camt.053.001.08"

#: Max34Text, of an account that is no IBAN; one with a longer name has it in `Nm` (Max70Text).
ACCOUNT_LENGTH_MAX: Final = 34

OPENING, CLOSING, AVAILABLE, INTERIM = "OPBD", "CLBD", "CLAV", "ITBD"
"""ExternalBalanceType1Code."""


def write(page: CashPage, message_id: str, created_at: int) -> str:
    """The Document as XML text; identifier and instant are the header's."""
    head = page.head
    created = instant_text(created_at)
    intraday = head.frequency is Frequency.INTRADAY
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><BkToCstmrStmt><GrpHdr>'
        f"<MsgId>{escaped(message_id, 35)}</MsgId><CreDtTm>{created}</CreDtTm>"
        + pagination("MsgPgntn", head)
        + f"</GrpHdr><Stmt><Id>{escaped(head.statement, 35)}</Id>"
        f"<ElctrncSeqNb>{head.number}</ElctrncSeqNb><CreDtTm>{created}</CreDtTm>"
        f"<FrToDt><FrDtTm>{instant_text(head.from_at)}</FrDtTm>"
        f"<ToDtTm>{instant_text(head.to_at)}</ToDtTm></FrToDt>"
        + (f"<RptgSrc><Prtry>{head.frequency}</Prtry></RptgSrc>" if intraday else "")
        + _account(page)
        + _balances(page)
        + "".join(_entry(entry, page.currency) for entry in page.entries)
        + "</Stmt></BkToCstmrStmt></Document>"
    )


def _account(page: CashPage) -> str:
    name = page.head.account
    return (
        f"<Acct><Id><Othr><Id>{escaped(name, ACCOUNT_LENGTH_MAX)}</Id></Othr></Id>"
        f"<Ccy>{escaped(page.currency)}</Ccy>"
        + (tag("Nm", name, 70) if len(name) > ACCOUNT_LENGTH_MAX else "")
        + "</Acct>"
    )


def _balances(page: CashPage) -> str:
    first, head = page.head.page == 1, page.head
    opening = _balance(OPENING if first else INTERIM, page.opening, page.opening_date, page)
    closing = _balance(CLOSING if head.last else INTERIM, page.closing, head.business_date, page)
    if page.closing_available is None:
        return opening + closing
    return opening + closing + _balance(AVAILABLE, page.closing_available, head.business_date, page)


def _balance(code: str, amount: str, day: date, page: CashPage) -> str:
    """A holder's balance is never below zero: always in credit."""
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
        f"{_amount(amount, page.currency)}<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def _amount(text: str, currency: str) -> str:
    written = padded(text, minor_units(currency) or 0)
    return f'<Amt Ccy="{escaped(currency)}">{written}</Amt>'


def _entry(entry: Entry, currency: str) -> str:
    amount = f"{_amount(entry.amount, currency)}<CdtDbtInd>{entry.credit_debit}</CdtDbtInd>"
    isin = f"<FinInstrmId><ISIN>{escaped(entry.isin)}</ISIN></FinInstrmId>" if entry.isin else ""
    references = (
        tag("InstrId", entry.instruction_id, 35)
        + tag("EndToEndId", entry.end_to_end_id, 35)
        + tag("UETR", entry.uetr)
        + tag("MktInfrstrctrTxId", entry.market_tx, 35)
    )
    return (
        f"<Ntry><NtryRef>{escaped(entry.reference, 35)}</NtryRef>{amount}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><DtTm>{instant_text(entry.booked_at)}</DtTm></BookgDt>"
        f"<ValDt><Dt>{entry.value_date}</Dt></ValDt>"
        f"<AcctSvcrRef>{escaped(entry.servicer_reference, 35)}</AcctSvcrRef>"
        f"<BkTxCd>{bank_transaction_code(entry.kind)}</BkTxCd>"
        + (
            f"<NtryDtls><TxDtls><Refs>{references}</Refs>{amount}{isin}</TxDtls></NtryDtls>"
            if references
            else ""
        )
        + "</Ntry>"
    )


@cache  # as many as there are kinds
def bank_transaction_code(kind: BankTransaction) -> str:
    """The content of BkTxCd."""
    domain, _, rest = kind.value.partition("/")
    if not rest:
        return f"<Prtry><Cd>{domain}</Cd></Prtry>"
    family, _, sub_family = rest.partition("/")
    return (
        f"<Domn><Cd>{domain}</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{sub_family}</SubFmlyCd></Fmly>"
        "</Domn>"
    )
