"""One ledger, from its own database: the chain, the postings, and the state tables against them.

The chain is read once from the first block to the last. Only open contracts and balances are kept;
a contract that a posting ends is looked up in its table portion by portion. So memory follows what
is open and who holds something, not history.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from gateway.audit.databases import Snapshot
from gateway.audit.findings import Check, Head, Notebook
from gateway.audit.tables import Tables
from htlc.contract import Htlc
from htlc.units import AccountId, AssetId, Instant, LedgerId, SettlementId
from ledgers import rows
from ledgers.administration import Act, Record
from ledgers.book import Effect, Kind
from ledgers.chain import Chain
from ledgers.chain import Flaw as BlockFlaw
from ledgers.merkle import HASH_BYTES
from ledgers.replay import Flaw as PostingFlaw
from ledgers.replay import Replay

BLOCKS: Final = 500
POSTINGS: Final = 4_000
"""Of one portion: two full batches of a busy ledger, some 4 MB."""

_BLOCK_CHECKS: Final = {
    BlockFlaw.CHAIN: Check.CHAIN,
    BlockFlaw.SIGNATURE: Check.SIGNATURE,
    BlockFlaw.ROOT: Check.ROOT,
}
_POSTING_CHECKS: Final = {PostingFlaw.ENTRY: Check.POSTING, PostingFlaw.ONCE: Check.ONCE}

_act = msgspec.json.Decoder(Act)


class Locked(msgspec.Struct, frozen=True, kw_only=True):
    """A lock as a posting tells it: who asked for it, and what for."""

    by: str
    htlc: Htlc
    block: int
    posting: int

    @property
    def settlement(self) -> SettlementId:
        return self.htlc.terms.settlement


Progress = Callable[[str, int, int], None]
"""Told what is being read, how much of it, and of how much."""

OnLocks = Callable[[str, Sequence[Locked]], Awaitable[None]]


class LedgerAudit:
    """The audit of one ledger. `earlier` is its head as an earlier audit saw it."""

    def __init__(
        self,
        snapshot: Snapshot,
        public_key: bytes,
        notebook: Notebook,
        *,
        on_locks: OnLocks,
        progress: Progress,
        earlier: Head | None = None,
    ) -> None:
        self.name = snapshot.name
        self.clock = Instant(0)
        self.postings = 0
        self._snapshot = snapshot
        self._key = public_key
        self._notebook = notebook
        self._on_locks = on_locks
        self._progress = progress
        self._earlier = earlier
        self._chain = Chain(LedgerId(self.name), public_key)
        self._replay = Replay({})
        self._locks: list[Locked] = []

    @property
    def head(self) -> Head:
        """How far the chain went."""
        chain = self._chain
        return Head(height=chain.height, hash=chain.hash.hex(), public_key=self._key.hex())

    async def run(self) -> None:
        """Read everything; findings go to the notebook."""
        counters = await self._snapshot.fetch("counters")
        self._replay = Replay({AssetId(r["asset"]): AccountId(r["counter"]) for r in counters})
        tables = Tables(self._snapshot, self._notebook, self._replay)
        total = await self._snapshot.value("volume")
        while page := await self._snapshot.fetch("blocks", self._chain.height, BLOCKS, POSTINGS):
            await self._blocks(page, tables)
            self._progress(f"postings of {self.name}", self.postings, total)
        await self._end()
        await tables.finish()
        await self._administration()

    def _find(self, check: Check, what: str, **place: object) -> None:
        self._notebook.find(self.name, check, what, ledger=self.name, **place)

    def _count(self, check: Check, number: int) -> None:
        self._notebook.count(self.name, check, number)

    # --- blocks ----------------------------------------------------------------------------------

    async def _blocks(self, page: Sequence[rows.Row], tables: Tables) -> None:
        last = page[-1]["height"]
        leaves: dict[int, list[rows.Row]] = {row["height"]: [] for row in page}
        for row in await self._snapshot.fetch("postings", self._chain.height, last):
            if row["height"] in leaves:
                leaves[row["height"]].append(row)
            else:
                self._orphan(row["height"], row["position"])
        for row in page:
            self._block(row, leaves[row["height"]], tables)
        await tables.compare()
        await self._on_locks(self.name, self._locks)
        self._locks.clear()

    def _block(self, row: rows.Row, postings: Sequence[rows.Row], tables: Tables) -> None:
        block = rows.block(row, self.name, [posting["leaf"] for posting in postings])
        for fault in self._chain.take(block):
            self._find(_BLOCK_CHECKS[fault.flaw], fault.what, block=fault.height)
        self._match_earlier()
        for n, posting in enumerate(postings):
            if posting["position"] != n:
                what = f"expected posting {n}, found number {posting['position']}"
                self._find(Check.ROOT, what, block=block.header.height, posting=n)
                break
        for posting in postings:
            self._posting(posting, block.header.at, tables)
        self._count(Check.CHAIN, 1)
        self._count(Check.SIGNATURE, 1)
        self._count(Check.ROOT, len(postings))

    def _orphan(self, height: int, position: int) -> None:
        self._find(
            Check.ROOT,
            "expected a block that holds it, there is none",
            block=height,
            posting=position,
        )

    def _posting(self, posting: rows.Row, at: Instant, tables: Tables) -> None:
        place = {"block": posting["height"], "posting": posting["position"]}
        effect, faults = self._replay.take(posting["leaf"], at)
        for fault in faults:
            self._find(_POSTING_CHECKS[fault.flaw], fault.what, **place)
        self.postings += 1
        self._count(Check.POSTING, 1)
        self._count(Check.ONCE, 1)
        if effect is not None:
            self._note(effect, tables, place["block"], place["posting"])

    def _note(self, effect: Effect, tables: Tables, block: int, posting: int) -> None:
        if effect.kind is Kind.LOCK:
            assert effect.htlc is not None
            locked = Locked(by=effect.by, htlc=effect.htlc, block=block, posting=posting)
            self._locks.append(locked)
        else:
            tables.note(effect, block, posting)

    def _match_earlier(self) -> None:
        if self._earlier is None or self._chain.height != self._earlier.height:
            return
        found = self._chain.hash.hex()
        if found != self._earlier.hash:
            what = f"expected hash {self._earlier.hash} as audited before, found {found}"
            self._find(Check.CHAIN, f"{what}: history was rewritten", block=self._chain.height)

    async def _end(self) -> None:
        """Postings without a block behind the last one, the head, what was there before."""
        height = self._chain.height
        async for row in self._snapshot.stream("postings_after", height):
            self._orphan(row["height"], row["position"])
        head = await self._snapshot.row("head")
        self.clock = Instant(head["clock"])
        if (head["height"], head["hash"]) != (height, self._chain.hash):
            what = f"expected the head at block {head['height']} {head['hash'].hex()}"
            self._find(Check.CHAIN, f"{what}, the last is {height} {self._chain.hash.hex()}")
        if head["clock"] < self._chain.at:
            what = f"expected the head's clock from {self._chain.at} on, found {head['clock']}"
            self._find(Check.CHAIN, what, block=height)
        if self._earlier is not None and height < self._earlier.height:
            what = f"expected block {self._earlier.height} as audited before, the last is {height}"
            self._find(Check.CHAIN, f"{what}: history was cut off")

    # --- administration --------------------------------------------------------------------------

    async def _administration(self) -> None:
        previous = bytes(HASH_BYTES)
        async for row in self._snapshot.stream("administration"):
            self._count(Check.ADMINISTRATION, 1)
            for what in _record_faults(row, previous):
                self._find(Check.ADMINISTRATION, f"act {row['number']}: {what}")
            previous = row["hash"]
        head = (await self._snapshot.row("head"))["administration"]
        if head != previous:
            what = f"expected the head's last act {head.hex()}, the last is {previous.hex()}"
            self._find(Check.ADMINISTRATION, what)


def _record_faults(row: rows.Row, previous: bytes) -> list[str]:
    faults = []
    if row["previous"] != previous:
        faults.append(f"expected previous {previous.hex()}, found {row['previous'].hex()}")
    try:
        act = _act.decode(row["act"])
    except msgspec.DecodeError as error:
        return [*faults, f"expected an act of administration: {error}"]
    record = Record(at=row["at"], by=row["by"], act=act, previous=row["previous"])
    if record.hash() != row["hash"]:
        faults.append(f"expected hash {record.hash().hex()}, found {row['hash'].hex()}")
    return faults
