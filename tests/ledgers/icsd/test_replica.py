"""What a replica decides: who votes and cuts when, what is final, what makes it stop."""

import msgspec

from htlc.units import SECOND, Instant
from ledgers.icsd.entry import CUT_SUBJECT, Hash, Statement
from ledgers.icsd.proof import Offence, is_evidence
from ledgers.icsd.replica import Replica
from tests.ledgers.icsd.network import KZ, Net, Pen, epoch_of, fresh_view, opened


def test_entries_become_final_and_all_roots_are_equal() -> None:
    net = Net(supervisor=True)
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(10)
    assert all(replica.final >= 1 for replica in net.replicas.values())
    assert len(net.heads()) == 1
    assert net.replicas["supervisor"].to_vote(net.now) is None
    assert net.replicas["supervisor"].to_cut(net.now, True) is None


def test_one_of_four_may_be_silent() -> None:
    net = Net()
    net.silent = {"UZ"}
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(20)
    assert net.replicas["KZ"].final >= 1


def test_without_a_quorum_nothing_is_final() -> None:
    net = Net()
    net.silent = {"UZ", "GE"}
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(20)
    assert net.replicas["KZ"].final == 0


def test_a_liars_root_changes_nothing() -> None:
    net = Net()

    def lie(name: str, statement: Statement) -> Statement:
        if name != "UZ":
            return statement
        return msgspec.structs.replace(statement, state=Hash(b"\x01" * 32))

    net.bundle("KZ", opened("KZ", "kz-1"))
    for _ in range(10):
        net.step(lie)
    assert net.replicas["KZ"].final >= 1
    assert net.replicas["KZ"].stopped is None


def test_a_replica_that_differs_from_the_quorum_stops() -> None:
    net = Net()
    net.run(5)
    wrong = net.replicas["UZ"].view.tables
    wrong.sequences[KZ] = 5, Hash(bytes(32))
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(60)
    stopped = net.replicas["UZ"].stopped
    assert stopped is not None and "results" in stopped.what
    assert net.replicas["UZ"].to_cut(net.now, True) is None
    assert net.replicas["KZ"].final >= 2


def test_two_votes_of_one_height_convict() -> None:
    net = Net()
    net.run(3)
    replica = net.replicas["KZ"]
    statement = Statement(
        epoch=1, height=9, block=Hash(bytes(32)), results=Hash(bytes(32)), state=Hash(bytes(32))
    )
    for state in (b"\x01" * 32, b"\x02" * 32, b"\x01" * 32):
        replica.hear(*Pen(KZ).vote(msgspec.structs.replace(statement, state=Hash(state))))
    assert [found.offence for found in replica.evidence] == [Offence.TWO_VOTES]
    assert is_evidence(replica.evidence[0], epoch_of("AM", "GE", "KZ", "UZ"))


def test_who_repeats_its_vote_is_told_ours_again() -> None:
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(8)
    replica = net.replicas["GE"]
    assert replica.certified is not None and not replica.is_asked_again()
    statement = replica.certified.statement
    assert statement.height == replica.view.height
    replica.hear(*net.pens["GE"].vote(statement))
    assert not replica.is_asked_again(), "our own echo asks for nothing"
    replica.hear(*net.pens["AM"].vote(statement))
    assert replica.is_asked_again()
    assert not replica.is_asked_again(), "said once"


def test_two_bundles_of_one_sequence_convict() -> None:
    net = Net()
    pen = Pen(KZ)
    first = pen.bundle(opened("KZ", "kz-1"))
    other = Pen(KZ).bundle(opened("KZ", "kz-2"))
    net.publish("ord.KZ", first)
    net.publish("ord.KZ", other)
    net.run(3)
    evidence = net.replicas["UZ"].evidence
    assert [found.offence for found in evidence] == [Offence.TWO_BUNDLES]


def test_a_time_far_from_our_clock_gets_no_vote() -> None:
    for shift, word in ((31, "ahead"), (-31, "behind")):
        net = Net()
        net.run(3)
        replica = net.replicas["UZ"]
        if word == "behind":
            net.now = Instant(net.now + 100 * SECOND)
            for each in net.replicas.values():
                each.caught_up(net.now)
        net.run(1)
        height, certificate = replica.view.height + 1, replica.certified
        at = Instant(net.now + shift * SECOND)
        net.publish(CUT_SUBJECT, Pen(KZ).cut(height, at, certificate))
        replica.take(net.log[-1])
        assert replica.view.height == height
        assert replica.to_vote(net.now) is None
        assert replica.withheld is not None and word in replica.withheld


def test_small_steps_do_not_lead_away_from_our_clock() -> None:
    """Each cut is valid and close to the block before; the third is too far from our clock."""
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(6)
    for _ in range(3):
        view, certificate = net.replicas["UZ"].view, net.replicas["UZ"].certified
        at = Instant(view.at + 15 * SECOND)
        net.publish(CUT_SUBJECT, Pen(KZ).cut(view.height + 1, at, certificate))
        for name, replica in net.replicas.items():
            net.blocks[name].append(replica.take(net.log[-1]))  # type: ignore[arg-type]
            net.read[name] = len(net.log)
        net.votes()
    assert net.replicas["UZ"].withheld is not None
    assert net.replicas["UZ"].view.height == net.replicas["UZ"].final + 2


def test_a_time_that_stands_is_believed_when_our_clock_was_set_back() -> None:
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(6)
    height, net.now = net.replicas["UZ"].final, Instant(net.now - 600 * SECOND)
    net.bundle("KZ", opened("KZ", "kz-2"))
    net.run(6)
    assert net.replicas["UZ"].final > height


def test_a_block_cut_while_we_were_away_gets_our_vote() -> None:
    net = Net()
    net.run(3)
    replica = net.replicas["UZ"]
    height, certificate = replica.view.height + 1, replica.certified
    net.publish(CUT_SUBJECT, Pen(KZ).cut(height, Instant(net.now + SECOND), certificate))
    replica.take(net.log[-1])
    assert replica.to_vote(Instant(net.now + 3_600 * SECOND)) is not None


def test_a_cut_carries_the_certificate_of_the_head_and_of_nothing_later() -> None:
    """After a restart the highest certificate may be of a block that is still to be read again."""
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(12)
    old, blocks = net.replicas["KZ"], net.blocks["KZ"]
    assert old.certified is not None and old.certified.statement.height > 1
    again = Replica(KZ, fresh_view(), certified=old.certified)
    later = Instant(net.now + 100 * SECOND)
    for message in net.log:
        block = again.take(message)
        if block is not None and block.header.height < old.view.height:
            again.to_cut(later, True)
            assert again.to_cut(Instant(later + 50 * SECOND), True) is None
    assert again.view.height == len(blocks) == old.certified.statement.height
    again.to_cut(later, True)
    cut = again.to_cut(Instant(later + 50 * SECOND), True)
    assert cut is not None and cut.certificate == old.certified


def test_a_vote_is_given_once() -> None:
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(2)
    replica = net.replicas["UZ"]
    assert replica.take(net.log[1]) is not None
    statement = replica.to_vote(net.now)
    assert statement is not None
    replica.signed(statement)
    assert replica.to_vote(net.now) is None


def test_after_a_long_stop_time_is_brought_up_at_once() -> None:
    net = Net()
    net.bundle("KZ", opened("KZ", "kz-1"))
    net.run(8)
    head = net.replicas["KZ"].view.at
    net.now = Instant(net.now + 600 * SECOND)
    net.run(120)
    view = net.replicas["KZ"].view
    assert view.at > head + 600 * SECOND
    assert net.replicas["KZ"].withheld is None
