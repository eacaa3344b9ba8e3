"""A run leaves in the destination what Harvest holds."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import dlt
import pytest
from dlt import Pipeline

from harvest import connection
from harvest.extract.state import last_run
from harvest_sandbox import Sandbox

from .running import Make, loads, run_script, written
from .truth import ALWAYS, assert_equal, read

OF_ALL_KINDS = ("time_entries", "clients", "invoices", "invoice_payments", "company", "roles")
"""One thing, lists by their changes and without, by date, with nested tables, and children."""


def test_full_sync(
    sandbox: Sandbox, source: Make, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first run brings every table, value for value, types included.

    A full read of the account, which did not change, writes no row, and counts what it read.
    """
    monkeypatch.setattr(connection, "ROWS_AT_ONCE", 7)
    tables = [endpoint.name for endpoint in ALWAYS]
    pipeline.run(source())
    assert_equal(pipeline, sandbox)
    before = loads(pipeline, *tables)
    pipeline.run(source(full_read=True))
    assert written(pipeline) == {}
    assert loads(pipeline, *tables) == before
    unchanged = last_run(pipeline).unchanged
    assert unchanged == {table: len(rows) for table, rows in before.items() if rows}


def test_nothing_changed(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A second run with nothing new asks only for changes, writes no row, leaves the truth."""
    duck.run(source().with_resources(*OF_ALL_KINDS))
    sandbox.log.clear()
    duck.run(source().with_resources(*OF_ALL_KINDS))
    assert written(duck) == {}
    assert_equal(duck, sandbox, *OF_ALL_KINDS)
    changes, running = [r.params for r in sandbox.log if r.path == "/v2/time_entries"]
    assert "updated_since" in changes
    assert running["is_running"] == "true"
    (roles,) = [r.params for r in sandbox.log if r.path == "/v2/roles"]
    assert "updated_since" not in roles


def test_no_row_changed(sandbox: Sandbox, source: Make, postgres: Pipeline) -> None:
    """A second run that brings no row at all of some tables loads too: on Postgres no file may."""
    sandbox.updated_since_exclusive = True
    for _ in range(2):
        postgres.run(source().with_resources(*OF_ALL_KINDS))
    assert_equal(postgres, sandbox, *OF_ALL_KINDS)


def test_changes(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """A second run brings what changed, what is new, and drops deleted children."""
    tables = ("time_entries", "clients", "invoices", "invoice_messages", "invoice_payments")
    pipeline.run(source().with_resources(*tables))
    account = sandbox.account
    entry = next(iter(account.records["time_entries"]))
    account.update("time_entries", entry, hours=Decimal("12345678901234567.89"), notes="")
    account.update("clients", next(iter(account.records["clients"])), address="Straße 1")
    message = next(iter(account.records["invoice_messages"]))
    account.delete("invoice_messages", message)
    invoice = account.rows("invoices")[0]
    account.add("invoice_payments", {**_payment(), "amount": Decimal("0.1")}, invoice["id"])
    pipeline.run(source().with_resources(*tables))
    assert_equal(pipeline, sandbox, *tables)


@pytest.mark.parametrize("name", [endpoint.name for endpoint in ALWAYS])
def test_each_alone(sandbox: Sandbox, source: Make, duck: Pipeline, name: str) -> None:
    """Each table alone asks Harvest only for itself, its parent's list and what the token sees."""
    duck.extract(source().with_resources(name))
    assert last_run(duck).written == {name: len(sandbox.account.truth(name))}
    roots = {r.path.split("/")[2] for r in sandbox.log if r.path != "/v2/users/me"}
    endpoint = next(e for e in ALWAYS if e.name == name)
    assert roots == {endpoint.parent or endpoint.path}


def test_children_first(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A child loaded before or without its parent does not move the parent's cursor."""
    duck.run(source().with_resources("invoice_payments"))
    duck.run(source().with_resources("invoices"))
    sandbox.clock.shift(hours=1)
    sandbox.account.update("invoices", min(sandbox.account.records["invoices"]), notes="new")
    sandbox.clock.shift(hours=1)
    sandbox.account.update("invoices", max(sandbox.account.records["invoices"]), notes="newer")
    duck.run(source().with_resources("invoice_payments"))
    duck.run(source().with_resources("invoices"))
    assert_equal(duck, sandbox, "invoices", "invoice_payments")


def test_last_child_deleted(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """When Harvest's last payment is gone, the table is empty."""
    duck.run(source().with_resources("invoice_payments"))
    for payment in list(sandbox.account.records["invoice_payments"]):
        sandbox.account.delete("invoice_payments", payment)
    duck.run(source().with_resources("invoice_payments"))
    assert read(duck, "invoice_payments") == []


def test_empty_account(source: Make, duck: Pipeline, sandbox: Sandbox) -> None:
    """Every documented column exists though the table is empty."""
    for entry in list(sandbox.account.records["time_entries"]):
        sandbox.account.delete("time_entries", entry)
    duck.run(source().with_resources("time_entries"))
    assert read(duck, "time_entries") == []
    assert "external_reference__id" in duck.default_schema.get_table_columns("time_entries")


def test_anchor(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """The anchor bounds history only; an earlier one brings more, a later one loses nothing."""
    stamps = sorted(r["updated_at"] for r in sandbox.account.truth("time_entries"))
    later = stamps[len(stamps) // 2]
    chosen = ("time_entries", "clients")
    duck.run(source(anchor_date=later).with_resources(*chosen))
    assert_equal(duck, sandbox, "clients")
    assert {_iso(r) for r in read(duck, "time_entries")} == {s for s in stamps if s >= later}
    duck.run(source(anchor_date="2010-01-01").with_resources(*chosen))
    assert_equal(duck, sandbox, *chosen)
    duck.run(source(anchor_date=later).with_resources(*chosen))
    assert_equal(duck, sandbox, *chosen)


def test_no_local_state(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A run on a new machine goes on from the state in the destination."""
    tables = ("time_entries", "invoice_messages")
    duck.run(source().with_resources(*tables))
    duck.drop()
    sandbox.log.clear()
    duck.run(source().with_resources(*tables))
    changes, _ = [r.params for r in sandbox.log if r.path == "/v2/time_entries"]
    assert not changes["updated_since"].startswith("2010")
    assert_equal(duck, sandbox, *tables)


@pytest.mark.parametrize("style", ["page", "cursor"])
@pytest.mark.parametrize(("cap", "by_date"), [(1, "expenses"), (7, "time_entries")])
def test_pages(
    sandbox: Sandbox, source: Make, duck: Pipeline, style: str, cap: int, by_date: str
) -> None:
    """Every record arrives in either style, whatever a page holds."""
    sandbox.styles, sandbox.page_cap = style, cap
    duck.run(source().with_resources(by_date, "clients"))
    assert_equal(duck, sandbox, by_date, "clients")


def test_new_field(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A field that Harvest adds later arrives by inference, its decimals exact."""
    duck.run(source().with_resources("clients"))
    first = next(iter(sandbox.account.records["clients"]))
    sandbox.account.update("clients", first, discount=Decimal("0.1"), tags=["a"])
    duck.run(source().with_resources("clients"))
    row = next(r for r in read(duck, "clients") if r["id"] == first)
    assert row["discount"] == Decimal("0.1")
    assert [r["value"] for r in read(duck, "clients__tags")] == ["a"]


@pytest.mark.parametrize("style", ["page", "cursor"])
@pytest.mark.parametrize("count", [0, 2000, 2001])
def test_page_edges(sandbox: Sandbox, source: Make, duck: Pipeline, style: str, count: int) -> None:
    """Lists that are empty, that fill a page, or that have one record more, are whole."""
    sandbox.styles = style
    for task in list(sandbox.account.records["tasks"]):
        sandbox.account.delete("tasks", task)
    for number in range(count):
        sandbox.account.add("tasks", {"name": f"Task {number}", "is_active": True})
    duck.run(source().with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")


def test_same_source_again(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """One source object can be run again and again, each time as if it were new."""
    tables = ("tasks", "invoices", "invoice_messages")
    same = source().with_resources(*tables)
    duck.run(same)
    account = sandbox.account
    account.update("tasks", next(iter(account.records["tasks"])), is_default=True)
    account.delete("invoice_messages", next(iter(account.records["invoice_messages"])))
    duck.run(same)
    assert_equal(duck, sandbox, *tables)


def test_without_pipeline(sandbox: Sandbox, source: Make) -> None:
    """Resources can be looked at without running a pipeline."""
    dlt.pipeline("looking")  # the state of the last one would count
    assert len(list(source().clients)) == len(sandbox.account.records["clients"])
    payments = [r for r in source().invoice_payments if "id" in r]
    assert {r["id"] for r in payments} == sandbox.account.records["invoice_payments"].keys()


def test_script_with_secrets(sandbox: Sandbox, tmp_path: Path) -> None:
    """The script takes secrets from .dlt/secrets.toml, the account id as a number too."""
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text(
        f'[sources.harvest]\napi_key = "{sandbox.token}"\naccount_id = {sandbox.account_id}\n'
        f'base_url = "{sandbox.base_url}"\nanchor_date = 2010-01-01\n'
    )
    for _ in range(2):
        done = run_script("time_entries", "clients", home=tmp_path)
        assert done.returncode == 0, done.stderr
        assert re.search(r"time_entries( +\d+){4} +150\n", done.stdout)


def _payment() -> dict[str, object]:
    return {
        "paid_at": "2024-05-01T00:00:00Z",
        "paid_date": "2024-05-01",
        "recorded_by": None,
        "recorded_by_email": None,
        "notes": "",
        "transaction_id": None,
        "payment_gateway": {"id": None, "name": None},
    }


def _iso(row: dict[str, object]) -> str:
    import datetime as dt

    stamp = row["updated_at"]
    assert isinstance(stamp, dt.datetime)
    return stamp.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
