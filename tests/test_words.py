"""The schema speaks: what tables and columns mean, and how they join, is told in all places."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dlt import Pipeline

from harvest import ENDPOINTS
from harvest.catalog.words import (
    DLT_COLUMNS,
    REPORTS,
    SHARED,
    TABLE,
    TABLES,
    VERSIONS,
    column_words,
    table_words,
)
from harvest.extract.freshness import COLUMNS as OF_FRESHNESS
from harvest.extract.freshness import DESCRIPTION, FRESHNESS
from harvest.run import load
from harvest_sandbox import Sandbox

from .truth import read

DOCUMENTED = {
    table: [*columns.schema(), "_account_id", "_deleted_at"]
    for endpoint in ENDPOINTS
    for table, columns in (
        (endpoint.name, endpoint.columns),
        *((f"{endpoint.name}__{name}", columns) for name, columns in endpoint.nested),
    )
}

COMMENTS = {
    "duckdb": (
        "SELECT table_name, '', comment FROM duckdb_tables() WHERE schema_name = %s UNION ALL "
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE schema_name = %s"
    ),
    "postgres": (
        "SELECT c.relname, coalesce(a.attname, ''), coalesce(d.description, '') FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN (%s, %s) "
        "LEFT JOIN LATERAL (SELECT attname, attnum FROM pg_attribute WHERE attrelid = c.oid "
        "AND attnum > 0 AND NOT attisdropped UNION ALL SELECT NULL, 0) a ON true "
        "LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = a.attnum "
        "AND d.classoid = 'pg_class'::regclass WHERE c.relkind = 'r'"
    ),
}


def comments(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """Return the comments that the database's own catalog has, by table and column."""
    found: dict[str, dict[str, str]] = {}
    with pipeline.sql_client() as client:
        query = COMMENTS[str(pipeline.destination.destination_name)]
        for table, column, text in client.execute_sql(query, *[client.dataset_name] * 2) or ():
            if not table.startswith("_dlt"):
                found.setdefault(table, {})[column] = text or ""
    return found


def test_catalog() -> None:
    """Each column has words, no words lack their column, and a diagram can hold them."""
    said = {
        table: {name: column_words(table, name) for name in names}
        for table, names in DOCUMENTED.items()
    }
    lacking = {
        f"{table}.{name}"
        for table, own in TABLES.items()
        for name in own.keys() - {*DOCUMENTED[table], TABLE}
    }
    assert not lacking
    names = {name for columns in DOCUMENTED.values() for name in columns}
    assert SHARED.keys() <= names
    of_reports = {n for e in ENDPOINTS if e.report for n in e.columns.schema()}
    assert REPORTS.keys() <= of_reports
    for table, columns in said.items():
        for text in (table_words(table), *columns.values()):
            assert text.endswith(".")
            assert '"' not in text
            assert "\n" not in text


SOME = ("company", "users", "invoices", "time_entries", "report_uninvoiced")


def test_database(pipeline: Pipeline, settings: dict[str, Any], sandbox: Sandbox) -> None:
    """Each column of a loaded account is described in the database's catalog, and so is its table.

    Those that come as Arrow tables, those that come as rows, and those without any. On DuckDB all
    of them, on Postgres one of each kind.
    """
    all_of_them = pipeline.destination.destination_name == "duckdb"
    month_ago = (sandbox.clock.now() - timedelta(days=30)).date().isoformat()
    chosen = {**settings, "anchor_date": month_ago, "reports": all_of_them}
    load(pipeline, *(() if all_of_them else SOME), tell=lambda _: None, **chosen)
    found = comments(pipeline)
    tables = {*DOCUMENTED} if all_of_them else {*SOME, "invoices__line_items"}
    assert found.keys() == {*tables, FRESHNESS}
    for table, columns in found.items():
        expected = {name: text for name, text in DLT_COLUMNS.items() if name in columns}
        if table == FRESHNESS:
            expected |= {name: str(column["description"]) for name, column in OF_FRESHNESS.items()}
            expected[TABLE] = DESCRIPTION
        else:
            names = [n for n in DOCUMENTED[table] if n in columns or n != "_deleted_at"]
            expected |= {name: column_words(table, name) for name in names}
            expected[TABLE] = table_words(table)
        assert columns == expected, table


def test_quiet(duck: Pipeline, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without changes leaves schema and comments alone; a new description reaches both.

    A comment of the user's own stays until then, and a table that is made anew has its comments.
    """

    def run(**changes: Any) -> str:
        load(duck, "tasks", tell=lambda _: None, **settings, **changes)
        return comments(duck)["tasks"]["name"]

    def versions() -> int:
        with duck.sql_client() as client:
            ((count,),) = client.execute_sql("SELECT count(*) FROM _dlt_version") or ()
        return int(count)

    assert run() == "The task's name."
    assert versions() == 1
    with duck.sql_client() as client:
        client.execute_sql("COMMENT ON COLUMN tasks.name IS 'mine'")
    assert run(full_read=True) == "mine"
    assert versions() == 1
    monkeypatch.setitem(TABLES["tasks"], "name", "What it's called: 100 % new.")
    assert run() == "What it's called: 100 % new."
    assert versions() == 2
    assert run(refresh=True) == "What it's called: 100 % new."


def test_history(duck: Pipeline, settings: dict[str, Any]) -> None:
    """A table of versions says so, and its columns mean what the record's do."""
    load(duck, "clients", tell=lambda _: None, **settings, history="clients")
    found = comments(duck)["clients_history"]
    assert found[TABLE] == "One row is one version of a row of `clients`."
    assert found["name"] == column_words("clients", "name")
    assert found["_version"] == VERSIONS["_version"]
    assert all(found.values())


def test_refused(
    duck: Pipeline, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    """A comment that the database refuses fails no run, and is told in one line."""
    refused = ["COMMENT ON TABLE nowhere IS 'lost'"]
    monkeypatch.setattr("harvest.comments._statements", lambda *_: refused)
    load(duck, "tasks", tell=lambda _: None, **settings)
    assert read(duck, "tasks")
    (line,) = [line for line in told if "refuses comments" in line]
    assert "\n" not in line
    assert "nowhere" in line


def test_joins(duck: Pipeline, settings: dict[str, Any]) -> None:
    """Tables join by name: each entry finds its own project, each line its own invoice."""
    load(duck, "time_entries", "projects", "invoices", tell=lambda _: None, **settings)
    dataset = duck.dataset()
    for left, right, key in (
        ("time_entries", "projects", "project__id"),
        ("invoices__line_items", "invoices", None),
        ("invoices__line_items", "projects", "project__id"),
    ):
        relation = dataset.table(left).join(right)
        joined = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
        rows = [row for row in read(duck, left) if key is None or row[key] is not None]
        assert len(joined) == len(rows) > 0
        if key:
            assert all(row[key] == row[f"{right}__id"] for row in joined)


def test_exports(duck: Pipeline, settings: dict[str, Any]) -> None:
    """A schema of which a part was loaded can be drawn by dlt, with what its columns mean."""
    load(duck, "time_entries", tell=lambda _: None, **settings)
    drawn = duck.default_schema.to_mermaid()
    assert 'time_entries }|--|| projects : "project__id"' in drawn
    assert 'decimal hours "Hours as they were tracked' in drawn
