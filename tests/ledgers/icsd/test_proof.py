"""What convicts, what certifies, what is final: each condition by name."""

import msgspec
import pytest

from htlc.contract import Answer, Refusal
from htlc.units import Instant
from ledgers.icsd.entry import NOTHING, Hash, Signed, Statement, Vote, sign, unpack
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.proof import (
    Evidence,
    Header,
    Offence,
    State,
    certificate_hash,
    evidence,
    is_certified,
    is_evidence,
    is_final,
    results_root,
)
from tests.ledgers.icsd.network import (
    FOUR,
    KZ,
    NETWORK,
    UZ,
    Pen,
    certificate_of,
    epoch_of,
    key_of,
    opened,
)

replace = msgspec.structs.replace
EPOCH = epoch_of(*FOUR)
ONE, TWO = Hash(b"\x01" * 32), Hash(b"\x02" * 32)
STATEMENT = Statement(epoch=1, height=5, block=ONE, results=ONE, state=ONE)
OTHER = replace(STATEMENT, state=TWO)


def vote(statement: Statement, registry: RegistryId = KZ) -> Signed:
    return Pen(registry).vote(statement)[0]


def bundle(sequence: int, name: str, epoch: int = 1, registry: RegistryId = KZ) -> Signed:
    read = unpack(Pen(registry).bundle(opened(registry, name), sequence=sequence, epoch=epoch))
    assert read is not None
    return read[0]


# --- evidence ------------------------------------------------------------------------------------


def test_two_votes_and_two_bundles_convict() -> None:
    votes = evidence(vote(STATEMENT), vote(OTHER))
    bundles = evidence(bundle(3, "a"), bundle(3, "b"))
    assert votes is not None and (votes.offence, votes.place) == (Offence.TWO_VOTES, 5)
    assert bundles is not None and (bundles.offence, bundles.place) == (Offence.TWO_BUNDLES, 3)
    assert is_evidence(votes, EPOCH) and is_evidence(bundles, EPOCH)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (vote(STATEMENT), vote(STATEMENT)),  # the same, repeated
        (vote(STATEMENT), vote(OTHER, UZ)),  # two registries
        (vote(STATEMENT), vote(replace(OTHER, height=6))),
        (vote(STATEMENT), vote(replace(OTHER, epoch=2))),
        (bundle(3, "a"), bundle(4, "b")),
        (bundle(3, "a"), bundle(3, "b", epoch=2)),  # signed again after a recovery
        (bundle(5, "a"), vote(STATEMENT)),
        (vote(STATEMENT), Signed(KZ, b"\xc1", b"")),
    ],
)
def test_what_is_in_order_convicts_nobody(first: Signed, second: Signed) -> None:
    assert evidence(first, second) is None
    assert evidence(second, first) is None


def test_evidence_shows_itself() -> None:
    shown = evidence(vote(STATEMENT), vote(OTHER))
    assert shown is not None
    forged = sign(Vote(registry=KZ, statement=OTHER), key_of("UZ"))
    for wrong in (
        replace(shown, second=forged),
        replace(shown, second=shown.first),
        replace(shown, registry=UZ),
        replace(shown, registry=RegistryId("TJ")),
        replace(shown, place=6),
        replace(shown, offence=Offence.TWO_BUNDLES),
    ):
        assert not is_evidence(wrong, EPOCH)
    assert not is_evidence(shown, epoch_of(*FOUR, number=2))
    assert isinstance(shown, Evidence)


# --- certificates --------------------------------------------------------------------------------


def test_a_quorum_certifies_and_nothing_less() -> None:
    assert is_certified(certificate_of(STATEMENT, "AM", "GE", "KZ"), EPOCH)
    assert is_certified(certificate_of(STATEMENT, *FOUR), EPOCH)
    for names in (("AM", "GE"), ("AM", "GE", "GE"), ("AM", "GE", "TJ"), (*FOUR, "TJ"), ()):
        assert not is_certified(certificate_of(STATEMENT, *names), EPOCH)


def test_a_certificate_is_of_one_statement_and_one_epoch() -> None:
    good = certificate_of(STATEMENT, "AM", "GE", "KZ")
    assert not is_certified(replace(good, statement=OTHER), EPOCH)
    assert not is_certified(good, epoch_of(*FOUR, number=2))
    elsewhere = certificate_of(replace(STATEMENT, epoch=2), *FOUR)
    assert not is_certified(elsewhere, EPOCH)
    broken = (*good.signatures[:2], (KZ, bytes(64)))
    assert not is_certified(replace(good, signatures=broken), EPOCH)


HEADER = Header(
    network=NETWORK,
    epoch=1,
    height=5,
    previous=ONE,
    operations=TWO,
    count=0,
    at=Instant(7),
    certificate=NOTHING,
)


def test_a_block_is_final_with_the_child_that_carries_its_certificate() -> None:
    certificate = certificate_of(replace(STATEMENT, block=HEADER.hash), *FOUR)
    carried = certificate_hash(certificate)
    child = replace(HEADER, height=6, previous=HEADER.hash, certificate=carried)
    assert is_final(HEADER, certificate, child)
    for header, shown, after in (
        (replace(HEADER, count=1), certificate, child),
        (HEADER, certificate_of(STATEMENT, *FOUR), child),
        (HEADER, certificate, replace(child, height=7)),
        (HEADER, certificate, replace(child, previous=ONE)),
        (HEADER, certificate, replace(child, certificate=NOTHING)),
    ):
        assert not is_final(header, shown, after)
    late = replace(certificate, statement=replace(certificate.statement, height=6))
    relabelled = replace(child, certificate=certificate_hash(late))
    assert not is_final(HEADER, late, relabelled)


def test_every_part_of_a_header_and_a_state_is_in_its_hash() -> None:
    state = State(
        holdings=ONE,
        instruments=1,
        records=ONE,
        count=1,
        operations=ONE,
        done=1,
        sequences=ONE,
        epochs=ONE,
    )
    changes: dict[str, object] = {"network": "x", "previous": TWO, "operations": ONE}
    changes |= {name: 9 for name in ("epoch", "height", "count", "at")} | {"certificate": ONE}
    assert changes.keys() == set(HEADER.__struct_fields__)
    hashes = {replace(HEADER, **{name: value}).hash for name, value in changes.items()}
    assert len(hashes | {HEADER.hash}) == len(changes) + 1
    others = {
        replace(state, **{name: 9 if isinstance(getattr(state, name), int) else TWO}).root
        for name in state.__struct_fields__
    }
    assert len(others | {state.root}) == len(state.__struct_fields__) + 1


def test_results_differ_where_answers_do() -> None:
    done, refused = Answer(at=Instant(5)), Answer(at=Instant(5), refusal=Refusal.TOO_LATE)
    roots = {
        results_root(results)
        for results in ([], [None], [done], [refused], [Refusal.TOO_LATE], [done, refused])
    }
    assert len(roots) == 6
