"""`load` says whose fault a failure is, and a refresh touches only what was named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt import Pipeline
from dlt.extract import DltSource

import harvest
from harvest.errors import ConfigurationError, CustomStepError, InternalError, StepError
from harvest.extract.freshness import FRESHNESS
from harvest.run import load
from harvest.settings import checked_rate_limit
from harvest_sandbox import Sandbox

from .truth import assert_equal, read, read_each

TABLES = ("time_entries", "invoices", "invoice_payments", "clients", "company")

Settings = dict[str, Any]
Step = Callable[[dict[str, Any]], dict[str, Any]]


def broken(row: dict[str, Any]) -> dict[str, Any]:
    """Make a mistake."""
    return {"name": row["no such field"]}


def broken_in(module: Any, statement: str = "return row['no such field']") -> Step:
    """Return the same mistake, or another, made in the code of a package."""
    code = f"def broken(row):\n    {statement}"
    names: dict[str, Any] = {}
    file = Path(module.__file__).parent / "some_file.py"
    exec(compile(code, file, "exec"), names)  # noqa: S102 - our own line
    step: Step = names["broken"]
    return step


def with_step(step: Step) -> Callable[[DltSource], object]:
    """Return what adds a step to the clients."""
    return lambda source: source.resources["clients"].add_map(step)


@pytest.mark.parametrize("module", [harvest, dlt])
def test_bug(settings: Settings, duck: Pipeline, module: Any) -> None:
    """A bug of the connector or of dlt says so, keeps its traceback, and blames nothing else."""
    with pytest.raises(InternalError) as caught:
        load(duck, "clients", customize=with_step(broken_in(module)), **settings)
    said = str(caught.value)
    assert "KeyError: 'no such field', some_file.py, line 2" in said
    assert "report it" in said
    assert "destination" not in said
    assert caught.value.__cause__ is not None
    load(duck, "clients", **settings)


def test_broken_step(settings: Settings, duck: Pipeline) -> None:
    """A step of the user's own that fails is named as such, with its line."""
    with pytest.raises(CustomStepError) as caught:
        load(duck, "clients", customize=with_step(broken), **settings)
    assert "KeyError: 'no such field', test_load.py, line" in str(caught.value)
    assert "destination" not in str(caught.value)


class OwnError(Exception):
    """An exception of the user's own."""


@pytest.mark.parametrize("error", [FileNotFoundError, OwnError])
def test_own_exception(settings: Settings, duck: Pipeline, error: type[Exception]) -> None:
    """Whatever a step of the user's own raises, it is what is to be corrected."""

    def step(_: dict[str, Any]) -> dict[str, Any]:
        raise error

    with pytest.raises(CustomStepError, match=r"no reason given, test_load\.py, line"):
        load(duck, "clients", customize=with_step(step), **settings)


def test_bug_while_handling(settings: Settings, duck: Pipeline) -> None:
    """A bug in code that handles a failure is not told as that failure."""

    def step(row: dict[str, Any]) -> dict[str, Any]:
        try:
            checked_rate_limit(0)
        except ConfigurationError:
            return broken(row)
        return row

    with pytest.raises(CustomStepError, match="no such field"):
        load(duck, "clients", customize=with_step(step), **settings)


def test_full_disk(settings: Settings, duck: Pipeline) -> None:
    """What this machine lacks is blamed on nobody else."""
    full = broken_in(dlt, "raise OSError(28, 'No space left on device')")
    with pytest.raises(StepError, match="No space left on device") as caught:
        load(duck, "clients", customize=with_step(full), **settings)
    assert "destination" not in str(caught.value)


def test_customize(settings: Settings, duck: Pipeline) -> None:
    """Steps of the user's own see the rows before they are loaded."""

    def mask(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "name": "masked"}

    load(duck, "clients", "tasks", customize=with_step(mask), **settings)
    assert {row["name"] for row in read(duck, "clients")} == {"masked"}
    assert "masked" not in {row["name"] for row in read(duck, "tasks")}


def test_unknown_names(settings: Settings, duck: Pipeline) -> None:
    """A table that does not exist, or a refresh of one that is not loaded, is refused."""
    with pytest.raises(ConfigurationError, match="`tables` names nothing"):
        load(duck, "nothing", **settings)
    with pytest.raises(ConfigurationError, match="`refresh` names users"):
        load(duck, "clients", refresh=("users",), **settings)


def test_selected_tables(settings: Settings, duck: Pipeline) -> None:
    """The summary names the tables that were selected, their nested tables, and no others."""
    load(duck, "tasks", "invoices", **settings)
    summary = load(duck, "invoices", "clients", **settings)
    assert summary.tables.keys() == {"clients", "invoices", "invoices__line_items"}


def test_refresh(sandbox: Sandbox, settings: Settings, duck: Pipeline) -> None:
    """A refresh drops what was named and reads it anew; all else keeps rows, flags and state."""
    settings["deletions"] = "flag"
    load(duck, *TABLES, **settings)
    for table in ("time_entries", "invoice_payments", "clients"):
        sandbox.account.delete(table, max(sandbox.account.records[table]))
    load(duck, *TABLES, **settings, full_read=True)
    for names in (
        {"invoice_payments"},
        {"invoices"},
        {"invoices", "invoice_payments", "company"},
    ):
        before, state = contents(duck), remembered(duck)
        said: list[str] = []
        load(duck, *names, refresh=True, tell=said.append, **settings)
        after = contents(duck)
        for table, rows in before.items():
            if table.split("__")[0] in names:
                assert f"{table} ({len(rows)} rows)" in said[0]
                assert all(r["_deleted_at"] is None for r in after[table] if "_deleted_at" in r)
            else:
                assert after[table] == rows, table
                assert table not in said[0]
        assert_equal(duck, sandbox, *names)
        others = state.keys() - names
        assert {name: remembered(duck)[name] for name in others} == {n: state[n] for n in others}
    # Refreshed within a run, it leaves the others to be read as ever.
    load(duck, *TABLES, refresh=["invoice_payments"], **settings)
    assert_equal(duck, sandbox, "invoice_payments", "invoices")
    assert [row for row in read(duck, "time_entries") if row["_deleted_at"]]


def test_failed_refresh(sandbox: Sandbox, settings: Settings, duck: Pipeline) -> None:
    """A refresh that fails drops nothing."""
    load(duck, "time_entries", "clients", **settings)
    before = contents(duck)
    sandbox.fault("status", path="time_entries", status=422)
    with pytest.raises(harvest.HarvestError):
        load(duck, "time_entries", refresh=True, **settings)
    assert contents(duck) == before
    assert "time_entries" not in remembered(duck)  # if it had failed after they were dropped
    load(duck, "time_entries", **settings)
    assert_equal(duck, sandbox, "time_entries", "clients")


def contents(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of all of Harvest's tables."""
    tables = set(pipeline.default_schema.data_table_names(seen_data_only=True)) - {FRESHNESS}
    return {table: sorted(rows, key=str) for table, rows in read_each(pipeline, tables).items()}


def remembered(pipeline: Pipeline) -> dict[str, Any]:
    """Return what the pipeline remembers of each resource."""
    resources: dict[str, Any] = pipeline.state["sources"]["harvest"]["resources"]
    return resources


def test_dataset(sandbox: Sandbox, settings: Settings, pipeline: Pipeline) -> None:
    """Dlt's own ways of reading the result work with the libraries that users install."""
    load(pipeline, "clients", "invoices", **settings)
    dataset = pipeline.dataset()
    counts = dict(dataset.row_counts().fetchall())
    assert counts["clients"] == len(sandbox.account.truth("clients"))
    names = {name for (name,) in dataset["clients"].select("name").fetchall()}
    assert names == {row["name"] for row in sandbox.account.truth("clients")}
    assert dataset("SELECT count(*) FROM invoices").fetchall() == [(counts["invoices"],)]
