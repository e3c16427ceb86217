"""A ledger of the test world: `htlc.contract`, a clock of its own, balances, and finality after a
while, until which a reorganisation may undo what it did."""

import random
from collections.abc import Callable
from typing import Protocol

from htlc import contract
from htlc.agreement import LedgerProfile, Role
from htlc.commands import Command, Lock, Look, Refund, Unlock
from htlc.contract import Answer, Htlc, Refusal, Status
from htlc.schedule import Latency
from htlc.units import AccountId, HtlcId, Instant, LedgerId
from tests.htlc.samples import SHA256


class Surroundings(Protocol):
    """What a ledger needs of the world around it."""

    now: int
    rng: random.Random
    skew: int
    reorganised: float

    def at(self, delay: int, happen: Callable[[], None]) -> None: ...


FINAL_AT_ONCE = False
"""Set by a test that shows what happens if answers are called final before they are."""

LONG_AGO = -(10**9)
"""When what was always so became so."""


class Ledger:
    """One ledger: `htlc.contract`, a clock of its own, balances, and finality after a while."""

    def __init__(self, world: Surroundings, name: LedgerId, latency: Latency, ability: str) -> None:
        self.world = world
        self.name = name
        self.latency = latency
        self.ability = ability
        skew = world.skew
        self.offset = world.rng.randint(-skew, skew)
        self.down_until = 0
        self.held: dict[HtlcId, Htlc] = {}
        self.changed_at: dict[HtlcId, int] = {}
        self.balances: dict[tuple[AccountId, bool], int] = {}

    @property
    def now(self) -> Instant:
        return Instant(self.world.now + self.offset)

    def profile(self) -> LedgerProfile:
        return LedgerProfile(
            two_key=self.ability != "htlc",
            htlc=self.ability != "two_key",
            functions=(SHA256,),
            latency=self.latency,
            now=self.now,
        )

    def answer(self, id: HtlcId, refusal: Refusal | None = None) -> Answer:
        changed_at = self.changed_at.get(id, LONG_AGO)
        final = FINAL_AT_ONCE or self.world.now - changed_at >= self.latency.finality
        return Answer(at=self.now, final=final, htlc=self.held.get(id), refusal=refusal)

    def do(self, command: Command, terms: contract.Terms, key: bytes | None) -> Answer:
        held = self.held.get(terms.id)
        made: Htlc | Refusal
        if isinstance(command, Lock):
            made = held or self._lock(terms)
        elif held is None:
            made = Refusal.UNKNOWN_CONTRACT
        elif isinstance(command, Refund):
            made = contract.refund(held, self.now)
        elif isinstance(command, Unlock):
            assert key is not None
            opens = contract.execute if command.role is Role.EXECUTION else contract.cancel
            made = opens(held, key, self.now)
        else:
            made = held
        if isinstance(made, Refusal):
            return self.answer(terms.id, None if isinstance(command, Look) else made)
        if made is not held:
            self._change(terms.id, made)
        return self.answer(terms.id)

    def _lock(self, terms: contract.Terms) -> Htlc | Refusal:
        if self.balances.get((terms.payer, False), 0) < terms.quantity:
            return Refusal.INSUFFICIENT_BALANCE
        return contract.lock(terms, self.now)

    def _change(self, id: HtlcId, made: Htlc) -> None:
        before = self.held.get(id), self.changed_at.get(id, LONG_AGO)
        self.held[id] = made
        self.changed_at[id] = self.world.now
        self._move(made, 1)
        if self.world.rng.random() < self.world.reorganised:
            within = self.world.rng.randint(0, max(0, self.latency.finality - 1))
            self.world.at(within, lambda: self._undo(id, made, *before))

    def _undo(self, id: HtlcId, made: Htlc, held: Htlc | None, changed_at: int) -> None:
        """A reorganisation: a change that was not yet final never happened."""
        settled_at = self.changed_at.get(id, LONG_AGO) + self.latency.finality
        if self.held.get(id) is not made or self.world.now >= settled_at:
            return
        self.changed_at[id] = changed_at
        self._move(made, -1)
        if held is None:
            del self.held[id]
        else:
            self.held[id] = held

    def _move(self, made: Htlc, sign: int) -> None:
        terms, quantity = made.terms, sign * made.terms.quantity
        if made.status is Status.LOCKED:
            self.add(terms.payer, False, -quantity)
            self.add(terms.payer, True, quantity)
        else:
            winner = terms.payee if made.status is Status.EXECUTED else terms.payer
            self.add(terms.payer, True, -quantity)
            self.add(winner, False, quantity)

    def add(self, account: AccountId, locked: bool, quantity: int) -> None:
        self.balances[account, locked] = self.balances.get((account, locked), 0) + quantity

    def down(self) -> bool:
        return self.world.now < self.down_until
