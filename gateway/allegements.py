"""Allegements: who is missing is told what the other side has instructed (sese.028), and when that
is over (sese.029).

Told once for each instruction that has stayed unmatched for a while, to the member that it names as
its counterparty, as that member would have instructed it. Accounts are the instructing party's own
affair and are left out. Every replica looks; the row says who was first.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from gateway import instructions
from gateway.journal import LOST, QUERIES, Notice, deliver
from gateway.pairs import Side, notice_to
from gateway.sql import Pool
from protocols.iso20022.advice import Allegement, AllegementRemoval
from protocols.iso20022.instruction import SettlementInstruction, SettlementParties
from protocols.iso20022.lexical import bic11

PERIOD_SECONDS_MAX: Final = 10.0
"""How often it is looked for what is due: short beside a delay of an hour, and one statement."""

BATCH_MAX: Final = 500
"""Allegements of one transaction: matching waits for it, for some 20 ms."""


class Allegements:
    """Tells missing parties, as long as the gateway runs."""

    def __init__(
        self,
        pool: Pool,
        *,
        after: float,
        is_member: Callable[[str], bool],
        now: Callable[[], int],
        delivered: Callable[[Iterable[str]], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._after = after
        self._is_member = is_member
        self._now = now
        self._delivered = delivered
        self._say = say

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(min(PERIOD_SECONDS_MAX, self._after))
            try:
                while await self.tell() == BATCH_MAX:
                    pass  # there is more
            except LOST as error:
                self._say(f"allegements wait, the database is away: {error!r}")

    async def tell(self) -> int:
        """Allege what is due; how many instructions that were. Under the lock of matching, so that
        an allegement never comes after its own removal."""
        now = self._now()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(QUERIES["lock_matching"])
            due = await instructions.allege(connection, now - int(self._after * 1e9), BATCH_MAX)
            named = [(bic11(side.instruction.other.party1), side) for side in due]
            notices = [alleged(to, side, now) for to, side in named if self._is_member(to)]
            await deliver(connection, notices)
        self._delivered({notice.member for notice in notices})
        return len(due)


def alleged(to: str, side: Side, now: int) -> Notice:
    """What a side has instructed, for its counterparty."""
    message = Allegement(
        reference=side.reference,
        counterparty_tx=side.reference,
        instruction=_without_accounts(side.instruction),
    )
    return notice_to(to, message, now, about=None)  # it answers nothing that this member sent


def removed(side: Side, now: int) -> Notice:
    """The end of an allegement, for the one who was told of it."""
    message = AllegementRemoval(
        reference=side.reference,
        counterparty_tx=side.reference,
        movement=side.instruction.movement,
        payment=side.instruction.payment,
    )
    return notice_to(bic11(side.instruction.other.party1), message, now, about=None)


def _without_accounts(instruction: SettlementInstruction) -> SettlementInstruction:
    def bare(parties: SettlementParties) -> SettlementParties:
        client = parties.party2
        if client is not None:
            client = msgspec.structs.replace(client, account=None, processing_id=None)
        return msgspec.structs.replace(parties, account=None, processing_id=None, party2=client)

    return msgspec.structs.replace(
        instruction,
        safekeeping_account=None,
        cash_account=None,
        delivering=bare(instruction.delivering),
        receiving=bare(instruction.receiving),
    )
