"""One trade: where it runs and in which direction, how much moves, and how it has to end."""

from typing import Final

import msgspec

from gateway.bench.plan import Asset, Fate, Holder, Lane

QUANTITIES: Final = 1000
"""Different quantities of each leg: few enough to be written once."""

_STEPS: Final = (1, 7, 11, 13)
"""By which the quantities of a trade's legs go on, so that they differ from each other."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a trade; the quantity in the asset's smallest units."""

    asset: Asset
    payer: Holder
    payee: Holder
    quantity: int


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement to be. `reverse`: each party pays the one before it, not the next one."""

    id: str
    lane: Lane
    reverse: bool
    quantities: tuple[int, ...]
    fate: Fate = Fate.SETTLED

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Its legs, in the order of the shape."""
        parties = self.lane.parties
        following = (*parties[1:], parties[0])
        sides = zip(parties, following, strict=True)
        return tuple(
            Transfer(
                asset=asset,
                payer=two if self.reverse else one,
                payee=one if self.reverse else two,
                quantity=quantity,
            )
            for asset, (one, two), quantity in zip(
                self.lane.assets, sides, self.quantities, strict=True
            )
        )

    @property
    def first_payer(self) -> Holder:
        """Who pays the first leg: of a DvP the seller. It hands the trade in."""
        return self.lane.parties[1 if self.reverse else 0]

    @property
    def first_payee(self) -> Holder:
        """Who is paid by the first leg: of a DvP the buyer."""
        return self.lane.parties[0 if self.reverse else 1]


def quantities(number: int, legs: int) -> tuple[int, ...]:
    """What the trade of this number moves on each leg."""
    return tuple(1 + number * step % QUANTITIES for step in _STEPS[:legs])
