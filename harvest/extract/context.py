"""One run of one account: everything that its tables share.

The order is the same for every table: what is remembered is loaded once, the plan follows from it,
the list is read, what is gone is decided, and what the next run needs is saved once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from threading import RLock
from typing import Any

from dlt.common import logger
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.extract import DltResource

from ..abilities import Abilities
from ..api.client import HarvestClient
from ..catalog import BY_NAME, ENDPOINTS, Endpoint
from ..destination import DELETED_AT, Destination, deleted_at_column
from ..errors import HarvestError, StatusError
from ..recover import be_at_work
from ..settings import DEFAULT_HISTORY, Settings, Sizes
from .access import Access
from .freshness import FRESHNESS, freshness_row, prepare_freshness
from .plan import ListPlan, TablePlan, plan_list, plan_table
from .state import Extraction, LastRun, StateStore, TableState


def disposition(resource: DltResource) -> str:
    """Return how dlt writes a resource's table: "merge", "append" or "replace"."""
    chosen: Any = resource.write_disposition
    return str(chosen["disposition"] if isinstance(chosen, dict) else chosen)


class Account:
    """A Harvest account that the source reads.

    One source may be run many times. Each of its runs is opened by the resource that begins first.

    Args:
        account_id: The account's number.
        client: Where to ask.
        settings: What the user chose.
        sizes: How much is read at once.
    """

    def __init__(
        self, account_id: int, client: HarvestClient, settings: Settings, sizes: Sizes
    ) -> None:
        self.account_id, self.client = account_id, client
        self.settings, self.sizes = settings, sizes
        self._lock = RLock()
        self._run: Run | None = None

    def run(self) -> Run:
        """Return the run that is under way; whoever comes first opens it, and all others wait.

        Raises:
            HarvestError: Harvest or the state can't be read.
        """
        extraction = Extraction()
        with self._lock:
            if self._run is None or self._run.extraction.load_id != extraction.load_id:
                self._run = Run(self, extraction)
            return self._run


class Run:
    """What one run knows.

    Threads: any. Everything here is set when the run is opened, but what `store` and `access` guard
    themselves.

    Attributes:
        extraction: What dlt says of the run.
        store: What is remembered of the account.
        access: What the token may read.
        selected: The tables of this run.
        destination: What the destination holds.
        can: What the destination can do with each table.
        anchor: How far back history is read (UTC).
        plans: What is read of each list.
        left_before: Requests that the run before this one left, by table.
    """

    def __init__(self, account: Account, extraction: Extraction) -> None:
        self.account_id, self.client = account.account_id, account.client
        self._requests_before = self.client.requests
        self.settings, self.sizes = account.settings, account.sizes
        self.extraction = extraction
        if extraction.pipeline:
            be_at_work(extraction.pipeline)
        extraction.show_waiting(self.client.limiters["general"])
        self.store = StateStore(account.account_id, account.settings.account_ids)
        self.left_before = self.store.account.last_run.requests_left
        self.store.account.last_run = LastRun()
        self.selected = [e for e in ENDPOINTS if e.name in extraction.selected]
        self.access = Access(
            self.client,
            self.store,
            {endpoint.name for endpoint in self.selected},
            confirmed=self.settings.confirm_deletions,
        )
        self.anchor = self._anchor()
        self.destination = Destination(extraction.pipeline, extraction.schema_name, self.account_id)
        self.can = self._adapt_to_destination()
        self._there = self._look_at_destination()
        self._freshness_lacks = self._prepare_freshness()
        self.plans = {e.name: self._plan(e) for e in ENDPOINTS if not e.parent}
        self.store.save_account()

    def resource(self, endpoint: Endpoint) -> DltResource:
        """Return the dlt resource of a selected table."""
        return self.extraction.selected[endpoint.name]

    def deletions(self, endpoint: Endpoint) -> str:
        """Return what becomes of a table's rows that are gone: "remove", "flag" or "keep".

        Where dlt does not merge a table, because the user chose so, nothing is looked for.
        """
        can = self.can.get(endpoint.name)
        merged = disposition(self.resource(endpoint)) == "merge"
        return can.deletions(self.settings.deletions) if can and merged else "keep"

    def holds(self, table: str) -> bool:
        """Tell whether the destination has a table; never, where it can't be asked."""
        return self._there is not None and table in self._there

    def must_make(self, endpoint: Endpoint) -> bool:
        """Tell whether a table must be made though no row may come."""
        can = self.can.get(endpoint.name)
        if can and not can.makes_empty_tables:
            return False
        if self._there is None:
            return self.store.table(endpoint.name) == TableState()
        return endpoint.name not in self._there

    def scope_of(self, endpoint: Endpoint) -> datetime | None:
        """Return how far back a table is read (UTC); None for reference data."""
        bounded = BY_NAME[endpoint.parent] if endpoint.parent else endpoint
        return self.anchor if bounded.anchored else None

    def leave_out(self, endpoint: Endpoint, error: HarvestError) -> None:
        """Leave out a table that may not or can't be read, or raise.

        `load` loads the rest and reports what failed. In a user's own script there is no place to
        report it. What this run brought of the table is right and stays; the next run reads it
        again, because nothing is remembered of this one.

        Raises:
            HarvestError: The error itself.
        """
        if isinstance(error, StatusError) and self.access.skip(endpoint, error):
            return
        if not self.settings.keep_going or error.concerns_everything:
            raise error
        self.note_failure(endpoint, str(error))
        for child in self.selected:
            if child.parent == endpoint.name:
                self.note_failure(child, f"`{child.name}` was not read: `{endpoint.name}` failed.")

    def note_failure(self, endpoint: Endpoint, text: str) -> None:
        """Note that a table was not read to its end."""
        logger.warning(text)
        self.store.account.last_run.failed[endpoint.name] = text
        self.store.save_account()

    def note_refused(self, endpoint: Endpoint, records: str) -> None:
        """Note whose children Harvest refuses. What the destination holds of them stays."""
        text = f"Harvest refuses them for {endpoint.parent} {records}"
        logger.warning(f"`{endpoint.name}`: {text}.")
        self.store.account.last_run.refused[endpoint.name] = text
        self.store.save_account()

    def freshness(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        """Return the rows that say how fresh a table is, now that it was read to its end or left.

        Where the destination has none so far, they speak of the tables that are not read too.
        """
        lacking, self._freshness_lacks = self._freshness_lacks, []
        last_run = self.store.account.last_run
        last_run.requests = self.client.requests - self._requests_before
        self.store.save_account()
        return [
            freshness_row(self.account_id, name, self.store.table(name), last_run)
            for name in (endpoint.name, *lacking)
        ]

    def note_result(self, endpoint: Endpoint, changed: int, gone: int) -> None:
        """Note what became of a table's rows, where a row stands for a record.

        Args:
            endpoint: The table.
            changed: How many records are older than the read before, but stamped since.
            gone: How many rows were removed or flagged.
        """
        if disposition(self.resource(endpoint)) != "merge":
            return
        last_run = self.store.account.last_run
        last_run.changed[endpoint.name] = changed
        left = last_run.flagged if self.deletions(endpoint) == "flag" else last_run.removed
        left[endpoint.name] = gone

    def ids_before_anchor(self, endpoint: Endpoint) -> set[int]:
        """Return the ids of rows that the destination holds, but a read does not cover."""
        anchor = self.scope_of(endpoint)
        return self.destination.ids_before(endpoint, anchor) if anchor else set()

    def note_requests_left(self, table: str, requests: int) -> None:
        """Note that a table needs a further batch, of about so many requests."""
        self.store.account.last_run.requests_left[table] = requests
        self.store.save_account()

    def _anchor(self) -> datetime:
        """Return the earliest anchor that was ever given for this account."""
        kept, given = self.store.account.anchor_date, self.settings.anchor_date
        today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        anchor = min(filter(None, (kept, given)), default=today - DEFAULT_HISTORY)
        self.store.account.anchor_date = anchor
        return anchor

    def _adapt_to_destination(self) -> dict[str, Abilities]:
        """Load each table as the destination can, and say once what it can't."""
        resources = {endpoint.name: self.resource(endpoint) for endpoint in self.selected}
        found = self.destination.abilities(resources)
        for endpoint in self.selected:
            if not (can := found.get(endpoint.name)):
                continue
            resource = resources[endpoint.name]
            if disposition(resource) == "merge":
                if not can.merges:
                    resource.apply_hints(write_disposition="append")
                elif can.merge_strategy == "upsert":
                    resource.apply_hints(
                        write_disposition={"disposition": "merge", "strategy": "upsert"}
                    )
            if not endpoint.singleton:
                chosen = can.deletions(self.settings.deletions)
                resource.apply_hints(columns={DELETED_AT: deleted_at_column(chosen)})
        if any(can.one_load_job for can in found.values()):
            self.destination.load_one_after_the_other()
        for notice in sorted({can.notice for can in found.values() if can.notice}):
            logger.warning(notice)
        return found

    def _look_at_destination(self) -> dict[str, TTableSchemaColumns] | None:
        """Return the tables that are there; forget what is remembered of those that are not."""
        names = [n for e in self.selected for n in (e.name, *e.nested_tables)] + [FRESHNESS]
        there = self.destination.tables(names)
        if there is None:
            return None
        for endpoint in self.selected:
            # A nested table is made with its first row, so it may never have been there.
            tables = (
                endpoint.name,
                *filter(self.destination.loaded_before, endpoint.nested_tables),
            )
            missing = set(tables) - there.keys()
            if missing and self.store.table(endpoint.name) != TableState():
                logger.warning(
                    f"`{endpoint.name}` is read whole again: the destination lacks "
                    f"{', '.join(sorted(missing))}."
                )
                self.store.forget_table(endpoint.name)
                for orphaned in {*endpoint.nested_tables} & there.keys() - missing:
                    if endpoint.name in missing:  # The rows that these belonged to are gone.
                        self.destination.empty(orphaned)
                # dlt creates missing tables only when the schema changed.
                self.resource(endpoint).apply_hints(
                    additional_table_hints={"x-harvest-made-again": self.extraction.load_id}
                )
            self.destination.check_types(there, endpoint)
        return there

    def _prepare_freshness(self) -> list[str]:
        """Make the tables ready to write how fresh they are.

        Return the other tables whose rows must be written too, because the destination has none:
        it never had, somebody dropped them, or a refresh of one table drops them with it.
        """
        dropped = FRESHNESS in self.extraction.dropped
        missing = dropped or (self._there is not None and FRESHNESS not in self._there)
        hints = {"x-harvest-made-again": self.extraction.load_id} if missing else {}
        for endpoint in self.selected:
            if can := self.can.get(endpoint.name):
                prepare_freshness(self.resource(endpoint), can, **hints)
        read = {endpoint.name for endpoint in self.selected}
        return sorted(self.store.known_tables() - read) if missing else []

    def _plan(self, endpoint: Endpoint) -> ListPlan:
        children = [e for e in self.selected if e.parent == endpoint.name]
        lists_first = any(not e.parent and self.store.table(e.name).backfill for e in self.selected)

        def plan(e: Endpoint) -> TablePlan:
            can, settings = self.can.get(e.name), self.settings
            if can and not can.full_reads:
                settings = replace(settings, children="changed", full_read_hours=-1)
            return plan_table(
                e,
                self.store.table(e.name),
                settings,
                self.sizes,
                anchor=self.scope_of(e),
                now=self.access.now,
                lists_first=lists_first,
                has_children=bool(children) and e is endpoint,
                replaced=disposition(self.resource(e)) == "replace",
            )

        return plan_list(
            plan(endpoint) if endpoint in self.selected else None,
            {child.name: plan(child) for child in children},
            name=endpoint.name,
            anchor=self.scope_of(endpoint),
        )
