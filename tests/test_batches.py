"""A long first read comes in batches, newest first, and goes on after an interruption."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from dlt import Pipeline

from harvest import HarvestError, harvest_source
from harvest.extract.state import last_run
from harvest.run import load
from harvest_sandbox import Sandbox

from .running import LONGER, SMALL, children_asked
from .truth import assert_equal, read

READ = "time_entries clients invoices invoice_payments invoice_messages".split()
"""Lists of two kinds, and children of one."""
ALL = (*READ, "roles", "users", "user_cost_rates")
"""Lists of each kind, and children of several."""


@pytest.fixture
def small(sandbox: Sandbox, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of sources that read a few records at once."""
    sandbox.page_cap = 10
    return {**settings, "sizes": SMALL}


def table_of(path: str) -> str:
    """Return the table of a request for children."""
    parents, _, children = path.removeprefix("/v2/").split("/")
    return f"{parents[:-1]}_{children}"


def newest(sandbox: Sandbox) -> set[str]:
    """Return the ids of the parents with the newest stamps: they lie in the overlap."""
    parents = ("invoices", "estimates", "users")
    rows = [max(sandbox.account.truth(t), key=lambda r: str(r["updated_at"])) for t in parents]
    return {str(row["id"]) for row in rows}


def test_batches(sandbox: Sandbox, small: dict[str, Any], duck: Pipeline) -> None:
    """All batches together bring the truth, and ask twice only for what may have changed.

    No batch sends again what an earlier one brought, but the newest record of each table, which may
    have changed within the second of its stamp. Roles, which have no filter for changes, and the
    day at which a list was left come again too.
    """
    said: list[str] = []
    summary = load(duck, *ALL, **small, tell=said.append)
    assert_equal(duck, sandbox, *ALL)
    assert len(said) >= 3
    assert "invoice_messages" in said[0]
    assert summary.tables["time_entries"].now == 150
    asked = children_asked(sandbox)
    twice = {path.split("/")[3] for path in asked if asked.count(path) > 1}
    assert twice <= newest(sandbox)
    assert not last_run(duck).requests_left
    again = {table: rows.loaded - (rows.now or 0) for table, rows in summary.tables.items()}
    lines_of_an_invoice = 3
    most = dict.fromkeys(again, lines_of_an_invoice * len(said)) | {"roles": 2 * len(said)}
    most["time_entries"] = SMALL.batch_records
    assert not {table: rows for table, rows in again.items() if rows > most[table]}
    sandbox.log.clear()
    load(duck, "time_entries", **small)
    assert len([r for r in sandbox.log if r.path == "/v2/time_entries"]) == 2


def test_newest_first(sandbox: Sandbox, small: dict[str, Any], duck: Pipeline) -> None:
    """The first batch brings the reference tables, and the newest of a long history."""
    duck.run(harvest_source(**small, in_batches=True).with_resources(*ALL))
    there = sorted((r["spent_date"] for r in sandbox.account.truth("time_entries")), reverse=True)
    found = sorted((str(r["spent_date"]) for r in read(duck, "time_entries")), reverse=True)
    assert 0 < len(found) < 100
    assert found == there[: len(found)]
    assert_equal(duck, sandbox, "users", "clients")
    assert read(duck, "invoice_messages") == []


@pytest.mark.parametrize("batch", [1, 3])
def test_interrupted(sandbox: Sandbox, small: dict[str, Any], duck: Pipeline, batch: int) -> None:
    """After an interruption and changes meanwhile, the next run goes on and brings the truth."""
    begun, done = 0, set[str]()
    overlap = newest(sandbox)

    def interrupt(said: str) -> None:
        nonlocal begun
        begun += 1
        if begun == batch:
            done.update(p for p in children_asked(sandbox) if table_of(p) in said)
            sandbox.fault("status", path="clients$", status=422)

    with pytest.raises(HarvestError):
        load(duck, *READ, **small, tell=interrupt)
    account = sandbox.account
    first, *_, last = sorted(account.records["invoices"])
    for invoice in (first, last):
        account.add("invoice_payments", {"amount": Decimal(1)}, invoice)
    model = {k: v for k, v in account.records["invoices"][last].items() if k != "id"}
    added = account.add("invoices", {**model, "updated_at": sandbox.clock.stamp()})
    account.add("invoice_messages", {"subject": "new", "recipients": []}, added["id"])
    newest_entry, *_, oldest_entry = (entry["id"] for entry in account.rows("time_entries"))
    account.update("time_entries", oldest_entry, spent_date="2099-01-01")
    sandbox.clock.shift(minutes=10)
    account.update("time_entries", newest_entry, spent_date="2000-01-01")
    sandbox.log.clear()
    load(duck, *READ, **small, tell=interrupt)
    again = {path.split("/")[3] for path in done.intersection(children_asked(sandbox))}
    assert again <= overlap | {str(first), str(last)}
    assert_equal(duck, sandbox, *READ)


def test_own_script_finishes(sandbox: Sandbox, small: dict[str, Any], duck: Pipeline) -> None:
    """A plain run after some batches brings all that is left at once."""
    duck.run(harvest_source(**small, in_batches=True).with_resources(*READ))
    duck.run(harvest_source(**small, in_batches=True).with_resources(*READ))
    duck.run(harvest_source(**small).with_resources(*READ))
    assert_equal(duck, sandbox, *READ)


def test_children_first(sandbox: Sandbox, small: dict[str, Any], duck: Pipeline) -> None:
    """Children loaded alone in batches stay when their parents follow."""
    load(duck, "invoice_payments", **small)
    assert_equal(duck, sandbox, "invoice_payments")
    load(duck, "invoices", "invoice_payments", **small)
    assert_equal(duck, sandbox, "invoices", "invoice_payments")


def test_list_first(sandbox: Sandbox, small: dict[str, Any], duck: Pipeline) -> None:
    """Children that are asked for while a list is half read wait for it, and come."""
    duck.run(harvest_source(**small, in_batches=True).with_resources("time_entries"))
    tables = "time_entries", "invoice_payments"
    load(duck, *tables, **{**small, "sizes": LONGER})
    assert_equal(duck, sandbox, *tables)


def test_earlier_anchor(sandbox: Sandbox, small: dict[str, Any], duck: Pipeline) -> None:
    """An earlier anchor in the middle of a backfill brings all that lies between the two."""
    stamps = sorted(row["updated_at"] for row in sandbox.account.truth("invoices"))
    sizes = replace(SMALL, batch_requests=2)
    chosen = {**small, "children": "changed", "full_read_hours": -1}
    middle = stamps[len(stamps) // 2]
    later = {**chosen, "anchor_date": middle, "in_batches": True, "sizes": sizes}
    for _ in range(3):
        duck.run(harvest_source(**later).with_resources("invoice_messages"))
    assert len(children_asked(sandbox)) == 2 * sizes.batch_requests
    load(duck, "invoice_messages", **chosen)
    assert_equal(duck, sandbox, "invoice_messages")
