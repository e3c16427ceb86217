"""A ledger of the simulated world: the real book (`ledgers.book`) behind a clock of its own, with
finality after a while, until which a reorganisation may undo what it did.

Synchronous, without blocks: the chain over the same effects is built and verified when a run is
audited (`audit.py`).
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from gateway.simulation.clock import SkewedClock
from gateway.simulation.trace import What
from htlc.agreement import LedgerProfile
from htlc.contract import Answer, Htlc, Refusal, Status
from htlc.hashlock import HashFunction
from htlc.schedule import Latency
from htlc.units import QUANTITY_MAX, AccountId, AssetId, HtlcId, Instant, LedgerId, Quantity
from ledgers.book import SIDES, Book, Effect, Kind, Side, apply_all
from ledgers.instruments import Instrument
from ledgers.parties import Account, Balance, Mandate, Principal, Role
from ledgers.port import Issue, Lock, LockKind, Operation
from ledgers.profile import Profile

GATEWAY: Final = Principal(name="gateway", role=Role.OPERATOR)
"""All replicas of the gateway speak as one principal, under the payers' mandates."""

COUNTER: Final = AccountId("counter")
"""The counter-account of every asset: minus what was issued."""

Told = Callable[[str, What, Htlc | None, str], None]
"""The world's pen: ledger, what, the contract it is about, a detail."""

_KINDS: Final = {
    Kind.LOCK: What.LOCKED,
    Kind.EXECUTE: What.EXECUTED,
    Kind.CANCEL: What.CANCELLED,
    Kind.REFUND: What.REFUNDED,
}


class Posted(msgspec.Struct, frozen=True):
    """An effect and the true time at which it was made."""

    now: int
    effect: Effect


class Ledger:
    """One ledger. Every method takes the true time, which the ledger itself cannot read."""

    def __init__(
        self,
        name: LedgerId,
        latency: Latency,
        kinds: tuple[LockKind, ...],
        function: HashFunction,
        clock: SkewedClock,
        told: Told,
        touched: set[LedgerId],
    ) -> None:
        self.name = name
        self.latency = latency
        self.clock = clock
        self.book = Book(Profile(lock_kinds=kinds, hash_functions=(function,)))
        self.up = True
        self.life = 0
        self.log: list[Posted] = []  # what stands, in order
        self._at = Instant(0)
        self._told = told
        self._touched = touched

    def read(self, now: int) -> Instant:
        """Ledger time: its clock, but never earlier than it was told before (rule 4)."""
        self._at = max(self._at, Instant(self.clock.read(now)))
        return self._at

    def profile(self, at: Instant) -> LedgerProfile:
        """What a gateway knows of it when its time was `at`."""
        served = self.book.profile
        return LedgerProfile(
            two_key=LockKind.TWO_KEY in served.lock_kinds,
            htlc=LockKind.HTLC in served.lock_kinds,
            functions=served.hash_functions,
            latency=self.latency,
            now=at,
        )

    # ------------------------------------------------------------------ reference data

    def open_account(self, account: AccountId, owner: str) -> None:
        self.book.accounts.setdefault(account, Account(id=account, owner=owner))
        self.book.mandates[account, GATEWAY.name] = Mandate(
            account=account, operator=GATEWAY.name, limit=QUANTITY_MAX, until=Instant(QUANTITY_MAX)
        )

    def block_account(self, account: AccountId) -> None:
        known = self.book.accounts[account]
        assert known is not None, "an account that was opened"
        self.book.accounts[account] = Account(id=account, owner=known.owner, blocked=True)

    def issue(self, account: AccountId, asset: AssetId, quantity: int, now: int) -> None:
        """Bring a quantity into the world, against the counter-account."""
        self.book.instruments.setdefault(
            asset,
            Instrument(
                asset=asset,
                name=asset,
                scale=0,
                quantity_type="Unit",
                issuer="issuer",
                counter=COUNTER,
            ),
        )
        self.book.accounts.setdefault(COUNTER, Account(id=COUNTER, owner="issuer"))
        if quantity:
            id = f"issue-{self.name}-{len(self.log)}"
            operation = Issue(id=id, account=account, asset=asset, quantity=Quantity(quantity))
            (answer,) = self.apply([operation], Principal(name="issuer", role=Role.ISSUER), now)
            assert answer.refusal is None, answer

    # ------------------------------------------------------------------ operations

    def apply(self, operations: Sequence[Operation], by: Principal, now: int) -> list[Answer]:
        """One batch, judged and posted by the real book, an answer for each in order."""
        answers, effects = apply_all(self.book, operations, by, self.read(now))
        for effect in effects:
            self._posted(effect, now)
        for operation, answer in zip(operations, answers, strict=True):
            if answer.refusal is not None:
                self._refused(operation, answer.refusal)
        if self.latency.finality:
            answers = [self._with_finality(answer, now) for answer in answers]
        return answers

    def look(self, ids: Sequence[HtlcId], now: int) -> list[Answer]:
        at = self.read(now)
        answers = [Answer(at=at, htlc=self.book.contracts.get(id)) for id in ids]
        return [self._with_finality(answer, now) for answer in answers]

    def _with_finality(self, answer: Answer, now: int) -> Answer:
        if answer.htlc is None or self._is_final(answer.htlc, now):
            return answer
        return Answer(at=answer.at, final=False, htlc=answer.htlc, refusal=answer.refusal)

    def _is_final(self, htlc: Htlc, now: int) -> bool:
        """Whether nothing can undo it any more: its last change is old enough."""
        id, since = htlc.terms.id, now - self.latency.finality
        for posted in reversed(self.log):
            if posted.now <= since:
                return True
            if posted.effect.id == id:
                return False
        return True

    def _posted(self, effect: Effect, now: int) -> None:
        self.log.append(Posted(now, effect))
        self._touched.add(self.name)
        if effect.htlc is not None:
            self._told(self.name, _KINDS[effect.kind], effect.htlc, "")

    def _refused(self, operation: Operation, refusal: Refusal) -> None:
        known = None if isinstance(operation, Lock) else self._contract(operation)
        self._told(self.name, What.REFUSED, known, f"{type(operation).__name__}: {refusal}")

    def _contract(self, operation: Operation) -> Htlc | None:
        return self.book.contracts.get(HtlcId(getattr(operation, "id", "")))

    # ------------------------------------------------------------------ reorganisation

    def undo_from(self, place: int, now: int) -> None:
        """Undo the change at `place` of the log and all that came after it, unless it is final by
        now; they never happened."""
        if place >= len(self.log) or now - self.log[place].now >= self.latency.finality:
            return
        if any(posted.effect.htlc is None for posted in self.log[place:]):
            return  # an issue or a transfer: others may have built on it
        undone = self.log[place:]
        del self.log[place:]
        for posted in reversed(undone):
            self._undo(posted.effect)

    def _undo(self, effect: Effect) -> None:
        assert effect.htlc is not None
        from_side, to_side = SIDES[effect.kind]
        self._move(effect.credit, effect.asset, to_side, -effect.quantity)
        self._move(effect.debit, effect.asset, from_side, effect.quantity)
        held = effect.htlc
        self.book.contracts[held.terms.id] = (
            None
            if effect.kind is Kind.LOCK
            else Htlc(terms=held.terms, status=Status.LOCKED, locked_at=held.locked_at)
        )
        self._touched.add(self.name)
        self._told(self.name, What.UNDONE, held, effect.kind)

    def _move(self, account: AccountId, asset: AssetId, side: Side, quantity: int) -> None:
        before = self.book.balance(account, asset)
        available, locked = before.available, before.locked
        self.book.balances[account, asset] = (
            Balance(available + quantity, locked)
            if side is Side.AVAILABLE
            else Balance(available, locked + quantity)
        )
