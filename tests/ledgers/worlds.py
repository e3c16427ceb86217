"""The ledgers that the tests speak to, each with the same accounts and balances.

A world is a ledger with an asset and four accounts, of which two are funded; `suite.py` needs
nothing else. Time passes when the test says so.
"""

import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from htlc.contract import Terms
from htlc.hashlock import Algorithm, Encoding, HashFunction
from htlc.units import SECOND, AccountId, AssetId, HtlcId, Instant, LedgerId, LegId, Quantity
from ledgers.administration import DefineInstrument, GrantMandate, OpenAccount
from ledgers.block import Seal
from ledgers.currency import currency
from ledgers.hosted import Traits
from ledgers.memory import MemoryLedger
from ledgers.parties import Mandate, Principal, Role
from ledgers.port import Issue, Ledger
from ledgers.postgres import PostgresLedger, open_pool, prepare
from ledgers.profile import Profile

TEST_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LEDGER = LedgerId("cash-eur")
EUR = AssetId("EUR")
START = Instant(1_700_000_000 * SECOND)
FUNDS = Quantity(1_000_000)

ALICE = Principal(name="ALICDEFFXXX", role=Role.OWNER)
BOB = Principal(name="BOBBFRPPXXX", role=Role.OWNER)
GATEWAY = Principal(name="gateway", role=Role.OPERATOR)
CENTRAL_BANK = Principal(name="ECBFDEFFXXX", role=Role.ISSUER)
LEDGER_OPERATOR = Principal(name="operator", role=Role.LEDGER_OPERATOR)
SUPERVISOR = Principal(name="supervisor", role=Role.SUPERVISOR)
PRINCIPALS = (ALICE, BOB, GATEWAY, CENTRAL_BANK, LEDGER_OPERATOR, SUPERVISOR)

ALICE_ACCOUNT = AccountId("alice-1")
ALICE_SECOND = AccountId("alice-2")
BOB_ACCOUNT = AccountId("bob-1")
RESERVES = AccountId("reserves")

SHA256 = HashFunction()
SM3 = HashFunction(algorithm=Algorithm.SM3)
KECCAK = HashFunction(algorithm=Algorithm.KECCAK256, encoding=Encoding.HEX_TEXT)
TRAITS = Traits(profile=Profile(hash_functions=(SHA256, SM3, KECCAK)))

EXECUTION_KEY = bytes([1]) * 32
CANCELLATION_KEY = bytes([2]) * 32

_serial = itertools.count(1)


def new_id() -> str:
    """The next UUID of this run: same tests, same ids."""
    return str(uuid.UUID(int=next(_serial)))


class ManualClock:
    """A wall clock that stands until the test moves it, either way."""

    def __init__(self, at: Instant = START) -> None:
        self.at = at

    def __call__(self) -> Instant:
        return self.at

    def advance(self, nanoseconds: int) -> None:
        self.at = Instant(self.at + nanoseconds)


class World:
    """One ledger, its clock, and how to speak to it as somebody."""

    def __init__(self, ledger: Any, clock: ManualClock, speak: Any = None) -> None:
        self.hosted = ledger
        self.clock = clock
        self._speak = speak

    def as_(self, by: Principal) -> Ledger:
        spoken: Ledger = (self._speak or self.hosted.as_principal)(by)
        return spoken

    def terms(self, **changes: Any) -> Terms:
        """Terms that the ledger accepts now: two keys, no expiry, 100 from Alice to Bob."""
        usual: dict[str, Any] = {
            "id": HtlcId(new_id()),
            "settlement": new_id(),
            "leg": LegId("CASH"),
            "payer": ALICE_ACCOUNT,
            "payee": BOB_ACCOUNT,
            "asset": EUR,
            "quantity": Quantity(100),
            "execution_lock": SHA256.lock(EXECUTION_KEY),
            "cancellation_lock": SHA256.lock(CANCELLATION_KEY),
            "lock_by": Instant(self.clock.at + 60 * SECOND),
        }
        return Terms(**(usual | changes))


SET_UP = (
    OpenAccount(account=RESERVES, owner=CENTRAL_BANK.name),
    OpenAccount(account=ALICE_ACCOUNT, owner=ALICE.name),
    OpenAccount(account=ALICE_SECOND, owner=ALICE.name),
    OpenAccount(account=BOB_ACCOUNT, owner=BOB.name),
    DefineInstrument(
        instrument=currency(
            code="EUR", scale=2, central_bank=CENTRAL_BANK.name, reserves_account=RESERVES
        )
    ),
)


def mandate(owner: Principal, account: AccountId, **changes: Any) -> GrantMandate:
    usual: dict[str, Any] = {
        "account": account,
        "operator": GATEWAY.name,
        "limit": Quantity(10**12),
        "until": Instant(START + 10**6 * SECOND),
    }
    return GrantMandate(mandate=Mandate(**(usual | changes)))


async def furnish(world: World) -> World:
    """Accounts, instrument, mandates for the gateway, and funds for Alice and Bob."""
    done = await world.hosted.administer(LEDGER_OPERATOR, SET_UP)
    done += await world.hosted.administer(ALICE, [mandate(ALICE, ALICE_ACCOUNT)])
    done += await world.hosted.administer(BOB, [mandate(BOB, BOB_ACCOUNT)])
    issues = [
        Issue(id=f"opening-{account}", account=account, asset=EUR, quantity=FUNDS)
        for account in (ALICE_ACCOUNT, BOB_ACCOUNT)
    ]
    answers = await world.hosted.submit(CENTRAL_BANK, issues)
    assert not any(done) and not any(answer.refusal for answer in answers)
    return world


async def memory_world() -> World:
    clock = ManualClock()
    return await furnish(World(MemoryLedger(Seal(LEDGER, TEST_KEY), clock, TRAITS), clock))


@asynccontextmanager
async def postgres_ledger(dsn: str, clock: ManualClock) -> AsyncIterator[PostgresLedger]:
    """One replica of the ledger in this database."""
    seal = Seal(LEDGER, TEST_KEY)
    async with await open_pool(dsn) as pool:
        await prepare(pool, seal)
        ledger = PostgresLedger(pool, seal, clock, TRAITS)
        try:
            yield ledger
        finally:
            await ledger.close()


@asynccontextmanager
async def postgres_world(dsn: str) -> AsyncIterator[World]:
    clock = ManualClock()
    async with postgres_ledger(dsn, clock) as ledger:
        yield await furnish(World(ledger, clock))
