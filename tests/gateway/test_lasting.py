"""Lock and claim states that last: told once to each side, and not where all runs as it should."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.fx_pairs import LASTING as FX_LASTING
from gateway.stages import Stage, stage
from htlc.leg import LegState, LegStatus
from htlc.settlement import Phase, Settlement
from htlc.swap import Amount, Party, dvp
from htlc.units import AccountId, AssetId, LedgerId, MemberId, Quantity, SettlementId
from protocols.iso20022.advice import StatusAdvice
from protocols.iso20022.codes import HtlcReason
from protocols.iso20022.lock_block import HashAlgorithm, HashLock, LockBlock, LockProtocol
from tests.gateway.cash_messages import all_heard
from tests.gateway.systems import BUYER, SELLER, System, system, until
from tests.gateway.test_instructions import both, everything, send

SWAP = "0f6a0b1c-2b44-4a3e-8a54-5d9e3c1f7a21"


async def ends(running: System, member: str, *words: str) -> bool:
    return (await all_heard(running, member))[-len(words) :] == list(words)


async def test_a_lock_that_waits_for_the_other_is_told_to_both_sides_once(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    block = LockBlock(
        swap_id=SWAP,
        leg="CASH",
        execution_lock=HashLock(algorithm=HashAlgorithm.SHA256, digest="00" * 32),
    )
    async with system(dsns, tmp_path, lock_within_seconds=60.0) as made:
        soon = tuple(replace(member, advise_after_seconds=0.1) for member in made.settings.members)
        made.settings = replace(made.settings, members=soon)
        async with made.gateway() as running:
            running.engine.links[LedgerId("registry")].trusted = False
            for side in both(lock=block):
                await send(running, side)
            await until(lambda: ends(running, BUYER, "002/PDNG", "Mtchd Pdg/CDLR"))
            await until(lambda: ends(running, SELLER, "Mtchd", "Mtchd Pdg/CDLR"))
            told = (await everything(running, SELLER))[-1]
            assert isinstance(told, StatusAdvice)
            assert told.settlement is not None
            assert told.settlement.reasons[0].htlc is HtlcReason.CLCK
            assert told.lock is not None
            assert (told.lock.swap_id, told.lock.leg) == (SWAP, "CASH")
            assert told.lock.protocol is LockProtocol.TWO_KEY
        async with made.gateway() as running:  # a crash: the same is not told again
            await until(lambda: ends(running, BUYER, "002/ACSC", "054/DBIT/998.75", "settled"))
            await until(lambda: ends(running, SELLER, "054/CRDT/998.75", "settled"))
            heard = await all_heard(running, BUYER)
            assert heard.count("Mtchd Pdg/CDLR") == heard.count("002/PDNG") == 1
            rows = await running.engine.pool.fetch("SELECT member, stage FROM lock_advice")
            buys = told.references.counterparty_market_tx
            assert sorted(map(tuple, rows)) == [
                (BUYER, f"PDNG {buys}"),
                (BUYER, "second locked"),
                (SELLER, "second locked"),
            ]


LOCKED, EXECUTED, ABSENT = LegStatus.LOCKED, LegStatus.EXECUTED, LegStatus.ABSENT


@pytest.mark.parametrize(
    ("legs", "phase", "found"),
    [
        ((ABSENT, ABSENT), Phase.LOCKING, None),
        ((LOCKED, ABSENT), Phase.LOCKING, Stage.FIRST_LOCKED),
        ((LegStatus.UNSEEN, LOCKED), Phase.LOCKING, Stage.SECOND_LOCKED),
        ((LOCKED, LOCKED), Phase.LOCKING, Stage.ALL_LOCKED),
        ((LOCKED, LOCKED), Phase.EXECUTING, Stage.ALL_LOCKED),
        ((LOCKED, EXECUTED), Phase.EXECUTING, Stage.SECOND_PAID),
        ((EXECUTED, LOCKED), Phase.EXECUTING, Stage.FIRST_PAID),
        ((LegStatus.REFUNDED, EXECUTED), Phase.BROKEN, Stage.SECOND_PAID),
        ((LOCKED, LegStatus.CANCELLED), Phase.UNWINDING, None),
        ((EXECUTED, EXECUTED), Phase.SETTLED, None),
    ],
)
def test_where_the_locks_stand(
    legs: Sequence[LegStatus], phase: Phase, found: Stage | None
) -> None:
    party = Party(member=MemberId("A"), account=AccountId("a"))
    one = Amount(ledger=LedgerId("l"), asset=AssetId("x"), quantity=Quantity(1))
    swap = dvp(SettlementId("s"), seller=party, buyer=party, securities=one, cash=one)
    states = tuple(LegState(status=status) for status in legs)
    assert stage(Settlement(swap=swap, phase=phase, legs=states)) is found


def test_every_stage_has_its_words_in_an_exchange() -> None:
    assert set(FX_LASTING) == set(Stage)
