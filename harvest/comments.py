"""What tables and columns mean stands in the database too, as comments on them.

dlt 1.31 writes descriptions to Databricks, and those of columns to BigQuery and Snowflake, when it
makes a table or column. Here the same is done for DuckDB and Postgres.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dlt import Pipeline
from dlt.common import logger
from dlt.common.destination.exceptions import DestinationException
from dlt.common.pipeline import LoadInfo
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import is_complete_column
from dlt.destinations.sql_client import SqlClientBase

from .catalog.words import DLT_COLUMNS

KINDS = ("duckdb", "motherduck", "postgres")
"""Of dlt's destinations, those that take the comments. Others speak a dialect of these too, such as
plain files, which are read as DuckDB's."""

Meanings = dict[str, str]
"""What a table and its columns mean; the table's own words under the empty name."""


def described(pipeline: Pipeline) -> dict[str, Meanings]:
    """Return what is said of the tables so far, by their names."""
    return {
        str(table["name"]): _meanings(table)
        for schema in pipeline.schemas.values()
        for table in schema.data_tables()
    }


def comment(
    pipeline: Pipeline, source_name: str, loaded: LoadInfo, before: Mapping[str, Meanings]
) -> None:
    """Comment on the tables and columns that a load made, and whose descriptions changed.

    A quiet run does neither, and so the destination is left in peace. A comment that is refused
    fails no run: rows are more important.

    Args:
        pipeline: The pipeline.
        source_name: The source, whose tables alone are commented on.
        loaded: What was loaded.
        before: What was said of the tables before it.
    """
    kind = pipeline.destination.destination_type.rpartition(".")[2]
    if kind not in KINDS:
        return
    for package in loaded.load_packages:
        if package.schema_name != source_name:
            continue
        schema = pipeline.schemas[package.schema_name]
        tables = [
            table
            for table in schema.data_tables(seen_data_only=True)
            if table["name"] in package.schema_update
            or before.get(str(table["name"])) != _meanings(table)
        ]
        if tables:
            _write(pipeline, schema, tables)


def _write(pipeline: Pipeline, schema: Schema, tables: list[TTableSchema]) -> None:
    try:
        with pipeline.sql_client(schema.name) as client, client.begin_transaction():
            for table in tables:
                client.execute_many([*_statements(client, table)])
    except DestinationException as error:
        logger.warning(
            "The database refuses comments on tables and columns: "
            f"{' '.join(str(error).split())} The rows are there."
        )


def _statements(client: SqlClientBase[object], table: TTableSchema) -> Iterator[str]:
    name = client.make_qualified_table_name(str(table["name"]))
    escape = client.capabilities.escape_literal
    for column, words in _meanings(table).items():
        on = f"COLUMN {name}.{client.escape_column_name(column)}" if column else f"TABLE {name}"
        yield f"COMMENT ON {on} IS {escape(words)}"


def _meanings(table: TTableSchema) -> Meanings:
    columns = {
        name: column.get("description") or DLT_COLUMNS.get(name)
        for name, column in table["columns"].items()
        if is_complete_column(column)
    }
    meanings = {"": table.get("description"), **columns}
    return {name: words for name, words in meanings.items() if words}
