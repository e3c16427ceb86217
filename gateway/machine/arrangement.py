"""The configuration of each process of one machine, from its world: what `up` writes down."""

import socket
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config import LedgerSettings, MemberSettings, Settings, WebhookSettings
from gateway.embedded.nats_settings import LogServerSettings, public_key
from gateway.icsd_node.settings import (
    LogSettings,
    MessageSettings,
    NodeProcess,
    PeerSettings,
    RegistrySettings,
)
from gateway.icsd_node.settings import MemberSettings as CorrespondentSettings
from gateway.machine.credentials import (
    ADMINISTRATOR,
    Credentials,
    ledger_tokens,
    node_tokens,
    nodes,
    operator_settings,
    token_sha256,
)
from gateway.machine.data_directory import DataDirectory
from gateway.machine.network import Names, service_name
from gateway.machine.world import World
from gateway.process.icsd_log import LogProcess, StreamSettings
from gateway.process.ledger import LedgerProcess

S = TypeVar("S")


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server of a log listens."""

    host: str
    client: int
    monitor: int


def free_ports(host: str) -> Ports:
    """Two ports that nobody uses now. The log's server opens its sockets itself, so they cannot be
    handed to it as to our own services; while it is down somebody else could take them."""
    with socket.create_server((host, 0)) as client, socket.create_server((host, 0)) as monitor:
        return Ports(host=host, client=client.getsockname()[1], monitor=monitor.getsockname()[1])


def ledger_process(
    world: World, directory: DataDirectory, credentials: Credentials, name: str, dsn: str
) -> LedgerProcess:
    """How the process of one ledger is configured."""
    spec = world.ledgers[name]
    return LedgerProcess(
        ledger=name,
        dsn=dsn,
        key_file=directory.service(f"{name}.key"),
        tokens=ledger_tokens(world, credentials, name),
        lock_kinds=spec.lock_kinds,
        hash_functions=(spec.hash_function,),
        finality_seconds=spec.latency.finality_seconds,
        skew_seconds=spec.latency.skew_seconds,
    )


def log_process(
    world: World, directory: DataDirectory, credentials: Credentials, ledger: str, ports: Ports
) -> LogProcess:
    """How the one server of a network's log is configured, and its stream made."""
    seeds = credentials.log_seeds
    log = directory.path / "log" / ledger
    return LogProcess(
        directory=log,
        server=LogServerSettings(
            name=f"{ledger}-log",
            store=log / "store",
            listen=f"{ports.host}:{ports.client}",
            monitor=f"{ports.host}:{ports.monitor}",
            administrator=public_key(seeds[ADMINISTRATOR]),
            registries={
                registry: public_key(seeds[name]) for registry, name in nodes(world, ledger).items()
            },
        ),
        stream=StreamSettings(seed_file=directory.service(f"{ADMINISTRATOR}.seed")),
    )


def node_process(
    world: World,
    directory: DataDirectory,
    credentials: Credentials,
    ledger: str,
    registry: str,
    names: Names,
    ports: Ports,
    dsn: str,
    others: Sequence[str] = (),
) -> NodeProcess:
    """How the node of one registry is configured; `others` are the URLs of the others' nodes."""
    spec, name = world.ledgers[ledger], service_name(ledger, registry)
    return NodeProcess(
        ledger=ledger,
        registry=registry,
        registries=tuple(
            RegistrySettings(name=member, public_key=_public_key(directory, its))
            for member, its in nodes(world, ledger).items()
        ),
        log=LogSettings(
            servers=(f"nats://{ports.host}:{ports.client}",),
            monitors=(f"http://{ports.host}:{ports.monitor}",),
            seed_file=directory.service(f"{name}.seed"),
        ),
        dsn=dsn,
        key_file=directory.service(f"{name}.key"),
        tokens=node_tokens(world, credentials, ledger, registry, names),
        lock_kinds=spec.lock_kinds,
        hash_functions=(spec.hash_function,),
        finality_seconds=spec.latency.finality_seconds,
        skew_seconds=spec.latency.skew_seconds,
        peers=tuple(
            PeerSettings(url=url, token_file=directory.service(f"{name}.peer-token"))
            for url in others
        ),
        messages=MessageSettings(
            depositories={name: member.operator for name, member in spec.registries.items()},
            members=tuple(
                CorrespondentSettings(name=shown, bic=bic) for shown, bic in names.owners.items()
            ),
            calendar=spec.calendar,
            webhooks=_beside(world.gateway.webhooks),
        ),
    )


def _public_key(directory: DataDirectory, name: str) -> str:
    secret = directory.service(f"{name}.key").read_bytes()
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()


def replicas(world: World) -> tuple[str, ...]:
    """The names of the gateway's processes."""
    further = (f"gateway-{n}" for n in range(2, world.gateway.replicas + 1))
    return ("gateway", *further)


def gateway_process(
    world: World,
    directory: DataDirectory,
    credentials: Credentials,
    urls: Mapping[str, str],
    *,
    registries: Mapping[str, Mapping[str, str]] | None = None,
    replica: str,
    dsn: str,
    business_date: str | None,
) -> Settings:
    """How one process of the gateway is configured; `urls` are the ledgers', `registries` those of
    the nodes of each network."""
    return Settings(
        bic=world.gateway.bic,
        dsn=dsn,
        master_file=directory.master,
        replica=replica,
        business_date=business_date,
        ledgers={
            name: LedgerSettings(
                kind=spec.kind,
                url=urls[name],
                registries=dict((registries or {}).get(name, {})),
                token_file=directory.service(f"gateway-{name}.token"),
                depository=spec.depository,
                latency=spec.latency,
                calendar=spec.calendar,
            )
            for name, spec in world.ledgers.items()
        },
        members=tuple(
            MemberSettings(
                bic=member.bic,
                name=member.name,
                lei=member.lei,
                token_sha256=token_sha256(credentials.members[member.bic]),
                accounts={ledger: tuple(names) for ledger, names in member.accounts.items()},
                power_of_attorney=member.power_of_attorney,
                advise_after_seconds=member.advise_after_seconds,
                connection=_absolute(member.connection),
            )
            for member in world.members
        ),
        operators=operator_settings(world, credentials),
        limits=world.gateway.limits,
        matching=world.gateway.matching,
        webhooks=world.gateway.webhooks,
        signing=_absolute(world.gateway.signing),
    )


def _absolute(settings: S) -> S:
    """The same with the paths of its files, which are told from where `up` was started."""
    return msgspec.convert(
        msgspec.to_builtins(settings, enc_hook=lambda path: str(path.absolute())),
        type(settings),
        dec_hook=lambda kind, text: kind(text),
    )


def on_one_machine(settings: Settings) -> Settings:
    """The same for `up`: a member's receiver may stand beside it."""
    return msgspec.structs.replace(settings, webhooks=_beside(settings.webhooks))


def _beside(webhooks: WebhookSettings) -> WebhookSettings:
    """The same, and receivers on this machine."""
    loopback = (*webhooks.allow_networks, "127.0.0.0/8", "::1/128")
    return WebhookSettings(allow_networks=loopback, allow_http=True)


def configuration(directory: DataDirectory, name: str) -> Path:
    """The file that a process reads."""
    return directory.service(f"{name}.toml")


def write(directory: DataDirectory, name: str, settings: msgspec.Struct) -> Path:
    """Write a process's configuration as the file that it reads."""
    file = configuration(directory, name)
    return directory.write(f"services/{file.name}", tomli_w.dumps(plain(settings)).encode())


def plain(settings: msgspec.Struct) -> dict[str, Any]:
    """Settings as a TOML file has them."""
    content: dict[str, Any] = _without_none(
        msgspec.to_builtins(
            settings,
            builtin_types=(date,),  # TOML has dates of its own
            enc_hook=str,
        )
    )
    return content


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not set is left out."""
    if isinstance(value, dict):
        return {key: _without_none(member) for key, member in value.items() if member is not None}
    if isinstance(value, list | tuple):
        return [_without_none(member) for member in value]
    return value
