"""What holds on destinations other than DuckDB and Postgres, and what is said where it does not.

MariaDB is tested too where `TEST_MARIADB_URL` names a server, as `make test-mariadb` does: it can't
be installed by pip.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt import Pipeline
from dlt.common.schema.typing import TTableSchema
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.extract import DltSource

from harvest.abilities import abilities
from harvest.catalog import Endpoint
from harvest_sandbox import Sandbox

from .running import ROOT
from .truth import ALWAYS, assert_equal, flatten, key_of

Make = Callable[..., DltSource]
Row = dict[str, Any]

SQL = ("sqlite", *(["mariadb"] if "TEST_MARIADB_URL" in os.environ else []))
FILES = ("parquet", "csv")
LAKES = ("delta", "iceberg")

DELETED = ("expenses", "invoices", "invoice_payments")
"""A list by date, one with nested tables, and children."""
EDITED = ("time_entries", "invoices", "clients", "company", "roles")
"""What `edit` changes, and the tables that each run reads whole or in another way."""
MANY = (
    *("users", "expenses", "estimates", "projects", "invoice_messages", "user_cost_rates"),
    *("user_teammates", *EDITED),
)
"""Each kind of table and column, in each way that a table is read."""
AGAIN = (*EDITED, "users", "estimates")
"""Of these the last ones did not change."""


@dataclass
class Place:
    """A destination, and how its rows are read back.

    Attributes:
        kind: Its name here.
        pipeline: The pipeline into it.
        folder: Where its files are.
    """

    kind: str
    pipeline: Pipeline
    folder: Path

    def run(self, source: DltSource) -> None:
        """Run the pipeline as a user of this destination would."""
        table_format = self.kind if self.kind in LAKES else None
        file_format = self.kind if self.kind in FILES else None
        self.pipeline.run(
            source,
            table_format=table_format,  # type: ignore[arg-type]
            loader_file_format=file_format,  # type: ignore[arg-type]
        )

    def rows(self, table: str) -> list[Row]:
        """Return all rows of a table; none where there is no table."""
        if self.kind in FILES:
            return self._query(f"SELECT * FROM {self._files(table)}") if self._found(table) else []
        if self.kind == "delta":
            from dlt.common.libs.deltalake import get_delta_tables

            there = (self.folder / "harvest_data" / table / "_delta_log").exists()
            tables = get_delta_tables(self.pipeline, table) if there else {}
            return [row for t in tables.values() for row in t.to_pyarrow_table().to_pylist()]
        if self.kind == "iceberg":
            from dlt.common.libs.pyiceberg import get_iceberg_tables

            there = (self.folder / "harvest_data" / table / "metadata").exists()
            lake = get_iceberg_tables(self.pipeline, table) if there else {}
            return [row for t in lake.values() for row in t.scan().to_arrow().to_pylist()]
        names = list(self.pipeline.default_schema.get_table_columns(table))
        with self.pipeline.sql_client() as client:
            columns = ", ".join(client.escape_column_name(name) for name in names)
            statement = f"SELECT {columns} FROM {client.make_qualified_table_name(table)}"
            try:
                found = client.execute_sql(statement) or ()
            except DatabaseUndefinedRelation:
                return []
            return [dict(zip(names, row, strict=True)) for row in found]

    def latest(self, table: str, keys: tuple[str, ...]) -> list[Row]:
        """Return one row for each record: of the states that files keep, the latest."""
        if self.kind in FILES:
            # The documentation's own query.
            page = (ROOT / "docs" / "destinations.md").read_text(encoding="utf-8")
            query = page.partition("```sql\n")[2].partition(";\n```")[0]
            query = query.replace("harvest_data.time_entries", self._files(table))
            query = query.replace("_account_id, id", ", ".join(keys))
            return self._query(query) if self._found(table) else []
        return self.rows(table)

    def _found(self, table: str) -> bool:
        return any((self.folder / "harvest_data" / table).glob("*.*"))

    def _files(self, table: str) -> str:
        glob = f"{self.folder}/harvest_data/{table}/*.{self.kind}*"
        if self.kind == "parquet":
            return f"read_parquet('{glob}', union_by_name=true)"
        # Texts have line breaks, which the parallel reader does not take.
        return f"read_csv('{glob}', union_by_name=true, header=true, parallel=false, quote='\"')"

    def _query(self, query: str) -> list[Row]:
        cursor = duckdb.execute(query)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture(params=[*SQL, *FILES, *LAKES])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Make a pipeline into each destination, empty."""
    kind, folder = str(request.param), tmp_path / "files"
    if kind == "sqlite":
        destination: Any = dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path}/warehouse.db")
    elif kind == "mariadb":
        destination = dlt.destinations.sqlalchemy(os.environ["TEST_MARIADB_URL"])
    else:
        destination = dlt.destinations.filesystem(str(folder))
    pipeline = dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")
    yield Place(kind, pipeline, folder)
    if kind == "mariadb":
        with pipeline.sql_client() as client:
            client.drop_dataset()


def edit(sandbox: Sandbox) -> None:
    """Change records, add one, and take items from a list."""
    account = sandbox.account
    account.update("time_entries", next(iter(account.records["time_entries"])), notes="edited")
    invoices = account.records["invoices"].items()
    invoice = next(i for i, record in invoices if len(record["line_items"]) > 1)
    items = account.records["invoices"][invoice]["line_items"]
    account.update("invoices", invoice, line_items=items[:1])
    client = dict(next(iter(account.records["clients"].values())))
    account.add("clients", {**client, "id": account.new_id(), "updated_at": sandbox.clock.stamp()})


def delete(sandbox: Sandbox) -> dict[str, int]:
    """Delete a record of several tables; return their ids."""
    gone = {table: list(sandbox.account.records[table])[-1] for table in DELETED}
    for table, record in gone.items():
        if record in sandbox.account.records[table]:  # with a parent go its children
            sandbox.account.delete(table, record)
    return gone


def empty(sandbox: Sandbox) -> None:
    """Leave nothing in the account but the token's owner."""
    account = sandbox.account
    for table in reversed(list(account.records)):
        for record in list(account.records[table]):
            if record in account.records[table] and record != sandbox.users[sandbox.token]:
                account.delete(table, record)


def assert_holds(place: Place, sandbox: Sandbox, *tables: str) -> None:
    """Demand of the tables a row for each record, and where rows are removed no other."""
    for endpoint in ALWAYS:
        if endpoint.name in tables:
            _assert_holds(place, endpoint, sandbox.account.truth(endpoint.name))


def _assert_holds(place: Place, endpoint: Endpoint, truth: list[Row]) -> None:
    keys = endpoint.primary_key if endpoint.name != "company" else ("name",)
    latest = place.latest(endpoint.name, tuple(keys))
    rows = {key_of(row): row for row in latest}
    if place.kind in SQL:
        assert len(rows) == len(truth), endpoint.name
    lists = {name for name, _ in endpoint.nested}
    items_of = {name: place.rows(f"{endpoint.name}__{name}") for name in lists}
    for record in truth:
        row = rows[key_of(record)]
        for column, want in flatten(record).items():
            if column not in lists:
                got = row.get(column)
                assert _same(got, want), (endpoint.name, record.get("id"), column, got, want)
        for name in lists:
            mine = {int(i["_dlt_list_idx"]): i for i in items_of[name]
                    if i["_dlt_parent_id"] == row["_dlt_id"]}  # fmt: skip
            if place.kind not in LAKES:
                assert len(mine) == len(record[name]), (endpoint.name, name, record["id"])
            for index, item in enumerate(record[name]):
                for column, want in flatten(item).items():
                    assert _same(mine[index].get(column), want), (name, column, want)


def _same(got: Any, want: Any) -> bool:
    """Compare as exactly as the types of all these destinations allow.

    SQLite has neither decimals nor timestamps, MariaDB no booleans, CSV no nulls and no types.
    """
    if want in (None, ""):
        return got in (None, "")
    if isinstance(want, bool):
        return str(got).lower() in ({"1", "true"} if want else {"0", "false"})
    if isinstance(want, (int, Decimal)):
        return bool(Decimal(str(got)) == want)
    if isinstance(want, list):
        return bool((json.loads(got) if isinstance(got, str) else got) == want)
    return str(got) == want or _moment(got) == _moment(want) is not None


def _moment(value: Any) -> datetime | None:
    """Return the moment that a timestamp names, UTC where it names no zone; None if it is none."""
    if not isinstance(value, datetime):
        try:
            value = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            return None
    moment: datetime = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


def test_changes(sandbox: Sandbox, source: Make, place: Place) -> None:
    """A first run and one with changes of some tables leave the truth in the latest rows."""
    place.run(source().with_resources(*MANY))
    assert_holds(place, sandbox, *MANY)
    edit(sandbox)
    place.run(source().with_resources(*AGAIN))
    assert_holds(place, sandbox, *AGAIN)


def test_deletions(sandbox: Sandbox, source: Make, place: Place) -> None:
    """A full read removes what is gone where rows can be removed, and mends the rest everywhere."""
    place.run(source().with_resources(*DELETED))
    gone = delete(sandbox)
    place.run(source(full_read=True).with_resources(*DELETED))
    assert_holds(place, sandbox, *DELETED)
    for table, record in gone.items():
        ids = {int(row["id"]) for row in place.rows(table)}
        assert (record in ids) == (place.kind not in SQL), table
        assert None not in {row["updated_at"] for row in place.rows(table)}


@pytest.mark.parametrize("place", [*SQL, "csv", "delta"], indirect=True)
def test_flag(sandbox: Sandbox, source: Make, place: Place) -> None:
    """With `flag`, what is gone is flagged where rows can be updated, and else stays as it was."""
    place.run(source(deletions="flag").with_resources(*DELETED))
    gone = delete(sandbox)
    place.run(source(deletions="flag", full_read=True).with_resources(*DELETED))
    for table, record in gone.items():
        flags = {int(row["id"]): row.get("_deleted_at") for row in place.rows(table)}
        assert bool(flags[record]) == (place.kind in SQL), table
        del flags[record]
        assert not any(flags.values()), table


def test_empty_account(sandbox: Sandbox, source: Make, place: Place) -> None:
    """An empty account loads, and loads again with what is added later."""
    tables = ("company", "users", *DELETED)
    invoice = dict(next(iter(sandbox.account.records["invoices"].values())))
    empty(sandbox)
    place.run(source().with_resources(*tables))
    assert_holds(place, sandbox, *tables)
    sandbox.account.add("invoices", {**invoice, "updated_at": sandbox.clock.stamp()})
    place.run(source().with_resources(*tables))
    assert_holds(place, sandbox, *tables)


@pytest.mark.parametrize("place", ["parquet"], indirect=True)
def test_no_repetition(sandbox: Sandbox, source: Make, place: Place) -> None:
    """Where rows are only appended, a due full read does not append the account once more."""
    place.run(source().with_resources(*EDITED))
    before = {table: len(place.rows(table)) for table in EDITED}
    sandbox.clock.shift(days=2)
    place.run(source().with_resources(*EDITED))
    for name, rows in before.items():
        # A few are read again in each run: those of the last minute, and running timers.
        assert len(place.rows(name)) <= rows + 5, name


@pytest.mark.parametrize("place", ["csv"], indirect=True)
def test_once_in_a_package(sandbox: Sandbox, source: Make, place: Place) -> None:
    """Where rows are only appended, a record comes once in a load."""
    place.run(source().with_resources(*EDITED))
    edit(sandbox)
    place.run(source().with_resources(*EDITED))
    rows = place.rows("time_entries")
    assert len({(row["id"], row["_dlt_load_id"]) for row in rows}) == len(rows)


@pytest.mark.parametrize("kind", ["csv", "delta"])
def test_two_destinations(
    sandbox: Sandbox, source: Make, duck: Pipeline, tmp_path: Path, kind: str
) -> None:
    """One source is run into files and into DuckDB in turn, each time as the destination can."""
    folder = tmp_path / "files"
    into_files = dlt.pipeline(
        "files", destination=dlt.destinations.filesystem(str(folder)), dataset_name="harvest_data"
    )
    place = Place(kind, into_files, folder)
    tables = "clients", "invoices"
    same = source(full_read=True).with_resources(*tables)
    for _ in range(2):
        place.run(same)
        duck.run(same)
        assert_equal(duck, sandbox, *tables)
        clients = sandbox.account.records["clients"]
        there = {row["id"] for row in place.latest("clients", ("id",))}
        assert there >= clients.keys()
        sandbox.account.update("clients", next(iter(clients)), name="New")
        sandbox.account.delete("clients", max(clients))


def test_notice(source: Make, place: Place, told: list[str]) -> None:
    """What a destination can't do is said once in a line, and there is nothing else to read."""
    place.run(source().with_resources("clients", "invoices"))
    expected = {"parquet": "can't be replaced", "csv": "can't be replaced",
                "delta": "not removed", "iceberg": "not removed"}.get(place.kind)  # fmt: skip
    if expected is None:
        assert told == []
    else:
        (line,) = told
        assert expected in line


TABLE: TTableSchema = {"name": "invoices", "write_disposition": "merge", "columns": {}}

WAREHOUSES = "snowflake bigquery mssql redshift databricks motherduck synapse".split()


@pytest.mark.parametrize("name", WAREHOUSES)
def test_warehouses(name: str) -> None:
    """By dlt's description, warehouses merge, remove and flag; nothing is given up there."""
    capabilities = getattr(dlt.destinations, name)().capabilities()
    can = abilities(name, capabilities, TABLE, speaks_sql=True)
    assert can.merge_strategy == "delete-insert"
    assert (can.deletions("remove"), can.deletions("flag")) == ("remove", "flag")
    assert can.full_reads
    assert can.makes_empty_tables
    assert can.notice is None


def test_clickhouse() -> None:
    """ClickHouse removes rows and can't flag them, for want of a plain UPDATE."""
    capabilities = dlt.destinations.clickhouse().capabilities()
    can = abilities("clickhouse", capabilities, TABLE, speaks_sql=True)
    assert can.deletions("remove") == "remove"
    assert can.deletions("flag") == "keep"


def test_athena() -> None:
    """Athena merges Iceberg tables, and appends to others, as plain files do."""
    capabilities = dlt.destinations.athena().capabilities()
    iceberg: TTableSchema = {**TABLE, "table_format": "iceberg"}
    assert abilities("athena", capabilities, iceberg, speaks_sql=True).merges
    plain = abilities("athena", capabilities, TABLE, speaks_sql=True)
    assert not plain.merges
    assert plain.deletions("remove") == "keep"
