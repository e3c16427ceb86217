"""Allegements through the whole gateway: who is missing is told once, and told when it is over."""

from pathlib import Path

import msgspec

from gateway.config import MatchingSettings
from protocols.iso20022.advice import Allegement
from protocols.iso20022.instruction import Movement
from tests.gateway.requests import ask, cancellation, heard
from tests.gateway.systems import BUYER, SELLER, System, system, until
from tests.gateway.test_instructions import instruction, send, told


async def count(running: System, kind: str) -> int:
    return (await heard(running, BUYER)).count(kind)


async def test_what_stays_unmatched_is_alleged_once_and_removed_when_matched_or_cancelled(
    dsns: dict[str, str], tmp_path: Path
) -> None:
    soon = MatchingSettings(allege_after_seconds=0.05)
    async with system(dsns, tmp_path) as made, made.gateway(matching=soon) as running:
        settling, cancelled = instruction(Movement.DELI), instruction(Movement.DELI, quantity="7")
        await send(running, settling)
        await send(running, cancelled)
        outside = msgspec.structs.replace(settling.receiving, party1="NOBODYFF")
        await send(running, instruction(Movement.DELI, receiving=outside))  # no member: nobody told

        async def both_alleged() -> bool:
            return await count(running, "Allegement") == 2

        await until(both_alleged)
        first = (await told(running, BUYER))[0]
        assert isinstance(first, Allegement)
        assert first.instruction.safekeeping_account is None
        assert first.instruction.transaction_id == settling.transaction_id
        assert await running.engine.allegements.tell() == 0  # each once
        await ask(running, cancellation(cancelled))
        assert await count(running, "AllegementRemoval") == 1
        await send(running, instruction(Movement.RECE))
        assert (await heard(running, BUYER))[:5] == [
            "Allegement",
            "Allegement",
            "AllegementRemoval",
            "AckdAccptd Mtchd",
            "AllegementRemoval",
        ]
        assert "Allegement" not in await heard(running, SELLER)
