"""The texts that a ledger's JSON is made of: names, integers, hex."""

from typing import Annotated

from msgspec import Meta

from htlc.units import HtlcId
from ledgers.names import NAME_PATTERN, UUID_PATTERN

Uuid = Annotated[HtlcId, Meta(pattern=UUID_PATTERN)]
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Integer = Annotated[
    str,
    Meta(
        max_length=19,  # 2^63 - 1 has 19 digits
        description="A decimal integer up to 2^63 - 1: a quantity in the smallest unit of the "
        "asset, an instant in UTC nanoseconds, a height",
        extra_json_schema={"pattern": "^(0|[1-9][0-9]*)$"},  # asked by `wire.integer`
    ),
]
Hex = Annotated[
    str,
    Meta(
        max_length=256,  # a key of a wrong length is still answered
        description="Lower-case hex",
        extra_json_schema={"pattern": "^([0-9a-f]{2})*$"},  # asked by `wire.octets`
    ),
]
Cursor = Annotated[
    str,
    Meta(description="`height.position` of a posting; empty: before every one", examples=["7.0"]),
]
