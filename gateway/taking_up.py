"""After a restore that may lack records: what ledgers know of ours and the journal does not.

Until it is read nothing new is opened: a settlement that was opened in the lost time, and is opened
again under the same id or for the same instructions, would be settled twice or on other terms.

1. Wait until no lock of the lost time can arrive any more: on every ledger `lock_within` and twice
   the skew from now (processes of the old epoch are stopped; what they sent is taken by then or
   never, for a lock that comes after its `lock_by` is refused).
2. Read every ledger's facts. Locks under ids of ours that carry hashes of our vault, of settlements
   that the journal has not opened, are the lost ones.
3. Take them up, opened and `Restored`: from then on the core follows, cancels, or freezes them.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from gateway import found
from gateway.agreements import Agreements
from gateway.epoch import LackingError
from gateway.found import FoundLock, MemberOf
from gateway.journal import LOST, QUERIES, Entry, Journal, Loaded, Opening
from gateway.links import Link
from gateway.live import facts
from gateway.sql import Pool
from gateway.vault import Vault
from htlc.agreement import Agreement
from htlc.contract import Answer, Status
from htlc.coordinator import evolve, propose
from htlc.events import (
    Answered,
    Decided,
    Decision,
    Event,
    Learned,
    Opened,
    Proposed,
    Reason,
    Restored,
)
from htlc.settlement import Phase, Settlement
from htlc.swap import Swap
from htlc.units import Duration, HtlcId, Instant, LedgerId, SettlementId, after, seconds
from ledgers.books import KeptLedger
from ledgers.port import LedgerUnreachable
from ledgers.remote import RemoteLedgerError

PAUSE_SECONDS: Final = 0.2
"""Between two looks at whether a ledger has told enough, or another replica has done it all."""

NOTICE_SECONDS: Final = 2.0
"""For a ledger to tell its last facts when a gateway starts: a page or two. One that takes longer
is looked at beside the work."""

NOTICE_AGAIN_SECONDS: Final = 5.0
"""Between two tries at a ledger that was away then."""

NOTICE_BEFORE: Final = seconds(60)
"""How much of what the database must know is looked at: clocks of gateway and ledger may differ, by
far less than a minute, and the heartbeat is a second old."""

PORTION: Final = 1_000
"""Locks judged at once."""

Adopt = Callable[[Loaded], None]
"""Have the runner work on a settlement that was taken up."""


class TakingUp:
    """Reads the ledgers once after a restore; agreements are paused until any replica has."""

    def __init__(
        self,
        pool: Pool,
        journal: Journal,
        *,
        links: Mapping[LedgerId, Link],
        ledgers: Mapping[LedgerId, KeptLedger],
        vault: Vault,
        agreements: Agreements,
        member_of: MemberOf,
        quiet_after: Duration,
        adopt: Adopt,
        over: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._links = links
        self._ledgers = ledgers
        self._unread: set[LedgerId] = set()  # were away at the start: to be looked at yet
        self._vault = vault
        self._agreements = agreements
        self._member_of = member_of
        self._quiet_after = quiet_after
        self._adopt = adopt
        self._over = over
        self._say = say
        self.why: str | None = None
        """What it waits for, for people; None once it is done."""

    async def begin(self) -> None:
        """Whether there is anything to do; to be asked before anything is adopted. Raises
        LackingError if records are missing and no restore was declared."""
        row = await self._pool.fetchrow(QUERIES["restore"])
        self._agreements.paused = row is not None and row["done_at"] is None
        if self._agreements.paused:
            self.why = "the journal was restored: the ledgers are not read yet"
            await self._pool.execute(QUERIES["begin_restore"], self._journal.epoch.number)
        else:
            await self._notice_all()

    async def run(self) -> None:
        """Do it, however long it takes to reach every ledger and the database. Raises
        LackingError."""
        while self._agreements.paused:
            try:
                await self._take_up()
            except (LedgerUnreachable, RemoteLedgerError, *LOST) as error:
                self._say(f"the ledgers cannot be read after the restore yet: {error!r}")
                await asyncio.sleep(PAUSE_SECONDS)
        while self._unread:
            await asyncio.sleep(NOTICE_AGAIN_SECONDS)
            await asyncio.gather(*(self._notice(name) for name in tuple(self._unread)))

    # ------------------------------------------------------------------ noticing

    async def _notice_all(self) -> None:
        """What ledgers did just before the database was last at work, and since, must be known to
        it: where it was put back from a copy and nobody has said so, it is not."""
        if (lacking := await self._pool.fetchval(QUERIES["lacking"])) is not None:
            raise LackingError(lacking)
        if self._journal.alive_at:
            self._unread |= self._ledgers.keys()
            await asyncio.gather(*(self._notice(name) for name in self._ledgers))

    async def _notice(self, name: LedgerId) -> None:
        """Look at one ledger; if it is away, another time."""
        since = Instant(self._journal.alive_at - NOTICE_BEFORE)
        mine: defaultdict[SettlementId, list[FoundLock]] = defaultdict(list)
        try:
            async with asyncio.timeout(NOTICE_SECONDS):
                await self._read_ledger(name, since, mine)
        except (LedgerUnreachable, RemoteLedgerError, TimeoutError, *LOST):
            return
        self._unread.discard(name)
        for id, locks in mine.items():
            if any(lock.pair is not None for lock in locks):
                what = f"ledger {name} has a lock of settlement {id} with keys of our vault"
                await self._pool.execute(QUERIES["mark_lacking"], what)
                self._say(f"PAGE: {what}, and the journal has not opened it")
                raise LackingError(what)

    async def _take_up(self) -> None:
        if await self._quiet():
            locks = await self._read()
            await self._take_up_all(locks)
            await self._pool.execute(QUERIES["end_restore"], self._journal.epoch.number)
        self._agreements.paused, self.why = False, None
        self._say("the ledgers have been read after the restore; new work is taken")
        self._over()

    # ------------------------------------------------------------------ waiting

    async def _quiet(self) -> bool:
        """Wait until no lock of the lost time can arrive; False if another replica is done."""
        until: dict[LedgerId, Instant] = {}
        while True:
            row = await self._pool.fetchrow(QUERIES["restore"])
            if row is None or row["done_at"] is not None:
                return False
            waited = [name for name in self._links if not await self._passed(name, until)]
            if not waited:
                return True
            self.why = f"the journal was restored: waiting for the time of {', '.join(waited)}"
            await asyncio.sleep(PAUSE_SECONDS)

    async def _passed(self, name: LedgerId, until: dict[LedgerId, Instant]) -> bool:
        """Whether a ledger's own time is past the last `lock_by` of the lost time."""
        link = self._links[name]
        if not link.trusted:
            return False
        at = (await link.ledger.describe()).at
        return at >= until.setdefault(name, after(at, self._quiet_after))

    # ------------------------------------------------------------------ reading

    async def _read(self) -> dict[SettlementId, list[FoundLock]]:
        """The locks on all ledgers that can be ours, of settlements that are not open here."""
        row = await self._pool.fetchrow(QUERIES["restore"])
        since = None if row is None else row["since_at"]
        mine: defaultdict[SettlementId, list[FoundLock]] = defaultdict(list)
        for name in self._ledgers:
            begun = time.monotonic()
            count = await self._read_ledger(name, since, mine)
            self._say(f"read {count} facts of {name} in {time.monotonic() - begun:.1f} s")
        return mine

    async def _read_ledger(
        self,
        name: LedgerId,
        since: Instant | None,
        mine: dict[SettlementId, list[FoundLock]],
    ) -> int:
        """The facts of one ledger, all or those since an instant; how many they were."""
        ledger, count = self._ledgers[name], 0
        start = "" if since is None else await ledger.last_before(since)
        batch: list[FoundLock] = []
        async for fact in ledger.facts(start):
            count += 1
            if fact.kind == "lock" and fact.htlc is not None:
                locked_at = fact.htlc.locked_at
                lock = found.recognised(self._vault, name, fact.htlc.terms, locked_at)
                batch += [lock] if lock is not None else []
            if len(batch) == PORTION:
                await self._keep(batch, mine)
                batch.clear()
                self.why = self.why and f"the journal was restored: read {count} facts of {name}"
        await self._keep(batch, mine)
        return count

    async def _keep(
        self, batch: Sequence[FoundLock], mine: dict[SettlementId, list[FoundLock]]
    ) -> None:
        """Those of settlements that the journal has not opened."""
        phases = await self._phases({lock.terms.settlement for lock in batch})
        for lock in batch:
            if phases.get(lock.terms.settlement, Phase.PROPOSED) is Phase.PROPOSED:
                mine[lock.terms.settlement].append(lock)

    async def _phases(self, ids: set[SettlementId]) -> dict[SettlementId, Phase]:
        rows = await self._pool.fetch(QUERIES["phases_known"], list(ids))
        return {SettlementId(str(row["settlement"])): Phase(row["phase"]) for row in rows}

    # ------------------------------------------------------------------ taking up

    async def _take_up_all(self, mine: Mapping[SettlementId, Sequence[FoundLock]]) -> None:
        known = await self._journal.load(list(mine))
        ours = {
            id: locks
            for id, locks in mine.items()
            if id in known or any(lock.pair is not None for lock in locks)
        }
        self.why = f"the journal was restored: taking up {len(ours)} settlements that it lost"
        answers = await self._answers(ours)
        taken = 0
        for id, locks in ours.items():
            why = (
                await self._take_up_proposed(known[id], locks)
                if id in known
                else await self._take_up_lost(id, locks, answers)
            )
            taken += why is None
            if why is not None:
                self._say(
                    f"PAGE: settlement {id} was lost with the journal and cannot be taken up: "
                    f"{why}; its locks wait for a person"
                )
        self._say(f"{taken} settlements that the journal had lost were found on ledgers")

    async def _answers(
        self, ours: Mapping[SettlementId, Sequence[FoundLock]]
    ) -> dict[HtlcId, Answer]:
        """What each of these locks is by now. Raises LedgerUnreachable unless all are told."""
        wanted: defaultdict[LedgerId, list[HtlcId]] = defaultdict(list)
        for lock in (lock for locks in ours.values() for lock in locks):
            wanted[lock.ledger].append(lock.terms.id)
        told: dict[HtlcId, Answer] = {}
        for name, ids in wanted.items():
            answers = await self._links[name].ledger.look(ids)
            for id, answer in zip(ids, answers, strict=True):
                if not isinstance(answer, Answer) or not answer.final:
                    raise LedgerUnreachable(f"{name} does not tell finally what {id} is")
                told[id] = answer
        return told

    async def _take_up_proposed(self, loaded: Loaded, locks: Sequence[FoundLock]) -> str | None:
        """A proposal whose OPEN was lost; why not, if it cannot be."""
        if loaded.state.agreement is not None or loaded.state.ended:
            return None  # another replica has just done it
        agreement = self._agreement(loaded.state.swap, locks)
        if isinstance(agreement, str):
            return agreement
        id = loaded.state.swap.id
        events = (Opened(agreement=agreement), Restored(epoch=self._journal.epoch.number))
        phase = _folded(loaded.state, events).phase
        entry = Entry(settlement=id, sequence=loaded.sequence + 1, events=events, phase=phase)
        await self._journal.append([entry])  # if not, another replica has just done it
        await self._journal.notify(id)
        return None

    async def _take_up_lost(
        self, id: SettlementId, locks: Sequence[FoundLock], answers: Mapping[HtlcId, Answer]
    ) -> str | None:
        """A settlement that the journal knows nothing of; why not, if it cannot be."""
        ours = [lock for lock in locks if lock.pair is not None]
        swap = found.swap_of(id, ours, self._member_of)
        if isinstance(swap, str):
            return swap
        whole = found.whole(swap)
        executed = any(_is_executed(answers[lock.terms.id]) for lock in ours)
        if not whole and not executed and len(ours) < len(locks):
            return "a leg of it has a hash that is not our vault's, and a party may show its secret"
        agreement = self._agreement(swap, ours) if whole else ""
        if isinstance(agreement, str):
            if whole and not executed:
                return agreement
            agreement = found.as_they_are(swap, ours)
        begun = (Opened(agreement=agreement), Restored(epoch=self._journal.epoch.number))
        if whole or executed:  # undecided, so it does not end here: its end is told by the runner
            await self._open(swap, (*begun, *_learned(swap, agreement, begun, answers)))
        else:
            cancel = Decided(decision=Decision.CANCEL, reason=Reason.RESTORED)
            await self._open(swap, (*begun, cancel))
        return None

    def _agreement(self, swap: Swap, locks: Sequence[FoundLock]) -> Agreement | str:
        """Drawn up anew, with the terms that the ledgers hold."""
        drawn = self._agreements.draw(replace(swap, commit_by=None))
        if drawn is None:
            return "a ledger of it is not served any more"
        if isinstance(drawn, tuple):
            return "; ".join(f"{fault.field}: {fault.rule}" for fault in drawn)
        agreed = drawn.agreement
        if swap.commit_by is not None:
            agreed = replace(agreed, commit_by=swap.commit_by)
        return found.as_found(agreed, locks)

    async def _open(self, swap: Swap, events: tuple[Event, ...]) -> None:
        now = time.time_ns()
        state = _opened(swap, events)
        entry = Entry(
            settlement=swap.id,
            sequence=1,
            events=(_proposed(swap), *events),
            phase=state.phase,
            decision=state.decision,
        )
        opening = Opening(entry=entry, created_at=now, members=tuple(sorted(swap.parties)))
        async with self._pool.acquire() as connection, connection.transaction():
            (is_new,) = await self._journal.open_in(connection, [opening])
            epoch, legs = self._journal.epoch.number, found.fingerprint(swap)
            await connection.execute(QUERIES["note_found"], swap.id, epoch, legs)
        if is_new:
            self._adopt(
                Loaded(
                    state=state,
                    sequence=1,
                    created_at=now,
                    pair=None,
                    attempt=None,
                    replica=self._journal.replica,
                )
            )


def _is_executed(answer: Answer) -> bool:
    return answer.htlc is not None and answer.htlc.status is Status.EXECUTED


def _learned(
    swap: Swap, agreement: Agreement, begun: Sequence[Event], answers: Mapping[HtlcId, Answer]
) -> Sequence[Learned]:
    """What the ledgers have told, as it is journalled. Legs that were found nowhere are asked for
    later."""
    opened = learned = _opened(swap, begun)
    for n, leg in enumerate(agreement.legs):
        if (answer := answers.get(leg.terms.id)) is not None:
            learned = evolve(learned, Answered(leg=n, answer=answer))
    return facts(opened, learned)


def _proposed(swap: Swap) -> Proposed:
    """Its payers have consented: locks were placed for them."""
    return Proposed(swap=swap, consents=tuple(sorted(swap.payers)))


def _opened(swap: Swap, events: Sequence[Event]) -> Settlement:
    return _folded(propose(_proposed(swap)), events)


def _folded(state: Settlement, events: Sequence[Event]) -> Settlement:
    for event in events:
        state = evolve(state, event)
    return state
