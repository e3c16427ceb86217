"""A scenario's faults done for real: SIGKILL, SIGSTOP, a wire cut, a request posted."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from gateway.client import GatewayUnreachableError, ProblemError
from gateway.machine import arrangement
from gateway.simulation import live_processes, scenario
from gateway.simulation.live_site import Site

PAUSE_SECONDS: Final = 0.1
TRIES: Final = 300
"""A request to a gateway that is down is made again for half a minute."""


class Note(Protocol):
    """Writes a fault, or its end, into the story."""

    def __call__(self, node: str, text: str, *, over: bool = False) -> None: ...


class Faults:
    """Strikes, and knows what is still under way."""

    def __init__(self, site: Site, id: str, note: Note) -> None:
        self._site = site
        self._id = id
        self._note = note
        self._tasks: list[asyncio.Task[None]] = []
        self._down = 0

    @property
    def gateway_is_down(self) -> bool:
        """Whether a gateway process was killed and is being kept down."""
        return self._down > 0

    async def over(self) -> None:
        """Return when all outages are over and all requests are made; raises what failed."""
        while self._tasks:
            await self._tasks.pop()

    async def strike(self, fault: scenario.Fault, *, later: float) -> None:
        """Now, or in a while."""
        if later > 0:
            self._begin(self._later(fault, later))
        else:
            self._do(fault)

    async def _later(self, fault: scenario.Fault, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._do(fault)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _do(self, fault: scenario.Fault) -> None:
        match fault:
            case scenario.KillGateway():
                self._kill(fault)
            case scenario.StopLedger():
                self._begin(self._freeze(fault.ledger, _seconds(fault)))
            case scenario.Cut() | scenario.Lose() | scenario.Duplicate() | scenario.Delay():
                self._on_the_wire(fault)
            case scenario.Cancel():
                self._begin(self._cancel(fault))
            case scenario.BlockAccount():
                self._note(fault.ledger, f"blocks the account of {fault.party}")
                self._begin(self._site.set_blocked(fault.ledger, fault.party, True))
            case _:
                return  # proposed otherwise: the case does it when the first has ended

    def _kill(self, fault: scenario.KillGateway) -> None:
        services = arrangement.replicas(self._site.machine.world)
        for service in services if fault.which == "all" else services[:1]:
            live_processes.kill(service)
            self._note("gateway", f"{service} killed for {_seconds(fault):g} s")
            self._down += 1
            self._begin(self._keep_down(service, _seconds(fault)))

    async def _keep_down(self, service: str, seconds: float) -> None:
        try:
            await live_processes.keep_down(service, seconds)
        finally:
            self._down -= 1
            self._note("gateway", "is back", over=True)

    async def _freeze(self, ledger: str, seconds: float) -> None:
        self._note(ledger, f"stopped for {seconds:g} s")
        await live_processes.freeze(ledger, seconds)
        self._note(ledger, "is back", over=True)

    def _on_the_wire(
        self, fault: scenario.Cut | scenario.Lose | scenario.Duplicate | scenario.Delay
    ) -> None:
        wire = self._site.wires[fault.ledger]
        match fault:
            case scenario.Cut():
                wire.cut_until = asyncio.get_running_loop().time() + _seconds(fault)
                self._note(fault.ledger, f"cut off for {_seconds(fault):g} s")
            case scenario.Lose():
                wire.lose[fault.what] += fault.count
                self._note(fault.ledger, f"next {fault.count} {fault.what}s lost")
            case scenario.Duplicate():
                wire.doubled = True
                self._note(fault.ledger, "messages come twice")
            case scenario.Delay():
                wire.delay_seconds = _seconds(fault)
                self._note(fault.ledger, f"answers late by {_seconds(fault):g} s")

    async def _cancel(self, fault: scenario.Cancel) -> None:
        """Asked until the gateway has answered, whatever it answers."""
        clients = [self._site.member(party) for party in fault.by] or [self._site.authority()]
        for client in clients:
            self._note("gateway", f"cancellation asked ({fault.reason})")
            for _ in range(TRIES):
                try:
                    with contextlib.suppress(ProblemError):
                        await client.cancel(self._id, fault.reason)
                    break
                except GatewayUnreachableError:
                    await asyncio.sleep(PAUSE_SECONDS)


def _seconds(
    fault: scenario.KillGateway | scenario.StopLedger | scenario.Cut | scenario.Delay,
) -> float:
    return fault.seconds if fault.live_seconds is None else fault.live_seconds
