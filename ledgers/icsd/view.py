"""The book of the whole network after a block, and what the next block makes of it. Pure.

Every node builds the same view of the same log: `apply` takes the messages between two valid cuts
and does what they ask, each by the rules of the network (`rules`) and of the book (`ledgers.book`),
at the ledger time of the block. What is not a valid bundle changes nothing, for everybody alike;
`Block.ignored` says why.

After each block the CSD links of every instrument that it touched are checked: the issued amount is
what all holders have, and the omnibus account of each investor registry is what its holders have.
"""

from collections.abc import Collection, Iterable, Sequence

from htlc.units import INSTANT_MAX, AssetId, Instant, LedgerId
from ledgers.book import Book
from ledgers.icsd import roots, tree
from ledgers.icsd.block import Block, Fault, Outcome
from ledgers.icsd.entry import (
    NOTHING,
    STEP_MAX,
    Certificate,
    Cut,
    Hash,
    Signed,
    Statement,
    unpack,
)
from ledgers.icsd.epoch import Epoch, RegistryId
from ledgers.icsd.proof import (
    Header,
    State,
    certificate_hash,
    epochs_hash,
    is_certified,
    operations_root,
    results_root,
    sequences_hash,
)
from ledgers.icsd.roots import Issuance, Roots
from ledgers.icsd.rows import Place, Rows, Tables
from ledgers.icsd.work import Work, epochs_at, sender_fault
from ledgers.profile import Profile


class View:
    """The state after block `height`. Not safe for two users at once."""

    def __init__(self, network: LedgerId, profile: Profile, place: Place) -> None:
        self.network = network
        self.tables = Tables(Book(profile))
        self.roots = Roots()
        self.height, self.head, self.at = place.height, place.head, place.at
        self.epoch, self.following = place.epoch, place.following

    @classmethod
    def genesis(cls, network: LedgerId, epoch: Epoch, profile: Profile) -> "View":
        """Before the first block: an empty book."""
        place = Place(height=0, head=NOTHING, at=Instant(0), epoch=epoch, following=None)
        return cls(network, profile, place)

    @classmethod
    def restore(cls, network: LedgerId, profile: Profile, rows: Rows) -> "View":
        """From all rows at one height. Compare `state.root` with the certified one: rows that
        somebody altered give another root."""
        view = cls(network, profile, rows.place)
        view._put(rows)
        return view

    @property
    def book(self) -> Book:
        return self.tables.book

    @property
    def place(self) -> Place:
        return Place(
            height=self.height,
            head=self.head,
            at=self.at,
            epoch=self.epoch,
            following=self.following,
        )

    @property
    def state(self) -> State:
        """What a registry signs of the book."""
        return committed(self.roots, self.tables.sequences, self.epoch, self.following)

    def epoch_at(self, height: int) -> Epoch:
        """The members who certify the block at `height`, as far as is decided."""
        return epochs_at(height, self.epoch, self.following)[0]

    # --- what is valid ---------------------------------------------------------------------------

    def cut_fault(self, signed: Signed, cut: Cut) -> Fault | None:
        """Why a cut does not close the next block. Looks at no clock: a block is what it is, and a
        registry that finds its time wrong withholds its vote (`replica`)."""
        height, epoch = self.height + 1, self.epoch_at(self.height + 1)
        if fault := sender_fault(signed, cut, epoch):
            return fault
        if cut.height != height:
            return Fault.WRONG_HEIGHT
        if not self.at <= cut.at <= INSTANT_MAX:
            return Fault.WRONG_TIME
        if self.height and cut.at > self.at + STEP_MAX:
            return Fault.TOO_FAR
        return None if self._carries(cut.certificate) else Fault.UNCERTIFIED

    def _carries(self, certificate: Certificate | None) -> bool:
        """Whether this is a certificate of the last block. Not necessarily of ours: if a quorum
        says something else of it than we do, the replica must stop, not wait."""
        if self.height == 0 or certificate is None:
            return self.height == 0 and certificate is None
        return certificate.statement.height == self.height and is_certified(certificate, self.epoch)

    # --- one block -------------------------------------------------------------------------------

    def apply(self, messages: Sequence[bytes], closing: bytes) -> Block:
        """The next block: these messages, closed by a cut that `cut_fault` found valid."""
        read = unpack(closing)
        assert read is not None and isinstance(read[1], Cut), "a block is closed by a cut"
        cut = read[1]
        work = Work(self.network, self.tables, self.place, cut)
        for position, data in enumerate(messages):
            work.take(position, data)
        self.epoch, self.following = work.epoch, work.following
        header = self._header(messages, cut)
        self.height, self.head, self.at = cut.height, header.hash, cut.at
        self.tables.did(self.height, work.touched.before.operations)
        changes = self.tables.now(work.touched.before, self.place)
        issuances = self._replant(changes)
        # What a block has done leaves every issue whole, or it was done wrong.
        assert all(each and each.is_whole for each in issuances), "the CSD links of an issue agree"
        return Block(
            header=header,
            statement=self._statement(header, work.outcomes),
            messages=tuple(messages),
            cut=closing,
            outcomes=tuple(work.outcomes),
            ignored=tuple(work.ignored),
            effects=tuple(work.effects),
            changes=changes,
            before=work.touched.before,
        )

    def _header(self, messages: Sequence[bytes], cut: Cut) -> Header:
        return Header(
            network=self.network,
            epoch=self.epoch.number,
            height=cut.height,
            previous=self.head,
            operations=operations_root(messages),
            count=len(messages),
            at=cut.at,
            certificate=certificate_hash(cut.certificate),
        )

    def _statement(self, header: Header, outcomes: Iterable[Outcome]) -> Statement:
        return Statement(
            epoch=header.epoch,
            height=header.height,
            block=header.hash,
            results=results_root([result for outcome in outcomes for result in outcome.results]),
            state=self.state.root,
        )

    def undo(self, block: Block) -> None:
        """Back to before the last block: it was never final, and its epoch is lost."""
        assert block.header.hash == self.head, "the last block is undone first"
        self._put(block.before)
        self.roots.undo(block.header.height)

    def begin(self, epoch: Epoch) -> None:
        """The next block is the first of an epoch that a quorum has begun (`recovery`)."""
        assert epoch.start == self.height + 1, "an epoch goes on from its start block"
        self.following = epoch

    def _put(self, rows: Rows) -> None:
        gone = [id for id, homed in rows.accounts.items() if homed is None]
        homes = {id: self.tables.homes[id] for id in gone if id in self.tables.homes}
        self.tables.put(rows)
        place = rows.place
        self.height, self.head, self.at = place.height, place.head, place.at
        self.epoch, self.following = place.epoch, place.following
        self.tables.homes |= homes  # where the holdings to be taken out stand
        self._replant(rows)
        for id in homes:
            del self.tables.homes[id]

    # --- the trees -------------------------------------------------------------------------------

    def _replant(self, rows: Rows) -> Collection[Issuance | None]:
        """Bring the trees to what these rows are now; the instruments among them and of them."""
        self._hold(rows)
        assets = {asset for _, asset in rows.balances} | rows.instruments.keys()
        issuances = {asset: self.issuance(asset) for asset in assets}
        self.roots.list(issuances)
        self.roots.record(roots.records(rows))
        self.roots.do(rows.operations)
        return issuances.values()

    def _hold(self, rows: Rows) -> None:
        by_tree: dict[tuple[AssetId, RegistryId], list[roots.Holding]] = {}
        for (account, asset), balance in rows.balances.items():
            instrument = self.book.instruments.get(asset)
            if instrument is not None and account == instrument.counter:
                continue  # the issued amount: it stands in the leaf of the instrument
            place = asset, self.tables.homes[account]
            by_tree.setdefault(place, []).append((account, balance))
        for (asset, registry), balances in by_tree.items():
            self.roots.hold(asset, registry, balances)

    def issuance(self, asset: AssetId) -> Issuance | None:
        """An instrument as it stands in the network; None if it is not defined."""
        instrument = self.book.instruments.get(asset)
        if instrument is None:
            return None
        issued = -self.book.balance(instrument.counter, asset).available
        home = self.tables.homes[instrument.counter]
        return self.roots.issuance(asset, home, issued, self.tables.omnibus.get(asset, {}))


def committed(
    roots: Roots,
    sequences: dict[RegistryId, tuple[int, Hash]],
    epoch: Epoch,
    following: Epoch | None,
) -> State:
    """The parts of a state root."""
    instruments, records, operations = roots.instruments, roots.records, roots.operations
    return State(
        holdings=Hash(tree.root(instruments)),
        instruments=tree.total(instruments),
        records=Hash(tree.root(records)),
        count=tree.total(records),
        operations=Hash(tree.root(operations)),
        done=tree.total(operations),
        sequences=sequences_hash(sequences),
        epochs=epochs_hash(epoch, following),
    )
