"""A member's webhook over HTTP: set, shown, removed."""

from typing import Final

import msgspec

from gateway import webhook_signature
from gateway.http import wire
from gateway.http.exchange import MessageCall, Reply, json_reply
from gateway.http.problems import Kind, RequestError
from gateway.port import Webhook
from protocols.iso20022.lexical import instant_text

DESCRIPTION: Final = (
    "Every message of the mailbox is posted there, in order and at least once: the object that "
    "`GET /v1/messages` gives, with `xml`. The next one follows when the one before was answered "
    "with 2xx, which acknowledges it; delivery begins with what is not acknowledged. Anything else "
    "is tried again after 1 s, 2 s, … up to 5 minutes, as long as the webhook stands; 410 ends it "
    "until it is set again. Redirections are not followed. Signed as the Standard Webhooks "
    "specification says: `webhook-id` (the message's), `webhook-timestamp`, and in "
    "`webhook-signature` the HMAC-SHA256 over `id.timestamp.body`."
)

_setting: Final = msgspec.json.Decoder(wire.WebhookSetting)


async def put(call: MessageCall) -> Reply:
    """Set the webhook, in the place of any other."""
    wanted = await call.json(_setting)
    if not (wanted.secret.isascii() and wanted.secret.isprintable()):
        raise RequestError.field("secret", "is printable ASCII")
    try:
        webhook_signature.key(wanted.secret)
    except ValueError:
        raise RequestError.field("secret", "has base64 behind `whsec_`") from None
    fault = await call.gateway.put_webhook(call.principal.name, wanted.url, wanted.secret)
    if fault is not None:
        raise RequestError.field("url", fault)
    return await show(call)


async def show(call: MessageCall) -> Reply:
    """The webhook, and how it does; its secret is never shown."""
    call.query()
    found = await call.gateway.webhook(call.principal.name)
    if found is None:
        raise _none()
    return json_reply(200, _view(found))


async def drop(call: MessageCall) -> Reply:
    """Remove it; what it was is the answer."""
    call.query()
    found = await call.gateway.webhook(call.principal.name)
    if found is None or not await call.gateway.drop_webhook(call.principal.name):
        raise _none()
    return json_reply(200, _view(found))


def _none() -> RequestError:
    return RequestError(Kind.NOT_FOUND, "you have set no webhook")


def _view(found: Webhook) -> wire.WebhookView:
    return wire.WebhookView(
        url=found.url,
        state="gone" if found.gone else "failing" if found.failures else "active",
        set_at=instant_text(found.set_at),
        failures=found.failures,
        fault=found.fault,
        next_at=None if found.next_at is None else instant_text(found.next_at),
    )
