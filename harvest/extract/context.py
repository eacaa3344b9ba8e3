"""One run of one account: everything that its tables share.

The order is the same for every table: what is remembered is loaded once, the plan follows from it,
the list is read, what is gone is decided, and what the next run needs is saved once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import RLock
from typing import Any

from dlt.common import logger
from dlt.common.schema.typing import PIPELINE_STATE_TABLE_NAME, TTableSchemaColumns
from dlt.extract import DltResource

from ..abilities import Abilities
from ..api.client import HarvestClient
from ..catalog import BY_NAME, ENDPOINTS, Endpoint, Report
from ..catalog.schema import ACCOUNT_ID
from ..destination import DELETED_AT, Destination, deleted_at_column, tell_account
from ..errors import (
    AccountError,
    ColumnTypeError,
    HarvestError,
    MissingColumnError,
    SharedTableError,
    StatusError,
)
from ..recover import be_at_work
from ..settings import Settings, Sizes, default_anchor
from .access import Access
from .focus import Focus, demand_known
from .freshness import FRESHNESS, freshness_row, prepare_freshness
from .hints import (
    adapt_disposition,
    describe_anew,
    disposition,
    made_again,
    made_of,
    make_again,
    refuse_harmful,
    shape_of,
)
from .history import History, demand_comparable, prepare_history, schema_of
from .plan import ListPlan, ReportPlan, TablePlan, plan_list, plan_report, plan_table
from .state import Extraction, LastRun, StateStore, TableState, tell
from .unchanged import UnchangedRows


@dataclass(frozen=True)
class Account:
    """A Harvest account that the source reads.

    Args:
        account_id: The account's number.
        client: Where to ask.
        settings: What the user chose.
        sizes: How much is read at once.
    """

    account_id: int
    client: HarvestClient
    settings: Settings
    sizes: Sizes

    @property
    def named(self) -> int | None:
        """The account as messages name it; None where there is but one."""
        return self.account_id if len(self.settings.account_ids) > 1 else None

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Let what fails name the account, where there are several."""
        try:
            yield
        except HarvestError as error:
            if self.named is None or error.concerns_all_accounts:
                raise
            raise AccountError(self.named, error) from error


class Accounts:
    """All Harvest accounts that the source reads, one after the other.

    One source may be run many times. Each of its runs is opened by the resource that begins first:
    of all accounts, before anything of any is read, since a table's hints and the state are theirs
    in common.

    Threads: any. A lock lets one thread open the runs, and all others wait for them.

    Args:
        accounts: The accounts.

    Attributes:
        settings: What the user chose, for all of them.
    """

    def __init__(self, accounts: list[Account]) -> None:
        self._accounts, self.settings = accounts, accounts[0].settings
        self._lock = RLock()
        self._opened_for: Extraction | None = None
        self._runs: list[Run] = []
        self._failure: BaseException | None = None

    def runs(self) -> list[Run]:
        """Return the runs that are under way; whoever comes first opens them, and all others wait.

        What fails once fails for all of them, so that none tries it again.

        Raises:
            HarvestError: Harvest or the state can't be read.
        """
        extraction = Extraction()
        with self._lock:
            if not self._opened_for or self._opened_for.load_id != extraction.load_id:
                self._opened_for, self._runs, self._failure = extraction, [], None
                try:
                    self._runs = self._open(extraction)
                except BaseException as error:
                    self._failure = error
                    if not extraction.load_id:  # without a pipeline, each look is the first
                        self._opened_for = None
                    raise
            if self._failure:
                raise self._failure
            return self._runs

    def _open(self, extraction: Extraction) -> list[Run]:
        runs = []
        for account in self._accounts:
            with account.named_in_errors():
                runs.append(Run(account, extraction))
        return runs


class Run:
    """What one run knows.

    Threads: any. Everything is set while the run is opened, when no other thread has begun to read,
    hints of resources included. Later changes are those that `store` and `access` guard; and which
    rows are unchanged, the histories and the rows that `_freshness` lacks, which are asked for only
    where dlt extracts.

    Attributes:
        account: Whose run.
        extraction: What dlt says of the run.
        store: What is remembered of the account.
        access: What the token may read.
        selected: The tables of this run, without those that can't be loaded.
        destination: What the destination holds.
        can: What the destination can do with each table.
        anchor: How far back history is read (UTC).
        plans: What is read of each list.
        reports: What is read of each report.
        left_before: Requests that the run before this one left, by table.
    """

    def __init__(self, account: Account, extraction: Extraction) -> None:
        self.account, self.account_id, self.client = account, account.account_id, account.client
        self._requests_before = self.client.requests
        self.settings, self.sizes = account.settings, account.sizes
        self.extraction = extraction
        if extraction.pipeline:
            be_at_work(extraction.pipeline)
        extraction.show_waiting(self.client.limiters["general"])
        self.store = StateStore(account.account_id, account.settings.account_ids)
        self.left_before = self.store.account.last_run.requests_left
        self._failed_before = self.store.account.last_run.failed
        self.store.account.last_run = LastRun()
        self.selected = [e for e in ENDPOINTS if e.name in extraction.selected]
        settings, store = account.settings, self.store
        unread = {*store.accounts, *settings.account_ids} - {*settings.accounts_read}
        for endpoint in self.selected:
            history = endpoint.name in settings.history
            refuse_harmful(self.resource(endpoint), endpoint, unread, history=history)
        self.access = Access(
            self.client,
            self.store,
            {endpoint.name for endpoint in self.selected},
            {e.name for e in ENDPOINTS if e.by_default(reports=self.settings.reports)},
            confirmed=self.settings.confirm_deletions,
            account_named=account.named,
        )
        self.anchor = self._anchor()
        self.destination = Destination(extraction.pipeline, extraction.schema.name, self.account_id)
        # What a package that is still to be loaded will write is not there yet.
        self._pending = extraction.others_pending()
        self.can = self._adapt_to_destination()
        naming = extraction.schema.naming
        self._tables = {e.name: self.resource(e).compute_tables(naming) for e in self.selected}
        for tables in self._tables.values():
            describe_anew(extraction.schema, tables)
        self.client.answers.keeps_nul = all(can.keeps_nul for can in self.can.values())
        self._shapes = {
            name: shape_of(self.resource(BY_NAME[name]), tables, extraction.rules)
            for name, tables in self._tables.items()
        }
        self._before: dict[str, TableState] = {}
        self._written_again: set[str] = set()
        self._there = self._look_at_destination()
        compares = self.settings.children == "differing" and not self.settings.next_batch
        if compares and self._there is None and self.can:
            logger.warning(
                "This destination can't be asked what it holds, so children are not compared: "
                '`children = "differing"` does here what "complete" does, or "changed" where rows '
                "can't be replaced."
            )
        self._freshness_lacks = self._prepare_freshness()
        self._trusted = set() if self._pending else self._remembered_tables()
        self._unchanged: dict[str, UnchangedRows | None] = {}
        self._histories: dict[str, History | None] = {}
        self.plans = {e.name: self._plan(e) for e in ENDPOINTS if not (e.parent or e.report)}
        self.reports = {e.name: self._plan_report(e, e.report) for e in self.selected if e.report}
        self._demand_known_ids()
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
        # Figures of a report are no records: where others take their place, none may be kept.
        chosen = "remove" if endpoint.report else self.settings.deletions
        return can.deletions(chosen) if can and merged else "keep"

    def replaces(self, endpoint: Endpoint) -> bool:
        """Tell whether dlt replaces a table by what this run yields, because the user chose so."""
        return disposition(self.resource(endpoint)) == "replace"

    @property
    def reports_wait(self) -> bool:
        """Whether reports wait for a further batch, so that all else is loaded before."""
        others = any(not endpoint.report for endpoint in self.selected)
        left = self.left_before.keys()
        return self.settings.in_batches and others and not (left and left <= self.reports.keys())

    def keeps_away(self, endpoint: Endpoint) -> bool:
        """Tell whether nothing of a table may be loaded, because the destination can't take it."""
        return endpoint not in self.selected

    def reads_whole(self, endpoint: Endpoint) -> bool:
        """Tell whether this run begins to read all of a table that is in scope."""
        if endpoint.report:
            return self.reports[endpoint.name].goes_on is None
        own = self.plans[endpoint.parent or endpoint.name].tables[endpoint.name]
        return endpoint.singleton or own.mode == "whole"

    def holds(self, table: str) -> bool:
        """Tell whether the destination has a table; never, where it can't be asked."""
        return self._there is not None and table in self._there

    def compares_rows(self, endpoint: Endpoint) -> bool:
        """Tell whether rows are compared with those that the destination holds.

        They are not where it can't be asked, or where dlt does not merge, and neither are those of
        a report, since its rows of a period replace each other as a whole.
        """
        can = self.can.get(endpoint.name)
        merged = disposition(self.resource(endpoint)) == "merge"
        return bool(can and can.removes and merged and not endpoint.report)

    def unchanged_rows(self, endpoint: Endpoint) -> UnchangedRows | None:
        """Return what tells which rows of a table need not be written.

        None where rows are not compared. A table that is read anew may be about to be dropped, so
        all its rows are written.
        """
        if endpoint.name not in self._unchanged:
            unchanged = None
            if self.compares_rows(endpoint):
                unchanged = UnchangedRows(
                    endpoint, self._shapes[endpoint.name], self._made_of(endpoint)
                )
            if unchanged and self.holds(endpoint.name):
                plan = self.plans[endpoint.parent or endpoint.name]
                own = plan.tables[endpoint.name]
                since = None  # Children come with their parent's stamp, whatever theirs is.
                if own.mode == "changes" and not endpoint.parent:
                    since = plan.rows_since or plan.reads[0].since
                else:
                    self._remove_orphans(endpoint)
                if endpoint.name in self._trusted:
                    unchanged.look_at(self.destination, since)
            self._unchanged[endpoint.name] = unchanged
        return self._unchanged[endpoint.name]

    def keeps_history(self, endpoint: Endpoint) -> bool:
        """Tell whether this run keeps the versions of a table's rows.

        While an earlier load package waits, the latest versions are not known. Then the next run
        reads the table whole.
        """
        return endpoint.history_table in self.can and not self._pending

    def history(self, endpoint: Endpoint) -> History | None:
        """Return what writes the versions of a table's rows; None where none are kept."""
        if endpoint.name not in self._histories:
            history = None
            if self.keeps_history(endpoint):
                history = History(
                    endpoint,
                    self.resource(endpoint),
                    self.can[endpoint.history_table],
                    account_id=self.account_id,
                    load_id=self.extraction.load_id,
                    seen_at=self.access.now,
                    again=endpoint.history_table in self._written_again,
                )
                history.look_at(self.destination)
            self._histories[endpoint.name] = history
        return self._histories[endpoint.name]

    def _remove_orphans(self, endpoint: Endpoint) -> None:
        for nested in endpoint.nested_tables:
            if self._there and ACCOUNT_ID in self._there.get(nested, ()):
                self.destination.remove_orphans(endpoint, nested)

    def note_rows(self, endpoint: Endpoint, *, written: int, unchanged: int) -> None:
        """Count rows that were read: those that are written, and those that are there already."""
        name = endpoint.name
        with self.store.noting() as run:
            run.written[name] = run.written.get(name, 0) + written
            if unchanged:
                run.unchanged[name] = run.unchanged.get(name, 0) + unchanged
        if unchanged:  # dlt counts what is written
            self.extraction.show_progress(name, done=unchanged)

    def remember_rows(self, endpoint: Endpoint, filled: set[str]) -> None:
        """Remember what shapes a table's rows, and where there are any.

        Args:
            endpoint: The table. If it was not read to its end, nothing is remembered.
            filled: Its tables that rows came for.
        """
        name = endpoint.name
        table = self.store.table(name)
        if table == self._before[name]:
            return
        if not self.reads_whole(endpoint):
            filled = filled.union(self._before[name].filled)
        table.shape, table.filled = self._shapes[name], sorted(filled & self._made_of(endpoint))
        self.store.save_table(name, table)

    def must_make(self, endpoint: Endpoint) -> bool:
        """Tell whether a table must be made though no row may come."""
        can = self.can.get(endpoint.name)
        if can and not can.makes_empty_tables:
            return False
        if self._there is None:
            return self.store.table(endpoint.name) == TableState()
        return endpoint.name not in self._there

    def must_make_history(self, endpoint: Endpoint) -> bool:
        """Tell whether a table of versions must be made though none may come.

        dlt's schema forgets it when the main table is dropped, see `Extraction`.
        """
        dropped = endpoint.name in self.extraction.dropped
        return dropped or not self.holds(endpoint.history_table)

    def must_make_list(self, endpoint: Endpoint, name: str) -> bool:
        """Tell whether the nested table of a list must be made though no row may come."""
        can = self.can.get(endpoint.name)
        removes = can and can.removes and disposition(self.resource(endpoint)) == "merge"
        return bool(removes) and not self.holds(f"{endpoint.name}__{name}")

    def anchor_for(self, endpoint: Endpoint) -> datetime | None:
        """Return how far back a table is read (UTC); None for reference data."""
        bounded = BY_NAME[endpoint.parent] if endpoint.parent else endpoint
        return self.anchor if bounded.anchored else None

    def focus_of(self, endpoint: Endpoint) -> Focus:
        """Return the clients, projects and users that a table is limited to."""
        return Focus(self.settings.focus if endpoint.limited else {})

    def leave_out(
        self, endpoint: Endpoint, error: HarvestError, *, with_children: bool = True
    ) -> None:
        """Leave out a table that may not or can't be read, or raise.

        `load` loads the rest and reports what failed. In a user's own script there is no place to
        report it. What this run brought of the table is right and stays; the next run reads it
        again, because nothing is remembered of this one. A table that is replaced is never left
        out, since dlt would empty it.

        Args:
            endpoint: The table.
            error: Why.
            with_children: Whether its children can't be read either.

        Raises:
            HarvestError: The error itself.
        """
        family = [e for e in self.selected if endpoint.name in (e.name, e.parent)]
        if any(map(self.replaces, family)):
            raise error
        if isinstance(error, StatusError) and self.access.skip(endpoint, error):
            return
        if not self.settings.keep_going or error.concerns_everything:
            raise error
        self.note_failure(endpoint, str(error))
        for child in self.selected:
            if with_children and child.parent == endpoint.name:
                self.note_failure(child, f"`{child.name}` was not read: `{endpoint.name}` failed.")

    def note_failure(self, endpoint: Endpoint, text: str) -> None:
        """Note that a table was not read to its end."""
        tell(self.account.named, text)
        with self.store.noting() as run:
            run.failed[endpoint.name] = text

    def note_refused(self, endpoint: Endpoint, records: str) -> None:
        """Note whose children Harvest refuses. What the destination holds of them stays."""
        text = f"Harvest refuses them for {endpoint.parent} {records}"
        tell(self.account.named, f"`{endpoint.name}`: {text}.")
        with self.store.noting() as run:
            run.refused[endpoint.name] = text

    def note_versions(self, endpoint: Endpoint, count: int) -> None:
        """Count the versions of a table's rows that were new."""
        with self.store.noting() as run:
            run.written[endpoint.history_table] = count

    def note_gone(self, endpoint: Endpoint, rows: int) -> None:
        """Note at a table's end how many rows were removed or flagged, where that is counted."""
        if not self.compares_rows(endpoint):
            return
        flagged = self.deletions(endpoint) == "flag"
        with self.store.noting() as run:
            run.written.setdefault(endpoint.name, 0)
            (run.flagged if flagged else run.removed)[endpoint.name] = rows

    def note_requests(self) -> None:
        """Note how many requests the run took so far."""
        with self.store.noting() as run:
            run.requests = self.client.requests - self._requests_before

    def freshness(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        """Return the rows that say how fresh a table is, now that it was read to its end or left.

        Where the destination has none so far, they speak of the tables that are not read too.
        """
        lacking, self._freshness_lacks = self._freshness_lacks, []
        table, run = self.store.table(endpoint.name), self.store.account.last_run
        return [freshness_row(self.account_id, endpoint.name, table, run), *lacking]

    def ids_before_anchor(self, endpoint: Endpoint) -> set[int]:
        """Return the ids of rows that the destination holds, but a read does not cover."""
        anchor = self.anchor_for(endpoint)
        return self.destination.ids_before(endpoint, anchor) if anchor else set()

    def note_requests_left(self, table: str, requests: int) -> None:
        """Note that a table needs a further batch, of about so many requests."""
        with self.store.noting() as run:
            run.requests_left[table] = requests

    def _demand_known_ids(self) -> None:
        """Ask once whether there is what tables are newly limited to.

        Raises:
            UnknownIdError: One of the ids is unknown.
        """
        limited = [self.store.table(e.name) for e in self.selected if e.limited]
        if any(table.focus != self.settings.focus for table in limited):
            demand_known(self.client, self.settings.focus)

    def _anchor(self) -> datetime:
        """Return the earliest anchor that was ever given for this account."""
        kept, given = self.store.account.anchor_date, self.settings.anchor_date
        anchor = min(filter(None, (kept, given)), default=default_anchor(self.access.now))
        self.store.account.anchor_date = anchor
        return anchor

    def _adapt_to_destination(self) -> dict[str, Abilities]:
        """Load each table as the destination can, and say once what it can't."""
        tables = {e.name: self.resource(e).compute_table_schema() for e in self.selected}
        for endpoint in self._with_history:
            prepare_history(self.resource(endpoint), endpoint)
            tables[endpoint.history_table] = schema_of(self.resource(endpoint), endpoint)
        found = self.destination.abilities(tables)
        for endpoint in self._with_history:
            demand_comparable(found.get(endpoint.history_table))
        for endpoint in self.selected:
            if not (can := found.get(endpoint.name)):
                continue
            resource = self.resource(endpoint)
            adapt_disposition(resource, endpoint, can)
            if not endpoint.singleton:
                resource.apply_hints(columns={DELETED_AT: deleted_at_column(removes=can.removes)})
        if any(can.one_load_job for can in found.values()):
            self.destination.load_one_after_the_other()
        for notice in sorted({can.notice for can in found.values() if can.notice}):
            logger.warning(notice)
        return found

    @property
    def _with_history(self) -> list[Endpoint]:
        return [endpoint for endpoint in self.selected if endpoint.name in self.settings.history]

    def _made_of(self, endpoint: Endpoint) -> set[str]:
        nesting, _ = self.extraction.rules
        return made_of(self.resource(endpoint), endpoint, nesting)

    def _look_at_destination(self) -> dict[str, TTableSchemaColumns] | None:
        """Return the tables that are there.

        What is remembered of tables that are not as it says is forgotten, so that they are read
        whole. Tables that can't be loaded are left out of the run.

        Raises:
            HarvestError: Rows would be lost.
        """
        dropped = self.extraction.dropped
        names = {n for e in self.selected for n in e.all_tables} | dropped
        names |= {endpoint.history_table for endpoint in self._with_history}
        pipeline = self.extraction.pipeline
        keeps_state = pipeline is not None and pipeline.config.restore_from_destination
        of_state = {PIPELINE_STATE_TABLE_NAME} if keeps_state else set()
        found = self.destination.tables([*names, FRESHNESS, *of_state])
        if found is not None:
            if found and of_state - found.keys():  # Somebody dropped the table of dlt's states.
                make_again(self.resource(self.selected[0]), self.extraction.load_id)
            self._refuse_to_wipe(found)
            there = {name: found[name] for name in found.keys() - dropped}
            self.selected = [e for e in self.selected if self._is_fit(e, there)]
            self._look_for_rows(there)
            self._look_at_histories(there)
            self._mend_staging()
            found = there
        self._compare_shapes()
        self._before = {e.name: self.store.table(e.name) for e in self.selected}
        return found

    def _refuse_to_wipe(self, found: dict[str, TTableSchemaColumns]) -> None:
        """Refuse to empty or drop a table that holds rows of accounts that are not read."""
        wiped = {e.name for e in self.selected if self.replaces(e)} | self.extraction.dropped
        among = sorted(wiped & BY_NAME.keys() & tell_account(found))
        if others := self.destination.rows_of_others(among, self.settings.accounts_read):
            raise SharedTableError(others)

    def _is_fit(self, endpoint: Endpoint, there: dict[str, TTableSchemaColumns]) -> bool:
        """Tell whether a table can be loaded; if it can't, leave it out or raise."""
        try:
            self._look_at_table(endpoint, there)
        except (ColumnTypeError, MissingColumnError) as error:
            self.leave_out(endpoint, error, with_children=False)
            return False
        return True

    def _look_at_table(self, endpoint: Endpoint, there: dict[str, TTableSchemaColumns]) -> None:
        # A nested table is made with its first row, so it may never have been there.
        tables = (endpoint.name, *filter(self.destination.loaded_before, endpoint.nested_tables))
        missing = set(tables) - there.keys()
        lost = {
            f"{table}.{column}"
            for table in {*tables} - missing
            for column in self.destination.missing_columns(table, there[table])
        }
        self.destination.check_types(there, self._tables[endpoint.name])
        if (missing or lost) and self.store.forget_table(endpoint.name, self.store.accounts):
            self._tell_of_whole_read(
                [endpoint.name], f"the destination lacks {', '.join(sorted(missing | lost))}"
            )
            for orphaned in {*endpoint.nested_tables} & there.keys() - missing:
                if endpoint.name in missing:  # The rows that these belonged to are gone.
                    self.destination.empty(orphaned, self.store.accounts)
            make_again(self.resource(endpoint), self.extraction.load_id)

    def _look_at_histories(self, there: dict[str, TTableSchemaColumns]) -> None:
        kept = {endpoint.history_table for endpoint in self._with_history} & there.keys()
        # Versions that tell of a deletion are rows too.
        asked: dict[str, TTableSchemaColumns] = {name: {} for name in kept & tell_account(there)}
        emptied = self.destination.emptied(asked)
        for endpoint in self._with_history:
            name, table = endpoint.history_table, self.store.table(endpoint.name)
            try:
                columns = (
                    self.destination.missing_columns(name, there[name]) if name in kept else ()
                )
            except MissingColumnError as error:
                self.leave_out(endpoint, error, with_children=False)
                self.selected.remove(endpoint)
                continue
            if columns:  # Versions that lack them are no longer what was read.
                self._written_again.add(name)
            if columns or name not in kept or (name in emptied and endpoint.name in table.filled):
                table.history_kept = False
                self.store.save_table(endpoint.name, table)
                make_again(self.resource(endpoint), self.extraction.load_id, name)

    def _look_for_rows(self, there: dict[str, TTableSchemaColumns]) -> None:
        """Read those tables whole whose rows are gone: deleted by hand, or the table made anew."""
        if self._pending:  # which may bring them
            return
        tables = {
            table: endpoint.name
            for endpoint in self.selected
            for table in self.store.table(endpoint.name).filled
            if not endpoint.snapshots
        }
        asked = {name: there[name] for name in sorted(tables.keys() & tell_account(there))}
        for table in sorted(self.destination.emptied(asked)):
            if self.store.forget_table(tables[table]):
                self._tell_of_whole_read(
                    [tables[table]], f"the destination holds no row of {table} any more"
                )

    def _mend_staging(self) -> None:
        """Let dlt make those tables again that somebody dropped in its staging dataset."""
        merged = [e for e in self.selected if disposition(self.resource(e)) == "merge"]
        kept = {endpoint.history_table: endpoint for endpoint in self._with_history}
        staged = [table for endpoint in merged for table in endpoint.all_tables]
        broken = self.destination.broken_in_staging([*staged, *kept])
        for endpoint in merged:
            if not broken.isdisjoint(endpoint.all_tables):
                make_again(self.resource(endpoint), self.extraction.load_id)
        for name in broken & kept.keys():
            make_again(self.resource(kept[name]), self.extraction.load_id, name)

    def _compare_shapes(self) -> None:
        """Read those tables whole whose rows were made otherwise than they are now."""
        reshaped = []
        for endpoint in self.selected:
            before, can = self.store.table(endpoint.name).shape, self.can.get(endpoint.name)
            differs = before and before != self._shapes[endpoint.name] and not endpoint.snapshots
            if differs and can and can.full_reads and self.store.forget_table(endpoint.name):
                reshaped.append(endpoint.name)
        if reshaped:
            why = "their columns, nesting, schema contract or `public_links` changed"
            self._tell_of_whole_read(reshaped, why)

    def _tell_of_whole_read(self, tables: Collection[str], why: str) -> None:
        named = ", ".join(f"`{table}`" for table in tables)
        verb = "is" if len(tables) == 1 else "are"
        tell(self.account.named, f"{named} {verb} read whole again: {why}.")

    def _prepare_freshness(self) -> list[dict[str, Any]]:
        """Make the tables ready to write how fresh they are.

        Return the rows of all tables that are not read, if the destination has none: it never had,
        somebody dropped them, or a refresh of one table drops them with it. Where this run reads
        several accounts, the first one's rows hold those of accounts that are not read.
        """
        dropped = FRESHNESS in self.extraction.dropped
        missing = dropped or (
            self._there is not None and self.destination.lacks(FRESHNESS, self._there)
        )
        hints = made_again(self.extraction.load_id) if missing else {}
        selected = self.extraction.selected
        for name, resource in selected.items():
            if can := self.can.get(name):
                prepare_freshness(resource, can, **hints)
        read = self.settings.accounts_read
        others = self.store.accounts - {*read} if self.account_id == min(read) else set()
        return [
            freshness_row(account, name, table, LastRun())
            for account, name, table in (self.store.known_tables() if missing else ())
            if account in others or (account == self.account_id and name not in selected)
        ]

    def _remembered_tables(self) -> set[str]:
        return {e.name for e in self.selected if self.store.table(e.name) != TableState()}

    def _plan_report(self, endpoint: Endpoint, report: Report) -> ReportPlan:
        return plan_report(
            endpoint.name,
            report,
            self.store.table(endpoint.name),
            self.settings,
            anchor=self.anchor,
            now=self.access.now,
            replaced=self.replaces(endpoint),
            held=self._periods_held(endpoint),
        )

    def _periods_held(self, endpoint: Endpoint) -> str:
        """Return how long the periods of a report are that another pipeline may have loaded."""
        by_period = endpoint.report and endpoint.report.span == "period"
        if (
            not by_period
            or self.store.table(endpoint.name).periods
            or not self.holds(endpoint.name)
        ):
            return ""
        days = self.destination.longest_period(endpoint)
        return "" if days is None else "day" if days == 1 else "week" if days == 7 else "month"

    def _plan(self, endpoint: Endpoint) -> ListPlan:
        children = [e for e in self.selected if e.parent == endpoint.name]
        # A list that failed may fail for good: nothing waits for it.
        lists_first = any(
            not e.parent and self.store.table(e.name).backfill and e.name not in self._failed_before
            for e in self.selected
        )

        def plan(e: Endpoint) -> TablePlan:
            can, state = self.can.get(e.name), self.store.table(e.name)
            return plan_table(
                e,
                state,
                self.settings,
                self.sizes,
                anchor=self.anchor_for(e),
                now=self.access.now,
                lists_first=lists_first,
                has_children=bool(children) and e is endpoint,
                replaced=self.replaces(e),
                appended=can is not None and not can.full_reads,
                comparable=self._there is not None,
                lacks_versions=self.keeps_history(e) and not state.history_kept,
            )

        return plan_list(
            plan(endpoint) if endpoint in self.selected else None,
            {child.name: plan(child) for child in children},
            name=endpoint.name,
            anchor=self.anchor_for(endpoint),
        )
