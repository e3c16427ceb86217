"""The beginning of a world on its ledgers: instruments, accounts, mandates, opening balances.

All of it goes through the ledgers' own HTTP contract, each act by whoever it belongs to. Every act
may be done again without a second effect (an opening balance has an id that is the same each time),
so seeding that was killed in the middle is simply done again from the start.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import aiohttp
import msgspec

from gateway.machine.child import all_of
from gateway.machine.credentials import Credentials
from gateway.machine.ledger_client import LedgerClient, LedgerError
from gateway.machine.world import AssetSpec, MemberSpec, World, counter_account, holdings
from htlc.contract import Unknown
from htlc.units import QUANTITY_MAX, AccountId, AssetId, Quantity
from ledgers.icsd.nodes import home
from ledgers.port import Issue, LedgerUnreachable
from ledgers.remote import RemoteLedger
from ledgers.views import AccountJson, CurrencyJson, MandateJson, SecurityJson

MANDATE_UNTIL: Final = 4_102_444_800_000_000_000
"""2100-01-01: until its owner revokes it, for the life of a data directory."""

ACTS_MAX: Final = 500
"""Acts in one request; a ledger takes up to 2,000."""

PATIENCE_SECONDS: Final = 30.0
"""How long a ledger that gives no answer is asked again: a process that was killed is back, with
its database recovered, in a few seconds."""

PAUSE_SECONDS: Final = 0.2

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a ledger, or one registry of a network, takes what belongs to it."""

    url: str
    operator: str  # token of who opens accounts there
    registry: str | None = None
    owners: Mapping[str, str] = {}  # BIC -> the pseudonym of an owner, where there are any

    def owner(self, bic: str) -> str:
        return self.owners.get(bic, bic)


def places(urls: Mapping[str, str], operators: Mapping[str, str]) -> dict[str, list[Place]]:
    """Of ledgers that are no networks: where each is, and its operator's token."""
    return {name: [Place(url=url, operator=operators[name])] for name, url in urls.items()}


async def seed(
    world: World, credentials: Credentials, places: Mapping[str, Sequence[Place]]
) -> None:
    """Bring every ledger to the world's beginning; `places` are the registries of a network, or
    the one of a ledger. Raises LedgerError, LedgerUnreachable."""
    async with aiohttp.ClientSession() as session:
        for ledger in world.ledgers:
            parts = [
                _Seeding(session, world, credentials, ledger, place) for place in places[ledger]
            ]
            # Of a network all registries first: an issue is credited to accounts of any of them.
            await all_of(part.prepare() for part in parts)
            await all_of(part.issue() for part in parts)


class _Seeding:
    """One ledger, or what one registry of a network keeps, being seeded."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        world: World,
        credentials: Credentials,
        ledger: str,
        place: Place,
    ) -> None:
        self._session = session
        self._world = world
        self._credentials = credentials
        self._ledger = ledger
        self._place = place
        spec = world.ledgers[ledger]
        self._assets = {
            code: asset for code, asset in spec.assets.items() if asset.registry == place.registry
        }
        self._registries = spec.registries

    async def prepare(self) -> None:
        """Accounts, instruments, mandates."""
        operator = self._client(self._place.operator)
        await self._administer(operator, "/v1/accounts", self._accounts())
        instruments = [_definition(code, asset) for code, asset in self._assets.items()]
        await self._administer(operator, "/v1/instruments", instruments)
        for member in self._world.members:
            mandates = [self._mandate(name) for name in self._own(member)]
            owner = self._client(self._credentials.members[member.bic])
            await self._administer(owner, "/v1/mandates", mandates)

    async def issue(self) -> None:
        """Opening balances."""
        for issuer in sorted({asset.issuer for asset in self._assets.values()}):
            await self._issue(issuer)

    def _client(self, token: str) -> LedgerClient:
        return LedgerClient(self._session, self._place.url, token)

    def _own(self, member: MemberSpec) -> list[str]:
        """The member's accounts that are kept here."""
        accounts = member.accounts.get(self._ledger, {})
        here = self._place.registry
        return [a for a in accounts if here is None or home(AccountId(a), self._registries) == here]

    def _accounts(self) -> list[AccountJson]:
        counters = [
            AccountJson(account=counter_account(code), owner=asset.issuer)
            for code, asset in self._assets.items()
        ]
        return counters + [
            AccountJson(account=account, owner=self._place.owner(member.bic))
            for member in self._world.members
            for account in self._own(member)
        ]

    def _mandate(self, account: str) -> MandateJson:
        """The owner's leave for the gateway to lock, up to whatever there may ever be."""
        return MandateJson(
            account=account,
            operator=self._world.gateway.bic,
            limit=str(QUANTITY_MAX),
            until=str(MANDATE_UNTIL),
        )

    async def _administer(self, client: LedgerClient, path: str, acts: Sequence[object]) -> None:
        for start in range(0, len(acts), ACTS_MAX):
            part = acts[start : start + ACTS_MAX]
            await _patiently(partial(client.administer, path, part))

    async def _issue(self, issuer: str) -> None:
        """Opening balances of the assets of one issuer."""
        operations = [
            Issue(
                id=f"opening-{held.account}-{held.asset}",
                account=AccountId(held.account),
                asset=AssetId(held.asset),
                quantity=Quantity(held.quantity),
            )
            for held in holdings(self._world)
            if held.ledger == self._ledger
            and held.asset in self._assets
            and self._assets[held.asset].issuer == issuer
        ]
        ledger = RemoteLedger(self._session, self._place.url, self._credentials.issuers[issuer])
        for start in range(0, len(operations), ACTS_MAX):
            part = operations[start : start + ACTS_MAX]
            await _patiently(partial(_apply, ledger, part))


async def _apply(ledger: RemoteLedger, operations: Sequence[Issue]) -> None:
    for operation, answer in zip(operations, await ledger.apply(operations), strict=True):
        if isinstance(answer, Unknown):
            raise LedgerUnreachable(answer.why)
        if answer.refusal is not None:
            raise LedgerError(f"{operation.id}: {answer.refusal}")


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again while the ledger gives no answer. Raises LedgerUnreachable in the end."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while True:
        try:
            return await ask()
        except LedgerUnreachable:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


def _definition(code: str, asset: AssetSpec) -> SecurityJson | CurrencyJson:
    if asset.quantity_type == "Ccy":
        return CurrencyJson(
            code=code,
            scale=asset.scale,
            central_bank=asset.issuer,
            reserves_account=counter_account(code),
        )
    return SecurityJson(
        isin=code,
        name=asset.name,
        scale=asset.scale,
        quantity_type=asset.quantity_type,
        issuer=asset.issuer,
        issuer_account=counter_account(code),
    )
