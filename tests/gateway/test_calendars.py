"""Business days: holidays by rule, cut-offs in local time, summer time, several ledgers at once."""

from datetime import UTC, date, datetime, timedelta

import pytest

from gateway import config
from gateway.calendars import (
    FOREVER,
    Calendars,
    CalendarSettings,
    easter,
    fault,
    is_target_holiday,
    never_together,
)

EUROPE = CalendarSettings(
    time_zone="Europe/Berlin",
    closed_weekdays=("sat", "sun"),
    holiday_sets=("TARGET",),
    dvp_cut_off="16:00",
)
TOKYO = CalendarSettings(time_zone="Asia/Tokyo", closed_weekdays=("sat", "sun"))
NEW_YORK = CalendarSettings(
    time_zone="America/New_York", closed_weekdays=("sat", "sun"), holidays=(date(2026, 11, 26),)
)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def text(instant: int) -> str:
    return datetime.fromtimestamp(instant // 1_000_000_000, UTC).isoformat()


# Published tables: European Central Bank, TARGET closing days; Easter of the Gregorian calendar.
@pytest.mark.parametrize(
    "day",
    [
        "1818-03-22",
        "1943-04-25",
        "1981-04-19",
        "2000-04-23",
        "2024-03-31",
        "2025-04-20",
        "2026-04-05",
        "2027-03-28",
        "2038-04-25",
        "2049-04-18",
        "2285-03-22",
    ],
)
def test_easter_falls_where_the_tables_have_it(day: str) -> None:
    assert easter(int(day[:4])) == date.fromisoformat(day)


def test_target_is_closed_on_its_six_holidays_and_no_other() -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(365)]
    closed = [day.isoformat() for day in days if is_target_holiday(day)]
    assert closed == [
        "2026-01-01",
        "2026-04-03",
        "2026-04-06",
        "2026-05-01",
        "2026-12-25",
        "2026-12-26",
    ]


def test_a_day_ends_at_its_cut_off_and_the_next_business_day_takes_its_place() -> None:
    calendars = Calendars({"r": EUROPE}, None)
    thursday = calendars.current(("r",), at("2026-04-02T13:59:59Z"))
    assert (thursday.date, thursday.is_open(at("2026-04-02T13:59:59Z"))) == (
        date(2026, 4, 2),
        True,
    )
    # 16:00 in Berlin is 14:00 UTC in summer; Friday to Monday are Easter.
    after = calendars.current(("r",), at("2026-04-02T14:00:00Z"))
    assert (after.date, text(after.opens_at)) == (date(2026, 4, 7), "2026-04-06T22:00:00+00:00")
    assert not after.is_open(at("2026-04-02T14:00:00Z"))


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2026-03-27", "2026-03-26T23:00:00+00:00", "2026-03-27T15:00:00+00:00"),  # winter
        ("2026-03-30", "2026-03-29T22:00:00+00:00", "2026-03-30T14:00:00+00:00"),  # summer
        ("2026-10-23", "2026-10-22T22:00:00+00:00", "2026-10-23T14:00:00+00:00"),
        ("2026-10-26", "2026-10-25T23:00:00+00:00", "2026-10-26T15:00:00+00:00"),
    ],
)
def test_a_cut_off_is_told_in_local_time_summer_and_winter(
    day: str, opens: str, closes: str
) -> None:
    found = Calendars({"r": EUROPE}, None).on(("r",), date.fromisoformat(day))
    assert found is not None
    assert (text(found.opens_at), text(found.closes_at)) == (opens, closes)


def test_the_days_on_which_the_clock_changes_have_23_and_25_hours() -> None:
    berlin = CalendarSettings(time_zone="Europe/Berlin")
    calendars = Calendars({"r": berlin}, None)
    hours = []
    for day in (date(2026, 3, 29), date(2026, 10, 25)):
        found = calendars.on(("r",), day)
        assert found is not None
        hours.append((found.closes_at - found.opens_at) // 3_600_000_000_000)
    assert hours == [23, 25]
    # A cut-off in the hour that is left out, and one in the hour that comes twice.
    for cut_off, day, closes in (
        ("02:30", date(2026, 3, 29), "2026-03-29T01:30:00+00:00"),
        ("02:30", date(2026, 10, 25), "2026-10-25T00:30:00+00:00"),
    ):
        night = CalendarSettings(time_zone="Europe/Berlin", dvp_cut_off=cut_off)
        found = Calendars({"r": night}, None).on(("r",), day)
        assert found is not None and text(found.closes_at) == closes


def test_two_ledgers_settle_while_the_same_day_is_open_on_both() -> None:
    calendars = Calendars({"t": TOKYO, "n": NEW_YORK}, None)
    day = calendars.on(("t", "n"), date(2026, 11, 25))
    assert day is not None
    assert (text(day.opens_at), text(day.closes_at)) == (
        "2026-11-25T05:00:00+00:00",  # midnight in New York
        "2026-11-25T15:00:00+00:00",  # midnight in Tokyo
    )
    assert calendars.on(("t", "n"), date(2026, 11, 26)) is None, "Thanksgiving"
    late = calendars.current(("t", "n"), at("2026-11-25T15:00:00Z"))
    assert late.date == date(2026, 11, 27)


def test_an_instruction_may_name_a_business_day_or_a_date_that_is_past() -> None:
    calendars = Calendars({"r": EUROPE}, None)
    now = at("2026-04-06T09:00:00Z")  # Easter Monday
    accepted = [
        calendars.accepts("r", date(2026, 4, day), now) for day in (2, 3, 5, 6, 7, 10, 11, 12)
    ]
    assert accepted == [True, True, True, False, True, True, False, False]


def test_business_days_are_counted_without_closed_ones() -> None:
    calendars = Calendars({"r": EUROPE, "n": NEW_YORK}, None)
    assert calendars.elapsed(("r",), date(2026, 4, 2), date(2026, 4, 8)) == 2
    assert calendars.elapsed(("r", "n"), date(2026, 11, 25), date(2026, 11, 27)) == 1
    assert calendars.elapsed(("r",), date(2026, 4, 8), date(2026, 4, 2)) == 0


def test_a_business_date_set_by_hand_is_open_whatever_the_clock_says() -> None:
    calendars = Calendars({"r": EUROPE}, date(2026, 4, 2))
    day = calendars.current(("r",), at("2031-01-01T23:00:00Z"))
    assert (day.date, day.opens_at, day.closes_at) == (date(2026, 4, 2), 0, FOREVER)
    closed = Calendars({"r": EUROPE}, date(2026, 4, 4)).current(("r",), 0)
    assert (closed.date, closed.opens_at) == (date(2026, 4, 7), FOREVER)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (CalendarSettings(time_zone="Europe/Atlantis"), "time_zone"),
        (CalendarSettings(time_zone="../etc/passwd"), "time_zone"),
        (CalendarSettings(dvp_cut_off="24:00"), "dvp_cut_off"),
        (CalendarSettings(dvp_cut_off="16.00"), "dvp_cut_off"),
        (CalendarSettings(dvp_cut_off="00:00"), "dvp_cut_off"),
        (
            CalendarSettings(
                closed_weekdays=("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
            ),
            "closed_weekdays",
        ),
    ],
)
def test_a_wrong_calendar_stops_the_start_with_its_key(
    settings: CalendarSettings, key: str
) -> None:
    found = fault(settings)
    assert found is not None and found[0] == key
    with pytest.raises(config.ConfigurationError, match=rf"ledgers\.r\.calendar\.{key}: "):
        config.check_calendars({"r": settings})


def test_ledgers_that_are_never_open_together_are_refused() -> None:
    weekend = CalendarSettings(closed_weekdays=("mon", "tue", "wed", "thu", "fri"))
    assert never_together(EUROPE, weekend, date(2026, 1, 1))
    with pytest.raises(config.ConfigurationError, match="never open at the same time"):
        config.check_calendars({"a": EUROPE, "b": weekend})
    config.check_calendars({"a": EUROPE, "b": TOKYO, "c": NEW_YORK})
