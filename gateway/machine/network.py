"""What the registries of a network keep to themselves, and what they show instead.

On the network every account and every owner has a pseudonym that its home registry has made: the
registry's name and a salted hash. The salt stays at the registry, so that nobody else finds out by
trying names. Whoever deals with an account is told its pseudonym by its registry, as one is told an
account number today.
"""

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.config import ConfigurationError
from gateway.machine.data_directory import DataDirectory
from gateway.machine.world import LedgerSpec, MemberSpec, World
from htlc.units import AccountId
from ledgers.icsd.nodes import home

SALT_BYTES: Final = 32

NAME_MAX: Final = 35
"""SfkpgAcct of ISO 20022 is a `Max35Text`. After a name of two letters 32 hex digits are left: 128
bits, so that no two names ever meet."""


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """A registry's own book of names: what only it reads."""

    salt: str
    accounts: dict[str, str] = {}  # pseudonym -> the name that its owner knows
    owners: dict[str, str] = {}  # pseudonym -> BIC


def pseudonym(registry: str, salt: str, kind: str, name: str) -> str:
    """What stands on the network for an account or an owner (`kind`) of a registry."""
    hashed = hashlib.sha256(f"{salt}\0{kind}\0{name}".encode()).hexdigest()
    return f"{registry}-{hashed}"[:NAME_MAX]


def owner_of(names: Names, registry: str, bic: str) -> str:
    return pseudonym(registry, names.salt, "owner", bic)


def service_name(ledger: str, registry: str) -> str:
    """Of a registry's process, database and files."""
    return f"{ledger}-{registry.lower()}"


def names_file(ledger: str, registry: str) -> str:
    return f"{service_name(ledger, registry)}.names.json"


def ensure_names(directory: DataDirectory, world: World) -> dict[tuple[str, str], Names]:
    """The book of names of each registry, by ledger and registry; made on the first start."""
    found = {}
    for ledger, spec in world.ledgers.items():
        for registry in spec.registries:
            file = f"services/{names_file(ledger, registry)}"
            names = directory.read(file, Names)
            if names is None:
                names = _named(ledger, registry, world, secrets.token_hex(SALT_BYTES))
                directory.write(file, msgspec.json.encode(names))
            found[ledger, registry] = names
    return found


def _named(ledger: str, registry: str, world: World, salt: str) -> Names:
    spec = world.ledgers[ledger]
    accounts, owners = {}, {}
    for member in world.members:
        for account in member.accounts.get(ledger, {}):
            if home(AccountId(account), spec.registries) == registry:
                accounts[pseudonym(registry, salt, "account", account)] = account
                owners[pseudonym(registry, salt, "owner", member.bic)] = member.bic
    return Names(salt=salt, accounts=accounts, owners=owners)


def disguised(world: World, names: Mapping[tuple[str, str], Names]) -> World:
    """The world as the network sees it: pseudonyms in place of the accounts' names."""
    by_name = {
        (ledger, name): shown
        for (ledger, _), book in names.items()
        for shown, name in book.accounts.items()
    }
    members = tuple(_disguised(member, by_name) for member in world.members)
    return msgspec.structs.replace(world, members=members)


def _disguised(member: MemberSpec, by_name: Mapping[tuple[str, str], str]) -> MemberSpec:
    accounts = {
        ledger: {by_name.get((ledger, name), name): assets for name, assets in held.items()}
        for ledger, held in member.accounts.items()
    }
    return msgspec.structs.replace(member, accounts=accounts)


def narrowed(world: World, count: int) -> World:
    """The world with the first `count` registries of its network only, and with what belongs to
    them. Raises ConfigurationError."""
    networks = [name for name, spec in world.ledgers.items() if spec.registries]
    if not networks:
        raise ConfigurationError("--registries: this world has no network of registries")
    for ledger in networks:
        most = len(world.ledgers[ledger].registries)
        if not 1 <= count <= most:
            raise ConfigurationError(f"--registries {count}: this world has 1 to {most}")
        world = _narrowed(world, ledger, tuple(world.ledgers[ledger].registries)[:count])
    return world


def _narrowed(world: World, ledger: str, kept: tuple[str, ...]) -> World:
    spec = world.ledgers[ledger]
    assets = {code: asset for code, asset in spec.assets.items() if asset.registry in kept}
    registries = {name: spec.registries[name] for name in kept}
    narrower = msgspec.structs.replace(spec, registries=registries, assets=assets)
    members = [_member_at(member, ledger, narrower) for member in world.members]
    return msgspec.structs.replace(
        world,
        ledgers=world.ledgers | {ledger: narrower},
        members=tuple(member for member in members if member is not None),
    )


def _member_at(member: MemberSpec, ledger: str, spec: LedgerSpec) -> MemberSpec | None:
    """The member with what it has at the registries that are left; None if it was elsewhere."""
    held = member.accounts.get(ledger, {})
    kept = {
        account: {code: amount for code, amount in assets.items() if code in spec.assets}
        for account, assets in held.items()
        if home(AccountId(account), spec.registries) is not None
    }
    if held and not kept:
        return None
    return msgspec.structs.replace(member, accounts=member.accounts | {ledger: kept})
