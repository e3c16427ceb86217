"""How a node starts: from its database, compared with what the network has certified."""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from htlc.units import SECOND, Duration, LedgerId
from ledgers.block import Seal
from ledgers.hosted import Clock, Traits
from ledgers.icsd.block import Block
from ledgers.icsd.entry import Certificate, Signed, Statement, Vote, unpack
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.log import OrderedLog
from ledgers.icsd.node import Node
from ledgers.icsd.part import Part
from ledgers.icsd.past import Past
from ledgers.icsd.recovery import Record, Stop, successor, unpack_word
from ledgers.icsd.replica import Pace, Replica
from ledgers.icsd.store import Archived, Head, Store, prepare
from ledgers.icsd.view import View
from ledgers.postgres import open_pool
from ledgers.profile import Profile

FRESH: Final = Duration(1 * SECOND)
"""How old the state may be that `look` and `describe` tell: the skew that a ledger declares. Nobody
can tell a younger one from it by his own clock, and a block for every question would be many."""


MARKER_BYTES: Final = 32
"""Of what a registry publishes that returns: nobody can have signed a block with it before."""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """What all registries of a network know alike, from their configuration."""

    network: LedgerId
    epoch: Epoch  # the first
    profile: Profile = Profile()
    pace: Pace = Pace()


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which registry a node is, and what it needs of the world."""

    registry: RegistryId
    key: Ed25519PrivateKey  # signs bundles, votes, cuts, and the blocks of the ordinary chain
    clock: Clock


class Altered(Exception):
    """The rows of the database are not those that a quorum signed: somebody or something has
    changed them. `repair` mends them."""

    def __init__(self, view: View, certificate: Certificate) -> None:
        super().__init__(
            f"the book in the database is not the one certified at height {view.height}: its root "
            f"is {view.state.root.hex()}, certified is {certificate.statement.state.hex()}; "
            "mend it (`lockstep registry repair`)"
        )
        self.view = view
        self.certificate = certificate


class Lost(Exception):
    """The archive does not give what was voted for: the program or the archive was changed."""


class Ended(Exception):
    """This registry has signed that it votes in this epoch no more: the next one must begin."""


async def start(network: Network, identity: Identity, store: Store, log: OrderedLog) -> Node:
    """A node on its database, which `store.prepare` has made ready. Raises Altered, Lost, Ended."""
    head = await store.head()
    known = await known_state(network, store, head)
    if known.ended:
        raise Ended(f"epoch {known.view.epoch.number} was ended by this registry: see recovery")
    voted = _last_voted(await store.votes(head.final))
    replica = Replica(
        identity.registry,
        known.view,
        voted=None if voted is None else voted[1].statement,
        certified=await store.last_certificate(),
        statement=await _statement_of_head(known, store),
        guard=head.position,
        pace=network.pace,
        recovered=known.recovered,
        votes_above=head.votes_above,
        marker=secrets.token_bytes(MARKER_BYTES),
    )
    return Node(
        Part(
            replica=replica,
            store=store,
            head=head,
            unfinal=known.unfinal,
            past=known.past,
            log=log,
            key=identity.key,
            seal=Seal(network.network, identity.key),
            clock=identity.clock,
            kept=await store.outbox(),
            voted=voted,
        )
    )


@asynccontextmanager
async def registry(
    network: Network,
    identity: Identity,
    dsn: str,
    log: OrderedLog,
    traits: Traits,
    fresh: Duration = FRESH,
) -> AsyncIterator[RegistryLedger]:
    """A registry with its database, ready for `ledger.node.run()`. Raises Altered, Lost."""
    async with await open_pool(dsn) as pool:
        await prepare(pool, network.network, identity.registry, network.epoch)
        node = await start(network, identity, Store(pool), log)
        seal = Seal(network.network, identity.key)
        yield RegistryLedger(node, pool, seal, identity.clock, traits, fresh)


async def _statement_of_head(known: "Known", store: Store) -> Statement | None:
    """What we make of the last archived block. It is not in the book yet, except after a recovery
    that begins right above what was final here."""
    if known.unfinal:
        return known.unfinal[-1][0].statement
    found = await store.blocks(known.view.height - 1, 1)
    return found[0].statement if found else None


class Known(msgspec.Struct, kw_only=True):
    """What a database says of the network."""

    view: View  # after the last archived block
    past: Past  # of it, from the last final block on
    unfinal: list[tuple[Block, int]]  # applied again, with the positions of their cuts
    recovered: bool  # the next block is the first of an epoch that people began
    ended: bool  # this registry votes in the epoch no more


async def known_state(network: Network, store: Store, head: Head) -> Known:
    """The book of the database and what is archived above it. Raises Altered, Lost."""
    view = View.restore(network.network, network.profile, await store.book(head.place))
    for certificate in await store.certificates([head.final]):
        if certificate.statement.state != view.state.root:
            raise Altered(view, certificate)
    begun = {each.record.start: each.record for each in await store.begun()}
    unfinal, past = [], Past(view)
    for archived, position in await store.unfinal(head.final):
        _begin(view, begun)
        block = _again(view, archived)
        past.note(block)
        unfinal.append((block, position))
    recovered = _begin(view, begun)
    words = [unpack_word(body)[1] for body in await store.said("stop")]
    ended = not recovered and any(
        isinstance(word, Stop) and word.epoch == view.epoch.number for word in words
    )
    return Known(
        view=view,
        past=past,
        unfinal=unfinal,
        recovered=recovered,
        ended=ended,
    )


def _begin(view: View, begun: Mapping[int, Record]) -> bool:
    """Enter an epoch that people began at the next height, if there is one."""
    record = begun.get(view.height + 1)
    if record is None or view.epoch.number != record.ends:
        return False
    view.begin(successor(record, view.epoch, view.following))
    return True


def _again(view: View, archived: Archived) -> Block:
    """Apply an archived block that is not in the book yet."""
    block = view.apply(archived.messages, archived.cut)
    if block.statement != archived.statement:
        raise Lost(f"block {archived.header.height} of the archive gives another result now")
    return block


def _last_voted(kept: list[bytes]) -> tuple[Signed, Vote] | None:
    if not kept:
        return None
    read = unpack(kept[-1])
    assert read is not None, "it was written here"
    signed, vote = read
    assert isinstance(vote, Vote), "so it is a vote"
    return signed, vote
