"""The table of routes of a ledger: the service and its published description are made from it.

A test holds every answer of the service against the description.
"""

from typing import Any, Final

from ledgers import endpoints, preference, views
from ledgers import samples as sample
from ledgers.described import Answer, Parameter, json_content, page_limit
from ledgers.endpoints import BLOCKS_MAX, OPERATIONS_MAX
from ledgers.hosted import PAGE_MAX
from ledgers.names import NAME_PATTERN
from ledgers.problems import Kind
from ledgers.route import Route
from ledgers.wire import AnswerJson, OperationJson

NAME: Final[dict[str, Any]] = {"type": "string", "pattern": NAME_PATTERN}
INTEGER: Final[dict[str, Any]] = {"type": "string", "pattern": "^(0|[1-9][0-9]*)$", "maxLength": 19}
_CURSOR: Final[dict[str, Any]] = {"type": "string", "pattern": r"^([0-9]+\.[0-9]+)?$"}


def in_path(name: str, description: str, schema: dict[str, Any], example: str) -> Parameter:
    """A part of the path."""
    return Parameter(
        name=name,
        place="path",
        description=description,
        schema=schema,
        required=True,
        example=example,
    )


def in_query(name: str, description: str, schema: dict[str, Any], example: str) -> Parameter:
    """A parameter that may be left out."""
    return Parameter(
        name=name, place="query", description=description, schema=schema, example=example
    )


_ACCOUNT: Final = in_path("id", "An account", NAME, "alice-1")
_AFTER: Final = in_query(
    "after", "`next` of the page before; without it, from the beginning", _CURSOR, "7.0"
)
AFTER_HEIGHT: Final = in_query("after", "Height of the last block that is known", INTEGER, "7")
_PREFER: Final = Parameter(
    name=preference.HEADER,
    place="header",
    description=f"`{preference.MINIMAL}` (RFC 7240): without the terms that the asker knows",
    schema={"type": "string"},
)
_LIMIT: Final = page_limit(PAGE_MAX, PAGE_MAX)


def shown(description: str, type: Any, example: Any = None) -> tuple[Answer, ...]:
    """The one answer of a route that answers with 200 and JSON."""
    contents = json_content(type, example)
    return (Answer(status=200, description=description, contents=contents),)


_TOLD: Final = shown("An answer for each, in order", tuple[AnswerJson, ...], sample.ANSWERS)
_DONE: Final = shown("The outcome of each, in order", tuple[views.OutcomeJson, ...], sample.DONE)
_FACTS: Final = shown("Facts in the ledger's order", views.FactsJson, sample.FACTS)

_OPERATIONS: Final = (
    Route(
        method="POST",
        path="/v1/operations",
        name="submitOperations",
        summary="Have operations done",
        description=f"At most {OPERATIONS_MAX}, each with its own outcome. Every operation is "
        "idempotent: the same id and content again is the same answer, other content `CONFLICT`. "
        "`refusal` says why nothing was done, beside the contract as it is; `unknown` that the "
        "ledger does not know: ask again.",
        handler=endpoints.post_operations,
        parameters=(_PREFER,),
        request=json_content(list[OperationJson], sample.OPERATIONS),
        answers=_TOLD,
        refusals=(Kind.FORBIDDEN, Kind.TOO_MANY),
    ),
    Route(
        method="POST",
        path="/v1/contracts/query",
        name="queryContracts",
        summary="What contracts are, by their ids",
        description="For anybody who knows an id: 122 random bits that only the parties and their "
        "agents have.",
        handler=endpoints.query_contracts,
        request=json_content(views.QueryJson, sample.QUERY),
        answers=_TOLD,
        refusals=(Kind.TOO_MANY,),
    ),
)

_ACCOUNTS: Final = (
    Route(
        method="GET",
        path="/v1/accounts",
        name="listAccounts",
        summary="Accounts by name: one's own, or all for the ledger's operator and supervisors",
        handler=endpoints.get_accounts,
        parameters=(
            in_query("after", "Name of the last account of the page before", NAME, "alice-1"),
            _LIMIT,
            in_query("owner", "Of one owner, for who sees everything", NAME, "ALICDEFFXXX"),
        ),
        answers=shown("Accounts", tuple[views.AccountViewJson, ...], (sample.ACCOUNT,)),
    ),
    Route(
        method="POST",
        path="/v1/accounts",
        name="openAccounts",
        summary="Open accounts, as the ledger's operator",
        handler=endpoints.post_accounts,
        request=json_content(list[views.AccountJson], sample.ACCOUNTS),
        answers=_DONE,
        refusals=(Kind.TOO_MANY,),
    ),
    Route(
        method="GET",
        path="/v1/accounts/{id}",
        name="showAccount",
        summary="An account, what it holds, and the mandates on it",
        handler=endpoints.get_account,
        parameters=(_ACCOUNT,),
        answers=shown("The account", views.AccountViewJson, sample.ACCOUNT),
        refusals=(Kind.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/accounts/{id}/block",
        name="blockAccount",
        summary="Stop new locks and transfers from an account, as the ledger's operator",
        handler=endpoints.block_account,
        parameters=(_ACCOUNT,),
        answers=_DONE,
        refusals=(Kind.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/accounts/{id}/unblock",
        name="unblockAccount",
        summary="Lift that",
        handler=endpoints.unblock_account,
        parameters=(_ACCOUNT,),
        answers=_DONE,
        refusals=(Kind.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/mandates",
        name="changeMandates",
        summary="Give mandates on one's own accounts, or take them back",
        handler=endpoints.post_mandates,
        request=json_content(list[views.MandateJson | views.RevokeJson], sample.MANDATES),
        answers=_DONE,
        refusals=(Kind.TOO_MANY,),
    ),
    Route(
        method="POST",
        path="/v1/instruments",
        name="defineInstruments",
        summary="Define securities and currencies, as the ledger's operator",
        handler=endpoints.post_instruments,
        request=json_content(list[views.SecurityJson | views.CurrencyJson], sample.INSTRUMENTS),
        answers=_DONE,
        refusals=(Kind.TOO_MANY,),
    ),
)

_READ: Final = (
    Route(
        method="GET",
        path="/v1/facts",
        name="readFacts",
        summary="Everything that moved, in order; an owner's own",
        handler=endpoints.get_facts,
        parameters=(_AFTER, _LIMIT),
        answers=_FACTS,
        refusals=(Kind.BEFORE_SNAPSHOT,),
    ),
    Route(
        method="GET",
        path="/v1/accounts/{id}/facts",
        name="readMovements",
        summary="What moved on one account, in order",
        handler=endpoints.get_movements,
        parameters=(
            _ACCOUNT,
            _AFTER,
            in_query("until", "Cursor of the last posting that is wanted", _CURSOR, "9.2"),
            _LIMIT,
        ),
        answers=_FACTS,
        refusals=(Kind.NOT_FOUND, Kind.BEFORE_SNAPSHOT),
    ),
    Route(
        method="GET",
        path="/v1/blocks",
        name="readBlocks",
        summary="Signed blocks, for operators and supervisors",
        description="Ask on from the last height until the answer is empty.",
        handler=endpoints.get_blocks,
        parameters=(AFTER_HEIGHT, page_limit(BLOCKS_MAX, BLOCKS_MAX)),
        answers=shown("Blocks with their leaves", tuple[views.BlockJson, ...]),
        refusals=(Kind.FORBIDDEN, Kind.BEFORE_SNAPSHOT),
    ),
    Route(
        method="GET",
        path="/v1/proofs/{posting}",
        name="provePosting",
        summary="That a posting stands in a signed block",
        handler=endpoints.get_proof,
        parameters=(in_path("posting", "`height.position`: the cursor of its fact", NAME, "7.0"),),
        answers=shown("The leaf, its path, and the header", views.ProofJson),
        refusals=(Kind.NOT_FOUND, Kind.BEFORE_SNAPSHOT),
    ),
    Route(
        method="GET",
        path="/v1/description",
        name="describeLedger",
        summary="What the ledger can do, its time, its key, and what it makes of trials",
        handler=endpoints.get_description,
        answers=shown("What it says of itself", views.DescriptionJson, sample.DESCRIPTION),
    ),
    Route(
        method="GET",
        path="/v1/holdings",
        name="readHoldings",
        summary="Balances as of one posting: of an account, or of all for who follows the ledger",
        handler=endpoints.get_holdings,
        parameters=(
            in_query("account", "One account; one's own", NAME, "alice-1"),
            in_query("after", "`next` of the page before", {"type": "string"}, "alice-1 EUR"),
            _LIMIT,
        ),
        answers=shown("Balances by account and asset", views.HoldingsJson, sample.HOLDINGS),
        refusals=(Kind.FORBIDDEN, Kind.NOT_FOUND),
    ),
    Route(
        method="GET",
        path="/v1/conservation",
        name="readTotals",
        summary="The totals of each asset: what was issued, and where it is",
        handler=endpoints.get_conservation,
        answers=shown("Totals", tuple[views.PositionJson, ...], sample.TOTALS),
        refusals=(Kind.FORBIDDEN,),
    ),
    Route(
        method="GET",
        path="/v1/cursor",
        name="findCursor",
        summary="The last posting before an instant",
        handler=endpoints.get_cursor,
        parameters=(
            Parameter(
                name="before",
                place="query",
                description="UTC nanoseconds",
                schema=INTEGER,
                required=True,
                example="1791277200000000000",
            ),
        ),
        answers=shown("Its cursor", views.PlaceJson, views.PlaceJson(cursor="7.0")),
        refusals=(Kind.BEFORE_SNAPSHOT,),
    ),
)

ROUTES: Final = (*_OPERATIONS, *_ACCOUNTS, *_READ)
"""In the order of the published description."""
