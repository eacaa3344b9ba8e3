"""When Harvest changes what it sends, nothing is lost and nothing fails silently."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest
from dlt import Pipeline

from harvest.settings import Sizes
from harvest_sandbox import Sandbox

from .running import Make, failure
from .truth import assert_equal, read


def edit_first(sandbox: Sandbox, table: str, **fields: Any) -> int:
    """Change a record; return its id."""
    record = next(iter(sandbox.account.records[table]))
    sandbox.account.update(table, record, **fields)
    return record


def row_of(pipeline: Pipeline, table: str, record: int) -> dict[str, Any]:
    """Return the row of a record."""
    (row,) = [row for row in read(pipeline, table) if row["id"] == record]
    return row


def test_new_fields(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """New fields, objects and lists arrive by inference, decimals exact, before and after."""
    pipeline.run(source().with_resources("clients"))
    added = {
        "discount": Decimal("0.1"),
        "seen_at": "2026-01-02T03:04:05Z",
        "size": 2**40,
        "is_vip": True,
        "parent": {"id": 5, "name": "Ünïcode"},
        "tags": ["a", "b"],
        "sites": [{"city": "Zürich", "rent": Decimal("12.345")}],
    }
    client = edit_first(sandbox, "clients", **added)
    pipeline.run(source().with_resources("clients"))
    row = row_of(pipeline, "clients", client)
    assert row["discount"] == Decimal("0.1")
    assert (row["size"], row["is_vip"], row["parent__name"]) == (2**40, True, "Ünïcode")
    assert {r["value"] for r in read(pipeline, "clients__tags")} == {"a", "b"}
    (site,) = read(pipeline, "clients__sites")
    assert site["rent"] == Decimal("12.345")


def test_numbers_as_text(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A number that comes as text is still that number."""
    duck.run(source().with_resources("time_entries"))
    numbers = {"hours": "1.25", "billable_rate": "100"}
    record = edit_first(sandbox, "time_entries", is_running=False, **numbers)
    duck.run(source().with_resources("time_entries"))
    row = row_of(duck, "time_entries", record)
    assert (row["hours"], row["billable_rate"]) == (Decimal("1.25"), Decimal(100))


def test_other_type(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """A value that does not fit its column is kept beside it, and the row is whole."""
    pipeline.run(source().with_resources("projects"))
    record = edit_first(sandbox, "projects", budget="lots", is_active="maybe", starts_on="soon")
    pipeline.run(source().with_resources("projects"))
    row = row_of(pipeline, "projects", record)
    assert row["budget"] is None
    assert {"lots", "maybe", "soon"} <= set(row.values())


def test_nulls_and_missing_keys(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Nulls where there were never any, and keys that are missing, are nulls."""
    bare = {"id", "created_at", "updated_at", "line_items"}
    for record in sandbox.account.records["invoices"].values():
        for field in record.keys() - bare - {"client", "issue_date", "creator"}:
            record[field] = None
    sandbox.account.absent = {"users": {"cost_rate", "roles", "weekly_capacity"}}
    chosen = ("invoices", "users")
    pipeline.run(source().with_resources(*chosen))
    assert_equal(pipeline, sandbox, *chosen)


def test_nothing_but_id(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A record that has lost all its fields, lists and objects included, is still a row."""

    def strip(body: dict[str, Any]) -> None:
        body["invoices"] = [{"id": record["id"]} for record in body["invoices"]]

    sandbox.fault("mutate", path="invoices$", times=-1, change=strip)
    duck.run(source().with_resources("invoices"))
    assert {r["id"] for r in read(duck, "invoices")} == sandbox.account.records["invoices"].keys()
    duck.run(source().with_resources("invoices"))


def test_large_note(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """A note of 10 MB arrives whole, unknown states as they are."""
    note = "Ä🚀'\"\\\n\t;--" * 800_000
    entry = edit_first(sandbox, "time_entries", notes=note, approval_status="pondered")
    pipeline.run(source().with_resources("time_entries"))
    row = row_of(pipeline, "time_entries", entry)
    assert row["notes"] == note
    assert row["approval_status"] == "pondered"


def test_fine_number(
    sandbox: Sandbox, source: Make, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """A number with more places than a column is rounded with a warning, and fails no load."""
    logging.getLogger("dlt").propagate = True
    client = edit_first(sandbox, "clients", share=Decimal("0.12345678901234"))
    project = edit_first(sandbox, "projects", fee=Decimal("1E+3"), budget=Decimal("2.50"))
    with caplog.at_level(logging.WARNING):
        pipeline.run(source().with_resources("clients", "projects"))
    assert row_of(pipeline, "clients", client)["share"] == Decimal("0.123456789")
    row = row_of(pipeline, "projects", project)
    assert (row["fee"], row["budget"]) == (Decimal(1000), Decimal("2.50"))
    assert "0.12345678901234 was rounded" in caplog.text


def test_no_stamp(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Records without `updated_at` are loaded, and hold no cursor back."""
    sandbox.account.absent = {"tasks": {"updated_at"}}
    duck.run(source().with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")
    duck.run(source().with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")


def test_bad_stamp(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """An `updated_at` that is no timestamp is an error, since a change could be missed."""

    def spoil(body: dict[str, Any]) -> None:
        body["tasks"][0]["updated_at"] = "yesterday"

    sandbox.fault("mutate", path="tasks", times=-1, change=spoil)
    assert "has 'yesterday' as `updated_at`" in str(failure(duck, source().with_resources("tasks")))


@pytest.mark.parametrize(
    "spoil", [{"name": "no id"}, {"id": None}, {"id": "x"}, {"id": True}, "not an object"]
)
def test_no_id(
    sandbox: Sandbox,
    source: Make,
    duck: Pipeline,
    spoil: Any,
) -> None:
    """A record without an id is an error after all attempts, never left out."""

    def change(body: dict[str, Any]) -> None:
        body["tasks"][0] = spoil

    sandbox.fault("mutate", path="tasks", times=-1, change=change)
    made = source(sizes=Sizes(max_attempts=2)).with_resources("tasks")
    assert "a record of `tasks` has no valid id" in str(failure(duck, made))


def test_ids_as_text(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Ids that come as text are the same ids: nothing is doubled or taken for deleted."""
    duck.run(source().with_resources("tasks", "clients"))

    def change(body: dict[str, Any]) -> None:
        for record in body["tasks"]:
            record["id"] = str(record["id"])

    sandbox.fault("mutate", path="tasks", times=-1, change=change)
    duck.run(source(full_read=True).with_resources("tasks", "clients"))
    assert_equal(duck, sandbox, "tasks", "clients")


@pytest.mark.parametrize("styles", [("page", "cursor"), ("cursor", "page")])
@pytest.mark.parametrize("at", [5, 12, 30])
def test_way_of_paging_changes(
    sandbox: Sandbox, source: Make, duck: Pipeline, styles: tuple[str, str], at: int
) -> None:
    """Lists that change their way of paging while they are read, between two pages, stay whole."""
    sandbox.page_cap = 10
    tables = ("time_entries", "expenses", "invoices", "invoice_payments", "projects", "users")

    def switch(number: int, _: object) -> None:
        sandbox.styles = styles[number >= at]

    switch(0, None)
    sandbox.before_request = switch
    duck.run(source().with_resources(*tables))
    assert_equal(duck, sandbox, *tables)
