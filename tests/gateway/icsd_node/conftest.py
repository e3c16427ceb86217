"""Four registries of which KZ takes messages."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from htlc.units import AccountId, Quantity
from ledgers.administration import Act, DefineInstrument, OpenAccount
from ledgers.icsd.hosted import RegistryLedger
from ledgers.instruments import Instrument
from ledgers.parties import Principal, Role
from ledgers.port import Answer, Issue
from tests.gateway.icsd_node.desk import (
    ABROAD,
    FIRST,
    ISIN,
    KZ,
    MEMBER,
    SECOND_ACCOUNT,
    UZ,
    Desk,
    life,
)
from tests.ledgers.icsd.registries import Registry, agree, registries, serving
from tests.ledgers.worlds import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def four(postgres_server: str, clock: ManualClock) -> list[Registry]:
    """KZ has issued 1,000 of a bond to its member, who has a second account; UZ has a holder."""
    made = await registries(postgres_server, clock)
    async with contextlib.AsyncExitStack() as stack:
        ledgers = [await stack.enter_async_context(each.alive()) for each in made]
        for ledger in ledgers:
            await serving(ledger.node)
        await _furnish(ledgers[KZ], ledgers[UZ])
        await agree(ledgers)
    return made


async def _furnish(kz: RegistryLedger, uz: RegistryLedger) -> None:
    counter, issuer = AccountId("kz-issue"), Principal(name="kz-issuer", role=Role.ISSUER)
    instrument = Instrument(
        asset=ISIN, name="B", scale=2, quantity_type="FaceAmt", issuer=issuer.name, counter=counter
    )
    acts: list[Act] = [
        OpenAccount(account=counter, owner=issuer.name),
        OpenAccount(account=FIRST, owner=MEMBER.name),
        OpenAccount(account=SECOND_ACCOUNT, owner=MEMBER.name),
        DefineInstrument(instrument=instrument),
    ]
    issue = Issue(id="issue-1", account=FIRST, asset=ISIN, quantity=Quantity(1_000_00))
    operator = Principal(name="operator", role=Role.LEDGER_OPERATOR)
    assert await kz.administer(operator, acts) == [None] * len(acts)
    assert await uz.administer(operator, [OpenAccount(account=ABROAD, owner="uz-x")]) == [None]
    (answer,) = await kz.submit(issuer, [issue])
    assert isinstance(answer, Answer) and answer.refusal is None


@pytest.fixture
async def nodes(four: list[Registry], clock: ManualClock) -> AsyncIterator[Desk]:
    async with life(four, clock) as desk:
        yield desk
