"""What the destination holds: what is asked of it, and what is changed beside dlt's loads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from dlt import Pipeline
from dlt.common import logger
from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.schema.typing import TColumnSchema, TTableSchema, TTableSchemaColumns
from dlt.common.schema.utils import has_table_seen_data, is_complete_column
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration
from dlt.destinations.job_client_impl import SqlJobClientBase, SqlJobClientWithStagingDataset
from dlt.destinations.sql_client import SqlClientBase

from .abilities import Abilities, abilities
from .catalog import Endpoint
from .catalog.schema import ACCOUNT_ID
from .connection import Answer, chunks
from .defaults import one_load_job
from .errors import ColumnTypeError, ConfigurationError, MissingColumnError
from .underway import under_way

DELETED_AT = "_deleted_at"

VERSION_COLUMN = "_version"
"""The column that counts the versions of a record, from 1, in a table of versions."""

Key = tuple[int, ...]
"""The values of an endpoint's id columns: of a child, its parent's id and its own."""

Span = tuple[int | None, int | None]

FLAGS_AT_ONCE = 500


def deleted_at_column(*, removes: bool) -> TColumnSchema:
    """Return the column that marks a row as gone.

    Args:
        removes: Whether dlt deletes what comes marked. With "flag" and "keep" no row does.
    """
    return {
        "name": DELETED_AT,
        "data_type": "timestamp",
        "timezone": True,
        "hard_delete": removes,
    }


def name_there(pipeline: Pipeline) -> str:
    """Return the name that a pipeline's dataset has in the destination, as dlt writes it there."""
    client = pipeline.destination_client()
    if isinstance(client.config, DestinationClientDwhConfiguration):
        return client.config.normalize_dataset_name(client.schema)
    return pipeline.dataset_name


def demand_dataset(pipeline: Pipeline) -> None:
    """Make sure that DuckDB can tell a pipeline's dataset from its database.

    DuckDB names the database after its file, and takes `name.table` for a table of either.

    Raises:
        ConfigurationError: Both have one name.
    """
    client = pipeline.destination_client()  # one: for each, dlt reads the configuration anew
    config = client.config
    if isinstance(config, DuckDbClientConfiguration) and config.credentials.database:
        file = Path(str(config.credentials.database)).name
        name = config.normalize_dataset_name(client.schema)
        if name.lower() == file.partition(".")[0].lower():
            raise ConfigurationError(
                "dataset_name",
                f"is '{pipeline.dataset_name}', as is the name of DuckDB's database file {file}, "
                "so that DuckDB can't tell them apart",
                f"choose another dataset, such as `--dataset {name}_data`",
            )


class Destination:
    """What the destination holds of one account.

    Threads: any; its connection lets questions run one after the other.

    Args:
        pipeline: The pipeline that loads into it; None when a resource is looked at without one.
        schema_name: The schema of the tables.
        account_id: Whose rows are asked for and flagged. All others are left alone.
    """

    def __init__(self, pipeline: Pipeline | None, schema_name: str, account_id: int) -> None:
        self._pipeline, self._schema_name = pipeline, schema_name
        self.account_id = account_id
        self._silent = False

    def abilities(self, tables: Mapping[str, TTableSchema]) -> dict[str, Abilities]:
        """Return what the destination can do with each table; nothing without a pipeline."""

        def ask(pipeline: Pipeline) -> dict[str, Abilities]:
            with pipeline.destination_client(self._known_schema(pipeline)) as client:
                return {
                    name: abilities(
                        pipeline.destination.destination_name,
                        client.capabilities,
                        table,
                        speaks_sql=isinstance(client, SqlJobClientBase),
                    )
                    for name, table in tables.items()
                }

        return under_way(self._pipeline).connection.run(ask) if self._pipeline else {}

    def load_one_after_the_other(self) -> None:
        """Let dlt run one load job at a time, until the run ends."""
        if self._pipeline:
            under_way(self._pipeline).hold(one_load_job)

    def tables(self, names: list[str]) -> dict[str, TTableSchemaColumns] | None:
        """Return those of the tables that are there, with their columns.

        The destination is asked, because a local schema may tell of tables that somebody dropped,
        and none of those that a run loaded which was killed. None where it can't be asked.
        """

        def ask(pipeline: Pipeline) -> dict[str, TTableSchemaColumns] | None:
            with pipeline.destination_client(self._known_schema(pipeline)) as client:
                if not isinstance(client, SqlJobClientBase):
                    return None
                naming = client.schema.naming
                normal = {naming.normalize_tables_path(name): name for name in names}
                found = client.get_storage_tables(normal) if client.is_storage_initialized() else ()
                return {normal[name]: columns for name, columns in found if columns}

        return under_way(self._pipeline).connection.run(ask) if self._pipeline else None

    def broken_in_staging(self, tables: Iterable[str]) -> set[str]:
        """Return those of the tables that dlt's staging dataset lacks, or a column of them.

        dlt makes all merged tables there, but not again for a schema that it made them for.
        """
        loaded = [table for table in tables if self.loaded_before(table)]

        def ask(pipeline: Pipeline) -> set[str]:
            with pipeline.destination_client(self._known_schema(pipeline)) as client:
                if not isinstance(client, SqlJobClientWithStagingDataset):
                    return set()
                with client.with_staging_dataset():
                    if not client.is_storage_initialized():
                        return set()
                    found = dict(client.get_storage_tables(loaded))
            return {t for t in loaded if not found.get(t) or self._missing(t, found[t])}

        return under_way(self._pipeline).connection.run(ask) if self._pipeline and loaded else set()

    def loaded_before(self, table: str) -> bool:
        """Tell whether the pipeline remembers that rows of a table were loaded."""
        known = self._known_tables.get(table)
        return bool(known and has_table_seen_data(known))

    def missing_columns(self, table: str, there: TTableSchemaColumns) -> set[str]:
        """Return the columns that were loaded and that somebody dropped.

        Args:
            table: The table.
            there: The columns that it has. A destination that spells all names in another way, as
                some do in capitals, lacks none.

        Raises:
            MissingColumnError: One of them is NOT NULL, so it can't be added to rows.
        """
        columns = (self._known_tables.get(table) or {}).get("columns", {})
        missing = self._missing(table, there)
        for name in sorted(missing):
            if not columns[name].get("nullable", True):
                raise MissingColumnError(table, name)
        return missing

    def lacks(self, table: str, found: Mapping[str, TTableSchemaColumns]) -> bool:
        """Tell whether a table, or a column that was loaded, is not among what was found.

        Raises:
            MissingColumnError: The column is NOT NULL.
        """
        return table not in found or bool(self.missing_columns(table, found[table]))

    def _missing(self, table: str, there: TTableSchemaColumns) -> set[str]:
        known = self._known_tables.get(table)
        if not known or not has_table_seen_data(known):
            return set()
        loaded = {name for name, column in known["columns"].items() if is_complete_column(column)}
        return loaded - there.keys() if loaded & there.keys() else set()

    @cached_property
    def _known_tables(self) -> Mapping[str, TTableSchema]:
        """The tables of the schema. dlt looks at all of it whenever it is asked."""
        name = self._pipeline and self._known_schema(self._pipeline)
        return self._pipeline.schemas[name].tables if self._pipeline and name else {}

    def check_types(
        self, found: dict[str, TTableSchemaColumns], tables: Iterable[TTableSchema]
    ) -> None:
        """Refuse a column that would round or cut what is written into it, as DuckDB does silently.

        Args:
            found: The tables that are there.
            tables: A table and its nested tables as they are written, with the user's own hints.

        Raises:
            ColumnTypeError: A table has such a column: somebody changed it, or an earlier version
                of this connector made it.
        """
        for written in tables:
            name_there = str(written["name"])
            columns = found.get(name_there, {})
            for name, wanted in written["columns"].items():
                there = columns.get(name)
                if there and is_complete_column(wanted) and not _holds(there, wanted):
                    raise ColumnTypeError(
                        name_there, name, str(there["data_type"]), str(wanted["data_type"])
                    )

    def keys(
        self,
        endpoint: Endpoint,
        *,
        changed_after: datetime | None,
        unflagged: bool,
        ids: Span = (None, None),
    ) -> list[Key]:
        """Return the keys of the account's rows.

        Args:
            endpoint: Whose table.
            changed_after: Only rows with a later stamp (UTC), or none; None for all rows.
            unflagged: Only rows that are not flagged as gone.
            ids: Only rows with an id from the first to the one before the second; None leaves an
                end open.
        """
        where, values = [f"{ACCOUNT_ID} = {self.account_id}"], []
        if changed_after and changed_after.year >= 1970:  # Databases differ in what they hold.
            where.append("(updated_at > %s OR updated_at IS NULL)")
            values.append(changed_after)
        if unflagged:
            where.append(f"{DELETED_AT} IS NULL")
        where += [
            f"id {sign} {i}" for sign, i in zip((">=", "<"), ids, strict=True) if i is not None
        ]
        columns = ", ".join(endpoint.id_columns)
        statement = f"SELECT {columns} FROM {{table}} WHERE {' AND '.join(where)}"  # noqa: S608 - our names
        return self._ask(endpoint.name, statement, *values)

    def read_row_ids(
        self,
        endpoint: Endpoint,
        take: Callable[[Iterable[str]], object],
        *,
        changed_since: datetime | None,
    ) -> None:
        """Read dlt's ids of the account's rows whose key stands there once, and not as gone.

        Args:
            endpoint: Whose table.
            take: Is given the ids, some thousands at a time, as a table may hold millions. It must
                not ask the destination, which answers one question after the other.
            changed_since: Only rows with this stamp or a later one (UTC), and those that change
                without a stamp; None for all rows.
        """
        where = [f"{ACCOUNT_ID} = {self.account_id}"]
        values: list[Any] = []
        if changed_since and changed_since.year >= 1970:
            recent = ["updated_at >= %s"]
            values.append(changed_since)
            if endpoint.unstamped_filter:  # It has the name of a column.
                recent.append(f"{endpoint.unstamped_filter} = %s")
                values.append(True)
            where.append(f"({' OR '.join(recent)})")
        having = "count(*) = 1"
        if not endpoint.singleton:
            having += f" AND max({DELETED_AT}) IS NULL"
        statement = (
            f"SELECT max(_dlt_id) FROM {{table}} WHERE {' AND '.join(where)} "  # noqa: S608 - our names
            f"GROUP BY {', '.join(endpoint.primary_key)} HAVING {having}"
        )

        def read(client: SqlClientBase[Any]) -> None:
            name = client.make_qualified_table_name(endpoint.name)
            for chunk in chunks(client, statement.format(table=name), *values):
                take(row[0] for row in chunk)

        self._answer(read, None)

    def latest_versions(self, endpoint: Endpoint) -> list[tuple[int, int, str]]:
        """Return the latest version of each of the account's records, in the order of ids.

        Of each version its record, its number and dlt's id of it.

        Args:
            endpoint: Whose records.
        """
        columns = f"v.id, v.{VERSION_COLUMN}, v._dlt_id"
        return self._ask(endpoint.history_table, f"SELECT {columns} {self._latest()} ORDER BY v.id")

    def living(self, endpoint: Endpoint, changed_after: datetime | None) -> list[int]:
        """Return the account's records that are not gone by their latest version.

        Args:
            endpoint: Whose records.
            changed_after: Only those with a later stamp (UTC), or none; None for all.
        """
        where, values = f"v.{DELETED_AT} IS NULL", []
        if changed_after and changed_after.year >= 1970:
            where += " AND (v.updated_at > %s OR v.updated_at IS NULL)"
            values.append(changed_after)
        statement = f"SELECT v.id {self._latest()} AND {where}"
        return [row[0] for row in self._ask(endpoint.history_table, statement, *values)]

    def _latest(self) -> str:
        mine = f"{ACCOUNT_ID} = {self.account_id}"
        return (
            f"FROM {{table}} v JOIN (SELECT id, max({VERSION_COLUMN}) AS latest FROM {{table}} "  # noqa: S608 - our names
            f"WHERE {mine} GROUP BY id) l ON v.id = l.id AND v.{VERSION_COLUMN} = l.latest "
            f"WHERE v.{mine}"
        )

    def emptied(self, tables: Mapping[str, TTableSchemaColumns]) -> set[str]:
        """Return the tables without a row of the account, by one question for all.

        Args:
            tables: Their columns. Where rows can be flagged as gone, those do not count.
        """
        if not (self._pipeline and tables):
            return set()

        def ask(client: SqlClientBase[Any]) -> set[str]:
            statement = " UNION ALL ".join(
                f"SELECT {number}, CASE WHEN EXISTS (SELECT 1 FROM "  # noqa: S608 - our names
                f"{client.make_qualified_table_name(table)} WHERE {ACCOUNT_ID} = {self.account_id}"
                f"{f' AND {DELETED_AT} IS NULL' if DELETED_AT in columns else ''}"
                ") THEN 1 ELSE 0 END"
                for number, (table, columns) in enumerate(tables.items())
            )
            rows = client.execute_sql(statement) or ()
            return {names[number] for number, there in rows if not there}

        names = [*tables]
        return under_way(self._pipeline).connection.ask(ask, self._known_schema(self._pipeline))

    def rows_of_others(
        self, tables: Iterable[str], accounts: Collection[int]
    ) -> dict[str, dict[int, int]]:
        """Return how many rows tables hold of other accounts than these, by table and account."""
        among = ", ".join(map(str, accounts))
        statement = (
            f"SELECT {ACCOUNT_ID}, count(*) FROM {{table}} "  # noqa: S608 - our names
            f"WHERE {ACCOUNT_ID} NOT IN ({among}) GROUP BY {ACCOUNT_ID}"
        )
        found = {table: self._ask(table, statement) for table in tables}
        return {table: {int(i): n for i, n in rows} for table, rows in found.items() if rows}

    def items_by_row(self, nested_table: str) -> dict[str, int]:
        """Return how many of the account's items a nested table holds, by the id of their row."""
        statement = (
            f"SELECT _dlt_parent_id, count(*) FROM {{table}} "  # noqa: S608 - our names
            f"WHERE {ACCOUNT_ID} = {self.account_id} GROUP BY _dlt_parent_id"
        )
        return dict(self._ask(nested_table, statement))

    def remove_orphans(self, endpoint: Endpoint, nested_table: str) -> None:
        """Delete the account's items of a nested table whose row somebody deleted.

        The row gets a new id when it comes back, and its items would stand there twice.
        """
        statement = (
            "SELECT DISTINCT item._dlt_parent_id FROM {table} item "  # noqa: S608 - our names
            "LEFT JOIN {parent} whole ON whole._dlt_id = item._dlt_parent_id "
            f"WHERE item.{ACCOUNT_ID} = {self.account_id} AND whole._dlt_id IS NULL"
        )
        orphaned = [row[0] for row in self._ask(nested_table, statement, parent=endpoint.name)]
        for first in range(0, len(orphaned), FLAGS_AT_ONCE):
            ids = orphaned[first : first + FLAGS_AT_ONCE]
            which = ", ".join(["%s"] * len(ids))
            statement = (
                f"DELETE FROM {{table}} WHERE {ACCOUNT_ID} = {self.account_id} "  # noqa: S608 - our names
                f"AND _dlt_parent_id IN ({which})"
            )
            self._ask(nested_table, statement, *ids)

    def ids_before(self, endpoint: Endpoint, moment: datetime) -> set[int]:
        """Return the ids of the account's rows that are stamped at or before a moment (UTC)."""
        if moment.year < 1970:
            return set()
        statement = (
            f"SELECT id FROM {{table}} WHERE {ACCOUNT_ID} = {self.account_id} "  # noqa: S608 - our names
            "AND updated_at <= %s"
        )
        return {key[0] for key in self._ask(endpoint.name, statement, moment)}

    def rows(self, endpoint: Endpoint, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return some columns of the account's rows."""
        statement = (
            f"SELECT {', '.join(columns)} FROM {{table}} "  # noqa: S608 - names of ours
            f"WHERE {ACCOUNT_ID} = {self.account_id}"
        )
        return self._ask(endpoint.name, statement)

    def longest_period(self, endpoint: Endpoint) -> int | None:
        """Return how many days the longest period of a report has; None where there is none."""
        rows = self.rows(endpoint, ("period_start", "period_end"))
        spans = ([date.fromisoformat(str(day)[:10]) for day in row] for row in rows)
        return max(((last - first).days + 1 for first, last in spans), default=None)

    def sums(self, endpoint: Endpoint) -> dict[int, Any]:
        """Return what the amounts of a parent's children add up to, by the parent's id."""
        statement = (
            f"SELECT {endpoint.parent_key}, SUM(amount) FROM {{table}} "  # noqa: S608 - our names
            f"WHERE {ACCOUNT_ID} = {self.account_id} AND {DELETED_AT} IS NULL "
            f"GROUP BY {endpoint.parent_key}"
        )
        return dict(self._ask(endpoint.name, statement))

    def empty(self, table: str, accounts: Iterable[int]) -> None:
        """Delete the rows of some accounts from a table."""
        among = ", ".join(map(str, accounts))
        self._ask(table, f"DELETE FROM {{table}} WHERE {ACCOUNT_ID} IN ({among})")  # noqa: S608 - our names

    def flag(self, endpoint: Endpoint, keys: list[Key]) -> None:
        """Note in rows that they are gone from Harvest.

        A merged row would null every column that it does not name, so an update sets the flag. A
        flag is right even if the run fails later.
        """
        for first in range(0, len(keys), FLAGS_AT_ONCE):
            which = " OR ".join(
                "("
                + " AND ".join(
                    f"{name} = {int(value)}"
                    for name, value in zip(endpoint.id_columns, key, strict=True)
                )
                + ")"
                for key in keys[first : first + FLAGS_AT_ONCE]
            )
            statement = (
                f"UPDATE {{table}} SET {DELETED_AT} = %s "  # noqa: S608 - numbers of ours
                f"WHERE {ACCOUNT_ID} = {self.account_id} AND ({which})"
            )
            self._ask(endpoint.name, statement, datetime.now(timezone.utc))

    def _ask(
        self, table: str, statement: str, *values: Any, parent: str = ""
    ) -> list[tuple[Any, ...]]:
        """Execute a statement on a table, and return its rows."""

        def ask(client: SqlClientBase[Any]) -> list[tuple[Any, ...]]:
            names = {"table": table, "parent": parent or table}
            qualified = {k: client.make_qualified_table_name(name) for k, name in names.items()}
            rows = client.execute_sql(statement.format(**qualified), *values)
            return [tuple(row) for row in rows or ()]

        return self._answer(ask, [])

    def _answer(self, question: Callable[[SqlClientBase[Any]], Answer], nothing: Answer) -> Answer:
        """Answer a question about tables; one that is not there has no rows."""
        if not self._pipeline:
            return nothing
        try:
            schema_name = self._known_schema(self._pipeline)
            return under_way(self._pipeline).connection.ask(question, schema_name)
        except DatabaseUndefinedRelation:
            return nothing
        except SqlClientNotAvailable:
            if not self._silent:
                logger.warning(
                    "This destination can't be asked what it holds: rows deleted in Harvest stay."
                )
            self._silent = True
            return nothing

    def _known_schema(self, pipeline: Pipeline) -> Any:
        """Return the schema's name, None where the pipeline does not know it yet."""
        return self._schema_name if self._schema_name in pipeline.schema_names else None


def tell_account(tables: Mapping[str, TTableSchemaColumns]) -> set[str]:
    """Return the tables whose rows tell their account; somebody may have dropped that column."""
    return {name for name, columns in tables.items() if ACCOUNT_ID in map(str.lower, columns)}


def _holds(there: TColumnSchema, wanted: TColumnSchema) -> bool:
    """Tell whether a column keeps each value that is written into it, or else fails the load."""
    kinds = there.get("data_type"), wanted["data_type"]
    if kinds == ("decimal", "decimal"):
        return (there.get("scale") or 0) >= (wanted.get("scale") or 0)
    return kinds not in {
        ("bigint", "decimal"),
        ("double", "decimal"),
        ("date", "timestamp"),
        ("bigint", "timestamp"),
        ("bigint", "text"),
        ("decimal", "text"),
        ("double", "text"),
        ("bool", "bigint"),
        ("bool", "decimal"),
    }
