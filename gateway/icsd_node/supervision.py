"""A supervisor's look at a network over its nodes' HTTP services: reads all, believes nothing.

One `look`: what each node says of itself and the last block that it proves; every block that came
since, from whichever node has it, done again; the issues of all instruments; evidence. A line of
`wrong` is something that a person must see.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.icsd_node.archive import RemoteArchive
from gateway.icsd_node.client import Head, RegistryClient
from gateway.icsd_node.moments import RemotePeer
from gateway.icsd_node.remote import Remote
from gateway.icsd_node.snapshot import RemoteSnapshot
from htlc.units import Instant
from ledgers.icsd.block import carried
from ledgers.icsd.compare import Gone
from ledgers.icsd.log import LogUnreachable
from ledgers.icsd.proof import Evidence
from ledgers.icsd.recovery import Begun
from ledgers.icsd.roots import Issuance
from ledgers.icsd.snapshot import check, gathered
from ledgers.icsd.start import Network
from ledgers.icsd.supervisor import Signed, Supervisor
from ledgers.icsd.tree import ForgedProof
from ledgers.port import LedgerUnreachable

LAG_SECONDS: Final = 60.0
"""Finality that stands still for so long is told of as wrong: twelve heartbeats."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as it was found."""

    url: str
    head: Head | None  # none: it could not be asked
    wrong: str | None


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found."""

    height: int
    final: int
    epoch: int
    lag_seconds: float  # of the ledger time of the last block behind our clock
    nodes: Sequence[Watched]
    issues: Sequence[Issuance]
    signed: Sequence[Signed]
    evidence: Sequence[Evidence]
    wrong: Sequence[str]


class Supervision:
    """A supervisor and the nodes that it looks at."""

    def __init__(self, network: Network, nodes: Sequence[Remote]) -> None:
        assert nodes, "somebody is looked at"
        self._network = network
        self._supervisor = Supervisor(network.network, network.epoch, network.profile)
        self._nodes = [
            (
                each,
                RegistryClient(each.session, each.url, each.token, network.network, network.epoch),
            )
            for each in nodes
        ]

    async def begin_with_snapshot(self) -> int:
        """Begin at the first node's last final block instead of the first of all. Raises
        JoinRefused, ForgedProof, Gone, LogUnreachable."""
        remote, its = self._nodes[0][0], self._network
        async with RemoteSnapshot(remote).snapshot() as (opening, pages):
            rows = await gathered(opening.place, pages)
        await check(its, opening, rows, RemotePeer(remote))
        certificate = carried(opening.child.block.cut)
        assert certificate is not None, "it was checked"
        self._supervisor = Supervisor.at(its.network, its.profile, rows, certificate)
        return opening.place.height

    async def look(self, now: Instant) -> Sight:
        """Read everything that is new."""
        wrong = await self._read()
        supervisor = self._supervisor
        nodes = await asyncio.gather(*(self._watched(*each) for each in self._nodes))
        wrong += [f"{node.url}: {node.wrong}" for node in nodes if node.wrong]
        if supervisor.wrong:
            wrong.append(supervisor.wrong)
        lag = (now - supervisor.view.at) / 1e9
        if lag > LAG_SECONDS:
            wrong.append(f"no block for {lag:.0f} s")
        issues = supervisor.issues()
        wrong += [f"the issue of {i.asset} is not whole" for i in issues if not i.is_whole]
        evidence = await self._evidence()
        wrong += [
            f"{e.registry} is convicted of {e.offence} at {e.place} of epoch {e.epoch}"
            for e in evidence
        ]
        return Sight(
            height=supervisor.view.height,
            final=supervisor.final,
            epoch=supervisor.view.epoch.number,
            lag_seconds=lag,
            nodes=nodes,
            issues=issues,
            signed=supervisor.signed(),
            evidence=evidence,
            wrong=wrong,
        )

    # --- the blocks ------------------------------------------------------------------------------

    async def _read(self) -> list[str]:
        """Do again what any node has more than we; why nobody could be read, if so."""
        why = []
        for remote, _ in self._nodes:
            try:
                await self._read_from(RemoteArchive(remote))
            except (ForgedProof, Gone, LogUnreachable) as error:
                why.append(str(error))
        return why if len(why) == len(self._nodes) else []

    async def _read_from(self, archive: RemoteArchive) -> None:
        begun = {each.record.start: each for each in await archive.begun()}
        while self._supervisor.wrong is None:
            self._enter(begun)
            page = await archive.page(self._supervisor.view.height)
            if not page:
                return
            for placed in page:
                self._enter(begun)
                self._supervisor.take(placed)

    def _enter(self, begun: dict[int, Begun]) -> None:
        view = self._supervisor.view
        found = begun.get(view.height + 1)
        if found is not None and found.record.ends == view.epoch.number:
            self._supervisor.begin(found)

    # --- the nodes -------------------------------------------------------------------------------

    async def _watched(self, remote: Remote, client: RegistryClient) -> Watched:
        try:
            await client.follow()
            head = await client.head()
        except LedgerUnreachable as error:
            return Watched(url=remote.url, head=None, wrong=f"cannot be asked: {error}")
        except ForgedProof as error:
            return Watched(url=remote.url, head=None, wrong=f"shows what is not so: {error}")
        return Watched(url=remote.url, head=head, wrong=self._fault(head))

    def _fault(self, head: Head) -> str | None:
        if head.stopped:
            return f"is out of service: {head.stopped}"
        block = head.block
        ours = None if block is None else self._supervisor.hash_at(block.header.height)
        if block is not None and ours is not None and block.header.hash != ours:
            return (
                f"another block than ours is certified at height {block.header.height}: more "
                "registries lie than the network withstands"
            )
        return None

    async def _evidence(self) -> list[Evidence]:
        """Ours, and what nodes have; each offence once."""
        found = list(self._supervisor.evidence)
        for _, client in self._nodes:
            try:
                found += await client.evidence()
            except (LedgerUnreachable, ForgedProof):
                continue  # told of where its head was asked for
        by_place = {(e.registry, e.offence, e.epoch, e.place): e for e in found}
        return list(by_place.values())
