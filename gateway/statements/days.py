"""Which business days of a ledger are over."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from gateway.calendars import SEARCH_DAYS, Calendars

_DAY = 86_400 * 1_000_000_000


def midnight(at: int) -> int:
    """The beginning of the day in UTC."""
    return at - at % _DAY


def utc_date(at: int) -> date:
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).date()


def closes_at(calendars: Calendars, ledger: str, day: date) -> int:
    """When a business day of a ledger ends (UTC ns)."""
    window = calendars.on((ledger,), day)
    assert window is not None, "it is a business day"
    return window.closes_at


def is_closed(calendars: Calendars, ledger: str, day: date, now: int) -> bool:
    """Whether it is a business day that is over."""
    window = calendars.on((ledger,), day)
    return window is not None and window.closes_at <= now


def closed_days(calendars: Calendars, ledger: str, after: date, now: int) -> Iterator[date]:
    """The business days after one that are over, in order."""
    last = utc_date(now) + timedelta(days=1)  # east of Greenwich a day is over before
    for n in range(1, (last - after).days + 1):
        if is_closed(calendars, ledger, day := after + timedelta(days=n), now):
            yield day


def last_closed(calendars: Calendars, ledger: str, now: int) -> date | None:
    """The last business day that is over; None if there was none for a year."""
    first = utc_date(now) + timedelta(days=1)
    days = (first - timedelta(days=n) for n in range(SEARCH_DAYS))
    return next((day for day in days if is_closed(calendars, ledger, day, now)), None)


def day_before(calendars: Calendars, ledger: str, day: date) -> date:
    """The business day before one."""
    return next(
        found
        for n in range(1, SEARCH_DAYS)
        if calendars.on((ledger,), found := day - timedelta(days=n)) is not None
    )
