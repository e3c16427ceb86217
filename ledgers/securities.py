"""Securities as instruments of a book: a registry's master data and its one rule.

The rule: an issue debits the issuer account and credits a holder, a redemption does the reverse;
nothing else touches the issuer account. So the issuer account stands at minus the issued amount,
and the sum of all holdings (available and locked) is the issued amount, always.
"""

from typing import Final

from htlc.units import AccountId, AssetId
from ledgers.instruments import Instrument, ReferenceDataError, is_isin, require_scale

QUANTITY_TYPES: Final = ("FaceAmt", "Unit")
"""The choices of FinancialInstrumentQuantity that a registry keeps (ISO 20022): debt by face
amount, shares and funds by unit. AmtsdVal (amortised value) is derived, never held."""

NAME_LENGTH_MAX: Final = 350
"""ISIN master data: the FISN has 35, an instrument's long name 350 characters (Max350Text)."""


def security(
    *, isin: str, name: str, scale: int, quantity_type: str, issuer: str, issuer_account: AccountId
) -> Instrument:
    """A security by its ISIN. Raises ReferenceDataError for master data that breaks a rule."""
    if not is_isin(isin):
        raise ReferenceDataError("isin", "not an ISIN with a right check digit (ISO 6166)")
    if not 1 <= len(name) <= NAME_LENGTH_MAX:
        raise ReferenceDataError("name", f"a name has 1 to {NAME_LENGTH_MAX} characters")
    if quantity_type not in QUANTITY_TYPES:
        raise ReferenceDataError("quantity_type", f"one of {', '.join(QUANTITY_TYPES)}")
    require_scale(scale)
    return Instrument(
        asset=AssetId(isin),
        name=name,
        scale=scale,
        quantity_type=quantity_type,
        issuer=issuer,
        counter=issuer_account,
    )
