"""Lists that are whole, whatever changes while they are read.

A cursor is a keyset, and nothing moves under it. A page number counts from the top: a record
deleted or moved meanwhile shifts the rest by one, and a row slips between two pages. So where
Harvest numbers its pages and sorts by a date that it also filters by, the next page is asked for by
that date. Elsewhere the pages are followed, and read again if the list changed. Records that were
created or moved while the list was read are asked for at the end.

Long lists by date are read in several windows of dates side by side: one chain of pages, each
asked for after the one before, can't use up the rate limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from typing import Any

from .api.answers import Page
from .api.client import HarvestClient
from .errors import ShiftingListError
from .settings import CHAIN_RECORDS, CHAINS, MAX_ATTEMPTS, OVERLAP_SECONDS

Filters = dict[str, str]
Records = list[dict[str, Any]]

DAY = timedelta(days=1)
MAX_SPLITS = 3  # a window that is still too long then is read as one chain


@dataclass(frozen=True)
class Window:
    """A span of dates, both ends included; None leaves an end open.

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


class Listing:
    """One read of a list.

    Args:
        client: Where from.
        path: The list's path below the base URL.
        key: The key that holds the records in each answer.
        filters: Parameters that the endpoint documents.
        date: The field by which the list is sorted, newest first, and filtered by `from` and
            `to`; empty where there is none, or where it may be null.
        last: The last date to read; None for all.
        most: Leave the rest of a list by date once so many records were found; 0 for all.
        updated_since: Whether the endpoint documents the filter `updated_since`.

    Attributes:
        started: The moment of the first answer, by Harvest's clock (UTC).
        total: Harvest's count of the list at that moment, None where it does not say.
        ids: Of the records found so far.
        rest: Up to which date the list was left, None if it was read to its end.
    """

    started: datetime
    total: int | None = None
    rest: date | None = None

    def __init__(
        self,
        client: HarvestClient,
        path: str,
        key: str,
        filters: Filters | None = None,
        *,
        date: str = "",
        last: date | None = None,
        most: int = 0,
        updated_since: bool = False,
    ) -> None:
        self.ids: set[int] = set()
        self._client, self._path, self._key = client, path, key
        self._span, self._most = Window(last=last), most
        self._filters = {**(filters or {}), **self._span.filters}
        self._date, self._updated_since = date, updated_since
        self._waiting = deque([self._span])
        self._pages = 0

    def read(self) -> Iterator[Records]:
        """Yield the records, a page at a time; one that changed meanwhile may come twice.

        Raises:
            ShiftingListError: The list changed each time it was read.
            HarvestError: A page could not be read.
        """
        yield from self._noted(
            self._side_by_side() if self._date else self._followed(self._filters)
        )
        if self.rest:
            self._filters = {**self._filters, **Window(self.rest + DAY, self._span.last).filters}
        if self._pages > 1 and self._updated_since:
            after = since(self.started - timedelta(seconds=OVERLAP_SECONDS))
            yield from self._noted(self._followed({**self._filters, **after}))
        if self._is_short():
            # Records that no window holds, or links that end early: they must not be lost.
            yield from self._noted(self._followed(self._filters))
            if self._is_short():
                raise ShiftingListError(self._path)

    def _noted(self, pages: Iterator[Records]) -> Iterator[Records]:
        for records in pages:
            self.ids.update(record["id"] for record in records)
            yield records

    def _is_short(self) -> bool:
        """Whether Harvest still counts more records than were found."""
        return len(self.ids) < (self.total or 0) and len(self.ids) < self._count()

    def _side_by_side(self) -> Iterator[Records]:
        """Yield from the waiting chains, newest first, at most one page of each ahead."""
        running: dict[Future[Records | None], Iterator[Records]] = {}
        # dlt runs resources and single items side by side, but a list is whole only when all
        # its windows are, and dlt has no place to wait for that.
        pool = ThreadPoolExecutor(CHAINS)
        try:
            while self._waiting or running:
                while self._waiting and len(running) < CHAINS:
                    chain = self._chain(self._waiting.popleft())
                    running[pool.submit(next, chain, None)] = chain
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    chain, records = running.pop(future), future.result()
                    if records is not None:
                        running[pool.submit(next, chain, None)] = chain
                        yield records
                    del future, records  # not to be held while others come
                if self._most and len(self.ids) >= self._most:
                    self._leave_waiting()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _leave_waiting(self) -> None:
        """Leave what no chain has begun yet."""
        ends = [window.last for window in self._waiting if window.last]
        if ends and len(ends) == len(self._waiting):
            self._waiting.clear()
            self.rest = max(filter(None, (self.rest, *ends)))  # a chain may have split since

    def _chain(self, window: Window) -> Iterator[Records]:
        """Yield a window's pages, each asked for by the cursor or the date of the one before."""
        filters, last = self._filters, window.last
        pages = self._ask({**filters, **window.filters})
        page = next(pages)
        yield page
        if window.splits < MAX_SPLITS and (page.total or 0) - len(page) > 2 * self._enough():
            if windows := self._split(window, page):
                self._waiting.extendleft(reversed(windows))
            else:
                yield from self._followed({**filters, **window.filters})
            return
        while page.more:
            if not page.numbered:
                del page  # not to be held while the next one comes
                page = next(pages)
                yield page
                continue
            days = self._days(page, last)
            if not days:  # not as documented, so they don't tell where the next page begins
                yield from self._followed({**filters, **Window(window.first, last).filters})
                return
            oldest = days[-1]
            if days[0] == oldest:  # one day has more records than a page
                yield from self._followed({**filters, **Window(oldest, oldest).filters})
                oldest -= DAY
                if window.first and oldest < window.first:
                    return
            last = oldest
            known = {record["id"] for record in page if self._day(record) == last}
            del page
            pages = self._ask({**filters, **Window(window.first, last).filters})
            page = next(pages)
            yield [record for record in page if record["id"] not in known]

    def _followed(self, filters: Filters) -> Iterator[Records]:
        """Yield pages by their links; where they are numbered, again until nothing changed."""
        known: set[tuple[int, Any]] = set()
        for _ in range(MAX_ATTEMPTS):
            ids: set[int] = set()
            totals: set[int | None] = set()
            numbered, started = False, None
            for page in self._ask(filters):
                started = started or page.answered
                numbered |= page.numbered
                totals.add(page.total)
                ids.update(record["id"] for record in page)
                yield page
            if not numbered or started is None:
                return
            # A delete makes the count fall short. One beside a record created or moved does not,
            # so any change is reason enough, unless it came before this read began.
            changes = self._changes(filters, started)
            if totals <= {len(ids), None} and changes <= known:
                return
            known = changes
        raise ShiftingListError(self._path)

    def _changes(self, filters: Filters, started: datetime) -> set[tuple[int, Any]]:
        """Return what was changed since a moment, as far as Harvest can be asked for it."""
        if not self._updated_since:
            return set()
        after = since(started - timedelta(seconds=1))  # it may or may not include its own second
        (page,) = islice(self._ask({**filters, **after}), 1)
        return {(record["id"], record.get("updated_at")) for record in page}

    def _split(self, window: Window, page: Page) -> list[Window]:
        """Return windows of what follows a window's first page; none where it has no dates."""
        days = sorted(day for day in map(self._day, page) if day)
        if not days:
            return []
        # Half of the records lie between the quartiles, whatever strays at the ends.
        spread = (days[len(days) * 3 // 4] - days[len(days) // 4]).days
        per_day = len(days) / 2 / max(spread, 1)
        step = max(1, round(self._enough() / per_day)) * DAY
        last, top = window.last, window.last or days[-1]
        if page.numbered and self._days(page, last):
            last = top = days[0]
        windows = []
        rest = (page.total or 0) - len(page)
        for _ in range(rest // self._enough()):
            first = top - step + DAY
            if window.first and first <= window.first:
                break
            windows.append(Window(first, last, window.splits + 1))
            last = top = first - DAY
        return [*windows, Window(window.first, last, window.splits + 1)]

    def _enough(self) -> int:
        """Return how many records make a chain worth its last, half empty page."""
        total = self.total or 0
        return max(CHAIN_RECORDS, min(total, self._most or total) // CHAINS)

    def _days(self, page: Page, last: date | None) -> list[date]:
        """Return a page's dates if they stand newest first, as documented; else none."""
        days = [day for day in map(self._day, page) if day]
        ordered = len(days) == len(page) and days == sorted(days, reverse=True)
        bounded = bool(days) and (last is None or days[0] <= last)
        return days if ordered and bounded else []

    def _day(self, record: dict[str, Any]) -> date | None:
        try:
            return date.fromisoformat(record[self._date])
        except (KeyError, TypeError, ValueError):
            return None

    def _count(self) -> int:
        """Return how many records Harvest counts now, of those that are to be found."""
        (page,) = islice(self._ask({**self._filters, "per_page": "1"}), 1)
        return page.total or 0

    def _ask(self, filters: Filters) -> Iterator[Page]:
        return map(self._note_page, self._client.pages(self._path, self._key, filters))

    def _note_page(self, page: Page) -> Page:
        if self._pages == 0:
            self.started, self.total = page.answered, page.total
        self._pages += 1
        return page


def since(moment: datetime | None) -> Filters:
    """Return the filter for what changed at or after a moment; none for None."""
    if moment is None:
        return {}
    return {"updated_since": moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
