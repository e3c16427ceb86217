"""A registry's node as its own statements read it: its members and their accounts as they stand in
the book, its postings, and whose message each of them came from."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.icsd_node.message_room import decoded, reread
from gateway.icsd_node.message_store import QUERIES
from gateway.sql import Pool
from gateway.statements.references import Reference
from htlc.units import AccountId, Instant, LedgerId
from ledgers.books import Holdings, Position
from ledgers.hosted import PAGE_MAX
from ledgers.icsd.hosted import RegistryLedger
from ledgers.instruments import is_isin
from ledgers.names import is_uuid
from ledgers.parties import Principal
from ledgers.port import AssetDescription, Cursor, Description, Fact, LedgerUnreachable
from ledgers.problems import ProblemError
from protocols.iso20022.instruction import SettlementInstruction

SECURITIES: Final = "securities"
"""What a network of registries keeps, to those who ask for statements."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the registry."""

    accounts: dict[str, tuple[str, ...]]
    lei: str | None = None  # names stay where they are: the node is told BICs only


class Keeper(msgspec.Struct, frozen=True, kw_only=True):
    """The network, as our members see it: our own registry keeps their accounts."""

    depository: str
    kind: str = SECURITIES


class NodeDirectory:
    """A `gateway.statements.known.Known` of one registry; `members` by BIC, with their accounts as
    of the last `refresh`."""

    def __init__(
        self, ledger: RegistryLedger, members: Mapping[str, Principal], depository: str
    ) -> None:
        self._ledger = ledger
        self._name = str(ledger.seal.ledger)
        self._principals = members
        self._assets: dict[tuple[str, str], AssetDescription] = {}
        self.members = {bic: Owner(accounts={self._name: ()}) for bic in members}
        self.ledgers = {self._name: Keeper(depository=depository)}
        self.descriptions: dict[LedgerId, Description] = {}

    async def refresh(self, members: Iterable[str]) -> None:
        """Read which accounts members have: they are opened at any time."""
        for bic in members:
            accounts = tuple(await self._accounts(self._principals[bic].name))
            self.members[bic] = Owner(accounts={self._name: accounts})

    async def _accounts(self, owner: str) -> list[str]:
        """Those at home here: the network does not keep two registries from using one name."""
        homes, me = self._ledger.node.replica.view.tables.homes, self._ledger.node.me
        found, after = list[str](), AccountId("")
        while page := await self._ledger.accounts(owner, after, PAGE_MAX):
            ids = [view.account.id for view in page]
            found += [id for id in ids if homes.get(id) == me]
            after = ids[-1]
        return found

    def learn(self, name: LedgerId, description: Description) -> None:
        self.descriptions[name] = description
        self._assets = {(str(name), asset.asset): asset for asset in description.assets}

    def asset(self, ledger: str, asset: str) -> AssetDescription:
        return self._assets[ledger, asset]


class NodeBooks:
    """The final book of the network at this registry, securities only: a `ledgers.books.Books`. A
    registry that joined by a snapshot has no postings from before it: LedgerUnreachable."""

    def __init__(self, ledger: RegistryLedger) -> None:
        self._ledger = ledger

    async def describe(self) -> Description:
        return await self._ledger.describe()

    async def holdings(self, account: AccountId | None, after: str = "") -> Holdings:
        page = await self._ledger.holdings(account, after, PAGE_MAX)
        kept = tuple(each for each in page.holdings if is_isin(each.asset))
        return msgspec.structs.replace(page, holdings=kept)

    async def movements(self, account: AccountId, after: Cursor, until: Cursor) -> Sequence[Fact]:
        while page := await self._movements(account, after, until):
            if kept := [fact for fact in page if is_isin(fact.asset)]:
                return kept
            after = page[-1].cursor  # an empty page would say that there is no more
        return ()

    async def _movements(self, account: AccountId, after: Cursor, until: Cursor) -> list[Fact]:
        try:
            return await self._ledger.movements(account, after, until, PAGE_MAX)
        except ProblemError as error:
            raise LedgerUnreachable(str(error)) from error

    async def conservation(self) -> Sequence[Position]:
        return [each for each in await self._ledger.conservation() if is_isin(each.asset)]

    async def last_before(self, at: Instant) -> Cursor:
        try:
            return await self._ledger.last_before(at)
        except ProblemError as error:
            raise LedgerUnreachable(str(error)) from error


class NodeReferences:
    """References of the messages that one member sent here."""

    def __init__(self, pool: Pool, member: Principal) -> None:
        self._pool = pool
        self._member = member

    async def of(self, facts: Sequence[Fact]) -> list[Reference]:
        """One for each fact, in their order. What came otherwise, or from another registry, is
        known by its settlement if it has one."""
        ids = {id for id in map(_operation, facts) if is_uuid(id)}  # those of messages are
        rows = await self._pool.fetch(QUERIES["sent_as"], self._member.name, list(ids))
        sent = {str(row["id"]): _reference(str(row["id"]), row["raw"]) for row in rows}
        return [sent.get(_operation(fact)) or _unsent(fact) for fact in facts]


def _operation(fact: Fact) -> str:
    """What a message asked for: a transfer, or the lock that has moved now."""
    return fact.id if fact.htlc is None else fact.htlc.terms.id


def _reference(id: str, raw: bytes) -> Reference:
    order, market = decoded(reread(raw)), id.replace("-", "")
    if isinstance(order, SettlementInstruction):
        return Reference(own=order.transaction_id, market=market, instruction=order)
    return Reference(own=order.id, market=market)


def _unsent(fact: Fact) -> Reference:
    if fact.htlc is None:
        return Reference()
    settlement = fact.htlc.terms.settlement.replace("-", "")
    return Reference(own=settlement, market=settlement)
