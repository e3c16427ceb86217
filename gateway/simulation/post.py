"""The messages of a simulated world: from a replica to a ledger, what the ledger does, and back."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gateway.simulation.ledger import GATEWAY, Ledger
from gateway.simulation.replica import Replica, Task
from gateway.simulation.trace import What
from htlc.contract import Answer, Refusal
from htlc.units import LedgerId, SettlementId
from ledgers.parties import Principal, Role
from ledgers.port import Execute

if TYPE_CHECKING:  # the world owns this; nothing is needed of it at import
    from gateway.simulation.world import World


class Post:
    """Carries batches of tasks, and their answers, through the world's network."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def send(self, replica: Replica, ledger: LedgerId, tasks: tuple[Task, ...]) -> None:
        """One message to a ledger: a batch of tasks, or (empty) a question what it is."""
        for task in tasks:
            self._note(replica.name, What.SENT, task)
        journeys = self.world.network.journeys(replica.name, ledger, back=False)
        self._lost_or_doubled(ledger, journeys, tasks)
        for journey in journeys:
            self.world.at(journey, partial(self._deliver, replica, replica.life, ledger, tasks))

    def _note(self, node: str, what: What, task: Task, told: str = "") -> None:
        told = told or task.name
        self.world.happen(node, what, task.settlement, task.leg_id, told, material=False)

    def _lost_or_doubled(
        self, node: LedgerId, journeys: list[int], tasks: tuple[Task, ...]
    ) -> None:
        if len(journeys) != 1:
            for task in tasks:
                self._note(node, What.DOUBLED if journeys else What.LOST, task)

    def _deliver(
        self, replica: Replica, life: int, name: LedgerId, tasks: tuple[Task, ...]
    ) -> None:
        ledger = self.world.ledgers[name]
        if not ledger.up:
            return
        if not tasks:
            answer = partial(replica.described, life, name, ledger.read(self.world.now))
            self._answer(replica, name, answer, ())
            return
        for task in tasks:
            self._note(name, What.ARRIVED, task)
        answers = self._judged(ledger, tasks)
        for task, told in zip(tasks, answers, strict=True):
            if told.refusal is Refusal.EXPIRED and isinstance(task.operation, Execute):
                self.world.at(1, partial(self._steal, task.settlement, task.operation.key))
        heard = list(zip(tasks, answers, strict=True))
        self._answer(replica, name, partial(self._hear, replica, life, name, heard), tasks)

    def _hear(
        self, replica: Replica, life: int, name: LedgerId, heard: list[tuple[Task, Answer]]
    ) -> None:
        if life == replica.life:
            for task, answer in heard:
                self._note(replica.name, What.ANSWERED, task, _said(answer))
            replica.hear(life, name, heard)

    def _judged(self, ledger: Ledger, tasks: tuple[Task, ...]) -> list[Answer]:
        """Operations in one batch, then looks, as a link sends them."""
        operations = [task.operation for task in tasks if task.operation is not None]
        looks = [task.contract for task in tasks if task.operation is None]
        done = iter(ledger.apply(operations, GATEWAY, self.world.now) if operations else ())
        seen = iter(ledger.look(looks, self.world.now) if looks else ())
        return [next(seen if task.operation is None else done) for task in tasks]

    def _answer(
        self, replica: Replica, ledger: LedgerId, tell: Callable[[], None], tasks: tuple[Task, ...]
    ) -> None:
        journeys = self.world.network.journeys(replica.name, ledger, back=True)
        self._lost_or_doubled(ledger, journeys, tasks)
        for journey in journeys:
            self.world.at(journey, tell)

    def _steal(self, id: SettlementId, key: bytes) -> None:
        """A claim that came too late has shown its key all the same: whoever is paid by the other
        legs uses it (COMIT RFC-003)."""
        for leg in self.world.agreements[id].legs:
            ledger = self.world.ledgers[leg.ledger]
            by = Principal(name=leg.payee, role=Role.OWNER)
            if leg.terms.execution_lock.opens(key):
                ledger.apply([Execute(id=leg.terms.id, key=key)], by, self.world.now)


def _said(answer: Answer) -> str:
    said = str(answer.htlc.status) if answer.htlc else "no contract"
    told = said if answer.final else f"{said}, not final"
    return f"{answer.refusal}: {told}" if answer.refusal else told
