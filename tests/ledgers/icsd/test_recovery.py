"""The end of an epoch and the beginning of the next: what is kept, and who may not decide it."""

import hashlib
import uuid

import msgspec
import pytest

from htlc.contract import Refusal, Status, Terms
from htlc.hashlock import Algorithm, Encoding, Hashlock
from htlc.units import (
    SECOND,
    AccountId,
    HtlcId,
    Instant,
    LedgerId,
    LegId,
    Quantity,
    SettlementId,
)
from ledgers.icsd.entry import CUT_SUBJECT, Certificate, Entry, Hash, Signed, verified
from ledgers.icsd.epoch import Epoch, RegistryId, faults, quorum
from ledgers.icsd.recovery import (
    Ballot,
    Begun,
    Record,
    RecordFault,
    Stop,
    carried_over,
    is_begun,
    may_consent,
    propose,
    record_fault,
    sign_word,
    successor,
)
from ledgers.icsd.replica import Replica
from ledgers.port import Execute, Lock, Refund
from tests.ledgers.icsd.model import explore
from tests.ledgers.icsd.network import (
    FOUR,
    GE,
    ISIN,
    KZ,
    NETWORK,
    UZ,
    Net,
    Pen,
    asked,
    certificate_of,
    defined,
    epoch_of,
    issued,
    key_of,
    opened,
    owner,
)

# --- the exhaustive model ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_no_case_forks_and_no_final_block_is_lost(n: int) -> None:
    found = explore(n, quorum(n))
    assert found.cases > 90 and found.finals > 80
    assert (found.forks, found.hidden) == (0, 0)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_one_round_of_signatures_would_lose_what_it_calls_final(n: int) -> None:
    assert explore(n, quorum(n)).hidden_by_one_round > 0


@pytest.mark.parametrize("n", [5, 6])
def test_2f_plus_1_forks_where_n_is_not_3f_plus_1(n: int) -> None:
    found = explore(n, 2 * faults(n) + 1)
    assert found.forks > 0 and found.hidden > 0


# --- records -------------------------------------------------------------------------------------

EPOCH = epoch_of(*FOUR)


def stop(name: str, certificate: Certificate | None, **changed: object) -> Signed:
    fields: dict[str, object] = {
        "network": NETWORK,
        "registry": RegistryId(name),
        "epoch": 1,
        "certificate": certificate,
    }
    return sign_word(Stop(**(fields | changed)), key_of(name))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def certificates() -> list[Certificate]:
    """Of the blocks of a chain, by height from 1."""
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(12)
    blocks = net.blocks["KZ"]
    return [certificate_of(block.statement, "AM", "GE", "KZ") for block in blocks]


def fault(record: Record, epoch: Epoch = EPOCH, **known: Epoch | None) -> RecordFault | None:
    return record_fault(record, NETWORK, epoch, known.get("following"), {1: EPOCH})


def altered(record: Record, **changed: object) -> Record:
    return msgspec.structs.replace(record, **changed)


def test_a_record_goes_on_from_the_highest_certified_block(
    certificates: list[Certificate],
) -> None:
    first, second = certificates[:2]
    stops = [stop("UZ", first), stop("GE", second), stop("AM", None)]
    record = propose(NETWORK, EPOCH, None, stops)
    assert (record.number, record.start, record.certificate) == (2, 3, second)
    assert fault(record) is None
    assert successor(record, EPOCH, None) == Epoch(number=2, members=EPOCH.members, start=3)


def test_nobody_consents_to_a_wrong_record(certificates: list[Certificate]) -> None:
    first, second = certificates[:2]
    stops = [stop("UZ", first), stop("GE", second), stop("AM", None)]
    record = propose(NETWORK, EPOCH, None, stops)
    forged = msgspec.structs.replace(second, signatures=second.signatures[:2])
    cases = {
        RecordFault.WRONG_NETWORK: [altered(record, network=LedgerId("other"))],
        RecordFault.WRONG_EPOCH: [altered(record, number=3), altered(record, ends=0)],
        RecordFault.TOO_FEW_STOPS: [propose(NETWORK, EPOCH, None, stops[:2])],
        RecordFault.WRONG_START: [
            altered(record, start=2),
            altered(record, start=2, certificate=first),
            altered(record, certificate=None),
        ],
        RecordFault.BAD_STOP: [
            propose(NETWORK, EPOCH, None, [*stops[:2], other])
            for other in (
                stop("AM", None, epoch=2),
                stop("AM", None, network=LedgerId("other")),
                stop("AM", forged),
                stop("GE", None),  # twice
                msgspec.structs.replace(stop("AM", None), signature=bytes(64)),
            )
        ],
    }
    for expected, records in cases.items():
        assert [fault(wrong) for wrong in records] == [expected] * len(records)


def test_members_that_were_decided_take_over_and_no_number_is_used_twice(
    certificates: list[Certificate],
) -> None:
    following = epoch_of("AM", "GE", "KZ", "TJ", "UZ", number=2, start=9)
    stops = [stop(name, certificates[0]) for name in ("AM", "GE", "KZ")]
    record = propose(NETWORK, EPOCH, following, stops)
    assert fault(record, following=following) is None
    assert fault(record) is RecordFault.WRONG_EPOCH
    begun = successor(record, EPOCH, following)
    assert (begun.number, begun.members, begun.start) == (3, following.members, 2)


def ballot(name: str, record: Record, **changed: object) -> Signed:
    fields: dict[str, object] = {
        "network": NETWORK,
        "registry": RegistryId(name),
        "number": record.number,
        "record": record.hash,
    }
    return sign_word(Ballot(**(fields | changed)), key_of(name))  # type: ignore[arg-type]


def test_a_quorum_of_ballots_begins_an_epoch(certificates: list[Certificate]) -> None:
    record = propose(NETWORK, EPOCH, None, [stop(name, certificates[0]) for name in FOUR])
    ballots = tuple(ballot(name, record) for name in ("AM", "GE", "KZ"))
    assert is_begun(Begun(record=record, ballots=ballots), EPOCH)
    other = altered(record, start=record.start + 1)
    for wrong in (
        ballots[:2],
        (*ballots[:2], ballots[1]),
        (*ballots[:2], ballot("TJ", record)),
        (*ballots[:2], ballot("UZ", other)),
        (*ballots[:2], ballot("UZ", record, number=3)),
        (*ballots[:2], stop("UZ", None)),
    ):
        assert not is_begun(Begun(record=record, ballots=wrong), EPOCH)


def test_one_ballot_per_number(certificates: list[Certificate]) -> None:
    stops = [stop(name, certificates[0]) for name in FOUR]
    record, other = (propose(NETWORK, EPOCH, None, some) for some in (stops, stops[1:]))
    assert record.hash != other.hash
    assert may_consent(record, {})
    assert may_consent(record, {2: record.hash})
    assert not may_consent(other, {2: record.hash})


def test_a_word_of_recovery_is_no_message_of_the_log() -> None:
    word = stop("KZ", None)
    assert verified(word.signature, word.body, EPOCH.key(KZ) or b"")
    net = Net()
    net.publish("ord.KZ", msgspec.msgpack.encode(word))
    net.run(20)
    assert net.blocks["KZ"][0].ignored[0].fault.value == "unreadable"


def test_claims_go_before_refunds() -> None:
    refund = asked(owner("a"), Refund(id=HtlcId("r")))
    claims = [asked(owner("a"), Execute(id=HtlcId(name), key=b"")) for name in "xy"]
    entries: list[Entry] = [claims[0], refund, claims[1], opened("KZ", "kz-1")]
    assert carried_over(entries) == [claims[0], claims[1], opened("KZ", "kz-1"), refund]


# --- a whole recovery ----------------------------------------------------------------------------


def test_the_network_goes_on_from_the_last_certified_block_in_another_log() -> None:
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(12)
    final = net.replicas["KZ"].final
    # A block that only UZ reads is never certified: its log is another one.
    replica = net.replicas["UZ"]
    lone = net.pens["UZ"].bundle(opened("UZ", "uz-1"))
    height, at = replica.view.height + 1, Instant(net.now + 1)
    for subject, data in (
        ("ord.UZ", lone),
        (CUT_SUBJECT, Pen(GE).cut(height, at, replica.certified)),
    ):
        block = replica.take(msgspec.structs.replace(net.log[0], subject=subject, data=data))
    assert block is not None and block.header.height == height
    stops = [stop(name, net.replicas[name].certified) for name in ("GE", "KZ", "UZ")]
    record = propose(NETWORK, EPOCH, None, stops)
    epoch = successor(record, EPOCH, None)
    assert record.start == height > final
    for old in net.replicas.values():
        old.end()
        assert old.to_vote(net.now) is None and old.to_cut(net.now, True) is None
    replica.view.undo(block)
    _begin(net, record, epoch)
    net.pens["UZ"] = _pen(UZ, epoch)
    net.bundle("UZ", opened("UZ", "uz-1"))
    net.now = Instant(net.now + 3_600 * 10**9)
    net.run(620)
    assert all(replica.final >= height for replica in net.replicas.values())
    assert len(net.heads()) == 1
    first = next(b for b in net.blocks["KZ"] if b.header.height == height)
    assert first.header.at == first.before.place.at, "time goes on from where it stood"
    assert first.outcomes[0].results == (None,)


def test_a_claim_that_was_in_time_is_in_time_after_the_recovery() -> None:
    """It was published, and lost with the log; people took an hour; a refund waits behind it."""
    net = Net()
    net.bundle(
        "KZ",
        opened("KZ", "kz-issue", "kz-issuer"),
        opened("KZ", "kz-1"),
        defined("KZ", ISIN, "kz-issue", "kz-issuer"),
        issued("kz-issuer", "kz-1", 100, "i"),
    )
    net.bundle("UZ", opened("UZ", "uz-1"))
    net.run(6)
    terms = _htlc(net)
    net.bundle("KZ", asked(owner("kz-1"), Lock(terms=terms)))
    net.run(12)
    certified = net.replicas["KZ"].certified
    assert certified is not None and len(net.heads()) == 1
    record = propose(NETWORK, EPOCH, None, [stop(name, certified) for name in FOUR])
    epoch = successor(record, EPOCH, None)
    last = {name: net.replicas["KZ"].view.tables.last(name) for name in (KZ, UZ)}
    _begin(net, record, epoch)
    for name in (KZ, UZ):
        net.pens[name] = Pen(name, epoch.number)
        net.pens[name].sequence, net.pens[name].previous = last[name]
    net.now = Instant(net.now + 3_600 * SECOND)
    assert net.now > (terms.expires_at or 0)
    net.bundle("KZ", asked(owner("kz-1"), Refund(id=terms.id)))
    net.bundle("UZ", asked(owner("uz-1"), Execute(id=terms.id, key=SECRET)))
    net.run(620)
    first = next(b for b in net.blocks["KZ"] if b.header.height == record.start)
    refusals = [outcome.results[0].refusal for outcome in first.outcomes]  # type: ignore[union-attr]
    assert refusals == [Refusal.NOT_EXPIRED, None]
    known = net.replicas["GE"].view.book.contracts[terms.id]
    assert known is not None and known.status is Status.EXECUTED


SECRET = b"\x05" * 32


def _htlc(net: Net) -> Terms:
    """A lock on kz-1 for uz-1 that expires in a minute."""
    digest = hashlib.sha256(SECRET).digest()
    return Terms(
        id=HtlcId(str(uuid.UUID(int=1))),
        settlement=SettlementId(str(uuid.UUID(int=2))),
        leg=LegId("SECU"),
        payer=AccountId("kz-1"),
        payee=AccountId("uz-1"),
        asset=ISIN,
        quantity=Quantity(10),
        execution_lock=Hashlock(algorithm=Algorithm.SHA256, encoding=Encoding.RAW, digest=digest),
        lock_by=Instant(net.now + 30 * SECOND),
        expires_at=Instant(net.now + 60 * SECOND),
    )


def _begin(net: Net, record: Record, epoch: Epoch) -> None:
    net.log, net.read = [], dict.fromkeys(net.replicas, 0)
    for name, old in net.replicas.items():
        old.view.begin(epoch)
        last = next(b for b in net.blocks["KZ"] if b.header.height == old.view.height)
        net.replicas[name] = Replica(
            RegistryId(name),
            old.view,
            voted=last.statement,
            certified=record.certificate,
            statement=last.statement,
            recovered=True,
        )


def _pen(registry: RegistryId, epoch: Epoch) -> Pen:
    """Signs for the new epoch; the sequence goes on after the last bundle that stands."""
    pen = Pen(registry, epoch.number)
    pen.sequence, pen.previous = 0, Hash(bytes(32))
    return pen
