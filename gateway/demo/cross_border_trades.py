"""The trades of the cross-border demonstration: who sells what to whom in another country. Pure."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from gateway.demo.trades import BUSINESS_DATE, TRADE_DATE
from gateway.demo.writing import Custodian, Desk
from gateway.machine.world import World, holdings
from htlc.units import AccountId
from ledgers.icsd.nodes import home
from protocols.iso20022.instruction import Movement

LEDGER: Final = "securities"

CASH: Final = {"KZT": "tenge", "UZS": "som"}

SEED: Final = 20261008
"""The same trades each time."""

PRICES: Final = {"KZT": Decimal("98.25"), "UZS": Decimal("2410.50")}
"""Per unit; any would do."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery against payment between members of two countries."""

    id: str
    seller: str
    buyer: str
    isin: str
    quantity: int  # whole units or face amount
    currency: str
    amount: Decimal

    def of(self, bic: str) -> Movement:
        """What a side of the trade does."""
        return Movement.DELI if bic == self.seller else Movement.RECE


def trades(world: World, count: int) -> list[Trade]:
    """`count` trades, each across a border; with the issuer's often three countries take part."""
    draw = random.Random(SEED)
    members = list(world.members)
    isins = sorted(world.ledgers[LEDGER].assets)
    made = []
    for number in range(1, count + 1):
        seller, buyer = draw.sample(members, 2)
        while country(world, seller.bic) == country(world, buyer.bic):
            seller, buyer = draw.sample(members, 2)
        quantity = draw.randrange(100, 5_000, 100)
        currency = draw.choice(sorted(CASH))
        made.append(
            Trade(
                id=f"XB-{number:04d}",
                seller=seller.bic,
                buyer=buyer.bic,
                isin=draw.choice(isins),
                quantity=quantity,
                currency=currency,
                amount=quantity * PRICES[currency],
            )
        )
    return made


def country(world: World, bic: str) -> str:
    """The registry at which a member is at home."""
    account = account_of(world, bic)
    found = home(AccountId(account), world.ledgers[LEDGER].registries)
    assert found is not None, "checked when the world was loaded"
    return found


def account_of(world: World, bic: str) -> str:
    """A member's account on the network."""
    [member] = [member for member in world.members if member.bic == bic]
    return next(iter(member.accounts[LEDGER]))


def messages(world: World, all_trades: Sequence[Trade]) -> dict[str, list[tuple[str, str]]]:
    """The sese.023 of each member, in their order: its BizMsgIdr and the message."""
    desk = Desk(world, registry=LEDGER, cash=CASH)
    written: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for trade in all_trades:
        for bic, other in ((trade.seller, trade.buyer), (trade.buyer, trade.seller)):
            written[bic].append(_message(desk, desk.custodians[bic], other, trade))
    return dict(written)


def _message(desk: Desk, sender: Custodian, counterparty: str, trade: Trade) -> tuple[str, str]:
    instruction = desk.instruction(
        sender,
        trade.of(sender.bic),
        counterparty=counterparty,
        common=trade.id,
        trade_date=TRADE_DATE,
        settlement_date=BUSINESS_DATE,
        isin=trade.isin,
        quantity=trade.quantity,
        amount=trade.amount,
        currency=trade.currency,
    )
    return sender.message(instruction)


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a member's account must hold in the end, in the smallest unit."""

    member: str
    registry: str
    account: str
    isin: str
    quantity: int


def expected(world: World, all_trades: Sequence[Trade]) -> Iterator[Expected]:
    """The opening balances, and every trade, for each account and instrument."""
    moved: defaultdict[tuple[str, str], int] = defaultdict(int)
    for trade in all_trades:
        units = trade.quantity * 10 ** world.ledgers[LEDGER].assets[trade.isin].scale
        moved[trade.seller, trade.isin] -= units
        moved[trade.buyer, trade.isin] += units
    for held in holdings(world):
        if held.ledger == LEDGER:
            yield Expected(
                member=held.member,
                registry=country(world, held.member),
                account=held.account,
                isin=held.asset,
                quantity=held.quantity + moved[held.member, held.asset],
            )
