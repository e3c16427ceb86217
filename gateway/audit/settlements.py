"""One settlement judged: its journal against what the ledgers hold for its legs. Pure.

The rules are those of `htlc.invariants` and `htlc.reconciliation`; here is only which of them is
asked of what, and what is excused because it was announced.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from gateway.audit.findings import Check, Finding, Place
from gateway.audit.journals import Journal
from htlc import invariants, reconciliation
from htlc.agreement import Agreement
from htlc.contract import Htlc, Status
from htlc.invariants import Violation
from htlc.settlement import Settlement
from htlc.swap import LockProtocol
from htlc.units import Duration, HtlcId, Instant, LedgerId

RESTORED: Final = "a restore came before its decision (rule 17)"
RESIDUAL: Final = "its principal risk was announced as residual"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What one ledger holds for the settlements looked at, and its time."""

    contracts: Mapping[HtlcId, Htlc]
    clock: Instant


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one settlement; `excused` with the reason."""

    findings: tuple[Finding, ...] = ()
    excused: tuple[tuple[Finding, str], ...] = ()
    keys: int = 0  # shown on ledgers
    legs: int = 0
    locks: int = 0  # open
    skipped: bool = False  # a leg is on a ledger that is not audited


def judge(journal: Journal, ledgers: Mapping[LedgerId, Held], unwinding: Duration) -> Judged:
    """Everything that can be said of one settlement. `unwinding` is how long a lock may stay open
    after it had to be resolved."""
    findings = [finding(journal.settlement, Check.JOURNAL, what) for what in journal.faults]
    if (agreement := journal.agreement) is None:
        return Judged(findings=tuple(findings))
    if not all(leg.ledger in ledgers for leg in agreement.legs):
        return Judged(findings=tuple(findings), skipped=True)
    contracts = [ledgers[leg.ledger].contracts.get(leg.terms.id) for leg in agreement.legs]
    excused: list[tuple[Finding, str]] = []
    for check, violation, excuse in _violations(journal, agreement, contracts, ledgers, unwinding):
        found = finding(journal.settlement, check, _without_id(violation, journal))
        if excuse is None:
            findings.append(found)
        else:
            excused.append((found, excuse))
    return Judged(
        findings=tuple(findings),
        excused=tuple(excused),
        keys=sum(held is not None and held.key is not None for held in contracts),
        legs=len(contracts),
        locks=sum(held is not None and held.status is Status.LOCKED for held in contracts),
    )


_Judged = tuple[Check, Violation, str | None]


def _violations(
    journal: Journal,
    agreement: Agreement,
    contracts: Sequence[Htlc | None],
    ledgers: Mapping[LedgerId, Held],
    unwinding: Duration,
) -> Iterator[_Judged]:
    restored = RESTORED if invariants.restored(journal.events) else None
    residual = RESIDUAL if _is_residual(agreement) else None
    shown = reconciliation.shown_on_ledgers(agreement, contracts, journal.events)
    clocks = [ledgers[leg.ledger].clock for leg in agreement.legs]
    found: tuple[tuple[Check, tuple[Violation, ...], str | None], ...] = (
        (Check.ONE_END, invariants.one_end(agreement, contracts), restored or residual),
        (Check.BOTH_KEYS, invariants.keys_apart(agreement, contracts), restored),
        (Check.LOCKED, invariants.all_were_locked(agreement, contracts), restored),
        (
            Check.DECIDED,
            invariants.keys_follow_decisions(agreement, journal.events, shown),
            restored,
        ),
        (Check.DECIDED, reconciliation.followers_follow(agreement, contracts), None),
        (
            Check.OVERDUE,
            invariants.resolved_in_time(agreement, contracts, clocks, unwinding),
            restored,
        ),
    )
    for check, violations, excuse in found:
        for violation in violations:
            yield check, violation, excuse
    if journal.state is not None:
        yield from _learned(journal.state, agreement, contracts, restored or residual)


def _learned(
    state: Settlement, agreement: Agreement, contracts: Sequence[Htlc | None], excuse: str | None
) -> Iterator[_Judged]:
    for violation in reconciliation.held_as_learned(agreement, state.legs, contracts):
        yield Check.LEARNED, violation, None
    legs = {
        leg.terms.leg: known.status for leg, known in zip(agreement.legs, state.legs, strict=True)
    }
    if not invariants.one_end(agreement, contracts):  # else it is told already
        for violation in invariants.one_known_end(state.swap.id, legs):
            yield Check.ONE_END, violation, excuse


def _is_residual(agreement: Agreement) -> bool:
    return agreement.protocol is LockProtocol.HTLC or agreement.backstop


def finding(settlement: str, check: Check, what: str) -> Finding:
    """A finding about a settlement as a whole."""
    return Finding(check=check, place=Place(settlement=settlement), what=what)


def _without_id(violation: Violation, journal: Journal) -> str:
    """The place of a finding names the settlement already."""
    return violation.what.removeprefix(f"{journal.settlement}: ")
