"""The gateway's journal against the ledgers: every settlement, portion by portion.

Ledgers and gateway are read as of instants that lie a moment apart, so a settlement under way may
look wrong. What looks wrong is therefore looked at once more, in databases as they are by then, and
a finding is what was there both times. (Nothing that is wrong mends itself: contracts and journals
only grow.)
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from gateway.audit.databases import Snapshot, contract
from gateway.audit.findings import GATEWAY, KEPT_MAX, Check, Finding, Notebook
from gateway.audit.journals import Journal, read
from gateway.audit.ledger import Locked, Progress
from gateway.audit.notices import FinalNotices
from gateway.audit.proofs import Prover
from gateway.audit.settlements import Held, Judged, judge
from htlc.agreement import htlc_id
from htlc.units import Duration, HtlcId, Instant, LedgerId
from ledgers.rows import Row

PORTION: Final = 500
"""Settlements judged at once: some megabytes of journal."""

_NO_ID: Final = UUID(int=0)


class Strangers:
    """Locks of settlements that the journal does not know, by one principal on one ledger."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[Locked] = []

    def add(self, lock: Locked) -> None:
        """Count it, and keep the first: another gateway may have made millions."""
        self.count += 1
        if len(self.kept) < KEPT_MAX:
            self.kept.append(lock)


class GatewayAudit:
    """The audit of one gateway's settlements."""

    def __init__(
        self,
        snapshot: Snapshot,
        ledgers: Mapping[str, Snapshot],
        notebook: Notebook,
        *,
        unwinding: Duration,
        progress: Progress,
    ) -> None:
        self.settlements = 0
        self.clocks: dict[str, Instant] = {}  # as read with the ledgers' snapshots
        self._snapshot = snapshot
        self._ledgers = ledgers
        self._notebook = notebook
        self._unwinding = unwinding
        self._progress = progress
        self._prover = Prover(ledgers)
        self._doubts: dict[str, frozenset[Check]] = {}
        self._skipped = 0
        self._lockers: Counter[tuple[str, str]] = Counter()  # ledger, who: locks of ours
        self._strangers: defaultdict[tuple[str, str], Strangers] = defaultdict(Strangers)

    # --- locks seen on ledgers -------------------------------------------------------------------

    async def on_locks(self, ledger: str, locks: Sequence[Locked]) -> None:
        """Locks of one portion of a ledger's postings: which of them this gateway has opened."""
        if not locks:
            return
        ids = list({lock.settlement for lock in locks})
        known = {str(row["settlement"]) for row in await self._snapshot.fetch("known", ids)}
        for lock in locks:
            key = (ledger, lock.by)
            if lock.settlement in known:
                self._lockers[key] += 1
            elif _is_ours(lock):
                self._strangers[key].add(lock)

    def judge_strangers(self) -> None:
        """Locks under ids as gateways make them, by one who locks for this gateway, of settlements
        that it does not know: opened nowhere, or lost from its journal."""
        for key, count in self._lockers.items():
            strangers = self._strangers.pop(key, Strangers())
            self._notebook.count(GATEWAY, Check.OPENED, count + strangers.count)
            for lock in strangers.kept:
                self._stranger(key[0], lock)
            if more := strangers.count - len(strangers.kept):
                what = f"{more} more locks by {key[1]}: expected their settlements in the journal"
                self._notebook.find(GATEWAY, Check.OPENED, what, ledger=key[0])
        if others := sum(strangers.count for strangers in self._strangers.values()):
            self._notebook.notes.append(f"{others} locks are those of other gateways")

    def _stranger(self, ledger: str, lock: Locked) -> None:
        self._notebook.find(
            GATEWAY,
            Check.OPENED,
            f"{lock.by} locked leg {lock.htlc.terms.leg}: expected its settlement in the journal",
            settlement=lock.settlement,
            ledger=ledger,
            block=lock.block,
            posting=lock.posting,
        )

    # --- settlements -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Judge every settlement; findings go to the notebook, doubts wait for `confirm`."""
        total = await self._snapshot.value("volume")
        notices = FinalNotices(self._snapshot, self._notebook)
        epoch = await self._snapshot.value("epoch")
        async for journals in self._portions(epoch):
            await notices.compare(journals)
            for journal, judged in await self._judged(journals):
                self._note(journal, judged)
            self._progress("settlements", self.settlements, total)
        await notices.finish()
        await self._resolved()
        if self._skipped:
            self._notebook.notes.append(
                f"{self._skipped} settlements have legs on ledgers that are not audited: "
                "only their journals and notices were checked"
            )

    async def _resolved(self) -> None:
        """What operators decided is listed apart, with their evidence (rule 16)."""
        for row in await self._snapshot.fetch("resolved"):
            who = " and ".join(row["operators"])
            what = f"settlement {row['settlement']} was resolved as {row['decision']} by {who}"
            self._notebook.notes.append(f"{what}: {row['evidence']}")

    async def _portions(self, epoch: int) -> AsyncIterator[list[Journal]]:
        last = _NO_ID
        while True:
            found = await self._snapshot.fetch("settlements", last, PORTION)
            until = found[-1]["settlement"] if len(found) == PORTION else UUID(int=2**128 - 1)
            lines = await self._snapshot.fetch("journals", last, until)
            journals = _journals(found, lines, epoch)
            if journals:
                yield journals
            if len(found) < PORTION:
                return
            last = until

    async def _judged(self, journals: Sequence[Journal]) -> list[tuple[Journal, Judged]]:
        held = await self._held(journals)
        return [(journal, judge(journal, held, self._unwinding)) for journal in journals]

    async def _held(self, journals: Iterable[Journal]) -> dict[LedgerId, Held]:
        """What the ledgers hold for the legs of these."""
        wanted: dict[str, list[HtlcId]] = {name: [] for name in self._ledgers}
        agreements = (journal.agreement for journal in journals)
        for leg in (leg for agreed in agreements if agreed is not None for leg in agreed.legs):
            if leg.ledger in wanted:
                wanted[leg.ledger].append(leg.terms.id)
        held = {}
        for name, ids in wanted.items():
            contracts = {}
            for row in await self._ledgers[name].fetch("contracts", ids):
                # A row that makes no contract is named by the audit of its ledger.
                if (found := contract(row)) is not None:
                    contracts[found.terms.id] = found
            held[LedgerId(name)] = Held(contracts=contracts, clock=self.clocks[name])
        return held

    def _note(self, journal: Journal, judged: Judged) -> None:
        self.settlements += 1
        self._skipped += judged.skipped
        for check, number in (
            (Check.JOURNAL, 1),
            (Check.DECIDED, judged.keys),
            (Check.LEARNED, judged.legs),
            (Check.OVERDUE, judged.locks),
            (Check.LOCKED, bool(judged.legs)),
            (Check.BOTH_KEYS, bool(judged.legs)),
            (Check.ONE_END, bool(judged.legs)),
        ):
            self._notebook.count(GATEWAY, check, int(number))
        for finding, why in judged.excused:
            self._notebook.excuse(finding, why)
        if judged.findings:
            checks = frozenset(finding.check for finding in judged.findings)
            self._doubts[journal.settlement] = checks

    # --- the second look -------------------------------------------------------------------------

    async def confirm(self) -> None:
        """Look again at what looked wrong. Call it when all snapshots have been released."""
        doubtful = list(self._doubts)
        for start in range(0, len(doubtful), PORTION):
            await self._again(doubtful[start : start + PORTION])

    async def _again(self, ids: Sequence[str]) -> None:
        """Journals, ledgers, journals: what was learned must stand on a ledger read later, and what
        a ledger shows must have been decided in a journal read later."""
        before = await self._journals_of(ids)
        held = await self._held(before)
        learned = {journal.settlement: judge(journal, held, self._unwinding) for journal in before}
        for journal in await self._journals_of(ids):
            judged = judge(journal, held, self._unwinding).findings
            earlier = learned[journal.settlement].findings
            findings = [f for f in judged if f.check is not Check.LEARNED]
            findings += [f for f in earlier if f.check is Check.LEARNED]
            await self._confirm(journal, findings)

    async def _journals_of(self, ids: Sequence[str]) -> list[Journal]:
        found = await self._snapshot.fetch("settlements_of", list(ids))
        lines = await self._snapshot.fetch("journals_of", list(ids))
        return _journals(found, lines, await self._snapshot.value("epoch"))

    async def _confirm(self, journal: Journal, findings: Sequence[Finding]) -> None:
        for finding in findings:
            if finding.check not in self._doubts[journal.settlement]:
                continue
            if finding.check is Check.BOTH_KEYS and journal.agreement is not None:
                finding = await self._prover.prove(finding, journal.agreement)
            self._notebook.add(GATEWAY, finding)


def _is_ours(lock: Locked) -> bool:
    terms = lock.htlc.terms
    return terms.id == htlc_id(terms.settlement, terms.leg)


def _journals(found: Sequence[Row], lines: Sequence[Row], epoch: int) -> list[Journal]:
    """Journals of settlements, and those that belong to none."""
    by_id: dict[str, tuple[Row | None, list[Row]]] = {
        str(row["settlement"]): (row, []) for row in found
    }
    for line in lines:
        by_id.setdefault(str(line["settlement"]), (None, []))[1].append(line)
    return [read(id, row, its, epoch) for id, (row, its) in sorted(by_id.items())]
