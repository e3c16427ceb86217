"""What a pair of instructions moves, in integers, and the swap of its attempts."""

from decimal import Decimal
from typing import Final

import msgspec

from htlc.swap import Amount, Party, Swap, dvp
from htlc.units import SettlementId, Value

SECURITIES: Final = 0
CASH: Final = 1
"""The legs of a DvP, in the order of `htlc.swap.dvp`."""

Holding = tuple[str, str, str]
"""A ledger, an account on it, and an asset."""


class Amounts(Value, frozen=True, kw_only=True):
    """What a pair moves, in integers, and from which accounts to which (reference data)."""

    securities: Amount
    cash: Amount
    seller: tuple[Party, Party]  # on the securities ledger, on the cash ledger
    buyer: tuple[Party, Party]

    @property
    def needs(self) -> tuple[Holding, ...]:
        """What the payers must hold."""
        securities, cash = self.securities, self.cash
        return (
            (securities.ledger, self.seller[SECURITIES].account, securities.asset),
            (cash.ledger, self.buyer[CASH].account, cash.asset),
        )

    def swap(self, id: SettlementId) -> Swap:
        """The swap of an attempt: securities against the deliverer's amount (the matched one)."""
        seller, buyer = self.seller, self.buyer
        drawn = dvp(
            id,
            seller=seller[SECURITIES],
            buyer=buyer[SECURITIES],
            securities=self.securities,
            cash=self.cash,
        )
        secu, cash = drawn.legs
        cash = msgspec.structs.replace(cash, payer=buyer[CASH], payee=seller[CASH])
        return msgspec.structs.replace(drawn, legs=(secu, cash))


def minor_units(text: str, scale: int) -> int:
    """Canonical decimal text in the smallest unit; its digits were checked at intake."""
    units = Decimal(text).scaleb(scale)
    assert units == units.to_integral_value(), "excess digits are refused at intake"
    return int(units)
