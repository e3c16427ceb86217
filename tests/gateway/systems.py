"""A whole gateway in the test's own process: real databases, real sockets, no child process.

Two ledgers (a registry with one bond and a bank with EUR and USD, or two currencies: named by their
databases), three members, one gateway engine.
"""

import asyncio
import contextlib
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config import LedgerSettings, LimitSettings, MemberSettings, Settings
from gateway.desk import Desk
from gateway.engine import Engine, desk_of, open_engine
from gateway.process.serving import serve_app
from gateway.telemetry.traffic import Traffic
from gateway.vault import load_master
from htlc.units import AccountId, AssetId, Instant, LedgerId, Quantity
from ledgers.administration import Act, DefineInstrument, GrantMandate, OpenAccount
from ledgers.block import Seal
from ledgers.currency import currency
from ledgers.hosted import Traits
from ledgers.parties import Mandate, Principal, Role
from ledgers.port import Issue
from ledgers.postgres import PostgresLedger, open_pool, prepare
from ledgers.securities import security
from ledgers.service import build_app

SELLER, BUYER, DEALER = "SELADEF0XXX", "BUYRFRP0XXX", "DEALGB20XXX"
MEMBERS = (SELLER, BUYER, DEALER)
DEPOSITORY = "REGADEF0XXX"
ISIN = "XS9990000010"
GATEWAY = Principal(name="gateway", role=Role.OPERATOR)
OPERATOR = Principal(name="operator", role=Role.LEDGER_OPERATOR)
ISSUER = Principal(name="issuer", role=Role.ISSUER)
FOREVER = Instant(2**62)
ASSETS = {"registry": (ISIN,), "bank": ("EUR", "USD"), "euro": ("EUR",), "franc": ("CHF",)}
OPENING = {ISIN: 10_000_000, "EUR": 50_000_000_00, "USD": 50_000_000_00, "CHF": 50_000_000_00}


def account(ledger: str, member: str) -> str:
    return f"{ledger.upper()}-{member[:6]}-0001"


def token(name: str) -> str:
    return f"token-of-{name}"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class System:
    """One running system; `engine` and `desk` are the gateway's."""

    def __init__(self, settings: Settings, ledgers: dict[str, PostgresLedger]) -> None:
        self.settings = settings
        self.ledgers = ledgers
        self.engine: Engine
        self.desk: Desk
        self.said: list[str] = []

    @contextlib.asynccontextmanager
    async def gateway(self, **changes: Any) -> AsyncIterator["System"]:
        """Run a gateway on this system; leaving is as good as a crash."""
        settings = Settings(**{**_fields(self.settings), **changes})
        async with open_engine(settings, self.said.append) as engine:
            work = asyncio.create_task(engine.run())
            self.engine, self.desk = engine, desk_of(engine)
            try:
                await until(lambda: engine.directory.complete)
                yield self
            finally:
                work.cancel()
                await asyncio.wait({work})
        if not work.cancelled():
            work.result()

    async def balance(self, ledger: str, member: str, asset: str) -> tuple[int, int]:
        view = await self.ledgers[ledger].account(AccountId(account(ledger, member)))
        assert view is not None
        held = view.holdings.get(AssetId(asset))
        return (held.available, held.locked) if held else (0, 0)


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


async def until(met: Callable[[], Any] | Callable[[], Awaitable[Any]], within: float = 60.0) -> Any:
    """Wait for something to become true; what it was."""
    deadline = time.monotonic() + within
    while True:
        value = met()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def system(dsns: dict[str, str], home: Path, **limits: Any) -> AsyncIterator[System]:
    """Two furnished ledgers behind HTTP, and the settings of a gateway on them."""
    async with contextlib.AsyncExitStack() as stack:
        ledgers, access = {}, {}
        for name in (name for name in dsns if name != "gateway"):
            ledger, url = await stack.enter_async_context(_ledger(name, dsns[name]))
            ledgers[name] = ledger
            (home / f"{name}.token").write_text(token("gateway"))
            access[name] = LedgerSettings(
                kind="securities" if name == "registry" else "currency",
                url=url,
                token_file=home / f"{name}.token",
                depository=DEPOSITORY if name == "registry" else None,
            )
        load_master(home / "master", create=True)
        yield System(
            Settings(
                bic="LCKSNL20XXX",
                dsn=dsns["gateway"],
                master_file=home / "master",
                ledgers=access,
                members=tuple(
                    MemberSettings(
                        bic=member,
                        name=member,
                        token_sha256=sha256(token(member)),
                        power_of_attorney=True,
                        accounts={name: (account(name, member),) for name in ledgers},
                    )
                    for member in MEMBERS
                ),
                limits=LimitSettings(**({"lock_within_seconds": 1.0} | limits)),
            ),
            ledgers,
        )


@contextlib.asynccontextmanager
async def _ledger(name: str, dsn: str) -> AsyncIterator[tuple[PostgresLedger, str]]:
    seal = Seal(LedgerId(name), Ed25519PrivateKey.generate())
    async with await open_pool(dsn) as pool:
        await prepare(pool, seal)
        ledger = PostgresLedger(pool, seal, lambda: Instant(time.time_ns()), Traits())
        await _furnish(ledger, name)
        listening = socket.create_server(("127.0.0.1", 0))
        app = build_app(ledger, {sha256(token("gateway")): GATEWAY})
        app.middlewares.insert(0, Traffic().middleware())
        runner = await serve_app(app, listening)
        try:
            yield ledger, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            await runner.cleanup()
            await ledger.close()


async def _furnish(ledger: PostgresLedger, name: str) -> None:
    acts: list[Act] = [OpenAccount(account=AccountId("issuer"), owner=ISSUER.name)]
    acts += [
        OpenAccount(account=AccountId(account(name, member)), owner=member) for member in MEMBERS
    ]
    acts += [DefineInstrument(instrument=_instrument(name, asset)) for asset in ASSETS[name]]
    assert not any(await ledger.administer(OPERATOR, acts))
    for member in MEMBERS:
        owner = Principal(name=member, role=Role.OWNER)
        assert not any(await ledger.administer(owner, [mandate_on(account(name, member))]))
    answers = await ledger.as_principal(ISSUER).apply(
        [
            Issue(
                id=f"opening-{member}-{asset}",
                account=AccountId(account(name, member)),
                asset=AssetId(asset),
                quantity=Quantity(OPENING[asset]),
            )
            for member in MEMBERS
            for asset in ASSETS[name]
        ]
    )
    assert all(getattr(answer, "refusal", "unknown") is None for answer in answers)


def mandate_on(id: str) -> GrantMandate:
    """The gateway may act on an account, for ever and without limit."""
    return GrantMandate(
        mandate=Mandate(
            account=AccountId(id),
            operator=GATEWAY.name,
            limit=Quantity(2**62),
            until=FOREVER,
        )
    )


def _instrument(ledger: str, asset: str) -> Any:
    issuer = AccountId("issuer")
    if ledger == "registry":
        return security(
            isin=asset,
            name="Test bond",
            scale=0,
            quantity_type="FaceAmt",
            issuer=ISSUER.name,
            issuer_account=issuer,
        )
    return currency(code=asset, scale=2, central_bank=ISSUER.name, reserves_account=issuer)
