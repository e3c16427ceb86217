"""How a node starts: from its database, compared with what the network has certified."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from htlc.units import SECOND, Duration, LedgerId
from ledgers.block import Seal
from ledgers.hosted import Clock, Traits
from ledgers.icsd.block import Block
from ledgers.icsd.entry import Certificate, Statement, Vote, unpack
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.hosted import RegistryLedger
from ledgers.icsd.log import OrderedLog
from ledgers.icsd.node import Node, Part
from ledgers.icsd.replica import Pace, Replica
from ledgers.icsd.store import Archived, Head, Store, prepare
from ledgers.icsd.view import View
from ledgers.postgres import open_pool
from ledgers.profile import Profile

FRESH: Final = Duration(1 * SECOND)
"""How old the state may be that `look` and `describe` tell: the skew that a ledger declares. Nobody
can tell a younger one from it by his own clock, and a block for every question would be many."""


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
    changed them. `repair` mends them from a peer."""

    def __init__(self, view: View, certificate: Certificate) -> None:
        super().__init__(
            f"the book in the database is not the one certified at height {view.height}: its root "
            f"is {view.state.root.hex()}, certified is {certificate.statement.state.hex()}; "
            "mend it from another registry (`lockstep icsd-node repair`)"
        )
        self.view = view
        self.certificate = certificate


class Lost(Exception):
    """The archive does not give what was voted for: the program or the archive was changed."""


async def start(network: Network, identity: Identity, store: Store, log: OrderedLog) -> Node:
    """A node on its database, which `store.prepare` has made ready. Raises Altered, Lost."""
    head = await store.head()
    view = await restored(network, store, head)
    unfinal = _again(view, await store.unfinal(head.final))
    replica = Replica(
        identity.registry,
        view,
        voted=_last_voted(await store.votes(0)),
        certified=await store.last_certificate(),
        statement=unfinal[-1][0].statement if unfinal else None,
        guard=head.position,
        pace=network.pace,
    )
    return Node(
        Part(
            replica=replica,
            store=store,
            head=head,
            unfinal=unfinal,
            log=log,
            key=identity.key,
            seal=Seal(network.network, identity.key),
            clock=identity.clock,
            kept=await store.outbox(),
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


async def restored(network: Network, store: Store, head: Head) -> View:
    """The view at the last final block. Raises Altered."""
    view = View.restore(network.network, network.profile, await store.book(head.place))
    for certificate in await store.certificates([head.final]):
        if certificate.statement.state != view.state.root:
            raise Altered(view, certificate)
    return view


def _again(view: View, kept: list[tuple[Archived, int]]) -> list[tuple[Block, int]]:
    """Apply the archived blocks that are not in the book yet."""
    made = []
    for archived, position in kept:
        block = view.apply(archived.messages, archived.cut)
        if block.statement != archived.statement:
            raise Lost(f"block {archived.header.height} of the archive gives another result now")
        made.append((block, position))
    return made


def _last_voted(kept: list[bytes]) -> Statement | None:
    opened = unpack(kept[-1]) if kept else None
    return opened[1].statement if opened and isinstance(opened[1], Vote) else None
