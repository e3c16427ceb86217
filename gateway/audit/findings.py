"""What an audit says: what was checked and how often, what is wrong, what is excused. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec


class Check(StrEnum):
    """What is checked; the README of this package says of each what to do when it fails."""

    # One ledger, from its own database.
    CHAIN = "chain"
    SIGNATURE = "signature"
    ROOT = "root"
    POSTING = "posting"
    ONCE = "once"
    BALANCE = "balance"
    CONTRACT = "contract"
    OPERATION = "operation"
    STATEMENT = "statement"
    CONSERVATION = "conservation"
    ADMINISTRATION = "administration"
    # The gateway's journal against the ledgers.
    JOURNAL = "journal"
    OPENED = "opened"
    DECIDED = "decided"
    LOCKED = "locked"
    BOTH_KEYS = "both-keys"
    ONE_END = "one-end"
    LEARNED = "learned"
    OVERDUE = "overdue"
    # What members are told.
    NOTICE = "notice"
    STATUS = "status"
    MAILBOX = "mailbox"


UNITS: Final = {
    Check.CHAIN: ("blocks", "each follows the one before, up to the head"),
    Check.SIGNATURE: ("blocks", "signed by the ledger's key"),
    Check.ROOT: ("postings", "are those of their block's Merkle root; each is in a block"),
    Check.POSTING: ("postings", "are what the rule book makes of those before"),
    Check.ONCE: ("operations", "had their effect once"),
    Check.BALANCE: ("balances", "are the sum of their postings"),
    Check.CONTRACT: ("contracts", "are as their postings left them"),
    Check.OPERATION: ("issues, redemptions, transfers", "are remembered as they were posted"),
    Check.STATEMENT: ("statements", "have every posting of their account"),
    Check.CONSERVATION: ("assets", "sum to zero, no holder is negative"),
    Check.ADMINISTRATION: ("acts of administration", "follow the one before, up to the head"),
    Check.JOURNAL: ("journals", "are without gap, fold, and decide once"),
    Check.OPENED: ("locks", "were agreed in a journal before"),
    Check.DECIDED: ("keys shown", "had their decision in the journal"),
    Check.LOCKED: ("settlements", "executed only with every leg locked as agreed"),
    Check.BOTH_KEYS: ("settlements", "never show both keys of a pair"),
    Check.ONE_END: ("settlements", "have legs that end alike"),
    Check.LEARNED: ("legs", "are on their ledger what the journal has learned"),
    Check.OVERDUE: ("open locks", "are not open longer than they may"),
    Check.NOTICE: ("parties", "have one final notice of what has ended, none of what has not"),
    Check.STATUS: ("instructions", "have one final notice or a current status"),
    Check.MAILBOX: ("messages", "are numbered without gap or double"),
}
"""What is counted, and what holds of it when nothing is found."""


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where: whatever of it is known."""

    settlement: str | None = None
    ledger: str | None = None
    block: int | None = None
    posting: int | None = None  # its position in the block
    member: str | None = None
    message: str | None = None  # BizMsgIdr of an instruction, or number in a mailbox

    def text(self) -> str:
        """In words, for a line."""
        parts = (
            ("settlement", self.settlement),
            ("ledger", self.ledger),
            ("block", self.block),
            ("posting", self.posting),
            ("member", self.member),
            ("message", self.message),
        )
        return " ".join(f"{name} {value}" for name, value in parts if value is not None)


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that must not be. `evidence` is signed, for others to verify."""

    check: Check
    place: Place
    what: str
    evidence: tuple[msgspec.Raw, ...] = ()

    def line(self) -> str:
        """In one line: where, what is there, and what was expected."""
        what = self.what
        if "expected" not in what:
            what += f" (expected: {' '.join(UNITS[self.check])})"
        return ": ".join(part for part in (self.check, self.place.text(), what) if part)


class Excused(msgspec.Struct, frozen=True, kw_only=True):
    """What would be a finding, but was announced: a residual risk, or a restore."""

    finding: Finding
    why: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    check: Check
    of: str  # a ledger's name, or "gateway"
    count: int
    what: str  # what was counted
    holds: str  # what is said of it if there are no findings
    findings: int


KEPT_MAX: Final = 100
"""Findings kept of one check at one place: enough to see what it is. All are counted."""

GATEWAY: Final = "gateway"


class Notebook:
    """Collects what an audit sees."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Check], int] = {}
        self._found: Counter[tuple[str, Check]] = Counter()
        self._kept: defaultdict[tuple[str, Check], list[Finding]] = defaultdict(list)
        self.excused: list[Excused] = []
        self.excused_count = 0
        self.notes: list[str] = []

    def count(self, of: str, check: Check, number: int = 1) -> None:
        """So many things were checked."""
        self._counts[of, check] = self._counts.get((of, check), 0) + number

    def find(self, of: str, check: Check, what: str, **place: object) -> None:
        """Something is wrong at a place (the fields of `Place`)."""
        self.add(of, Finding(check=check, what=what, place=msgspec.convert(place, Place)))

    def add(self, of: str, finding: Finding) -> None:
        key = (of, finding.check)
        self._counts.setdefault(key, 0)
        self._found[key] += 1
        if len(self._kept[key]) < KEPT_MAX:
            self._kept[key].append(finding)

    def excuse(self, finding: Finding, why: str) -> None:
        """Listed apart, and no finding."""
        self.excused_count += 1
        if len(self.excused) < KEPT_MAX:
            self.excused.append(Excused(finding=finding, why=why))

    @property
    def total(self) -> int:
        """Findings, kept or not."""
        return self._found.total()

    def findings(self) -> list[Finding]:
        return [finding for kept in self._kept.values() for finding in kept]

    def table(self) -> list[Checked]:
        """Ledgers as they came, then the gateway; checks in their order."""
        order = list(Check)
        places = list(dict.fromkeys(of for of, _ in self._counts if of != GATEWAY))
        rows = sorted(
            self._counts.items(),
            key=lambda row: (
                len(places) if row[0][0] == GATEWAY else places.index(row[0][0]),
                order.index(row[0][1]),
            ),
        )
        return [
            Checked(
                check=check,
                of=of,
                count=count,
                what=UNITS[check][0],
                holds=UNITS[check][1],
                findings=self._found[of, check],
            )
            for (of, check), count in rows
        ]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """How far a ledger's chain went, for the next audit to begin with."""

    height: int
    hash: str
    public_key: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an audit, as `--json` prints it."""

    clean: bool
    findings_total: int
    findings: tuple[Finding, ...]
    excused_total: int
    excused: tuple[Excused, ...]
    checked: tuple[Checked, ...]
    heads: dict[str, Head]
    notes: tuple[str, ...]
    settlements: int
    postings: int
    seconds: float


def lines(findings: Iterable[Finding]) -> list[str]:
    return [finding.line() for finding in findings]
