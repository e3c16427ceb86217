"""Business days of ledgers: when each is open, and on which day a settlement on several happens.

A ledger settles on its business days, from local midnight to its cut-off. A settlement needs all
its ledgers at once: it happens while the business day of the same date is open on every one. Pure
but for the zone data of the system (or of `tzdata`): the instant is passed in.

A business date that is set by hand is open at once and until another one is set: nothing is late.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
HolidaySet = Literal["TARGET"]

_WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

FOREVER: Final = 2**63 - 1
"""An instant that never comes: a business day that somebody has to set opens then."""

SEARCH_DAYS: Final = 400
"""How far the next business day is looked for: no market is closed for a year."""

_MIDNIGHT: Final = time()
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY: Final = 86_400_000_000_000
"""Nanoseconds of a day of UTC."""

_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class CalendarSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a ledger settles. The default, open every day of UTC, is that of a ledger that runs day
    and night; what a market closes for is its own affair and has no default."""

    #: Name of the IANA time zone database: days begin and cut-offs are told in this zone.
    time_zone: str = "UTC"
    closed_weekdays: tuple[Weekday, ...] = ()
    holidays: tuple[date, ...] = ()
    #: Holidays by rule. TARGET: 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December
    #: (long-term calendar of the Eurosystem, in force since 2002).
    holiday_sets: tuple[HolidaySet, ...] = ()
    #: HH:MM, local; the first minute at which nothing is settled against payment any more on that
    #: day (TARGET2-Securities: 16:00). Absent: the day ends at midnight.
    dvp_cut_off: str | None = None


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A business day of several ledgers: settlement is possible from `opens_at` until just before
    `closes_at` (UTC nanoseconds)."""

    date: date
    opens_at: int
    closes_at: int

    def is_open(self, at: int) -> bool:
        return self.opens_at <= at < self.closes_at


def fault(settings: CalendarSettings) -> tuple[str, str] | None:
    """The first key that is wrong, and what was expected."""
    try:
        ZoneInfo(settings.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "time_zone", "expected a name of the IANA time zone database, such as Europe/Berlin"
    if settings.dvp_cut_off is not None and _CLOCK.fullmatch(settings.dvp_cut_off) is None:
        return "dvp_cut_off", 'expected HH:MM, such as "16:00"'
    if settings.dvp_cut_off == "00:00":
        return "dvp_cut_off", "00:00 leaves no time to settle; leave it out for the whole day"
    if len(set(settings.closed_weekdays)) == len(_WEEKDAYS):
        return "closed_weekdays", "leave one day of the week open"
    return None


class LedgerCalendar:
    """The business days of one ledger."""

    def __init__(self, settings: CalendarSettings) -> None:
        self._zone = ZoneInfo(settings.time_zone)
        self._closed = frozenset(_WEEKDAYS.index(day) for day in settings.closed_weekdays)
        self._holidays = frozenset(settings.holidays)
        self._target = "TARGET" in settings.holiday_sets
        cut_off = settings.dvp_cut_off
        self._cut_off = None if cut_off is None else time.fromisoformat(cut_off)

    def settles_on(self, day: date) -> bool:
        """Whether it is a business day."""
        return not (
            day.weekday() in self._closed
            or day in self._holidays
            or (self._target and is_target_holiday(day))
        )

    def local_date(self, at: int) -> date:
        """Its calendar day at an instant."""
        return datetime.fromtimestamp(at // 1_000_000_000, self._zone).date()

    def day(self, day: date) -> Day:
        """From local midnight until the cut-off, whether or not it is a business day."""
        if self._cut_off is None:
            closes = self._instant(day + timedelta(days=1), _MIDNIGHT)
        else:
            closes = self._instant(day, self._cut_off)
        return Day(date=day, opens_at=self._instant(day, _MIDNIGHT), closes_at=closes)

    def _instant(self, day: date, clock: time) -> int:
        """A local time in UTC nanoseconds. Of a time that comes twice (summer time ends) the first;
        one that is left out (it begins) stands for the same time after the change."""
        return int(datetime.combine(day, clock, self._zone).timestamp()) * 1_000_000_000


class Calendars:
    """The calendars of all ledgers; `fixed` is the business date where that is set by hand."""

    def __init__(self, ledgers: Mapping[str, CalendarSettings], fixed: date | None) -> None:
        self._ledgers = {name: LedgerCalendar(settings) for name, settings in ledgers.items()}
        self._fixed = fixed
        self._window = lru_cache(maxsize=4096)(self._find_window)
        #: What was found last, and when: it stays right until that day closes.
        self._last: dict[frozenset[str], tuple[int, Day]] = {}

    def accepts(self, ledger: str, day: date, at: int) -> bool:
        """Whether an instruction may name this settlement date: a business day, or one that is past
        (it then stands for the current business date)."""
        calendar = self._ledgers[ledger]
        return calendar.settles_on(day) or day < (self._fixed or calendar.local_date(at))

    def on(self, ledgers: Iterable[str], day: date) -> Day | None:
        """That business day on all these ledgers; None if one is closed, or they never are open at
        the same time of it."""
        return self._window(frozenset(ledgers), day)

    def current(self, ledgers: Iterable[str], at: int) -> Day:
        """The business day of these ledgers that is open at an instant, or the next one to open."""
        names = frozenset(ledgers)
        if self._fixed is not None:
            return self._set_by_hand(names, self._fixed)
        last = self._last.get(names)
        if last is not None and last[0] <= at < last[1].closes_at:
            return last[1]
        first = min((self._ledgers[n].local_date(at) for n in names), default=_utc_date(at))
        for day in _days_from(first):
            found = self._window(names, day)
            if found is not None and at < found.closes_at:
                self._last[names] = (at, found)
                return found
        return Day(date=date.max, opens_at=FOREVER, closes_at=FOREVER)

    def _set_by_hand(self, names: frozenset[str], fixed: date) -> Day:
        """Open if it is a business day; else the next one, when somebody sets that."""
        for day in _days_from(fixed):
            if self._window(names, day) is not None:
                opens = 0 if day == fixed else FOREVER
                return Day(date=day, opens_at=opens, closes_at=FOREVER)
        return Day(date=date.max, opens_at=FOREVER, closes_at=FOREVER)

    def elapsed(self, ledgers: Iterable[str], since: date, until: date) -> int:
        """Business days of these ledgers after `since` up to and including `until` (of a longer
        time, those of its first SEARCH_DAYS days)."""
        names = frozenset(ledgers)
        days = min((until - since).days, SEARCH_DAYS)
        return sum(
            self._window(names, since + timedelta(days=n)) is not None for n in range(1, days + 1)
        )

    def business_date(self, at: int) -> date:
        """The date at an instant where no ledger is asked about: set by hand, else that of UTC."""
        return self._fixed or _utc_date(at)

    def _find_window(self, names: frozenset[str], day: date) -> Day | None:
        calendars = [self._ledgers[name] for name in names]
        if not all(calendar.settles_on(day) for calendar in calendars):
            return None
        days = [calendar.day(day) for calendar in calendars]
        if not days:
            return LedgerCalendar(CalendarSettings()).day(day)
        opens = max(item.opens_at for item in days)
        closes = min(item.closes_at for item in days)
        return Day(date=day, opens_at=opens, closes_at=closes) if opens < closes else None


def never_together(x: CalendarSettings, y: CalendarSettings, today: date) -> bool:
    """Whether no business day of the next year is open on both: nothing would ever settle."""
    both = Calendars({"x": x, "y": y}, None)
    return all(both.on(("x", "y"), day) is None for day in _days_from(today))


def _days_from(first: date) -> Iterable[date]:
    for n in range(SEARCH_DAYS):
        if date.max - first < timedelta(days=n):
            return
        yield first + timedelta(days=n)


def _utc_date(at: int) -> date:
    return date.fromordinal(_EPOCH + at // _DAY)


def is_target_holiday(day: date) -> bool:
    """Whether TARGET is closed on this day of the week's five."""
    if (day.month, day.day) in ((1, 1), (5, 1), (12, 25), (12, 26)):
        return True
    return day - easter(day.year) in (timedelta(days=-2), timedelta(days=1))


@lru_cache(maxsize=64)
def easter(year: int) -> date:
    """Easter Sunday (Gregorian; the anonymous algorithm of Nature, 20 April 1876)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    correction = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * correction) // 451
    month, day = divmod(h + correction - 7 * m + 114, 31)
    return date(year, month, day + 1)
