"""A scenario's faults in the words of the simulator (`gateway.simulation.faults`)."""

from typing import Final

from gateway.simulation import faults, scenario
from gateway.simulation.scenario import Scenario
from gateway.simulation.world import party
from htlc.units import MemberId, seconds

ALWAYS: Final = 1_000_000
"""More messages than any life has."""

AUTHORITY: Final = MemberId("AUTHORITY")
"""The ledger's operator, or the central bank, who orders a cancellation."""


def simulated(fault: scenario.Fault, spec: Scenario, node: str) -> tuple[faults.Fault, ...]:
    """What the simulator is to do; `node` is where the moment came. Empty: people do it."""
    match fault:
        case scenario.Cut() | scenario.StopLedger() | scenario.KillGateway() | scenario.Restore():
            return _outage(fault, node)
        case scenario.Lose() | scenario.Duplicate() | scenario.Delay():
            return _messages(fault)
        case scenario.ShiftClock():
            nodes = _gateways(spec) if fault.of == "gateway" else (fault.of,)
            return tuple(faults.Step(node=each, by=seconds(fault.seconds)) for each in nodes)
        case scenario.Reorganise():
            return (faults.Reorganise(ledger=fault.ledger),)
        case scenario.BlockAccount():
            account = party(spec.parties[fault.party].bic).account
            return (faults.Block(ledger=fault.ledger, account=account),)
        case scenario.Cancel():
            asking = [MemberId(spec.parties[name].bic) for name in fault.by]
            if not asking:
                return (faults.Cancel(by=AUTHORITY, ordered=True),)
            return tuple(faults.Cancel(by=each) for each in asking)
        case _:
            return ()


def _gateways(spec: Scenario) -> tuple[str, ...]:
    return tuple(f"gateway-{n}" for n in range(1, spec.replicas + 1))


def _outage(
    fault: scenario.Cut | scenario.StopLedger | scenario.KillGateway | scenario.Restore, node: str
) -> tuple[faults.Fault, ...]:
    outage = seconds(fault.seconds)
    match fault:
        case scenario.Cut():
            gateway = None if fault.replica is None else f"gateway-{fault.replica}"
            return (faults.Cut(gateway=gateway, ledger=fault.ledger, outage=outage),)
        case scenario.StopLedger():
            return (faults.Crash(node=fault.ledger, outage=outage),)
        case scenario.KillGateway(which="one"):
            return (faults.Crash(node=node, outage=outage),)
        case scenario.KillGateway():
            return (faults.CrashAll(outage=outage),)
        case scenario.Restore():
            return (faults.Restore(lost=fault.records_lost, outage=outage),)


def _messages(
    fault: scenario.Lose | scenario.Duplicate | scenario.Delay,
) -> tuple[faults.Fault, ...]:
    match fault:
        case scenario.Lose():
            back = fault.what == "answer"
            return (faults.Lose(ledger=fault.ledger, back=back, count=fault.count),)
        case scenario.Duplicate():
            ways = (False, True)
            return tuple(
                faults.Double(ledger=fault.ledger, back=back, count=ALWAYS) for back in ways
            )
        case scenario.Delay():
            by = seconds(fault.seconds)
            return (faults.Delay(ledger=fault.ledger, back=True, by=by, count=ALWAYS),)
