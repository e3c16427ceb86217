"""Plays a case in the simulator: the scenario's ledgers, parties and faults become a `World`.

Intake comes first, as at a real gateway: a swap that is unsound or that its ledgers cannot meet is
refused, and no world is made. Moments are watched over the world's own trace.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from gateway import preflight
from gateway.config import LimitSettings
from gateway.machine.world import smallest_units
from gateway.simulation import scenario_day, scenario_network, scenario_story
from gateway.simulation.scenario import (
    Case,
    End,
    Fault,
    LegEnd,
    Misdeclare,
    ProposeOtherwise,
    Scenario,
    Terms,
    faults_of,
    moment,
)
from gateway.simulation.scenario_faults import simulated
from gateway.simulation.scenario_moments import Watching
from gateway.simulation.scenario_people import People
from gateway.simulation.scenario_run import Balance, Run
from gateway.simulation.scenario_terms import other_terms
from gateway.simulation.world import EPOCH, World, party
from htlc.agreement import Limits, draw_up
from htlc.contract import Htlc, Status
from htlc.hashlock import PROBE_PREIMAGE, Algorithm, HashFunction
from htlc.schedule import Latency
from htlc.swap import Fault as SwapFault
from htlc.swap import Leg, PartySecret, Swap, check
from htlc.units import (
    SECOND,
    AssetId,
    Duration,
    Instant,
    LedgerId,
    LegId,
    MemberId,
    Quantity,
    SettlementId,
    seconds,
)
from ledgers.port import AssetDescription, Description

DELIVERY_SECONDS: Final = 5.0
LOOKUP_SECONDS: Final = 1.0
"""What a gateway's configuration says of a ledger unless told otherwise (`gateway.config`)."""

ENDS_AFTER_SECONDS: Final = 5_400
"""The longest case is over after 3,000 s of outage and an expiry; what waits then, waits on."""

LEGS_MAX: Final = LimitSettings().legs_max

_LEG_END: Final = {
    Status.LOCKED: LegEnd.LOCKED,
    Status.EXECUTED: LegEnd.EXECUTED,
    Status.CANCELLED: LegEnd.RETURNED,
}

_END: Final = {str(end): end for end in End} | {"FROZEN": End.WAITING}


class Simulated:
    """The executor of the simulator."""

    live = False

    async def run(self, scenario: Scenario, case: Case, seed: int) -> Run:
        began = time.monotonic()
        if scenario.registries:
            run = scenario_network.play(scenario, case, seed)
        elif scenario.day is not None:
            run = scenario_day.play(scenario, case, seed, _make(scenario))
        else:
            run = _Stage(scenario, case, seed).play()
        return msgspec.structs.replace(run, wall_seconds=time.monotonic() - began)


class Stage(World):
    """A world whose trace is watched for the moments of a scenario."""

    watching: Watching | None = None

    def contracts(self, id: SettlementId) -> tuple[Htlc | None, ...]:
        """The agreed locks; a contract on other terms is no leg of this settlement (rule 3)."""
        agreement = self.agreements.get(id)
        return tuple(
            held if held is not None and held.terms == leg.terms else None
            for leg, held in zip(
                agreement.legs if agreement else (), super().contracts(id), strict=True
            )
        )

    def happen(self, *args: Any, **kwargs: Any) -> None:
        super().happen(*args, **kwargs)
        if self.watching is not None:
            self.watching.look(self.trace[-1])


class _Stage:
    """One case being played."""

    def __init__(self, scenario: Scenario, case: Case, seed: int) -> None:
        self.scenario = scenario
        self.case = case
        self.world = stage(scenario, scenario.terms, seed)
        endow(self.world, scenario)
        self.seed = seed

    def play(self) -> Run:
        if refused := self._intake():
            return self._refused(refused)
        other = self._proposed_otherwise()
        if other is not None and moment(other.when) == moment("start"):
            return self._refused(other_terms(self.scenario, other))
        id = self._propose()
        self.world.watching = Watching(self.world, id)
        for fault in faults_of(self.scenario, self.case):
            self._plan(fault)
        played = self.world.run()
        run = self._told(id, played.end(id).state)
        if other is not None:
            reasons = other_terms(self.scenario, other)
            return msgspec.structs.replace(run, end=End.REJECTED, reasons=reasons, notices={})
        return run

    # ------------------------------------------------------------------ intake

    def _intake(self) -> tuple[str, ...]:
        """Why the trade is not taken; empty if it is: the shape of the swap, the ledgers' probes,
        whether there is an agreement that keeps all margins."""
        swap = self._swap()
        if found := check(swap, legs_max=LEGS_MAX):
            return _texts(found)
        if probe := self._probe():
            return (probe,)
        profiles = {
            name: self.world.profiles[name](ledger.read(0))
            for name, ledger in self.world.ledgers.items()
        }
        keys = partial(self.world.vault.lock, swap.id)
        drawn = draw_up(swap, profiles, self.world.limits, keys)
        return _texts(drawn) if isinstance(drawn, tuple) else ()

    def _swap(self) -> Swap:
        commit_by = self._commit_by()
        function = HashFunction()
        holder = self.case.secret
        return Swap(
            id=SettlementId(f"{self.seed:08x}-0000-4000-8000-{0:012x}"),
            legs=legs(self.scenario),
            protocol=self.case.protocol,
            commit_by=None if commit_by is None else Instant(EPOCH + commit_by),
            secret=PartySecret(
                holder=MemberId(self.scenario.parties[holder].bic),
                function=function,
                digest=function.digest(PROBE_PREIMAGE),
            )
            if holder is not None
            else None,
        )

    def _commit_by(self) -> int | None:
        """The earliest cut-off, if it comes before the time that a gateway allows anyway."""
        cut_offs = [
            ledger.cut_off_seconds
            for ledger in self.scenario.ledgers.values()
            if ledger.cut_off_seconds is not None
        ]
        if self.case.cut_off_seconds is not None:
            cut_offs = [self.case.cut_off_seconds]
        terms = self.scenario.terms
        cut_offs = [each for each in cut_offs if each < terms.commit_within_seconds]
        return seconds(min(cut_offs)) if cut_offs else None

    def _probe(self) -> str | None:
        """What the preflight says of a ledger that hashes otherwise than it declares."""
        for fault in faults_of(self.scenario, self.case):
            if isinstance(fault, Misdeclare):
                return _misdeclared(self.scenario, fault.ledger)
        return None

    def _refused(self, reasons: tuple[str, ...]) -> Run:
        """Nothing was ever asked of a ledger."""
        return Run(
            end=End.REJECTED,
            legs={},
            reasons=reasons,
            steps=scenario_story.refused(self.scenario, reasons),
            balances=self._balances(),
            protocol=self.case.protocol,
        )

    # ------------------------------------------------------------------ the play

    def _propose(self) -> SettlementId:
        holder = self.case.secret
        self.before = self._holdings()
        return self.world.propose(
            legs(self.scenario),
            protocol=self.case.protocol,
            holder=None if holder is None else self.scenario.parties[holder].bic,
            commit_by=self._commit_by(),
        )

    def _proposed_otherwise(self) -> ProposeOtherwise | None:
        found = (f for f in faults_of(self.scenario, self.case) if isinstance(f, ProposeOtherwise))
        return next(found, None)

    def _plan(self, fault: Fault) -> None:
        when = moment(fault.when)
        watching = self.world.watching
        assert when is not None and watching is not None, "the file was checked"
        watching.at(when, self._deed(fault))

    def _deed(self, fault: Fault) -> Callable[[str], None]:
        """What is to be done when the moment has come; it is told at which node."""
        if isinstance(fault, ProposeOtherwise | Misdeclare):
            return lambda _: None  # told by intake
        watching = self.world.watching
        assert watching is not None
        own = People(self.world, watching.id).deed(fault)
        return own or partial(self._strike, fault)

    def _strike(self, fault: Fault, node: str) -> None:
        for each in simulated(fault, self.scenario, node):
            self.world.actions.do(each, None)

    # ------------------------------------------------------------------ what came of it

    def _told(self, id: SettlementId, state: str) -> Run:
        agreement = self.world.agreements.get(id)
        held = self.world.contracts(id)
        played = [entry for entry in self.world.trace if entry.settlement == id]
        return Run(
            end=End.WAITING if self._frozen(id) else _END.get(state),
            legs=self._legs(id, held),
            steps=scenario_story.steps(self.scenario, self.world.trace),
            balances=self._balances(),
            violations=tuple(f"{v.invariant}: {v.what}" for v in self.world.judge.violations),
            notices=scenario_story.notices(self.scenario, self.world.journal, id),
            protocol=agreement.protocol if agreement else self.case.protocol,
            risk=str(agreement.risk) if agreement else "none",
            window_seconds=(
                agreement.outage_max / SECOND if agreement and agreement.outage_max else None
            ),
            reasons=scenario_story.reasons(played),
            seconds=scenario_story.ended_at(played) / SECOND,
        )

    def _frozen(self, id: SettlementId) -> bool:
        """Whether a replica waits for evidence: facts that it read after a restore are in its
        memory only, for nothing was recorded since."""
        known = [replica.cases.get(id) for replica in self.world.replicas]
        return any(each is not None and each.state.frozen for each in known)

    def _legs(self, id: SettlementId, held: tuple[Htlc | None, ...]) -> dict[str, LegEnd]:
        agreement = self.world.agreements.get(id)
        if agreement is None:
            return {}
        return {
            leg.terms.leg: LegEnd.ABSENT if contract is None else _LEG_END[contract.status]
            for leg, contract in zip(agreement.legs, held, strict=True)
        }

    def _holdings(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Available and locked by party and ledger."""
        found = {}
        for name, spec in self.scenario.parties.items():
            for ledger, spec_ledger in self.scenario.ledgers.items():
                book = self.world.ledgers[LedgerId(ledger)].book
                account = party(spec.bic).account
                balance = book.balance(account, AssetId(spec_ledger.asset))
                found[name, ledger] = (balance.available, balance.locked)
        return found

    def _balances(self) -> tuple[Balance, ...]:
        after = self._holdings()
        before = getattr(self, "before", after)
        return tuple(
            Balance(
                party=name,
                ledger=ledger,
                asset=self.scenario.ledgers[ledger].asset,
                scale=self.scenario.ledgers[ledger].scale,
                before=sum(before[name, ledger]),
                available=available,
                locked=locked,
            )
            for (name, ledger), (available, locked) in after.items()
            if sum(before[name, ledger]) or available or locked
        )


# --------------------------------------------------------------------------- from a scenario's form


def stage(scenario: Scenario, terms: Terms, seed: int, heals_at: int | None = None) -> Stage:
    """The scenario's ledgers as a world that has not begun, with nothing on them yet."""
    world = Stage(
        seed=seed,
        replicas=scenario.replicas,
        limits=limits(terms),
        heals_at=heals_at,
        ends_at=ENDS_AFTER_SECONDS * SECOND,
    )
    for name, ledger in scenario.ledgers.items():
        latency = Latency(
            finality=seconds(ledger.finality_seconds),
            lookup=seconds(LOOKUP_SECONDS),
            delivery=seconds(DELIVERY_SECONDS),
            skew=seconds(ledger.skew_seconds),
        )
        world.ledger(name, latency=latency, kinds=ledger.locks, function=ledger.hash)
    return world


def endow(world: World, scenario: Scenario) -> None:
    """Give the parties what they hold when the scenario begins."""
    for spec in scenario.parties.values():
        for name, amount in spec.holds.items():
            ledger = scenario.ledgers[name]
            world.hold(name, spec.bic, ledger.asset, smallest_units(amount, ledger.scale))


def _make(scenario: Scenario) -> scenario_day.Make:
    return scenario_day.Make(partial(stage, scenario, scenario.terms), endow, legs(scenario))


def limits(terms: Terms) -> Limits:
    backstop = terms.backstop_seconds
    return Limits(
        lock_within=seconds(terms.lock_within_seconds),
        commit_within=seconds(terms.commit_within_seconds),
        recovery=seconds(terms.recovery_seconds),
        backstop=None if backstop is None else seconds(backstop),
    )


def legs(scenario: Scenario) -> tuple[Leg, ...]:
    return tuple(
        Leg(
            leg=LegId(leg.leg),
            ledger=LedgerId(leg.ledger),
            asset=AssetId(scenario.ledgers[leg.ledger].asset),
            quantity=Quantity(smallest_units(leg.amount, scenario.ledgers[leg.ledger].scale)),
            payer=party(scenario.parties[leg.payer].bic),
            payee=party(scenario.parties[leg.payee].bic),
            expires_at=None
            if leg.expires_seconds is None
            else Instant(EPOCH + seconds(leg.expires_seconds)),
        )
        for leg in scenario.legs
    )


def _texts(found: tuple[SwapFault, ...]) -> tuple[str, ...]:
    return tuple(f"{fault.field}: {fault.rule}" for fault in found)


def _misdeclared(scenario: Scenario, name: str) -> str:
    """A real preflight over a description whose probe was made with another hash function."""
    ledger = scenario.ledgers[name]
    other = next(each for each in Algorithm if each is not ledger.hash.algorithm)
    description = Description(
        ledger=LedgerId(name),
        lock_kinds=ledger.locks,
        hash_functions=(ledger.hash,),
        probe=(HashFunction(algorithm=other).digest(PROBE_PREIMAGE),),
        at=Instant(EPOCH),
        finality=Duration(0),
        skew=Duration(0),
        assets=(AssetDescription(asset=AssetId(ledger.asset), scale=ledger.scale),),
    )
    found = preflight.fault(name, description)
    assert found is not None, "another hash function gives another digest"
    return f"ledger {name}: {found}"
