"""Which votes are looked at, and that none that is not saves a liar."""

import msgspec

from ledgers.icsd.entry import Hash, Signed, Statement, Vote
from ledgers.icsd.epoch import RegistryId
from ledgers.icsd.tally import VOTE_BYTES_MAX, Heard, Tally
from tests.ledgers.icsd.network import FOUR, KZ, Pen, certificate_of, epoch_of

EPOCH = epoch_of(*FOUR)
UZ = RegistryId("UZ")
ALL = tuple(map(RegistryId, FOUR))


def statement(state: int = 1) -> Statement:
    nothing = Hash(bytes(32))
    return Statement(
        epoch=1, height=9, block=nothing, results=nothing, state=Hash(bytes([state]) * 32)
    )


def forged(name: RegistryId, state: int = 1) -> tuple[Signed, Vote]:
    signed, vote = Pen(name).vote(statement(state))
    return msgspec.structs.replace(signed, signature=bytes(64)), vote


def test_a_quorum_of_votes_makes_a_certificate_and_a_repeated_one_is_told() -> None:
    tally = Tally(lambda *_: None)
    for name in ALL[:3]:
        assert tally.certificate(9, EPOCH) is None
        assert tally.hear(*Pen(name).vote(statement()), EPOCH, is_late=False) is Heard.NEW
    assert tally.certificate(9, EPOCH) == certificate_of(statement(), *ALL[:3])
    assert tally.hear(*Pen(ALL[0]).vote(statement()), EPOCH, is_late=True) is Heard.REPEATED
    assert tally.hear(*forged(UZ), EPOCH, is_late=False) is None


def test_a_late_vote_is_counted_when_it_is_repeated() -> None:
    tally = Tally(lambda *_: None)
    vote = Pen(UZ).vote(statement())
    assert tally.hear(*vote, EPOCH, is_late=True) is None
    assert not tally.of(9)
    assert tally.hear(*vote, EPOCH, is_late=True) is Heard.REPEATED
    assert tally.of(9).keys() == {UZ}


def test_two_late_votes_convict_and_a_forged_one_before_them_helps_nobody() -> None:
    convicted: list[tuple[Signed, Signed]] = []
    tally = Tally(lambda *pair: convicted.append(pair))
    one, other = Pen(UZ).vote(statement(1)), Pen(UZ).vote(statement(2))
    assert tally.hear(*forged(UZ), EPOCH, is_late=True) is None
    assert tally.hear(*one, EPOCH, is_late=True) is Heard.NEW
    assert tally.hear(*other, EPOCH, is_late=True) is None
    assert convicted == [(one[0], other[0])]


def test_late_votes_fill_no_memory() -> None:
    tally = Tally(lambda *_: None)
    assert tally.hear(*Pen(RegistryId("XX")).vote(statement()), EPOCH, is_late=True) is None
    signed, vote = Pen(KZ).vote(statement())
    long = msgspec.structs.replace(signed, body=signed.body + bytes(VOTE_BYTES_MAX))
    assert tally.hear(long, vote, EPOCH, is_late=True) is Heard.NEW, "looked at: its vote is signed"
    for name in ALL:
        tally.hear(*Pen(name).vote(statement()), EPOCH, is_late=True)
    tally.forget(10)
    assert not tally.votes and not tally.of(9)
    assert tally.hear(*Pen(UZ).vote(statement()), EPOCH, is_late=True) is None, "the first again"
