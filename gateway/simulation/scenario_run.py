"""What came of one case: its trace, the balances before and after, and the verdict on it."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from gateway.simulation.scenario import Case, End, LegEnd, Scenario
from htlc.swap import LockProtocol


class Kind(StrEnum):
    """The kinds of steps that a sequence diagram draws."""

    MESSAGE = "message"  # from `source` to `target`
    LOST = "lost"  # a message that did not arrive
    EFFECT = "effect"  # on a ledger: a leg is locked, executed, returned
    RECORD = "record"  # durable in the gateway's journal
    NOTICE = "notice"  # to a party
    FAULT = "fault"
    NOTE = "note"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `at_ns`: since the start of the case."""

    at_ns: int
    kind: Kind
    source: str  # a participant: `gateway`, a ledger, a party
    text: str
    target: str | None = None
    leg: str | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """What a party had on a ledger before and after, in the asset's smallest unit."""

    party: str
    ledger: str
    asset: str
    scale: int
    before: int
    available: int
    locked: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor observed. `end` None: it did not end in the time that it had."""

    end: End | None
    legs: dict[str, LegEnd]
    steps: tuple[Step, ...] = ()
    balances: tuple[Balance, ...] = ()
    violations: tuple[str, ...] = ()
    notices: dict[str, tuple[str, ...]] = {}  # final notices by party
    protocol: LockProtocol | None = None
    risk: str = "none"
    window_seconds: float | None = None
    reasons: tuple[str, ...] = ()  # why it was refused or cancelled
    seconds: float = 0.0  # from the proposal to the end, on the run's own clock
    wall_seconds: float = 0.0
    facts: dict[str, str] = {}  # figures of a day


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of a verdict."""

    what: str
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        return self.expected == self.found


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A case, what came of it, and what was compared."""

    scenario: Scenario
    case: Case
    run: Run
    checks: tuple[Check, ...]
    live: bool
    seed: int

    @property
    def name(self) -> str:
        return f"{self.scenario.id} {self.case.name}"

    @property
    def passed(self) -> bool:
        return all(check.holds for check in self.checks)


class Executor(Protocol):
    """Makes a situation happen: in the simulator, or with real services."""

    live: bool

    async def run(self, scenario: Scenario, case: Case, seed: int) -> Run: ...


_LEGS: Final = {
    End.SETTLED: LegEnd.EXECUTED,
    End.REJECTED: LegEnd.ABSENT,
    End.WAITING: LegEnd.LOCKED,
}
"""How every leg ends where the end of the settlement says it; CANCELLED and BROKEN say it not."""

NONE: Final = "none"


def judge(scenario: Scenario, case: Case, run: Run) -> tuple[Check, ...]:
    """Everything that is compared with what the scenario expects."""
    return tuple(_checks(scenario, case, run))


def _checks(scenario: Scenario, case: Case, run: Run) -> Iterator[Check]:
    yield Check(what="end", expected=case.end, found=run.end or "no end in time")
    for leg in (each.leg for each in scenario.legs if scenario.day is None):
        yield _leg(leg, case, run)
    if case.reason is not None:
        found = any(case.reason in reason for reason in run.reasons)
        told = "; ".join(run.reasons) or "no reason"
        yield Check(what="reason", expected=case.reason, found=case.reason if found else told)
    violations = [each for each in run.violations if not _announced(case, each)]
    yield Check(what="invariants", expected="hold", found="; ".join(violations) or "hold")
    yield from _balances(scenario, run)
    for party, notices in run.notices.items():
        wanted = () if case.end in (End.WAITING, End.BROKEN) else (str(case.end),)
        yield Check(
            what=f"final notices to {party}",
            expected=", ".join(wanted) or NONE,
            found=", ".join(notices) or NONE,
        )
    if case.end is End.BROKEN:
        yield Check(what="principal risk announced", expected="residual", found=run.risk)


def _announced(case: Case, violation: str) -> bool:
    """One-legged ends are what BROKEN is; everything else must hold there too."""
    return case.end is End.BROKEN and violation.startswith("1:")


def _leg(leg: str, case: Case, run: Run) -> Check:
    """A leg's end: as the case says, as the end implies, or never `executed` nor left locked."""
    found = run.legs.get(leg, LegEnd.ABSENT)
    wanted = case.legs.get(leg) or _LEGS.get(case.end)
    if wanted is None and case.end is End.CANCELLED and found is LegEnd.ABSENT:
        wanted = LegEnd.ABSENT
    if wanted is None:
        wanted = LegEnd.RETURNED if case.end is End.CANCELLED else found
    return Check(what=f"leg {leg}", expected=wanted, found=found)


def _balances(scenario: Scenario, run: Run) -> Iterator[Check]:
    """Each party has what the ends of the legs make of what it had."""
    for balance in run.balances:
        if scenario.day is not None:
            return
        change = sum(_change(scenario, balance, leg.leg, run) for leg in scenario.legs)
        yield Check(
            what=f"{balance.party} on {balance.ledger}",
            expected=decimal(balance.before + change, balance.scale),
            found=decimal(balance.available + balance.locked, balance.scale),
        )


def _change(scenario: Scenario, balance: Balance, name: str, run: Run) -> int:
    leg = next(each for each in scenario.legs if each.leg == name)
    if leg.ledger != balance.ledger or run.legs.get(name) is not LegEnd.EXECUTED:
        return 0
    units = _units(leg.amount, balance.scale)
    return units * ((leg.payee == balance.party) - (leg.payer == balance.party))


def _units(amount: str, scale: int) -> int:
    whole, _, decimals = amount.partition(".")
    return int(whole + decimals.ljust(scale, "0"))


def decimal(units: int, scale: int) -> str:
    """Smallest units as people write them, in groups of three digits."""
    sign, digits = "-" if units < 0 else "", f"{abs(units):0{scale + 1}d}"
    whole, part = (digits[:-scale], digits[-scale:]) if scale else (digits, "")
    return f"{sign}{int(whole):,}".replace(",", "\N{NARROW NO-BREAK SPACE}") + (
        f".{part}" if part else ""
    )


def summary(results: Sequence[Result]) -> str:
    """One line over all results."""
    passed = sum(result.passed for result in results)
    scenarios = len({result.scenario.id for result in results})
    return f"{passed} of {len(results)} cases of {scenarios} scenarios ended as expected"
