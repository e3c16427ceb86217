"""What a registry and an account owner are told of positions, through the whole gateway."""

from pathlib import Path

import msgspec
import pytest

from gateway.config import MemberSettings
from gateway.positions import postings
from htlc.leg import LegStatus
from protocols.iso20022.advice import Outbound
from protocols.iso20022.lock_block import LockStatus
from protocols.iso20022.positions import (
    PositionConfirmation,
    PositionInstruction,
    PositionStatus,
    Posting,
)
from tests.gateway.systems import (
    BUYER,
    DEPOSITORY,
    GATEWAY,
    OPENING,
    SELLER,
    System,
    account,
    sha256,
    system,
    token,
    until,
)
from tests.gateway.test_agreed_swaps import a_dvp, settle
from tests.gateway.test_instructions import ISIN, both, send, statuses, told
from tests.protocols.samples import assert_valid

S, U = LegStatus, Posting


@pytest.mark.parametrize(
    ("before", "after", "posted"),
    [
        (S.UNSEEN, S.LOCKED, (U.LOCK,)),
        (S.ABSENT, S.LOCKED, (U.LOCK,)),
        (S.LOCKED, S.LOCKED, ()),
        (S.LOCKED, S.EXECUTED, (U.MOVE,)),
        (S.LOCKED, S.CANCELLED, (U.RELEASE,)),
        (S.LOCKED, S.REFUNDED, (U.RELEASE,)),
        (S.UNSEEN, S.CANCELLED, (U.LOCK, U.RELEASE)),
        (S.ABSENT, S.EXECUTED, (U.LOCK, U.MOVE)),
        (S.EXECUTED, S.EXECUTED, ()),
        (S.UNSEEN, S.UNLOCKED, ()),
        (S.UNSEEN, S.FOREIGN, ()),
    ],
)
def test_each_posting_is_told_once_however_much_is_learned_at_once(
    before: LegStatus, after: LegStatus, posted: tuple[Posting, ...]
) -> None:
    assert postings(before, after) == posted


def told_members(made: System) -> tuple[MemberSettings, ...]:
    """The seller and the depository want position messages."""
    seller, *others = made.settings.members
    assert seller.bic == SELLER
    registry = MemberSettings(
        bic=DEPOSITORY,
        name="Registry",
        token_sha256=sha256(token(DEPOSITORY)),
        position_messages=True,
    )
    return (msgspec.structs.replace(seller, position_messages=True), *others, registry)


def short(message: Outbound) -> str:
    match message:
        case PositionInstruction(posting=posting):
            return f"013 {posting}"
        case PositionStatus(reason=reason):
            return f"014 {reason}"
        case PositionConfirmation(posting=posting):
            return f"015 {posting}"
        case _:
            return type(message).__name__


async def heard(running: System, member: str) -> list[str]:
    return [short(message) for message in await told(running, member)]


async def test_the_registry_is_told_of_lock_and_move_and_the_owner_of_what_was_done(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with (
        system(dsns, tmp_path) as made,
        made.gateway(members=told_members(made)) as running,
    ):
        for side in both():
            await send(running, side)

        async def all_told() -> bool:
            return "Confirmation" in await heard(running, SELLER)

        await until(all_told)
        assert await heard(running, DEPOSITORY) == ["013 lock", "015 lock", "013 move", "015 move"]
        own = [line for line in await heard(running, SELLER) if line.startswith("01")]
        assert own == ["015 lock", "015 move"]
        assert not any(line.startswith("01") for line in await heard(running, BUYER))
        messages = await told(running, DEPOSITORY)
        for message in messages:
            assert_valid(message)
        instruct, locked, move, moved = messages
        assert isinstance(instruct, PositionInstruction) and isinstance(move, PositionInstruction)
        assert isinstance(locked, PositionConfirmation) and isinstance(moved, PositionConfirmation)
        assert (instruct.position.owner, instruct.position.account) == (
            SELLER,
            account("registry", SELLER),
        )
        assert (instruct.position.isin, instruct.position.quantity) == (ISIN, "1000")
        assert move.payee_account == account("registry", BUYER)
        assert instruct.id == locked.id != moved.id == move.id
        statuses_told = [message.lock.status for message in messages if message.lock]
        assert statuses_told == [
            LockStatus.PROPOSED,
            LockStatus.LOCKED,
            LockStatus.PROPOSED,
            LockStatus.CLAIMED,
        ]
        facts = [fact async for fact in running.ledgers["registry"].as_principal(GATEWAY).facts()]
        assert moved.lock is not None and moved.lock.event is not None
        assert moved.lock.event.at == moved.effective_at == facts[-1].at


async def test_what_is_not_locked_is_told_with_its_reason_and_what_goes_back_is_released(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with (
        system(dsns, tmp_path) as made,
        made.gateway(members=told_members(made)) as running,
    ):
        for side in both(quantity=str(OPENING[ISIN] + 1)):
            await send(running, side)

        async def lacks() -> bool:
            return "014 LACK" in await heard(running, DEPOSITORY)

        await until(lacks)
        assert await heard(running, DEPOSITORY) == ["013 lock", "014 LACK"]
        poor = await settle(running, a_dvp(cash=OPENING["EUR"] + 1))
        assert poor.state.never_locked is False
        await until(lambda: poor.id not in running.engine.runner.lives)  # durable
        last = (await heard(running, DEPOSITORY))[2:]
        assert last == ["013 lock", "015 lock", "013 release", "015 release"]
        assert await running.balance("registry", SELLER, ISIN) == (OPENING[ISIN], 0)


async def test_a_gateway_that_dies_in_the_middle_tells_each_posting_once(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made:
        members = told_members(made)
        for _ in range(3):  # each time it is stopped a moment later in the life of the settlement
            async with made.gateway(members=members) as running:
                for side in both():
                    await send(running, side)
        async with made.gateway(members=members) as running:
            await until(lambda: not running.engine.runner.lives)
            heard_all = await heard(running, DEPOSITORY)
            settled = (await statuses(running, BUYER)).count(["settled"])
            assert settled == 3
            for line in ("013 lock", "015 lock", "013 move", "015 move"):
                assert heard_all.count(line) == 3
