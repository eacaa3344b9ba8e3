"""Spans of dates, and how a long list is divided into them.

One chain of pages, each asked for after the one before, can't use up the rate limit. So a long list
that Harvest filters by a date is read in several windows side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from ..settings import Sizes

Filters = dict[str, str]

DAY = timedelta(days=1)

EARLIEST = date(2000, 1, 1)
"""Where all history begins: Harvest is of 2006, and time may have been brought along."""


@dataclass(frozen=True)
class Window:
    """A span of days, both ends included. None leaves an end open.

    Attributes:
        splits: How often the span was split to get this one.
    """

    first: date | None = None
    last: date | None = None
    splits: int = 0

    @property
    def filters(self) -> Filters:
        """The window as Harvest's `from` and `to`."""
        ends = {"from": self.first, "to": self.last}
        return {name: day.isoformat() for name, day in ends.items() if day}

    def split(self, top: date, days: int, count: int) -> list[Window]:
        """Return windows that share what follows this window's first page.

        The newest goes up to this one's end, and the oldest down to its begin, so both may hold
        more than is known.

        Args:
            top: The newest day that is left to read.
            days: How many days each but the oldest has.
            count: How many of these there are, unless this window ends before.
        """
        windows, last = [], self.last
        begin = max(self.first or EARLIEST, EARLIEST)
        for _ in range(count):
            first = top - min(days - 1, max(0, (top - begin).days)) * DAY
            if first <= begin:
                break
            windows.append(Window(first, last, self.splits + 1))
            last = top = first - DAY
        return [*windows, Window(self.first, last, self.splits + 1)]


def window_size(records: int, sizes: Sizes) -> int:
    """Return how many records make one of the windows that share some records.

    Each must be worth its last page, which may be nearly empty. There are half as many again as are
    read side by side, since days differ in what they hold, so some end early.
    """
    return max(sizes.window_records, 2 * records // (3 * sizes.parallel_windows))


def periods(length: str, first: date, last: date) -> list[Window]:
    """Return the periods that hold two days and all between them, newest first.

    Args:
        length: "month", "week", which begins on Monday, or "day".
        first: The first day.
        last: The last day.
    """
    found, start = [], _start(length, last)
    end = start
    while _start(length, end) == start:
        end += DAY
    while True:
        found.append(Window(start, end - DAY))
        if start <= first:
            return found
        start, end = _start(length, start - DAY), start


def _start(length: str, day: date) -> date:
    """Return the first day of the period that holds a day."""
    if length == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if length == "week" else day


def since(moment: datetime | None) -> Filters:
    """Return the filter for what changed at or after a moment; none for None.

    A moment before all of Harvest's records needs no filter either.
    """
    if moment is None or moment.year < 1970:
        return {}
    return {"updated_since": moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}


def day_of(record: dict[str, Any], field: str) -> date | None:
    """Return a record's date, None where it has none or something else stands there."""
    try:
        return date.fromisoformat(record[field])
    except (KeyError, TypeError, ValueError):
        return None
