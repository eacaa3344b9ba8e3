"""Who comes from another connector finds its tables and columns, with what Harvest says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pytest
import yaml
from dlt import Pipeline
from dlt.common.runners import Venv
from dlt.helpers.dbt.exceptions import DBTProcessingError

from harvest import ENDPOINTS, metrics
from harvest.run import load
from harvest_sandbox import Sandbox
from harvest_sandbox.account import Account

from ..truth import Row, rows

COUNTS = {"airbyte": 22, "fivetran": 28, "stitch": 23}

OURS = {
    "billable_rates": "user_billable_rates", "cost_rates": "user_cost_rates",
    "project_assignments": "user_project_assignments", "project_tasks": "task_assignments",
    "project_users": "user_assignments", "user_projects": "user_project_assignments",
    "project_task_assignment": "task_assignments", "project_user_assignment": "user_assignments",
}  # fmt: skip
"""Harvest's names of their tables, where they are not the same but for the plural."""

ITEMS = {
    "invoice_line_items": ("invoices.line_items", {"invoice_id": "id"}),
    "invoice_line_item": ("invoices.line_items", {"invoice_id": "id"}),
    "invoice_message_recipient": ("invoice_messages.recipients", {"invoice_message_id": "id"}),
    "estimate_line_items": ("estimates.line_items", {"estimate_id": "id"}),
    "estimate_line_item": ("estimates.line_items", {"estimate_id": "id"}),
    "estimate_message_recipient": ("estimate_messages.recipients", {"estimate_message_id": "id"}),
    "user_project_tasks": ("user_project_assignments.task_assignments", {"user_id": "user_id"}),
    "user_project_assignment_task_assignment": (
        "user_project_assignments.task_assignments", {"user_id": "user_id"}),
    "role_user": ("roles.user_ids", {"role_id": "id"}),
    "user_roles": ("roles.user_ids", {"role_id": "id"}),
    "users_permission_claim": ("users.permissions_claims", {"user_id": "id"}),
}  # fmt: skip
"""Tables of what lists of Harvest's records hold, and what they take of the record."""

NAMES = {
    "users_id": ["user_id"], "user_id": ["user_id", "item"],
    "tax_2": ["tax2"], "tax_2_amount": ["tax2_amount"],
    "taxed_2": ["taxed2"], "parent_id": ["invoice_id", "estimate_id", "user_id"],
    "project_task_id": ["id"], "role_user_id": ["item"], "permission_claim_name": ["item"],
}  # fmt: skip
"""Harvest's names of their columns, where they are not the same; "item": of a list of values."""


@pytest.mark.parametrize("database", ["duckdb", "postgres"])
def test_tables(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
    sandbox: Sandbox,
    settings: dict[str, Any],
    dbt: Venv,
) -> None:
    """Each table has a row for each of Harvest's records, and its columns what Harvest says.

    Nothing else is built, and nothing keeps a refresh from dropping what the tables are made of.
    Hooks and grants of the user's own project are heeded.
    """
    if database == "duckdb":
        destination: Any = dlt.destinations.duckdb(str(tmp_path / "closed.duckdb"))
    else:
        destination = dlt.destinations.postgres(request.getfixturevalue("postgres_url"))
    pipeline = dlt.pipeline("harvest_test", destination=destination, dataset_name="of_like")
    load(pipeline, tell=lambda _: None, **settings)
    with pipeline.sql_client() as client:
        client.execute_sql("CREATE TABLE hooked (a int)")
    configure(tmp_path / "package", grants=database == "postgres", monkeypatch=monkeypatch)
    built = metrics.build(pipeline, *COUNTS, venv=dbt)
    assert built == {connector: f"of_like_{connector}" for connector in COUNTS}
    assert tables(pipeline, "of_like_metrics") == []
    for connector, count in COUNTS.items():
        names = tables(pipeline, f"of_like_{connector}")
        assert len(names) == count
        filled = 0
        for name in names:
            there = rows(pipeline, f"of_like_{connector}", name)
            compare(sandbox.account, connector, name, there)
            filled += bool(there)
        assert filled == count, connector
    if database == "duckdb":
        check_keys(pipeline, dbt)
    assert rows(pipeline, "of_like", "hooked") == [{"a": 1}] * len(COUNTS)
    if database == "postgres":
        assert granted(pipeline) == {f"of_like_{each}": count for each, count in COUNTS.items()}
    load(pipeline, "clients", refresh=True, tell=lambda _: None, **settings)


def configure(package: Path, *, grants: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package be configured, as a user's own project may."""
    shutil.copytree(metrics.PACKAGE, package)
    monkeypatch.setattr(metrics, "PACKAGE", package)
    project = package / "dbt_project.yml"
    configured = yaml.safe_load(project.read_text(encoding="utf-8"))
    configured["models"]["harvest"]["like"] = {
        "+post-hook": "insert into {{ target.schema }}.hooked values (1)",
        "+grants": {"select": ["public"]} if grants else {},
    }
    project.write_text(yaml.safe_dump(configured), encoding="utf-8")


def check_keys(pipeline: Pipeline, dbt: Venv) -> None:
    """Let dbt test that keys are unique: it finds the one that is not, and no other."""
    runner = metrics.runner(pipeline, dbt)
    variables = {"source_dataset_name": "of_like", "like": list(COUNTS)}
    with pipeline.sql_client() as client:
        name = "of_like_stitch.user_projects"
        client.execute_sql(f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1")
    with metrics.aside(pipeline), pytest.raises(DBTProcessingError) as caught:
        runner.test(["--select", "like"], additional_vars=variables)
    failed = {r.model_name: r.message for r in caught.value.run_results if r.status == "fail"}
    assert failed == {"like_keys_stitch_stitch": "Got 1 result, configured to fail if != 0"}


def granted(pipeline: Pipeline) -> dict[str, int]:
    """Return how many tables of each schema everybody may read."""
    query = (
        "SELECT table_schema, count(*) FROM information_schema.table_privileges "
        "WHERE grantee = 'PUBLIC' AND table_schema LIKE 'of_like%%' GROUP BY table_schema"
    )
    with pipeline.sql_client() as client, client.execute_query(query) as cursor:
        return dict(cursor.fetchall())


def tables(pipeline: Pipeline, schema: str) -> list[str]:
    """Return the names of a schema's tables."""
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    with pipeline.sql_client() as client, client.execute_query(query, schema) as cursor:
        return sorted(name for (name,) in cursor.fetchall())


def compare(account: Account, connector: str, table: str, there: list[Row]) -> None:
    """Demand that a table holds Harvest's records, by their names of its columns."""
    columns = [name for name in (there[0] if there else {}) if name != "_account_id"]
    wanted = [{name: value(record, name) for name in columns} for record in records(account, table)]
    as_json = {name for row in wanted for name, each in row.items() if isinstance(each, Nested)}
    got = [
        {name: parsed(row[name]) if name in as_json else row[name] for name in columns}
        for row in there
    ]
    assert comparable(got) == comparable(wanted), (connector, table)


Nested = (dict, list)


def records(account: Account, table: str) -> Iterator[Row]:
    """Yield Harvest's records of a table, or what a list of them holds."""
    if table in ITEMS:
        place, taken = ITEMS[table]
        name, _, items = place.partition(".")
        for record in account.truth(name):
            above = {theirs: record[ours] for theirs, ours in taken.items()}
            for item in record[items]:
                yield {**(item if isinstance(item, dict) else {"item": item}), **above}
        return
    plurals = OURS.get(table), table, f"{table}s", f"{table[:-1]}ies"
    yield from account.truth(next(e.name for e in ENDPOINTS if e.name in plurals))


def value(record: Row, name: str) -> Any:
    """Return what a record has under their name of a column: `client_id` is in `client`."""
    for ours in NAMES.get(name, [name]):
        if ours in record:
            return record[ours]
    for key in sorted(record, key=len, reverse=True):
        if name.startswith(f"{key}_") and (record[key] is None or isinstance(record[key], dict)):
            return (record[key] or {}).get(name.removeprefix(f"{key}_"))
    raise KeyError(name)


def parsed(text: Any) -> Any:
    """Return what JSON holds: DuckDB gives a text, Postgres an object."""
    return json.loads(text, parse_float=Decimal) if isinstance(text, str) else text


def comparable(found: list[Row]) -> list[str]:
    """Return rows as texts: one for each value, however it is written."""
    return sorted(json.dumps(plain(row), sort_keys=True, default=str) for row in found)


def plain(given: Any) -> Any:
    """Return a value in one way; an object without any value is none."""
    if isinstance(given, dict):
        return {k: p for k, v in given.items() if (p := plain(v)) is not None} or None
    if isinstance(given, list):
        return [plain(item) for item in given]
    if isinstance(given, (int, float, Decimal)) and not isinstance(given, bool):
        return f"{Decimal(str(given)).normalize():f}"
    if isinstance(given, datetime):
        return f"{given.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    return given.isoformat() if isinstance(given, date) else given
