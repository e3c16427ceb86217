"""A currency as an instrument of a book: tokenised central bank money and its one rule.

The rule: an issue debits the central bank's reserves account and credits a wallet, a redemption
does the reverse; nothing else touches the reserves account. So it stands at minus the money in
issue, and the sum of all wallets (available and locked) is the money in issue, always.
"""

from typing import Final

from htlc.units import AccountId, AssetId
from ledgers.instruments import Instrument, ReferenceDataError, is_currency_code, require_scale

QUANTITY_TYPE: Final = "Ccy"
"""The quantity type of money; securities have FaceAmt and Unit."""


def currency(
    *, code: str, scale: int, central_bank: str, reserves_account: AccountId
) -> Instrument:
    """A currency by its ISO 4217 code. Raises ReferenceDataError for what breaks a rule."""
    if not is_currency_code(code):
        raise ReferenceDataError("currency", "a currency code is three capitals (ISO 4217)")
    require_scale(scale)
    return Instrument(
        asset=AssetId(code),
        name=code,
        scale=scale,
        quantity_type=QUANTITY_TYPE,
        issuer=central_bank,
        counter=reserves_account,
    )
