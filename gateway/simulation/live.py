"""The executor of real services: what the simulator does to a world, done to processes.

Cases whose ledgers, parties and terms are the same share one running world; each begins with what
its parties hold, and leaves nothing behind. Time is real: `live_seconds` says how long.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.simulation import live_day, live_world
from gateway.simulation.live_case import LiveCase
from gateway.simulation.live_site import Site
from gateway.simulation.scenario import Case, Scenario
from gateway.simulation.scenario_run import Run


class Live:
    """Use it as a context: what it has started is stopped at the end."""

    live = True

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` is given what an operator would be told."""
        self._say = say
        self._site: Site | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def run(self, scenario: Scenario, case: Case, seed: int) -> Run:
        """See `scenario_run.Executor`. Raises one of `gateway.machine.up.FAULTS`."""
        site = await self._at(scenario)
        if scenario.day is not None:
            return await live_day.play(site, scenario, case, seed)
        return await LiveCase(site, scenario, case).play()

    async def _at(self, scenario: Scenario) -> Site:
        """The running world of the scenario's setting, started if another one runs."""
        if self._site is not None and _same(self._site.scenario, scenario):
            self._site.scenario = scenario
            return self._site
        await self._close()
        site = Site(scenario, self._say)
        self._site = await site.__aenter__()
        return site

    async def _close(self) -> None:
        site, self._site = self._site, None
        if site is not None:
            await site.__aexit__(None, None, None)


def _same(first: Scenario, second: Scenario) -> bool:
    """Whether two scenarios run in the same world, but for its title."""
    return live_world.world(first).splitlines()[1:] == live_world.world(second).splitlines()[1:]
