"""How fresh each table is, as a small table in the dataset that any monitor can ask.

Its rows come in the load package of the data that they speak of, so they are never ahead of it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, time, timedelta, timezone
from typing import Any

import dlt
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.extract import DltResource

from ..abilities import Abilities
from ..catalog import Endpoint
from ..catalog.schema import ACCOUNT_ID
from ..settings import EVERYTHING
from .focus import Focus
from .hints import made_again
from .state import Extraction, LastRun, StateStore, TableState
from .tables import Tables

FRESHNESS = "_freshness"
"""The table's name. Like `_account_id` it begins as no name of Harvest's does."""

DESCRIPTION = "One row is how fresh one table is."

KEY = (ACCOUNT_ID, "table_name")

COLUMNS: TTableSchemaColumns = {
    ACCOUNT_ID: {"data_type": "bigint", "description": "the Harvest account"},
    "table_name": {"data_type": "text", "description": "the table"},
    "read_at": {
        "data_type": "timestamp",
        "description": "when the last read that came to its end began; null before the first",
    },
    "changed_at": {
        "data_type": "timestamp",
        "description": "the newest `updated_at` that was read, or when rows were last found to be "
        "deleted; null for `company`, which Harvest does not stamp",
    },
    "full_read_at": {
        "data_type": "timestamp",
        "description": "when the last full read began: it finds deletions, and changes without a "
        "stamp; null before the first",
    },
    "history_from": {
        "data_type": "timestamp",
        "description": "records that changed from then on are all there; null: all records are, "
        "or, where `read_at` is null, nothing was read yet",
    },
    "limited_to": {
        "data_type": "text",
        "description": "the clients, projects or users that the table is limited to; null: to none",
    },
    "requests_left": {
        "data_type": "bigint",
        "description": "requests until a first read that comes in batches is whole; null: it is; "
        "0: not known how many",
    },
    "problem": {
        "data_type": "text",
        "description": "why the last run could not read all of the table; null: it could",
    },
}


def freshness_row(account_id: int, name: str, table: TableState, run: LastRun) -> dict[str, Any]:
    """Return a table's row.

    Args:
        account_id: The account.
        name: The table's name.
        table: What is remembered of it now.
        run: What is known of the run so far.
    """
    problems = (run.failed.get(name), run.skipped.get(name), run.refused.get(name))
    return {
        ACCOUNT_ID: account_id,
        "table_name": name,
        "read_at": table.read_at,
        "changed_at": table.changed_at,
        "full_read_at": table.full_read_at,
        "history_from": history_from(table),
        "limited_to": str(Focus(table.focus)) or None,
        "requests_left": run.requests_left.get(name, 0 if table.backfill else None),
        "problem": next(filter(None, (*problems, run.deletions_stopped)), None),
    }


def history_from(table: TableState) -> datetime | None:
    """Return from when on a table's history is whole (UTC); None if all of it is, or nothing is."""
    if table.backfill:
        if not table.backfill.until:  # Children come by their parents' ids, which are no dates.
            return table.read_at
        day_after = table.backfill.until + timedelta(days=1)
        return datetime.combine(day_after, time(), timezone.utc)
    if table.periods:
        return datetime.combine(table.periods.first, time(), timezone.utc)
    return None if table.anchor == EVERYTHING else table.anchor


def prepare_freshness(resource: DltResource, can: Abilities, **table_hints: Any) -> None:
    """Let a resource write rows of freshness besides those of its own table.

    Args:
        resource: The resource.
        can: What the destination can do with the resource's table.
        table_hints: Further hints of the table of freshness.
    """
    strategy = {"disposition": "merge", "strategy": can.merge_strategy}
    hints = dlt.mark.make_hints(
        table_name=FRESHNESS,
        primary_key=KEY,
        write_disposition=strategy if can.merges else "append",  # type: ignore[arg-type] # a dict
        columns={name: {"name": name, **column} for name, column in COLUMNS.items()},
        table_format=resource.table_format,
        additional_table_hints={"description": DESCRIPTION, **table_hints},
    )
    # `apply_hints` would begin with a copy of the hints of the resource's own table.
    resource._set_hints(hints, create_table_variant=True)  # noqa: SLF001 - see above


class Freshness:
    """The rows that say how fresh the tables of one account are.

    Threads: the one where dlt extracts. Nothing needs a guard.

    Args:
        extraction: What dlt says of the run; its resources are made ready to write the rows.
        store: What is remembered of the account.
        tables: How dlt writes each table.
        missing: Whether the destination has no such rows, or not all of their columns: it never
            had, somebody dropped them, or a refresh of one table drops them with it.
        account_id: Whose tables.
        read: The accounts that the run reads.
    """

    def __init__(
        self,
        extraction: Extraction,
        store: StateStore,
        tables: Tables,
        *,
        missing: bool,
        account_id: int,
        read: Collection[int],
    ) -> None:
        self._store, self._account_id = store, account_id
        hints, selected = made_again(extraction.load_id) if missing else {}, extraction.selected
        for name, resource in selected.items():
            if can := tables.can.get(name):
                prepare_freshness(resource, can, **hints)
        # The first account that is read writes the rows of those that are not.
        others = store.accounts - {*read} if account_id == min(read) else set()
        self._lacking = [
            freshness_row(account, name, table, LastRun())
            for account, name, table in (store.known_tables() if missing else ())
            if account in others or (account == account_id and name not in selected)
        ]

    def rows(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        """Return the rows that say how fresh a table is, now that it was read to its end or left.

        Where the destination has none so far, they speak of the tables that are not read too.
        """
        lacking, self._lacking = self._lacking, []
        table, run = self._store.table(endpoint.name), self._store.account.last_run
        return [freshness_row(self._account_id, endpoint.name, table, run), *lacking]
