"""What a gateway's operator could do who has everything: the master secret, the journal, the access
to the ledgers. It runs on real databases; the ledgers are honest and sign what they are asked."""

import contextlib
import time
from collections.abc import AsyncIterator
from functools import cache, partial

import asyncpg

from gateway.cancellations import conclude
from gateway.journal import Entry, Journal, Opening, current_epoch
from gateway.vault import Vault
from htlc.agreement import Agreement, LedgerProfile, Limits, Role, draw_up
from htlc.coordinator import evolve, propose
from htlc.events import Decided, Decision, Event, Opened, Proposed, Reason, Restored
from htlc.hashlock import HashFunction
from htlc.schedule import Latency
from htlc.swap import LockProtocol, Swap
from htlc.units import Instant, LedgerId, SettlementId, seconds
from ledgers.hosted import Traits
from ledgers.port import Answer, Cancel, Execute, Lock, Operation, Refund
from ledgers.postgres import PostgresLedger, open_pool
from tests.gateway.audit.day import Copy
from tests.gateway.systems import GATEWAY
from tests.gateway.test_agreed_swaps import a_dvp

COMMIT = Decided(decision=Decision.COMMIT, reason=Reason.ALL_LOCKED)
CANCEL = Decided(decision=Decision.CANCEL, reason=Reason.CANCEL_ACCEPTED)
RESTORED = Restored(epoch=1)
LIMITS = Limits(lock_within=seconds(20), commit_within=seconds(60), recovery=seconds(600))
LATENCY = Latency(finality=seconds(0), lookup=seconds(1), delivery=seconds(5), skew=seconds(1))
SECU, CASH = 0, 1


class Rogue:
    """Writes into the journal and asks the ledgers as it pleases."""

    def __init__(
        self, journal: Journal, ledgers: dict[str, PostgresLedger], vault: Vault, clock: "Clock"
    ) -> None:
        self._journal = journal
        self._ledgers = ledgers
        self._vault = vault
        self.clock = clock

    async def open(
        self, *events: Event, protocol: LockProtocol = LockProtocol.TWO_KEY
    ) -> Agreement:
        """A settlement that is opened, and what else is to stand in its journal."""
        swap = a_dvp(quantity=1, cash=100, protocol=protocol)
        agreement = self._agreement(swap)
        proposed = Proposed(swap=swap, consents=tuple(sorted(swap.payers)))
        first = (proposed, Opened(agreement=agreement))
        entries = [self._entry(swap.id, 1, first, first)]
        for sequence, event in enumerate(events, start=2):
            told = (*first, *events[: sequence - 1])
            entries.append(self._entry(swap.id, sequence, told, (event,)))
        opening = Opening(entry=entries[0], created_at=1, members=tuple(sorted(swap.parties)))
        pool = self._journal._pool
        async with pool.acquire() as connection, connection.transaction():
            assert await self._journal.open_in(connection, [opening]) == [True]
        for entry in entries[1:]:
            assert await self._journal.append([entry]) == [True]
        return agreement

    def _agreement(self, swap: Swap) -> Agreement:
        now = Instant(self.clock())
        profile = LedgerProfile(
            two_key=True, htlc=True, functions=(HashFunction(),), latency=LATENCY, now=now
        )
        profiles = {LedgerId(name): profile for name in self._ledgers}
        drawn = draw_up(swap, profiles, LIMITS, cache(partial(self._vault.lock, swap.id)))
        assert isinstance(drawn, Agreement), drawn
        return drawn

    def _entry(
        self,
        id: SettlementId,
        sequence: int,
        told: tuple[Event, ...],
        events: tuple[Event, ...],
    ) -> Entry:
        assert isinstance(told[0], Proposed)
        state = propose(told[0])
        for event in told[1:]:
            state = evolve(state, event)
        decided = next((e.decision for e in events if isinstance(e, Decided)), None)
        return Entry(
            settlement=id, sequence=sequence, events=events, phase=state.phase, decision=decided
        )

    async def lock(self, agreement: Agreement, *legs: int) -> None:
        for n in legs:
            await self._ask(agreement, n, Lock(terms=agreement.legs[n].terms))

    async def execute(self, agreement: Agreement, leg: int) -> None:
        key = self._key(agreement, leg, Role.EXECUTION)
        await self._ask(agreement, leg, Execute(id=agreement.legs[leg].terms.id, key=key))

    async def cancel(self, agreement: Agreement, leg: int) -> None:
        key = self._key(agreement, leg, Role.CANCELLATION)
        await self._ask(agreement, leg, Cancel(id=agreement.legs[leg].terms.id, key=key))

    async def refund(self, agreement: Agreement, leg: int) -> None:
        await self._ask(agreement, leg, Refund(id=agreement.legs[leg].terms.id))

    def _key(self, agreement: Agreement, leg: int, role: Role) -> bytes:
        """Past the vault's own question, whether it may be shown."""
        return self._vault._derive(agreement.settlement, agreement.legs[leg].pair, role)

    async def _ask(self, agreement: Agreement, leg: int, operation: Operation) -> None:
        ledger = self._ledgers[agreement.legs[leg].ledger]
        (answer,) = await ledger.submit(GATEWAY, [operation])
        assert isinstance(answer, Answer) and answer.refusal is None, answer


class Clock:
    """The wall clock of the ledgers, put forward at will."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> Instant:
        return Instant(time.time_ns() + self.ahead)


@contextlib.asynccontextmanager
async def rogue(copy: Copy) -> AsyncIterator[Rogue]:
    """Such an operator on a copy of a day."""
    clock, ledgers = Clock(), {}
    async with contextlib.AsyncExitStack() as stack:
        for name, seal in copy.day.seals.items():
            pool = await stack.enter_async_context(await open_pool(copy.dsns[name]))
            ledgers[name] = PostgresLedger(pool, seal, clock, Traits())
            stack.push_async_callback(ledgers[name].close)
        pool = await stack.enter_async_context(asyncpg.create_pool(copy.dsns["gateway"]))
        epoch = await current_epoch(pool)
        journal = Journal(pool, conclude, epoch=epoch, replica=1)
        yield Rogue(journal, ledgers, Vault(copy.day.master), clock)
