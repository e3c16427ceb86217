"""A network of registries in one process and in virtual time: real replicas, a log, a clock, lies.

One seed, one run. Messages to the log and votes take 1 to 30 ms; votes are lost; the log repeats
some messages; nodes crash and are cut off; some registries lie. When the time of faults is over
only the lies about votes and times go on; `registries_judge` says what must have been.
"""

import heapq
import random
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from gateway.simulation.registries_liar import Liar, Lie
from gateway.simulation.registries_node import NETWORK, Node, Request, key_of
from htlc.units import MILLISECOND, SECOND, AccountId, AssetId, Duration, Instant, Quantity, seconds
from ledgers.administration import DefineInstrument, OpenAccount
from ledgers.icsd.entry import Entry, Signed
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.icsd.log import Message
from ledgers.icsd.proof import Result
from ledgers.instruments import Instrument
from ledgers.parties import Principal, Role
from ledgers.port import Issue, Transfer

__all__ = ["NETWORK", "Registries", "Settings"]

NAMES: Final = ("AM", "GE", "KZ", "UZ", "BY", "KG", "TJ", "AZ", "MD", "TM")
ISINS: Final = (AssetId("KZ1C00001015"), AssetId("UZ7011340005"))
START: Final = Instant(1_800_000_000 * SECOND)
ISSUED: Final = 1_000_000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is like. Times are seconds after the start."""

    registries: int = 4
    names: tuple[str, ...] = ()  # of the registries; by default as many as there are of `NAMES`
    seconds: float = 20.0  # of traffic and faults; then three minutes without
    requests: int = 100
    votes_lost: float = 0.1
    messages_lost: float = 0.05
    messages_repeated: float = 0.05
    crashes: int = 0
    forks_at: float | None = None  # the log shows the last names another order from then on
    cut_off: Mapping[str, tuple[float, float]] = {}  # registry: from, until
    lies: Mapping[str, frozenset[Lie]] = {}
    wiped: Mapping[str, float] = {}  # registry: when its database is lost
    apart: bool = False  # who is shown another log is not heard either
    careless: bool = False  # who lost its database votes on, as if it had not voted before


SETTLES: Final = 180.0
"""Seconds without faults at the end: a lost message is published again after one, a cut after two,
and each block of a registry that lies about the time may cost 20 s."""


class Registries:
    """The world that the nodes live in."""

    def __init__(self, seed: int, settings: Settings) -> None:
        self.settings = settings
        self.draw = random.Random(seed)
        self.now = START
        self.log: list[Message] = []
        self.forked: list[Message] = []  # what some are shown instead
        self.answers: dict[int, list[tuple[Instant, Result]]] = {}
        self.requests: dict[int, tuple[RegistryId, Request]] = {}
        self.forgotten: set[int] = set()  # requests that were on their way from a lost database
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._last: dict[str, int] = {}
        self._stored: dict[bytes, int] = {}
        names = sorted(RegistryId(name) for name in settings.names or NAMES[: settings.registries])
        members = tuple(Member(registry=name, public_key=_public(name)) for name in names)
        self.epoch = Epoch(number=1, members=members, start=1)
        self.nodes = {name: self._node(name) for name in names}
        self._wakes: dict[RegistryId, Instant] = {}

    def _node(self, name: RegistryId) -> Node:
        lies = self.settings.lies.get(name)
        if lies is None:
            return Node(name, self.epoch, self)
        return Liar(name, self.epoch, self, lies)

    @property
    def honest(self) -> list[Node]:
        return [node for node in self.nodes.values() if not isinstance(node, Liar)]

    # --- time ------------------------------------------------------------------------------------

    def at(self, when: Instant, do: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (max(when, self.now), self._order, do))

    def after(self, wait: Duration, do: Callable[[], None]) -> None:
        self.at(Instant(self.now + wait), do)

    def play(self, until: float | None = None) -> None:
        """Until so many seconds after the start, by default to the end."""
        whole = self.settings.seconds + SETTLES
        end = START + seconds(whole if until is None else until)
        while self._events and self._events[0][0] <= end:
            when, _, do = heapq.heappop(self._events)
            self.now = Instant(when)
            do()
        self.now = Instant(max(self.now, end))

    @property
    def is_rough(self) -> bool:
        return self.now < START + seconds(self.settings.seconds)

    @property
    def has_forked(self) -> bool:
        forks_at = self.settings.forks_at
        return forks_at is not None and self.now >= START + seconds(forks_at)

    def log_of(self, node: Node) -> list[Message]:
        """The log as it is shown to a node; to one that lost its database the other one."""
        late = list(self.nodes).index(node.name) >= len(self.nodes) // 2
        late ^= node.is_wiped
        return self.forked if late and self.forked else self.log

    def replace_log(self) -> None:
        """By an empty one that is honest."""
        self.log, self.forked = [], []
        self._last, self._stored = {}, {}
        self.settings = msgspec.structs.replace(self.settings, forks_at=None)

    def is_cut_off(self, name: str) -> bool:
        window = self.settings.cut_off.get(name)
        if window is None:
            return False
        return START + seconds(window[0]) <= self.now < START + seconds(window[1])

    def wake(self, node: Node, wait: Duration) -> None:
        """Wake the node after so long, or earlier if that is planned."""
        when = Instant(self.now + wait)
        planned = self._wakes.get(node.name)
        if planned is not None and self.now < planned <= when:
            return
        self._wakes[node.name] = when
        self.at(when, lambda: self._woken(node, when))

    def _woken(self, node: Node, planned: Instant) -> None:
        if self._wakes.get(node.name) == planned:
            del self._wakes[node.name]
            node.step()
            self.wake(node, node.rest)

    def _delay(self) -> Duration:
        return Duration(self.draw.randrange(1, 30) * MILLISECOND)

    # --- what nodes say --------------------------------------------------------------------------

    def publish(self, node: Node, subject: str, data: bytes, after: int | None = None) -> None:
        """To the log: stored, refused by its guard, or lost; who published finds out by reading."""
        if not node.is_reachable:
            return
        if self.is_rough and self.draw.random() < self.settings.messages_lost:
            return
        self.after(self._delay(), lambda: self._store(subject, data, after))

    def _store(self, subject: str, data: bytes, after: int | None) -> None:
        repeat = self.is_rough and self.draw.random() < self.settings.messages_repeated
        if (data in self._stored and not repeat) or after not in (None, self._last.get(subject, 0)):
            return
        for _ in range(2 if repeat else 1):
            message = Message(sequence=len(self.log) + 1, subject=subject, data=data)
            self.log.append(message)
            self._stored[data] = self._last[subject] = message.sequence
        self._fork(subject, data)
        for node in self.nodes.values():
            self.wake(node, self._delay())

    def _fork(self, subject: str, data: bytes) -> None:
        """The other log is the same until it forks; then it has every second message only."""
        if not self.has_forked:
            return
        self.forked = self.forked or self.log[:-1]
        if self.draw.random() < 0.5:
            sequence = len(self.forked) + 1
            self.forked.append(Message(sequence=sequence, subject=subject, data=data))

    def tell(self, node: Node, other: Node, vote: Signed) -> None:
        if not node.is_reachable or (
            node is not other and self.is_rough and self.draw.random() < self.settings.votes_lost
        ):
            return
        if self.settings.apart and self.log_of(node) is not self.log_of(other):
            return
        wait = Duration(0) if node is other else self._delay()
        self.after(wait, lambda: self._heard(other, vote))

    def _heard(self, node: Node, vote: Signed) -> None:
        node.hear(vote)
        self.wake(node, Duration(MILLISECOND))

    def answered(self, request: Request, result: Result) -> None:
        if request.number in self.requests:
            self.answers.setdefault(request.number, []).append((self.now, result))

    # --- what initiators ask ---------------------------------------------------------------------

    def ask(self, name: RegistryId, entry: Entry) -> int:
        """Ask now; the number of the request."""
        number = len(self.requests) + 1
        request = Request(number=number, entry=entry)
        self.requests[number] = name, request
        self.nodes[name].queue.append(request)
        self.wake(self.nodes[name], Duration(0))
        return number

    def furnish(self) -> None:
        """Three holders at each registry, two instruments, and holdings of both everywhere."""
        names = list(self.nodes)
        for name in names:
            for holder in range(1, 4):
                self.ask(name, opened(name, f"{name}-{holder}"))
        for asset, name in zip(ISINS, self.issuers, strict=True):
            issuer = f"{name}-issuer"
            self.ask(name, opened(name, issuer))
            self.ask(name, defined(name, asset, issuer))
        self.after(seconds(2), self._endow)

    @property
    def issuers(self) -> tuple[RegistryId, RegistryId]:
        """The issuer registries of the two instruments: honest ones."""
        names = [node.name for node in self.honest]
        return names[0], names[1]

    def _endow(self) -> None:
        for asset, name in zip(ISINS, self.issuers, strict=True):
            for holder in self.nodes:
                self.ask(name, issued(name, asset, f"{holder}-1"))

    def traffic(self) -> None:
        """Transfers at random times between random holders, domestic and across borders."""
        for _ in range(self.settings.requests):
            when = seconds(self.draw.uniform(4, max(4.1, self.settings.seconds - 1)))
            self.after(when, self._transfer)

    def _transfer(self) -> None:
        name = self.draw.choice([node.name for node in self.honest])
        debit = f"{name}-{self.draw.randrange(1, 4)}"
        credit = f"{self.draw.choice(list(self.nodes))}-{self.draw.randrange(1, 4)}"
        asset, quantity = self.draw.choice(ISINS), self.draw.randrange(1, 1_000)
        self.ask(name, moved(debit, credit, asset, quantity, f"move-{len(self.requests)}"))

    def ask_move(self, name: RegistryId, quantity: int) -> int:
        """Ask for a transfer between two holders of a registry; the number of the request."""
        debit, credit, id = f"{name}-1", f"{name}-2", f"move-{len(self.requests)}"
        return self.ask(name, moved(debit, credit, ISINS[0], quantity, id))

    def holdings_elsewhere(self, name: RegistryId) -> list[tuple[str, str]]:
        return [(f"{other}-1", asset) for other in self.nodes if other != name for asset in ISINS]

    def trouble(self) -> None:
        """Crashes at random times, each for up to five seconds."""
        for _ in range(self.settings.crashes):
            node = self.draw.choice(list(self.nodes.values()))
            when = self.draw.uniform(1, self.settings.seconds - 1)
            back = min(when + self.draw.uniform(0.1, 5), self.settings.seconds)
            self.after(seconds(when), node.crash)
            self.after(seconds(back), lambda node=node: self._restart(node))  # type: ignore[misc]

        for name, when in self.settings.wiped.items():
            node = self.nodes[RegistryId(name)]
            self.after(seconds(when), node.crash)
            self.after(seconds(when + 0.5), lambda node=node: self._wipe(node))  # type: ignore[misc]

    def _wipe(self, node: Node) -> None:
        node.wipe(self.draw.randbytes(32))
        self.wake(node, Duration(0))

    def _restart(self, node: Node) -> None:
        if node.is_down:
            node.restart()
            self.wake(node, Duration(0))


def begun(seed: int, settings: Settings) -> Registries:
    """A world with traffic and everything that the settings ask for, not yet played."""
    world = Registries(seed, settings)
    for node in world.nodes.values():
        world.wake(node, Duration(0))
    world.furnish()
    world.traffic()
    world.trouble()
    return world


def whole_run(seed: int, settings: Settings) -> Registries:
    """A run to its end."""
    world = begun(seed, settings)
    world.play()
    return world


def _public(name: str) -> bytes:
    return key_of(name).public_key().public_bytes_raw()


def opened(registry: str, account: str) -> Entry:
    act = OpenAccount(account=AccountId(account), owner=account)
    return Entry(by=_operator(registry), act=act)


def defined(registry: str, asset: AssetId, issuer: str) -> Entry:
    instrument = Instrument(
        asset=asset,
        name=f"Bond of {registry}",
        scale=0,
        quantity_type="Unit",
        issuer=issuer,
        counter=AccountId(issuer),
    )
    return Entry(by=_operator(registry), act=DefineInstrument(instrument=instrument))


def _operator(registry: str) -> Principal:
    return Principal(name=f"{registry}-operator", role=Role.LEDGER_OPERATOR)


def issued(registry: str, asset: AssetId, account: str) -> Entry:
    operation = Issue(
        id=f"issue-{asset}-{account}",
        account=AccountId(account),
        asset=asset,
        quantity=Quantity(ISSUED),
    )
    return Entry(by=Principal(name=f"{registry}-issuer", role=Role.ISSUER), operation=operation)


def moved(debit: str, credit: str, asset: AssetId, quantity: int, id: str) -> Entry:
    operation = Transfer(
        id=id,
        debit=AccountId(debit),
        credit=AccountId(credit),
        asset=asset,
        quantity=Quantity(quantity),
    )
    return Entry(by=Principal(name=debit, role=Role.OWNER), operation=operation)
