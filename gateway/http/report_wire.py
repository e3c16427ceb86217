"""What travels as JSON of statements and of reconciliation."""

import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.http.wire import Account, Instant


class StatementRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Which statements; what is left out stands for everything of one's own."""

    kind: Annotated[
        Literal["holdings", "movements", "cash"] | None,
        Meta(description="semt.002 and semt.017 of securities accounts, camt.053 of money"),
    ] = None
    ledger: Annotated[str | None, Meta(description="A ledger's name, as in GET /v1/ledgers")] = None
    account: Account | None = None
    date: Annotated[
        datetime.date | None,
        Meta(
            description="A business day that is over: its daily statement again. Without one, from "
            "the end of the last business day up to now (INDA)"
        ),
    ] = None


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """A statement that is in the mailbox now, page by page."""

    id: Annotated[str, Meta(description="`StmtId`, camt.053 `Stmt/Id`: the same on every page")]
    kind: Literal["holdings", "movements", "cash"]
    ledger: str
    account: str
    asset: Annotated[str | None, Meta(description="The currency of a cash statement")]
    frequency: Literal["INDA", "DAIL"]
    business_date: datetime.date
    number: Annotated[int, Meta(description="Consecutive: account, kind, asset and frequency")]
    pages: int
    definition: Annotated[str, Meta(examples=["camt.053.001.08"])]


class StatementList(msgspec.Struct, frozen=True, kw_only=True):
    """What was made for one request."""

    statements: tuple[StatementView, ...]


class ReconciliationRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What to reconcile."""

    ledger: Annotated[
        str | None, Meta(description="One ledger; without it, all that the caller operates")
    ] = None
    afresh: Annotated[
        bool,
        Meta(
            description="Forget what the ledger told before and read all of it again: when a "
            "person has found that the ledger is right. Only for an operator of the gateway"
        ),
    ] = False


class TotalView(msgspec.Struct, frozen=True, kw_only=True):
    """The three numbers of one ISIN or currency."""

    asset: str
    issued: Annotated[str, Meta(description="By the ledger's issuer or reserves account")]
    held: Annotated[str, Meta(description="By all its accounts, locked or not")]
    locked: Annotated[str, Meta(description="What of that is locked")]
    told: Annotated[str, Meta(description="What its postings came to, as the gateway kept them")]


class LedgerReconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """The last reconciliation of a ledger; all null where there was none yet."""

    ledger: str
    business_date: datetime.date | None
    started_at: Instant | None
    ended_at: Instant | None
    holdings: Annotated[int, Meta(description="Balances compared one by one")]
    facts: Annotated[int, Meta(description="Postings read since the run before")]
    totals: tuple[TotalView, ...]
    failure: Annotated[str | None, Meta(description="Why a later run came to no end")]


class BreakView(msgspec.Struct, frozen=True, kw_only=True):
    """A break: while it is open nothing new is locked of the asset, or on the ledger."""

    number: int
    ledger: str
    asset: Annotated[str | None, Meta(description="null: the whole ledger")]
    account: Annotated[
        str | None, Meta(description="null: the asset in all; of a leg, its contract")
    ]
    kind: Annotated[
        Literal["issued", "told-issued", "told-locked", "available", "locked", "leg", "order"],
        Meta(description="What did not agree with what"),
    ]
    expected: str
    found: str
    amount: Annotated[str, Meta(description="Found less expected, in the asset's public unit")]
    what: str
    first_seen_at: Instant
    last_seen_at: Instant
    lifted_at: Instant | None
    age_seconds: float


class ReconciliationView(msgspec.Struct, frozen=True, kw_only=True):
    """Where reconciliation stands; breaks by age, the oldest first."""

    running: Annotated[bool, Meta(description="A run goes on: ask again")]
    agreed: Annotated[bool, Meta(description="No break is open")]
    ledgers: tuple[LedgerReconciliation, ...]
    breaks: tuple[BreakView, ...]
