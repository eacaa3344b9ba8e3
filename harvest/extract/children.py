"""Reads the children of a list's records, one request for each parent."""

from __future__ import annotations

from datetime import datetime
from threading import Condition
from typing import Any

from dlt.common.runtime.signals import raise_if_signalled

from ..catalog import BY_NAME, Endpoint
from ..errors import HarvestError, StatusError
from .context import Run
from .deletions import Deletions, Gone, NotRead
from .listing import Listing
from .lists import ListEnd
from .records import newest, prepare
from .state import Backfill, TableState

NAMED = 10
"""How many records a message names before it only counts them."""


class ChildReader:
    """Reads one table of children in one run, once all parents are known.

    All children of a parent are read together, so one that is no longer listed is gone. When a
    parent is gone, so are its children.

    Threads: it is made where dlt extracts, and `read` and `finish` run in dlt's pool. A condition
    guards what the requests brought; `finish` waits on it until all of them came.

    Args:
        parents: The end of the parents' list.
        endpoint: The children.
    """

    def __init__(self, parents: ListEnd, endpoint: Endpoint) -> None:
        self._run, self._list, self._endpoint = parents.run, parents, endpoint
        self._parent = BY_NAME[endpoint.parent or ""]
        self._plan = self._run.plans[self._parent.name].tables[endpoint.name]
        self._before = self._run.store.table(endpoint.name)
        self._deletions = Deletions(self._run, endpoint)
        self._backfill: Backfill | None = None
        self.parents = self._choose()
        self._condition = Condition()
        self._under_way = len(self.parents)
        self._found: dict[int, set[int]] = {}
        self._newest: datetime | None = None
        self._gone_parents: set[int] = set()
        self._refused: dict[int, StatusError] = {}
        self._failed: dict[int, HarvestError] = {}

    def read(self, parent_id: int) -> list[dict[str, Any]]:
        """Return all children of a parent.

        Raises:
            HarvestError: They could not be read, and the run must not go on without them.
        """
        try:
            return self._read_or_note(parent_id)
        except HarvestError as error:
            self._note_failure(parent_id, error)
            return []
        finally:
            with self._condition:
                self._under_way -= 1
                self._condition.notify_all()

    def _read_or_note(self, parent_id: int) -> list[dict[str, Any]]:
        """Return all children of a parent, or note why Harvest says that there are none."""
        try:
            return self._read(parent_id)
        except StatusError as error:
            if error.status == self._endpoint.none_status:
                with self._condition:
                    self._found[parent_id] = set()
            elif error.status == 404 and not self._lives(parent_id):
                with self._condition:
                    self._gone_parents.add(parent_id)
            elif error.status in (403, 404) and not self._run.tables.replaces(self._endpoint):
                with self._condition:
                    self._refused[parent_id] = error
            else:
                raise
            return []

    def finish(self) -> Gone | NotRead:
        """Wait for all requests, decide what is gone, and remember how far this run came.

        dlt begins items in their order, so all requests have begun before this waits for them, and
        it never holds the thread that one of them needs.

        Raises:
            HarvestError: The table may not be read, or most of it would go.
        """
        with self._condition:
            while self._under_way:
                self._condition.wait(0.2)
                raise_if_signalled()
        try:
            if self._refused and len(self._refused) == len(self.parents) and self._reads_all():
                raise next(iter(self._refused.values()))
            gone = self._deletions.of_children(self._found, self._gone_parents)
        except HarvestError as error:
            self._run.notes.leave_out(self._endpoint, error)
            return NotRead(self._run)
        if self._failed:
            self._run.notes.failure(self._endpoint, self._describe_failures())
        else:
            self._save(gone)
        if self._refused:
            self._run.notes.refused(self._endpoint, _name(self._refused))
        return gone

    def _read(self, parent_id: int) -> list[dict[str, Any]]:
        run, endpoint = self._run, self._endpoint
        path = endpoint.path.format(id=parent_id)
        rows: list[dict[str, Any]] = []
        for records in Listing(run.client, endpoint, run.sizes, path=path).read():
            for record in records:
                record[endpoint.parent_key] = parent_id
                prepare(endpoint, record, run.account_id, public_links=run.settings.public_links)
                rows.append(record)
        with self._condition:
            self._found[parent_id] = {row["id"] for row in rows}
            self._newest = newest(self._newest, *(row.get("updated_at") for row in rows))
        return rows

    def _choose(self) -> list[int]:
        """Return the parents whose children come in this run, the newest first."""
        stamps, plan = self._list.parents, self._plan
        if plan.mode == "later":
            self._backfill = self._before.backfill
            return []
        if plan.mode == "changes":
            changed = [parent for parent, stamp in stamps.items() if self._changed(stamp)]
            return [*changed, *self._missing_parents()]
        if plan.mode == "differing":
            # What is stamped at the cursor came in an earlier run, a minute after its stamp at
            # least, so it is not asked for again.
            differing = self._list.differing[self._endpoint.name]
            chosen = [i for i, stamp in stamps.items() if i in differing or self._is_news(stamp)]
            return [*chosen, *self._missing_parents()]
        ids = sorted(stamps, reverse=True)
        left = [i for i in ids if plan.below_id is None or i < plan.below_id]
        now = left[: plan.batch_size] if plan.batch_size else left
        begins = plan.mode == "backfill" and not self._before.backfill
        if begins and len(left) > plan.batch_size:
            now = []  # The lists come first.
        if later := left[len(now) :]:
            started = (self._before.backfill or Backfill(self._list.started)).started_at
            below = now[-1] if now else plan.below_id
            self._leave(len(later), Backfill(started, below_id=below))
        done = ids[: len(ids) - len(left)]
        again = [parent for parent in done if self._changed(stamps[parent])]
        return [*again, *now, *self._missing_parents()]

    def _missing_parents(self) -> list[int]:
        """Return parents that are not listed, though the destination holds children of them.

        Either they are gone, or their stamps lie before the anchor, so that this list lacks them
        though an earlier one held them. Harvest is asked for each, because only a 404 shows that it
        is gone.
        """
        if not self._list.complete:
            return []
        missing = self._deletions.held_by_parent.keys() - self._list.parents.keys()
        # As a rule there are none, and the destination need not be asked.
        return sorted(missing - self._run.ids_before_anchor(self._parent)) if missing else []

    def _changed(self, stamp: datetime | None) -> bool:
        since = self._plan.since
        return since is None or stamp is None or stamp >= since

    def _is_news(self, stamp: datetime | None) -> bool:
        since = self._plan.since
        return since is None or stamp is None or stamp > since

    def _lives(self, parent_id: int) -> bool:
        """Tell whether Harvest still has a parent that answers 404 for its children."""
        try:
            self._run.client.record(f"{self._parent.path}/{parent_id}")
        except StatusError as error:
            return error.status != 404
        return True

    def _reads_all(self) -> bool:
        return self._plan.mode in ("whole", "backfill")

    def _leave(self, requests: int, backfill: Backfill | None) -> None:
        self._backfill = backfill
        self._run.notes.requests_left(self._endpoint.name, requests)

    def _save(self, gone: Gone) -> None:
        before, full_read_at = self._before, self._before.full_read_at
        if not self._backfill and self._reads_all():
            full_read_at = (
                before.backfill.started_at
                if before.backfill and self._plan.mode == "backfill"
                else self._list.started
            )
        later = self._plan.mode == "later"
        found_gone = self._list.started if gone.count else None
        table = TableState(
            cursor=before.cursor if later else self._list.cursor,
            read_at=before.read_at if later else self._list.started,
            changed_at=newest(before.changed_at, self._newest, found_gone),
            full_read_at=full_read_at,
            anchor=self._run.anchor_for(self._endpoint) if self._reads_all() else before.anchor,
            backfill=self._backfill,
        )
        self._run.store.save_table(self._endpoint.name, table)

    def _note_failure(self, parent_id: int, error: HarvestError) -> None:
        goes_on = self._run.settings.keep_going and not error.concerns_everything
        if not goes_on or self._run.tables.replaces(self._endpoint):
            raise error
        with self._condition:
            self._failed[parent_id] = error

    def _describe_failures(self) -> str:
        first = next(iter(self._failed.values()))
        whose = f"{self._parent.name} {_name(self._failed)}"
        return f"`{self._endpoint.name}` of {whose} could not be read: {first}"


def requests_expected(run: Run, endpoint: Endpoint, parents: int) -> int:
    """Return how many requests a table probably takes, as far as its parents' first page tells.

    Args:
        run: The run.
        endpoint: The children.
        parents: How many parents are listed.
    """
    plan = run.plans[endpoint.parent or ""]
    table = plan.tables[endpoint.name]
    if table.mode == "later" or (table.mode == "changes" and plan.complete):
        return 0  # of all that are listed, those that changed are not known yet
    return min(parents, table.batch_size or parents)


def _name(records: dict[int, Any]) -> str:
    """Name records by their ids, as far as one can read them."""
    ids = sorted(records)
    more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return ", ".join(map(str, ids[:NAMED])) + more
