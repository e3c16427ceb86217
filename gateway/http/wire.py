"""What travels over the gateway's HTTP interface as JSON.

Requests refuse members that they do not know: a misspelt option would otherwise be ignored in
silence. Patterns stand in the published schema only; `proposals` asks them, all at once, so that a
caller hears every fault of a proposal and not the first.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.http import notation
from htlc.agreement import PrincipalRisk
from htlc.contract import Refusal
from htlc.events import Decision, Reason
from htlc.hashlock import Algorithm, Encoding, HashFunction
from htlc.leg import LegStatus
from htlc.swap import LockProtocol, Party
from htlc.units import Value
from ledgers.port import AssetDescription, LockKind

SETTLEMENT_NOTICE: Final = "lockstep.settlement.1"
RECONCILIATION_NOTICE: Final = "lockstep.reconciliation.1"
OWN_NOTICES: Final = (SETTLEMENT_NOTICE, RECONCILIATION_NOTICE)
"""Definitions of mailbox entries that are JSON of our own and no ISO 20022 messages."""

LEGS_MAX: Final = 64
"""Of one proposal, before anything is looked at; configuration allows fewer (16 by default)."""


def _text(form: notation.Form, example: str, description: str = "") -> Meta:
    return Meta(
        description=f"{description}{': ' if description else ''}{form.rule}",
        examples=[example],
        extra_json_schema={"pattern": form.pattern},
    )


Uuid = Annotated[str, _text(notation.UUID, "0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6071")]
Bic = Annotated[str, _text(notation.BIC, "SELADEF0XXX")]
Account = Annotated[str, _text(notation.ACCOUNT, "SELADEF0-SAFE-1")]
Decimal = Annotated[
    str, _text(notation.QUANTITY, "998750.00", "In the asset's public unit, with its decimals")
]
Instant = Annotated[
    str,
    Meta(
        description=notation.INSTANT.rule,
        examples=["2026-10-06T09:00:00Z"],
        extra_json_schema={"pattern": notation.INSTANT.pattern, "format": "date-time"},
    ),
]
Hash = Annotated[
    str, _text(notation.DIGEST, "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd")
]
Preimage = Annotated[str, _text(notation.PREIMAGE, "01" * 32)]
Cursor = Annotated[str, _text(notation.CURSOR, notation.cursor(42), "Opaque")]
Evidence = Annotated[
    str, _text(notation.REASON, "log of 2026-10-06, line 411; both parties' word, ref. 2026/77")
]
Why = Annotated[str, _text(notation.REASON, "agreed with the counterparty")]


class _Request(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`omit_defaults`: what is not said need not be sent."""


class PartyProposal(_Request, frozen=True, kw_only=True):
    """A member, and its account on the ledger of the leg."""

    member: Bic
    account: Account


class LegProposal(_Request, frozen=True, kw_only=True):
    """One transfer of a proposal."""

    leg: Annotated[
        str,
        Meta(
            description="Name of the leg within its swap: 1 to 8 capitals and digits",
            examples=["CASH"],
            extra_json_schema={"pattern": "^[A-Z0-9]{1,8}$"},
        ),
    ]
    ledger: Annotated[str, Meta(description="A ledger's name, as in GET /v1/ledgers")]
    asset: Annotated[
        str, Meta(description="An ISIN or an ISO 4217 code that the ledger keeps", examples=["EUR"])
    ]
    quantity: Decimal
    payer: PartyProposal
    payee: PartyProposal
    expires_at: Annotated[
        Instant | None,
        Meta(description="Only for a lock that expires, and only to set its expiry oneself"),
    ] = None


class SecretProposal(_Request, frozen=True, kw_only=True):
    """A hash whose preimage a party holds; without one, the gateway's vault holds all keys."""

    holder: Bic
    algorithm: Algorithm
    encoding: Encoding
    hash: Hash


class Proposal(_Request, frozen=True, kw_only=True):
    """A swap to be settled. It is open once every payer has posted or accepted the same terms."""

    id: Annotated[Uuid, Meta(description="Made by the client; the same id is the same settlement")]
    legs: Annotated[tuple[LegProposal, ...], Meta(min_length=2, max_length=LEGS_MAX)]
    protocol: Annotated[
        LockProtocol | None,
        Meta(description="Asked for; without it the strongest that the ledgers can serve"),
    ] = None
    commit_by: Annotated[
        Instant | None,
        Meta(description="On the clock of the first leg's ledger: cancelled if not committed then"),
    ] = None
    secret: SecretProposal | None = None


class Cancellation(_Request, frozen=True, kw_only=True):
    """A request to cancel."""

    reason: Why


class Release(_Request, frozen=True, kw_only=True):
    """The secret of a leg's lock, handed over by the party that holds it. It is never logged."""

    leg: Annotated[
        str,
        Meta(
            description="A leg that the secret opens",
            examples=["CASH"],
            extra_json_schema={"pattern": "^[A-Z0-9]{1,8}$"},
        ),
    ]
    preimage: Preimage


class Resolving(_Request, frozen=True, kw_only=True):
    """How the lost decision of a frozen settlement went, by the evidence of an operator."""

    decision: Decision
    evidence: Evidence


class Acceptance(_Request, frozen=True, kw_only=True):
    """Consent of a payer to the settlement that the path names; it carries nothing else."""


class Acknowledgement(_Request, frozen=True, kw_only=True):
    """Everything up to a cursor is received and kept by the member."""

    through: Cursor


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: where, and which rule it breaks."""

    field: Annotated[str, Meta(examples=["legs[0].quantity"])]
    rule: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `code` is the ISO 20022 reason, or the X-code of a technical refusal; `errors`
    holds every fault where more than one was found."""

    type: Annotated[str, Meta(description="A URN of the kind of problem; stable")]
    title: str
    status: int
    detail: str
    instance: Annotated[str | None, Meta(description="Of one occurrence, to be quoted to us")] = (
        None
    )
    field: str | None = None
    rule: str | None = None
    code: str | None = None
    errors: tuple[FieldError, ...] = ()


class LegView(msgspec.Struct, frozen=True, kw_only=True):
    """One leg, and what its ledger has told of it."""

    leg: str
    ledger: str
    asset: str
    quantity: Annotated[
        str | None, Meta(description="null while the ledger's assets are not known after a start")
    ]
    payer: Party
    payee: Party
    contract: Annotated[str | None, Meta(description="Id of the lock on its ledger, once agreed")]
    state: Annotated[
        LegStatus,
        Meta(
            description="UNSEEN (nothing heard yet), ABSENT (no lock yet), LOCKED, EXECUTED, "
            "CANCELLED (with its key), REFUNDED (by the clock), UNLOCKED (never locked), FOREIGN "
            "(the id holds another contract). Only final answers of the ledger count"
        ),
    ]
    final: Annotated[bool, Meta(description="The leg has ended and cannot change any more")]
    lock_by: Instant | None
    expires_at: Instant | None
    ended_at: Annotated[Instant | None, Meta(description="On the ledger's clock")]
    refusal: Annotated[Refusal | None, Meta(description="Why the ledger will never make this lock")]


class Risk(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a party can lose the whole of its leg, and which outage that takes."""

    level: Annotated[PrincipalRisk, Meta(description="CPMI-IOSCO PFMI, principle 12")]
    window_seconds: Annotated[
        float | None,
        Meta(description="residual: an outage longer than this, after the first claim, may cost"),
    ]


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """The one irrevocable choice, as journalled, and what led to it."""

    decision: Decision
    reason: Reason
    leg: str | None
    refusal: Refusal | None


class ResolutionView(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator said of the lost decision of a frozen settlement."""

    operator: str
    decision: Decision
    evidence: Evidence
    at: Instant


class SettlementView(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement as its parties see it."""

    id: Uuid
    state: Annotated[
        str,
        Meta(
            description="PROPOSED, LOCKING, EXECUTING, UNWINDING, SETTLED, CANCELLED, REJECTED "
            "(nothing was ever locked), FROZEN (restored; waits for evidence), BROKEN"
        ),
    ]
    created_at: Instant
    commit_by: Instant | None
    protocol: Annotated[LockProtocol | None, Meta(description="Asked for, then agreed")]
    principal_risk: Annotated[Risk | None, Meta(description="null until open")]
    safe_downtime_seconds: Annotated[
        float | None,
        Meta(
            description="How long everything may be down from now before somebody's principal is "
            "at risk; null: however long"
        ),
    ]
    trusts: Annotated[str | None, Meta(description="Whom this settlement trusts, once open")]
    decision: DecisionView | None
    awaits: Annotated[tuple[str, ...], Meta(description="Payers whose consent is missing")]
    pair: Annotated[str | None, Meta(description="The matched instructions it settles, if any")]
    resolutions: Annotated[
        tuple[ResolutionView, ...],
        Meta(description="To operators, of a restored one: what they said to resolve it"),
    ] = ()
    legs: tuple[LegView, ...]


class SettlementResult(Value, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one item of an array: what a request of its own would have been answered. Where
    no more is asked for (`Prefer: return=minimal`), `id` and `state` alone, and so is the answer to
    a request of its own."""

    status: int
    id: Uuid | None = None
    state: str | None = None
    settlement: SettlementView | None = None
    problem: Problem | None = None


class SettlementLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a list. `state` is the phase after the last journal record."""

    id: Uuid
    created_at: Instant
    state: str


class SettlementPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of settlements, newest first."""

    settlements: tuple[SettlementLine, ...]
    next: Annotated[str | None, Meta(description="`before` of the next page; null on the last")]


class MessageTaken(msgspec.Struct, frozen=True, kw_only=True):
    """A message is received and kept; what it means is told in the mailbox."""

    id: str


class MessageResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one message of an array."""

    status: int
    id: str | None = None
    problem: Problem | None = None


class Delivery(Value, frozen=True, kw_only=True):
    """A message in a mailbox. ISO 20022 as `xml`, or as `message` in the JSON form if the request
    accepts it; a notice of our own (`lockstep.`) is always a `message`."""

    cursor: Cursor
    id: Annotated[str, Meta(description="BizMsgIdr of the message: the same each time it is read")]
    definition: Annotated[str, Meta(examples=["sese.024.001.12"])]
    related: Annotated[str | None, Meta(description="BizMsgIdr of the message that it answers")]
    created_at: Instant
    settlement: str | None
    xml: str | UnsetType = UNSET
    message: Any | UnsetType = UNSET


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a mailbox, oldest first. `next` is where to go on, also when nothing was new."""

    messages: tuple[Delivery, ...]
    next: Cursor


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message of a conversation: sent by the member (`in`, as it came) or by the gateway."""

    direction: Literal["in", "out"]
    id: Annotated[str, Meta(description="BizMsgIdr of the message")]
    definition: Annotated[str, Meta(examples=["sese.023.001.11"])]
    related: Annotated[str | None, Meta(description="BizMsgIdr of the message that it answers")]
    at: Instant
    xml: str | UnsetType = UNSET
    message: Any | UnsetType = UNSET


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """What a party has sent and was told about its side of a settlement, in order."""

    messages: tuple[Said, ...]


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """How far the mailbox is acknowledged now."""

    through: Cursor


SECRET_LENGTHS: Final = (24, 128)
"""Characters of a webhook's secret: 24 of base64 are 144 bits."""


class WebhookSetting(_Request, frozen=True, kw_only=True):
    """Where the mailbox is to be delivered, and the secret that deliveries are signed with."""

    url: Annotated[
        str,
        Meta(
            description="Absolute https URL, without user, password and fragment",
            examples=["https://custodian.example/lockstep"],
            min_length=1,
            max_length=2000,
        ),
    ]
    secret: Annotated[
        str,
        Meta(
            description="Printable ASCII; never shown again",
            examples=["bM2HcPq7dVx0sJ9tYw4kE1uZ"],
            min_length=SECRET_LENGTHS[0],
            max_length=SECRET_LENGTHS[1],
        ),
    ]


class WebhookView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook, and how it does: active, failing (tried again at `next_at`), or gone (410)."""

    url: str
    state: Literal["active", "failing", "gone"]
    set_at: Instant
    failures: Annotated[int, Meta(description="Attempts in a row that failed")] = 0
    fault: Annotated[str | None, Meta(description="What was wrong with the last one")] = None
    next_at: Instant | None = None


class LedgerView(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger as the gateway sees it. What it said of itself is empty until it was heard."""

    name: str
    kind: Literal["securities", "currency"]
    reachable: bool
    clock_at: Annotated[Instant | None, Meta(description="Its own clock now, as estimated")]
    lock_kinds: tuple[LockKind, ...]
    hash_functions: tuple[HashFunction, ...]
    finality_seconds: float | None
    skew_seconds: float | None
    public_key: Annotated[str | None, Meta(description="Ed25519, hex: signs its blocks")]
    assets: tuple[AssetDescription, ...]
    fault: Annotated[str | None, Meta(description="Why nothing is locked on it")] = None


class LedgerList(msgspec.Struct, frozen=True, kw_only=True):
    """Every ledger that the gateway settles on."""

    ledgers: tuple[LedgerView, ...]
