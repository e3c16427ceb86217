"""What our own ledgers have in common: what the HTTP service needs of a ledger that it serves.

A `HostedLedger` is a ledger seen from its operator's side, for all principals at once;
`as_principal` gives the port (`ledgers.port.Ledger`) that one of them speaks to.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

import msgspec

from htlc import contract, trials
from htlc.hashlock import PROBE_PREIMAGE
from htlc.units import AccountId, AssetId, Duration, HtlcId, Instant, LedgerId
from ledgers.administration import Act
from ledgers.block import Block, Proof
from ledgers.books import Holdings, Position
from ledgers.instruments import Instrument
from ledgers.parties import Account, Balance, Mandate, Principal
from ledgers.port import (
    Answer,
    AssetDescription,
    Cursor,
    Description,
    Fact,
    Operation,
    Refusal,
    Unknown,
)
from ledgers.profile import Profile, trials_of

BATCH_MAX: Final = 2_000
"""Operations of one transaction and so of one block: the time of a batch (about 0.1 s at this
size) is what every other caller waits; larger batches gained nothing that was measured."""

PAGE_MAX: Final = 1_000
"""Rows of one answer to a reader: bounds what a request holds in memory."""

Clock = Callable[[], Instant]
"""Reads the wall clock, UTC nanoseconds. It may go back; a ledger's time does not."""


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a ledger declares of itself, from its configuration."""

    profile: Profile = Profile()
    finality: Duration = Duration(0)  # a committed batch is final at once
    skew: Duration = Duration(0)  # how far its clock may be off true time


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account with what it holds and which mandates its owner has given."""

    account: Account
    holdings: dict[AssetId, Balance]
    mandates: tuple[Mandate, ...] = ()


class HostedLedger(Protocol):
    """A ledger that we run. Every wait may raise `port.LedgerUnreachable`, except `submit` and
    `look`, which answer Unknown."""

    def as_principal(self, by: Principal) -> "Spoken": ...

    async def describe(self) -> Description: ...

    async def submit(
        self, by: Principal, operations: Sequence[Operation]
    ) -> list[Answer | Unknown]: ...

    async def look(self, ids: Sequence[HtlcId]) -> list[Answer | Unknown]: ...

    async def administer(self, by: Principal, acts: Sequence[Act]) -> list[Refusal | None]: ...

    async def account(self, id: AccountId) -> AccountView | None: ...

    async def accounts(
        self, owner: str | None, after: AccountId, limit: int
    ) -> list[AccountView]: ...

    async def blocks(self, after: int, limit: int) -> list[Block]: ...

    async def proof(self, height: int, position: int) -> Proof | None: ...

    async def facts(self, by: Principal, after: Cursor, limit: int) -> list[Fact]: ...

    async def holdings(self, account: AccountId | None, after: str, limit: int) -> Holdings: ...

    async def movements(
        self, account: AccountId, after: Cursor, until: Cursor | None, limit: int
    ) -> list[Fact]: ...

    async def last_before(self, at: Instant) -> Cursor: ...

    async def conservation(self) -> list[Position]: ...


class Spoken:
    """A hosted ledger as one principal speaks to it: the port."""

    def __init__(self, ledger: HostedLedger, by: Principal) -> None:
        self._ledger = ledger
        self._by = by

    async def describe(self) -> Description:
        return await self._ledger.describe()

    async def apply(self, operations: Sequence[Operation]) -> Sequence[Answer | Unknown]:
        return await self._ledger.submit(self._by, operations)

    async def look(self, ids: Sequence[HtlcId]) -> Sequence[Answer | Unknown]:
        return await self._ledger.look(ids)

    async def facts(self, after: Cursor = "") -> AsyncIterator[Fact]:
        while page := await self._ledger.facts(self._by, after, PAGE_MAX):
            for fact in page:
                yield fact
            after = page[-1].cursor


def description(
    ledger: LedgerId,
    traits: Traits,
    instruments: Sequence[Instrument],
    at: Instant,
    public_key: bytes,
) -> Description:
    """What the ledger says of itself: probe and trials are judged as its locks are."""
    functions = traits.profile.hash_functions
    return Description(
        ledger=ledger,
        lock_kinds=traits.profile.lock_kinds,
        hash_functions=functions,
        probe=tuple(function.digest(PROBE_PREIMAGE) for function in functions),
        at=at,
        finality=traits.finality,
        skew=traits.skew,
        assets=tuple(
            AssetDescription(asset=i.asset, scale=i.scale, quantity_type=i.quantity_type)
            for i in sorted(instruments, key=lambda instrument: instrument.asset)
        ),
        public_key=public_key,
        trials=tuple(
            trials.outcomes(function, contract, trials_of(traits.profile.lock_kinds))
            for function in functions
        ),
    )
