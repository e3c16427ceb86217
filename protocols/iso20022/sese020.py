"""Securities transaction cancellation request (sese.020): decode versions .07 and .09."""

from lxml import etree

from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.instruction import Movement, Payment
from protocols.iso20022.requests import CancellationRequest
from protocols.iso20022.schemas import local_name


def decode(enveloped: Enveloped) -> CancellationRequest:
    """The request in a validated message. One about another thing than a settlement instruction
    (securities financing, an intra-position movement) has no `movement`."""
    root = enveloped.document[0]
    choice = root[0][0]  # AcctOwnrTxId comes first, and is a choice
    account = account_of(root)
    if local_name(choice) != "SctiesSttlmTxId":
        text = choice.findtext("{*}TxId") or choice.findtext("{*}Id") or choice.text or ""
        return CancellationRequest(transaction_id=text.strip(), account=account)
    return CancellationRequest(
        transaction_id=choice.findtext("{*}TxId") or "",
        movement=Movement(choice.findtext("{*}SctiesMvmntTp") or ""),
        payment=Payment(choice.findtext("{*}Pmt") or ""),
        account=account,
    )


def account_of(root: etree._Element) -> str | None:
    """The safekeeping account that a request names, in either of its elements."""
    return root.findtext("{*}SfkpgAcct/{*}Id") or root.findtext("{*}BlckChainAdrOrWllt/{*}Id")
