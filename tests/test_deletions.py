"""What Harvest deleted leaves the destination, and nothing else does."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import pytest
from dlt import Pipeline

from harvest.extract.state import last_run
from harvest.settings import Sizes
from harvest_sandbox import Sandbox

from .running import Make, failure
from .truth import ALWAYS, assert_equal, read, read_each

DELETED = (
    "time_entries", "expenses", "invoices", "estimates", "clients", "contacts", "tasks", "users",
    "roles", "user_assignments", "task_assignments", "expense_categories", "invoice_payments",
)  # fmt: skip

FEW = ("time_entries", "invoices", "invoice_payments")
"""A list by date, one with nested lists, and its children."""

MESSAGES = ("invoices", "invoice_messages")
"""Children of which there are many, and their parents."""

FLAGGED = ("time_entries", "invoices", "clients", "users", "roles", "invoice_payments")
"""A list by date, one with nested lists, lists by page with and without stamps, and children."""


def delete_one_of_each(sandbox: Sandbox) -> dict[str, int]:
    """Delete a record of many tables; return their ids."""
    gone = {}
    for table in DELETED:
        gone[table] = list(sandbox.account.records[table])[-1]  # the first user owns the token
        sandbox.account.delete(table, gone[table])
    return gone


def test_full_read_removes(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """A full read removes what is gone, with its child tables and children, and mends the rest.

    All tables on DuckDB, and one of each kind on Postgres.
    """
    whole = pipeline.destination.destination_name == "duckdb"
    tables = () if whole else (*FEW, "clients", "roles")
    chosen = tables or tuple(endpoint.name for endpoint in ALWAYS)
    pipeline.run(source().with_resources(*chosen))
    delete_one_of_each(sandbox)
    sandbox.account.delete("projects", next(iter(sandbox.account.records["projects"])))
    client = next(iter(sandbox.account.records["clients"]))
    sandbox.account.update("clients", client, name="renamed, unstamped in what nests it")
    pipeline.run(source(full_read=True).with_resources(*chosen))
    assert_equal(pipeline, sandbox, *tables)


def test_log(
    sandbox: Sandbox,
    source: Make,
    duck: Pipeline,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log names the rows that go, and whether a child's parent is gone too."""
    duck.run(source().with_resources("clients", "invoices", "invoice_payments"))
    client = list(sandbox.account.records["clients"])[-1]
    payments = sandbox.account.parent_of["invoice_payments"]
    payment, invoice = next(iter(payments.items()))
    sandbox.account.delete("clients", client)
    sandbox.account.delete("invoices", invoice)
    monkeypatch.setattr(logging.getLogger("dlt"), "propagate", True)
    with caplog.at_level(logging.INFO, logger="dlt"):
        reader = source(full_read=True).with_resources("clients", "invoices", "invoice_payments")
        duck.run(reader)
    whose = f"of account {sandbox.account_id} count as deleted, since Harvest lists them no more:"
    assert f"`clients`: 1 rows {whose} {client}." in caplog.text
    assert f"{payment} of invoices {invoice} (gone too)" in caplog.text


@pytest.mark.parametrize("at_once", [1, 146, 147])  # of 147 that are left: all but one, and all
def test_in_pieces(sandbox: Sandbox, source: Make, duck: Pipeline, at_once: int) -> None:
    """What is gone is found in whatever pieces the keys are read, at either end and between."""
    duck.run(source().with_resources("time_entries"))
    entries = sorted(sandbox.account.records["time_entries"])
    for entry in (entries[0], entries[len(entries) // 2], entries[-1]):
        sandbox.account.delete("time_entries", entry)
    sizes = Sizes(keys_at_once=at_once)
    duck.run(source(full_read=True, sizes=sizes).with_resources("time_entries"))
    assert_equal(duck, sandbox, "time_entries")


def test_flag(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """With `flag`, what is gone stays with the time, and lives again when it comes back."""
    pipeline.run(source(deletions="flag").with_resources(*FLAGGED))
    before = {table: len(rows) for table, rows in read_each(pipeline, FLAGGED).items()}
    items = len(read(pipeline, "invoices__line_items"))
    client = list(sandbox.account.records["clients"])[-1]
    record = {**sandbox.account.records["clients"][client]}
    gone = delete_one_of_each(sandbox)
    pipeline.run(source(deletions="flag", full_read=True).with_resources(*FLAGGED))
    for table, after in read_each(pipeline, FLAGGED).items():
        rows = {row["id"]: row["_deleted_at"] for row in after}
        assert len(rows) == before[table]
        assert isinstance(rows[gone[table]], datetime)
        living = sandbox.account.records[table].keys()
        assert {record_id for record_id, moment in rows.items() if moment is None} == living
    assert len(read(pipeline, "invoices__line_items")) == items
    assert client == gone["clients"]
    sandbox.account.add("clients", {**record, "updated_at": sandbox.clock.stamp()})
    pipeline.run(source(deletions="flag").with_resources("clients"))
    (row,) = [row for row in read(pipeline, "clients") if row["id"] == client]
    assert row["_deleted_at"] is None


def test_keep(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """With `keep`, what is gone stays as it was."""
    duck.run(source(deletions="keep").with_resources(*FEW))
    before = read_each(duck, FEW)
    delete_one_of_each(sandbox)
    duck.run(source(deletions="keep", full_read=True).with_resources(*FEW))
    for table, rows in read_each(duck, FEW).items():
        assert {row["id"] for row in before[table]} == {row["id"] for row in rows}


def test_flag_then_remove(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Rows flagged before go when the setting becomes `remove`."""
    duck.run(source(deletions="flag").with_resources(*FEW))
    delete_one_of_each(sandbox)
    duck.run(source(deletions="flag", full_read=True).with_resources(*FEW))
    duck.run(source(deletions="remove", full_read=True).with_resources(*FEW))
    assert_equal(duck, sandbox, *FEW)


def test_when(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Deletions are found when asked, when the last full read is old enough, and not before."""
    entries = ("time_entries",)
    duck.run(source().with_resources(*entries))
    entry = next(iter(sandbox.account.records["time_entries"]))
    sandbox.account.delete("time_entries", entry)
    for settings in ({"full_read_hours": -1}, {}):
        duck.run(source(**settings).with_resources(*entries))
        assert entry in {row["id"] for row in read(duck, "time_entries")}
    duck.run(source(full_read_hours=0).with_resources(*entries))
    assert_equal(duck, sandbox, *entries)


def test_suspicious(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Most rows of a table gone is an error that changes nothing, until the user confirms it."""
    tables = ("time_entries", "clients")
    duck.run(source().with_resources(*tables))
    before = read(duck, "time_entries")
    for entry in list(sandbox.account.records["time_entries"])[10:]:
        sandbox.account.delete("time_entries", entry)
    said = str(failure(duck, source(full_read=True).with_resources(*tables)))
    assert "`time_entries`: Harvest no longer lists 140 of the 150" in said
    assert "confirm_deletions" in said
    assert read(duck, "time_entries") == before
    duck.run(source(full_read=True, confirm_deletions=True).with_resources(*tables))
    assert_equal(duck, sandbox, *tables)


def test_suspicious_children(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Children that go while their parents stay are suspicious too."""
    duck.run(source().with_resources(*MESSAGES))
    messages = list(sandbox.account.records["invoice_messages"])
    assert len(messages) >= 10
    for message in messages:
        sandbox.account.delete("invoice_messages", message)
    assert "`invoice_messages`" in str(failure(duck, source().with_resources(*MESSAGES)))
    duck.run(source(confirm_deletions=True).with_resources(*MESSAGES))
    assert read(duck, "invoice_messages") == []


def test_suspicious_flags_nothing(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """With `flag` too, a suspicious run changes nothing."""
    duck.run(source(deletions="flag").with_resources(*MESSAGES))
    for message in list(sandbox.account.records["invoice_messages"]):
        sandbox.account.delete("invoice_messages", message)
    assert "`invoice_messages`" in str(
        failure(duck, source(deletions="flag").with_resources(*MESSAGES))
    )
    assert {row["_deleted_at"] for row in read(duck, "invoice_messages")} == {None}
    duck.run(source(deletions="flag", confirm_deletions=True).with_resources(*MESSAGES))
    assert None not in {row["_deleted_at"] for row in read(duck, "invoice_messages")}


def narrow(sandbox: Sandbox, **fields: Any) -> None:
    """Let the token's owner see less."""
    owner = sandbox.users[sandbox.token]
    assert owner
    sandbox.account.update("users", owner, **fields)


def test_narrower_token(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A token that sees less than the one before removes nothing, and says so."""
    chosen = ("expenses",)
    duck.run(source().with_resources(*chosen))
    owner = sandbox.users[sandbox.token]
    assert owner
    narrow(sandbox, access_roles=["member"])
    duck.run(source(full_read=True).with_resources(*chosen))
    assert_equal(duck, sandbox, *chosen)
    said = last_run(duck).deletions_stopped
    assert "the token sees less than the one before it" in said
    narrow(sandbox, access_roles=["administrator"])
    sandbox.account.delete("expenses", next(iter(sandbox.account.records["expenses"])))
    duck.run(source(full_read=True).with_resources(*chosen))
    assert_equal(duck, sandbox, *chosen)
    assert not last_run(duck).deletions_stopped


def test_other_member(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """The token of another person of the same role removes nothing: it shows other rows."""
    duck.run(source(api_key=sandbox.manager_token).with_resources("time_entries"))
    before = read(duck, "time_entries")
    settings = {"api_key": sandbox.member_token, "full_read": True}
    duck.run(source(**settings).with_resources("time_entries"))
    assert {row["id"] for row in read(duck, "time_entries")} >= {row["id"] for row in before}


def test_fault_removes_nothing(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A list cut short by a fault removes nothing: the whole run fails, and the next mends it."""
    duck.run(source().with_resources("clients"))
    before = read(duck, "clients")
    sandbox.page_cap = 3
    sandbox.fault("status", path="clients", after=1, times=-1, status=403)
    failure(duck, source(full_read=True).with_resources("clients"))
    assert read(duck, "clients") == before
    sandbox.faults.clear()
    sandbox.account.delete("clients", before[0]["id"])
    duck.run(source(full_read=True).with_resources("clients"))
    assert_equal(duck, sandbox, "clients")


def test_module_switched_off_empty(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A module that was switched off and answers with empty lists removes nothing."""
    duck.run(source().with_resources("expenses"))
    before = read(duck, "expenses")

    def empty(body: dict[str, Any]) -> None:
        body["expenses"], body["total_entries"] = [], 0

    def switch_off(body: dict[str, Any]) -> None:
        body["expense_feature"] = False

    sandbox.fault("mutate", path="expenses", times=-1, change=empty)
    sandbox.fault("mutate", path="company", times=-1, change=switch_off)
    duck.run(source(full_read=True).with_resources("expenses"))
    assert read(duck, "expenses") == before
