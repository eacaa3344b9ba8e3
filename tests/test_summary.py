"""After a run its summary says what became of each table's rows, and what it took."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from dlt import Pipeline

from harvest.run import load
from harvest.summary import Rows
from harvest_sandbox import Sandbox

from .truth import read

Settings = dict[str, Any]

TABLES = ("clients", "time_entries", "invoices", "invoice_payments", "company")


@pytest.mark.parametrize(
    ("deletions", "kind"), [("remove", "duck"), ("flag", "duck"), ("flag", "postgres")]
)
def test_figures(
    sandbox: Sandbox,
    settings: Settings,
    request: pytest.FixtureRequest,
    deletions: str,
    kind: str,
) -> None:
    """Rows that were added, changed and removed are counted, and all others are unchanged."""
    pipeline: Pipeline = request.getfixturevalue(kind)
    settings["deletions"] = deletions
    account = sandbox.account
    for entry in account.truth("time_entries"):
        if entry["is_running"]:  # its hours would change all the time
            account.update("time_entries", entry["id"], is_running=False, timer_started_at=None)
    sandbox.clock.shift(hours=-1)
    first = load(pipeline, *TABLES, **settings)
    for table in TABLES[:-1]:
        rows = first.tables[table]
        held = len(account.truth(table))
        assert (rows.added, rows.changed, rows.unchanged, rows.now) == (held, 0, 0, held)
    sandbox.clock.shift(minutes=30)
    quiet = load(pipeline, *TABLES, **settings)
    for table in TABLES[:-1]:
        rows, held = quiet.tables[table], len(account.truth(table))
        assert (rows.added, rows.changed, rows.removed, rows.unchanged) == (0, 0, 0, held), table
    sandbox.clock.shift(minutes=20)
    expected = {}
    for table in TABLES[:-1]:
        held = len(account.truth(table))
        mine = list(account.records[table])
        account.delete(table, mine[-1])
        gone = held - len(account.truth(table))
        changed = {"invoice_payments": {"amount": Decimal(1)}}.get(table, {"notes": "new"})
        for record in mine[:2]:
            account.update(table, record, **changed)
        expected[table] = (held, gone)
    new = {"id": account.new_id(), "created_at": sandbox.clock.stamp()}
    account.add("clients", {**account.truth("clients")[0], **new})
    summary = load(pipeline, *TABLES, **settings, full_read=True)
    for table, (_, gone) in expected.items():
        rows = summary.tables[table]
        assert rows.now == len(read(pipeline, table))
        assert rows.removed + rows.flagged == gone, table
        assert bool(rows.flagged) == (deletions == "flag")
        assert rows.added == (table == "clients")
        assert rows.added + (rows.changed or 0) + rows.unchanged + rows.flagged == rows.now
    assert summary.tables["clients"].changed == 2
    assert summary.tables["time_entries"].changed == 2
    lines = str(summary).splitlines()
    assert lines[0].split() == ["table", "added", "changed", "removed"] + (
        ["flagged"] if deletions == "flag" else []
    ) + ["unchanged", "now"]
    (items,) = [line for line in lines if line.startswith("invoices__line_items")]
    assert items.split()[1:] == [str(len(read(pipeline, "invoices__line_items")))]


def test_requests(sandbox: Sandbox, settings: Settings, duck: Pipeline) -> None:
    """The requests of all batches are counted, and those that Harvest refused."""
    sandbox.fault("status", path="clients", status=503)
    summary = load(duck, "clients", "time_entries", "invoices", "invoice_payments", **settings)
    assert summary.requests == len(sandbox.log)
    assert f"{summary.requests:,} requests, " in str(summary)


def test_history(settings: Settings, duck: Pipeline) -> None:
    """The summary says from when on the history is whole, where tables have one."""
    settings["anchor_date"] = "2024-02-03"
    assert load(duck, "clients", **settings).history_from is None
    said = load(duck, "time_entries", **settings).as_dict()
    assert said["history_from"] == "2024-02-03T00:00:00+00:00"
    settings["anchor_date"] = "all"
    assert load(duck, "time_entries", **settings).history_from is None


def test_other_machine(settings: Settings, duck: Pipeline) -> None:
    """A machine that has no state of its own counts what another one loaded."""
    load(duck, "clients", **settings)
    duck.drop()
    rows = load(duck, "clients", **settings).tables["clients"]
    assert (rows.added, rows.unchanged) == (0, 8)


def test_refresh(settings: Settings, duck: Pipeline) -> None:
    """What a refresh drops and reads anew counts as added."""
    load(duck, "clients", "tasks", **settings)
    summary = load(duck, "clients", "tasks", refresh=["clients"], **settings)
    assert summary.tables["clients"].added == 8
    assert summary.tables["tasks"].added == 0


def test_untold() -> None:
    """What can't be told is not said."""
    assert Rows(before=2, now=3, loaded=3).as_dict() == {"now": 3, "loaded": 3}
