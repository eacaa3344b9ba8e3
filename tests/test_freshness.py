"""The dataset says how fresh each of its tables is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from dlt import Pipeline

from harvest import ENDPOINTS
from harvest.errors import PartialLoadError
from harvest.extract.freshness import FRESHNESS
from harvest.run import load
from harvest_sandbox import Sandbox

from .running import SMALL, Make, failure
from .truth import assert_equal, read

Settings = dict[str, Any]
Row = dict[str, Any]
UTC = timezone.utc


def freshness(pipeline: Pipeline) -> dict[str, Row]:
    """Return what the dataset says of each table, with times in UTC."""
    rows: dict[str, Row] = {}
    for row in read(pipeline, FRESHNESS):
        assert row["table_name"] not in rows
        rows[row["table_name"]] = {
            name: value.astimezone(timezone.utc) if isinstance(value, datetime) else value
            for name, value in row.items()
            if not name.startswith("_dlt")
        }
    return rows


def newest(sandbox: Sandbox, table: str) -> datetime | None:
    """Return the newest stamp of a table in Harvest."""
    stamps = [row["updated_at"] for row in sandbox.account.truth(table) if "updated_at" in row]
    return datetime.fromisoformat(max(stamps).replace("Z", "+00:00")) if stamps else None


def test_plain_run(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A run says of each table when it was read, when it changed, and that all of it is there."""
    duck.run(source(anchor_date="all"))
    said = freshness(duck)
    assert said.keys() == {endpoint.name for endpoint in ENDPOINTS if not endpoint.on_request}
    for table, row in said.items():
        assert row["_account_id"] == sandbox.account_id
        assert row["read_at"] == row["full_read_at"] is not None
        assert row["changed_at"] == newest(sandbox, table), table
        assert (row["history_from"], row["requests_left"], row["problem"]) == (None, None, None)
    assert_equal(duck, sandbox)


def test_later_runs(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A later run moves the rows of its own tables only, and of those only what happened."""
    moving = ("clients", "tasks", "invoice_messages")
    sandbox.clock.shift(hours=-3)
    duck.run(source().with_resources(*moving, "users", "time_entries"))
    before = freshness(duck)
    sandbox.clock.shift(hours=1)
    account = sandbox.account
    client = next(iter(account.records["clients"]))
    account.update("clients", client, address="Straße 1")
    account.delete("invoice_messages", next(iter(account.records["invoice_messages"])))
    duck.run(source().with_resources(*moving))
    after = freshness(duck)
    moved = {table for table in after if after[table] != before[table]}
    assert moved == {*moving}
    for table in moved:
        assert after[table]["read_at"] - before[table]["read_at"] >= timedelta(hours=1)
    assert after["tasks"]["changed_at"] == before["tasks"]["changed_at"]
    assert after["clients"]["changed_at"] == newest(sandbox, "clients")
    assert after["invoice_messages"]["changed_at"] == after["invoice_messages"]["read_at"]
    assert after["clients"]["full_read_at"] == before["clients"]["full_read_at"]
    assert after["invoice_messages"]["full_read_at"] == after["invoice_messages"]["read_at"]


def test_history(source: Make, duck: Pipeline) -> None:
    """The moment from which on history is whole is the anchor's, and reference data has none."""
    with Sandbox("empty", rate_limit=None) as empty:
        duck.run(source(base_url=empty.base_url, anchor_date="2024-02-03"))
    said = freshness(duck)
    for endpoint in ENDPOINTS:
        if endpoint.on_request:
            continue
        history = "invoice estimate time_entries expenses".split()
        bounded = any(endpoint.name.startswith(word) for word in history)
        bounded = bounded and not endpoint.name.endswith("categories")
        anchor = datetime(2024, 2, 3, tzinfo=timezone.utc) if bounded else None
        assert said[endpoint.name]["history_from"] == anchor, endpoint.name


def test_batches(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """While a first read comes in batches, each table says how far it came."""
    sandbox.page_cap = 10
    sizes = replace(SMALL, batch_records=80, batch_requests=30)
    names = ("time_entries", "invoice_payments")

    def run() -> tuple[Row, Row]:
        duck.run(source(in_batches=True, sizes=sizes).with_resources(*names))
        said = freshness(duck)
        return said["time_entries"], said["invoice_payments"]

    entries, payments = run()
    assert entries["requests_left"]
    assert payments["requests_left"]
    there = {row["id"] for row in read(duck, "time_entries")}
    for entry in sandbox.account.truth("time_entries"):
        whole = datetime.fromisoformat(entry["spent_date"] + "T00:00:00+00:00")
        assert whole < entries["history_from"] or entry["id"] in there
    assert entries["full_read_at"] is None
    while entries["requests_left"] or payments["requests_left"]:
        entries, payments = run()
    assert entries["history_from"] == payments["history_from"] == datetime(2010, 1, 1, tzinfo=UTC)
    assert_equal(duck, sandbox, *names)


def test_problems(sandbox: Sandbox, source: Make, settings: Settings, duck: Pipeline) -> None:
    """A table that fails, or is left out, keeps its times and says why, until it is read again."""
    for module in ("estimate_feature", "expense_feature", "invoice_feature"):
        sandbox.account.company[module] = False
    duck.run(source())  # what is named is not left out
    before = freshness(duck)
    assert before["estimate_messages"]["problem"] == "module switched off"
    assert before["estimate_messages"]["read_at"] is None
    tables = ("clients", "users", "user_cost_rates")
    sandbox.fault("status", path="v2/users$", status=422, times=-1)
    with pytest.raises(PartialLoadError):
        load(duck, *tables, **settings)
    sandbox.faults.clear()
    after = freshness(duck)
    assert "Harvest answered 422" in after["users"]["problem"]
    assert "`users` failed" in after["user_cost_rates"]["problem"]
    assert after["users"] == {**before["users"], "problem": after["users"]["problem"]}
    duck.run(source().with_resources(*tables))
    mended = freshness(duck)
    assert mended["users"]["problem"] is mended["user_cost_rates"]["problem"] is None


def test_failed_run(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A run that fails leaves what was said before."""
    duck.run(source().with_resources("tasks", "clients"))
    before = freshness(duck)
    sandbox.fault("status", path="tasks", status=422)
    failure(duck, source().with_resources("tasks", "clients"))
    assert freshness(duck) == before


def test_lost(sandbox: Sandbox, source: Make, settings: Settings, postgres: Pipeline) -> None:
    """The table comes back whole after somebody dropped it, or a refresh of one table did."""
    first = [endpoint.name for endpoint in ENDPOINTS[:3]]
    postgres.run(source().with_resources("tasks", "time_entries", *first))
    before = freshness(postgres)
    sandbox.clock.shift(minutes=1)
    with postgres.sql_client() as client:
        client.execute_sql(f"DROP TABLE {client.make_qualified_table_name(FRESHNESS)}")
    postgres.run(source().with_resources("tasks"))
    dropped = freshness(postgres)
    assert {**before, "tasks": dropped["tasks"]} == dropped
    # Whichever of them dlt takes the table to belong to.
    load(postgres, *first, refresh=True, **settings)
    refreshed = freshness(postgres)
    assert {table for table in before if refreshed[table] == before[table]} == before.keys() - {
        "tasks",
        *first,
    }


def test_replaced(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A run that replaces one table leaves what is said of the others."""
    duck.run(source().with_resources("tasks", "clients", "invoices"))
    before = freshness(duck)
    sandbox.clock.shift(minutes=1)
    duck.run(source().with_resources("tasks"), write_disposition="replace")
    after = freshness(duck)
    assert {table for table in after if after[table] != before[table]} == {"tasks"}


def test_records_only(source: Make) -> None:
    """Who looks at a resource without a pipeline sees its records only."""
    assert all("id" in row for row in source().resources["clients"])


def test_report(source: Make, duck: Pipeline) -> None:
    """A report says when it was read, and from which period on."""
    duck.run(source(anchor_date="2025-03-04").with_resources("report_time_clients"))
    row = freshness(duck)["report_time_clients"]
    assert row["read_at"]
    assert row["history_from"] == datetime(2025, 3, 1, tzinfo=UTC)
    assert row["changed_at"] is None
