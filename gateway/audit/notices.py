"""What members were told: one final notice per party of what has ended, mailboxes without a gap."""

from collections.abc import AsyncIterator, Iterable, Sequence

import asyncpg

from gateway.audit.databases import Snapshot
from gateway.audit.findings import GATEWAY, Check, Notebook
from gateway.audit.journals import Journal
from htlc.invariants import FinalNotice, one_final_notice
from htlc.units import MemberId
from ledgers.rows import Row


class FinalNotices:
    """Final notices of agreed swaps, walked in the order of their settlements."""

    def __init__(self, snapshot: Snapshot, notebook: Notebook) -> None:
        self._rows: AsyncIterator[Row] = snapshot.stream("final_notices")
        self._notebook = notebook
        self._next: Row | None = None
        self._begun = False

    async def compare(self, journals: Sequence[Journal]) -> None:
        """Hold the notices up to the last of these settlements against their ends."""
        accepted = [
            FinalNotice(instruction=journal.settlement, party=party)
            for journal in journals
            if journal.state is not None and journal.state.ended and journal.pair is None
            for party in sorted(journal.state.swap.parties)
        ]
        self._notebook.count(GATEWAY, Check.NOTICE, len(accepted))
        unknown = {journal.settlement for journal in journals if journal.state is None}
        told = [
            notice
            for notice in await self._until(journals[-1].settlement)
            if notice.instruction not in unknown  # whether it has ended, nobody can say
        ]
        self._judge(accepted, told)

    async def finish(self) -> None:
        """Notices about settlements behind the last one are about none."""
        self._judge([], await self._until("ffffffff-ffff-ffff-ffff-ffffffffffff"))

    def _judge(self, accepted: Sequence[FinalNotice], told: Iterable[FinalNotice]) -> None:
        for violation in one_final_notice(set(accepted), told):
            settlement, _, what = violation.what.partition(": ")
            expected = "one if it has ended, none else"
            self._notebook.find(
                GATEWAY, Check.NOTICE, f"expected {expected}, found {what}", settlement=settlement
            )

    async def _until(self, settlement: str) -> list[FinalNotice]:
        found: list[FinalNotice] = []
        if not self._begun:
            self._begun, self._next = True, await anext(self._rows, None)
        while self._next is not None and str(self._next["settlement"]) <= settlement:
            notice = FinalNotice(
                instruction=str(self._next["settlement"]), party=MemberId(self._next["member"])
            )
            found += [notice] * self._next["notices"]
            self._next = await anext(self._rows, None)
        return found


async def instructions(snapshot: Snapshot, notebook: Notebook) -> None:
    """Every instruction that was taken has exactly one final notice, or a current status and
    somebody who works on it."""
    try:
        async for row in snapshot.stream("instructions"):
            notebook.count(GATEWAY, Check.STATUS)
            for what in _status_faults(row):
                notebook.find(
                    GATEWAY, Check.STATUS, what, member=row["member"], message=row["message_id"]
                )
    except asyncpg.DataError as error:
        what = f"expected JSON in every row of table mailbox: {error}"
        notebook.find(GATEWAY, Check.STATUS, what)


def _status_faults(row: Row) -> list[str]:
    instruction, party = row["message_id"], MemberId(row["member"])
    notice = FinalNotice(instruction=instruction, party=party)
    accepted = {notice} if row["over"] else set()
    faults = [
        f"expected {len(accepted)} final notices, found {row['finals']}"
        for _ in one_final_notice(accepted, [notice] * row["finals"])
    ]
    if not row["over"] and not row["told"]:
        faults.append("expected a status, its sender was told nothing")
    if not row["over"] and row["pair"] is not None and not row["going_on"]:
        faults.append(f"expected pair {row['pair']} to be settled or to wait, it does neither")
    return faults


async def mailboxes(snapshot: Snapshot, notebook: Notebook) -> None:
    """Numbers without gap or double, up to the head."""
    for row in await snapshot.fetch("mailboxes"):
        notebook.count(GATEWAY, Check.MAILBOX, row["messages"])
        for what in _mailbox_faults(row):
            notebook.find(GATEWAY, Check.MAILBOX, what, member=row["member"])
    async for row in snapshot.stream("gaps"):
        missing = str(row["first"])
        if row["last"] != row["first"]:
            missing += f" to {row['last']}"
        what = "expected it in the mailbox, it is missing"
        notebook.find(GATEWAY, Check.MAILBOX, what, member=row["member"], message=missing)
    for row in await snapshot.fetch("repeated_messages"):
        places = [f"{m} {n}" for m, n in zip(row["members"], row["sequences"], strict=True)]
        what = f"expected message {row['id']} once, found it as {', '.join(places)}"
        notebook.find(GATEWAY, Check.MAILBOX, what)


def _mailbox_faults(row: Row) -> list[str]:
    if row["last"] is None:
        return [f"expected no messages without a head, found {row['messages']}"]
    faults = []
    if row["highest"] != row["last"]:
        faults.append(f"expected messages up to {row['last']}, the last is {row['highest']}")
    if row["acknowledged"] > row["last"]:
        faults.append(f"{row['acknowledged']} are acknowledged, there are {row['last']}")
    return faults
