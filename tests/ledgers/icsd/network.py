"""A registry network in one process: keys, bundles, cuts, votes, and a log that is a list."""

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from htlc.units import SECOND, AccountId, AssetId, Instant, LedgerId, Quantity
from ledgers.administration import Act, DefineInstrument, OpenAccount
from ledgers.icsd.block import Block, Outcome
from ledgers.icsd.entry import (
    CUT_SUBJECT,
    NOTHING,
    Bundle,
    Certificate,
    Cut,
    Entry,
    Hash,
    Signed,
    Statement,
    Vote,
    bundle_subject,
    pack,
    sign,
)
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.icsd.log import Message
from ledgers.icsd.replica import Replica
from ledgers.icsd.view import View
from ledgers.instruments import Instrument
from ledgers.parties import Principal, Role
from ledgers.port import Issue, Operation, Transfer
from ledgers.profile import Profile

NETWORK = LedgerId("cis-icsd")
NAMES = tuple(RegistryId(name) for name in ("AM", "BY", "GE", "KG", "KZ", "TJ", "UZ"))
ISIN = AssetId("KZ1C00001015")
START = Instant(1_800_000_000 * SECOND)
KZ, UZ, GE, AM = RegistryId("KZ"), RegistryId("UZ"), RegistryId("GE"), RegistryId("AM")


def key_of(registry: str) -> Ed25519PrivateKey:
    """A published test key: the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(registry.encode()).digest())


def member(registry: str, key: str | None = None) -> Member:
    public_key = key_of(key or registry).public_key().public_bytes_raw()
    return Member(registry=RegistryId(registry), public_key=public_key)


def epoch_of(*registries: str, number: int = 1, start: int = 1) -> Epoch:
    return Epoch(number=number, members=tuple(map(member, sorted(registries))), start=start)


FOUR = ("AM", "GE", "KZ", "UZ")


def fresh_view(*registries: str) -> View:
    return View.genesis(NETWORK, epoch_of(*(registries or FOUR)), Profile())


def operator(registry: str) -> Principal:
    return Principal(name=f"{registry}-operator", role=Role.LEDGER_OPERATOR)


def owner(name: str) -> Principal:
    return Principal(name=name, role=Role.OWNER)


def issuer(name: str) -> Principal:
    return Principal(name=name, role=Role.ISSUER)


def act(registry: str, what: Act) -> Entry:
    return Entry(by=operator(registry), act=what)


def opened(registry: str, account: str, holder: str | None = None) -> Entry:
    return act(registry, OpenAccount(account=AccountId(account), owner=holder or account))


def asked(by: Principal, operation: Operation) -> Entry:
    return Entry(by=by, operation=operation)


def defined(registry: str, asset: AssetId, counter: str, by: str) -> Entry:
    instrument = Instrument(
        asset=asset,
        name="Bond",
        scale=0,
        quantity_type="Unit",
        issuer=by,
        counter=AccountId(counter),
    )
    return act(registry, DefineInstrument(instrument=instrument))


def issued(by: str, account: str, quantity: int, id: str, asset: AssetId = ISIN) -> Entry:
    operation = Issue(id=id, account=AccountId(account), asset=asset, quantity=Quantity(quantity))
    return asked(issuer(by), operation)


def moved(debit: str, credit: str, quantity: int, id: str, asset: AssetId = ISIN) -> Entry:
    operation = Transfer(
        id=id,
        debit=AccountId(debit),
        credit=AccountId(credit),
        asset=asset,
        quantity=Quantity(quantity),
    )
    return asked(owner(debit), operation)


class Pen:
    """Signs for one registry, and keeps where its bundles are."""

    def __init__(self, registry: RegistryId, epoch: int = 1) -> None:
        self.registry = registry
        self.epoch = epoch
        self.sequence, self.previous = 0, NOTHING

    def bundle(self, *entries: Entry, **changed: object) -> bytes:
        """The next bundle; `changed` fields make it a wrong one, which moves nothing on."""
        fields: dict[str, object] = {
            "epoch": self.epoch,
            "registry": self.registry,
            "sequence": self.sequence + 1,
            "previous": self.previous,
            "entries": entries,
        }
        signed = sign(Bundle(**(fields | changed)), key_of(self.registry))  # type: ignore[arg-type]
        if not changed:
            self.sequence, self.previous = self.sequence + 1, signed.hash
        return pack(signed)

    def cut(
        self, height: int, at: Instant, certificate: Certificate | None, epoch: int | None = None
    ) -> bytes:
        body = Cut(
            epoch=epoch or self.epoch,
            registry=self.registry,
            height=height,
            at=at,
            certificate=certificate,
        )
        return pack(sign(body, key_of(self.registry)))

    def vote(self, statement: Statement) -> tuple[Signed, Vote]:
        vote = Vote(registry=self.registry, statement=statement)
        return sign(vote, key_of(self.registry)), vote


def certificate_of(statement: Statement, *registries: str) -> Certificate:
    signatures = [
        (RegistryId(name), Pen(RegistryId(name)).vote(statement)[0].signature)
        for name in sorted(registries)
    ]
    return Certificate(statement=statement, signatures=tuple(signatures))


class Chain:
    """One view that is fed block after block, with certificates of everybody."""

    def __init__(self, *registries: str) -> None:
        self.registries = registries or FOUR
        self.view = fresh_view(*self.registries)
        self.pens = {name: Pen(RegistryId(name)) for name in NAMES}
        self.blocks: list[Block] = []

    def block(self, *messages: bytes, at: Instant | None = None) -> Block:
        closing = self.closing(at)
        self.blocks.append(self.view.apply(messages, closing))
        return self.blocks[-1]

    def closing(self, at: Instant | None = None) -> bytes:
        height = self.view.height + 1
        certificate = (
            certificate_of(self.blocks[-1].statement, *self.registries) if self.blocks else None
        )
        at = Instant(START + height * SECOND) if at is None else at
        names = [member.registry for member in self.view.epoch_at(height).members]
        epoch = self.view.epoch_at(height).number
        return self.pens[names[0]].cut(height, at, certificate, epoch)

    def done(self, registry: str, *entries: Entry) -> Outcome:
        """The outcome of a bundle that has a block of its own."""
        return self.block(self.pens[RegistryId(registry)].bundle(*entries)).outcomes[0]


def furnished(chain: Chain) -> Chain:
    """KZ has issued 1,000 of one bond: 600 held at KZ, 400 at UZ; GE and AM have an account."""
    opening = [opened("KZ", "kz-issue", "kz-issuer"), opened("KZ", "kz-1"), opened("KZ", "kz-2")]
    chain.block(
        chain.pens[KZ].bundle(*opening, defined("KZ", ISIN, "kz-issue", "kz-issuer")),
        chain.pens[UZ].bundle(opened("UZ", "uz-1"), opened("UZ", "uz-2")),
        chain.pens[GE].bundle(opened("GE", "ge-1")),
        chain.pens[AM].bundle(opened("AM", "am-1")),
    )
    chain.done("KZ", issued("kz-issuer", "kz-1", 1_000, "issue-1"))
    chain.done("KZ", moved("kz-1", "uz-1", 400, "move-1"))
    return chain


class Net:
    """Replicas around one log; whatever one says, all hear."""

    def __init__(self, *registries: str, supervisor: bool = False) -> None:
        names = registries or FOUR
        self.log: list[Message] = []
        self.pens = {name: Pen(RegistryId(name)) for name in names}
        self.replicas = {name: Replica(RegistryId(name), fresh_view(*names)) for name in names}
        if supervisor:
            self.replicas["supervisor"] = Replica(None, fresh_view(*names))
        self.now = START
        self.blocks: dict[str, list[Block]] = {name: [] for name in self.replicas}
        self.read: dict[str, int] = dict.fromkeys(self.replicas, 0)
        self.silent: set[str] = set()

    def publish(self, subject: str, data: bytes) -> None:
        self.log.append(Message(sequence=len(self.log) + 1, subject=subject, data=data))

    def bundle(self, registry: str, *entries: Entry) -> None:
        self.publish(bundle_subject(RegistryId(registry)), self.pens[registry].bundle(*entries))

    def step(self, said: Callable[[str, Statement], Statement] | None = None) -> None:
        """Everybody reads, votes and, who is in turn, cuts. `said` alters what somebody signs."""
        self.now = Instant(self.now + SECOND // 10)
        for name, replica in self.replicas.items():
            if name not in self.silent:
                self._reads(name, replica)
        self.votes(said)
        for name, replica in self.replicas.items():
            cut = None if name in self.silent else replica.to_cut(self.now, False)
            if cut is not None and replica.guard == self._last_cut():
                self.publish(CUT_SUBJECT, pack(sign(cut, key_of(name))))

    def votes(self, said: Callable[[str, Statement], Statement] | None = None) -> None:
        for name, replica in self.replicas.items():
            statement = None if name in self.silent else replica.to_vote(self.now)
            if statement is not None:
                replica.signed(statement)
                self.tell(name, said(name, statement) if said else statement)

    def _reads(self, name: str, replica: Replica) -> None:
        for message in self.log[self.read[name] :]:
            block = replica.take(message)
            if block is not None:
                self.blocks[name].append(block)
        self.read[name] = len(self.log)
        replica.caught_up(self.now)

    def tell(self, name: str, statement: Statement) -> None:
        signed, vote = self.pens[name].vote(statement)
        for other, replica in self.replicas.items():
            if other not in self.silent:
                replica.hear(signed, vote)

    def _last_cut(self) -> int:
        return max((m.sequence for m in self.log if m.subject == CUT_SUBJECT), default=0)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def heads(self) -> set[tuple[int, Hash, Hash]]:
        return {
            (replica.view.height, replica.view.head, replica.view.state.root)
            for name, replica in self.replicas.items()
            if name not in self.silent
        }
