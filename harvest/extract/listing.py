"""Lists that are whole, whatever changes while they are read.

A cursor marks a place in the list, and nothing moves under it. A page number counts from the top:
when a record is deleted or moved meanwhile, all others shift by one, and a record slips between two
pages. So where Harvest numbers its pages and sorts by a date that it also filters by, the next page
is asked for by that date. Elsewhere pages are followed by their links, and numbered ones read again
if the list changed.
Records that were created or moved while the list was read are asked for at the end.

A table that is limited to some clients, projects or users is several such lists, whose windows are
read side by side as those of one.

What Harvest does not document for certain is looked at before it is relied on: that a list holds
archived records, and that `from` and `to` include their own days.

Each record is yielded once. If it changed while the list was read, it comes as it was first seen,
and the next run brings the change: a cursor never passes the moment at which the first page came.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from functools import partial
from itertools import islice
from math import ceil, inf
from threading import Lock
from typing import Any

from dlt.common import logger
from pyroaring import BitMap64

from ..api.answers import Page
from ..api.client import HarvestClient
from ..catalog import Endpoint
from ..errors import (
    CountMismatchError,
    ShiftingListError,
    StatusError,
    UnheededFilterError,
    UnknownIdError,
)
from ..settings import OVERLAP_SECONDS, Sizes
from .focus import Focus, demand_known, ids_in, limits_in, unheeded
from .plan import Read
from .windows import DAY, Filters, Window, day_of, enough, since

Records = list[dict[str, Any]]

ARCHIVED = "is_active"

SAMPLE = timedelta(days=91)
"""Days of which it is asked how many records they hold: whole weeks."""

NEARLY = 0.95

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
        left: How many records are still to come, as far as is known.
        begun: Whether a page came.
    """

    pages: Iterator[Page | Split]
    left: float
    begun: bool = False

    def note(self, page: Page) -> None:
        """Note that a page came."""
        if not self.begun:
            self.left, self.begun = inf if page.total is None else page.total, True
        self.left -= len(page)


@dataclass(frozen=True)
class End:
    """What is kept of a numbered page, to go on behind it.

    Attributes:
        more: Whether there is a next page.
        days: Its dates if they stand newest first, as documented; else none.
        marks: What shows that its records stand where they stood.
    """

    more: bool
    days: list[date]
    marks: list[tuple[Any, Any]]


class Listing:
    """One pass over a list, or over the lists of a limited table.

    Threads: that of its reader. Windows fetch pages in a pool of the list's own, but what they have
    in common, `ids` and the windows that wait, is changed by `read` alone: a window hands over its
    pages, and the windows that it splits into. In the pool pages are counted, and days are tried
    once while others wait for the answer, each under a lock; and `proven` can only become false.

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
        started: The moment of the first answer, by Harvest's clock (UTC).
        ids: The ids of the records found so far, some 2 bytes each: a set takes 60 or more.
        outside: The stamps of records that were left out, by id.
        left_at: The day at which the list was left, None if it was read to its end.
        proven: Whether it is certain that no record was missed.
    """

    started = datetime.max.replace(tzinfo=timezone.utc)
    left_at: date | None = None
    proven: bool = True

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
        self._client, self._path, self._key = client, path or endpoint.path, endpoint.key
        self._sizes, self._date = sizes, endpoint.date
        self._asks_for_changes = endpoint.updated_since and not path
        self._span, self._limit = Window(last=read.until), read.batch_size
        self._filters = {**(filters or {}), **since(read.since), **self._span.filters}
        chosen = not read.changes and not filters
        self._lists = self._focus.lists if chosen else [Filters()]
        self._waiting = deque(Part(each, self._span) for each in self._lists)
        self._pages, self._totals = 0, dict[str, int | None]()
        self._on_day: Counter[date | None] = Counter()  # where the list may be left at a day
        self._counting, self._trying = Lock(), Lock()
        self._numbers_hold = True  # until records prove to be missed by them
        # Archived records that are missed would be taken for deleted.
        self._looks_for_archived = endpoint.archives and self._filters == {} and not path
        self._includes_days: bool | None = None  # not yet asked

    @property
    def total(self) -> int | None:
        """Harvest's count when the list was begun, None where it does not say."""
        counts = [self._totals.get(str(each)) for each in self._lists]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def read(self) -> Iterator[Page | Records]:
        """Yield the records, a page at a time, each record once.

        Raises:
            ShiftingListError: The list changed each time it was read.
            CountMismatchError: Harvest lists fewer records than it counts, again and again.
            HarvestError: A page could not be read.
        """
        pages = self._side_by_side(self._limit) if self._date else self._followed(self._filters)
        yield from self._once(pages)
        span = self._span
        if self.left_at:
            span = Window(self.left_at + min(DAY, date.max - self.left_at), span.last)
            self._filters = {**self._filters, **span.filters}
        if self._pages > 1 and self._asks_for_changes:
            after = since(self.started - timedelta(seconds=OVERLAP_SECONDS))
            yield from self._once(self._followed({**self._filters, **after}))
        if self._date and self._is_short():
            # Within a day the order may differ from page to page, so each day is read as a whole.
            self._numbers_hold = False
            self._waiting = deque(Part(each, span) for each in self._lists)
            yield from self._once(self._side_by_side())
        if self._is_short():
            # Records that no window holds, or links that end early: they must not be lost.
            found = self._found()
            for each in self._lists:
                yield from self._once(self._followed({**self._filters, **each}))
            if self._is_short():
                if found == self._found():
                    raise CountMismatchError(self._path, self._count(), found)
                raise ShiftingListError(self._path)
        if self._looks_for_archived:
            listed = len(self.ids)
            yield from self._once(self._followed({ARCHIVED: "false"}))
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
        wanted = not (limit and (idle or running)) or coming < limit
        longest = max(idle, key=lambda chain: chain.left, default=None)
        if self._waiting and wanted and (not longest or longest.left <= self._enough()):
            return Chain(self._chain(self._waiting.popleft()), self._enough())
        if longest:
            idle.remove(longest)
        return longest

    def _place(self, part: Part) -> int:
        """Return what sorts windows: where a batch leaves the oldest, newest first.

        Else oldest first: the oldest has no begin, so nobody knows how long it takes.
        """
        last = (part.window.last or date.max).toordinal()
        return -last if self._limit and (self.total is None or self._limit < self.total) else last

    def _leave_waiting(self) -> None:
        """Leave the windows that were not begun yet."""
        lasts = [part.window.last for part in self._waiting]
        # Where the newest window of a list waits still, the next batch would begin anew.
        ends = [last for last in lasts if last and last != self._span.last]
        if ends and len(ends) == len(self._waiting):
            self._waiting.clear()
            # A window under way may split, so that more is left later: keep the newest day.
            self.left_at = max(filter(None, (self.left_at, *ends)))

    def _chain(self, part: Part) -> Iterator[Page | Split]:
        """Yield a window's pages, each asked for by the cursor or the date of the one before.

        A window that proves too long ends with its first page and the windows that share the rest.
        """
        window, filters = part.window, {**self._filters, **part.filters}
        pages = self._ask({**filters, **window.filters})
        page = next(pages)
        by_days = not page.more or self._trusts_days(page, part.filters)
        parts, numbered, end = list[Part](), page.numbered, self._end(page, window.last)
        left = (page.total or 0) - len(page)
        if by_days and window.splits < MAX_SPLITS and left > 2 * self._enough():
            parts = self._split(part, page)
        handed_over = [page]
        del page  # It must not be held while others come.
        yield handed_over.pop()
        if not by_days:
            yield from self._followed({**filters, **window.filters})
        elif len(parts) > 1:  # One alone would read this page again.
            yield Split(parts)
        elif numbered:
            yield from self._numbered(end, window, filters)
        else:
            yield from pages

    def _numbered(self, end: End, window: Window, filters: Filters) -> Iterator[Page]:
        """Yield the pages behind the first one of a window, where they are numbered.

        Each is asked for by such a number and size that it begins with the end of the one before.
        If that stands there still, nothing moved between the two; else days tell where to go on.

        Args:
            end: What is kept of the first page.
            window: The window.
            filters: Those of its list.
        """
        last, stands = window.last, self._numbers_hold
        read, pages_read = len(end.marks), 1
        while end.more:
            size = (read - 1) // pages_read
            twice = read - size * pages_read
            stands = stands and size > 0
            if stands:
                number = {"page": str(pages_read + 1), "per_page": str(size)}
                page = next(self._ask({**filters, **window.filters, **number}))
                stands = self._end(page, last).marks[:twice] == end.marks[-twice:]
            if stands:
                del page[:twice]
                read, pages_read = read + len(page), pages_read + 1
            elif not end.days:  # The order is not as documented: dates don't tell where to go on.
                yield from self._followed({**filters, **Window(window.first, last).filters})
                return
            else:
                last = end.days[-1]
                if end.days[0] == last:  # One day holds more records than a page.
                    yield from self._followed({**filters, **Window(last, last).filters})
                    last -= DAY
                    if window.first and last < window.first:
                        return
                page = next(self._ask({**filters, **Window(window.first, last).filters}))
            end, handed_over = self._end(page, last), [page]
            del page  # It must not be held while others come.
            yield handed_over.pop()

    def _end(self, page: Page, last: date | None) -> End:
        marks = [(record["id"], record.get(self._date)) for record in page]
        return End(page.more, self._days(page, last), marks)

    def _followed(self, filters: Filters) -> Iterator[Page]:
        """Yield pages by their links; where they are numbered, again until nothing changed."""
        known: set[tuple[int, Any]] = set()
        before: set[int] | None = None
        for _ in range(self._sizes.max_attempts):
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
            # Without a count, only two reads that found the same show that nothing slipped.
            counted = totals <= {len(ids)} or (totals <= {len(ids), None} and ids == before)
            if counted and changes <= known:
                return
            known, before = changes, ids
        if totals == {None}:
            self.proven = False  # All that was found is right, but more may be there.
            logger.warning(
                f"`{self._key}`: Harvest does not count its records, and the list changed whenever "
                "it was read, so rows that Harvest no longer has stay until the next full read."
            )
            return
        raise ShiftingListError(self._path)

    def _changes(self, filters: Filters, started: datetime) -> set[tuple[int, Any]]:
        """Return what was changed since a moment, as far as Harvest can be asked for it."""
        if not self._asks_for_changes:
            return set()
        after = since(started - timedelta(seconds=1))  # It may or may not include its own second.
        (page,) = islice(self._ask({**filters, **after}), 1)
        return {(record["id"], record.get("updated_at")) for record in page}

    def _split(self, part: Part, page: Page) -> list[Part]:
        """Return parts of what follows a part's first page; none where that has no dates."""
        window = part.window
        days = sorted(day for day in (day_of(r, self._date) for r in page) if day)
        if not days:
            return []
        top = window.last or days[-1]
        # Half of the records lie between the quartiles, whatever strays at the ends.
        first, last = days[len(days) // 4], days[len(days) * 3 // 4]
        if self._days(page, window.last):
            if page.numbered:
                top, window = days[0], Window(window.first, days[0], window.splits)
            first, last = top - min(SAMPLE, top - date.min), top
        sample = Window(max(first, window.first or first), last)
        held = self._count([{**part.filters, **sample.filters}])
        size = self._enough()
        # Days differ, so the last page is meant to be nearly full: else many would begin another.
        nearly = ceil(size / len(page)) * len(page) * NEARLY
        days_each = round(nearly * ((last - first).days + 1) / max(held, 1))
        windows = window.split(top, max(1, days_each), ((page.total or 0) - len(page)) // size)
        return [replace(part, window=each) for each in windows]

    def _enough(self) -> int:
        """Return how many records make a window."""
        counted = sum(self._totals.get(str(each)) or 0 for each in self._lists)
        return enough(min(counted, self._limit or counted), self._sizes)

    def _days(self, page: Page, last: date | None) -> list[date]:
        """Return a page's dates if they stand newest first, as documented; else none."""
        days = [day for day in (day_of(record, self._date) for record in page) if day]
        ordered = len(days) == len(page) and days == sorted(days, reverse=True)
        bounded = bool(days) and (last is None or days[0] <= last)
        return days if ordered and bounded else []

    def _trusts_days(self, page: Page, filters: Filters) -> bool:
        """Tell whether `from` and `to` include their own days, as documented.

        Where they do not, records of the day between two windows would slip. It is asked once, with
        the first window that has a further page.
        """
        with self._trying:
            if self._includes_days is None:
                # The page's last day: a list that heeds neither filter begins with the first one.
                days = (day_of(record, self._date) for record in reversed(page))
                day = next(filter(None, days), None)
                one = {**filters, "per_page": "1", **Window(day, day).filters}
                (found,) = islice(self._ask({**self._filters, **one}), 1)
                self._includes_days = day is None or [day_of(r, self._date) for r in found] == [day]
                if not self._includes_days:
                    logger.warning(
                        f"`{self._key}`: Harvest's `from` and `to` do not choose their own days, "
                        "so this list is read page by page, which takes longer."
                    )
            return self._includes_days

    def _count(self, lists: list[Filters] | None = None) -> int:
        """Return how many records Harvest counts now, of those that are to be found."""
        asked = ({**self._filters, **each, "per_page": "1"} for each in lists or self._lists)
        return sum(page.total or 0 for filters in asked for page in islice(self._ask(filters), 1))

    def _ask(self, filters: Filters) -> Iterator[Page]:
        """Yield pages, and see that they hold nothing but what was asked for.

        Raises:
            UnknownIdError: Harvest refuses the list, since it does not know what it is limited to.
            UnheededFilterError: The list holds records of others.
        """
        try:
            pages = self._client.pages(self._path, self._key, filters)
            yield from map(partial(self._noted, limits_in(filters)), pages)
        except StatusError as error:
            if error.status in (404, 422):
                try:
                    demand_known(self._client, ids_in(filters))
                except UnknownIdError as unknown:
                    unknown.concerns_everything = False  # It was known when the limit was set.
                    raise
            raise

    def _noted(self, limits: Filters, page: Page) -> Page:
        if limits:
            allowed = {name: (value,) for name, value in limits.items()}
            if wrong := next(filter(None, (unheeded(record, allowed) for record in page)), ""):
                raise UnheededFilterError(self._path, wrong)
        with self._counting:
            self.started = min(self.started, page.answered)
            # The first page of a list comes before any other of it is asked for.
            self._totals.setdefault(str(limits), page.total)
            self._pages += 1
            return page
