"""Who follows a whole network and signs nothing: does every entry again, and says what is wrong.

It reads archives of registries as a registry does that is built anew (`archive`). Every signature,
cut and certificate is checked; what a quorum signed must be what comes out here. It holds no key.
"""

from collections import deque
from typing import Final

import msgspec

from htlc.units import LedgerId
from ledgers.icsd.archive import messages
from ledgers.icsd.block import Block
from ledgers.icsd.entry import Certificate, Hash, Statement
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import Evidence
from ledgers.icsd.recovery import Begun, is_begun, successor
from ledgers.icsd.replica import Replica
from ledgers.icsd.roots import Issuance
from ledgers.icsd.rows import Rows
from ledgers.icsd.store import Placed
from ledgers.icsd.tree import ForgedProof
from ledgers.icsd.view import View
from ledgers.profile import Profile

KEPT: Final = 1_000
"""Blocks that registries' heads are compared with: more than an hour of heartbeats."""


class Signed(msgspec.Struct, frozen=True):
    """How far a registry's signature was seen."""

    registry: RegistryId
    height: int  # of the last certificate that has it; 0 for none


class Supervisor:
    """The network as it comes out when everything is done again."""

    def __init__(self, network: LedgerId, epoch: Epoch, profile: Profile) -> None:
        self.view = View.genesis(network, epoch, profile)
        self._begin_at(None, None)

    @classmethod
    def at(
        cls,
        network: LedgerId,
        profile: Profile,
        rows: Rows,
        certificate: Certificate,
    ) -> "Supervisor":
        """From a snapshot that was checked (`snapshot.check`), certified by this."""
        made = cls(network, rows.place.epoch, profile)
        made.view = View.restore(network, profile, rows)
        made._begin_at(certificate, certificate.statement)
        made._hashes[rows.place.height] = rows.place.head
        return made

    def _begin_at(self, certified: Certificate | None, statement: Statement | None) -> None:
        self._replica = Replica(None, self.view, certified=certified, statement=statement)
        self._hashes: dict[int, Hash] = {}
        self._blocks: deque[Block] = deque(maxlen=KEPT)
        self._signed: dict[RegistryId, int] = {}

    @property
    def final(self) -> int:
        return self._replica.final

    @property
    def wrong(self) -> str | None:
        """What a quorum signed and we do not compute; nothing can be followed after it."""
        stopped = self._replica.stopped
        if stopped is None:
            return None
        return f"at height {stopped.height} a quorum certified something else: {stopped.what}"

    @property
    def evidence(self) -> list[Evidence]:
        return self._replica.evidence

    def take(self, placed: Placed) -> None:
        """The next block of an archive. Raises ForgedProof if it is not the next one."""
        height = self.view.height
        taken = [self._replica.take(message) for message in messages(placed)]
        if self._replica.stopped is not None:
            return
        block = taken[-1]
        if block is None or block.header.height != height + 1:
            raise ForgedProof(f"the archive does not have block {height + 1} of the network")
        self._blocks.append(block)
        self._hashes[block.header.height] = block.header.hash
        self._hashes.pop(block.header.height - KEPT, None)
        certified = self._replica.certified
        for registry, _ in () if certified is None else certified.signatures:
            self._signed[registry] = height

    def begin(self, begun: Begun) -> None:
        """Go on in an epoch that people began. Raises ForgedProof."""
        record, view = begun.record, self.view
        if not is_begun(begun, view.epoch):
            raise ForgedProof(f"no quorum of the members began epoch {record.number}")
        while view.height >= record.start and self._blocks:
            view.undo(self._blocks.pop())
        if view.height + 1 != record.start:
            raise ForgedProof(f"epoch {record.number} does not begin at the next block")
        evidence, statement = self._replica.evidence, self._statement()
        view.begin(successor(record, view.epoch, view.following))
        self._replica = Replica(
            None, view, certified=record.certificate, statement=statement, recovered=True
        )
        self._replica.evidence = evidence

    def _statement(self) -> Statement | None:
        """What we make of the head."""
        if self._blocks:
            return self._blocks[-1].statement
        certified = self._replica.certified
        return None if certified is None else certified.statement

    def hash_at(self, height: int) -> Hash | None:
        """Of a block, if it is one of the last."""
        return self._hashes.get(height)

    def issues(self) -> list[Issuance]:
        """Every instrument as it stands in the network."""
        found = [self.view.issuance(asset) for asset in sorted(self.view.book.instruments)]
        return [issuance for issuance in found if issuance is not None]

    def signed(self) -> list[Signed]:
        """How far each member's signatures were seen. Who is slower than a quorum is not in it."""
        members = self.view.epoch.members
        return [Signed(m.registry, self._signed.get(m.registry, 0)) for m in members]
