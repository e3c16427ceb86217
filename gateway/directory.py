"""Reference data: members, their accounts, and which ledger keeps which asset.

Configuration says who is who; the ledgers themselves say which assets they keep and with how many
decimals. What they said is stored, so that intake does not depend on which of them is up.
"""

import time
from typing import Final

import msgspec

from gateway.amounts import CASH, SECURITIES, Amounts, Holding, minor_units
from gateway.config import LedgerSettings, MemberSettings, Settings
from gateway.fx_pairs import FxAmounts, FxPair, FxSide
from gateway.pairs import (
    MatchedPair,
    Pair,
    Side,
)
from htlc.agreement import LedgerProfile
from htlc.swap import Amount, Leg, Party, Swap
from htlc.units import AccountId, AssetId, Instant, LedgerId, MemberId, Quantity, SettlementId
from ledgers.port import AssetDescription, Description, LockKind
from protocols.iso20022.lexical import bic11


class Directory:
    """What the gateway knows of members and ledgers."""

    def __init__(self, settings: Settings) -> None:
        self._members = {bic11(member.bic): member for member in settings.members}
        self._ledgers = settings.ledgers
        self._accounts_of = frozenset(
            (ledger, bic, account)
            for bic, member in self._members.items()
            for ledger, accounts in member.accounts.items()
            for account in accounts
        )
        #: Members whose payments need no order of their own (standing power of attorney).
        self.attorneys: Final = frozenset(
            MemberId(bic) for bic, member in self._members.items() if member.power_of_attorney
        )
        self.descriptions: dict[LedgerId, Description] = {}
        self.distrusted: dict[str, str] = {}  # ledgers that failed the preflight, and why
        #: What is not reconciled, by ledger and asset (empty: the whole ledger): no new locks.
        self.stopped: set[tuple[str, str]] = set()
        self._assets: dict[tuple[str, AssetId], LedgerId] = {}
        self._scales: dict[tuple[str, str], int] = {}  # decimals, by ledger and asset
        self._described: dict[tuple[LedgerId, AssetId], AssetDescription] = {}
        self._profiles: dict[LedgerId, LedgerProfile] = {}  # as at the time they were told

    def learn(self, name: LedgerId, description: Description) -> None:
        """A ledger has told what it is and keeps."""
        self.descriptions[name] = description
        self._profiles[name] = LedgerProfile(
            two_key=LockKind.TWO_KEY in description.lock_kinds,
            htlc=LockKind.HTLC in description.lock_kinds,
            functions=description.hash_functions,
            latency=self._ledgers[name].latency.latency(),
            now=description.at,
        )
        kind = self._ledgers[name].kind
        for asset in description.assets:
            self._assets[kind, asset.asset] = name
            self._scales[name, asset.asset] = asset.scale
            self._described[name, asset.asset] = asset

    @property
    def complete(self) -> bool:
        """Every configured ledger has told, now or before the last start, what it keeps. Until
        then nothing can be judged: an asset that is not known may be on the ledger not heard. One
        that is not trusted has been heard, and must not hold up what settles elsewhere."""
        return self.descriptions.keys() | self.distrusted.keys() >= self._ledgers.keys()

    def member(self, bic: str) -> MemberSettings | None:
        return self._members.get(bic11(bic))

    def has_power_of_attorney(self, bic: str) -> bool:
        """Whether the gateway may pay for a member without an order of its own."""
        return MemberId(bic11(bic)) in self.attorneys

    def advise_after(self, bic: str) -> float:
        """Seconds after which a member is told of a state that lasts; at once where reference data
        no longer knows it."""
        member = self.member(bic)
        return 0.0 if member is None else member.advise_after_seconds

    @property
    def members(self) -> dict[str, MemberSettings]:
        """By eleven-character BIC."""
        return self._members

    @property
    def ledgers(self) -> dict[str, LedgerSettings]:
        return self._ledgers

    def scale(self, ledger: str, asset: str) -> int | None:
        return self._scales.get((ledger, asset))

    def asset(self, ledger: str, asset: str) -> AssetDescription:
        """What a ledger told of an asset that it keeps."""
        return self._described[LedgerId(ledger), AssetId(asset)]

    def keeper(self, kind: str, asset: str) -> LedgerId | None:
        """The ledger of that kind that keeps an asset."""
        return self._assets.get((kind, AssetId(asset)))

    def money(self, currency: str) -> tuple[LedgerId, int] | None:
        """The ledger that keeps a currency, and the decimals of its smallest unit there."""
        name = self.keeper("currency", currency)
        return None if name is None else (name, self._scales[name, currency])

    def account(self, bic: str, ledger: str, named: str | None) -> AccountId | None:
        """The account named if it is the member's, else its first on that ledger."""
        member = self.member(bic)
        accounts = member.accounts.get(ledger, ()) if member else ()
        if named is not None:
            return AccountId(named) if named in accounts else None
        return AccountId(accounts[0]) if accounts else None

    def is_account(self, ledger: LedgerId, party: Party) -> bool:
        """Whether the account is this member's, on that ledger."""
        return (ledger, bic11(party.member), party.account) in self._accounts_of

    def knows(self, leg: Leg) -> bool:
        """Whether nothing that is known here speaks against a leg, as nearly always."""
        ledger, payer, payee = leg.ledger, leg.payer, leg.payee
        return (
            (ledger, leg.asset) in self._scales
            and ledger not in self.distrusted
            and not (self.stopped and self.is_stopped(ledger, leg.asset))
            and (ledger, payer.member, payer.account) in self._accounts_of
            and (ledger, payee.member, payee.account) in self._accounts_of
        )

    def owner(self, ledger: LedgerId, account: AccountId) -> MemberId | None:
        """The member whose account it is."""
        for bic, member in self._members.items():
            if account in member.accounts.get(ledger, ()):
                return MemberId(bic)
        return None

    def profile(self, name: LedgerId, at: Instant | None) -> LedgerProfile | None:
        """What an agreement needs to know of a ledger, at its time; None until it was heard, and
        for one that is not trusted."""
        profile = self._profiles.get(name)
        if profile is None or at is None or name in self.distrusted:
            return None
        return msgspec.structs.replace(profile, now=at)

    def amounts(self, pair: Pair) -> Amounts | None:
        """What a pair moves from where to where; None if reference data no longer tells."""
        deliver = pair.deliver.instruction
        registry = self.keeper("securities", deliver.isin)
        bank = self.keeper("currency", deliver.currency or "")
        if registry is None or bank is None or deliver.amount is None:
            return None
        seller = self._accounts(pair.deliver, registry, bank)
        buyer = self._accounts(pair.receive, registry, bank)
        if seller is None or buyer is None:
            return None
        return Amounts(
            securities=self._amount(registry, deliver.isin, deliver.quantity),
            cash=self._amount(bank, deliver.currency or "", deliver.amount),
            seller=seller,
            buyer=buyer,
        )

    def fx_amounts(self, pair: FxPair) -> FxAmounts | None:
        """What a pair of trades exchanges; None if reference data no longer tells."""
        gift, gain = pair.a.instruction.sells, pair.a.instruction.buys
        ledgers = (self.keeper("currency", gift.currency), self.keeper("currency", gain.currency))
        if ledgers[0] is None or ledgers[1] is None:
            return None
        side_a = self._fx_accounts(pair.a, (ledgers[0], ledgers[1]))
        side_b = self._fx_accounts(pair.b, (ledgers[0], ledgers[1]))
        if side_a is None or side_b is None:
            return None
        return FxAmounts(
            gives=self._amount(ledgers[0], gift.currency, gift.amount),
            gets=self._amount(ledgers[1], gain.currency, gain.amount),
            side_a=side_a,
            side_b=side_b,
        )

    def needs(self, pair: MatchedPair) -> tuple[Holding, ...]:
        """What the payers of a pair must hold for it to settle."""
        amounts = self._moved(pair)
        return () if amounts is None else amounts.needs

    def is_stopped(self, ledger: str, asset: str) -> bool:
        """A break of reconciliation is open: nothing new is locked."""
        return bool(self.stopped) and not self.stopped.isdisjoint({(ledger, asset), (ledger, "")})

    def is_pair_stopped(self, pair: MatchedPair) -> bool:
        """The same of what a pair moves."""
        return bool(self.stopped) and any(
            self.is_stopped(ledger, asset) for ledger, _, asset in self.needs(pair)
        )

    def swap(self, id: SettlementId, pair: MatchedPair) -> Swap | None:
        """The swap of a pair's attempt; None if reference data no longer tells, or reconciliation
        has stopped what it moves."""
        if self.is_pair_stopped(pair):
            return None
        amounts = self._moved(pair)
        return None if amounts is None else amounts.swap(id)

    def _moved(self, pair: MatchedPair) -> Amounts | FxAmounts | None:
        if isinstance(pair, FxPair):
            return self.fx_amounts(pair)
        assert isinstance(pair, Pair), "securities or currencies"
        return self.amounts(pair)

    def _fx_accounts(
        self, side: FxSide, ledgers: tuple[LedgerId, LedgerId]
    ) -> tuple[Party, Party] | None:
        """The side's accounts on the ledgers of A's gift and of B's: it pays from one, is paid on
        the other."""
        trade, member = side.instruction, MemberId(side.member)
        accounts = []
        for ledger in ledgers:
            pays = self.keeper("currency", trade.sells.currency) == ledger
            named = trade.paying_account if pays else trade.receiving_account
            accounts.append(self.account(side.member, ledger, named))
        if accounts[0] is None or accounts[1] is None:
            return None
        return (
            Party(member=member, account=accounts[0]),
            Party(member=member, account=accounts[1]),
        )

    def _amount(self, ledger: LedgerId, asset: str, text: str) -> Amount:
        scale = self._scales[ledger, asset]
        return Amount(
            ledger=ledger, asset=AssetId(asset), quantity=Quantity(minor_units(text, scale))
        )

    def _accounts(
        self, side: Side, registry: LedgerId, bank: LedgerId
    ) -> tuple[Party, Party] | None:
        instruction = side.instruction
        named = instruction.own_account
        accounts = (
            self.account(side.member, registry, named),
            self.account(side.member, bank, instruction.cash_account),
        )
        if accounts[SECURITIES] is None or accounts[CASH] is None:
            return None
        member = MemberId(side.member)
        return (
            Party(member=member, account=accounts[SECURITIES]),
            Party(member=member, account=accounts[CASH]),
        )


def now_ns() -> int:
    """Our wall clock: for time stamps in messages, never for a decision about a lock."""
    return time.time_ns()
