"""The part of the table of routes that a registry's node serves too: messages, the mailbox, its
webhook, statements."""

from typing import Any, Final

from gateway.http import (
    exchange,
    mailbox,
    messages,
    notation,
    report_wire,
    statements,
    stream,
    webhooks,
    wire,
)
from gateway.http import samples as sample
from gateway.http.problems import Kind
from gateway.http.route import MEMBERS, MessageRoute
from ledgers.described import Answer, Content, Parameter, json_content, page_limit

KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    description="JSON posts: the same key and request get the same answer, another request under "
    "it 409. XML has a key of its own: (Fr, BizMsgIdr)",
    schema={"type": "string", "minLength": 1, "maxLength": 257},
)
_AFTER: Final = Parameter(
    name="after",
    place="query",
    description="Cursor of the last message that is known; without it, from the beginning",
    schema=notation.CURSOR.schema,
)
_LAST_EVENT: Final = Parameter(
    name="Last-Event-ID",
    place="header",
    description="Cursor of the last event received; outranks `after`",
    schema=notation.CURSOR.schema,
)

_WEBHOOK: Final = Answer(
    status=200,
    description="The webhook; its secret is not shown",
    contents=json_content(wire.WebhookView, sample.WEBHOOK),
)

MESSAGE_ROUTES: Final = (
    MessageRoute(
        method="POST",
        path="/v1/messages",
        name="sendMessages",
        summary="Send ISO 20022 messages",
        description=messages.DESCRIPTION,
        handler=messages.send,
        roles=MEMBERS,
        parameters=(KEY,),
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
    MessageRoute(
        method="GET",
        path="/v1/messages",
        name="readMessages",
        summary="Read the mailbox",
        description="`message` stands instead of `xml` where `Accept` names the JSON form "
        f"(`{exchange.ISO_JSON_FORM}`). Reading takes nothing out.",
        handler=mailbox.page,
        roles=MEMBERS,
        parameters=(_AFTER, page_limit(mailbox.PAGE_DEFAULT, mailbox.PAGE_MAX)),
        answers=(
            Answer(
                status=200,
                description="Messages after the cursor, oldest first",
                contents=json_content(wire.DeliveryPage, sample.PAGE),
            ),
        ),
        head=True,
    ),
    MessageRoute(
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
    MessageRoute(
        method="POST",
        path="/v1/messages/ack",
        name="acknowledgeMessages",
        summary="Acknowledge what was received",
        handler=mailbox.acknowledge,
        roles=MEMBERS,
        parameters=(KEY,),
        request=json_content(wire.Acknowledgement, sample.ACKNOWLEDGEMENT),
        answers=(
            Answer(
                status=200,
                description="How far the mailbox is acknowledged now; never backwards",
                contents=json_content(wire.Acknowledged, sample.ACKNOWLEDGEMENT),
            ),
        ),
    ),
    MessageRoute(
        method="PUT",
        path="/v1/webhooks",
        name="setWebhook",
        summary="Have the mailbox delivered",
        description=webhooks.DESCRIPTION,
        handler=webhooks.put,
        roles=MEMBERS,
        request=json_content(wire.WebhookSetting, sample.WEBHOOK_SETTING),
        answers=(_WEBHOOK,),
    ),
    MessageRoute(
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
    MessageRoute(
        method="DELETE",
        path="/v1/webhooks",
        name="removeWebhook",
        summary="Deliver no more",
        handler=webhooks.drop,
        roles=MEMBERS,
        answers=(_WEBHOOK,),
        refusals=(Kind.NOT_FOUND,),
    ),
    MessageRoute(
        method="POST",
        path="/v1/statements",
        name="requestStatements",
        summary="Ask for statements of one's own accounts",
        description=statements.DESCRIPTION,
        handler=statements.state,
        roles=MEMBERS,
        parameters=(KEY,),
        request=json_content(report_wire.StatementRequest, sample.STATEMENT_REQUEST),
        answers=(
            Answer(
                status=202,
                description="What was made and delivered",
                contents=json_content(report_wire.StatementList, sample.STATEMENTS),
            ),
        ),
        refusals=(Kind.DENIED,),
    ),
)
