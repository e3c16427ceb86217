"""What the gateway does for its users, whatever protocol they speak: HTTP, messages, tests.

Everything here speaks in integers and instants; decimals, time texts and problem documents are the
business of `gateway.http`. Whoever asks is a `Principal`; one who is not a party of a settlement is
told the same as if it did not exist.
"""

from collections.abc import Sequence
from datetime import date
from typing import Literal, Protocol, Self

import msgspec

from htlc.events import Decision
from htlc.settlement import Settlement
from htlc.swap import Fault, Swap
from htlc.units import SettlementId, Value
from ledgers.port import Description
from protocols.iso20022.advice import Receipt
from protocols.iso20022.envelope import Enveloped
from protocols.iso20022.errors import ProtocolError


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a member by its BIC, or an operator by its name (`ledger`: whose operator)."""

    name: str
    role: Literal["member", "gateway", "ledger", "central-bank"]
    ledger: str | None = None


class Taken(Value, frozen=True, kw_only=True):
    """A message is received and kept. `id` is ours for it; the same again for a duplicate, whose
    answer `is_repeated`."""

    id: str
    receipt: Receipt
    is_repeated: bool = False


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """The id (or idempotency key) is known with other content."""

    what: str


class Busy(msgspec.Struct, frozen=True, kw_only=True):
    """Too much is open or queued: come back later."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal that cannot be taken, with every fault found."""

    faults: tuple[Fault, ...]


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says that the lost decision of a frozen settlement was, and by what
    evidence."""

    operator: str
    decision: Decision
    evidence: str
    said_at: int


class View(Value, frozen=True, kw_only=True):
    """A settlement to be shown: its state, when it was proposed, and how long (nanoseconds)
    everything may be down before a principal is at risk; None: however long."""

    id: SettlementId
    created_at: int
    state: Settlement
    pair: str | None = None  # of matched instructions, where it came from messages
    safe_downtime: int | None = None
    resolutions: tuple[Resolution, ...] = ()  # of a restored one, as operators see it


class Summary(Value, frozen=True, kw_only=True):
    """A line of a list. `state` is the phase after the last journal record."""

    id: SettlementId
    created_at: int
    state: str


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """A request on a settlement that its state does not allow any more, with the ISO code of the
    denial (`DSET` settled, `DCAN` cancelled already, `DPRG` in process)."""

    code: str
    why: str

    @classmethod
    def of(cls, text: str) -> Self:
        """From a code, a blank, and why."""
        code, _, why = text.partition(" ")
        return cls(code=code, why=why)


class Stored(Value, frozen=True, kw_only=True):
    """A message in a mailbox: `sequence` is its cursor, `content` the typed message as JSON (an
    `Outbound` of protocols, or a notice of our own)."""

    sequence: int
    id: str
    definition: str
    related: str | None
    created_at: int
    settlement: str | None
    content: str


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where a mailbox is delivered to, and how that goes: attempts that failed in a row, what was
    wrong with the last one, when the next is made. `gone`: the receiver wants no more."""

    url: str
    set_at: int
    failures: int = 0
    fault: str | None = None
    gone: bool = False
    next_at: int | None = None


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a member has sent, byte for byte: `id` is its BizMsgIdr."""

    id: str
    definition: str
    received_at: int
    raw: bytes


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger as the gateway sees it: what it said of itself, its clock, whether it answers."""

    name: str
    kind: Literal["securities", "currency"]
    description: Description | None  # None until it has been heard
    clock_at: int | None
    reachable: bool
    fault: str | None = None  # why nothing is locked on it


class StatementWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which statements a member asks for; what is left out stands for all of its own. `day` is a
    business day that is over; without one, from the end of the last one up to now."""

    kind: Literal["holdings", "movements", "cash"] | None = None
    ledger: str | None = None
    account: str | None = None
    day: date | None = None


class StatementMade(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that was put into its owner's mailbox, in pages."""

    id: str
    kind: str
    ledger: str
    account: str
    asset: str | None  # of a cash statement
    frequency: str
    business_date: date
    number: int
    pages: int
    definition: str


class Statements(Protocol):
    """Statements on demand."""

    async def state(
        self, member: str, wanted: StatementWanted
    ) -> Sequence[StatementMade] | Refused | Denied | Busy:
        """Make what is asked for and deliver it; Busy if a ledger is away, Denied if its postings
        do not agree with what it told before."""
        ...


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A break of reconciliation: what did not agree, since when, and until when. Quantities are in
    smallest units; `asset` empty is the whole ledger, `account` empty the asset in all."""

    number: int
    ledger: str
    asset: str
    account: str
    kind: str
    expected: int
    found: int
    what: str
    first_seen_at: int
    last_seen_at: int
    closed_at: int | None = None


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """The three numbers of one asset, in smallest units: issued by the ledger's word, held by its
    accounts (of which locked), and what its postings came to as they were told."""

    asset: str
    issued: int
    held: int
    locked: int
    told: int


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """The last reconciliation of a ledger. `failure`: why a later one came to no end."""

    ledger: str
    business_date: date | None = None  # None: it was never reconciled
    started_at: int | None = None
    ended_at: int | None = None
    holdings: int = 0
    facts: int = 0
    totals: tuple[Total, ...] = ()
    failure: str | None = None


class Reconciling(Protocol):
    """Reconciliation, for operators: of everything, or of their own ledger."""

    @property
    def running(self) -> bool: ...

    async def ask(self, names: Sequence[str], *, afresh: bool) -> bool:
        """Reconcile these ledgers; whether that has ended by now. `afresh` forgets what they told
        before and reads it again."""
        ...

    async def reconciled(self, names: Sequence[str]) -> Sequence[Reconciled]: ...

    async def differences(self, names: Sequence[str], since: int) -> Sequence[Difference]:
        """Open breaks, and those lifted after an instant; oldest first."""
        ...


class Messaging(Protocol):
    """Messages in, and a mailbox with what is told: a gateway's, or a registry node's."""

    async def take_messages(
        self, member: str, items: Sequence[Enveloped | ProtocolError]
    ) -> Sequence[Taken | ProtocolError | Busy]:
        """Take a batch of messages of one member, in order, each with a result of its own. Durable
        when it returns."""
        ...

    async def read(self, member: str, *, after: int, limit: int) -> Sequence[Stored]:
        """A mailbox after a cursor, in order."""
        ...

    async def acknowledge(self, member: str, through: int) -> int | None:
        """The cursor acknowledged now; None if there is no such message yet."""
        ...

    async def arrived(self, member: str) -> None:
        """Returns when something may have arrived in the mailbox, or after a while (streams)."""
        ...

    async def put_webhook(self, member: str, url: str, secret: str) -> str | None:
        """Deliver a mailbox there; why not, if the URL is not taken."""
        ...

    async def webhook(self, member: str) -> Webhook | None: ...

    async def drop_webhook(self, member: str) -> bool:
        """Whether there was one."""
        ...


class Gateway(Messaging, Protocol):
    """The services behind every interface."""

    async def take_settlements(
        self, member: str, swaps: Sequence[tuple[Swap, bytes]]
    ) -> Sequence[View | Refused | Conflict | Busy]:
        """Take proposals (and the digest of their content as posted). A second payer that posts
        the same terms consents by it."""
        ...

    async def show(self, principal: Principal, id: SettlementId) -> View | None: ...

    async def list(
        self, principal: Principal, *, before: SettlementId | None, limit: int
    ) -> Sequence[Summary]: ...

    async def accept(self, principal: Principal, id: SettlementId) -> View | Denied | None: ...

    async def cancel(
        self, principal: Principal, id: SettlementId, reason: str
    ) -> View | Denied | None: ...

    async def release(
        self, principal: Principal, id: SettlementId, leg: str, preimage: bytes
    ) -> View | Denied | Refused | None:
        """The holder of the secret hands it over; it opens the lock of this leg, or it is refused.
        The same again is answered as before."""
        ...

    async def resolve(
        self, principal: Principal, id: SettlementId, decision: Decision, evidence: str
    ) -> View | Denied | None:
        """An operator says how the lost decision of a frozen settlement went. Two different ones
        with the same evidence decide."""
        ...

    async def conversation(
        self, member: str, id: SettlementId
    ) -> Sequence[Received | Stored] | None:
        """What a party has sent and was told about its side of a settlement, in order; None if it
        is no party of it."""
        ...

    def ledgers(self) -> Sequence[LedgerState]: ...

    def scale(self, ledger: str, asset: str) -> int | None:
        """Decimals of an asset's public notation; None if the ledger does not keep it."""
        ...
