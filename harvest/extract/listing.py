"""Lists that are whole, whatever changes while they are read.

One chain of pages, each asked for after the one before, can't use up the rate limit. So a long list
by a date is divided into windows of days, which are read side by side. How the pages of one follow
each other is told in `paging`. Records that were created or moved while the list was read are asked
for at the end, and what Harvest counts is compared with what was found.

A table that is limited to some clients, projects or users is several such lists, whose windows are
read side by side as those of one.

Each record is yielded once. If it changed while the list was read, it comes as it was first seen,
and the next run brings the change: a cursor never passes the moment at which the first page came.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from math import ceil, inf
from typing import Any

from dlt.common import logger
from pyroaring import BitMap64

from ..api.answers import Page
from ..api.client import HarvestClient
from ..catalog import Endpoint
from ..errors import CountMismatchError, ShiftingListError
from ..settings import OVERLAP_SECONDS, Sizes
from .focus import Focus
from .paging import Paging
from .plan import Read
from .windows import DAY, Filters, Window, day_of, enough, since

Records = list[dict[str, Any]]

ARCHIVED = "is_active"

SAMPLE = timedelta(days=91)
"""Days of which it is asked how many records they hold: whole weeks."""

NEARLY = 0.95
"""How full a window's last page is meant to be. Days differ, and one that is meant to be full would
often begin another page."""

MAX_SPLITS = 3
"""A window that is still too long after so many splits is read as one chain of pages."""


@dataclass(frozen=True)
class Part:
    """A window of one of the lists.

    Attributes:
        filters: Those of the list.
        window: The days.
    """

    filters: Filters
    window: Window


@dataclass
class Split:
    """The parts that share what a part has left."""

    parts: list[Part]


@dataclass(eq=False)
class Chain:
    """The pages of a part, each asked for after the one before.

    Attributes:
        pages: They come from here, or the parts that share what the part has left.
        last: The part's last day.
        left: How many records are still to come, as far as is known.
        begun: Whether a page came.
    """

    pages: Iterator[Page | Split]
    last: date
    left: float
    begun: bool = False

    def note(self, page: Page) -> None:
        """Note that a page came."""
        if not self.begun:
            self.left, self.begun = inf if page.total is None else page.total, True
        self.left -= len(page)


class Listing:
    """One pass over a list, or over the lists of a limited table.

    Threads: that of its reader. Windows fetch pages in a pool of the list's own, but what they have
    in common, `ids` and the windows that wait, is changed by `read` alone: a window hands over its
    pages, and the windows that it splits into.

    dlt's pool would not do: it runs resources and single items side by side, but a list is whole
    only when all its windows are, and dlt has no place to wait for that.

    Args:
        client: Where from.
        endpoint: The list. A child's list is read from `path`.
        sizes: How many windows are read side by side, and how long one is.
        path: The list's path below the base URL, where it is not the endpoint's.
        read: From which moment, up to which day and how far.
        filters: Further parameters that the endpoint documents.
        focus: What the table is limited to. Harvest chooses where all is read; of changes and of
            what comes by further parameters, what is of others is left out here.

    Attributes:
        ids: The ids of the records found so far, some 2 bytes each: a set takes 60 or more.
        outside: The stamps of records that were left out, by id.
        left_at: The day at which the list was left, None if it was read to its end.
    """

    left_at: date | None = None

    def __init__(
        self,
        client: HarvestClient,
        endpoint: Endpoint,
        sizes: Sizes,
        *,
        path: str = "",
        read: Read | None = None,
        filters: Filters | None = None,
        focus: Focus | None = None,
    ) -> None:
        read, self._focus = read or Read(), focus or Focus({})
        self.ids = BitMap64()
        self.outside: dict[int, Any] = {}
        self._path, self._key = path or endpoint.path, endpoint.key
        self._sizes, self._date = sizes, endpoint.date
        self._asks_for_changes = endpoint.updated_since and not path
        self._paging = Paging(
            client, endpoint, sizes, path=self._path, asks_for_changes=self._asks_for_changes
        )
        self._span, self._limit = Window(last=read.until), read.batch_size
        self._filters = {**(filters or {}), **since(read.since), **self._span.filters}
        chosen = not read.changes and not filters
        self._lists = self._focus.lists if chosen else [Filters()]
        self._waiting = deque(Part(each, self._span) for each in self._lists)
        self._on_day: Counter[date | None] = Counter()  # where the list may be left at a day
        self._begun: list[date] = []  # the last days of the windows that were not split
        # Archived records that are missed would be taken for deleted.
        self._looks_for_archived = endpoint.archives and self._filters == {} and not path

    @property
    def started(self) -> datetime:
        """The moment of the first answer, by Harvest's clock (UTC)."""
        return self._paging.started

    @property
    def proven(self) -> bool:
        """Whether it is certain that no record was missed."""
        return self._paging.proven

    @property
    def total(self) -> int | None:
        """Harvest's count when the list was begun, None where it does not say."""
        counts = [self._paging.total(each) for each in self._lists]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def read(self) -> Iterator[Page | Records]:
        """Yield the records, a page at a time, each record once.

        Raises:
            ShiftingListError: The list changed each time it was read.
            CountMismatchError: Harvest lists fewer records than it counts, again and again.
            HarvestError: A page could not be read.
        """
        if self._date:
            yield from self._once(self._side_by_side(self._limit))
        else:
            yield from self._once(self._paging.followed(self._filters))
        span = self._span
        if self.left_at:
            span = Window(self.left_at + min(DAY, date.max - self.left_at), span.last)
            self._filters = {**self._filters, **span.filters}
        if self._paging.pages > 1 and self._asks_for_changes:
            after = since(self.started - timedelta(seconds=OVERLAP_SECONDS))
            yield from self._once(self._paging.followed({**self._filters, **after}))
        if self._date and self._is_short():
            # Within a day the order may differ from page to page, so each day is read as a whole.
            self._paging.numbers_hold = False
            self._waiting = deque(Part(each, span) for each in self._lists)
            yield from self._once(self._side_by_side())
        if self._is_short():
            # Records that no window holds, or links that end early: they must not be lost.
            found = self._found()
            for each in self._lists:
                yield from self._once(self._paging.followed({**self._filters, **each}))
            if self._is_short():
                if found == self._found():
                    raise CountMismatchError(self._path, self._count(), found)
                raise ShiftingListError(self._path)
        if self._looks_for_archived:
            yield from self._archived()

    def _archived(self) -> Iterator[Page | Records]:
        """Yield the archived records, where the list holds none."""
        listed = len(self.ids)
        yield from self._once(self._paging.followed({ARCHIVED: "false"}))
        if len(self.ids) > listed:
            logger.warning(
                f"`{self._key}`: Harvest leaves archived records out of this list, so they are "
                "read apart, on full reads only."
            )

    def _once(self, pages: Iterator[Page]) -> Iterator[Page | Records]:
        """Yield the pages without the records that came before, and those of others."""
        for page in pages:
            fresh = []
            for record in page:
                if self._focus and self._focus.excludes(record):
                    self.outside[record["id"]] = record.get("updated_at")
                elif record["id"] not in self.ids:
                    self.ids.add(record["id"])
                    fresh.append(record)
                    if self._limit:
                        self._on_day[day_of(record, self._date)] += 1
            if self._looks_for_archived:  # until one came
                self._looks_for_archived = all(r.get(ARCHIVED) is not False for r in page)
            if len(fresh) == len(page) and len(self._lists) == 1:
                yield page  # It says what Harvest counted.
            elif fresh:
                yield fresh

    def _is_short(self) -> bool:
        """Tell whether Harvest still counts more records than were found."""
        return self._found() < (self.total or 0) and self._found() < self._count()

    def _found(self) -> int:
        """Return how many of the records were found that Harvest counts."""
        if self.left_at:  # Windows of earlier days may have been under way already.
            days = self._on_day.items()
            return sum(found for day, found in days if day is None or day > self.left_at)
        unfiltered = self._focus and not any(self._lists)
        outside = sum(i not in self.ids for i in self.outside) if unfiltered else 0
        return len(self.ids) + outside

    def _side_by_side(self, limit: int = 0) -> Iterator[Page]:
        """Yield from the windows that wait, at most one page of each ahead.

        Args:
            limit: How many records are enough, so that windows that wait still are left; 0 for all.
        """
        running: dict[Future[Page | Split | None], Chain] = {}
        idle: list[Chain] = []
        at_once = self._sizes.parallel_windows
        pool = ThreadPoolExecutor(at_once)

        def ask() -> None:
            while len(running) < at_once:
                chain = self._next(idle, running.values(), limit)
                if not chain:
                    break
                running[pool.submit(next, chain.pages, None)] = chain

        try:
            while self._waiting or idle or running:
                ask()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                while done:
                    future = done.pop()
                    chain, came = running.pop(future), future.result()
                    if isinstance(came, Split):
                        self._begun.remove(chain.last)
                        waiting = [*came.parts, *self._waiting]
                        self._waiting = deque(sorted(waiting, key=self._place))
                    elif came is not None:
                        chain.note(came)
                        idle.append(chain)
                        ask()
                        yield came
                    del future, came  # Pages must not be held while others come.
                if limit and len(self.ids) >= limit:
                    self._leave_waiting()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _next(self, idle: list[Chain], running: Collection[Chain], limit: int) -> Chain | None:
        """Return the chain that goes on or begins; None where all are under way.

        It is the one with most records left, so that all end together.
        """
        coming = len(self.ids) + sum(chain.left for chain in (*idle, *running))
        needed = bool(self._waiting) and not self._may_wait(self._waiting[0])
        wanted = not (limit and (idle or running)) or needed or coming < limit
        longest = max(idle, key=lambda chain: chain.left, default=None)
        if self._waiting and wanted and (not longest or longest.left <= self._enough()):
            part = self._waiting.popleft()
            self._begun.append(part.window.last or date.max)
            return Chain(self._chain(part), self._begun[-1], self._enough())
        if longest:
            idle.remove(longest)
        return longest

    def _place(self, part: Part) -> int:
        """Return what sorts windows: where a batch leaves the oldest, newest first.

        Else oldest first: the oldest has no begin, so nobody knows how long it takes.
        """
        last = (part.window.last or date.max).toordinal()
        return -last if self._limit and (self.total is None or self._limit < self.total) else last

    def _may_wait(self, part: Part) -> bool:
        """Tell whether a batch may leave a part: it is older than all that were begun.

        Of one that splits late, newer ones may wait. If they were left, all that is older would be
        read again, and the next batch might begin anew.
        """
        return (part.window.last or date.max) < min(self._begun, default=date.min)

    def _leave_waiting(self) -> None:
        """Leave the windows that may wait."""
        older = [part for part in self._waiting if self._may_wait(part)]
        if older:
            self._waiting = deque(part for part in self._waiting if part not in older)
            # A window under way may split, so that more is left later: keep the newest day.
            lasts = (part.window.last for part in older)
            self.left_at = max(filter(None, (self.left_at, *lasts)))

    def _chain(self, part: Part) -> Iterator[Page | Split]:
        """Yield a window's pages, each asked for by the cursor or the date of the one before.

        A window that proves too long ends with its first page and the windows that share the rest.
        """
        window, filters = part.window, {**self._filters, **part.filters}
        pages = self._paging.ask({**filters, **window.filters})
        page = next(pages)
        by_days = not page.more or self._paging.trusts_days(page, filters)
        parts, numbered = list[Part](), page.numbered
        end = self._paging.end_of(page, window.last)
        left = (page.total or 0) - len(page)
        if by_days and window.splits < MAX_SPLITS and left > 2 * self._enough():
            parts = self._split(part, page)
        handed_over = [page]
        del page  # It must not be held while others come.
        yield handed_over.pop()
        if not by_days:
            yield from self._paging.followed({**filters, **window.filters})
        elif len(parts) > 1:  # One alone would read this page again.
            yield Split(parts)
        elif numbered:
            yield from self._paging.behind(end, window, filters)
        else:
            for later in pages:
                numbered |= later.numbered
                handed_over.append(later)
                del later
                yield handed_over.pop()
            if numbered:  # Cursors turned into numbers, so records may have slipped.
                yield from self._paging.followed({**filters, **window.filters})

    def _split(self, part: Part, page: Page) -> list[Part]:
        """Return parts of what follows a part's first page; none where that has no dates."""
        window = part.window
        days = sorted(day for day in (day_of(r, self._date) for r in page) if day)
        if not days:
            return []
        # Half of the records lie between the quartiles, whatever strays at the ends. Windows that
        # begin far behind them, where a date is a mistake or a plan, would hold nothing.
        first, last = days[len(days) // 4], days[len(days) * 3 // 4]
        top = min(days[-1], last + min(last - first + DAY, date.max - last))
        if self._paging.days_of(page, window.last):
            if page.numbered:
                top, window = days[0], Window(window.first, days[0], window.splits)
            first, last = top - min(SAMPLE, top - date.min), top
        sample = Window(max(first, window.first or first), last)
        held = self._paging.count({**self._filters, **part.filters, **sample.filters})
        size = self._enough()
        # Days differ, so the last page is meant to be nearly full: else many would begin another.
        nearly = ceil(size / len(page)) * len(page) * NEARLY
        days_each = round(nearly * ((last - first).days + 1) / max(held, 1))
        windows = window.split(top, max(1, days_each), ((page.total or 0) - len(page)) // size)
        return [replace(part, window=each) for each in windows]

    def _enough(self) -> int:
        """Return how many records make a window."""
        counted = sum(self._paging.total(each) or 0 for each in self._lists)
        return enough(min(counted, self._limit or counted), self._sizes)

    def _count(self) -> int:
        """Return how many records Harvest counts now, of those that are to be found."""
        return sum(self._paging.count({**self._filters, **each}) for each in self._lists)
