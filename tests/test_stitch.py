"""Who comes from Stitch finds its tables and columns, with the values that were loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dlt
from dlt import Pipeline
from dlt.common.runners import Venv

from harvest import metrics
from harvest.run import load

from .truth import Row, read, rows

FROM = {
    "project_tasks": "task_assignments",
    "project_users": "user_assignments",
    "user_projects": "user_project_assignments",
    "invoice_line_items": "invoices__line_items",
    "estimate_line_items": "estimates__line_items",
    "user_project_tasks": "user_project_assignments__task_assignments",
}
PARENTS = {
    "invoice_line_items": ("invoices", "invoice_id", "id"),
    "estimate_line_items": ("estimates", "estimate_id", "id"),
    "user_project_tasks": ("user_project_assignments", "user_id", "user_id"),
}
MODELS = [path.stem.partition("__")[2] for path in Path(metrics.PACKAGE).rglob("stitch__*.sql")]


def test_tables(tmp_path: Path, settings: dict[str, Any], dbt: Venv) -> None:
    """Each table has the rows of the loaded one, its columns the values of theirs."""
    destination = dlt.destinations.duckdb(str(tmp_path / "closed.duckdb"))  # dbt opens it too
    duck = dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")
    load(duck, tell=lambda _: None, **settings)
    runner = metrics.runner(duck, dbt)
    variables = {"source_dataset_name": "harvest_data", "stitch": True}
    with metrics.aside(duck):
        runner.run(["--select", "stitch"], additional_vars=variables)
    assert len(MODELS) == 22
    filled = 0
    for model in MODELS:
        there = rows(duck, "harvest_data_stitch", model)
        expected = _renamed(duck, model, [*there[0]] if there else [])
        assert sorted(map(_key, there)) == sorted(map(_key, expected)), model
        filled += bool(there)
    assert filled > 15


def _renamed(pipeline: Pipeline, model: str, names: list[str]) -> list[Row]:
    """Return the loaded rows as the model should have them."""
    found = []
    table, own_name, key = PARENTS.get(model, ("", "", ""))
    parents = {row["_dlt_id"]: row[key] for row in read(pipeline, table)} if table else {}
    for row in read(pipeline, FROM.get(model, model)):
        plain = {re.sub("(?<=[a-z])__", "_", name): value for name, value in row.items()}
        plain["project_task_id"] = row["id"]
        if table:
            plain[own_name] = parents[row["_dlt_parent_id"]]
        found.append({name: plain[name] for name in names})
    return found


def _key(row: Row) -> list[tuple[str, str]]:
    return sorted((name, repr(value)) for name, value in row.items())
