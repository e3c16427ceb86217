"""camt.050 through the whole gateway: a member funds its account, and is told (camt.025)."""

import asyncio
from pathlib import Path

import msgspec

from htlc.units import AccountId, AssetId, LedgerId
from ledgers.administration import BlockAccount, OpenAccount
from ledgers.parties import Principal, Role
from tests.gateway.cash_messages import all_heard, transfer
from tests.gateway.requests import ask
from tests.gateway.systems import (
    BUYER,
    OPENING,
    OPERATOR,
    SELLER,
    System,
    account,
    mandate_on,
    system,
    until,
)
from tests.gateway.test_instructions import both, send

OWN, RTGS = account("bank", BUYER), "RTGS-BUYRFR-0001"


async def furnished(made: System) -> System:
    """The buyer has a second account, without a mandate on it, and names both."""
    opened = await made.ledgers["bank"].administer(
        OPERATOR, [OpenAccount(account=AccountId(RTGS), owner=BUYER)]
    )
    assert opened == [None]
    made.settings = msgspec.structs.replace(
        made.settings,
        members=tuple(
            msgspec.structs.replace(member, accounts=dict(member.accounts) | {"bank": (OWN, RTGS)})
            if member.bic == BUYER
            else member
            for member in made.settings.members
        ),
    )
    return made


async def held(running: System, id: str) -> int:
    view = await running.ledgers["bank"].account(AccountId(id))
    assert view is not None
    holding = view.holdings.get(AssetId("EUR"))
    return 0 if holding is None else holding.available


async def ends(running: System, word: str) -> bool:
    return (await all_heard(running, BUYER))[-1:] == [word]


async def test_a_transfer_is_made_once_and_refusals_have_codes(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made, (await furnished(made)).gateway() as running:
        await ask(running, transfer(BUYER, OWN, RTGS))
        await until(lambda: ends(running, "025/SSET"))
        assert await held(running, RTGS) == 1500_00
        assert await held(running, OWN) == OPENING["EUR"] - 1500_00
        await ask(
            running,
            transfer(BUYER, OWN, RTGS),
            transfer(BUYER, OWN, account("bank", SELLER), id="LT-2"),
            transfer(BUYER, OWN, RTGS, id="LT-3", amount="0.001"),
        )
        assert (await all_heard(running, BUYER))[1:] == ["025/DUPL", "025/AC03", "025/AM12"]
        await ask(running, transfer(BUYER, OWN, RTGS, id="LT-4", amount="99000000"))
        await until(lambda: ends(running, "025/AM04"))
        await ask(running, transfer(BUYER, RTGS, OWN, id="LT-5"))
        await until(lambda: ends(running, "025/AG01"))
        blocked = BlockAccount(account=AccountId(OWN))
        assert await running.ledgers["bank"].administer(OPERATOR, [blocked]) == [None]
        await ask(running, transfer(BUYER, OWN, RTGS, id="LT-6"))
        await until(lambda: ends(running, "025/AC06"))
        assert await held(running, RTGS) == 1500_00


async def test_a_transfer_waits_for_its_ledger_and_is_told_once_by_two_replicas(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made, (await furnished(made)).gateway() as running:
        link = running.engine.links[LedgerId("bank")]
        ledger, link.ledger = link.ledger, running.engine.links[LedgerId("registry")].ledger
        await ask(running, transfer(BUYER, OWN, RTGS))  # another ledger keeps no money
        await until(lambda: ends(running, "025/AB04"))
        link.ledger = ledger
        await ask(running, transfer(BUYER, OWN, RTGS, id="LT-2"))
        await asyncio.gather(*(running.engine.liquidity.make() for _ in range(4)))
        await until(lambda: ends(running, "025/SSET"))
        assert (await all_heard(running, BUYER)).count("025/SSET") == 1
        assert await held(running, RTGS) == 1500_00


async def test_money_that_comes_settles_what_lacked_it(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made:
        await furnished(made)
        made.settings = msgspec.structs.replace(
            made.settings,
            matching=msgspec.structs.replace(made.settings.matching, retry_first_seconds=300.0),
        )
        async with made.gateway() as running:
            await ask(running, transfer(BUYER, OWN, RTGS, amount="49999999.00"))
            await until(lambda: ends(running, "025/SSET"))
            for side in both():
                await send(running, side)
            await until(lambda: ends(running, "Mtchd Pdg/MONY"))
            await until(lambda: not running.engine.runner.lives)
            owner = Principal(name=BUYER, role=Role.OWNER)
            assert await made.ledgers["bank"].administer(owner, [mandate_on(RTGS)]) == [None]
            await ask(running, transfer(BUYER, RTGS, OWN, id="LT-2"))
            await until(lambda: ends(running, "settled"))
