"""How one server of the registries' log is set up: our settings, and the file that it reads.

A registry may publish its own bundles and votes and the shared cuts, and read; nothing else. Only
the administrator makes streams; its seed is needed once and belongs offline.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import nkeys

from ledgers.icsd.entry import CUT_SUBJECT, MESSAGE_MAX, bundle_subject, vote_subject
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.link import Access

PAYLOAD_MAX: Final = 4 * MESSAGE_MAX
"""A message with its headers, and room for the engine's own requests."""

MEMORY_BYTES_MAX: Final = 256 << 20
"""The log is on disk; this is for the engine's own bookkeeping."""

SEED_BYTES: Final = 32


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate for the server's address, good for both directions, its key, and who issues
    those of the others. Clients and servers without one of theirs are refused."""

    certificate: Path
    key: Path
    authority: Path


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The servers that keep one log together."""

    name: str
    listen: str  # HOST:PORT for the other servers
    routes: tuple[str, ...]  # HOST:PORT of the others


class LogServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server of the log."""

    name: str
    store: Path
    listen: str  # HOST:PORT for registries
    monitor: str  # HOST:PORT; its pages tell the server's state to whoever can reach them
    administrator: str  # public nkey ("U…")
    registries: dict[str, str]  # public nkey of each registry
    readers: dict[str, str] = {}  # of supervisors, who read and publish nothing
    store_bytes_max: int = 20 << 30
    tls: Tls | None = None
    cluster: ClusterSettings | None = None


def new_seed(entropy: bytes) -> str:
    """The nkey seed of a user, from 32 random bytes."""
    assert len(entropy) == SEED_BYTES
    return bytes(nkeys.encode_seed(entropy, nkeys.PREFIX_BYTE_USER)).decode()


def public_key(seed: str) -> str:
    """What the servers know of a seed."""
    return bytes(nkeys.from_seed(bytearray(seed.encode())).public_key).decode()


def render(settings: LogServerSettings) -> str:
    """The server's configuration file. JSON is a form that it reads."""
    file: dict[str, Any] = {
        "server_name": settings.name,
        "listen": settings.listen,
        "http": settings.monitor,
        "max_payload": PAYLOAD_MAX,
        "jetstream": {
            "store_dir": str(settings.store),
            # Else an acknowledged message may be gone after a power failure, or be another one.
            "sync_interval": "always",
            "max_file_store": settings.store_bytes_max,
            "max_memory_store": MEMORY_BYTES_MAX,
        },
        "accounts": {"ICSD": {"jetstream": "enabled", "users": _users(settings)}},
    }
    if settings.tls is not None:
        file["tls"] = _tls(settings.tls)
    if settings.cluster is not None:
        file["cluster"] = _cluster(settings.cluster, settings.tls)
    return msgspec.json.format(msgspec.json.encode(file), indent=2).decode() + "\n"


def _users(settings: LogServerSettings) -> list[Mapping[str, object]]:
    users: list[Mapping[str, object]] = [{"nkey": settings.administrator}]
    for name, key in settings.registries.items():
        registry = RegistryId(name)
        own = (bundle_subject(registry), CUT_SUBJECT, vote_subject(registry))
        users.append({"nkey": key, "permissions": _permissions(name, own)})
    for name, key in settings.readers.items():
        users.append({"nkey": key, "permissions": _permissions(name, ())})
    return users


def _permissions(name: str, publish: tuple[str, ...]) -> dict[str, object]:
    inbox = Access(name=name).inbox
    reading = ("$JS.API.DIRECT.GET.*", "$JS.API.STREAM.INFO.*")
    return {
        "publish": {"allow": [*publish, *reading]},
        "subscribe": {"allow": [f"{inbox}.>", "tail.>", "vote.>"]},
    }


def _tls(tls: Tls) -> dict[str, object]:
    return {
        "cert_file": str(tls.certificate),
        "key_file": str(tls.key),
        "ca_file": str(tls.authority),
        "verify": True,
        "timeout": 5,  # seconds; the server's own 2 is short on a machine with one core
    }


def _cluster(cluster: ClusterSettings, tls: Tls | None) -> dict[str, object]:
    scheme = "nats" if tls is None else "tls"
    found: dict[str, object] = {
        "name": cluster.name,
        "listen": cluster.listen,
        "routes": [f"{scheme}://{route}" for route in cluster.routes],
        # Clients use the addresses that they were configured with, whatever the servers think
        # theirs are.
        "no_advertise": True,
    }
    if tls is not None:
        found["tls"] = _tls(tls)
    return found
