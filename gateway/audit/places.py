"""Where the databases of an audit are, and by which keys the blocks of each ledger are judged."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import config
from gateway.audit.databases import AuditError
from gateway.config import LedgerSettings, Settings
from gateway.embedded import Cluster, EmbeddedError
from gateway.icsd_node.settings import NodeProcess
from gateway.machine.data_directory import DataDirectory, DataDirectoryError
from gateway.machine.network import service_name
from gateway.machine.up import DATABASE, GATEWAY
from gateway.process.ledger import LedgerProcess

KEY_BYTES: Final = 32
"""An Ed25519 public key (RFC 8032)."""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The DSN of each database, and the pinned public keys. A ledger without one is judged by the
    key that it told the gateway, which is said."""

    gateway: str | None
    ledgers: Mapping[str, str]
    keys: Mapping[str, bytes] = {}


@asynccontextmanager
async def of_data_directory(path: Path) -> AsyncIterator[Places]:
    """The databases of a `lockstep up`, running or not: those of one that does not run are started
    for the audit. Keys are taken from the ledgers' own key files. Raises AuditError and
    DataDirectoryError."""
    directory = DataDirectory(path)
    if not directory.service("gateway.toml").exists():
        raise AuditError(f"{path} is no data directory of a `lockstep up` that has been ready once")
    settings = config.read(directory.service("gateway.toml"), Settings)
    hosts = {name: _host(name, access) for name, access in settings.ledgers.items()}
    processes = {
        name: config.read(directory.service(f"{host}.toml"), _kind(settings.ledgers[name]))
        for name, host in hosts.items()
    }
    dsns = {hosts[name]: process.dsn for name, process in processes.items()}
    dsns[GATEWAY] = settings.dsn
    keys = {name: _public_key(process) for name, process in processes.items()}
    async with AsyncExitStack() as stack:
        if not _is_up(directory):
            stack.callback(directory.release)
            dsns |= await _started(directory, dsns, stack)
        ledgers = {name: dsns[host] for name, host in hosts.items()}
        yield Places(gateway=dsns[GATEWAY], ledgers=ledgers, keys=keys)


def _host(ledger: str, access: LedgerSettings) -> str:
    """The process whose database is audited. Of a network that of its first registry: each keeps
    the whole book, and that they agree they sign at every block."""
    first = next(iter(access.registries), None)
    return ledger if first is None else service_name(ledger, first)


def _kind(access: LedgerSettings) -> type[LedgerProcess]:
    return NodeProcess if access.registries else LedgerProcess


def _is_up(directory: DataDirectory) -> bool:
    """Whether a `lockstep up` holds the directory; if not, we do now."""
    try:
        directory.hold()
    except DataDirectoryError:
        running = directory.running()
        if running is None or running.ready is None:
            raise
        return True
    return False


def _public_key(process: LedgerProcess) -> bytes:
    return process.seal().public_key


async def _started(
    directory: DataDirectory, dsns: Mapping[str, str], stack: AsyncExitStack
) -> dict[str, str]:
    """The embedded databases among them, started until the stack unwinds."""
    found = {}
    for name in dsns:
        if not directory.cluster(name).is_dir():
            continue  # a database of one's own: it runs, or is found not to
        try:
            cluster = await stack.enter_async_context(Cluster(directory.cluster(name)))
        except EmbeddedError as error:
            raise AuditError(str(error)) from None
        found[name] = cluster.dsn(DATABASE)
    return found


def key(text: str) -> bytes:
    """A public key, or the file of a ledger's secret one. Raises AuditError."""
    try:
        found = bytes.fromhex(text)
        if len(found) == KEY_BYTES:
            return found
    except ValueError:
        pass
    try:
        secret = Path(text).read_bytes()
        return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    except (OSError, ValueError):
        raise AuditError(f"{text}: expected {KEY_BYTES} bytes in hex, or a key file") from None
