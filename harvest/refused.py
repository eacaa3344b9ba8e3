"""Finds the record that a destination refuses, after a load job failed on it.

Databases name a column or a value, and seldom the row. dlt merges a table from rows that it staged,
by statements in a file, and both are still there after the job failed. So the same statements are
tried with half of the staged rows, again and again, and rolled back each time, where that is known
to work.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from dlt import Pipeline
from dlt.destinations.exceptions import DatabaseException
from dlt.destinations.sql_client import SqlClientBase
from dlt.load.exceptions import LoadClientJobException

from .catalog import BY_NAME, Endpoint
from .errors import LoadError, RefusedRecordError

ROLLS_BACK = {"duckdb", "postgres"}
"""Destinations that are tested. Of some others dlt's transactions are none, and can't be undone."""

Row = tuple[Any, ...]
"""dlt's id of a staged row, and the values of the endpoint's id columns."""


class _RollBackError(Exception):
    """Ends a transaction without an effect."""


def refusal(pipeline: Pipeline, error: LoadClientJobException) -> LoadError | RefusedRecordError:
    """Return what is to be said of a load job that failed: of which table, and of which record."""
    table, record = error.job_id.partition(".")[0], None
    # Whatever is wrong with the destination, the job's own failure is what must be told.
    with suppress(Exception):
        record = _refused_record(pipeline, error)
    if record:
        return RefusedRecordError(table, record, error.client_exception)
    return LoadError("load", error.client_exception, table)


def _refused_record(pipeline: Pipeline, error: LoadClientJobException) -> str | None:
    package = pipeline.get_load_package_info(error.load_id)
    jobs = [info for state in package.jobs.values() for info in state]
    job = next(info for info in jobs if info.job_file_info.job_id() == error.job_id)
    endpoint = BY_NAME.get(job.job_file_info.table_name)
    if not endpoint or endpoint.singleton or job.job_file_info.file_format != "sql":
        return None
    if pipeline.destination.destination_name not in ROLLS_BACK:
        return None
    statements = Path(job.file_path).read_text(encoding="utf-8")
    with pipeline.sql_client(package.schema.name) as client:
        trial = _Trial(client, endpoint, statements)
        rows = trial.staged()
        if trial.fails([]) or not trial.fails(rows):
            return None  # whatever the rows hold, the table can't take them; or it can by now
        while len(rows) > 1:
            half = rows[: len(rows) // 2]
            rows = half if trial.fails(half) else rows[len(half) :]
        if not trial.fails(rows):  # only several rows together are refused
            return None
    _, *key = rows[0]
    parent = f" of {endpoint.parent} {key[0]}" if endpoint.parent else ""
    return f"record {key[-1]}{parent}"


class _Trial:
    """Tries to merge some of the staged rows of a table.

    Args:
        client: Connected to the destination.
        endpoint: The table.
        statements: dlt's, a statement a line.
    """

    def __init__(self, client: SqlClientBase[Any], endpoint: Endpoint, statements: str) -> None:
        self._client, self._endpoint = client, endpoint
        self._statements = [line.strip().rstrip(";") for line in statements.splitlines()]
        with client.with_staging_dataset():
            self._table = client.make_qualified_table_name(endpoint.name)

    def staged(self) -> list[Row]:
        """Return the rows in the database's own order of dlt's ids."""
        columns = ", ".join(("_dlt_id", *self._endpoint.id_columns))
        statement = f"SELECT {columns} FROM {self._table} ORDER BY _dlt_id"  # noqa: S608 - our names
        return [tuple(row) for row in self._client.execute_sql(statement) or ()]

    def fails(self, rows: list[Row]) -> bool:
        """Tell whether some adjoining rows can't be merged, or not even none."""
        outside = f"DELETE FROM {self._table}"  # noqa: S608 - our names
        ends = (rows[0][0], rows[-1][0]) if rows else ()
        try:
            with self._client.begin_transaction():
                condition = " WHERE _dlt_id < %s OR _dlt_id > %s" if rows else ""
                self._client.execute_sql(outside + condition, *ends)
                for statement in filter(None, self._statements):
                    self._client.execute_sql(statement)
                raise _RollBackError  # noqa: TRY301 - dlt rolls back on an exception only
        except _RollBackError:
            return False
        except DatabaseException:
            return True
