"""The table of routes: the application and its published description are made from it.

A row says who may call, what is sent, and what may be answered, status by status; a test holds
every answer of the application against it.
"""

from typing import Final

from gateway.http import mailbox, notation, reconciliation, report_wire, settlements, wire
from gateway.http import samples as sample
from gateway.http.message_routes import KEY, MESSAGE_ROUTES
from gateway.http.problems import Kind
from gateway.http.route import MEMBERS, OPERATORS, Route
from ledgers import preference
from ledgers.described import Answer, Parameter, json_content, page_limit

_ID: Final = Parameter(
    name="id",
    place="path",
    description="Id of the settlement",
    schema=notation.UUID.schema,
    required=True,
)
_BEFORE: Final = Parameter(
    name="before",
    place="query",
    description="`next` of the page before",
    schema=notation.UUID.schema,
)
_PREFER: Final = Parameter(
    name=preference.HEADER,
    place="header",
    description=f"`{preference.MINIMAL}` (RFC 7240): the result without the settlement",
    schema={"type": "string"},
)

_SHOWN: Final = Answer(
    status=200,
    description="The settlement now",
    contents=json_content(wire.SettlementView, sample.SETTLEMENT),
)

_RECONCILIATION: Final = Answer(
    status=200,
    description="The last run of each ledger, open breaks, and those lifted within a week",
    contents=json_content(report_wire.ReconciliationView, sample.RECONCILIATION),
)

ROUTES: Final[tuple[Route, ...]] = (
    *MESSAGE_ROUTES,
    Route(
        method="POST",
        path="/v1/settlements",
        name="proposeSettlements",
        summary="Propose a settlement, or consent by posting the same terms",
        description=settlements.DESCRIPTION,
        handler=settlements.propose,
        roles=MEMBERS,
        parameters=(KEY, _PREFER),
        request=json_content(wire.Proposal | tuple[wire.Proposal, ...], sample.PROPOSAL),
        answers=(
            Answer(
                status=202,
                description="Taken, durably (array: one result for each, in order)",
                contents=json_content(
                    wire.SettlementView | tuple[wire.SettlementResult, ...], sample.SETTLEMENT
                )
                + json_content(wire.SettlementResult),
                location=True,
            ),
        ),
    ),
    Route(
        method="GET",
        path="/v1/settlements",
        name="listSettlements",
        summary="List settlements",
        handler=settlements.page,
        parameters=(_BEFORE, page_limit(settlements.PAGE_DEFAULT, settlements.PAGE_MAX)),
        answers=(
            Answer(
                status=200,
                description="Settlements of the caller, newest first",
                contents=json_content(wire.SettlementPage, sample.SETTLEMENTS),
            ),
        ),
        head=True,
    ),
    Route(
        method="GET",
        path="/v1/settlements/{id}",
        name="showSettlement",
        summary="Show a settlement",
        handler=settlements.show,
        parameters=(_ID,),
        answers=(_SHOWN,),
        refusals=(Kind.NOT_FOUND,),
        head=True,
    ),
    Route(
        method="GET",
        path="/v1/settlements/{id}/messages",
        name="readConversation",
        summary="Read the messages about a settlement, as one of its parties",
        description="What the caller has sent about its own side, and what it was told, in order.",
        handler=mailbox.conversation,
        roles=MEMBERS,
        parameters=(_ID,),
        answers=(
            Answer(
                status=200,
                description="Messages in and out, oldest first",
                contents=json_content(wire.Conversation, sample.CONVERSATION),
            ),
        ),
        refusals=(Kind.NOT_FOUND,),
        head=True,
    ),
    Route(
        method="POST",
        path="/v1/settlements/{id}/accept",
        name="acceptSettlement",
        summary="Consent to a proposed settlement, as one of its payers",
        handler=settlements.accept,
        roles=MEMBERS,
        parameters=(_ID, KEY),
        request=json_content(wire.Acceptance, {}),
        body_required=False,
        answers=(_SHOWN,),
        refusals=(Kind.NOT_FOUND, Kind.DENIED),
    ),
    Route(
        method="POST",
        path="/v1/settlements/{id}/cancel",
        name="cancelSettlement",
        summary="Ask for cancellation",
        handler=settlements.cancel,
        parameters=(_ID, KEY),
        request=json_content(wire.Cancellation, sample.CANCELLATION),
        answers=(_SHOWN,),
        refusals=(Kind.NOT_FOUND, Kind.DENIED),
    ),
    Route(
        method="POST",
        path="/v1/settlements/{id}/release",
        name="releaseSecret",
        summary="Hand over the secret of a lock, as the party that holds it",
        description="It is refused if it does not open the lock of the leg, and used as soon as "
        "every leg is locked. Kept sealed, never logged, told in no message. The same again gets "
        "the settlement as it is now.",
        handler=settlements.release,
        roles=MEMBERS,
        parameters=(_ID, KEY),
        request=json_content(wire.Release, sample.RELEASE),
        answers=(_SHOWN,),
        refusals=(Kind.NOT_FOUND, Kind.DENIED),
    ),
    Route(
        method="POST",
        path="/v1/settlements/{id}/resolve",
        name="resolveSettlement",
        summary="Say how the lost decision of a FROZEN settlement went, as an operator",
        description="After a restore nobody knows whether COMMIT was recorded. When two different "
        "operators have said the same decision with the same evidence, it is journalled, and "
        "irrevocable; until then the answer shows what was said. An operator may say it anew.",
        handler=settlements.resolve,
        roles=OPERATORS,
        parameters=(_ID, KEY),
        request=json_content(wire.Resolving, sample.RESOLVING),
        answers=(_SHOWN,),
        refusals=(Kind.NOT_FOUND, Kind.DENIED),
    ),
    Route(
        method="GET",
        path="/v1/reconciliation",
        name="showReconciliation",
        summary="Where reconciliation stands, and its breaks by age",
        handler=reconciliation.show,
        roles=OPERATORS,
        answers=(_RECONCILIATION,),
        head=True,
    ),
    Route(
        method="POST",
        path="/v1/reconciliation",
        name="reconcile",
        summary="Reconcile the ledgers now",
        description=reconciliation.DESCRIPTION,
        handler=reconciliation.reconcile,
        roles=OPERATORS,
        parameters=(KEY,),
        request=json_content(report_wire.ReconciliationRequest, {}),
        body_required=False,
        answers=(_RECONCILIATION,),
    ),
    Route(
        method="GET",
        path="/v1/ledgers",
        name="listLedgers",
        summary="The ledgers that the gateway settles on",
        handler=settlements.ledgers,
        answers=(
            Answer(
                status=200,
                description="Each with what it says of itself",
                contents=json_content(wire.LedgerList, sample.LEDGERS),
            ),
        ),
        head=True,
    ),
)
"""In the order of the published description."""
