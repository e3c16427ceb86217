"""The table of routes: the application and its published description are made from it.

A row says who may call, what is sent, and what may be answered, status by status; a test holds
every answer of the application against it.
"""

from typing import Any, Final

from gateway.http import (
    exchange,
    mailbox,
    messages,
    notation,
    reconciliation,
    report_wire,
    settlements,
    statements,
    stream,
    webhooks,
    wire,
)
from gateway.http import samples as sample
from gateway.http.problems import Kind
from gateway.http.route import MEMBERS, OPERATORS, Answer, Content, Parameter, Route
from ledgers import preference


def _json(type: Any, example: Any = None) -> tuple[Content, ...]:
    return (Content(media=exchange.JSON, type=type, example=example),)


def _pattern(form: notation.Form) -> dict[str, Any]:
    return {"type": "string", "pattern": form.pattern}


def _limit(default: int, most: int) -> Parameter:
    return Parameter(
        name="limit",
        place="query",
        description="Items of a page at most",
        schema={"type": "integer", "minimum": 1, "maximum": most, "default": default},
    )


_ID: Final = Parameter(
    name="id",
    place="path",
    description="Id of the settlement",
    schema=_pattern(notation.UUID),
    required=True,
)
_AFTER: Final = Parameter(
    name="after",
    place="query",
    description="Cursor of the last message that is known; without it, from the beginning",
    schema=_pattern(notation.CURSOR),
)
_BEFORE: Final = Parameter(
    name="before",
    place="query",
    description="`next` of the page before",
    schema=_pattern(notation.UUID),
)
_LAST_EVENT: Final = Parameter(
    name="Last-Event-ID",
    place="header",
    description="Cursor of the last event received; outranks `after`",
    schema=_pattern(notation.CURSOR),
)
_KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    description="JSON posts: the same key and request get the same answer, another request under "
    "it 409. XML has a key of its own: (Fr, BizMsgIdr)",
    schema={"type": "string", "minLength": 1, "maxLength": 257},
)

_PREFER: Final = Parameter(
    name=preference.HEADER,
    place="header",
    description=f"`{preference.MINIMAL}` (RFC 7240): of an array, the results without settlements",
    schema={"type": "string"},
)

_SHOWN: Final = Answer(
    status=200,
    description="The settlement now",
    contents=_json(wire.SettlementView, sample.SETTLEMENT),
)

_WEBHOOK: Final = Answer(
    status=200,
    description="The webhook; its secret is not shown",
    contents=_json(wire.WebhookView, sample.WEBHOOK),
)

_RECONCILIATION: Final = Answer(
    status=200,
    description="The last run of each ledger, open breaks, and those lifted within a week",
    contents=_json(report_wire.ReconciliationView, sample.RECONCILIATION),
)

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/messages",
        name="sendMessages",
        summary="Send ISO 20022 messages",
        description=messages.DESCRIPTION,
        handler=messages.send,
        roles=MEMBERS,
        parameters=(_KEY,),
        request=(
            Content(media=exchange.XML, example=sample.MESSAGE_XML),
            Content(media=exchange.ISO_JSON_FORM, type=Any, example=sample.MESSAGE_JSON),
        ),
        answers=(
            Answer(
                status=202,
                description="Received and kept (batch: one result for each message, in order)",
                contents=(
                    Content(media=exchange.XML, example=sample.RECEIPT_XML),
                    Content(
                        media=exchange.JSON,
                        type=wire.MessageTaken | tuple[wire.MessageResult, ...],
                        example=sample.MESSAGE_TAKEN,
                    ),
                ),
                location=True,
            ),
        ),
        refusals=(Kind.MESSAGE,),
    ),
    Route(
        method="GET",
        path="/v1/messages",
        name="readMessages",
        summary="Read the mailbox",
        description="`message` stands instead of `xml` where `Accept` names the JSON form "
        f"(`{exchange.ISO_JSON_FORM}`). Reading takes nothing out.",
        handler=mailbox.page,
        roles=MEMBERS,
        parameters=(_AFTER, _limit(mailbox.PAGE_DEFAULT, mailbox.PAGE_MAX)),
        answers=(
            Answer(
                status=200,
                description="Messages after the cursor, oldest first",
                contents=_json(wire.DeliveryPage, sample.PAGE),
            ),
        ),
        head=True,
    ),
    Route(
        method="GET",
        path="/v1/messages/stream",
        name="streamMessages",
        summary="Read the mailbox as it fills",
        description="Server-sent events: `id` is the cursor, `data` the same object as in a page. "
        "A comment is sent when nothing else was for a while.",
        handler=stream.stream,
        roles=MEMBERS,
        parameters=(_AFTER, _LAST_EVENT),
        answers=(
            Answer(
                status=200,
                description="Events, until the connection or the gateway ends",
                contents=(Content(media=stream.MEDIA_TYPE, example=sample.EVENT),),
            ),
        ),
    ),
    Route(
        method="POST",
        path="/v1/messages/ack",
        name="acknowledgeMessages",
        summary="Acknowledge what was received",
        handler=mailbox.acknowledge,
        roles=MEMBERS,
        parameters=(_KEY,),
        request=_json(wire.Acknowledgement, sample.ACKNOWLEDGEMENT),
        answers=(
            Answer(
                status=200,
                description="How far the mailbox is acknowledged now; never backwards",
                contents=_json(wire.Acknowledged, sample.ACKNOWLEDGEMENT),
            ),
        ),
    ),
    Route(
        method="PUT",
        path="/v1/webhooks",
        name="setWebhook",
        summary="Have the mailbox delivered",
        description=webhooks.DESCRIPTION,
        handler=webhooks.put,
        roles=MEMBERS,
        request=_json(wire.WebhookSetting, sample.WEBHOOK_SETTING),
        answers=(_WEBHOOK,),
    ),
    Route(
        method="GET",
        path="/v1/webhooks",
        name="showWebhook",
        summary="The webhook, and how it does",
        handler=webhooks.show,
        roles=MEMBERS,
        answers=(_WEBHOOK,),
        refusals=(Kind.NOT_FOUND,),
        head=True,
    ),
    Route(
        method="DELETE",
        path="/v1/webhooks",
        name="removeWebhook",
        summary="Deliver no more",
        handler=webhooks.drop,
        roles=MEMBERS,
        answers=(_WEBHOOK,),
        refusals=(Kind.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path="/v1/settlements",
        name="proposeSettlements",
        summary="Propose a settlement, or consent by posting the same terms",
        description=settlements.DESCRIPTION,
        handler=settlements.propose,
        roles=MEMBERS,
        parameters=(_KEY, _PREFER),
        request=_json(wire.Proposal | tuple[wire.Proposal, ...], sample.PROPOSAL),
        answers=(
            Answer(
                status=202,
                description="Taken, durably (array: one result for each, in order)",
                contents=_json(
                    wire.SettlementView | tuple[wire.SettlementResult, ...], sample.SETTLEMENT
                ),
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
        parameters=(_BEFORE, _limit(settlements.PAGE_DEFAULT, settlements.PAGE_MAX)),
        answers=(
            Answer(
                status=200,
                description="Settlements of the caller, newest first",
                contents=_json(wire.SettlementPage, sample.SETTLEMENTS),
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
                contents=_json(wire.Conversation, sample.CONVERSATION),
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
        parameters=(_ID, _KEY),
        request=_json(wire.Acceptance, {}),
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
        parameters=(_ID, _KEY),
        request=_json(wire.Cancellation, sample.CANCELLATION),
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
        parameters=(_ID, _KEY),
        request=_json(wire.Release, sample.RELEASE),
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
        parameters=(_ID, _KEY),
        request=_json(wire.Resolving, sample.RESOLVING),
        answers=(_SHOWN,),
        refusals=(Kind.NOT_FOUND, Kind.DENIED),
    ),
    Route(
        method="POST",
        path="/v1/statements",
        name="requestStatements",
        summary="Ask for statements of one's own accounts",
        description=statements.DESCRIPTION,
        handler=statements.state,
        roles=MEMBERS,
        parameters=(_KEY,),
        request=_json(report_wire.StatementRequest, sample.STATEMENT_REQUEST),
        answers=(
            Answer(
                status=202,
                description="What was made and delivered",
                contents=_json(report_wire.StatementList, sample.STATEMENTS),
            ),
        ),
        refusals=(Kind.DENIED,),
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
        parameters=(_KEY,),
        request=_json(report_wire.ReconciliationRequest, {}),
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
                contents=_json(wire.LedgerList, sample.LEDGERS),
            ),
        ),
        head=True,
    ),
)
"""In the order of the published description."""
