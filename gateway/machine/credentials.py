"""Tokens and keys of one machine: made once, kept in plain text only where their owners read them.

Every principal has a token of its own, 32 random bytes; services know its SHA-256 only. A member's
token is good at the gateway and at the ledgers that it has accounts on.
"""

import hashlib
import os
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.access import Access, IssuerAccess, Members, OperatorAccess
from gateway.config import OperatorSettings
from gateway.embedded.nats_settings import new_seed
from gateway.machine.data_directory import DataDirectory
from gateway.machine.network import Names, service_name
from gateway.machine.world import World
from gateway.process.ledger import SEED_BYTES, TokenSettings
from ledgers.parties import Role

GATEWAY_OPERATOR: Final = "gateway-operator"
"""Sees everything at the gateway and, as a supervisor, on the ledgers."""

TOKEN_BYTES: Final = 32


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Every token, in plain text: by BIC, by ledger, or the one there is."""

    members: dict[str, str]
    issuers: dict[str, str]  # central banks among them
    ledger_operators: dict[str, str]
    gateway_at: dict[str, str]  # the gateway's own access to each ledger
    gateway_operator: str
    registries: dict[str, str] = {}  # operators of the registries of a network, by process name
    peers: dict[str, str] = {}  # each registry's access to the others' nodes, by process name
    log_seeds: dict[str, str] = {}  # nkeys of the network's log, by process name, or administrator


ADMINISTRATOR: Final = "administrator"
"""Of the log of a network: makes its stream."""


def ensure(directory: DataDirectory, world: World) -> Credentials:
    """The credentials of a data directory, made on its first start."""
    found = directory.read(directory.credentials.name, Credentials)
    if found is None:
        found = _make(world)
        directory.write(directory.credentials.name, msgspec.json.encode(found))
    for name in processes(world):
        key = directory.service(f"{name}.key")
        if not key.exists():
            directory.write(f"services/{key.name}", os.urandom(SEED_BYTES))
    for ledger in world.ledgers:
        directory.write(f"services/gateway-{ledger}.token", found.gateway_at[ledger].encode())
    for name, token in found.peers.items():
        directory.write(f"services/{name}.peer-token", token.encode())
    for name, seed in found.log_seeds.items():
        directory.write(f"services/{name}.seed", seed.encode())
    directory.write(
        directory.members.name,
        msgspec.json.format(msgspec.json.encode(members(world, found)), indent=2),
    )
    return found


def processes(world: World) -> list[str]:
    """The names of the ledgers' processes: one each, or one for each registry of a network."""
    return [name for ledger in world.ledgers for name in nodes(world, ledger).values()] + [
        ledger for ledger, spec in world.ledgers.items() if not spec.registries
    ]


def nodes(world: World, ledger: str) -> dict[str, str]:
    """The process of each registry of a network."""
    return {name: service_name(ledger, name) for name in world.ledgers[ledger].registries}


def _make(world: World) -> Credentials:
    issuers = {
        asset.issuer for ledger in world.ledgers.values() for asset in ledger.assets.values()
    }
    return Credentials(
        members={member.bic: _token() for member in world.members},
        issuers={bic: _token() for bic in sorted(issuers)},
        ledger_operators={ledger: _token() for ledger in world.ledgers},
        gateway_at={ledger: _token() for ledger in world.ledgers},
        gateway_operator=_token(),
        registries={name: _token() for name in _nodes(world)},
        peers={name: _token() for name in _nodes(world)},
        log_seeds={
            name: new_seed(os.urandom(SEED_BYTES))
            for name in (*_nodes(world), *([ADMINISTRATOR] if _nodes(world) else []))
        },
    )


def _nodes(world: World) -> list[str]:
    return [name for ledger in world.ledgers for name in nodes(world, ledger).values()]


def _token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def token_sha256(token: str) -> str:
    """What a service keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def members(world: World, credentials: Credentials) -> Members:
    """What members.json says."""
    operators = {
        name: OperatorAccess(token=token, role=role, ledger=ledger)
        for name, role, ledger, token in _operators(world, credentials)
    }
    issuers = {
        asset.issuer: IssuerAccess(token=credentials.issuers[asset.issuer], ledger=name)
        for name, ledger in world.ledgers.items()
        for asset in ledger.assets.values()
        if ledger.kind == "securities"
    }
    accounts = {
        member.bic: {ledger: tuple(names) for ledger, names in member.accounts.items()}
        for member in world.members
    }
    return Members(
        members={
            bic: Access(token=token, accounts=accounts[bic])
            for bic, token in credentials.members.items()
        },
        operators=operators,
        issuers=issuers,
    )


_Operator = tuple[str, str, str | None, str]
"""Name, role at the gateway, ledger, token."""


def _operators(world: World, credentials: Credentials) -> list[_Operator]:
    found: list[_Operator] = [(GATEWAY_OPERATOR, "gateway", None, credentials.gateway_operator)]
    for name, ledger in world.ledgers.items():
        found.append((f"{name}-operator", "ledger", name, credentials.ledger_operators[name]))
        if ledger.kind == "currency":
            bank = next(iter(ledger.assets.values())).issuer
            found.append((f"{name}-central-bank", "central-bank", name, credentials.issuers[bank]))
    return found


def operator_settings(world: World, credentials: Credentials) -> tuple[OperatorSettings, ...]:
    """The operators as the gateway is configured with them."""
    return tuple(
        msgspec.convert(
            {"name": name, "role": role, "ledger": ledger, "token_sha256": token_sha256(token)},
            OperatorSettings,
        )
        for name, role, ledger, token in _operators(world, credentials)
    )


def ledger_tokens(world: World, credentials: Credentials, ledger: str) -> tuple[TokenSettings, ...]:
    """Who may speak to a ledger, and as what."""
    spec = world.ledgers[ledger]
    issuers = {asset.issuer for asset in spec.assets.values()}
    owners = [
        (member.bic, credentials.members[member.bic])
        for member in world.members
        if ledger in member.accounts
    ]
    operator = (spec.operator, credentials.ledger_operators[ledger])
    return _tokens(world, credentials, ledger, operator, issuers, owners)


def node_tokens(
    world: World, credentials: Credentials, ledger: str, registry: str, names: Names
) -> tuple[TokenSettings, ...]:
    """Who may speak to a registry's node: its own people, owners under their pseudonyms, and the
    other registries, which compare their books with its trees."""
    spec = world.ledgers[ledger]
    issuers = {asset.issuer for asset in spec.assets.values() if asset.registry == registry}
    owners = [(shown, credentials.members[bic]) for shown, bic in names.owners.items()]
    token = credentials.registries[service_name(ledger, registry)]
    operator = (spec.registries[registry].operator, token)
    others = [
        (spec.registries[other].operator, credentials.peers[name])
        for other, name in nodes(world, ledger).items()
        if other != registry
    ]
    return _tokens(world, credentials, ledger, operator, issuers, owners, others)


def _tokens(
    world: World,
    credentials: Credentials,
    ledger: str,
    operator: tuple[str, str],
    issuers: set[str],
    owners: Sequence[tuple[str, str]],
    supervisors: Sequence[tuple[str, str]] = (),
) -> tuple[TokenSettings, ...]:
    found = [
        (operator[0], Role.LEDGER_OPERATOR, operator[1]),
        (world.gateway.bic, Role.OPERATOR, credentials.gateway_at[ledger]),
        (GATEWAY_OPERATOR, Role.SUPERVISOR, credentials.gateway_operator),
        *((name, Role.SUPERVISOR, token) for name, token in supervisors),
        *((bic, Role.ISSUER, credentials.issuers[bic]) for bic in sorted(issuers)),
        *((name, Role.OWNER, token) for name, token in owners),
    ]
    return tuple(
        TokenSettings(name=name, role=role, sha256=token_sha256(token))
        for name, role, token in found
    )
