"""Reads one list, for its own table and for the children of its records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from dlt.common.typing import TDataItems
from dlt.extract.items import DataItemWithMeta

from ..catalog import BY_NAME, Endpoint
from ..errors import HarvestError
from ..settings import OVERLAP_SECONDS
from .context import Run
from .deletions import Deletions, Gone, NotRead
from .differences import Differences
from .listing import Listing
from .plan import Read, pages_of
from .records import Record, newest, prepare
from .state import Backfill, TableState
from .windows import Filters


@dataclass
class OfRun:
    """Travels with a list of records, as its meta data."""

    run: Run


@dataclass
class ListEnd:
    """Travels with an empty list, as its meta data, when a list was read to its end.

    Attributes:
        run: The run.
        parents: The stamps of the list's records by id, where children need them.
        differing: The parents whose children may differ from what the destination holds, by table
            of children, where that is how these are read.
        complete: Whether these are all the records in scope, without a doubt.
        started: When the list's first page came, by Harvest's clock (UTC).
        cursor: From where the next run must ask for changes (UTC).
        gone: What the list's own table lets go.
    """

    run: Run
    parents: dict[int, datetime | None]
    differing: dict[str, set[int]]
    complete: bool
    started: datetime
    cursor: datetime
    gone: Gone


class ListReader:
    """Reads one list in one run.

    Threads: one at a time of dlt's pool, not always the same. Nothing needs a guard.

    Args:
        run: The run.
        endpoint: The list.
    """

    def __init__(self, run: Run, endpoint: Endpoint) -> None:
        self._run, self._endpoint = run, endpoint
        self._plan = run.plans[endpoint.name]
        self._own = self._plan.tables.get(endpoint.name)
        self._newest: datetime | None = None
        self._listings: list[Listing] = []
        self._parents: dict[int, datetime | None] = {}
        self._keeps_parents = len(self._plan.tables) > bool(self._own)
        children = [BY_NAME[n] for n, t in self._plan.tables.items() if t.mode == "differing"]
        self._differences = Differences(run.destination, endpoint, children) if children else None

    def read(self) -> Iterator[TDataItems]:
        """Yield records in lists, and at last an empty list with the `ListEnd`, or `NotRead`.

        Raises:
            HarvestError: The list could not be read.
        """
        for name, table in self._plan.tables.items():
            if table.mode == "later":  # They wait for lists by date, and must not be forgotten.
                left = self._run.left_before.get(name, 1)
                self._run.notes.requests_left(name, left)
        if not self._plan.reads:
            yield DataItemWithMeta(NotRead(self._run), [])
            return
        try:
            for read in self._plan.reads:
                yield from self._rows(read)
            if self._endpoint.unstamped_filter and not self._plan.complete:
                yield from self._rows(Read(), {self._endpoint.unstamped_filter: "true"})
            yield DataItemWithMeta(self._end(), [])
        except HarvestError as error:
            self._run.notes.leave_out(self._endpoint, error)
            yield DataItemWithMeta(NotRead(self._run), [])

    def _rows(self, read: Read, unstamped: Filters | None = None) -> Iterator[TDataItems]:
        """Yield the records of one pass, without those that came before or that the table has.

        Args:
            read: The pass.
            unstamped: The filter for records that change without a stamp, as running timers do.
                Harvest finds them in all of the list, so those out of scope are left out.
        """
        run, earlier = self._run, [listing.ids for listing in self._listings]
        listing = Listing(
            run.client,
            self._endpoint,
            run.sizes,
            read=read,
            filters=unstamped,
            focus=run.focus_of(self._endpoint),
        )
        self._listings.append(listing)
        oldest = run.anchor_for(self._endpoint) if unstamped else self._plan.rows_since
        for page in listing.read():
            rows = []
            for record in page:
                stamp = self._prepare(record)
                if not unstamped:
                    self._newest = newest(self._newest, stamp)
                if self._keeps_parents:
                    self._parents[record["id"]] = stamp
                came = any(record["id"] in ids for ids in earlier)
                differs = self._differences and self._differences.note(record)
                if not came and (differs or not (oldest and stamp and stamp < oldest)):
                    rows.append(record)
            if rows:
                yield DataItemWithMeta(OfRun(run), page if len(rows) == len(page) else rows)
        if read.changes:  # The next run need not list again what is of others.
            others = [{"id": i, "updated_at": text} for i, text in listing.outside.items()]
            self._newest = newest(self._newest, *map(self._prepare, others))

    def _prepare(self, record: Record) -> datetime | None:
        run = self._run
        return prepare(
            self._endpoint, record, run.account_id, public_links=run.settings.public_links
        )

    def _end(self) -> ListEnd:
        first = self._listings[0]
        # The cursor never passes the moment at which the read began: a record on a page that was
        # read already may have changed while later pages were read. A minute more is for records
        # that are stamped now and can be seen a little later.
        ceiling = first.started - timedelta(seconds=OVERLAP_SECONDS)
        nothing_newer = ceiling if self._plan.complete else self._plan.reads[-1].since
        newest_seen = self._newest
        if self._own and self._own.mode == "backfill":  # of older days than the batches before it
            newest_seen = newest(newest_seen, self._own.since)
        cursor = min(newest_seen or nothing_newer or ceiling, ceiling)
        complete = self._plan.complete and not first.left_at and first.proven
        gone = Gone(self._run, [])
        if self._own:
            changes = zip(self._plan.reads, self._listings, strict=False)
            moved = {i for read, listing in changes if read.changes for i in listing.outside}
            moved = {
                i for i in moved if not any(i in each.ids for each in self._listings)
            }  # moved and back
            if complete:
                gone = Deletions(self._run, self._endpoint).of_list(first.ids)
            elif moved:
                gone = Deletions(self._run, self._endpoint).of_moved(moved)
            self._save(first, cursor, gone)
        differing = self._differences.parents if self._differences else {}
        return ListEnd(self._run, self._parents, differing, complete, first.started, cursor, gone)

    def _save(self, first: Listing, cursor: datetime, gone: Gone) -> None:
        """Remember what the next run needs to know of the list's own table."""
        before = self._run.store.table(self._endpoint.name)
        now = TableState(
            cursor=cursor,
            read_at=first.started,
            changed_at=newest(
                before.changed_at, self._newest, first.started if gone.count else None
            ),
            full_read_at=before.full_read_at,
            anchor=before.anchor,
            focus=before.focus,
        )
        if self._run.holdings.keeps_history(self._endpoint):
            # A table that was never read before has no rows that the history could lack.
            all_read = before.cursor is None or (self._plan.complete and not first.left_at)
            now.history_kept = before.history_kept or (all_read and not self._plan.rows_since)
        started = before.backfill.started_at if before.backfill else first.started
        if self._plan.complete:
            now.anchor = self._run.anchor_for(self._endpoint)
            now.focus = dict(self._run.focus_of(self._endpoint).ids)
        if first.left_at:
            now.backfill = Backfill(started, until=first.left_at)
            left = (first.total or 0) - len(first.ids)
            pages = pages_of(left, self._run.sizes.per_page)
            self._run.notes.requests_left(self._endpoint.name, pages)
        elif self._plan.complete and not self._plan.rows_since:
            now.full_read_at = first.started
        elif before.backfill:
            # The last batch: a full read is due a day after the first one.
            now.full_read_at = before.full_read_at or started
        self._run.store.save_table(self._endpoint.name, now)
