"""A run writes only what changed, so `_dlt_load_id` says when a row last changed."""

from __future__ import annotations

from typing import Any

import pytest
from dlt import Pipeline

from harvest.extract.state import last_run
from harvest.run import load
from harvest_sandbox import Sandbox

from .running import LONGER, Make, execute, loads
from .truth import assert_equal, read


def test_children_behind(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A list that is read from its children's cursor on writes none of its rows again."""
    tables, behind = ("invoices", "invoice_messages"), {"children": "changed"}
    duck.run(source(**behind).with_resources(*tables))
    account = sandbox.account
    for invoice in list(account.records["invoices"])[:2]:
        sandbox.clock.shift(hours=1)
        account.update("invoices", invoice, notes="new")
    duck.run(source(**behind).with_resources("invoices"))
    duck.run(source(**behind).with_resources(*tables))
    assert last_run(duck).written["invoices"] == 0


def test_earlier_anchor(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """An earlier anchor in batches writes what no run before had in scope, and nothing else."""
    sandbox.page_cap = 10
    chosen = {**settings, "sizes": LONGER, "in_batches": True}
    stamps = sorted(row["updated_at"] for row in sandbox.account.truth("time_entries"))
    load(duck, "time_entries", **{**chosen, "anchor_date": stamps[75]})
    before = loads(duck, "time_entries")["time_entries"]
    load(duck, "time_entries", **chosen)
    now = loads(duck, "time_entries")["time_entries"]
    assert len(now) == len(stamps)
    assert {key: now[key] for key in before} == before


def test_one_changed(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Of each table only the row moves to the new load that changed, stamped or not."""
    tables = ("time_entries", "invoices", "clients")
    pipeline.run(source().with_resources(*tables))
    records = sandbox.account.records
    entry, invoice = next(iter(records["time_entries"])), list(records["invoices"])[-1]
    before = loads(pipeline, *tables)
    sandbox.account.records["time_entries"][entry]["notes"] = "changed without a stamp"
    item = sandbox.account.records["invoices"][invoice]["line_items"][0]
    item["description"] = "so is this line"
    pipeline.run(source(full_read=True).with_resources(*tables))
    now = loads(pipeline, *tables)
    for table, changed in (("time_entries", {entry}), ("invoices", {invoice}), ("clients", set())):
        assert {key for key, row in now[table].items() if row != before[table][key]} == changed
    assert_equal(pipeline, sandbox, *tables)


def test_hand(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Rows that somebody deleted come back with a full read, and none is doubled."""
    tables = ("invoices", "time_entries")
    pipeline.run(source().with_resources(*tables))
    entries, items, invoices = (
        f"{{dataset}}.{name}" for name in ("time_entries", "invoices__line_items", "invoices")
    )
    execute(pipeline, f"DELETE FROM {entries} WHERE id = (SELECT min(id) FROM {entries})")
    for statement in (
        f"DELETE FROM {items}",
        f"DELETE FROM {items} WHERE _dlt_list_idx = 0",
        f"DELETE FROM {invoices} WHERE id = (SELECT max(id) FROM {invoices})",
        f"DELETE FROM {invoices}",
    ):
        execute(pipeline, statement)
        pipeline.run(source(full_read=True).with_resources(*tables))
        assert_equal(pipeline, sandbox, *tables)
        for name in (*tables, "invoices__line_items"):
            rows = [row["id"] for row in read(pipeline, name)]
            assert len(rows) == len(set(rows)), (statement, name)


def test_dropped_column(
    sandbox: Sandbox, source: Make, pipeline: Pipeline, told: list[str]
) -> None:
    """A column that somebody dropped comes back with all its values, and the user is told."""
    tables = ("time_entries", "invoices")
    dropped = (("time_entries", "hours"), ("invoices__line_items", "amount"))
    pipeline.run(source().with_resources(*tables))
    for table, column in dropped:
        execute(pipeline, f"ALTER TABLE {{dataset}}.{table} DROP COLUMN {column}")
    pipeline.run(source().with_resources(*tables))
    assert_equal(pipeline, sandbox, *tables)
    for table, column in dropped:
        assert any(f"lacks {table}.{column}" in line for line in told)


def test_doubled(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Rows that stand there twice, with whatever content, are written anew."""
    tables = ("time_entries", "invoices", "estimates")
    duck.run(source().with_resources(*tables))
    execute(duck, "INSERT INTO {dataset}.time_entries SELECT * FROM {dataset}.time_entries")
    execute(
        duck,
        "INSERT INTO {dataset}.invoices SELECT * REPLACE (7 AS amount) FROM {dataset}.invoices",
    )
    execute(
        duck,
        "INSERT INTO {dataset}.estimates__line_items SELECT * FROM {dataset}.estimates__line_items",
    )
    duck.run(source(full_read=True).with_resources(*tables))
    assert_equal(duck, sandbox, *tables)


def test_flagged(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A record that was flagged as gone and comes back as it was is written again."""
    duck.run(source(deletions="flag").with_resources("clients"))
    gone = list(sandbox.account.records["clients"])[-1]
    record = {**sandbox.account.records["clients"][gone]}
    sandbox.account.delete("clients", gone)
    duck.run(source(deletions="flag", full_read=True).with_resources("clients"))
    sandbox.account.add("clients", record)
    duck.run(source(deletions="flag", full_read=True).with_resources("clients"))
    assert_equal(duck, sandbox, "clients")


def test_step_changed(source: Make, duck: Pipeline) -> None:
    """A step that a user adds later reaches all rows with the next full read."""
    duck.run(source().with_resources("users"))
    masked = source(full_read=True).with_resources("users")
    masked.resources["users"].add_map(lambda user: {**user, "email": None})
    duck.run(masked)
    assert {row["email"] for row in read(duck, "users")} == {None}


def test_extracted_twice(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """What an earlier package will write is not taken for what the destination holds."""
    duck.run(source().with_resources("clients"))
    client = next(iter(sandbox.account.records["clients"]))
    name = sandbox.account.records["clients"][client]["name"]
    sandbox.account.update("clients", client, name="for a moment")
    duck.extract(source().with_resources("clients"))
    sandbox.account.update("clients", client, name=name)
    sandbox.account.records["clients"][client]["updated_at"] = read_stamp(duck, client)
    duck.extract(source(full_read=True).with_resources("clients"))
    duck.normalize()
    duck.load()
    assert {row["name"] for row in read(duck, "clients") if row["id"] == client} == {name}


def read_stamp(pipeline: Pipeline, client: int) -> str:
    """Return when a client was last changed, as Harvest writes it."""
    (stamp,) = [r["updated_at"] for r in read(pipeline, "clients") if r["id"] == client]
    return str(stamp.astimezone(tz=None).strftime("%Y-%m-%dT%H:%M:%SZ"))


@pytest.mark.parametrize("refresh", ["drop_resources", "drop_data"])
def test_refresh(sandbox: Sandbox, source: Make, duck: Pipeline, refresh: Any) -> None:
    """A refresh by dlt drops rows, so all of them are written."""
    tables = ("invoices", "clients")
    duck.run(source().with_resources(*tables))
    duck.run(source().with_resources("invoices"), refresh=refresh)
    assert_equal(duck, sandbox, *tables)
