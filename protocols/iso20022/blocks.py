"""Pieces that several messages write alike: accounts, parties, amounts, as XML text.

Text is put together, not a tree: a status advice is written in a few microseconds, for each side of
each settlement.
"""

from functools import cache, lru_cache
from typing import Final

from protocols.iso20022.currencies import minor_units
from protocols.iso20022.instruction import (
    AccountKind,
    CashAccountKind,
    Client,
    Movement,
    Payment,
    ProprietaryCode,
    QuantityType,
    SettlementParties,
)
from protocols.iso20022.lexical import escaped, padded


def tag(name: str, text: str | None, length_max: int = 350) -> str:
    """One leaf, or nothing where there is no text."""
    return f"<{name}>{escaped(text, length_max)}</{name}>" if text else ""


def account(kind: AccountKind, identifier: str | None) -> str:
    """The safekeeping account in the element that named it."""
    if not identifier:
        return ""
    begins, ends = _ACCOUNTS[kind]
    return f"{begins}{escaped(identifier, 140)}{ends}"


# To format a member of an enumeration takes longer than to find it.
_ACCOUNTS: Final = {kind: (f"<{kind}><Id>", f"</Id></{kind}>") for kind in AccountKind}


def cash_account(kind: CashAccountKind, identifier: str | None) -> str:
    """The cash account in the element that named it."""
    if not identifier:
        return ""
    if kind is CashAccountKind.WALLET:
        return f"<CshAcct><{kind}><Id>{escaped(identifier, 140)}</Id></{kind}></CshAcct>"
    return f"<CshAcct><{kind}>{escaped(identifier, 34)}</{kind}></CshAcct>"


@cache  # four of them
def direction(movement: Movement, payment: Payment) -> str:
    """Whether securities are delivered or received, and against payment or free of it."""
    return f"<SctiesMvmntTp>{movement.value}</SctiesMvmntTp><Pmt>{payment.value}</Pmt>"


@lru_cache(maxsize=256)  # hardly ever another than TRAD
def transaction_type(code: str | None, proprietary: ProprietaryCode | None) -> str:
    """SctiesTxTp; TRAD (settlement of a trade) where an instruction gave neither."""
    if proprietary is None:
        return f"<SctiesTxTp><Cd>{escaped(code or 'TRAD')}</Cd></SctiesTxTp>"
    return (
        f"<SctiesTxTp><Prtry><Id>{escaped(proprietary.id)}</Id>"
        f"<Issr>{escaped(proprietary.issuer, 35)}</Issr>"
        + tag("SchmeNm", proprietary.scheme, 35)
        + "</Prtry></SctiesTxTp>"
    )


@lru_cache(maxsize=4096)  # the same members trade with each other all day; some MB
def parties(name: str, side: SettlementParties) -> str:
    """One side's depository, party and client."""
    return (
        f"<{name}><Dpstry><Id><AnyBIC>{escaped(side.depository)}</AnyBIC></Id></Dpstry>"
        f"<Pty1><Id><AnyBIC>{escaped(side.party1)}</AnyBIC></Id>"
        + tag("LEI", side.lei)
        + account(side.account_kind, side.account)
        + tag("PrcgId", side.processing_id, 35)
        + "</Pty1>"
        + (_client(side.party2) if side.party2 else "")
        + f"</{name}>"
    )


def _client(client: Client) -> str:
    if client.bic:
        identity = f"<AnyBIC>{escaped(client.bic)}</AnyBIC>"
    elif client.proprietary_id:
        issuer = escaped(client.proprietary_issuer or "", 35)
        identity = (
            f"<PrtryId><Id>{escaped(client.proprietary_id, 35)}</Id><Issr>{issuer}</Issr></PrtryId>"
        )
    else:
        return ""  # known by name only, which the gateway does not keep
    return (
        f"<Pty2><Id>{identity}</Id>"
        + account(client.account_kind, client.account)
        + tag("PrcgId", client.processing_id, 35)
        + "</Pty2>"
    )


def settlement_amount(
    name: str, amount: str | None, currency: str | None, credit_debit: str | None
) -> str:
    """Amount and direction, written with the minor units of its currency (ISO 4217)."""
    if amount is None or currency is None or credit_debit is None:
        return ""
    begins, scale, ends = _around_amount(name, currency, credit_debit)
    return f"{begins}{padded(amount, scale)}{ends}"


@lru_cache(maxsize=1024)  # two directions of each currency, in a few elements
def _around_amount(name: str, currency: str, credit_debit: str) -> tuple[str, int, str]:
    return (
        f'<{name}><Amt Ccy="{escaped(currency)}">',
        minor_units(currency) or 0,
        f"</Amt><CdtDbtInd>{credit_debit}</CdtDbtInd></{name}>",
    )


def quantity(name: str, kind: QuantityType, amount: str) -> str:
    """So much of a security."""
    begins, ends = _around_quantity(name, kind)
    return f"{begins}{amount}{ends}"


@cache  # as many as there are kinds, in two elements
def _around_quantity(name: str, kind: QuantityType) -> tuple[str, str]:
    return f"<{name}><Qty><{kind}>", f"</{kind}></Qty></{name}>"
