"""What the destination holds when a run begins, and what of it the run must make or read anew."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from dlt.common.schema.typing import (
    LOADS_TABLE_NAME,
    PIPELINE_STATE_TABLE_NAME,
    TTableSchemaColumns,
)

from ..catalog import BY_NAME, Endpoint
from ..catalog.schema import ACCOUNT_ID
from ..destination import Destination, tell_account
from ..errors import ColumnTypeError, MissingColumnError, SharedTableError
from ..settings import Settings
from .freshness import FRESHNESS
from .hints import make_again
from .history import History
from .notes import Notes
from .state import Extraction, StateStore, TableState, tell
from .tables import Tables
from .unchanged import UnchangedRows


class Holdings:
    """What the destination holds of one account. It is looked at once, when this is made.

    What is remembered of tables that are not as it says is forgotten, so that they are read whole.

    Threads: any. Nothing changes once it is made, and `remember_rows` is called where dlt extracts.

    Args:
        destination: What is asked.
        extraction: What dlt says of the run.
        store: What is remembered of the account.
        tables: How dlt writes each table.
        notes: Where it is noted what can't be loaded.
        selected: The tables of the run.
        settings: What the user chose.
        account_named: The account as messages name it; None where there is but one.

    Attributes:
        there: The tables that are there, with their columns; None where it can't be asked.
        fit: The selected tables, without those that can't be loaded.
        pending: Whether a load package waits, and what it will write is not there yet.

    Raises:
        HarvestError: Rows would be lost.
    """

    def __init__(
        self,
        *,
        destination: Destination,
        extraction: Extraction,
        store: StateStore,
        tables: Tables,
        notes: Notes,
        selected: Collection[Endpoint],
        settings: Settings,
        account_named: int | None,
    ) -> None:
        self._destination, self._extraction, self._store = destination, extraction, store
        self._tables, self._notes, self._account_named = tables, notes, account_named
        self._accounts_read = settings.accounts_read
        self.pending = extraction.others_pending()
        self.fit = [*selected]
        self._written_again: set[str] = set()
        self.there = self._look()
        self._compare_shapes()
        self._before = {e.name: store.table(e.name) for e in self.fit}
        self._trusted = set() if self.pending else self._remembered()

    def holds(self, table: str) -> bool:
        """Tell whether the destination has a table; never, where it can't be asked."""
        return self.there is not None and table in self.there

    def lacks(self, table: str) -> bool:
        """Tell whether a table, or a column that was loaded, is not there or is about to go.

        Raises:
            MissingColumnError: The column is NOT NULL.
        """
        if table in self._extraction.dropped:
            return True
        return self.there is not None and self._destination.lacks(table, self.there)

    def remember_rows(self, endpoint: Endpoint, filled: set[str], *, whole: bool) -> None:
        """Remember what shapes a table's rows, and where there are any.

        Args:
            endpoint: The table. If it was not read to its end, nothing is remembered.
            filled: Its tables that rows came for.
            whole: Whether all of it that is in scope was read.
        """
        name = endpoint.name
        table = self._store.table(name)
        if table == self._before[name]:
            return
        if not whole:
            filled = filled.union(self._before[name].filled)
        table.shape = self._tables.shapes[name]
        table.filled = sorted(filled & self._tables.made_of(endpoint))
        self._store.save_table(name, table)

    def must_make(self, endpoint: Endpoint) -> bool:
        """Tell whether a table must be made though no row may come."""
        can = self._tables.can.get(endpoint.name)
        if can and not can.makes_empty_tables:
            return False
        if self.there is None:
            return self._before[endpoint.name] == TableState()
        return endpoint.name not in self.there

    def must_make_history(self, endpoint: Endpoint) -> bool:
        """Tell whether a table of versions must be made though none may come.

        dlt's schema forgets it when the main table is dropped, see `Extraction`.
        """
        dropped = endpoint.name in self._extraction.dropped
        return dropped or not self.holds(endpoint.history_table)

    def must_make_list(self, endpoint: Endpoint, name: str) -> bool:
        """Tell whether the nested table of a list must be made though no row may come."""
        can = self._tables.can.get(endpoint.name)
        removes = can and can.removes and self._tables.merges(endpoint)
        return bool(removes) and not self.holds(f"{endpoint.name}__{name}")

    def unchanged_rows(
        self, endpoint: Endpoint, since: datetime | None, *, whole: bool
    ) -> UnchangedRows | None:
        """Return what tells which rows of a table need not be written.

        None where rows are not compared. A table that is read anew may be about to be dropped, so
        all its rows are written.

        Args:
            endpoint: The table.
            since: Rows with an earlier stamp (UTC) don't come in this run; None: all may.
            whole: Whether the run goes through all rows, and not only through changes.
        """
        if not self._tables.compares_rows(endpoint):
            return None
        shape, made = self._tables.shapes[endpoint.name], self._tables.made_of(endpoint)
        unchanged = UnchangedRows(endpoint, shape, made)
        if self.holds(endpoint.name):
            if whole:
                self._remove_orphans(endpoint)
            if endpoint.name in self._trusted:
                unchanged.look_at(self._destination, since)
        return unchanged

    def keeps_history(self, endpoint: Endpoint) -> bool:
        """Tell whether this run keeps the versions of a table's rows.

        While an earlier load package waits, the latest versions are not known. Then the next run
        reads the table whole.
        """
        return endpoint.history_table in self._tables.can and not self.pending

    def history(self, endpoint: Endpoint, seen_at: datetime) -> History | None:
        """Return what writes the versions of a table's rows; None where none are kept.

        Args:
            endpoint: The table.
            seen_at: When the run began, Harvest's time.
        """
        if not self.keeps_history(endpoint):
            return None
        history = History(
            endpoint,
            self._tables.resource(endpoint),
            self._tables.can[endpoint.history_table],
            account_id=self._destination.account_id,
            load_id=self._extraction.load_id,
            seen_at=seen_at,
            again=endpoint.history_table in self._written_again,
        )
        history.look_at(self._destination)
        return history

    def _remove_orphans(self, endpoint: Endpoint) -> None:
        for nested in endpoint.nested_tables:
            if self.there and ACCOUNT_ID in self.there.get(nested, ()):
                self._destination.remove_orphans(endpoint, nested)

    @property
    def _with_history(self) -> list[Endpoint]:
        return [endpoint for endpoint in self._tables.with_history if endpoint in self.fit]

    def _remembered(self) -> set[str]:
        return {e.name for e in self.fit if self._store.table(e.name) != TableState()}

    def _look(self) -> dict[str, TTableSchemaColumns] | None:
        """Return the tables that are there.

        Raises:
            HarvestError: Rows would be lost.
        """
        dropped = self._extraction.dropped
        names = {n for e in self.fit for n in e.all_tables} | dropped
        names |= {endpoint.history_table for endpoint in self._with_history}
        pipeline = self._extraction.pipeline
        keeps_state = pipeline is not None and pipeline.config.restore_from_destination
        of_dlt = {LOADS_TABLE_NAME} | ({PIPELINE_STATE_TABLE_NAME} if keeps_state else set())
        found = self._destination.tables([*names, FRESHNESS, *of_dlt])
        if found is None:
            return None
        if found and of_dlt - found.keys():  # Somebody dropped a table of dlt's own.
            make_again(self._tables.resource(self.fit[0]), self._extraction.load_id)
        self._refuse_to_wipe(found)
        there = {name: found[name] for name in found.keys() - dropped}
        self.fit = [e for e in self.fit if self._is_fit(e, there)]
        self._look_for_rows(there)
        self._look_at_histories(there)
        self._mend_staging()
        return there

    def _refuse_to_wipe(self, found: dict[str, TTableSchemaColumns]) -> None:
        """Refuse to empty or drop a table that holds rows of accounts that are not read."""
        wiped = {e.name for e in self.fit if self._tables.replaces(e)} | self._extraction.dropped
        among = sorted(wiped & BY_NAME.keys() & tell_account(found))
        if others := self._destination.rows_of_others(among, self._accounts_read):
            raise SharedTableError(others)

    def _is_fit(self, endpoint: Endpoint, there: dict[str, TTableSchemaColumns]) -> bool:
        """Tell whether a table can be loaded; if it can't, leave it out or raise."""
        try:
            self._look_at_table(endpoint, there)
        except (ColumnTypeError, MissingColumnError) as error:
            self._notes.leave_out(endpoint, error, with_children=False)
            return False
        return True

    def _look_at_table(self, endpoint: Endpoint, there: dict[str, TTableSchemaColumns]) -> None:
        # A nested table is made with its first row, so it may never have been there.
        tables = (endpoint.name, *filter(self._destination.loaded_before, endpoint.nested_tables))
        missing = set(tables) - there.keys()
        lost = {
            f"{table}.{column}"
            for table in {*tables} - missing
            for column in self._destination.missing_columns(table, there[table])
        }
        self._destination.check_types(there, self._tables.written[endpoint.name])
        if (missing or lost) and self._store.forget_table(endpoint.name, self._store.accounts):
            self._tell_of_whole_read(
                [endpoint.name], f"the destination lacks {', '.join(sorted(missing | lost))}"
            )
            make_again(self._tables.resource(endpoint), self._extraction.load_id)
        if endpoint.name not in there:  # The rows that these belonged to are gone.
            for orphaned in sorted({*endpoint.nested_tables} & tell_account(there)):
                self._destination.empty(orphaned, self._store.accounts)

    def _look_at_histories(self, there: dict[str, TTableSchemaColumns]) -> None:
        kept = {endpoint.history_table for endpoint in self._with_history} & there.keys()
        # Versions that tell of a deletion are rows too.
        asked: dict[str, TTableSchemaColumns] = {name: {} for name in kept & tell_account(there)}
        emptied = self._destination.emptied(asked)
        for endpoint in self._with_history:
            name, table = endpoint.history_table, self._store.table(endpoint.name)
            try:
                columns = (
                    self._destination.missing_columns(name, there[name]) if name in kept else ()
                )
            except MissingColumnError as error:
                self._notes.leave_out(endpoint, error, with_children=False)
                self.fit.remove(endpoint)
                continue
            if columns:  # Versions that lack them are no longer what was read.
                self._written_again.add(name)
            if columns or name not in kept or (name in emptied and endpoint.name in table.filled):
                table.history_kept = False
                self._store.save_table(endpoint.name, table)
                make_again(self._tables.resource(endpoint), self._extraction.load_id, name)

    def _look_for_rows(self, there: dict[str, TTableSchemaColumns]) -> None:
        """Read those tables whole whose rows are gone: deleted by hand, or the table made anew."""
        if self.pending:  # which may bring them
            return
        tables = {
            table: endpoint.name
            for endpoint in self.fit
            for table in self._store.table(endpoint.name).filled
            if not endpoint.snapshots
        }
        asked = {name: there[name] for name in sorted(tables.keys() & tell_account(there))}
        for table in sorted(self._destination.emptied(asked)):
            if self._store.forget_table(tables[table]):
                self._tell_of_whole_read(
                    [tables[table]], f"the destination holds no row of {table} any more"
                )

    def _mend_staging(self) -> None:
        """Let dlt make those tables again that somebody dropped in its staging dataset."""
        merged = [e for e in self.fit if self._tables.merges(e)]
        kept = {endpoint.history_table: endpoint for endpoint in self._with_history}
        staged = [table for endpoint in merged for table in endpoint.all_tables]
        broken = self._destination.broken_in_staging([*staged, *kept])
        for endpoint in merged:
            if not broken.isdisjoint(endpoint.all_tables):
                make_again(self._tables.resource(endpoint), self._extraction.load_id)
        for name in broken & kept.keys():
            make_again(self._tables.resource(kept[name]), self._extraction.load_id, name)

    def _compare_shapes(self) -> None:
        """Read those tables whole whose rows were made otherwise than they are now."""
        reshaped = []
        for endpoint in self.fit:
            can, now = self._tables.can.get(endpoint.name), self._tables.shapes[endpoint.name]
            before = self._store.table(endpoint.name).shape
            differs = before and before != now and not endpoint.snapshots
            if differs and can and can.full_reads and self._store.forget_table(endpoint.name):
                reshaped.append(endpoint.name)
        if reshaped:
            why = "their columns, nesting, schema contract or `public_links` changed"
            self._tell_of_whole_read(reshaped, why)

    def _tell_of_whole_read(self, tables: Collection[str], why: str) -> None:
        named = ", ".join(f"`{table}`" for table in tables)
        verb = "is" if len(tables) == 1 else "are"
        tell(self._account_named, f"{named} {verb} read whole again: {why}.")
