"""How each fault of a plan, and each act of a person, is done to a world."""

from functools import partial
from typing import TYPE_CHECKING, assert_never

from gateway.simulation import faults
from gateway.simulation.faults import Fault
from gateway.simulation.network import Aimed
from gateway.simulation.people import People
from gateway.simulation.trace import Happened, What
from htlc.units import LedgerId

if TYPE_CHECKING:  # the world owns this; nothing is needed of it at import
    from gateway.simulation.world import World


class Actions:
    """Carries out one fault at a time; `entry` is what its moment fitted, None for a time."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.people = People(world)

    def do(self, fault: Fault, entry: Happened | None) -> None:
        """Do it now, and leave a line in the trace."""
        world = self.world
        match fault:
            case faults.Crash():
                self._crash(fault.node or (entry.node if entry else ""), fault.outage)
            case faults.CrashAll():
                for replica in world.replicas:
                    self._crash(replica.name, fault.outage)
            case faults.Cut() | faults.JournalDown() | faults.Noise() | faults.Replay():
                self._outside(fault)
            case faults.Lose() | faults.Double() | faults.Delay():
                self._note(fault.ledger or "network", fault)
                world.network.aimed.append(Aimed(fault, fault.count))
            case faults.Step() | faults.Drift():
                self._clock(fault)
            case faults.Reorganise():
                self._reorganise(fault, entry)
            case faults.Restore():
                self._restore(fault)
            case _:
                self.people.do(fault)

    def _note(self, node: str, fault: Fault) -> None:
        self.world.happen(node, What.FAULT, detail=said(fault))

    def _crash(self, node: str, outage: int) -> None:
        """A replica forgets everything, a ledger nothing: both are silent for a while."""
        world = self.world
        replica = next((r for r in world.replicas if r.name == node), None)
        if replica is not None:
            world.happen(node, What.FAULT, detail=f"crashes for {outage}")
            replica.die(outage)
        elif node in world.ledgers:
            ledger = world.ledgers[LedgerId(node)]
            world.happen(node, What.FAULT, detail=f"is down for {outage}")
            ledger.up, ledger.life = False, ledger.life + 1
            world.at(outage, partial(world.ledger_is_back, ledger, ledger.life))

    def _outside(
        self, fault: faults.Cut | faults.JournalDown | faults.Noise | faults.Replay
    ) -> None:
        world = self.world
        match fault:
            case faults.Cut():
                self._note(fault.ledger or "network", fault)
                world.network.cut(fault.gateway, fault.ledger, world.now + fault.outage)
            case faults.JournalDown():
                self._note("journal", fault)
                world.journal.up = False
                world.at(fault.outage, world.journal_is_back)
            case faults.Noise():
                self._note("network", fault)
                world.network.noise = fault
            case faults.Replay():
                self._note("network", fault)
                world.network.replayed = {each.message: each for each in fault.disturbed}
            case _:
                assert_never(fault)

    def _clock(self, fault: faults.Step | faults.Drift) -> None:
        world = self.world
        ledger = world.ledgers.get(LedgerId(fault.node))
        clock = ledger.clock if ledger else world.replica(fault.node).clock
        self._note(fault.node, fault)
        if isinstance(fault, faults.Step):
            clock.step(fault.by)
        else:
            clock.set_drift(fault.ppm, world.now)

    def _reorganise(self, fault: faults.Reorganise, entry: Happened | None) -> None:
        """The change that the moment fitted, or the ledger's last one, and all after it."""
        world = self.world
        ledger = world.ledgers[LedgerId(fault.ledger or (entry.node if entry else ""))]
        place = len(ledger.log) - 1
        if place >= 0:
            world.at(fault.after, lambda: ledger.undo_from(place, world.now))

    def _restore(self, fault: faults.Restore) -> None:
        self._note("journal", fault)
        self.world.journal.restore(fault.lost)
        for replica in self.world.replicas:
            replica.die(fault.outage)


def said(fault: Fault) -> str:
    """A fault in the words of a timeline."""
    fields = ((name, getattr(fault, name)) for name in fault.__struct_fields__)
    told = ", ".join(f"{name}={value}" for name, value in fields if value is not None)
    return f"{type(fault).__name__}({told})"
