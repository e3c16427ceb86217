"""Which user the server runs as, and whether that user can reach the state directory.

PostgreSQL refuses to run as root. Nothing here creates users, calls sudo or changes a directory
that is not ours: where that would be needed, the start is refused with a sentence that says so.
The standard library only: the guard runs this, in a process of its own with a single thread,
because a change of the effective user concerns the whole process.
"""

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The account that owns nothing and that every Unix has; containers without a user table lack it.
LAST_RESORT = "nobody"

USE_DSN = "or give the DSN of a PostgreSQL server of your own"


class StartRefusedError(Exception):
    """The server cannot be started; the text says why and what to do next."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The user and group the server runs as; `switched` if that is not who we are."""

    uid: int
    gid: int
    switched: bool


def choose(directory: Path, environment: Mapping[str, str]) -> Identity:
    """The server's user: ourselves, or for root the owner of the data, the sudo user, `nobody`.

    A state directory of another user's makes root *become* that user first, for good: whoever
    owns a directory can exchange the files in it for links to elsewhere.
    """
    if os.geteuid() == 0 and directory.exists():
        _become_owner(directory)
    if os.geteuid() != 0:
        _check_named(os.geteuid(), directory)
        return Identity(uid=os.geteuid(), gid=os.getegid(), switched=False)
    identity = _owner_of_data(directory) or _sudo_user(environment) or _last_resort()
    with acting_as(identity):
        return identity


def _become_owner(directory: Path) -> None:
    owner = directory.stat()
    if owner.st_uid == 0:
        return
    try:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
    except OSError as error:
        raise _cannot_switch(owner.st_uid, error) from None


def _check_named(uid: int, directory: Path) -> None:
    """initdb, unlike the server itself, needs an entry in the user table."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        if not (directory / "data").exists():
            raise StartRefusedError(
                f"User id {uid} has no entry in the user table, which initdb needs. "
                f"Run as a user with one, {USE_DSN}."
            ) from None


def _owner_of_data(directory: Path) -> Identity | None:
    try:
        owner = (directory / "data").stat()
    except FileNotFoundError:
        return None
    if owner.st_uid == 0:
        raise StartRefusedError(
            f"{directory}/data belongs to root, and PostgreSQL does not run as root. "
            f"Give it back to the user it was made by (chown -R)."
        )
    return Identity(uid=owner.st_uid, gid=owner.st_gid, switched=True)


def _sudo_user(environment: Mapping[str, str]) -> Identity | None:
    uid = environment.get("SUDO_UID", "0")
    if not uid.isdecimal() or int(uid) == 0:
        return None
    try:
        entry = pwd.getpwuid(int(uid))
    except KeyError:
        return None
    return Identity(uid=entry.pw_uid, gid=entry.pw_gid, switched=True)


def _last_resort() -> Identity:
    try:
        entry = pwd.getpwnam(LAST_RESORT)
    except KeyError:
        raise StartRefusedError(
            f"PostgreSQL does not run as root, and there is no user {LAST_RESORT!r} to run it as. "
            f"Run as an ordinary user, {USE_DSN}."
        ) from None
    return Identity(uid=entry.pw_uid, gid=entry.pw_gid, switched=True)


@contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Be the server's user for the block, to see what it sees; root comes back afterwards.

    Raises StartRefusedError for a root that may not change its user (a container with dropped
    capabilities, `unshare -r`).
    """
    if not identity.switched:
        yield
        return
    before = (os.getegid(), os.getgroups())
    try:
        os.setgroups([])
        os.setegid(identity.gid)
        os.seteuid(identity.uid)
    except OSError as error:
        raise _cannot_switch(identity.uid, error) from None
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before[0])
        os.setgroups(before[1])


def _cannot_switch(uid: int, error: OSError) -> StartRefusedError:
    return StartRefusedError(
        f"This root may not run a program as user {uid} ({error.strerror}), and PostgreSQL does "
        f"not run as root. Run as an ordinary user, {USE_DSN}."
    )


def blocking_parent(directory: Path) -> Path | None:
    """The first of `directory` and its parents that the *effective* user cannot enter."""
    for place in (*reversed(directory.parents), directory):
        if place.exists() and not os.access(place, os.X_OK, effective_ids=True):
            return place
    return None
