"""The configuration of a registry's node: one TOML file, secrets in files of their own."""

import ssl
from pathlib import Path

import msgspec

from gateway.calendars import CalendarSettings, fault
from gateway.config import (
    ConfigurationError,
    StatementSettings,
    WebhookSettings,
    check_networks,
    secret,
)
from gateway.embedded.nats_settings import Tls
from gateway.process.ledger import LedgerProcess
from htlc.hashlock import HashFunction
from htlc.units import LedgerId, seconds
from ledgers.icsd.epoch import Epoch, Member, RegistryId
from ledgers.icsd.link import Access, context
from ledgers.icsd.replica import Pace
from ledgers.icsd.rules import are_members
from ledgers.icsd.start import Network
from ledgers.icsd.stream_setup import stream_name
from ledgers.instruments import is_bic
from ledgers.parties import Principal, Role
from ledgers.port import LockKind
from ledgers.profile import Profile
from protocols.iso20022.lexical import bic11


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. A key that we do not know is a typing error: refused."""


class RegistrySettings(_Table, frozen=True, kw_only=True):
    """A member of the network's first epoch. Later ones are decided on the network."""

    name: str
    public_key: str  # Ed25519, 32 bytes in hex


class LogSettings(_Table, frozen=True, kw_only=True):
    """The log, as this registry is connected to it."""

    servers: tuple[str, ...]  # nats://host:port, or tls://host:port
    #: Their monitoring pages, http://host:port: without one that vouches for `sync_interval:
    #: always` the node does not start.
    monitors: tuple[str, ...]
    seed_file: Path  # of our nkey ("SU…")
    epoch: int = 1  # of the network, whose log this is: its stream is ORD_E<epoch>
    tls: Tls | None = None

    @property
    def stream(self) -> str:
        return stream_name(self.epoch)

    def access(self, registry: str) -> Access:
        """Raises ConfigurationError."""
        return Access(name=registry, seed=secret(self.seed_file), tls=self._context())

    def _context(self) -> ssl.SSLContext | None:
        if self.tls is None:
            return None
        try:
            return context(self.tls.certificate, self.tls.key, self.tls.authority)
        except OSError as error:
            raise ConfigurationError(f"log.tls: {error}") from None


class MemberSettings(_Table, frozen=True, kw_only=True):
    """A member of the registry that sends messages: the name of its token, and its BIC."""

    name: str
    bic: str


class MessageSettings(_Table, frozen=True, kw_only=True):
    """Messages of the registry's internal system (`/v1/messages`)."""

    #: BIC of each registry of the network, by its name: the depositories of a delivery.
    depositories: dict[str, str]
    members: tuple[MemberSettings, ...]
    #: Business days, at whose ends daily statements are sent. Orders are taken day and night.
    calendar: CalendarSettings = CalendarSettings()
    statements: StatementSettings = StatementSettings()
    webhooks: WebhookSettings = WebhookSettings()


class PeerSettings(_Table, frozen=True, kw_only=True):
    """Another registry's node, asked where the book differs when this one has stopped."""

    url: str
    token_file: Path  # of a supervisor or operator there


class NodeProcess(LedgerProcess, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a registry's node needs: what a ledger process does (`ledger` is the name of the
    network, `key_file` the registry's own), and its place in the network."""

    registry: str
    registries: tuple[RegistrySettings, ...]
    log: LogSettings
    #: A block is cut this long after the first of its entries has come: what arrives together
    #: shares it. Between sites 60 ms apart 50 ms loses nothing.
    tick_seconds: float = 0.02
    #: Without traffic, how often ledger time advances.
    heartbeat_seconds: float = 5.0
    #: How old the state may be that a look tells. Older, and a block is made for the question.
    fresh_seconds: float = 1.0
    #: Other registries, for a registry that stopped because its book differs. May be none.
    peers: tuple[PeerSettings, ...] = ()
    #: Without this table, no messages are taken.
    messages: MessageSettings | None = None

    def correspondents(self, messages: MessageSettings) -> "Correspondents":
        """Who writes to whom. Raises ConfigurationError."""
        names = {registry.name for registry in self.registries}
        if not names <= set(messages.depositories):
            raise ConfigurationError("messages.depositories: expected the BIC of each registry")
        owners = {token.name: token.role for token in self.tokens}
        for member in messages.members:
            if owners.get(member.name) is not Role.OWNER:
                raise ConfigurationError(
                    f"messages.members: {member.name} has no token as an owner (`[[tokens]]`)"
                )
        if (wrong := fault(messages.calendar)) is not None:
            raise ConfigurationError("messages.calendar.{}: {}".format(*wrong))
        check_networks(messages.webhooks)
        bics = {member.name: _bic(member.bic, "members") for member in messages.members}
        if len(set(bics.values())) < len(messages.members):
            raise ConfigurationError("messages.members: a member and a BIC stand there once")
        return Correspondents(
            depositories={
                RegistryId(name): _bic(bic, "depositories")
                for name, bic in messages.depositories.items()
            },
            members=bics,
        )

    def network(self) -> Network:
        """What all registries of the network know alike. Raises ConfigurationError."""
        epoch = first_epoch(self.registries)
        if self.registry not in {member.registry for member in epoch.members}:
            raise ConfigurationError(f"registries: {self.registry} itself is not among them")
        return Network(
            network=LedgerId(self.ledger),
            epoch=epoch,
            profile=self.traits().profile,
            pace=Pace(tick=seconds(self.tick_seconds), heartbeat=seconds(self.heartbeat_seconds)),
        )


class Genesis(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody must know of a network beforehand. A node's configuration has it; so may a
    file with these keys alone."""

    ledger: str
    registries: tuple[RegistrySettings, ...]
    lock_kinds: tuple[LockKind, ...] = (LockKind.TWO_KEY, LockKind.HTLC)
    hash_functions: tuple[HashFunction, ...] = (HashFunction(),)

    def network(self) -> Network:
        """Raises ConfigurationError."""
        return Network(
            network=LedgerId(self.ledger),
            epoch=first_epoch(self.registries),
            profile=Profile(lock_kinds=self.lock_kinds, hash_functions=self.hash_functions),
        )


def first_epoch(registries: tuple[RegistrySettings, ...]) -> Epoch:
    """The first members. Raises ConfigurationError."""
    members = tuple(sorted(map(_member, registries), key=lambda m: m.registry))
    if not are_members(members):
        raise ConfigurationError(
            "registries: expected each registry once, with a name of visible ASCII without "
            "dots and wildcards, and a key of 32 bytes in hex"
        )
    return Epoch(number=1, members=members, start=1)


class Correspondents(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes to whom, by BICs of eleven characters."""

    depositories: dict[RegistryId, str]
    members: dict[str, str]  # of each pseudonym

    @property
    def principals(self) -> dict[str, Principal]:
        """The members as the network knows them, by BIC."""
        return {bic: Principal(name=name, role=Role.OWNER) for name, bic in self.members.items()}


def _bic(text: str, field: str) -> str:
    if not is_bic(text):
        raise ConfigurationError(f"messages.{field}: {text} is no BIC (ISO 9362)")
    return bic11(text)


def _member(settings: RegistrySettings) -> Member:
    try:
        key = bytes.fromhex(settings.public_key)
    except ValueError:
        raise ConfigurationError(
            f"registries: the public key of {settings.name} is not hex"
        ) from None
    return Member(registry=RegistryId(settings.name), public_key=key)
