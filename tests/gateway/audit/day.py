"""A day on a real system, to be audited: trades of every protocol, rejections, instructions, and
what else leaves traces; its databases can be damaged and renewed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from gateway.audit import run
from gateway.audit.findings import Report
from gateway.audit.places import Places
from htlc.swap import LockProtocol
from htlc.units import AccountId, AssetId, Quantity
from ledgers.block import Seal
from ledgers.parties import Principal, Role
from ledgers.port import Redeem, Transfer
from protocols.iso20022.instruction import Movement
from tests import postgres
from tests.gateway.systems import (
    BUYER,
    ISIN,
    ISSUER,
    OPENING,
    SELLER,
    System,
    account,
    system,
    until,
)
from tests.gateway.test_agreed_swaps import a_dvp, settle
from tests.gateway.test_instructions import both, instruction, send

NAMES = ("registry", "bank", "gateway")

SAVE = """
CREATE SCHEMA saved;
DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE saved.%1$I AS TABLE public.%1$I', t);
    END LOOP;
END $$"""

RENEW = """
SET session_replication_role = replica; -- foreign keys look away
DO $$ DECLARE t text; BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'saved' LOOP
        EXECUTE format('DELETE FROM public.%I', t);
        EXECUTE format(
            'INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE SELECT * FROM saved.%1$I', t);
    END LOOP;
END $$"""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A system that has been used and is down: its databases, and its ledgers' keys."""

    dsns: dict[str, str]
    seals: dict[str, Seal]
    master: bytes

    @property
    def keys(self) -> dict[str, bytes]:
        return {name: seal.public_key for name, seal in self.seals.items()}


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """The databases of a day as they were at its end, to be damaged."""

    day: Day

    @property
    def dsns(self) -> dict[str, str]:
        return self.day.dsns

    async def renew(self) -> None:
        """Put every row back: a hundred times as fast as a new database."""
        for name in NAMES:
            await self.execute(name, RENEW)

    def places(self) -> Places:
        ledgers = {name: self.dsns[name] for name in ("registry", "bank")}
        return Places(gateway=self.dsns["gateway"], ledgers=ledgers, keys=self.day.keys)

    async def audit(self, **wanted: Any) -> Report:
        return await run.audit(self.places(), run.Wanted(**wanted), lambda *_: None)

    async def execute(self, name: str, *statements: str) -> None:
        """Plant something: no trigger or constraint is in the way."""
        connection = await asyncpg.connect(self.dsns[name])
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def row(self, name: str, query: str, *values: object) -> Any:
        connection = await asyncpg.connect(self.dsns[name])
        try:
            found = await connection.fetchrow(query, *values)
            assert found is not None, query
            return found
        finally:
            await connection.close()


def made(server: str, home: Path) -> Day:
    """Make a day. Not within a running loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _made(server, home)).result()


async def _made(server: str, home: Path) -> Day:
    admin = await asyncpg.connect(postgres.dsn(server))
    for name in NAMES:
        await admin.execute(f'CREATE DATABASE "day_{name}"')
    await admin.close()
    dsns = {name: postgres.dsn(server, f"day_{name}") for name in NAMES}
    async with system(dsns, home) as running, running.gateway():
        await trade(running)
        seals = {name: ledger.seal for name, ledger in running.ledgers.items()}
    day = Day(dsns=dsns, seals=seals, master=(home / "master").read_bytes())
    for name in NAMES:
        await Copy(day=day).execute(name, SAVE)
    return day


def removed(server: str) -> None:
    """Remove what `made` has made."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, _removed(server)).result()


async def _removed(server: str) -> None:
    admin = await asyncpg.connect(postgres.dsn(server))
    for name in NAMES:
        await admin.execute(f'DROP DATABASE "day_{name}" WITH (FORCE)')
    await admin.close()


async def trade(running: System) -> None:
    """Some dozens of trades, of every kind and end."""
    swaps = [a_dvp(quantity=1 + n % 7, cash=100 + n) for n in range(40)]
    await running.desk.take_settlements(SELLER, [(swap, b"digest") for swap in swaps])
    for protocol in LockProtocol:
        await settle(running, a_dvp(protocol=protocol))
    await settle(running, a_dvp(cash=OPENING["EUR"] + 1))  # rejected: short of cash
    for item in both():
        await send(running, item)
    await send(running, instruction(Movement.DELI, quantity="7"))  # never matched
    repeated = instruction(Movement.DELI, quantity="8")
    await send(running, repeated)
    await send(running, repeated)  # another message with a reference used before: refused
    for item in both(amount="900000000.00"):
        await send(running, item)  # matched, and lacks the cash: it waits
    await until(lambda: not running.engine.runner.lives)
    await _without_contracts(running)


async def _without_contracts(running: System) -> None:
    """A transfer and a redemption, which are under ids of their own."""
    registry = running.ledgers["registry"]
    owner = Principal(name=SELLER, role=Role.OWNER)
    moved = Transfer(
        id="a-transfer",
        debit=AccountId(account("registry", SELLER)),
        credit=AccountId(account("registry", BUYER)),
        asset=AssetId(ISIN),
        quantity=Quantity(5),
    )
    redeemed = Redeem(
        id="a-redemption",
        account=AccountId(account("registry", SELLER)),
        asset=AssetId(ISIN),
        quantity=Quantity(3),
    )
    answers = await registry.submit(owner, [moved])
    answers += await registry.submit(ISSUER, [redeemed])
    assert [getattr(answer, "refusal", "unknown") for answer in answers] == [None, None]
