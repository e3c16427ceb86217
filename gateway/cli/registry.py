"""`lockstep registry`: what people do with a registry whose node does not run, and with a network
that they do not trust (`registry_verify`, `registry_watch`); an internal book held against it
(`registry_reconcile`)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import aiohttp
import asyncpg
import click
import msgspec

from gateway.cli import registry_reconcile, registry_verify, registry_watch
from gateway.cli.printing import print_table
from gateway.cli.terminal import Failure, failing, run_async, say
from gateway.config import database, read, secret
from gateway.icsd_node.archive import RemoteArchive
from gateway.icsd_node.moments import RemotePeer
from gateway.icsd_node.process import identity_of
from gateway.icsd_node.remote import TRIES, Remote
from gateway.icsd_node.settings import NodeProcess
from gateway.icsd_node.snapshot import RemoteChain, RemoteSnapshot
from ledgers.icsd import recover
from ledgers.icsd import repair as repairing
from ledgers.icsd.archive import Source
from ledgers.icsd.client import Lineage
from ledgers.icsd.compare import Compared, Difference, Gone, Peer
from ledgers.icsd.descent import TooDifferent
from ledgers.icsd.entry import Signed
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.rebuild import RebuildStopped
from ledgers.icsd.rebuild import rebuild as rebuild_from
from ledgers.icsd.recovery import Begun, Record, unpack_word
from ledgers.icsd.recovery import propose as record_of
from ledgers.icsd.snapshot import JoinRefused
from ledgers.icsd.snapshot import join as join_by
from ledgers.icsd.start import Altered, Ended, Lost, known_state
from ledgers.icsd.store import Fenced, Store, prepare
from ledgers.icsd.tree import ForgedProof
from ledgers.migrate import MigrationError
from ledgers.parties import Balance
from ledgers.postgres import open_pool

FAULTS: Final = (
    *(asyncpg.PostgresError, OSError, MigrationError, ValueError, msgspec.DecodeError),
    *(Altered, Ended, Fenced, Lost, LogUnreachable, RebuildStopped, recover.RecoveryRefused),
    *(ForgedProof, Gone, JoinRefused, TooDifferent),
)

P = ParamSpec("P")
T = TypeVar("T")


@click.group("registry", no_args_is_help=False)
def command() -> None:
    """Watch and verify a network; mend or rebuild a registry; begin a new log when one is lost.

    `verify` and `watch` are for anybody, and `reconcile` asks a node that runs. For all others stop
    the registry's node first; FILE is the configuration that it is started with. What a node serves
    is described at its /openapi.json (`lockstep openapi --of registry`).
    """


command.add_command(registry_verify.command)
command.add_command(registry_watch.command)
command.add_command(registry_reconcile.command)


def _config(function: Callable[P, T]) -> Callable[P, T]:
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--config", "file", type=path, required=True, metavar="FILE")(function)


def _out(function: Callable[P, T]) -> Callable[P, T]:
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--out", type=path, required=True, metavar="FILE", help="To write.")(
        function
    )


def _source(*, required: bool) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """`--from URL` and `--token-file FILE`: another registry of the network."""

    def options(function: Callable[P, T]) -> Callable[P, T]:
        path = click.Path(path_type=Path, dir_okay=False)
        token = click.option(
            "--token-file", type=path, required=required, help="Bearer token there."
        )
        url = click.option("--from", "url", required=required, help="URL of another registry.")
        return url(token(function))

    return options


@asynccontextmanager
async def _opened(file: Path) -> AsyncIterator[tuple[NodeProcess, Store]]:
    settings = read(file, NodeProcess)
    network = settings.network()
    async with await open_pool(database(settings.dsn)) as pool:
        await prepare(pool, network.network, identity_of(settings).registry, network.epoch)
        yield settings, Store(pool)


@asynccontextmanager
async def _remote(url: str, token_file: Path, tries: int = TRIES) -> AsyncIterator[Remote]:
    async with aiohttp.ClientSession() as session:
        yield Remote(session, url, secret(token_file), tries=tries)


@asynccontextmanager
async def _archive(url: str, token_file: Path) -> AsyncIterator[Source]:
    async with _remote(url, token_file) as remote:
        yield RemoteArchive(remote)


# --- the book ------------------------------------------------------------------------------------


def _own_archive(function: Callable[P, T]) -> Callable[P, T]:
    return click.option(
        "--own-archive", is_flag=True, help="Ask no other registry: read the own archive."
    )(function)


@command.command("check")
@_config
@_source(required=False)
@_own_archive
@run_async
async def check(*, file: Path, url: str | None, token_file: Path | None, own_archive: bool) -> int:
    """Compare every row of the book with what was certified.

    With the trees of another registry, which need not be trusted: the one of --from, else the first
    of the `[[peers]]` in FILE that can be asked; a few questions, however large the book is. Where
    there is none, or with --own-archive, with what the own archive shows, from the first block on.
    """
    with failing(*FAULTS):
        async with _opened(file) as (settings, store):
            network, peers = settings.network(), _peers(settings, url, token_file, own_archive)
            compared = await _first_of(peers, partial(repairing.differences_with, network, store))
            found: Sequence[Difference] = (
                await repairing.differences(network, store)
                if compared is None
                else compared.differences
            )
    _print(found)
    return 1 if found else 0


@command.command("repair")
@_config
@_source(required=False)
@_own_archive
@run_async
async def repair(
    *, file: Path, url: str | None, token_file: Path | None, own_archive: bool
) -> None:
    """Write the rows of the book that were altered as they are certified (see `check`)."""
    with failing(*FAULTS):
        async with _opened(file) as (settings, store):
            network, peers = settings.network(), _peers(settings, url, token_file, own_archive)
            mended = await _first_of(peers, partial(repairing.repair_with, network, store))
            if mended is None:
                _print(await repairing.repair(network, store))
            else:
                _print(mended.differences)


class _Asked(msgspec.Struct, frozen=True):
    """Another registry to compare with."""

    url: str
    token_file: Path
    is_named: bool  # by --from: if it cannot be asked, that is how the command ends


def _peers(
    settings: NodeProcess, url: str | None, token_file: Path | None, own_archive: bool
) -> list[_Asked]:
    if (url is None) != (token_file is None):
        raise click.UsageError("--from and --token-file go together")
    if own_archive and url is not None:
        raise click.UsageError("--own-archive asks nobody; leave out --from")
    if own_archive:
        return []
    if url is not None and token_file is not None:
        return [_Asked(url, token_file, True)]
    return [_Asked(peer.url, peer.token_file, False) for peer in settings.peers]


async def _first_of(
    peers: Sequence[_Asked], compare: Callable[[Peer, Lineage], Awaitable[Compared]]
) -> Compared | None:
    """What the first of them shows that can be asked; None if there is none."""
    for peer in peers:
        try:
            tries = TRIES if peer.is_named else 1  # else the next one is asked
            async with _remote(peer.url, peer.token_file, tries) as remote:
                lineage = await RemoteArchive(remote).lineage()
                compared = await compare(RemotePeer(remote), lineage)
        except (ForgedProof, Gone, LogUnreachable, TooDifferent) as error:
            if peer.is_named:
                raise
            say(f"{peer.url}: {error}")
        else:
            say(
                f"compared at height {compared.height} with {compared.questions} questions "
                f"to {peer.url}"
            )
            return compared
    say("compared with the own archive")
    return None


def _print(found: Sequence[Difference]) -> None:
    if found:
        rows = [
            (each.table, _key(each), each.home, _row(each.found), _row(each.certified))
            for each in found
        ]
        print_table(("table", "key", "registry", "found", "certified"), rows)
    say(f"{len(found)} rows were not as certified" if found else "the book is as certified")


def _row(row: object) -> str | None:
    if isinstance(row, Balance):
        return f"{row.available} available, {row.locked} locked"
    return row.hex() if isinstance(row, bytes) else None if row is None else str(row)


def _key(difference: Difference) -> str:
    key = difference.key
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


@command.command("rebuild")
@_config
@_source(required=True)
@run_async
async def rebuild(*, file: Path, url: str, token_file: Path) -> None:
    """Read everything again from another registry, which need not be trusted.

    For a database that is lost (an empty one), or that lacks what stood in a log that is gone.
    """
    with failing(*FAULTS):
        async with _opened(file) as (settings, store), _archive(url, token_file) as source:
            identity = identity_of(settings)
            height = await rebuild_from(settings.network(), identity, store, source)
    say(f"read up to height {height}; start the node")


@command.command("join")
@_config
@_source(required=True)
@click.option(
    "--confirm",
    "others",
    type=(str, click.Path(path_type=Path, dir_okay=False)),
    multiple=True,
    metavar="URL TOKENFILE",
    help="Another registry, to confirm what no quorum signed: where the ordinary chain stands.",
)
@run_async
async def join(
    *, file: Path, url: str, token_file: Path, others: tuple[tuple[str, Path], ...]
) -> None:
    """Take the book from another registry as it stands, then the blocks since.

    For an empty database. Faster than `rebuild`, which does everything again from the first block.
    The other registry need not be trusted: the members follow from those in FILE, and the rows must
    have the state that a quorum of them signed. What was before is told by the others only. With
    f registries that may lie, f that confirm are enough.
    """
    with failing(*FAULTS):
        async with _opened(file) as (settings, store), _remote(url, token_file) as remote:
            network, identity = settings.network(), identity_of(settings)
            source, peer = RemoteSnapshot(remote), RemotePeer(remote)
            confirming = [RemoteChain(Remote(remote.session, at, secret(t))) for at, t in others]
            opening = await join_by(network, store.pool, source, peer, confirming)
            say(f"took the book at height {opening.place.height} from {opening.registry}")
            height = await rebuild_from(network, identity, store, RemoteArchive(remote))
    say(f"read up to height {height}; start the node")


@command.command("release")
@_config
@click.option("--above", type=click.IntRange(0), required=True, metavar="HEIGHT")
@run_async
async def release(*, file: Path, above: int) -> int:
    """Let a registry with a new database vote above HEIGHT, which people vouch for.

    It returns by itself while enough others are up. Only if they are not: HEIGHT is at least one
    more than the highest certified height (`/v1/registry/head`, and their databases) of all others,
    or 0 if this registry never voted. Too low a height can fork the network.
    """
    with failing(*FAULTS):
        async with _opened(file) as (_, store):
            released = await store.release(above)
    say(f"votes above height {above}" if released else "it knows by itself what it may sign")
    return 0 if released else 1


# --- a new log -----------------------------------------------------------------------------------


@command.command("stop")
@_config
@_out
@run_async
async def stop(*, file: Path, out: Path) -> None:
    """Sign that this registry votes in the epoch of the lost log no more. There is no way back."""
    with failing(*FAULTS):
        async with _opened(file) as (settings, store):
            _write(out, await recover.stop(settings.network(), identity_of(settings), store))
    say(f"wrote {out}: hand it to whoever proposes the next epoch")


@command.command("propose")
@_config
@_out
@click.argument("stops", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@run_async
async def propose(*, file: Path, out: Path, stops: tuple[Path, ...]) -> None:
    """Make the record of the next epoch from the STOPS of the registries."""
    with failing(*FAULTS):
        async with _opened(file) as (settings, store):
            view = (await known_state(settings.network(), store, await store.head())).view
            words = [_word(path) for path in stops]
            record = record_of(view.network, view.epoch, view.following, words)
    _write(out, msgspec.msgpack.encode(record))
    say(f"wrote {out}: epoch {record.number} begins at height {record.start}")


@command.command("consent")
@_config
@_out
@click.argument("record", type=click.Path(path_type=Path, exists=True))
@run_async
async def consent(*, file: Path, out: Path, record: Path) -> None:
    """Check the RECORD of the next epoch and sign consent to it; to one only."""
    with failing(*FAULTS):
        async with _opened(file) as (settings, store):
            network, identity = settings.network(), identity_of(settings)
            _write(out, await recover.consent(network, identity, store, _record(record)))
    say(f"wrote {out}: hand it to all registries")


@command.command("begin")
@_config
@_source(required=False)
@click.argument("record", type=click.Path(path_type=Path, exists=True))
@click.argument("ballots", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@run_async
async def begin(
    *, file: Path, url: str | None, token_file: Path | None, record: Path, ballots: tuple[Path, ...]
) -> None:
    """Enter the epoch of the RECORD, which a quorum of BALLOTS begins; the log is then the new one.

    Name another registry by --from if this one lacks blocks below the start.
    """
    wanted = _record(record)
    begun = Begun(record=wanted, ballots=tuple(_word(path) for path in ballots))
    with failing(*FAULTS):
        async with _opened(file) as (settings, store):
            network, identity = settings.network(), identity_of(settings)
            if url is None or token_file is None:
                await recover.begin(network, identity, store, begun)
            else:
                async with _archive(url, token_file) as source:
                    await recover.begin(network, identity, store, begun, source)
    say(f"epoch {wanted.number} begins at height {wanted.start}: set log.epoch and start the node")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _record(path: Path) -> Record:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Record)
    except msgspec.DecodeError as error:
        raise Failure(f"{path}: no record of an epoch ({error})") from None


def _word(path: Path) -> Signed:
    try:
        return unpack_word(path.read_bytes())[0]
    except msgspec.DecodeError as error:
        raise Failure(f"{path}: no stop and no ballot ({error})") from None
