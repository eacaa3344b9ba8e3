"""Reads reports: figures of periods, which are replaced as a whole, and of days, which are kept.

Harvest allows 100 requests for reports in 15 minutes, so all reports of a run are read one after
the other by one thread: nothing is gained by asking for several at once, and the threads that read
lists need not wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from dlt.common.typing import TDataItems
from dlt.extract.items import DataItemWithMeta

from ..catalog import BY_NAME, Endpoint, Report
from ..catalog.schema import ACCOUNT_ID
from ..errors import HarvestError, NarrowerTokenError, ShiftingListError
from ..settings import LONGEST_REPORT
from .context import Run
from .deletions import Gone, NotRead, mark_of
from .lists import OfRun
from .plan import requests_needed
from .state import PeriodsRead, TableState, tell
from .windows import DAY, Filters, Window

Record = dict[str, Any]

PROBE_FROM = 3
"""Where a period is empty and so many older ones are left, a whole year is asked for at once."""


@dataclass
class OfReport:
    """Travels with rows of one report, as their meta data.

    Attributes:
        table: Whose rows.
        inner: What the table's last step must know of them.
        planned: How many requests are needed, where they become known.
        done: How many of them need not be made any more.
    """

    table: str
    inner: OfRun | Gone | NotRead
    planned: int = 0
    done: int = 0


class Batch:
    """Counts the requests of a run, which may be limited.

    Args:
        size: How many requests make a batch; 0 to leave nothing for a further one.
    """

    def __init__(self, size: int) -> None:
        self._size, self.requests = size, 0

    @property
    def full(self) -> bool:
        """Whether what may wait must wait for the next batch."""
        return 0 < self._size <= self.requests


def read_reports(run: Run) -> Iterator[TDataItems]:
    """Yield the rows of a run's reports, the newest periods of all of them first.

    In batches they wait until nothing else is left, so that the rest is loaded before.

    Raises:
        HarvestError: A report could not be read, and the run must not go on without it.
    """
    needed = {name: requests_needed(BY_NAME[name], plan) for name, plan in run.reports.items()}
    requests = sum(needed.values())
    limiter = run.client.limiters["reports"]
    if requests > limiter.requests and run.left_before.keys().isdisjoint(needed):
        minutes = round(limiter.seconds_for(requests) / 60)
        tell(
            run.account.named,
            f"Reports take up to {requests:,} requests, {minutes} min or more: {limiter.requests} "
            "of them may be sent in 15 min. No other table waits for them.",
        )
    readers = [ReportReader(run, e, e.report) for e in run.selected if e.report]
    if run.reports_wait:
        for reader in readers:
            reader.wait(needed[reader.table])
            yield DataItemWithMeta(OfReport(reader.table, NotRead(run)), [])
        return
    batch = Batch(run.sizes.report_requests if run.settings.in_batches else 0)
    yield from _in_turn(reader.read(batch) for reader in readers)


def _in_turn(readings: Iterable[Iterator[TDataItems]]) -> Iterator[TDataItems]:
    waiting = deque(readings)
    while waiting:
        reading = waiting.popleft()
        for item in islice(reading, 1):
            yield item
            waiting.append(reading)


class ReportReader:
    """Reads one report in one run.

    What a period or day holds is replaced when it is read again: its rows are merged by their days,
    and a row that is marked as deleted stands for those of a period that is empty by now.

    Args:
        run: The run.
        endpoint: The report.
        report: What its figures are about.
    """

    def __init__(self, run: Run, endpoint: Endpoint, report: Report) -> None:
        self.table = endpoint.name
        self._run, self._endpoint, self._report = run, endpoint, report
        self._plan = run.reports[endpoint.name]
        self._left = deque(self._plan.first)
        self._oldest: date | None = None
        self._busy_from: date | None = None  # of the last year that was not empty
        self._marks: list[Record] = []

    @property
    def _fixed_fee(self) -> Filters:
        wanted = self._report.fixed_fee and self._run.settings.report_fixed_fee
        return {"include_fixed_fee": "true"} if wanted else {}

    def wait(self, requests: int) -> None:
        """Leave everything for a further batch, which must not forget that all was to be read."""
        if not self._plan.goes_on:
            self._run.store.forget_table(self.table)
        self._run.notes.requests_left(self.table, requests)

    def read(self, batch: Batch) -> Iterator[TDataItems]:
        """Yield the rows of one window after the other, and at last what is gone.

        Raises:
            HarvestError: The report could not be read, and the run must not go on without it.
        """
        plan = self._plan
        try:
            self._demand_whole_view()
            planned = len(plan.again) + len(plan.first)
            yield DataItemWithMeta(OfReport(self.table, OfRun(self._run), planned=planned), [])
            for window in plan.again:
                yield self._read(window, batch)
            while self._left and not batch.full:
                window = self._left.popleft()
                yield self._read(window, batch)
        except HarvestError as error:
            self._run.notes.leave_out(self._endpoint, error)
            yield DataItemWithMeta(OfReport(self.table, NotRead(self._run)), [])
            return
        self._save()
        yield DataItemWithMeta(OfReport(self.table, Gone(self._run, self._marks)), [])

    def _read(self, window: Window, batch: Batch) -> TDataItems:
        """Return the rows of one window; where it is empty, look at the whole year before it."""
        rows = self._rows(window, batch)
        self._note(window)
        done = 1
        if window.first and not rows:
            done += self._probe(window.first, batch)
        return DataItemWithMeta(OfReport(self.table, OfRun(self._run), done=done), rows)

    def _probe(self, before: date, batch: Batch) -> int:
        """Skip the years before a day that are empty; return how many periods that were."""
        skipped = 0
        while len(self._left) >= PROBE_FROM and not batch.full:
            if self._busy_from and self._busy_from < before:
                break  # this year holds something, which will be found
            year = max(self._left[-1].first or before, before - LONGEST_REPORT * DAY)
            if self._rows(Window(year, before - DAY), batch):
                self._busy_from = year
                break
            while self._left and (first := self._left[0].first) and first >= year:
                self._note(self._left.popleft())
                before = first
                skipped += 1
        return skipped

    def _rows(self, window: Window, batch: Batch) -> list[Record]:
        """Return what Harvest says of a window.

        Raises:
            ShiftingListError: A report of several pages changed each time it was read.
            HarvestError: A page could not be read.
        """
        run, endpoint = self._run, self._endpoint
        for _ in range(run.sizes.max_attempts):
            rows: list[Record] = []
            totals: set[int | None] = set()
            for page in run.client.pages(
                endpoint.path,
                endpoint.key,
                {**window.filters, **self._fixed_fee},
                budget="reports",
                id_name=self._report.subject,
            ):
                batch.requests += 1
                totals.add(page.total)
                rows += [self._prepared(row, window) for row in page]
            keys = {tuple(row.get(name) for name in endpoint.id_columns) for row in rows}
            if totals <= {len(rows), None} and len(keys) == len(rows):
                return rows
        raise ShiftingListError(endpoint.path)

    def _prepared(self, row: Record, window: Window) -> Record:
        row[ACCOUNT_ID] = self._run.account_id
        if window.first:
            row |= {"period_start": window.first, "period_end": window.last}
        if self._report.span != "period":
            row["snapshot_date"] = self._run.access.now.date()
        if self._report.by_currency:  # part of the key, and hidden from whom may not see money
            row["currency"] = row.get("currency") or ""
        return row

    def _note(self, window: Window) -> None:
        """Note that a window was read, and let go what the destination holds of it."""
        if window.first:
            self._oldest = min(window.first, self._oldest or window.first)
        if self._replaces():
            row = self._prepared({self._report.subject: 0}, window)
            key = tuple(row[name] for name in self._endpoint.id_columns)
            self._marks.append(mark_of(self._run, self._endpoint, key))

    def _replaces(self) -> bool:
        run, endpoint = self._run, self._endpoint
        return (
            run.holdings.holds(endpoint.name)
            and run.tables.deletions(endpoint) == "remove"
            and not run.access.module_disabled(endpoint)
        )

    def _demand_whole_view(self) -> None:
        """Refuse to replace figures of all by figures of what a narrower token sees."""
        run = self._run
        held = run.holdings.holds(self.table) or run.store.table(self.table) != TableState()
        if held and not run.access.deletions_trusted():
            raise NarrowerTokenError(self.table, run.account.named)

    def _save(self) -> None:
        """Remember what the next run needs to know."""
        run, plan, known = self._run, self._plan, self._plan.goes_on
        now = run.access.now
        if self._left:
            run.notes.requests_left(self.table, len(self._left))
        if self._report.span != "period":
            run.store.save_table(self.table, TableState(read_at=now, full_read_at=now))
        elif self._oldest:
            first = min(self._oldest, known.first) if known else self._oldest
            read_at = known.read_at if known and not plan.again else run.access.now
            length, fixed_fee = run.settings.report_period, bool(self._fixed_fee)
            periods = PeriodsRead(length, first, read_at, fixed_fee)
            run.store.save_table(self.table, TableState(read_at=now, periods=periods))
