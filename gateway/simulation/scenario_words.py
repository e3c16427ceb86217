"""Faults and moments in words, for reports and terminals."""

from typing import assert_never

from gateway.simulation import scenario
from gateway.simulation.scenario import MomentKind, moment


def sentence(fault: scenario.Fault, *, live: bool = False) -> str:
    """A fault as a sentence; `live` says the seconds of a run against real services."""
    return f"{_when(fault.when)}: {_what(fault, live)}."


def _when(text: str) -> str:
    found = moment(text)
    assert found is not None, "the file was checked"
    leg = found.leg or ""
    words = {
        MomentKind.START: "From the start",
        MomentKind.AT: f"After {found.seconds:g} s",
        MomentKind.OPENED: "When the agreement is durable",
        MomentKind.LOCK_SENT: f"When the lock of {leg} is sent",
        MomentKind.LOCKED: f"When {leg} is locked on its ledger",
        MomentKind.ALL_LOCKED: "When all legs are locked on their ledgers",
        MomentKind.COMMITTED: "When COMMIT is durable, before any key has left",
        MomentKind.CANCELLING: "When CANCEL is durable, before anything is opened back",
        MomentKind.CLAIM_SENT: f"When the claim of {leg} is sent",
        MomentKind.EXECUTED: f"When {leg} is executed on its ledger",
        MomentKind.ALL_EXECUTED: "When all legs are executed, before the gateway has heard of all",
        MomentKind.RETURNED: f"When {leg} has gone back to its payer",
        MomentKind.COMMIT_BY: "At the time by which it must be decided",
        MomentKind.EXPIRY: f"When {leg} expires on its ledger's clock",
    }
    shift = found.seconds if found.kind is not MomentKind.AT else 0.0
    side = "later" if shift > 0 else "earlier"
    return words[found.kind] + (f", {abs(shift):g} s {side}" if shift else "")


def _what(fault: scenario.Fault, live: bool) -> str:
    match fault:
        case (
            scenario.KillGateway()
            | scenario.StopLedger()
            | scenario.Cut()
            | scenario.Delay()
            | scenario.Restore()
        ):
            return _outage(fault, live)
        case scenario.CutOffRegistry():
            return f"the registry {fault.registry} is cut off for {fault.seconds:g} s"
        case scenario.AlterHolding():
            return f"holdings in the book of {fault.registry} are altered ({fault.where})"
        case scenario.Lose() | scenario.Duplicate() | scenario.Reorganise() | scenario.Misdeclare():
            return _ledger(fault)
        case _:
            return _people(fault)


def _outage(
    fault: scenario.KillGateway
    | scenario.StopLedger
    | scenario.Cut
    | scenario.Delay
    | scenario.Restore,
    live: bool,
) -> str:
    shorter = getattr(fault, "live_seconds", None) if live else None
    time = f"{fault.seconds if shorter is None else shorter:g} s"
    match fault:
        case scenario.KillGateway():
            who = "every gateway process" if fault.which == "all" else "that gateway process"
            return f"{who} is killed, and is back after {time}"
        case scenario.StopLedger():
            return f"the ledger {fault.ledger} stops for {time}"
        case scenario.Cut():
            from_whom = "the gateway" if fault.replica is None else f"gateway-{fault.replica}"
            return f"{from_whom} is cut off from the ledger {fault.ledger} for {time}"
        case scenario.Delay():
            return f"from then on answers of {fault.ledger} are {time} late"
        case scenario.Restore():
            lost = f"lacks the last {fault.records_lost} record(s)"
            return f"the site is lost, and is back after {time} with a journal that {lost}"
        case _:
            assert_never(fault)


def _ledger(
    fault: scenario.Lose | scenario.Duplicate | scenario.Reorganise | scenario.Misdeclare,
) -> str:
    match fault:
        case scenario.Lose():
            what = f"{fault.what}s {'to' if fault.what == 'request' else 'from'} {fault.ledger}"
            return f"the next {fault.count} {what} are lost"
        case scenario.Duplicate():
            return f"every message to and from {fault.ledger} comes twice"
        case scenario.Reorganise():
            return f"the ledger {fault.ledger} takes its last change back, if that is not yet final"
        case scenario.Misdeclare():
            return f"the ledger {fault.ledger} hashes otherwise than it declares"
        case _:
            assert_never(fault)


def _people(fault: scenario.Fault) -> str:
    match fault:
        case scenario.ShiftClock():
            way = "forward" if fault.seconds > 0 else "back"
            return f"the clock of {fault.of} is set {way} by {abs(fault.seconds):g} s"
        case scenario.Cancel():
            who = " and ".join(fault.by) or "an authority"
            return f"{who} asks for cancellation ({fault.reason})"
        case scenario.Claim():
            return "the holder of the secret claims on the ledger itself"
        case scenario.HandSecret():
            return "the holder of the secret hands it to the gateway"
        case scenario.BlockAccount():
            return f"the account of {fault.party} on {fault.ledger} is blocked"
        case scenario.LockOtherwise():
            earlier = f"that expires {fault.earlier_seconds:g} s too early"
            return f"its payer makes a lock of its own for {fault.leg}, {earlier}"
        case scenario.ProposeOtherwise():
            return f"other terms are sent under the same id: {fault.amount} for {fault.leg}"
        case _:
            raise AssertionError(fault)
