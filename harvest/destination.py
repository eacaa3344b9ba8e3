"""What the destination holds already, how rows leave it, and how they are loaded fastest."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from functools import cached_property
from importlib.util import find_spec
from threading import Lock
from typing import Any

import dlt
from dlt.common import logger
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.schema.typing import TColumnSchema
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.extract import DltResource

from .endpoints import Endpoint

DELETED_AT = "_deleted_at"

Key = tuple[int, ...]

ONE_AT_A_TIME = Lock()


def load_id() -> str:
    """Return the id of the load package that is being extracted; "" outside of a pipeline's run."""
    try:
        return str(dlt.current.load_package_state()["load_id"])
    except CurrentLoadPackageStateNotAvailable:
        return ""


def show_progress(
    counter: str, label: str = "", *, done: int = 0, more: int = 0, total: int = 0
) -> None:
    """Tell dlt's progress display what is done and what is left.

    Only from the thread that extracts: the display is not made for several.

    Args:
        counter: What is counted: a table.
        label: What of it, if not its records.
        done: How many were done since.
        more: How many more there are to do.
        total: How many there are in all; counts where the counter is new.
    """
    if load_id():
        collector = dlt.current.pipeline().collector
        collector.update(counter, 0, total=total, label=label)
        collector.update(counter, done, inc_total=more, label=label)


def deleted_at_column(deletions: str) -> TColumnSchema:
    """Return the column that marks a row as gone; with "remove", dlt deletes what is marked."""
    return {
        "name": DELETED_AT,
        "data_type": "timestamp",
        "timezone": True,
        "hard_delete": deletions == "remove",
    }


def choose_file_format(resource: DltResource, *, filled: bool) -> None:
    """Load from Parquet where it is exact and faster, whoever runs the source.

    The destination becomes known when the resource runs. 100,000 time entries took DuckDB 97 s by
    dlt's default, insert statements, and 1.7 s by Parquet; Postgres 7.0 s and 2.1 s. Postgres
    needs a driver for it, which fails on JSON columns and on a file without rows; there, and
    elsewhere, the default stays.

    Args:
        resource: Whose table.
        filled: Whether it is certain that there are rows.
    """
    destination = dlt.current.pipeline().destination if load_id() else None
    name = destination.destination_name if destination else ""
    if name == "postgres" and filled and find_spec("adbc_driver_postgresql"):
        columns = resource.compute_table_schema()["columns"].values()
        exact = all(column.get("data_type") != "json" for column in columns)
    else:
        exact = name == "duckdb"
    if exact:
        resource.apply_hints(file_format="parquet")


class Held:
    """The rows of a table that the destination holds when a run begins.

    Args:
        endpoint: Whose table.
        deletions: "remove", "flag" or "keep".

    Attributes:
        under_way: Requests for children whose answers are still to come.
        all_asked: Whether no further request follows; a list that is no child's is asked whole.
    """

    def __init__(self, endpoint: Endpoint, deletions: str) -> None:
        self._endpoint, self._deletions = endpoint, deletions
        self._pipeline = dlt.current.pipeline() if load_id() else None
        self._schema_name = dlt.current.source_schema().name
        self.under_way, self.all_asked = 0, endpoint.parent is None
        self._lost = 0
        self._due: list[Key] = []
        self._lock = Lock()

    @property
    def keys(self) -> set[Key]:
        """The primary keys; none where there is no table yet."""
        with self._lock:  # many threads ask
            return self._keys

    @property
    def parents(self) -> set[int]:
        """The parents of whom there are children."""
        with self._lock:
            return set(self._by_parent)

    def of_parents(self, parent_ids: set[int]) -> set[Key]:
        """Return the keys of some parents' children."""
        with self._lock:
            return {key for i in parent_ids for key in self._by_parent.get(i, ())}

    def lose(self, rows: int) -> int:
        """Add to the rows lost in this run, and return their sum."""
        with self._lock:
            self._lost += max(rows, 0)
            return self._lost

    def let_go(self, keys: Iterable[Key]) -> list[dict[str, Any]]:
        """Take rows for gone: return what dlt must merge for it, or keep them for `flag_gone`."""
        if self._deletions == "flag":
            with self._lock:
                self._due += keys
            return []
        now = datetime.now(timezone.utc)
        names = self._endpoint.primary_key
        return [{**dict(zip(names, key, strict=True)), DELETED_AT: now} for key in keys]

    def flag_gone(self) -> None:
        """Flag what is gone, once all was read and found plausible.

        A row merged to carry a flag would null every column it does not name, so flags are set
        by an update; each is true by itself, whatever becomes of the run.
        """
        if self.under_way or not self.all_asked:
            return
        with self._lock:
            due, self._due = self._due, []
        for first in range(0, len(due), 500):
            self._flag(due[first : first + 500])

    @cached_property
    def _by_parent(self) -> dict[int, set[Key]]:
        found: dict[int, set[Key]] = {}
        for key in self._keys:
            found.setdefault(key[0], set()).add(key)
        return found

    @cached_property
    def _keys(self) -> set[Key]:
        if not self._pipeline or self._schema_name not in self._pipeline.schema_names:
            return set()  # nothing was ever loaded
        columns = ", ".join(self._endpoint.primary_key)
        living = f" WHERE {DELETED_AT} IS NULL" if self._deletions == "flag" else ""
        try:
            return set(self._ask(f"SELECT {columns} FROM {{table}}{living}"))  # noqa: S608 - names
        except DatabaseUndefinedRelation:  # this table was not loaded yet
            return set()
        except SqlClientNotAvailable:
            logger.warning(
                f"`{self._endpoint.name}`: this destination can't be asked what it holds: "
                "rows deleted in Harvest stay."
            )
            return set()

    def _flag(self, keys: list[Key]) -> None:
        names = self._endpoint.primary_key
        which = " OR ".join(
            "(" + " AND ".join(f"{n} = {int(v)}" for n, v in zip(names, key, strict=True)) + ")"
            for key in keys
        )
        now = datetime.now(timezone.utc)
        self._ask(f"UPDATE {{table}} SET {DELETED_AT} = %s WHERE {which}", now)  # noqa: S608 - ids

    def _ask(self, statement: str, *values: Any) -> list[Key]:
        """Execute a statement on the table and return its rows."""

        def ask() -> list[Key]:
            if not self._pipeline:
                return []
            with self._pipeline.sql_client(self._schema_name) as client:
                table = client.make_qualified_table_name(self._endpoint.name)
                rows = client.execute_sql(statement.format(table=table), *values)
                return [tuple(row) for row in rows or ()]

        # dlt's extraction threads share one configuration context, which a client opened in one
        # of them would take from the others; a thread apart has its own.
        with ONE_AT_A_TIME, ThreadPoolExecutor(1) as apart:
            return apart.submit(ask).result()
