"""The sequence diagram of one case as inline SVG: participants from left to right, time from top to
bottom, locks and outages as bars on the lifelines.

Time is not to scale: a settlement takes milliseconds, its outage an hour. Each row says its time.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from gateway.simulation.scenario import Scenario
from gateway.simulation.scenario_run import Kind, Step

ROW: Final = 27
TOP: Final = 62
LEFT: Final = 96
COLUMN_MIN: Final = 150
WIDTH: Final = 1080
"""Pixels at 100 %. The width fits a page of A4 in landscape and a screen beside a list."""

TEXT_MAX: Final = 46
"""Characters of a label: longer ones are cut and shown whole when pointed at."""

ROWS_MAX: Final = 90
"""Of one diagram: what is longer is cut in the middle, and says so."""


class Row(msgspec.Struct, kw_only=True):
    """One or more equal steps, drawn once."""

    step: Step
    count: int = 1
    last_ns: int = 0


def rows(steps: Iterable[Step]) -> list[Row]:
    """Messages that were sent again and again, with nothing else in between, become one row."""
    drawn: list[Row] = []
    fresh: dict[tuple[object, ...], Row] = {}
    for step in steps:
        key = (step.kind, step.source, step.target, step.leg, step.text)
        if step.kind not in (Kind.MESSAGE, Kind.LOST):
            fresh = {}
        elif (row := fresh.get(key)) is not None:
            row.count, row.last_ns = row.count + 1, step.at_ns
            continue
        fresh[key] = Row(step=step, last_ns=step.at_ns)
        drawn.append(fresh[key])
    return drawn


def participants(scenario: Scenario, steps: Sequence[Step]) -> list[str]:
    """Parties, gateways, ledgers; others that appear in the steps come last."""
    paying = dict.fromkeys(party for leg in scenario.legs for party in (leg.payer, leg.payee))
    seen = {step.source for step in steps} | {step.target for step in steps if step.target}
    gateways = sorted(name for name in seen if name.startswith("gateway")) or ["gateway"]
    known = [*paying, *gateways, *dict.fromkeys(leg.ledger for leg in scenario.legs)]
    return known + sorted(seen - set(known))


def diagram(scenario: Scenario, steps: Sequence[Step]) -> str:
    """The whole drawing."""
    return _Drawing(participants(scenario, steps), _shortened(rows(steps)), scenario).svg()


def _shortened(drawn: list[Row]) -> list[Row]:
    if len(drawn) <= ROWS_MAX:
        return drawn
    half = ROWS_MAX // 2
    text = f"{len(drawn) - 2 * half} further steps are left out here"
    at = drawn[half].step.at_ns
    gap = Step(at_ns=at, kind=Kind.NOTE, source=drawn[half].step.source, text=text)
    return [*drawn[:half], Row(step=gap, last_ns=at), *drawn[-half:]]


class _Drawing:
    """Puts rows on a grid."""

    def __init__(self, names: list[str], drawn: list[Row], scenario: Scenario) -> None:
        self._names = names
        self._rows = drawn
        self._scenario = scenario
        self._column = max(COLUMN_MIN, (WIDTH - LEFT) // max(1, len(names)))
        self._width = LEFT + self._column * len(names)
        self._height = TOP + ROW * (len(drawn) + 1)

    def svg(self) -> str:
        parts = [
            f'<svg viewBox="0 0 {self._width} {self._height}" role="img" '
            f'aria-label="sequence diagram" style="max-width:{self._width}px">',
            *(part for n, name in enumerate(self._names) for part in self._head(n, name)),
            *self._bars(),
            *(part for n, row in enumerate(self._rows) for part in self._row(n, row)),
            "</svg>",
        ]
        return "\n".join(parts)

    def _x(self, name: str) -> int:
        return LEFT + self._column * self._names.index(name) + self._column // 2

    def _y(self, n: int) -> int:
        return TOP + ROW * n + ROW // 2

    def _head(self, n: int, name: str) -> list[str]:
        x = LEFT + self._column * n + self._column // 2
        half = self._column // 2 - 6
        kind = self._kind(name)
        return [
            f'<line class="life" x1="{x}" x2="{x}" y1="44" y2="{self._height - 6}"/>',
            f'<rect class="head {kind}" x="{x - half}" y="6" width="{2 * half}" height="40"/>',
            _text(x, 23, name, "name"),
            _text(x, 38, _cut(self._title(name), self._column // 7), "title"),
        ]

    def _kind(self, name: str) -> str:
        if name in self._scenario.ledgers:
            return "ledger"
        return "party" if name in self._scenario.parties else "gateway"

    def _title(self, name: str) -> str:
        if name in self._scenario.ledgers:
            ledger = self._scenario.ledgers[name]
            return f"{ledger.title} · {ledger.asset}"
        party = self._scenario.parties.get(name)
        return party.name if party else "Lockstep"

    # ------------------------------------------------------------------ bars on the lifelines

    def _bars(self) -> list[str]:
        """From a lock to its end, and from an outage to its end."""
        drawn: list[str] = []
        open_at: dict[tuple[str, str], int] = {}
        for n, row in enumerate(self._rows):
            step = row.step
            key, begins, ends = _spans(step)
            if begins:
                open_at.setdefault(key, n)
            elif ends and key in open_at:
                drawn.append(self._bar(key, open_at.pop(key), n))
        return drawn + [self._bar(key, n, len(self._rows)) for key, n in open_at.items()]

    def _bar(self, key: tuple[str, str], start: int, end: int) -> str:
        source, what = key
        down = what == "down"
        x = self._x(source) - (5 if down else 4 - 9 * self._lane(source, what))
        kind = "down" if down else "lock"
        return (
            f'<rect class="{kind}" x="{x}" y="{self._y(start)}" width="{10 if down else 8}" '
            f'height="{max(4, self._y(end) - self._y(start))}"/>'
        )

    def _lane(self, ledger: str, leg: str) -> int:
        """Locks of several legs on one ledger stand beside each other."""
        here = [each.leg for each in self._scenario.legs if each.ledger == ledger]
        return here.index(leg) if leg in here else 0

    # ------------------------------------------------------------------ rows

    def _row(self, n: int, row: Row) -> list[str]:
        y, step = self._y(n), row.step
        time = f'<text class="time" x="{LEFT - 8}" y="{y + 4}">{_seconds(step.at_ns)}</text>'
        label = _label(row)
        if step.target is not None and step.target in self._names:
            return [time, *self._arrow(y, step, label)]
        return [time, *self._mark(y, step, label)]

    def _arrow(self, y: int, step: Step, label: str) -> list[str]:
        start, end = self._x(step.source), self._x(step.target or step.source)
        way = 1 if end > start else -1
        tip = end - 6 * way
        return [
            f'<line class="arrow {step.kind}" x1="{start}" x2="{tip}" y1="{y}" y2="{y}"/>',
            f'<path class="tip {step.kind}" d="M{end} {y}l{-8 * way} -4v8z"/>',
            _text((start + end) // 2, y - 4, label, f"label {step.kind}"),
        ]

    def _mark(self, y: int, step: Step, label: str) -> list[str]:
        """Something at one participant: a sign on its lifeline and a text beside it."""
        x = self._x(step.source)
        right = x < self._width - self._column
        anchor, place = ("start", x + 14) if right else ("end", x - 14)
        sign = _SIGNS[step.kind].format(x=x, y=y)
        text = _text(place, y + 4, label, f"label {step.kind} {_tone(step)}", anchor)
        return [sign, text]


_SIGNS: Final = {
    Kind.MESSAGE: '<circle class="sign-dot" cx="{x}" cy="{y}" r="3"/>',
    Kind.LOST: '<path class="sign-cross" d="M{x} {y}m-5 -5l10 10m0 -10l-10 10"/>',
    Kind.EFFECT: '<circle class="sign-effect" cx="{x}" cy="{y}" r="5"/>',
    Kind.RECORD: '<rect class="sign-record" x="{x}" y="{y}" width="10" height="10" '
    'transform="translate(-5 -5)"/>',
    Kind.NOTICE: '<circle class="sign-dot" cx="{x}" cy="{y}" r="3"/>',
    Kind.FAULT: '<path class="sign-fault" d="M{x} {y}m1 -9l-7 10h5l-1 8l7 -10h-5z"/>',
    Kind.NOTE: '<circle class="sign-note" cx="{x}" cy="{y}" r="3"/>',
}


def _spans(step: Step) -> tuple[tuple[str, str], bool, bool]:
    """What a step begins or ends: a lock of a leg, or an outage of a node."""
    if step.kind is Kind.EFFECT:
        return (step.source, step.leg or ""), step.text == "locked", step.text != "locked"
    begins = step.kind is Kind.FAULT and any(word in step.text for word in _OUTAGES)
    return (step.source, "down"), begins, step.text == "is back"


_OUTAGES: Final = ("crashes", "is down", "killed", "stopped")


def _tone(step: Step) -> str:
    for word, tone in (("executed", "good"), ("SETTLED", "good"), ("COMMIT", "good")):
        if word in step.text:
            return tone
    return ""


def _label(row: Row) -> str:
    step = row.step
    text = f"{step.text} {step.leg}" if step.leg and step.leg not in step.text else step.text
    if row.count > 1:
        text += f", {row.count} times until {_seconds(row.last_ns)}"
    return text


def _text(x: int, y: int, text: str, kind: str, anchor: str = "middle") -> str:
    short = _cut(text, TEXT_MAX)
    title = f"<title>{escape(text)}</title>" if short != text else ""
    attributes = f'class={quoteattr(kind)} x="{x}" y="{y}" text-anchor="{anchor}"'
    return f"<text {attributes}>{escape(short)}{title}</text>"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _seconds(at_ns: int) -> str:
    """With milliseconds below a minute."""
    value = at_ns / 1e9
    return f"{value:.3f} s" if value < 60 else f"{value:,.1f} s".replace(",", "\N{THIN SPACE}")
