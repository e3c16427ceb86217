"""Makes the published vectors of blocks: `python -m tests.ledgers.vectors` writes the file.

The vectors hold what was asked (by whom and when) and everything that follows from it. The key is
a fixed test key; nothing else must ever use it.
"""

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec

from htlc.units import HtlcId, Instant, LegId, Quantity
from ledgers.parties import Principal
from ledgers.port import Cancel, Execute, Issue, Lock, Operation, Redeem, Refund, Transfer
from ledgers.views import block_json, proof_json
from ledgers.wire import answer_json, operation_json
from tests.ledgers.worlds import (
    ALICE,
    ALICE_ACCOUNT,
    ALICE_SECOND,
    BOB_ACCOUNT,
    CANCELLATION_KEY,
    CENTRAL_BANK,
    EUR,
    EXECUTION_KEY,
    GATEWAY,
    KECCAK,
    SECOND,
    SHA256,
    SM3,
    START,
    World,
    memory_world,
)

FILE: Final = Path(__file__).parent.parent / "vectors" / "ledger" / "blocks.json"


def _id(number: int) -> HtlcId:
    return HtlcId(f"00000000-0000-4000-8000-{number:012x}")


VECTOR_IDS: Final = [_id(number) for number in range(5)]


def script(world: World) -> list[tuple[int, Principal, list[Operation]]]:
    """Seconds to wait, who asks, what: every kind of entry, every hash function, some refusals."""
    names = {"settlement": _id(99), "leg": LegId("CASH"), "lock_by": Instant(START + 60 * SECOND)}
    first = world.terms(id=_id(1), **names)
    second = world.terms(
        id=_id(2),
        execution_lock=SM3.lock(EXECUTION_KEY),
        cancellation_lock=SM3.lock(CANCELLATION_KEY),
        **names,
    )
    third = world.terms(
        id=_id(3),
        execution_lock=KECCAK.lock(EXECUTION_KEY),
        cancellation_lock=None,
        expires_at=Instant(START + 90 * SECOND),
        **names,
    )
    fourth = world.terms(id=_id(4), execution_lock=SHA256.lock(bytes(32)), **names)
    transfer = Transfer(
        id="t-1", debit=ALICE_ACCOUNT, credit=ALICE_SECOND, asset=EUR, quantity=Quantity(40)
    )
    issues = [
        kind(id=f"i-{kind.__name__}", account=BOB_ACCOUNT, asset=EUR, quantity=Quantity(7))
        for kind in (Issue, Redeem)
    ]
    return [
        (1, GATEWAY, [Lock(terms=terms) for terms in (first, second, third)]),
        (1, GATEWAY, [Execute(id=first.id, key=bytes(32)), Refund(id=third.id)]),
        (1, GATEWAY, [Execute(id=first.id, key=EXECUTION_KEY)]),
        (1, GATEWAY, [Cancel(id=second.id, key=CANCELLATION_KEY), Lock(terms=fourth)]),
        (1, ALICE, [transfer]),
        (1, CENTRAL_BANK, list(issues)),
        (90, GATEWAY, [Refund(id=third.id)]),
    ]


async def make() -> dict[str, Any]:
    """The content of the file."""
    world = await memory_world()
    steps = []
    for waited, by, operations in script(world):
        world.clock.advance(waited * SECOND)
        answers = await world.as_(by).apply(operations)
        steps.append(
            {
                "at": str(world.clock.at),
                "by": by.name,
                "operations": [operation_json(operation) for operation in operations],
                "answers": [answer_json(answer) for answer in answers],
            }
        )
    blocks = await world.hosted.blocks(0, 100)
    proofs = [await world.hosted.proof(2, position) for position in range(3)]
    return {
        "about": "Blocks of a ledger made by Lockstep; ledgers/README.md says how to verify them.",
        "private_key": bytes(range(32)).hex(),
        "public_key": world.hosted.seal.public_key.hex(),
        "steps": steps,
        "blocks": [block_json(block) for block in blocks],
        "proofs": [proof_json(proof) for proof in proofs if proof is not None],
    }


def text() -> bytes:
    """The bytes of the file, as today's code makes them."""
    return msgspec.json.format(msgspec.json.encode(asyncio.run(make())), indent=1) + b"\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_bytes(text())
