"""What people do in a simulated world: parties with and without secrets, authorities, operators."""

from functools import partial
from typing import TYPE_CHECKING, assert_never

from gateway.simulation import faults
from gateway.simulation.trace import What
from htlc.agreement import Agreement
from htlc.contract import Status
from htlc.events import CancelRequested, Decided, Decision, Reason, SecretHanded
from htlc.units import LedgerId, MemberId, SettlementId
from ledgers.parties import Principal, Role
from ledgers.port import Execute, Transfer

if TYPE_CHECKING:  # the world owns this; nothing is needed of it at import
    from gateway.simulation.world import World

Act = (
    faults.Cancel
    | faults.UseSecret
    | faults.ClaimLate
    | faults.HandSecret
    | faults.Block
    | faults.Spend
    | faults.Resolve
)


class People:
    """Carries out the acts of a plan. An act without a settlement is about every one."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def do(self, act: Act) -> None:
        match act:
            case faults.Block():
                self.world.happen(act.ledger, What.FAULT, detail=f"Block({act.account})")
                self.world.ledgers[LedgerId(act.ledger)].block_account(act.account)
            case faults.Spend():
                self._spend(act)
            case _:
                ids = tuple(self.world.journal.entries)
                for id in ids if act.settlement is None else (act.settlement,):
                    self._on(act, id)

    def _on(
        self,
        act: faults.Cancel
        | faults.UseSecret
        | faults.ClaimLate
        | faults.HandSecret
        | faults.Resolve,
        id: SettlementId,
    ) -> None:
        match act:
            case faults.Cancel():
                self._cancel(id, act)
            case faults.UseSecret():
                self._use_secret(id)
            case faults.ClaimLate():
                self._claim_late(id, act.before)
            case faults.HandSecret():
                self._hand_secret(id)
            case faults.Resolve():
                self._resolve(id)
            case _:
                assert_never(act)

    def _cancel(self, id: SettlementId, act: faults.Cancel) -> None:
        """As a request that reaches the gateway's journal; denied when it comes too late."""
        world = self.world
        state, _ = world.journal.load(id)
        accepted = world.journal.up and (act.ordered or state.cancellable)
        if accepted:
            world.append(id, CancelRequested(by=act.by, ordered=act.ordered))
        detail = f"{act.by}: {'noted' if accepted else 'denied'}"
        world.happen("gateway", What.CANCEL_ASKED, id, detail=detail)

    # ------------------------------------------------------------------ secrets

    def _claims(self, id: SettlementId) -> tuple[Agreement, int] | None:
        """The leg that the holder of the secret claims first: the one that pays it."""
        agreement = self.world.agreements.get(id)
        if agreement is None:
            return None
        assert agreement.holder is not None, "a party holds the secret"
        return agreement, min(agreement.revealers)

    def _use_secret(self, id: SettlementId) -> None:
        """As soon as everything is locked, with its ledger's finality: no party shows before."""
        found = self._claims(id)
        if found is not None and self._all_locked(id):
            self._claim(*found)
        elif self._may_still(id):
            self.world.at(self.world.pace.look_first, partial(self._use_secret, id))

    def _may_still(self, id: SettlementId) -> bool:
        """Whether waiting for it makes sense: it is not over, and its legs can still be locked."""
        world, agreement = self.world, self.world.agreements.get(id)
        if agreement is None:
            return not world.journal.load(id)[0].ended
        held = world.contracts(id)
        return not any(
            world.ledgers[leg.ledger].read(world.now) >= leg.terms.lock_by
            if contract is None
            else contract.status is not Status.LOCKED
            for leg, contract in zip(agreement.legs, held, strict=True)
        )

    def _all_locked(self, id: SettlementId) -> bool:
        """As the holder sees it: every lock is there, and final."""
        world, agreement = self.world, self.world.agreements[id]
        answers = [
            world.ledgers[leg.ledger].look([leg.terms.id], world.now)[0] for leg in agreement.legs
        ]
        return all(answer.final and answer.htlc is not None for answer in answers)

    def _claim_late(self, id: SettlementId, before: int) -> None:
        found = self._claims(id)
        if found is None:
            if self._may_still(id):
                self.world.at(self.world.pace.look_first, partial(self._claim_late, id, before))
            return
        agreement, n = found
        leg = agreement.legs[n]
        assert leg.terms.expires_at is not None, "a party-held secret opens an expiring lock"
        now = self.world.ledgers[leg.ledger].read(self.world.now)
        left = leg.terms.expires_at - before - now
        self.world.at(max(0, left), partial(self._claim, agreement, n))

    def _claim(self, agreement: Agreement, n: int) -> None:
        leg, world = agreement.legs[n], self.world
        by = Principal(name=leg.payee, role=Role.OWNER)
        key = world.secret(agreement.settlement)
        ledger = world.ledgers[leg.ledger]
        held = ledger.book.contracts.get(leg.terms.id)
        if ledger.up and held is not None and held.status is Status.LOCKED:
            ledger.apply([Execute(id=leg.terms.id, key=key)], by, world.now)

    def _hand_secret(self, id: SettlementId) -> None:
        agreement = self.world.agreements.get(id)
        if agreement is None or not self.world.journal.up:
            if not self._may_still(id):
                return
            self.world.at(self.world.pace.look_first, partial(self._hand_secret, id))
            return
        assert agreement.holder is not None, "a party holds the secret"
        self.world.append(id, SecretHanded(by=agreement.holder))
        self.world.happen(agreement.holder, What.SECRET_HANDED, id)

    # ------------------------------------------------------------------ others

    def _spend(self, act: faults.Spend) -> None:
        """To somebody who has nothing to do with any settlement."""
        world = self.world
        ledger = world.ledgers[LedgerId(act.ledger)]
        account = ledger.book.accounts[act.account]
        assert account is not None, "an account that was opened"
        free = ledger.book.balance(act.account, act.asset).available
        world.happen(act.ledger, What.FAULT, detail=f"Spend({act.account}, {free} {act.asset})")
        if free:
            elsewhere = world.account(act.ledger, MemberId("ELSEWHERE"))
            by = Principal(name=account.owner, role=Role.OWNER)
            spent = Transfer(
                id=f"spend-{len(ledger.log)}",
                debit=act.account,
                credit=elsewhere,
                asset=act.asset,
                quantity=free,  # type: ignore[arg-type]
            )
            ledger.apply([spent], by, world.now)

    def _resolve(self, id: SettlementId) -> None:
        """With the evidence: what was lost is known to the world."""
        world = self.world
        state, _ = world.journal.load(id)
        if not state.frozen and (state.decided is not None or not state.restored):
            return
        lost = world.journal.lost.get(id, ())
        committed = any(isinstance(e, Decided) and e.decision is Decision.COMMIT for e in lost)
        decision = Decision.COMMIT if committed else Decision.CANCEL
        world.append(id, Decided(decision=decision, reason=Reason.OPERATORS))
        world.happen("operators", What.DECIDED, id, detail=f"{decision} OPERATORS")
