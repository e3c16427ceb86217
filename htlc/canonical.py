"""Canonical bytes: the one spelling of a content that is hashed, signed or compared.

RFC 8785 (JSON Canonicalization Scheme) over content without floats: integers travel as strings, so
that every language reads the same number. Keys are ASCII, where the order of UTF-16 code units that
the RFC asks for and the order of code points are the same.
"""

import hashlib

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(content: object) -> bytes:
    """The RFC 8785 bytes of `content`: structs, dicts, lists, text, booleans, None."""
    return _encoder.encode(content)


def digest(content: object) -> bytes:
    """SHA-256 over the canonical bytes."""
    return hashlib.sha256(canonical(content)).digest()
