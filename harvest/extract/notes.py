"""What a run notes of itself, for the summary, the table of freshness and the next run."""

from __future__ import annotations

from collections.abc import Collection

from ..catalog import Endpoint
from ..errors import HarvestError, StatusError
from ..settings import Settings
from .access import Access
from .state import Extraction, StateStore, tell
from .tables import Tables


class Notes:
    """Notes what came of each table, and what failed of it.

    Threads: any. `StateStore.noting` guards what is noted, and rows are counted only where dlt
    extracts.

    Args:
        extraction: What dlt says of the run.
        store: Where it is noted.
        tables: How dlt writes each table.
        access: What the token may read.
        selected: The tables of the run.
        settings: What the user chose.
        account_named: The account as messages name it; None where there is but one.
    """

    def __init__(
        self,
        *,
        extraction: Extraction,
        store: StateStore,
        tables: Tables,
        access: Access,
        selected: Collection[Endpoint],
        settings: Settings,
        account_named: int | None,
    ) -> None:
        self._extraction, self._store, self._tables = extraction, store, tables
        self._access, self._selected, self._keep_going = access, selected, settings.keep_going
        self._account_named = account_named

    def rows(self, endpoint: Endpoint, *, written: int, unchanged: int) -> None:
        """Count rows that were read: those that are written, and those that are there already."""
        name = endpoint.name
        with self._store.noting() as run:
            run.written[name] = run.written.get(name, 0) + written
            if unchanged:
                run.unchanged[name] = run.unchanged.get(name, 0) + unchanged
        if unchanged:  # dlt counts what is written
            self._extraction.show_progress(name, done=unchanged)

    def versions(self, endpoint: Endpoint, count: int) -> None:
        """Count the versions of a table's rows that were new."""
        with self._store.noting() as run:
            run.written[endpoint.history_table] = count

    def gone(self, endpoint: Endpoint, rows: int) -> None:
        """Note at a table's end how many rows were removed or flagged, where that is counted."""
        if not self._tables.compares_rows(endpoint):
            return
        flagged = self._tables.deletions(endpoint) == "flag"
        with self._store.noting() as run:
            run.written.setdefault(endpoint.name, 0)
            (run.flagged if flagged else run.removed)[endpoint.name] = rows

    def requests(self, count: int) -> None:
        """Note how many requests the run took so far."""
        with self._store.noting() as run:
            run.requests = count

    def requests_left(self, table: str, requests: int) -> None:
        """Note that a table needs a further batch, of about so many requests."""
        with self._store.noting() as run:
            run.requests_left[table] = requests

    def refused(self, endpoint: Endpoint, records: str) -> None:
        """Note whose children Harvest refuses. What the destination holds of them stays."""
        text = f"Harvest refuses them for {endpoint.parent} {records}"
        tell(self._account_named, f"`{endpoint.name}`: {text}.")
        with self._store.noting() as run:
            run.refused[endpoint.name] = text

    def failure(self, endpoint: Endpoint, text: str) -> None:
        """Note that a table was not read to its end."""
        tell(self._account_named, text)
        with self._store.noting() as run:
            run.failed[endpoint.name] = text

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
        family = [e for e in self._selected if endpoint.name in (e.name, e.parent)]
        if any(map(self._tables.replaces, family)):
            raise error
        if isinstance(error, StatusError) and self._access.skip(endpoint, error):
            return
        if not self._keep_going or error.concerns_everything:
            raise error
        self.failure(endpoint, str(error))
        failed = self._store.account.last_run.failed
        for child in family:
            if with_children and child.parent == endpoint.name and child.name not in failed:
                self.failure(child, f"`{child.name}` was not read: `{endpoint.name}` failed.")
