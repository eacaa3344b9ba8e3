"""Reads one list for whoever needs it: its own table, the children of its records, or both.

Decides what a run lists, from which moment on, and how far; and keeps in the state what the next
run needs to know.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import date, datetime, timedelta, timezone
from itertools import chain
from typing import Any

import dlt
from dlt.common.time import ensure_datetime_in_tz
from dlt.common.typing import TDataItems

from .account import Account
from .destination import Held, Key, choose_file_format, load_id
from .endpoints import ENDPOINTS, Endpoint
from .errors import MalformedRecordError, StatusError
from .listing import Filters, Listing, Records, since
from .settings import (
    FIRST_STEP_RECORDS,
    FIRST_STEP_REQUESTS,
    OVERLAP_SECONDS,
    PER_PAGE,
    STEP_RECORDS,
    STEP_REQUESTS,
)

AnchorOf = Callable[[], datetime]

NO_ID = 2**63 - 1  # above all ids


class End(list[Any]):
    """The last thing a list yields: nothing for its table, the news for its children.

    Attributes:
        whole: Whether all records in scope were listed, down to the rest, so that without one
            what was not found is gone.
        ids: The ids that were found.
        cursor: From where the next read of changes must begin (UTC).
        rest: Up to which date further steps must list, None if nothing is left.
    """

    def __init__(
        self, ids: set[int], cursor: datetime, *, whole: bool, rest: date | None = None
    ) -> None:
        super().__init__()
        self.ids, self.cursor, self.whole, self.rest = ids, cursor, whole, rest


class Family(list[dict[str, Any]]):
    """All children of one parent, and what is gone of them."""


class Feed:
    """Reads one list for its table and its children.

    Args:
        account: Where from.
        endpoint: The list.
        anchor_of: Returns how far back history is read (UTC).
    """

    def __init__(self, account: Account, endpoint: Endpoint, anchor_of: AnchorOf) -> None:
        self.account, self.endpoint, self.anchor_of = account, endpoint, anchor_of
        self.held: dict[str, Held] = {}
        self._anchor: datetime | None = None
        self._starts: dict[str, datetime | None] = {}

    def read(self, updated_at: Any) -> Iterator[TDataItems]:
        """Yield records in lists, then what is gone, then the `End`.

        Args:
            updated_at: The incremental cursor of the list's own table.
        """
        readers = self._begin(updated_at.last_value)
        # Harvest filtered already; what comes without a newer stamp mends what went stale.
        updated_at.advance(None)
        known = [start for start in self._starts.values() if start]
        stepping = any(self.stepping(reader) for reader in readers)
        whole = len(known) < len(readers) or not self.endpoint.updated_since
        if stepping and not self.account.lists_come_first():
            whole = True  # the next parents are taken from it
        start = self._anchor if whole else min(known)
        # Children need all their parents, so only a list without them may come in steps.
        in_steps = self.account.options.in_steps and readers == [self.endpoint]
        listings = self._listings(start, whole=whole, in_steps=in_steps)
        try:
            end = yield from self._list(listings, start, whole=whole)
        except StatusError as error:
            self.account.excuse(self.endpoint, error)
            return
        if self.endpoint in readers:
            if end.whole and not end.rest and self.account.may_delete():
                gone = {key for key in self.held[self.endpoint.name].keys if key[0] not in end.ids}
                yield self.let_go(self.endpoint, gone, lost=len(gone))
                self.held[self.endpoint.name].flag_gone()
            updated_at.advance(end.cursor)
            self.note_read(self.endpoint, end)
        yield end

    def concerns(self, child: Endpoint, parent: dict[str, Any]) -> bool:
        """Return whether a parent's children must be read: it changed, or all are wanted."""
        start, changed = self._starts[child.name], parent.get("updated_at")
        if self.stepping(child):
            below = dlt.current.resource_state(child.name).get("below", NO_ID)
            return bool(start and changed and changed >= start and parent["id"] >= below)
        return start is None or changed is None or bool(changed >= start)

    def children_of(self, parent_id: int, child: Endpoint) -> Family:
        """Return all children of a parent, and what is gone of those that were held."""
        if child.name in self.account.skipped:
            return Family()
        found = {}
        path = child.path.format(id=parent_id)
        try:
            for records in Listing(self.account.client, path, child.key).read():
                for record in records:
                    record[child.parent_key] = parent_id
                    found[parent_id, record["id"]] = prepare(child, record)
        except StatusError as error:
            if error.status != 404:
                self.account.excuse(child, error)
                return Family()
            # A parent deleted since its listing has no children any more.
        if not self.account.may_delete():
            return Family(found.values())
        mine = self.held[child.name].of_parents({parent_id})
        gone = self.let_go(child, mine - found.keys(), lost=len(mine) - len(found))
        return Family([*found.values(), *gone])

    def orphans(self, parent_ids: set[int], child: Endpoint) -> Records:
        """Return the children of other than these parents, as gone."""
        if not self.account.may_delete():
            return []
        held = self.held[child.name]
        gone = held.of_parents(held.parents - parent_ids)
        return self.let_go(child, gone, lost=len(gone))

    def let_go(self, reader: Endpoint, gone: set[Key], lost: int) -> Records:
        """Mark rows as gone; return what dlt must merge for it.

        Args:
            reader: Whose rows.
            gone: Their keys.
            lost: By how many rows the table shrinks.

        Raises:
            SuspiciousDeletionsError: Most of the table would go.
        """
        if not gone or self.account.is_off(reader):
            return []
        held = self.held[reader.name]
        self.account.check_plausible(reader, lost=held.lose(lost), held=len(held.keys))
        return held.let_go(gone)

    def note_read(self, reader: Endpoint, end: End) -> None:
        """Keep in the state what the next run needs to know."""
        if reader.name in self.account.skipped:
            return
        state = dlt.current.resource_state(reader.name)
        if reader.parent:  # a list's own cursor is dlt's
            state["cursor"] = end.cursor
        state.pop("rest", None)
        if end.rest:
            state["rest"] = end.rest
        if end.whole and "below" not in state:
            state["read_whole_at"] = datetime.now(timezone.utc)
            state["anchor"] = self._anchor
            self.account.read_whole.add(reader.name)

    def stepping(self, child: Endpoint) -> bool:
        """Return whether a child's first read is spread over several runs."""
        read_at = dlt.current.resource_state(child.name).get("read_whole_at")
        return bool(self.account.options.in_steps and child.parent and not read_at)

    def step(self, child: Endpoint, end: End) -> list[int]:
        """Return the parents whose children come in this run, newest first, as far as it goes.

        The rest waits for the next run: the state says below which id.
        """
        if not self.stepping(child):
            return []
        state = dlt.current.resource_state(child.name)
        if self.account.lists_come_first():
            state.setdefault("below", NO_ID)
            self.account.note_left(child, self.account.left.get(child.name, 0))
            return []
        below = state.get("below", NO_ID)
        left = sorted((i for i in end.ids if i < below), reverse=True)
        room = STEP_REQUESTS if "below" in state else FIRST_STEP_REQUESTS
        if "below" not in state and len(left) > room:
            room = 0  # the lists come first
        now, later = left[:room], left[room:]
        state["below"] = now[-1] if now else below
        if later:
            self.account.note_left(child, len(later))
        else:
            del state["below"]
        return now

    def _begin(self, cursor: datetime | None) -> list[Endpoint]:
        """Return the endpoints that are read here, once it is known from where on each must be."""
        self.account.join(load_id())
        selected = dlt.current.source().selected_resources
        family = [self.endpoint, *(e for e in ENDPOINTS if e.parent == self.endpoint.name)]
        readers = [e for e in family if e.name in selected]
        for reader in readers:
            choose_file_format(selected[reader.name], filled=False)
            self.held[reader.name] = Held(reader, self.account.options.deletions)
        self._anchor = self.anchor_of() if self.endpoint.anchored else None
        self._starts = {reader.name: self._start(reader, cursor) for reader in readers}
        return readers

    def _start(self, reader: Endpoint, cursor: datetime | None) -> datetime | None:
        """Return from where on a table needs what changed, None where it needs the whole list."""
        state, options = dlt.current.resource_state(reader.name), self.account.options
        if reader.parent:
            cursor = state.get("cursor")
        read_at = state.get("read_whole_at")
        if reader.name in self.account.read_whole or (options.in_steps and "below" in state):
            return cursor
        if read_at is None or options.full_read or self._backfills(state):
            return None
        if reader.parent and options.children == "complete":
            return None
        if "rest" in state:  # which comes before the next full read
            return cursor
        age = datetime.now(timezone.utc) - read_at
        if 0 <= options.full_read_hours <= age.total_seconds() / 3600:
            return None
        return cursor

    def _backfills(self, state: dict[str, Any]) -> bool:
        """Whether history is in scope that was in no run before."""
        return bool(self._anchor and ("anchor" not in state or self._anchor < state["anchor"]))

    def _listings(self, start: datetime | None, *, whole: bool, in_steps: bool) -> list[Listing]:
        """Return what must be listed: all, or what is left of it and what changed since."""
        state = dlt.current.resource_state(self.endpoint.name)
        if whole and in_steps and self._backfills(state):
            return [self._listing(since(start), most=FIRST_STEP_RECORDS)]
        listings = [self._listing(since(start))]
        if not whole and (rest := state.get("rest")):
            most = STEP_RECORDS if in_steps else 0
            listings.insert(0, self._listing(since(self._anchor), last=rest, most=most))
        return listings

    def _list(
        self, listings: list[Listing], start: datetime | None, *, whole: bool
    ) -> Generator[TDataItems, None, End]:
        """Yield the records of the listings; return the end."""
        newest = start
        table = dlt.current.source().selected_resources.get(self.endpoint.name)
        for records in chain.from_iterable(listing.read() for listing in listings):
            if records and table:
                choose_file_format(table, filled=True)
                table = None  # once is enough
            for record in records:
                stamp = prepare(self.endpoint, record).get("updated_at")
                newest = max(filter(None, (newest, stamp)), default=None)
            yield records
        oldest, latest = listings[0], listings[-1]
        loaded = dlt.current.resource_state(self.endpoint.name).get("read_whole_at")
        if not latest.ids and not loaded:
            yield dlt.mark.materialize_table_schema()
        # Never past the moment this read began: a record on a page already read may have changed
        # while later pages were read.
        ceiling = latest.started - timedelta(seconds=OVERLAP_SECONDS)
        if self.endpoint.live and not whole:
            yield from self._live()
        cursor = min(newest or ceiling, ceiling)
        if oldest.rest:
            left = (oldest.total or 0) - len(oldest.ids)
            self.account.note_left(self.endpoint, max(1, left // PER_PAGE))
        return End(latest.ids, cursor, whole=whole, rest=oldest.rest)

    def _live(self) -> Iterator[TDataItems]:
        """Yield what changes without a stamp, as far as it is in scope."""
        for records in self._listing({self.endpoint.live: "true"}).read():
            yield [r for r in records if not _before(prepare(self.endpoint, r), self._anchor)]

    def _listing(self, filters: Filters, **bounds: Any) -> Listing:
        e, client = self.endpoint, self.account.client
        bounds |= {"date": e.date, "updated_since": e.updated_since}
        return Listing(client, e.path, e.key, filters, **bounds)


def prepare(endpoint: Endpoint, record: dict[str, Any]) -> dict[str, Any]:
    """Type the cursor, and leave out empty objects: their columns are nulls already.

    Raises:
        MalformedRecordError: The cursor is no timestamp.
    """
    if (stamp := record.get("updated_at")) is not None:
        try:  # as text it would sort by its format instead of by its moment
            record["updated_at"] = ensure_datetime_in_tz(stamp, timezone.utc)
        except (ValueError, TypeError):
            raise MalformedRecordError(endpoint.name, record["id"], "updated_at", stamp) from None
    _drop_empty(record, endpoint.columns.objects)
    for name, columns in endpoint.nested:
        items = record.get(name)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                _drop_empty(item, columns.objects)
    return record


def _drop_empty(record: dict[str, Any], objects: frozenset[str]) -> None:
    for name in objects & record.keys():
        if record[name] is None:
            del record[name]


def _before(record: dict[str, Any], moment: datetime | None) -> bool:
    stamp = record.get("updated_at")
    return bool(moment and stamp and stamp < moment)
