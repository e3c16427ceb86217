"""Securities settlement condition modification request (sese.030): decode versions .09 and .10."""

from typing import Final

from lxml import etree

from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.lexical import boolean
from protocols.iso20022.requests import HoldRequest
from protocols.iso20022.schemas import local_name
from protocols.iso20022.sese020 import account_of

PARTY_HOLD: Final = "PTYH"


def decode(enveloped: Enveloped) -> HoldRequest:
    """The request in a validated message. One change of one instruction is a request that is
    served; `unserved` says what this one has instead."""
    root = enveloped.document[0]
    changes = root.findall("{*}ReqDtls")
    asked = changes[0]
    hold = asked.findtext("{*}HldInd/{*}Ind")
    return HoldRequest(
        transaction_id=asked.findtext("{*}Ref/{*}AcctOwnrTxId"),
        hold=None if hold is None else boolean(hold),
        by_party=_is_by_party(asked),
        account=account_of(root),
        unserved=_unserved(changes),
    )


def _is_by_party(asked: etree._Element) -> bool:
    """PTYH, or no reason at all: a party's own hold."""
    reasons = asked.findall("{*}HldInd/{*}Rsn")
    return all(reason.findtext("{*}Cd/{*}Cd") == PARTY_HOLD for reason in reasons)


def _unserved(changes: list[etree._Element]) -> str | None:
    if len(changes) > 1:
        return "ReqDtls: one change in one message"
    names = [local_name(child) for child in changes[0]]
    other = [name for name in names if name not in ("Ref", "HldInd")]
    if other:
        return f"{other[0]}: only the hold indicator can be changed here"
    return None if "HldInd" in names else "HldInd: is missing; there is nothing else to change here"
