"""A long first read comes in steps, newest first, and goes on after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from dlt import Pipeline
from dlt.extract import DltSource

from harvest import HarvestError
from harvest.run import load
from harvest_sandbox import Sandbox

from .truth import assert_equal, read

Make = Callable[..., DltSource]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Make a tiny account long: its lists are read in windows of a few records."""
    sandbox.page_cap = 10
    monkeypatch.setattr("harvest.listing.CHAINS", 2)
    monkeypatch.setattr("harvest.listing.CHAIN_RECORDS", 10)
    monkeypatch.setattr("harvest.feed.STEP_RECORDS", 40)
    monkeypatch.setattr("harvest.feed.FIRST_STEP_RECORDS", 5)
    monkeypatch.setattr("harvest.feed.FIRST_STEP_REQUESTS", 3)
    monkeypatch.setattr("harvest.feed.STEP_REQUESTS", 6)


def children_asked(sandbox: Sandbox) -> list[str]:
    """Return the paths of all requests for children."""
    return [request.path for request in sandbox.log if request.path.count("/") == 4]


def table_of(path: str) -> str:
    """Return the table of a request for children."""
    parents, _, children = path.removeprefix("/v2/").split("/")
    return f"{parents[:-1]}_{children}"


def newest(sandbox: Sandbox) -> set[str]:
    """Return the ids of the parents with the newest stamps: they lie in the overlap."""
    parents = ("invoices", "estimates", "users")
    rows = [max(sandbox.account.truth(t), key=lambda r: str(r["updated_at"])) for t in parents]
    return {str(row["id"]) for row in rows}


@pytest.mark.usefixtures("small_steps")
def test_steps(sandbox: Sandbox, settings: dict[str, Any], pipeline: Pipeline) -> None:
    """All steps together bring the truth, and ask twice only for what may have changed."""
    said: list[str] = []
    summary = load(pipeline, **settings, tell=said.append)
    assert_equal(pipeline, sandbox)
    assert len(said) >= 3
    assert "invoice_messages" in said[0]
    assert summary.tables["time_entries"][1] == 150
    asked = children_asked(sandbox)
    twice = {path.split("/")[3] for path in asked if asked.count(path) > 1}
    assert twice <= newest(sandbox)
    assert "left" not in pipeline.state["sources"]["harvest"]
    sandbox.log.clear()
    load(pipeline, **settings, tell=said.append)
    assert len([r for r in sandbox.log if r.path == "/v2/time_entries"]) == 2


@pytest.mark.usefixtures("small_steps")
def test_newest_first(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """The first step brings the reference tables, and the newest of a long history."""
    duck.run(source(in_steps=True))
    there = sorted((r["spent_date"] for r in sandbox.account.truth("time_entries")), reverse=True)
    found = sorted((str(r["spent_date"]) for r in read(duck, "time_entries")), reverse=True)
    assert 0 < len(found) < 100
    assert found == there[: len(found)]
    assert_equal(duck, sandbox, "users", "clients", "projects", "user_assignments")
    assert read(duck, "invoice_messages") == []


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("step", [1, 2, 4])
def test_interrupted(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline, step: int) -> None:
    """After an interruption and changes meanwhile, the next run goes on and brings the truth."""
    steps, done = 0, set[str]()
    overlap = newest(sandbox)

    def interrupt(said: str) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            done.update(p for p in children_asked(sandbox) if table_of(p) in said)
            sandbox.fault("status", path="clients$", status=422)

    with pytest.raises(HarvestError):
        load(duck, **settings, tell=interrupt)
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
    load(duck, **settings, tell=interrupt)
    again = {path.split("/")[3] for path in done.intersection(children_asked(sandbox))}
    assert again <= overlap | {str(first), str(last)}
    assert_equal(duck, sandbox)


@pytest.mark.usefixtures("small_steps")
def test_own_script_finishes(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A plain run after some steps brings all that is left at once."""
    duck.run(source(in_steps=True))
    duck.run(source(in_steps=True))
    duck.run(source())
    assert_equal(duck, sandbox)


@pytest.mark.usefixtures("small_steps")
def test_children_first(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """Children loaded alone in steps stay when their parents follow."""
    load(duck, "invoice_payments", **settings)
    assert_equal(duck, sandbox, "invoice_payments")
    load(duck, **settings)
    assert_equal(duck, sandbox)


@pytest.mark.usefixtures("small_steps")
def test_list_first(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], duck: Pipeline
) -> None:
    """Children that are asked for while a list is half read wait for it, and come."""
    duck.run(source(in_steps=True).with_resources("time_entries"))
    tables = "time_entries", "invoice_payments"
    load(duck, *tables, **settings)
    assert_equal(duck, sandbox, *tables)
