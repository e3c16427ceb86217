"""What happens in a simulated world, in order: the trace that people read, faults wait for, and two
runs of one seed are compared by."""

import hashlib
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from htlc.units import LegId, SettlementId


class What(StrEnum):
    """The kinds of entries."""

    # messages between a gateway and a ledger; `detail` is the command, or what the answer told
    SENT = "sent"
    LOST = "lost"
    DOUBLED = "doubled"
    ARRIVED = "arrived"
    ANSWERED = "answered"

    # effects on a ledger (`node`), after its own rules
    LOCKED = "locked"
    EXECUTED = "executed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    REFUSED = "refused"
    UNDONE = "undone"

    # the gateway
    PROPOSED = "proposed"
    OPENED = "opened"
    CANCEL_ASKED = "cancel asked"
    DECIDED = "decided"  # `detail`: COMMIT or CANCEL, and why; durable from here on
    LEARNED = "learned"  # a fact was journalled
    KEY_SHOWN = "key shown"
    SECRET_HANDED = "secret handed"  # noqa: S105 - a name of what happened
    PHASE = "phase"  # a settlement reached it, durably
    NOTICE = "notice"  # a final notice lies in a mailbox (`node`: whose)

    # what is done to the world
    FAULT = "fault"
    STARTED = "started"  # a node is back
    VIOLATION = "violation"


class Happened(msgspec.Struct, frozen=True):
    """One entry. `at` is virtual time since the start of the run; `node` a gateway, a ledger, a
    party; `leg` and `settlement` where it is about one."""

    at: int
    node: str
    what: What
    settlement: SettlementId | None = None
    leg: LegId | None = None
    detail: str = ""


def fingerprint(trace: Iterable[Happened]) -> str:
    """SHA-256 over the whole trace: equal for two runs of one seed, whatever process runs them."""
    digest = hashlib.sha256()
    encoder = msgspec.json.Encoder()
    for entry in trace:
        digest.update(encoder.encode(entry))
    return digest.hexdigest()
