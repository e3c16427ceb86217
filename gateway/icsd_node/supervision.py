"""A supervisor's look at a network over its nodes' HTTP services: reads all, believes nothing.

One `look`: what each node says of itself and the last block that it proves; every block that came
since, from whichever node has it, done again; the issues of all instruments; evidence. Each
`Wrong` is something that a person must see.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
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


class Fault(StrEnum):
    """What can be wrong; a label of the metrics and a word of `--json`."""

    #: A quorum signed what does not come out here, or two blocks of one height.
    DIVERGENCE = "divergence"
    #: A member signed two things of which it may sign one.
    EQUIVOCATION = "equivocation"
    #: What all registries hold of an instrument is not what was issued.
    SUM = "sum"
    #: A node shows what its proof does not prove.
    FORGERY = "forgery"
    #: No new block for `LAG_SECONDS`.
    STANDSTILL = "standstill"
    #: A node that cannot be asked, or is out of service.
    NODE = "node"


class Wrong(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    fault: Fault
    what: str


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as it was found."""

    url: str
    head: Head | None  # none: it could not be asked
    wrong: Wrong | None


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
    wrong: Sequence[Wrong]


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

    @property
    def supervisor(self) -> Supervisor:
        """The network as it has come out so far."""
        return self._supervisor

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
        unread = await self._read()
        supervisor = self._supervisor
        nodes = await asyncio.gather(*(self._watched(*each) for each in self._nodes))
        issues, evidence = supervisor.issues(), await self._evidence()
        lag = (now - supervisor.view.at) / 1e9
        found = [
            *unread,
            *(
                Wrong(node.wrong.fault, f"{node.url}: {node.wrong.what}")
                for node in nodes
                if node.wrong is not None
            ),
            *self._network_faults(lag),
            *(_broken(issue) for issue in issues if not issue.is_whole),
            *map(_convicted, evidence),
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
            wrong=found,
        )

    def _network_faults(self, lag: float) -> list[Wrong]:
        found = []
        if self._supervisor.wrong is not None:
            found.append(Wrong(Fault.DIVERGENCE, self._supervisor.wrong))
        if lag > LAG_SECONDS:
            found.append(Wrong(Fault.STANDSTILL, f"no block for {lag:.0f} s"))
        return found

    # --- the blocks ------------------------------------------------------------------------------

    async def _read(self) -> list[Wrong]:
        """Do again what any node has more than we; whose archive is forged, and why nobody could
        be read, if so."""
        why = []
        for remote, _ in self._nodes:
            try:
                await self._read_from(RemoteArchive(remote))
            except (ForgedProof, Gone, LogUnreachable) as error:
                fault = Fault.FORGERY if isinstance(error, ForgedProof) else Fault.NODE
                why.append(Wrong(fault, f"{remote.url}: {error}"))
        if len(why) == len(self._nodes):
            return why
        return [each for each in why if each.fault is Fault.FORGERY]

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
            wrong = Wrong(Fault.NODE, f"cannot be asked: {error}")
            return Watched(url=remote.url, head=None, wrong=wrong)
        except ForgedProof as error:
            wrong = Wrong(Fault.FORGERY, f"shows what is not so: {error}")
            return Watched(url=remote.url, head=None, wrong=wrong)
        return Watched(url=remote.url, head=head, wrong=self._fault(head))

    def _fault(self, head: Head) -> Wrong | None:
        if head.stopped:
            return Wrong(Fault.NODE, f"is out of service: {head.stopped}")
        block = head.block
        ours = None if block is None else self._supervisor.hash_at(block.header.height)
        if block is not None and ours is not None and block.header.hash != ours:
            return Wrong(
                Fault.DIVERGENCE,
                f"another block than ours is certified at height {block.header.height}: more "
                "registries lie than the network withstands",
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


def _broken(issue: Issuance) -> Wrong:
    return Wrong(Fault.SUM, f"the issue of {issue.asset} is not whole")


def _convicted(its: Evidence) -> Wrong:
    return Wrong(
        Fault.EQUIVOCATION,
        f"{its.registry} is convicted of {its.offence} at {its.place} of epoch {its.epoch}",
    )
