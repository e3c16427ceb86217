"""What travels as JSON of statements."""

import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.http.wire import Account


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
