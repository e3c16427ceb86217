"""Plays a case of the registry network: a trade across it, while something happens to a registry.

The trade is a delivery against a delivery, both on the network's book: two locks by two home
registries, then two claims with the keys. All the while others transfer. The registry that found
its book wrong is compared with another one, holding by holding, and mended from it; at the end all
books must be equal.
"""

from typing import Final

from gateway.simulation.registries import ISINS, Registries, Settings
from gateway.simulation.registries_judge import violations
from gateway.simulation.registries_node import NETWORK, PROFILE, Node
from gateway.simulation.registries_trade import Trade
from gateway.simulation.scenario import (
    AlterHolding,
    Case,
    CutOffRegistry,
    End,
    Scenario,
    faults_of,
    moment,
)
from gateway.simulation.scenario_run import Kind, Run, Step
from htlc.units import SECOND, AccountId, Duration, Instant, seconds
from ledgers.icsd import tree
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.view import View
from ledgers.parties import Balance

TRADE_AT: Final = 20.0
"""Seconds after the start: everything that is there before the trade is final by then."""

ALTERED: Final = 5
"""By how much a holding is altered."""

MENDED_AFTER: Final = Duration(5 * SECOND)


def play(scenario: Scenario, case: Case, seed: int) -> Run:
    return _Play(scenario, case, seed).run()


class _Play:
    """One case being played."""

    def __init__(self, scenario: Scenario, case: Case, seed: int) -> None:
        self.faults = faults_of(scenario, case)
        self.world = Registries(seed, self._settings(scenario))
        self.steps: list[Step] = []
        self.began = self.world.now
        self.stopped: set[RegistryId] = set()
        self.facts: dict[str, str] = {}

    def _settings(self, scenario: Scenario) -> Settings:
        away = {
            fault.registry: (_time(fault), _time(fault) + fault.seconds)
            for fault in self.faults
            if isinstance(fault, CutOffRegistry)
        }
        ends = max([60.0, *(until + 10 for _, until in away.values())])
        return Settings(names=scenario.registries, seconds=ends, requests=40, cut_off=away)

    def run(self) -> Run:
        world = self.world
        for node in world.nodes.values():
            world.wake(node, Duration(0))
        world.furnish()
        world.traffic()
        others = [name for name in world.nodes if name not in self._struck()]
        trade = Trade(world, others[0], others[1], self._note)
        world.at(self._after(TRADE_AT), trade.begin)
        for fault in self.faults:
            self._plan(fault)
        world.play()
        found = violations(world)
        return Run(
            end=End.STOPPED if self.stopped else trade.end,
            legs={},
            steps=tuple(sorted(self.steps, key=lambda step: step.at_ns)),
            violations=(*found, *self._unsettled(trade)),
            seconds=(trade.ended_at - self.began) / SECOND,
            facts=self.facts | {"final blocks": str(world.honest[0].replica.final)},
        )

    def _unsettled(self, trade: Trade) -> tuple[str, ...]:
        """Whatever happens to one registry, the others settle."""
        return () if trade.end is End.SETTLED else ("5: the trade of the other registries stands",)

    def _struck(self) -> set[str]:
        return {fault.registry for fault in self.faults if hasattr(fault, "registry")}

    def _after(self, time: float) -> Instant:
        return Instant(self.began + seconds(time))

    def _note(self, kind: Kind, source: str, text: str) -> None:
        at = self.world.now - self.began
        self.steps.append(Step(at_ns=at, kind=kind, source=source, text=text))

    # --- what happens to a registry ---------------------------------------------------------------

    def _plan(self, fault: object) -> None:
        if isinstance(fault, CutOffRegistry):
            back = self._after(_time(fault) + fault.seconds)
            node = self.world.nodes[RegistryId(fault.registry)]
            self.world.at(self._after(_time(fault)), lambda: self._away(node))
            self.world.at(back, lambda: self._back(node))
        elif isinstance(fault, AlterHolding):
            name = RegistryId(fault.registry)
            before = self._after(_time(fault) - 4)
            self.world.at(before, lambda: self._prepare(name))
            self.world.at(self._after(_time(fault)), lambda: self._alter(fault))

    def _prepare(self, name: RegistryId) -> None:
        """Two holders have something, so that some of it can be moved between them."""
        self.world.ask_move(name, 10 * ALTERED)

    def _away(self, node: Node) -> None:
        self._note(Kind.FAULT, node.name, "is cut off")
        height = node.replica.final
        self.facts["final when it was cut off"] = str(height)

    def _back(self, node: Node) -> None:
        watch = self.world.honest[0]
        behind = watch.replica.final - node.replica.final
        self.facts["blocks it catches up"] = str(behind)
        self._note(Kind.NOTE, node.name, f"is back, {behind} blocks behind")
        self._caught_up(node)

    def _caught_up(self, node: Node) -> None:
        if node.replica.final < self.world.honest[0].replica.final - 1:
            self.world.after(Duration(SECOND // 20), lambda: self._caught_up(node))
            return
        self._note(Kind.NOTE, node.name, "has caught up: its book has the certified root")

    def _alter(self, fault: AlterHolding) -> None:
        node = self.world.nodes[RegistryId(fault.registry)]
        first, second = (AccountId(f"{node.name}-{n}") for n in (1, 2))
        _add(node, first, ALTERED)
        self._note(Kind.FAULT, node.name, f"{ALTERED} too many for {first} ({fault.where})")
        if fault.where == "memory":
            _add(node, second, -ALTERED)
            self.world.ask_move(node.name, 1)
        else:
            node.crash()
            node.restart()
        self._watch(node, self.world.now)

    def _watch(self, node: Node, since: Instant) -> None:
        """Until the node finds that something is wrong, and what."""
        stopped = node.replica.stopped
        if stopped is None and node.failed is None:
            self.world.after(Duration(SECOND // 50), lambda: self._watch(node, since))
            return
        self.stopped.add(node.name)
        took = (self.world.now - since) / SECOND
        self.facts["found after"] = f"{took:.2f} s"
        self._note(Kind.NOTE, node.name, f"stops: {node.failed or (stopped and stopped.what)}")
        differing = self._located(node)
        self.facts["holdings that differ"] = ", ".join(differing)
        self.world.after(MENDED_AFTER, lambda: self._mend(node))

    def _located(self, node: Node) -> list[str]:
        """The holdings that differ from those of another registry, by their trees."""
        view, other = node.replica.view, self._peer_at(node.replica.view.height)
        names = {tree.key_of(account): account for account in view.tables.homes}
        return sorted(
            f"{names[key]} {asset}"
            for asset, registries in view.roots.holders.items()
            for registry, holders in registries.items()
            for key in tree.differences(holders, other.roots.holders[asset].get(registry))
        )

    def _peer_at(self, height: int) -> View:
        """The book of another registry as it was at a height."""
        peer = self.world.honest[0]
        view = peer.replica.view
        copy = View.restore(NETWORK, PROFILE, view.tables.everything(view.place))
        while copy.height > height:
            copy.undo(peer.blocks[copy.height - 1])
        return copy

    def _mend(self, node: Node) -> None:
        """Take the rows of another registry, if their root is the certified one."""
        height = node.replica.view.height
        peer = self.world.honest[0]
        rows = self._peer_at(height)
        statement = peer.blocks[height - 1].statement
        assert rows.state.root == statement.state, "rows are taken by their proof only"
        node.blocks = [*node.blocks[: height - 1], peer.blocks[height - 1]]
        node.mend(rows)
        self._note(Kind.NOTE, node.name, "took the rows of another registry, by their root")
        self.world.wake(node, Duration(0))


def _time(fault: CutOffRegistry | AlterHolding) -> float:
    found = moment(fault.when)
    assert found is not None, "the file was checked"
    return found.seconds


def _add(node: Node, account: AccountId, quantity: int) -> None:
    """Past the node, so that neither its trees nor anybody else knows of it."""
    balances, key = node.replica.view.book.balances, (account, ISINS[0])
    before = balances.get(key) or Balance()
    balances[key] = Balance(before.available + quantity, before.locked)
