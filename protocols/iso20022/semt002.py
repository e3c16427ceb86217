"""Securities balance custody report (semt.002.001.11), written: a statement of holdings."""

from typing import Final

from protocols.iso20022.lexical import escaped, instant_text
from protocols.iso20022.positions import account
from protocols.iso20022.schemas import ISO
from protocols.iso20022.statements import Holding, HoldingsPage, PageHead

DEFINITION: Final = "semt.002.001.11"


def write(page: HoldingsPage) -> str:
    """The Document as XML text."""
    head = page.head
    return (
        f'<Document xmlns="{ISO}{DEFINITION}"><SctiesBalCtdyRpt>'
        + pagination("Pgntn", head)
        + f"<StmtGnlDtls>{number(head)}<StmtId>{escaped(head.statement, 35)}</StmtId>"
        f"<StmtDtTm><DtTm>{instant_text(head.to_at)}</DtTm></StmtDtTm>"
        + general(head)
        + "</StmtGnlDtls>"
        + owner(head)
        + _servicer(head)
        + account(head.account)
        + "".join(_holding(holding) for holding in page.holdings)
        + "</SctiesBalCtdyRpt></Document>"
    )


def pagination(name: str, head: PageHead) -> str:
    last = "true" if head.last else "false"
    return f"<{name}><PgNb>{head.page}</PgNb><LastPgInd>{last}</LastPgInd></{name}>"


def number(head: PageHead) -> str:
    """RptNb: five digits, which begin again after 99,999 (three centuries of days)."""
    return f"<RptNb><Lng>{head.number % 100_000:05d}</Lng></RptNb>" if head.number else ""


def general(head: PageHead) -> str:
    """Frqcy to SubAcctInd; a statement is complete (COMP) and of what has settled (SETT)."""
    active = "true" if head.active else "false"
    return (
        f"<Frqcy><Cd>{head.frequency}</Cd></Frqcy><UpdTp><Cd>COMP</Cd></UpdTp>"
        f"<StmtBsis><Cd>SETT</Cd></StmtBsis><ActvtyInd>{active}</ActvtyInd>"
        "<SubAcctInd>false</SubAcctInd>"
    )


def owner(head: PageHead) -> str:
    lei = f"<LEI>{escaped(head.lei)}</LEI>" if head.lei else ""
    return f"<AcctOwnr><Id><AnyBIC>{escaped(head.owner)}</AnyBIC></Id>{lei}</AcctOwnr>"


def _servicer(head: PageHead) -> str:
    if head.servicer is None:
        return ""
    return f"<AcctSvcr><Id><AnyBIC>{escaped(head.servicer)}</AnyBIC></Id></AcctSvcr>"


def _holding(holding: Holding) -> str:
    kind = holding.quantity_type

    def quantity(text: str) -> str:
        return f"<Qty><{kind}>{text}</{kind}></Qty>"

    locked = holding.not_available
    blocked = (
        f"<NotAvlblBal>{quantity(locked)}</NotAvlblBal>"
        f"<BalBrkdwn><SubBalTp><Cd>BLOK</Cd></SubBalTp><Qty><Qty>{quantity(locked)}</Qty></Qty>"
        "</BalBrkdwn>"
    )
    return (
        f"<BalForAcct><FinInstrmId><ISIN>{escaped(holding.isin)}</ISIN></FinInstrmId>"
        f"<AggtBal><ShrtLngInd>LONG</ShrtLngInd><Qty><Qty>{quantity(holding.aggregate)}</Qty></Qty>"
        f"</AggtBal><AvlblBal><Qty>{quantity(holding.available)}</Qty></AvlblBal>"
        + ("" if locked == "0" else blocked)
        + "</BalForAcct>"
    )
