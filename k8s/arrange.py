"""What the overlays `laptop` and `testbed` are made with: a world's configuration and secrets.

    python -m k8s.arrange OVERLAY             writes OVERLAY's `made` folders; once, later calls
                                              keep every secret
    python -m k8s.arrange OVERLAY --seed registry=URL euro=URL
                                              brings the running ledgers to the world's beginning

The files are those that `lockstep up` would write, with the places of a pod. `made/members.json` is
what `lockstep send --members` takes. Nothing of it belongs into a repository.
"""

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import tomli_w

from gateway.machine import arrangement, credentials, seed, world
from gateway.machine.credentials import Credentials
from gateway.machine.data_directory import DataDirectory
from gateway.machine.world import World
from gateway.vault import load_master

OVERLAYS: Final = Path(__file__).with_name("overlays")

WORLD: Final = "dvp"
"""The overlays have the two ledgers of this world."""

SECRETS: Final = Path("/run/secrets/lockstep")
DSN: Final = "file:/run/secrets/database/uri"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104
"""A pod's only addresses are its own; who may reach them is the NetworkPolicy's to say."""


def arrange(overlay: Path) -> Path:
    """Write an overlay's configuration and secrets; the folder with the credentials."""
    made = overlay / "made"
    directory = DataDirectory(made)
    directory.hold()
    try:
        found = world.load(world.find(WORLD))
        secrets = credentials.ensure(directory, found)
        load_master(directory.master, create=True)
        for name in found.ledgers:
            _ledger(overlay / name / "made", found, directory, secrets, name)
        _gateway(overlay / "gateway" / "made", found, directory, secrets)
    finally:
        directory.release()
    return made


def _ledger(
    into: Path, found: World, directory: DataDirectory, secrets: Credentials, name: str
) -> None:
    settings = arrangement.ledger_process(found, directory, secrets, name, DSN)
    settings = msgspec.structs.replace(
        settings,
        key_file=SECRETS / "key",
        listen=f"{EVERYWHERE}:8081",
        metrics_listen=f"{EVERYWHERE}:9091",
    )
    _write(into, "ledger.toml", _toml(settings))
    _write(into, "key", directory.service(f"{name}.key").read_bytes())


def _gateway(into: Path, found: World, directory: DataDirectory, secrets: Credentials) -> None:
    settings = arrangement.gateway_process(
        found,
        directory,
        secrets,
        {name: f"http://ledger.lockstep-{name}.svc" for name in found.ledgers},
        replica="gateway",
        dsn=DSN,
        business_date=None,
    )
    settings = msgspec.structs.replace(
        settings,
        master_file=SECRETS / "master",
        listen=f"{EVERYWHERE}:8080",
        metrics_listen=f"{EVERYWHERE}:9090",
        ledgers={
            name: msgspec.structs.replace(access, token_file=SECRETS / f"{name}.token")
            for name, access in settings.ledgers.items()
        },
    )
    _write(into, "gateway.toml", _toml(settings))
    _write(into, "master", directory.master.read_bytes())
    for name in found.ledgers:
        _write(into, f"{name}.token", secrets.gateway_at[name].encode())


def _toml(settings: msgspec.Struct) -> bytes:
    return tomli_w.dumps(arrangement.plain(settings)).encode()


def _write(into: Path, name: str, content: bytes) -> None:
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = into / name
    path.touch(mode=0o600)
    path.write_bytes(content)


def begin(made: Path, ledgers: dict[str, str]) -> None:
    """Instruments, accounts, mandates, opening balances; a second time does nothing."""
    secrets = DataDirectory(made).read("credentials.json", Credentials)
    if secrets is None:
        raise SystemExit(f"{made} has no credentials: leave out --seed first")
    places = seed.places(ledgers, secrets.ledger_operators)
    asyncio.run(seed.seed(world.load(world.find(WORLD)), secrets, places))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m k8s.arrange")
    parser.add_argument("overlay", choices=["laptop", "testbed"])
    parser.add_argument("--seed", nargs="+", metavar="LEDGER=URL")
    options = parser.parse_args(arguments)
    overlay = OVERLAYS / options.overlay
    if options.seed:
        begin(overlay / "made", dict(pair.split("=", 1) for pair in options.seed))
    else:
        arrange(overlay)


if __name__ == "__main__":
    main()
