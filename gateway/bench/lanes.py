"""Where trades of a shape can run: members in circles, with accounts that hold enough."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.access import Access, Members
from gateway.bench.plan import SECURITY_LEG, Asset, Holder, Lane, Shape
from gateway.http import wire
from htlc.units import QUANTITY_MAX
from ledgers.port import AssetDescription

ROOM: Final = 100_000
"""Smallest units that a party must hold of what it pays: some hundred trades in one direction."""

Balances = dict[tuple[str, str, str], int]
"""Ledger, account, asset: the balance."""

LANES_MAX: Final = 64
"""Of one circle: trades over so many accounts meet each other as seldom as in a market."""

Groups = tuple[tuple[Lane, ...], ...]


class Unfit(Exception):
    """The system has nothing for trades of this shape, in one line."""


def ledgers(shape: Shape, found: wire.LedgerList) -> tuple[wire.LedgerView, ...]:
    """A ledger for each leg, in the order of the gateway's list. Raises Unfit."""
    free = {
        kind: [view for view in found.ledgers if view.kind == kind and view.assets]
        for kind in ("securities", "currency")
    }
    chosen = []
    for leg in shape.legs:
        kind = "securities" if leg == SECURITY_LEG else "currency"
        if not free[kind]:
            raise Unfit(f"there are not enough {kind} ledgers: {shape} takes {len(shape.legs)}")
        chosen.append(free[kind].pop(0))
    return tuple(chosen)


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """What lanes are found in: a ledger for each leg, the members, and what everybody holds."""

    ledgers: tuple[wire.LedgerView, ...]
    members: Members
    held: Balances
    without_power: frozenset[str] = frozenset()  # members that have to consent to each trade

    def groups(self) -> Groups:
        """Members in circles, in the order of members.json, with the lanes of each. Raises Unfit
        if there are none."""
        size = len(self.ledgers)
        able = [
            number
            for number, bic in enumerate(self.members.members)
            if bic not in self.without_power
        ]
        circles = [able[start : start + size] for start in range(0, len(able) - size + 1, size)]
        found = tuple(lanes for circle in circles if (lanes := self._lanes(circle)))
        if not found:
            names = ", ".join(view.name for view in self.ledgers)
            raise Unfit(f"no {size} members hold enough on {names} to trade with each other")
        return found

    def absent(self) -> Holder | None:
        """A member that would have to consent, with an account on each of the ledgers."""
        for number, (bic, member) in enumerate(self.members.members.items()):
            accounts = member.accounts
            if bic in self.without_power and all(accounts.get(v.name) for v in self.ledgers):
                first = {view.name: accounts[view.name][0] for view in self.ledgers}
                return Holder(member=number, accounts=first)
        return None

    def _lanes(self, circle: Sequence[int]) -> tuple[Lane, ...]:
        """One for each asset of the first ledger, or for each account if these are more."""
        listed = [len(view.assets) for view in self.ledgers[:1]]
        owned = [
            len(accounts)
            for number in circle
            for accounts in self._member(number).accounts.values()
        ]
        places = range(min(LANES_MAX, max(*listed, *owned, 1)))
        lanes = [lane for place in places if (lane := self._lane(circle, place)) is not None]
        return tuple(lane for n, lane in enumerate(lanes) if lane not in lanes[:n])

    def _lane(self, circle: Sequence[int], place: int) -> Lane | None:
        first, *others = self.ledgers
        codes = (first.assets[place % len(first.assets)], *(view.assets[0] for view in others))
        assets = tuple(map(self._asset, self.ledgers, codes))
        parties = []
        for n, number in enumerate(circle):  # it is paid the asset before its own
            party = self._holder(number, place, (assets[n - 1], assets[n]))
            if party is None:
                return None
            parties.append(party)
        return Lane(assets=assets, parties=tuple(parties))

    def _holder(self, number: int, place: int, assets: Sequence[Asset]) -> Holder | None:
        """A member with an account for each of these assets, each with enough of it."""
        accounts = self._member(number).accounts
        chosen = {}
        for asset in assets:
            fit = [
                account
                for account in accounts.get(asset.ledger, ())
                if self.held.get((asset.ledger, account, asset.code), 0) >= ROOM
            ]
            if not fit:
                return None
            chosen[asset.ledger] = fit[place % len(fit)]
        return Holder(member=number, accounts=chosen)

    def _member(self, number: int) -> Access:
        return list(self.members.members.values())[number]

    def _asset(self, view: wire.LedgerView, listed: AssetDescription) -> Asset:
        # The issuer's own account stands below zero.
        held = sum(
            max(quantity, 0)
            for (ledger, _, code), quantity in self.held.items()
            if (ledger, code) == (view.name, listed.asset)
        )
        return Asset(
            code=listed.asset,
            ledger=view.name,
            scale=listed.scale,
            quantity_type=listed.quantity_type,
            beyond=min(QUANTITY_MAX, held + 1),
        )


def hot(found: Groups) -> tuple[Lane, ...]:
    """The lanes of the first circle, all over the one cash account on the last leg's ledger of its
    first party, which is paid there, or pays in reverse."""
    lanes = found[0]
    ledger = lanes[0].assets[-1].ledger
    account = lanes[0].parties[0].accounts[ledger]
    changed = []
    for lane in lanes:
        first, *others = lane.parties
        party = replace(first, accounts=first.accounts | {ledger: account})
        changed.append(replace(lane, parties=(party, *others)))
    return tuple(changed)
