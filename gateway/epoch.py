"""Epochs of the journal: a restore that may lack records begins a new one, and what was started
before it may write nothing more.

A replica reads the epoch when it starts. Every append asks in its own transaction whether that
epoch still lasts, and so does every heartbeat: one that finds another stops itself.
"""

from typing import Final

import msgspec


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """`number` stands in every journal row. `mark` is made anew with every restore: two restores
    of one backup begin epochs of one number."""

    number: int
    mark: str


class JournalError(Exception):
    """A replica must not go on with this journal; the text is a line for a person."""


class SupersededError(JournalError):
    """It is of an epoch that is over."""


class LackingError(JournalError):
    """The journal lacks records: a ledger knows more of ours."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the journal lacks records, so nothing is decided on it. Was its database put "
            "back from a copy? Stop every gateway process and run `lockstep restore "
            "--may-lack-records`"
        )


FOR_ROW: Final = (
    "the database no longer knows this replica: it was restored from a copy that is older. "
    "If records may be missing, run `lockstep restore --may-lack-records`; then start it again"
)


def superseded(mine: Epoch, current: Epoch) -> SupersededError:
    """Why a replica of `mine` stops."""
    return SupersededError(
        f"epoch {mine.number} of the journal is over: it was restored, and epoch {current.number} "
        "has begun. This replica is of the one before, so it shows no key and stops; start it again"
    )
