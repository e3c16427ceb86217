"""The signature of a webhook delivery, made by the gateway and verified by its receiver.

Headers and signed content are those of the Standard Webhooks specification (version 1):
`webhook-id`, `webhook-timestamp` (seconds), `webhook-signature: v1,BASE64` of the HMAC-SHA256 over
`id.timestamp.body`. The key is the secret that the member has set: the bytes that stand in base64
after `whsec_`, as that specification writes secrets, else its characters in UTF-8.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
PREFIX: Final = "whsec_"

TOLERANCE_SECONDS: Final = 300
"""How old or how far ahead a delivery may be: what the specification's libraries allow. Each
attempt has a time stamp of its own."""


def headers(secret: str, id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery; `at` in seconds since 1970."""
    return {ID: id, TIMESTAMP: str(at), SIGNATURE: "v1," + _mac(secret, id, str(at), body)}


def fault(secret: str, given: Mapping[str, str], body: bytes, now: int) -> str | None:
    """Why a delivery is not the gateway's, or not of now; None if it is. `given` are the headers,
    with names in lower case."""
    id, stamp = given.get(ID, ""), given.get(TIMESTAMP, "")
    if not id or not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12):
        return f"{ID} or {TIMESTAMP} is missing"
    wanted = f"v1,{_mac(secret, id, stamp, body)}".encode()
    said = given.get(SIGNATURE, "").encode().split(b" ")  # several while a secret is replaced
    if not any(hmac.compare_digest(item, wanted) for item in said):
        return f"{SIGNATURE} is not that of this secret and body"
    if abs(now - int(stamp)) > TOLERANCE_SECONDS:
        return f"{TIMESTAMP} is more than {TOLERANCE_SECONDS} s away: it is played again"
    return None


def key(secret: str) -> bytes:
    """The bytes of a secret; ValueError if what follows `whsec_` is no base64."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)


def _mac(secret: str, id: str, stamp: str, body: bytes) -> str:
    signed = f"{id}.{stamp}.".encode() + body
    return base64.b64encode(hmac.digest(key(secret), signed, hashlib.sha256)).decode()
