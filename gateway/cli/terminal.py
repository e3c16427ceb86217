"""What the commands share: how they fail, and find the running gateway."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import msgspec

from gateway import access
from gateway.config import ConfigurationError
from gateway.machine.data_directory import DataDirectory, DataDirectoryError, default_directory

P = ParamSpec("P")
T = TypeVar("T")


class Failure(click.ClickException):
    """A failed outcome, in one line."""

    exit_code = 1


@contextmanager
def failing(*kinds: type[Exception]) -> Iterator[None]:
    """Exceptions whose text is a line for a person become that line and exit code 1."""
    expected: tuple[type[Exception], ...] = (ConfigurationError, DataDirectoryError, *kinds)
    try:
        yield
    except expected as error:
        raise Failure(_line(error)) from error


def _line(error: Exception) -> str:
    """The driver says `[Errno 111]`, and nothing at all of a time-out."""
    if isinstance(error, ConnectionError | TimeoutError):
        said = str(error) or type(error).__name__
        return f"nothing answers where --dsn or the configuration points: {said}"
    return str(error)


def say(text: str) -> None:
    """A line about what is going on, on standard error."""
    click.echo(text, err=True)


def data_option(command: Callable[P, T]) -> Callable[P, T]:
    """`--data DIR`."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=lambda: default_directory(os.environ),
        help="Data directory. [default: $LOCKSTEP_DATA, or the user's data folder]",
    )(command)


config_option = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The process's configuration.",
)

files_argument = click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)


def content(file: Path) -> bytes:
    """The bytes of a file that was named on the command line."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None


def process_options(command: Callable[P, T]) -> Callable[P, T]:
    """`--fd`, `--metrics-fd`, `--lifeline`: what whoever starts a process hands over to it."""
    for option in (
        click.option("--lifeline", is_flag=True, help="Stop when standard input ends."),
        click.option(
            "--metrics-fd", type=int, metavar="M", help="Inherited socket of the metrics."
        ),
        click.option("--fd", type=int, metavar="N", help="Inherited socket of the service."),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway, and who one is there, with the token."""

    name: str  # BIC of a member or operator
    url: str
    token: str


def connection_options(command: Callable[..., T]) -> Callable[..., T]:
    """`--as`, `--gateway`, `--members`, `--data`: handed over as one Connection."""

    @click.option("--as", "name", required=True, metavar="BIC", help="Member or operator to be.")
    @click.option("--gateway", "url", metavar="URL", help="[default: of the running `lockstep up`]")
    @click.option(
        "--members",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with tokens. [default: of the running `lockstep up`]",
    )
    @data_option
    @wraps(command)
    def connected(
        *,
        name: str,
        url: str | None,
        members: Path | None,
        data: Path,
        registry: str | None = None,
        **rest: Any,
    ) -> T:
        with failing():
            directory = DataDirectory(data)
            if registry is not None:
                url = _node(registry, url, directory)
            connection = connect(name, url, members, directory)
        return command(connection=connection, **rest)

    return connected


def mailbox_options(command: Callable[..., T]) -> Callable[..., T]:
    """The same for what a registry's node takes as well: with `--registry` it is asked instead."""
    return click.option(
        "--registry",
        metavar="NAME",
        help="The node of this registry, not the gateway. [of the running `lockstep up`]",
    )(connection_options(command))


def _node(registry: str, url: str | None, directory: DataDirectory) -> str:
    """Where the node of a registry is."""
    if url is not None:
        raise click.UsageError("--registry and --gateway both say where to; give one of them")
    running = directory.running()
    networks = running.ready.registries if running and running.ready else {}
    nodes = {name: url for network in networks.values() for name, url in network.items()}
    if registry not in nodes:
        known = f"it has {', '.join(nodes)}" if nodes else "start it with --registries"
        raise Failure(f"no registry {registry} in the `lockstep up` of {directory.path}; {known}")
    return nodes[registry]


def connect(
    name: str, url: str | None, members: Path | None, directory: DataDirectory
) -> Connection:
    """Find the gateway and the token of a member or operator."""
    running = directory.running() if url is None or members is None else None
    ready = running.ready if running else None
    if ready is None and (url is None or members is None):
        raise Failure(
            f"no `lockstep up` is ready in {directory.path}; "
            "start it, or give --data, or --gateway and --members"
        )
    file = members or Path(ready.members if ready else "")
    token = access.read(file).token(name)
    if token is None:
        raise Failure(f"{file} has no token for {name}; it is not a member or operator there")
    return Connection(name=name, url=url or (ready.gateway if ready else ""), token=token)


def run_async(command: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """A command that waits for things."""

    @wraps(command)
    def runs(*args: P.args, **kwargs: P.kwargs) -> T:
        return asyncio.run(command(*args, **kwargs))

    return runs
