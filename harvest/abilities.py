"""What a destination can do, by dlt's description of it, and what is done where it can't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.schema.typing import TLoaderMergeStrategy, TTableSchema


@dataclass(frozen=True)
class Abilities:
    """What a destination can do with one table, and how the table is best loaded.

    Attributes:
        merge_strategy: How dlt merges the table; None where every row is appended.
        removes: Whether dlt can delete rows that are gone from Harvest. To find them, one must
            know which rows are there, so such a destination can also be asked for its keys.
        flags: Whether an update can set a flag in rows that are gone.
        full_reads: Whether a full read may happen by itself when it is due, and children of parents
            that did not change may be read. Where rows are appended, each full read stores the
            whole account once more, so there only the user starts one.
        makes_empty_tables: Whether dlt can make a table without a row.
        keeps_nul: Whether a text may hold a NUL character.
        one_load_job: Whether load jobs must run one after the other.
        file_format: The file format to load from; None for dlt's default.
        notice: What the user must know, in one line; None where nothing is given up.
    """

    merge_strategy: TLoaderMergeStrategy | None
    removes: bool
    flags: bool
    full_reads: bool
    makes_empty_tables: bool
    keeps_nul: bool
    one_load_job: bool
    file_format: Literal["parquet"] | None
    notice: str | None

    @property
    def merges(self) -> bool:
        """Whether a record that changed takes the place of its row."""
        return self.merge_strategy is not None

    def deletions(self, chosen: str) -> str:
        """Return what becomes of rows that are gone from Harvest: what was chosen, or "keep".

        Args:
            chosen: The setting: "remove", "flag" or "keep".
        """
        possible = {"remove": self.removes, "flag": self.flags}
        return chosen if possible.get(chosen) else "keep"


def abilities(
    destination_type: str,
    capabilities: DestinationCapabilitiesContext,
    table: TTableSchema,
    *,
    speaks_sql: bool,
) -> Abilities:
    """Return what a destination can do with a table.

    Args:
        destination_type: dlt's short name of the destination, such as "filesystem".
        capabilities: Those that the destination's client has. Before the credentials are
            resolved, capabilities do not tell SQLite from MariaDB.
        table: The table's schema, since files of a table format such as Delta can be merged.
        speaks_sql: Whether the client is a `SqlJobClientBase`. Plain files, Delta and Iceberg are
            read by DuckDB, which can't write them, needs extensions from the internet for the table
            formats, and fails on CSV files with line breaks in a text.
    """
    strategy = _merge_strategy(capabilities, table)
    in_sql = speaks_sql and strategy is not None
    return Abilities(
        merge_strategy=strategy,
        removes=in_sql,
        # ClickHouse has no plain UPDATE.
        flags=in_sql and capabilities.sqlglot_dialect != "clickhouse",
        full_reads=strategy is not None,
        # With other strategies dlt makes a row's id from its key, which it also demands of the
        # empty row that stands for an empty table: KeyError in `get_row_hash`.
        makes_empty_tables=strategy in (None, "delete-insert"),
        # Postgres refuses it. DuckDB keeps it, though dlt's insert statements would drop it there.
        keeps_nul=destination_type == "duckdb",
        # SQLite has one writer. dlt waits for the others by failing and trying again, and prints
        # the traceback of each failure.
        one_load_job=capabilities.sqlglot_dialect == "sqlite",
        file_format=_file_format(destination_type, table),
        notice=_notice(table.get("table_format") or destination_type, strategy, in_sql=in_sql),
    )


def _merge_strategy(
    capabilities: DestinationCapabilitiesContext, table: TTableSchema
) -> TLoaderMergeStrategy | None:
    supported: Sequence[TLoaderMergeStrategy] = capabilities.supported_merge_strategies or ()
    if select := capabilities.merge_strategies_selector:
        supported = select(supported, table_schema=table)
    wanted: tuple[TLoaderMergeStrategy, ...] = ("delete-insert", "upsert")
    return next((strategy for strategy in wanted if strategy in supported), None)


def _file_format(destination_type: str, table: TTableSchema) -> Literal["parquet"] | None:
    """Load from Parquet where it is exact and faster.

    100,000 time entries took DuckDB 97 s by dlt's default, insert statements, and 1.7 s by Parquet;
    Postgres took 7.0 s and 2.1 s. Postgres needs a driver for it, which fails on JSON columns.
    """
    if destination_type == "postgres" and find_spec("adbc_driver_postgresql"):
        has_json = any(c.get("data_type") == "json" for c in table["columns"].values())
        return None if has_json else "parquet"
    return "parquet" if destination_type == "duckdb" else None


def _notice(place: str, strategy: TLoaderMergeStrategy | None, *, in_sql: bool) -> str | None:
    if strategy is None:
        return (
            f"{place}: rows can't be replaced here. So each state of a record that is read stays "
            "as a row of its own, records that are deleted in Harvest stay too, and what changed "
            "without a new `updated_at` is read only by `full_read` (--full-read). A query of the "
            "latest rows stands in docs/destinations.md of the connector's repository."
        )
    if not in_sql:
        return (
            f"{place}: rows can be replaced here, but not removed. So records that are deleted in "
            "Harvest stay, and so do items that left a list, such as lines of an invoice in "
            "`invoices__line_items`."
        )
    return None
