"""What a settlement owes at an instant: the only things that `decide` can ask the shell to do.

Commands are level-triggered: the same ones come again until their effect has been folded, and each
can be carried out any number of times.
"""

from htlc.agreement import Role
from htlc.events import Decided
from htlc.units import Value


class Open(Value, frozen=True, kw_only=True):
    """Draw up the agreement (the vault makes the locks) and append `Opened` to the journal."""


class Record(Value, frozen=True, kw_only=True):
    """Append this to the journal, at the last folded sequence + 1. Nothing that depends on it may
    be sent before it is durable."""

    event: Decided


class Lock(Value, frozen=True, kw_only=True):
    """Ask the ledger of leg number `leg` for the agreed lock."""

    leg: int


class Unlock(Value, frozen=True, kw_only=True):
    """Open a lock with the execution key (towards the payee) or the cancellation key (back to the
    payer). `key` is the preimage where a ledger has shown it; otherwise the vault has it."""

    leg: int
    role: Role
    key: bytes | None = None


class Refund(Value, frozen=True, kw_only=True):
    """Ask for an expired lock to go back to its payer."""

    leg: int


class Look(Value, frozen=True, kw_only=True):
    """Ask what the contract of leg number `leg` is, and what time its ledger has."""

    leg: int


ToLedger = Lock | Unlock | Refund | Look
"""What is carried out on the ledger of its leg."""

Command = Open | Record | ToLedger
