"""The people's part when the log has shown different orders: Stops, a Record, Ballots, a new log.

Uses the functions of `ledgers.icsd.recovery` as institutions would, each with its own key and its
own knowledge; what they hand each other is signed records only.
"""

from gateway.simulation.registries import Registries
from gateway.simulation.registries_node import NETWORK, Node
from htlc.units import Duration
from ledgers.icsd.entry import Signed, Vote, pack, unpack
from ledgers.icsd.epoch import Epoch
from ledgers.icsd.recovery import (
    Ballot,
    Begun,
    Record,
    Stop,
    is_begun,
    may_consent,
    propose,
    record_fault,
    sign_word,
    successor,
)
from ledgers.icsd.replica import Replica


def recover(world: Registries) -> Epoch:
    """End the epoch and begin the next, in another log. Returns it."""
    old = world.epoch
    knowing = [node for node in world.nodes.values() if node.replica.votes_above is not None]
    stops = [_stop(node, old) for node in knowing]
    record = propose(NETWORK, old, None, stops)
    ballots = [_ballot(node, record, old) for node in knowing]
    begun = Begun(record=record, ballots=tuple(ballots))
    assert is_begun(begun, old), "all who know what they have signed consented"
    epoch = successor(record, old, None)
    archive = max(world.nodes.values(), key=_certified_height)
    world.replace_log()
    for node in world.nodes.values():
        _go_back(node, record, archive)
        _begin(node, record, epoch)
    for node in world.nodes.values():
        world.wake(node, Duration(0))
    world.epoch = epoch
    return epoch


def _stop(node: Node, epoch: Epoch) -> Signed:
    node.replica.end()
    stop = Stop(
        network=NETWORK,
        registry=node.name,
        epoch=epoch.number,
        certificate=node.replica.certified,
    )
    return sign_word(stop, node.key)


def _ballot(node: Node, record: Record, epoch: Epoch) -> Signed:
    """Each checks the record for itself, and consents once."""
    fault = record_fault(record, NETWORK, epoch, None, {epoch.number: epoch})
    assert fault is None and may_consent(record, {}), f"nobody consents to this: {fault}"
    ballot = Ballot(network=NETWORK, registry=node.name, number=record.number, record=record.hash)
    return sign_word(ballot, node.key)


def _certified_height(node: Node) -> int:
    certified = node.replica.certified
    return 0 if certified is None else certified.statement.height


def _go_back(node: Node, record: Record, archive: Node) -> None:
    """To the start block: undo what is not of its chain, and apply what is missing of it."""
    view = node.replica.view
    chain = archive.blocks[: record.start - 1]
    while node.blocks and node.blocks[-1] not in chain[view.height - 1 : view.height]:
        view.undo(node.blocks.pop())
    for block in chain[view.height :]:
        node.blocks.append(view.apply(block.messages, block.cut))
    assert view.height == record.start - 1, "everybody goes on from the start block"


def _begin(node: Node, record: Record, epoch: Epoch) -> None:
    view = node.replica.view
    view.begin(epoch)
    vote = None if node.last_vote is None else unpack(pack(node.last_vote))
    evidence = node.replica.evidence
    node.replica = Replica(
        node.name,
        view,
        voted=vote[1].statement if vote and isinstance(vote[1], Vote) else None,
        certified=record.certificate,
        statement=node.blocks[-1].statement if node.blocks else None,
        recovered=True,
        votes_above=node.replica.votes_above,
        marker=node.marker,
    )
    node.replica.evidence = evidence
    node.read = 0
    node.publish_again()
