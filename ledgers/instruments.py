"""Reference data: what an asset is, and the checks of the identifiers that name things.

Structure and check digits are those of the standards: ISIN (ISO 6166), LEI (ISO 17442), BIC
(ISO 9362), currency codes (ISO 4217), by python-stdnum where there is a check digit.
"""

import re
from typing import Final

import msgspec
from stdnum import bic, isin, lei

from htlc.units import AccountId, AssetId

SCALE_MAX: Final = 17
"""Decimals of a quantity: `fractionDigits` of ISO 20022's ImpliedCurrencyAndAmount family and of
FinancialInstrumentQuantity end at 17; 63 bits hold 18 digits anyway."""

_currency_code = re.compile(r"[A-Z]{3}").fullmatch


class ReferenceDataError(ValueError):
    """Reference data that breaks a rule: `field` names the place, `rule` the reason."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """An asset that a ledger keeps. `counter` is its counter-account: it stands at minus the
    issued amount, so all accounts of the asset sum to zero, always."""

    asset: AssetId
    name: str
    scale: int  # decimals of its public notation
    quantity_type: str  # FaceAmt | Unit for securities, Ccy for money
    issuer: str  # the principal that may issue and redeem
    counter: AccountId  # the issuer's account, or the central bank's reserves account


def is_isin(text: str) -> bool:
    """Whether `text` is an ISIN in its one spelling, check digit included (ISO 6166)."""
    return len(text) == 12 and text.isascii() and text.isupper() and bool(isin.is_valid(text))


def is_lei(text: str) -> bool:
    """Whether `text` is an LEI in its one spelling, check digits included (ISO 17442)."""
    return len(text) == 20 and text.isascii() and text.isupper() and bool(lei.is_valid(text))


def is_bic(text: str) -> bool:
    """Whether `text` is a BIC of 8 or 11 characters in its one spelling (ISO 9362)."""
    return len(text) in (8, 11) and text.isascii() and text.isupper() and bool(bic.is_valid(text))


def is_currency_code(text: str) -> bool:
    """Whether `text` has the form of an ISO 4217 code. Which codes are served, and their scale, is
    the ledger's reference data: a new currency needs no new release."""
    return _currency_code(text) is not None


def require_scale(scale: int) -> None:
    """Raise ReferenceDataError unless `scale` can be written in a message."""
    if not 0 <= scale <= SCALE_MAX:
        raise ReferenceDataError("scale", f"a scale is 0 to {SCALE_MAX} decimals")
