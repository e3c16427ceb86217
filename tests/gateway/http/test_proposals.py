"""The digest of a proposal: it tells two sets of terms apart, however small the difference."""

import msgspec

from gateway.http import proposals, wire
from tests.gateway.http.conftest import changed, proposal
from tests.gateway.http.fake import BUYER, SELLER, FakeGateway

SECRET = {"holder": SELLER, "algorithm": "sha256", "encoding": "raw", "hash": "ab" * 32}
NOON, LATER = "2026-10-06T12:00:00Z", "2026-10-06T12:00:00.000000001Z"


def digest(said: object) -> bytes:
    drawn = proposals.read(msgspec.convert(said, wire.Proposal), FakeGateway())
    assert isinstance(drawn, tuple), drawn
    return drawn[1]


def test_whatever_is_said_otherwise_makes_another_digest() -> None:
    said = [
        proposal(),
        proposal(id="0192f3c4-5d6e-7f80-9a1b-2c3d4e5f6072"),
        proposal(legs=proposal()["legs"][::-1]),
        proposal(protocol="htlc"),
        proposal(protocol="two_key"),
        proposal(commit_by=NOON),
        proposal(commit_by=LATER),
        proposal(secret=SECRET),
        proposal(secret=SECRET | {"holder": BUYER}),
        proposal(secret=SECRET | {"algorithm": "sm3"}),
        proposal(secret=SECRET | {"encoding": "hex-text"}),
        proposal(secret=SECRET | {"hash": "ac" * 32}),
        changed("legs.0.leg", "SECV"),
        changed("legs.1.quantity", "998750.01"),
        changed("legs.0.payer.account", "REGA-SELADE-0002"),
        changed("legs.0.payer.member", BUYER),
        changed("legs.0.payee.account", "REGA-BUYRFR-0002"),
        changed("legs.0.expires_at", NOON),
        changed("legs.1.expires_at", NOON),
        changed("legs.1.expires_at", LATER),
    ]
    assert len({digest(terms) for terms in said}) == len(said)


def test_what_is_not_said_may_be_said_to_be_nothing() -> None:
    nothing = {"protocol": None, "commit_by": None, "secret": None}
    assert digest(proposal(**nothing)) == digest(proposal())
