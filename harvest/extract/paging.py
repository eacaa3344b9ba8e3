"""The pages of a list, so that none of its records slips between two of them.

A cursor marks a place in the list, and nothing moves under it. A page number counts from the top:
when a record is deleted or moved meanwhile, all others shift by one, and a record slips between two
pages. So a numbered page is asked for so that it begins with the end of the one before. If that
stands there still, Harvest counts as many records as before, and no other came twice, then none
slipped. Else, if the list comes by a date that Harvest filters by, it goes on with the day at which
the last page ended, all of it. Elsewhere pages are followed by their links, and numbered ones read
again if the list changed.

That `from` and `to` include their own days is looked at before it is relied on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from threading import Lock
from typing import Any

from dlt.common import logger
from pyroaring import BitMap64

from ..api.answers import Page
from ..api.client import HarvestClient
from ..catalog import Endpoint
from ..errors import ShiftingListError, StatusError, UnheededFilterError, UnknownIdError
from ..settings import Sizes
from .focus import demand_known, ids_in, limits_in, unheeded
from .windows import DAY, Filters, Window, day_of, since

MOST_TWICE = 0.1
"""How much of a numbered page may be the end of the one before. It grows by a record a page."""


@dataclass(frozen=True)
class End:
    """What is kept of a page, to go on behind it without holding its records.

    Attributes:
        more: Whether there is a next page.
        numbered: Whether the next page is asked for by its number.
        total: How many records Harvest counts, None where it does not.
        days: The records' dates, newest first, if they stand so, as documented; else none.
        marks: The id and the day of each record: they show that it stands where it stood.
    """

    more: bool
    numbered: bool
    total: int | None
    days: list[date]
    marks: list[tuple[int, date | None]]

    def ids(self, first: int = 0) -> BitMap64:
        """Return the ids of its records, from one of them on."""
        return BitMap64(number for number, _ in self.marks[first:])


class Paging:
    """The pages of a list, or of several that differ in what they are limited to.

    Threads: any. What answers say is noted, and days are tried once while others wait for the
    answer, each under a lock; `proven` can only become false.

    Args:
        client: Where from.
        endpoint: The list.
        sizes: How often a list that changes is read again.
        path: The list's path below the base URL.
        asks_for_changes: Whether Harvest can be asked what changed in it.

    Attributes:
        started: The moment of the first answer, by Harvest's clock (UTC).
        answers: How many pages came, those that only count included.
        proven: Whether it is certain that no record was missed.
    """

    started = datetime.max.replace(tzinfo=timezone.utc)
    answers = 0
    proven = True

    def __init__(
        self,
        client: HarvestClient,
        endpoint: Endpoint,
        sizes: Sizes,
        *,
        path: str,
        asks_for_changes: bool,
    ) -> None:
        self._client, self._path, self._key = client, path, endpoint.key
        self._date, self._max_attempts = endpoint.date, sizes.max_attempts
        self._asks_for_changes = asks_for_changes
        self._totals = dict[str, int | None]()
        self._counting, self._trying = Lock(), Lock()
        self._includes_days: bool | None = None  # not yet asked

    def total(self, limits: Filters) -> int | None:
        """Return Harvest's count when a list was begun, None where it does not say."""
        return self._totals.get(str(limits))

    def behind(self, end: End, window: Window, filters: Filters) -> Iterator[Page]:
        """Yield the pages behind the first one of a window, where they are numbered.

        Args:
            end: What is kept of the first page.
            window: The window.
            filters: Those of its list.
        """
        came, pages, total = end.ids(), 1, end.total
        holds = total is not None
        while end.more:
            # Page p + 1 of size s begins with record s * p. Of the largest that leaves no gap, the
            # first `twice` records are the last ones that came.
            per_page = (len(came) - 1) // pages
            twice = len(came) - per_page * pages
            by_number = holds and twice <= per_page * MOST_TWICE
            if by_number:
                number = {"page": str(pages + 1), "per_page": str(per_page)}
                page = self._first({**filters, **window.filters, **number})
                here = self.end_of(page, window.last)
                stands = here.total == total and here.marks[:twice] == end.marks[-twice:]
                by_number = holds = stands and came.isdisjoint(here.ids(twice))
            if by_number:
                del page[:twice]
                came, pages, end = came | here.ids(twice), pages + 1, here
            elif not end.days:  # The order is not as documented: dates don't tell where to go on.
                yield from self.followed({**filters, **window.filters})
                return
            else:
                last = end.days[-1]
                if end.days[0] == last:  # One day holds more records than a page.
                    yield from self.followed({**filters, **Window(last, last).filters})
                    if last == (window.first or date.min):
                        return
                    last -= DAY
                window = Window(window.first, last)
                page = self._first({**filters, **window.filters})
                end = self.end_of(page, last)
                came, pages, total = end.ids(), 1, end.total
            handed_over = [page]
            del page  # It must not be held while others come.
            yield handed_over.pop()

    def end_of(self, page: Page, last: date | None) -> End:
        """Return what is kept of a page.

        Args:
            page: The page.
            last: The last day of its window.
        """
        marks = [(record["id"], day_of(record, self._date)) for record in page]
        days = [day for _, day in marks if day]
        ordered = len(days) == len(page) and days == sorted(days, reverse=True)
        bounded = bool(days) and (last is None or days[0] <= last)
        return End(page.more, page.numbered, page.total, days if ordered and bounded else [], marks)

    def followed(self, filters: Filters) -> Iterator[Page]:
        """Yield pages by their links; where they are numbered, again until nothing changed."""
        known: set[tuple[int, Any]] = set()
        before: set[int] | None = None
        for _ in range(self._max_attempts):
            ids: set[int] = set()
            totals: set[int | None] = set()
            numbered, started = False, None
            for page in self.ask(filters):
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
        changed = self._first({**filters, **after})
        return {(record["id"], record.get("updated_at")) for record in changed}

    def trusts_days(self, page: Page, filters: Filters) -> bool:
        """Tell whether `from` and `to` include their own days, as documented.

        Where they do not, records of the day between two windows would slip. It is asked once, with
        the first window that has a further page.

        Args:
            page: A page of the list.
            filters: Those of the list.
        """
        with self._trying:
            if self._includes_days is None:
                self._includes_days = self._heeds_days(page, filters)
                if not self._includes_days:
                    logger.warning(
                        f"`{self._key}`: Harvest's `from` and `to` do not choose their own days, "
                        "so this list is read page by page, which takes longer."
                    )
            return self._includes_days

    def _heeds_days(self, page: Page, filters: Filters) -> bool:
        days = [day for day in (day_of(record, self._date) for record in page) if day]
        if not days:
            return True

        def found(window: Window) -> list[date | None]:
            one = self._first({**filters, "per_page": "1", **window.filters})
            return [day_of(record, self._date) for record in one]

        # The page's last day: a list that heeds neither filter begins with the first one.
        day = days[-1]
        includes = found(Window(day, day)) == [day]
        if {*days} == {day} and day > date.min:
            return includes and day not in found(Window(None, day - DAY))
        return includes

    def count(self, filters: Filters) -> int:
        """Return how many records Harvest counts now; 0 where it does not count."""
        return self._first({**filters, "per_page": "1"}).total or 0

    def _first(self, filters: Filters) -> Page:
        return next(self.ask(filters))

    def ask(self, filters: Filters) -> Iterator[Page]:
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
            self.answers += 1
            return page
