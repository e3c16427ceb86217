"""What goes into a settlement: requests, decisions, and the facts that ledgers tell.

The journal keeps requests and decisions; a ledger can always be asked for its facts again. These
structs are persisted: only optional fields may be added, at the end, and a tag never changes.
"""

from enum import StrEnum
from typing import Final

from htlc.agreement import Agreement
from htlc.contract import Answer, Refusal
from htlc.leg import LegState
from htlc.swap import Swap
from htlc.units import LegId, MemberId, Value


class Decision(StrEnum):
    """The one irrevocable choice: at most one of the two is ever in a journal."""

    COMMIT = "COMMIT"
    CANCEL = "CANCEL"


COMMIT: Final = Decision.COMMIT
"""For where it is asked for at every turn (the reason is told in `leg`)."""


class Reason(StrEnum):
    """Why a decision was taken."""

    ALL_LOCKED = "ALL_LOCKED"
    EXECUTED_ON_LEDGER = "EXECUTED_ON_LEDGER"  # a key was out already: follow it
    REFUSED = "REFUSED"  # a ledger's lasting refusal of a lock
    LEG_FINISHED = "LEG_FINISHED"  # cancelled, refunded, or never to be locked
    COMMIT_BY_PASSED = "COMMIT_BY_PASSED"
    CANCEL_ACCEPTED = "CANCEL_ACCEPTED"
    RESTORED = "RESTORED"  # what is left to do after a restore (rule 17)
    OPERATORS = "OPERATORS"  # resolved by two operators with evidence


class _Event(Value, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """`omit_defaults`: a journal record holds what was said, and grows only by what is new."""


class Proposed(_Event, frozen=True, kw_only=True, tag="proposed"):
    """A swap is proposed; `consents` are the payers who agreed to it by the same act."""

    swap: Swap
    consents: tuple[MemberId, ...] = ()


class Consented(_Event, frozen=True, kw_only=True, tag="consented"):
    member: MemberId


class Opened(_Event, frozen=True, kw_only=True, tag="opened"):
    """The agreement stands. Durable before the first lock command or hash leaves (rule 1)."""

    agreement: Agreement


class CancelRequested(_Event, frozen=True, kw_only=True, tag="cancel_requested"):
    """A party asks for cancellation, or an authority orders it (insolvency: `ordered`)."""

    by: MemberId
    ordered: bool = False
    why: str = ""


class SecretHanded(_Event, frozen=True, kw_only=True, tag="secret_handed"):
    """The holder gave its secret to the vault. The secret itself is never in the journal."""

    by: MemberId


class Decided(_Event, frozen=True, kw_only=True, tag="decided"):
    """COMMIT or CANCEL, with the leg and the refusal that led to it where there is one."""

    decision: Decision
    reason: Reason
    leg: LegId | None = None
    refusal: Refusal | None = None


class Answered(_Event, frozen=True, kw_only=True, tag="answered"):
    """What a ledger said about leg number `leg`."""

    leg: int
    answer: Answer


class Learned(_Event, frozen=True, kw_only=True, tag="learned"):
    """What is known about leg number `leg`, as folded from its ledger's answers: the short form in
    which facts are journalled."""

    leg: int
    known: LegState


class Restored(_Event, frozen=True, kw_only=True, tag="restored"):
    """The journal was restored from a copy that may lack records; a new epoch begins (rule 17)."""

    epoch: int


Event = (
    Proposed
    | Consented
    | Opened
    | CancelRequested
    | SecretHanded
    | Decided
    | Answered
    | Learned
    | Restored
)
