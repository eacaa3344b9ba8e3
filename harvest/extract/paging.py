"""The pages of one list, none of whose records slips between two of them.

A cursor marks a place in the list, and nothing moves under it. A page number counts from the top:
when a record is deleted or moved meanwhile, all others shift by one, and a record slips between two
pages. So a numbered page is asked for so that it begins with the end of the one before, which shows
whether anything moved; that the count stayed, and that no other record came before, shows whether
the records of a day come in one order. If not, and the list comes by a date that Harvest filters
by, the next page is asked for by that date. Elsewhere pages are followed by their links, and
numbered ones read again if the list changed.

That `from` and `to` include their own days is looked at before it is relied on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from itertools import islice
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


@dataclass(frozen=True)
class End:
    """What is kept of a numbered page, to go on behind it.

    Attributes:
        more: Whether there is a next page.
        total: How many records Harvest counted, None where it does not: one that slips would not be
            missed.
        days: Its dates if they stand newest first, as documented; else none.
        marks: What shows that its records stand where they stood, their ids first.
    """

    more: bool
    total: int | None
    days: list[date]
    marks: list[tuple[int, Any, Any]]

    def goes_on(self, before: End, twice: int, came: BitMap64) -> bool:
        """Tell whether nothing slipped between this page and the one before.

        Args:
            before: That page.
            twice: How many of its records this one begins with, if they stand where they stood.
            came: The ids of all pages before. Where records of a day come in another order in each
                answer, one that slips lets another come twice, unless one was deleted meanwhile,
                which the count shows.
        """
        return (
            self.total == before.total
            and self.marks[:twice] == before.marks[-twice:]
            and not any(mark[0] in came for mark in self.marks[twice:])
        )


class Paging:
    """The pages of a list, or of several that differ in what they are limited to.

    Threads: any. Pages are counted, and days are tried once while others wait for the answer, each
    under a lock; `proven` can only become false.

    Args:
        client: Where from.
        endpoint: The list.
        sizes: How often a list that changes is read again.
        path: The list's path below the base URL.
        asks_for_changes: Whether Harvest can be asked what changed in it.

    Attributes:
        started: The moment of the first answer, by Harvest's clock (UTC).
        pages: How many pages came.
        proven: Whether it is certain that no record was missed.
        numbers_hold: Whether page numbers may be relied on; false once records proved to be missed.
    """

    started = datetime.max.replace(tzinfo=timezone.utc)
    pages = 0
    proven = True
    numbers_hold = True

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

        Each is asked for by such a number and size that it begins with the end of the one before.
        If that stands there still, and no other record came twice, nothing moved between the two;
        else days tell where to go on.

        Args:
            end: What is kept of the first page.
            window: The window.
            filters: Those of its list.
        """
        last, stands = window.last, self.numbers_hold and end.total is not None
        read, pages_read, came = len(end.marks), 1, BitMap64(mark[0] for mark in end.marks)
        while end.more:
            size = (read - 1) // pages_read
            twice = read - size * pages_read
            stands = stands and size > 0
            if stands:
                number = {"page": str(pages_read + 1), "per_page": str(size)}
                page = next(self.ask({**filters, **window.filters, **number}))
                stands = self.end_of(page, last).goes_on(end, twice, came)
            if stands:
                del page[:twice]
                came.update(record["id"] for record in page)
                read, pages_read = read + len(page), pages_read + 1
            elif not end.days:  # The order is not as documented: dates don't tell where to go on.
                yield from self.followed({**filters, **Window(window.first, last).filters})
                return
            else:
                last = end.days[-1]
                if end.days[0] == last:  # One day holds more records than a page.
                    yield from self.followed({**filters, **Window(last, last).filters})
                    if last <= (window.first or date.min):
                        return
                    last -= DAY
                page = next(self.ask({**filters, **Window(window.first, last).filters}))
            end, handed_over = self.end_of(page, last), [page]
            del page  # It must not be held while others come.
            yield handed_over.pop()

    def end_of(self, page: Page, last: date | None) -> End:
        """Return what is kept of a page of a window that ends with a day."""
        marks = [(r["id"], r.get(self._date), r.get("updated_at")) for r in page]
        return End(page.more, page.total, self.days_of(page, last), marks)

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
        (page,) = islice(self.ask({**filters, **after}), 1)
        return {(record["id"], record.get("updated_at")) for record in page}

    def days_of(self, page: Page, last: date | None) -> list[date]:
        """Return a page's dates if they stand newest first, as documented; else none."""
        days = [day for day in (day_of(record, self._date) for record in page) if day]
        ordered = len(days) == len(page) and days == sorted(days, reverse=True)
        bounded = bool(days) and (last is None or days[0] <= last)
        return days if ordered and bounded else []

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
                # The page's last day: a list that heeds neither filter begins with the first one.
                days = (day_of(record, self._date) for record in reversed(page))
                day = next(filter(None, days), None)
                one = {**filters, "per_page": "1", **Window(day, day).filters}
                (found,) = islice(self.ask(one), 1)
                self._includes_days = day is None or [day_of(r, self._date) for r in found] == [day]
                if not self._includes_days:
                    logger.warning(
                        f"`{self._key}`: Harvest's `from` and `to` do not choose their own days, "
                        "so this list is read page by page, which takes longer."
                    )
            return self._includes_days

    def count(self, filters: Filters) -> int:
        """Return how many records Harvest counts now; 0 where it does not count."""
        (page,) = islice(self.ask({**filters, "per_page": "1"}), 1)
        return page.total or 0

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
            self.pages += 1
            return page
