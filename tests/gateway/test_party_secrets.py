"""Secrets that a party holds: agreed by message or proposal, handed over, used, never shown."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.port import Conflict, Denied, Refused, View
from htlc.hashlock import HashFunction
from htlc.leg import LegStatus
from htlc.settlement import Phase
from htlc.swap import LockProtocol, PartySecret
from htlc.units import MemberId, SettlementId
from protocols.iso20022 import lock_block as blocks
from protocols.iso20022.lock_block import (
    HashAlgorithm,
    HashLock,
    LegExpiry,
    LockBlock,
    SecretHolder,
)
from tests.gateway.cash_messages import all_heard, payment
from tests.gateway.requests import ask
from tests.gateway.systems import BUYER, SELLER, System, system, until
from tests.gateway.test_agreed_swaps import a_dvp, member
from tests.gateway.test_instructions import both, send
from tests.gateway.test_payments import ends, ordering

PREIMAGE = bytes(range(100, 132))
DIGEST = HashFunction().digest(PREIMAGE)
HOUR = 3_600_000_000_000


def block(**changes: object) -> LockBlock:
    """The seller's: its own securities come back an hour after the buyer's money."""
    now = time.time_ns()
    plain = LockBlock(
        swap_id="0f6a0b1c-2b44-4a3e-8a54-5d9e3c1f7a21",
        leg="SECU",
        execution_lock=HashLock(algorithm=HashAlgorithm.SHA256, digest=DIGEST.hex()),
        expiries=(
            LegExpiry(leg="SECU", expires_at=now + 3 * HOUR),
            LegExpiry(leg="CASH", expires_at=now + 2 * HOUR),
        ),
        secret_holder=SecretHolder(bic=SELLER, role="DLVR"),
    )
    return replace(plain, **changes)


async def waits_for_the_secret(running: System) -> SettlementId:
    """Everything is locked and decided, and nothing is claimed."""

    def held() -> SettlementId | None:
        for id, live in running.engine.runner.lives.items():
            locked = all(leg.status is LegStatus.LOCKED for leg in live.state.legs)
            if live.state.phase is Phase.EXECUTING and locked:
                return id
        return None

    found: SettlementId = await until(held)
    return found


async def test_a_secret_is_handed_over_by_its_holder_and_opens_every_leg(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    secret = PartySecret(holder=MemberId(SELLER), function=HashFunction(), digest=DIGEST)
    async with system(dsns, tmp_path) as made:
        async with made.gateway() as running:
            swap = a_dvp(secret=secret, protocol=LockProtocol.HTLC)
            await running.desk.take_settlements(SELLER, [(swap, b"digest")])
            id = await waits_for_the_secret(running)
            release = running.desk.release
            assert await release(member("DEALGB20XXX"), id, "CASH", PREIMAGE) is None
            refused = await release(member(SELLER), id, "CASH", bytes(32))
            assert isinstance(refused, Refused)
            assert refused.faults[0].field == "preimage"
            refused = await release(member(SELLER), id, "FEE", PREIMAGE)
            assert isinstance(refused, Refused)
            denied = await release(member(BUYER), id, "CASH", PREIMAGE)
            assert isinstance(denied, Denied)
            await running.engine.keys.keep(id, PREIMAGE)  # and dies before it is journalled
        async with made.gateway() as running:
            assert isinstance(
                await running.desk.release(member(SELLER), id, "CASH", PREIMAGE), View
            )
            again = await running.desk.release(member(SELLER), id, "SECU", PREIMAGE)
            assert isinstance(again, View)

            async def settled() -> bool:
                view = await running.desk.show(member(BUYER), id)
                return view is not None and view.state.phase is Phase.SETTLED

            await until(settled)
            again = await running.desk.release(member(SELLER), id, "CASH", PREIMAGE)
            assert isinstance(again, View)
            swap = a_dvp(secret=secret, protocol=LockProtocol.HTLC)
            (used,) = await running.desk.take_settlements(SELLER, [(swap, b"digest")])
            assert isinstance(used, Conflict)
            sealed = await running.engine.pool.fetchval("SELECT sealed FROM handed_secret")
            assert PREIMAGE not in sealed
            said = " ".join(running.said)
            assert PREIMAGE.hex() not in said


async def test_a_pair_with_a_party_s_secret_settles_and_its_hash_is_used_once(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made, made.gateway() as running:
        deliver, receive = both()
        terms = block()
        await send(running, replace(deliver, lock=terms))
        await send(running, receive)
        id = await waits_for_the_secret(running)
        assert running.engine.runner.lives[id].state.protocol is LockProtocol.HTLC
        released = await running.desk.release(member(SELLER), id, "CASH", PREIMAGE)
        assert isinstance(released, View)
        await until(lambda: ends(running, BUYER, "002/ACSC", "054/DBIT/998.75", "settled"))
        assert PREIMAGE.hex() not in str(await running.desk.read(BUYER, after=0, limit=99))
        deliver, receive = both()
        await send(running, replace(deliver, lock=terms))
        await send(running, receive)
        assert await ends(running, SELLER, "Canc/CANS")
        assert await ends(running, BUYER, "Canc/CANS")


async def test_the_other_side_consents_by_its_order_or_by_accept(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    async with system(dsns, tmp_path) as made, ordering(made) as running:
        deliver, receive = both()
        terms = block()
        await send(running, replace(deliver, lock=terms))
        await send(running, receive)
        written = blocks.write(terms, "/Document/FICdtTrf/CdtTrfTxInf")
        other = blocks.write(block(), "/Document/FICdtTrf/CdtTrfTxInf")
        await ask(running, payment(receive, more=other), payment(receive))
        stored = [s.definition for s in await running.desk.read(BUYER, after=0, limit=99)]
        asked = "lockstep.settlement.1"  # names the settlement that waits for its consent
        assert stored[-3:] == ["pacs.002.001.10", "pacs.002.001.10", asked]
        (live,) = running.engine.runner.lives.values()
        assert live.state.phase is Phase.PROPOSED  # the money may move, on these terms not yet
        assert live.state.consents == {SELLER}
        assert isinstance(await running.desk.accept(member(BUYER), live.id), View)
        assert await waits_for_the_secret(running) == live.id

        digest = HashFunction().digest(PREIMAGE[::-1])
        lock = HashLock(algorithm=HashAlgorithm.SHA256, digest=digest.hex())
        terms = replace(terms, execution_lock=lock)
        written = blocks.write(terms, "/Document/FICdtTrf/CdtTrfTxInf")
        deliver, receive = both()
        await send(running, replace(deliver, lock=terms))
        await send(running, receive)
        await ask(running, payment(receive, more=written))
        await until(lambda: len(running.engine.runner.lives) == 2)
        second = max(running.engine.runner.lives)
        assert running.engine.runner.lives[second].state.consents == {SELLER, BUYER}


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_holder": SecretHolder(bic="DEALGB20", role="OTHR")},
        {"cancellation_lock": HashLock(algorithm=HashAlgorithm.SHA256, digest="11" * 32)},
    ],
)
async def test_a_block_that_cannot_be_is_refused(
    running: System, changes: dict[str, object]
) -> None:
    deliver, _ = both()
    await send(running, replace(deliver, lock=block(**changes)))
    assert await all_heard(running, SELLER) == ["Rjctd/VALR"]
