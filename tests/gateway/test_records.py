"""Events of a journal entry as they are kept: read back, they are the same."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.records import events, texts
from htlc.agreement import AgreedLeg, Agreement, PrincipalRisk
from htlc.contract import Terms
from htlc.events import CancelRequested, Event, Learned, Opened, Proposed
from htlc.hashlock import Algorithm, HashFunction
from htlc.leg import LegState, LegStatus
from htlc.settlement import Settlement
from htlc.swap import Leg, LockProtocol, Swap
from htlc.units import Duration, Instant, MemberId, SettlementId
from tests.htlc import samples

SHAPES = {
    "dvp": samples.dvp_swap(),
    "three legs": samples.cross_swap(),
    "ring": samples.ring_swap(5),
    "by then": samples.changed(samples.dvp_swap(), commit_by=Instant(samples.NOW + 400)),
    "asked for": samples.changed(samples.dvp_swap(), protocol=LockProtocol.HTLC),
}

PROTOCOLS = {
    "two keys": samples.two_key,
    "backstop": lambda swap: samples.two_key(swap, samples.BACKSTOP),
    "anchored": samples.anchored,
    "anchor that expires": samples.anchored_htlc,
    "htlc": samples.htlc,
    "unlike hashes": lambda swap: samples.locking(_unlike(swap), swap),
}


def _unlike(swap: Swap) -> Agreement:
    """Its second leg, of at least two, has locks of its own."""
    sm3 = samples.profile(functions=(HashFunction(algorithm=Algorithm.SM3),))
    ledgers = samples.profiles(swap) | {swap.legs[1].ledger: sm3}
    return samples.agreement(swap, LockProtocol.TWO_KEY, ledgers=ledgers)


def begun(state: Settlement) -> tuple[Event, ...]:
    proposed = Proposed(swap=state.swap, consents=tuple(sorted(state.consents)))
    return (proposed, Opened(agreement=state.agreed))


def tags(text: str) -> list[str]:
    return [event["event"] for event in msgspec.json.decode(text)]


def in_full(told: tuple[Event, ...]) -> str:
    """As every entry was written at first."""
    return msgspec.json.encode(told).decode()


DVP = samples.two_key()
REQUEST = CancelRequested(by=MemberId("SELLER"), why="a\nline\x1e and \u2028 more")
FACT = Learned(leg=1, known=LegState(status=LegStatus.LOCKED, at=Instant(7)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_opened_at_once_says_nothing_twice(shape: str, protocol: str) -> None:
    told = begun(PROTOCOLS[protocol](SHAPES[shape]))
    (text,) = texts([told])
    assert tags(text) == ["agreed"]
    assert text.count('"asset"') == len(SHAPES[shape].legs)
    assert len(text) < 0.7 * len(in_full(told))
    assert events(text) == told


@pytest.mark.parametrize("state", [samples.anchored_party(), samples.htlc_party()])
def test_a_secret_that_a_party_holds_is_kept_with_its_swap(state: Settlement) -> None:
    told = begun(state)
    (text,) = texts([told])
    assert tags(text) == ["agreed"]
    assert events(text) == told


def test_what_follows_in_the_entry_and_other_entries_stay_as_they_are() -> None:
    proposed, opened = begun(DVP)
    entries = [(proposed, opened, REQUEST, FACT), (proposed,), (opened,), (FACT, REQUEST), ()]
    kept = texts(entries)
    assert [tags(text) for text in kept] == [
        ["agreed", "cancel_requested", "learned"],
        ["proposed"],
        ["opened"],
        ["learned", "cancel_requested"],
        [],
    ]
    assert [events(text) for text in kept] == entries
    assert texts([]) == []


def test_an_entry_of_an_earlier_release_is_read() -> None:
    told = (*begun(DVP), REQUEST)
    assert events(in_full(told)) == told


def _leg(**changes: Any) -> Callable[[AgreedLeg], AgreedLeg]:
    return lambda leg: replace(leg, **changes)


def _terms(**changes: Any) -> Callable[[AgreedLeg], AgreedLeg]:
    return lambda leg: replace(leg, terms=replace(leg.terms, **changes))


@pytest.mark.parametrize("field", ["ledger", "payer", "payee"])
def test_a_leg_agreed_otherwise_than_proposed_is_kept_in_full(field: str) -> None:
    _is_kept_in_full(_leg(**{field: "OTHER"}))


@pytest.mark.parametrize("field", ["settlement", "leg", "payer", "payee", "asset", "quantity"])
def test_terms_other_than_proposed_are_kept_in_full(field: str) -> None:
    other: Any = 7 if field == "quantity" else "OTHER"
    _is_kept_in_full(_terms(**{field: other}))


def _is_kept_in_full(change: Callable[[AgreedLeg], AgreedLeg]) -> None:
    first, second = DVP.agreed.legs
    for legs in ((change(first), second), (first, change(second))):
        _agreed_otherwise(replace(DVP.agreed, legs=legs))


def _agreed_otherwise(agreement: Agreement) -> None:
    told = (begun(DVP)[0], Opened(agreement=agreement))
    (text,) = texts([told])
    assert text == in_full(told)
    assert events(text) == told


def test_another_settlement_or_other_legs_are_kept_in_full() -> None:
    _agreed_otherwise(replace(DVP.agreed, settlement=SettlementId("another")))
    _agreed_otherwise(replace(DVP.agreed, legs=DVP.agreed.legs[:1]))


def test_every_field_is_kept_or_told_by_the_swap() -> None:
    """A field that is added to one of these belongs into the short form as well."""
    leg = DVP.agreed.legs[0]
    agreement = replace(
        DVP.agreed,
        anchor=1,
        holder=MemberId("BUYER"),
        risk=PrincipalRisk.RESIDUAL,
        outage_max=Duration(5),
        legs=(
            replace(
                leg,
                margin=Duration(3),
                terms=replace(leg.terms, expires_at=Instant(9), cancellation_lock=None),
            ),
            DVP.agreed.legs[1],
        ),
    )
    told = (begun(DVP)[0], Opened(agreement=agreement))
    assert events(*texts([told])) == told
    assert [len(kind.__struct_fields__) for kind in (Agreement, AgreedLeg, Terms, Leg)] == [
        *(8, 6, 11),
        7,
    ]


def test_what_does_not_fit_together_is_no_journal() -> None:
    [kept] = msgspec.json.decode(*texts([begun(DVP)]))
    fewer = [kept | {"legs": kept["legs"][:1]}]
    lockless = [kept | {"legs": kept["legs"][1:] * 2}]
    for damaged in (fewer, lockless):
        with pytest.raises(msgspec.DecodeError):
            events(msgspec.json.encode(damaged).decode())
