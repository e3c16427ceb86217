"""A trade on the network's book: one security against another, by two locks and two claims."""

import hashlib
import uuid
from collections.abc import Callable

from gateway.simulation.registries import ISINS, Registries
from gateway.simulation.scenario import End
from gateway.simulation.scenario_run import Kind
from htlc.contract import Answer, Status, Terms
from htlc.hashlock import Algorithm, Encoding, Hashlock
from htlc.units import (
    SECOND,
    AccountId,
    AssetId,
    Duration,
    HtlcId,
    Instant,
    LegId,
    Quantity,
    SettlementId,
)
from ledgers.icsd.entry import Entry
from ledgers.icsd.epoch import RegistryId
from ledgers.parties import Principal, Role
from ledgers.port import Execute, Lock

Note = Callable[[Kind, str, str], None]

QUANTITY = Quantity(100)


class Trade:
    """Played by an initiator who asks two registries, and goes on when their answers are final."""

    def __init__(
        self, world: Registries, first: RegistryId, second: RegistryId, note: Note
    ) -> None:
        self.world = world
        self.sides = (first, second)
        self.ended_at = world.now
        self._note = note
        self._asked: list[int] = []
        self._claiming = False

    @property
    def end(self) -> End:
        return End.SETTLED if self._is_done(Status.EXECUTED) else End.WAITING

    def begin(self) -> None:
        for n in range(2):
            entry = Entry(by=_owner(self._holder(n)), operation=Lock(terms=self._terms(n)))
            self._asked.append(self.world.ask(self.sides[n], entry))
            self._note(Kind.EFFECT, self.sides[n], "is asked to lock its leg")
        self._watch()

    def _watch(self) -> None:
        """Until both locks, and then both claims, are final with their registries."""
        if self._is_done(Status.EXECUTED):
            self.ended_at = self.world.now
            self._note(Kind.EFFECT, self.sides[0], "both legs are executed, and final")
            return
        if not self._claiming and self._is_done(Status.LOCKED):
            self._claiming, self._asked = True, []
            self._note(Kind.EFFECT, self.sides[0], "both legs are locked, and final")
            for n in range(2):
                operation = Execute(id=self._terms(n).id, key=_key(n))
                entry = Entry(by=_owner(self._holder(1 - n)), operation=operation)
                self._asked.append(self.world.ask(self.sides[1 - n], entry))
        self.world.after(Duration(SECOND // 50), self._watch)

    def _is_done(self, status: Status) -> bool:
        told = [self.world.answers.get(number, []) for number in self._asked]
        results = [answers[0][1] for answers in told if answers]
        return len(results) == 2 and all(
            isinstance(result, Answer) and result.htlc is not None and result.htlc.status is status
            for result in results
        )

    def _holder(self, n: int) -> AccountId:
        return AccountId(f"{self.sides[n]}-1")

    def _terms(self, n: int) -> Terms:
        return Terms(
            id=HtlcId(str(uuid.UUID(int=n + 1))),
            settlement=SettlementId(str(uuid.UUID(int=3))),
            leg=LegId(f"LEG{n + 1}"),
            payer=self._holder(n),
            payee=self._holder(1 - n),
            asset=AssetId(ISINS[n]),
            quantity=QUANTITY,
            execution_lock=_lock(_key(n)),
            cancellation_lock=_lock(_key(n + 2)),
            lock_by=Instant(self.world.now + 600 * SECOND),
        )


def _owner(account: AccountId) -> Principal:
    return Principal(name=account, role=Role.OWNER)


def _key(n: int) -> bytes:
    return bytes([n]) * 32


def _lock(key: bytes) -> Hashlock:
    digest = hashlib.sha256(key).digest()
    return Hashlock(algorithm=Algorithm.SHA256, encoding=Encoding.RAW, digest=digest)
