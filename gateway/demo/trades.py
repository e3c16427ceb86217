"""The trades of the day: who sells what to whom, and why each is there. Deterministic.

Ordinary trades are drawn so that they settle in any order: nobody delivers or pays more in all than
it has at the beginning. Chains are the exception, on purpose: there the securities arrive during
the day, whoever instructs first.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from gateway.machine.world import AssetSpec, MemberSpec, World

BUSINESS_DATE: Final = date(2026, 10, 8)
TRADE_DATE: Final = date(2026, 10, 6)
"""A Tuesday, and settlement two business days later."""

SEED: Final = 20261008
ORDINARY: Final = 190

SMALL_BANK: Final = "LAGAIE20XXX"
"""Has little cash, sells nothing: it can be short of money for sure."""

CENT: Final = Decimal("0.01")


class Story(StrEnum):
    """Why a trade is in the day."""

    ORDINARY = "ordinary"
    CHAIN = "chain: the securities arrive the same day"
    TOLERANCE = "amounts differ within the tolerance"
    LATE = "settlement date in the past: settles today"
    FUTURE = "settlement date in the future"
    HOLD = "held by one side"
    NO_COUNTERPART = "one side only"
    AMOUNT = "amounts differ beyond the tolerance"
    OTHER_ISIN = "the sides name different securities"
    OTHER_QUANTITY = "the sides name different quantities"
    NO_SECURITIES = "the deliverer is short of securities"
    NO_CASH = "the receiver is short of cash"


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """A trade as its two sides agreed on it; differences are what the receiver writes."""

    story: Story
    seller: str
    buyer: str
    isin: str
    quantity: int  # in whole units: face amount or pieces
    amount: Decimal
    settlement_date: date = BUSINESS_DATE
    buyer_amount: Decimal | None = None
    buyer_isin: str | None = None
    buyer_quantity: int | None = None
    held_by_buyer: bool = False


def deals(world: World) -> list[Deal]:
    """All trades of the day that have two willing sides, or at least one."""
    market = _Market(world)
    found = [*market.chains(), *market.shortages(), *market.disagreements(), *market.calendar()]
    found += market.ordinary(ORDINARY)
    # Exceptions come in among the others, as on any day.
    random.Random(SEED).shuffle(found)
    _assert_coverable(world, found)
    return found


class _Market:
    """Draws trades among the members of a world."""

    def __init__(self, world: World) -> None:
        self._random = random.Random(SEED)
        self._assets = world.ledgers["registry"].assets
        self._held = {member.bic: _held(member) for member in world.members}
        self._bics = [member.bic for member in world.members]
        self._big = [bic for bic in self._bics if bic != SMALL_BANK]

    def ordinary(self, count: int) -> Iterator[Deal]:
        for number in range(count):
            if number % 19 == 0:
                # A small bank buys now and then, within its means.
                seller = self._random.choice(self._big)
                yield self._deal(Story.ORDINARY, seller, SMALL_BANK, most=20)
                continue
            seller, buyer = self._random.sample(self._big, 2)
            yield self._deal(Story.ORDINARY, seller, buyer)

    def _deal(self, story: Story, seller: str, buyer: str, most: int = 1_000) -> Deal:
        """A trade in something that both have already, so that it depends on no other."""
        common = [isin for isin in self._held[seller] if isin in self._held[buyer]]
        return self._of(story, seller, buyer, self._random.choice(common), most=most)

    def _of(
        self, story: Story, seller: str, buyer: str, isin: str, *, least: int = 5, most: int = 1_000
    ) -> Deal:
        lots = self._random.randint(least, most)
        quantity, price = _lot(self._assets[isin]) * lots, self._price(self._assets[isin])
        return Deal(
            story=story,
            seller=seller,
            buyer=buyer,
            isin=isin,
            quantity=quantity,
            amount=(quantity * price).quantize(CENT),
        )

    def _price(self, asset: AssetSpec) -> Decimal:
        if asset.quantity_type == "FaceAmt":
            return Decimal(self._random.randint(95_000, 103_000)) / 100_000
        return Decimal(self._random.randint(1_000, 15_000)) / 100

    def chains(self) -> Iterator[Deal]:
        """Securities that their seller has to receive first."""
        isins = list(self._assets)
        for isin, path in (
            (isins[0], (0, 3, 7, 1)),
            (isins[1], (4, 2, 5)),
            (isins[1], (3, 6, 8)),
            (isins[2], (0, 1, 3)),
            (isins[2], (6, 5, 7)),
            (isins[3], (1, 4, 2)),
            (isins[3], (5, 8, 9)),
        ):
            first = self._of(Story.CHAIN, self._bics[path[0]], self._bics[path[1]], isin)
            yield first
            for seller, buyer in itertools.pairwise(path[1:]):
                yield msgspec.structs.replace(
                    first, seller=self._bics[seller], buyer=self._bics[buyer]
                )

    def shortages(self) -> Iterator[Deal]:
        isins = list(self._assets)
        for seller, buyer, isin in ((3, 0, 4), (7, 1, 4), (11, 5, 4), (2, 9, 5)):
            assert isins[isin] not in self._held[self._bics[seller]]
            yield self._of(Story.NO_SECURITIES, self._bics[seller], self._bics[buyer], isins[isin])
        for seller in (0, 4, 8):
            isin_held = self._held[self._bics[seller]][0]
            yield self._of(
                Story.NO_CASH, self._bics[seller], SMALL_BANK, isin_held, least=900, most=1_000
            )

    def disagreements(self) -> Iterator[Deal]:
        for n, difference in enumerate(("2.00", "-2.00", "25.00", "-25.00", "0.01", "24.99")):
            small = n < 2  # up to and including 100,000 the tolerance is 2.00, above it 25.00
            seller, buyer = self._random.sample(self._big, 2)
            deal = self._deal(Story.TOLERANCE, seller, buyer)
            amount = Decimal("99850.25") if small else deal.amount + 250_000
            yield msgspec.structs.replace(
                deal, amount=amount, buyer_amount=amount + Decimal(difference)
            )
        for difference in ("2.01", "25.01"):
            seller, buyer = self._random.sample(self._big, 2)
            deal = self._deal(Story.AMOUNT, seller, buyer)
            amount = Decimal("99850.25") if difference == "2.01" else deal.amount + 250_000
            yield msgspec.structs.replace(
                deal, amount=amount, buyer_amount=amount + Decimal(difference)
            )
        yield from self._mismatches()

    def _mismatches(self) -> Iterator[Deal]:
        for story in (Story.OTHER_ISIN, Story.OTHER_QUANTITY, Story.NO_COUNTERPART):
            for _ in range(2):
                seller, buyer = self._random.sample(self._big, 2)
                deal = self._deal(story, seller, buyer)
                kind = self._assets[deal.isin].quantity_type
                other = next(
                    isin
                    for isin, asset in self._assets.items()
                    if isin != deal.isin and asset.quantity_type == kind
                )
                yield msgspec.structs.replace(
                    deal,
                    buyer_isin=other if story is Story.OTHER_ISIN else None,
                    buyer_quantity=deal.quantity * 2 if story is Story.OTHER_QUANTITY else None,
                )

    def calendar(self) -> Iterator[Deal]:
        for story, day in (
            (Story.LATE, date(2026, 10, 7)),
            (Story.LATE, date(2026, 10, 6)),
            (Story.FUTURE, date(2026, 10, 9)),
            (Story.FUTURE, date(2026, 10, 12)),
        ):
            seller, buyer = self._random.sample(self._big, 2)
            yield msgspec.structs.replace(self._deal(story, seller, buyer), settlement_date=day)
        for _ in range(2):
            seller, buyer = self._random.sample(self._big, 2)
            yield msgspec.structs.replace(self._deal(Story.HOLD, seller, buyer), held_by_buyer=True)


def _held(member: MemberSpec) -> Sequence[str]:
    """The securities that a member has at the beginning."""
    (assets,) = member.accounts["registry"].values()
    return list(assets)


def _lot(asset: AssetSpec) -> int:
    """Bonds trade in thousands of face amount, shares in tens."""
    return 1_000 if asset.quantity_type == "FaceAmt" else 10


def _assert_coverable(world: World, found: Sequence[Deal]) -> None:
    """Whatever the order, only chains wait for another trade, and only shortages never settle."""
    delivered: Counter[tuple[str, str]] = Counter()
    paid: Counter[str] = Counter()
    for deal in found:
        if deal.story not in (Story.CHAIN, Story.NO_SECURITIES):
            delivered[deal.seller, deal.isin] += deal.quantity
        if deal.story is not Story.NO_CASH:
            paid[deal.buyer] += int(deal.amount) + 30
    for member in world.members:
        (holdings,) = member.accounts["registry"].values()
        (cash,) = member.accounts["euro"].values()
        for isin, quantity in holdings.items():
            assert delivered[member.bic, isin] <= Decimal(quantity), "sold out"
        assert paid[member.bic] <= Decimal(cash["EUR"]), f"{member.bic} has spent too much"
    assert all(deal.amount > Decimal("750000") for deal in found if deal.story is Story.NO_CASH), (
        "the small bank could pay"
    )
