"""Compares every table of a destination with the sandbox's truth, value for value."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from dlt import Pipeline
from dlt.destinations.sql_client import SqlClientBase

from harvest import ENDPOINTS
from harvest.catalog import Endpoint
from harvest_sandbox import Sandbox

Row = dict[str, Any]

ALWAYS = [endpoint for endpoint in ENDPOINTS if not endpoint.on_request]
"""What is loaded when no table is named."""


def read(pipeline: Pipeline, table: str, account_id: int | None = None) -> list[Row]:
    """Return a table's rows, or those of one account."""
    with pipeline.sql_client() as client:
        return _rows(client, table, account_id)


def read_each(pipeline: Pipeline, tables: Iterable[str]) -> dict[str, list[Row]]:
    """Return the rows of several tables."""
    with pipeline.sql_client() as client:
        return {table: _rows(client, table) for table in tables}


def _rows(client: SqlClientBase[Any], table: str, account_id: int | None = None) -> list[Row]:
    query = f"SELECT * FROM {client.make_qualified_table_name(table)}"
    with client.execute_query(query) as cursor:
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [row for row in rows if account_id in (None, row.get("_account_id"))]


def assert_equal(
    pipeline: Pipeline, sandbox: Sandbox, *tables: str, account_id: int | None = None
) -> None:
    """Demand that the tables, or all, hold what Harvest holds of an account; default: the first."""
    account_id = account_id or sandbox.account_id
    account = sandbox.hosted[account_id].account
    chosen = [endpoint for endpoint in ALWAYS if not tables or endpoint.name in tables]
    with pipeline.sql_client() as client:  # one for all, since opening it costs more than reading
        for endpoint in chosen:
            _assert_table(client, endpoint, account.truth(endpoint.name), account_id)


def _assert_table(
    client: SqlClientBase[Any], endpoint: Endpoint, truth: list[Row], account_id: int
) -> None:
    loaded = _rows(client, endpoint.name, account_id)
    lists = {name for name, _ in endpoint.nested}
    here = {key_of(row): row for row in loaded}
    assert len(loaded) == len(truth), (endpoint.name, len(loaded), len(truth))
    for record in truth:
        row = here[key_of(record)]
        expected = {k: v for k, v in flatten(record).items() if k not in lists}
        expected["_account_id"] = account_id
        actual = {k: v for k, v in row.items() if not k.startswith("_dlt")}
        for column in expected.keys() | actual.keys():
            want, got = expected.get(column), actual.get(column)
            assert _same(got, want), (endpoint.name, record.get("id"), column, got, want)
    for name in lists:
        _assert_items(client, endpoint.name, name, here, truth, account_id)


def _assert_items(
    client: SqlClientBase[Any],
    table: str,
    name: str,
    parents: dict[Any, Row],
    truth: list[Row],
    account_id: int,
) -> None:
    found: dict[str, list[Row]] = {}
    rows = _rows(client, f"{table}__{name}", account_id)
    for row in sorted(rows, key=lambda r: int(r["_dlt_list_idx"])):
        found.setdefault(row["_dlt_parent_id"], []).append(row)
    for record in truth:
        items = found.pop(parents[key_of(record)]["_dlt_id"], [])
        assert len(items) == len(record[name]), (table, name, record["id"])
        for row, item in zip(items, record[name], strict=True):
            for column, want in flatten(item).items():
                assert _same(row.get(column), want), (table, name, column, row, want)
    assert not found, (table, name, "rows of parents that are gone")


def key_of(row: Row) -> Any:
    """Return what names a row in its table: one person can be several managers' teammate."""
    return row.get("user_id"), row.get("id", row.get("name"))


def flatten(record: Row, prefix: str = "") -> Row:
    """Return a record with its objects' fields as columns, as dlt names them."""
    flat: Row = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}__")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _same(got: Any, want: Any) -> bool:
    if isinstance(got, datetime):
        stamp = datetime.fromisoformat(str(want).replace("Z", "+00:00"))
        return bool(got.astimezone(timezone.utc) == stamp)
    if isinstance(got, date):
        return bool(got.isoformat() == want)
    if isinstance(want, list):
        return bool((json.loads(got) if isinstance(got, str) else got) == want)
    if isinstance(want, Decimal):
        return isinstance(got, Decimal) and got == want
    return type(got) is type(want) and bool(got == want)


def rows(pipeline: Pipeline, dataset: str, model: str) -> list[Row]:
    """Return all rows of a model."""
    with (
        pipeline.sql_client() as client,
        client.execute_query(f'SELECT * FROM "{dataset}"."{model}"') as cursor,
    ):
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
