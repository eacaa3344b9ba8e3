"""Pipelines that load into one dataset at the same moment take nothing from each other."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen
from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest.run import load
from harvest_sandbox import Sandbox

from .running import Make, running
from .truth import assert_equal

OTHER = {"account_id": "777", "api_key": "777.pt.sandbox-secret"}
TABLES = ("clients", "estimates", "time_entries")

RUNS = f"""
import json, sys
import dlt
from harvest.run import load

name, url, dataset, settings = json.loads(sys.argv[1])
destination = dlt.destinations.postgres(url)
pipeline = dlt.pipeline(name, destination=destination, dataset_name=dataset)
print("ready", flush=True)
for _ in sys.stdin:
    load(pipeline, *{TABLES}, tell=lambda _: None, **settings)
    print("done", flush=True)
"""
"""A process that loads each time it is told to."""


def staging(pipeline: Pipeline) -> set[str]:
    """Return the datasets of a database in which dlt stages rows."""
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT schema_name FROM information_schema.schemata")
    return {row[0] for row in rows or () if "staging" in row[0]}


def begins(process: Popen[str]) -> None:
    """Let a process load."""
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def hears(process: Popen[str]) -> str:
    """Return what a process says next; nothing if it failed."""
    assert process.stdout
    return process.stdout.readline().strip()


def test_two_processes(
    sandbox: Sandbox, settings: dict[str, Any], postgres_url: str, tmp_path: Path
) -> None:
    """Two processes with an account each, whose first runs and edits meet, lose no row."""
    sandbox.add_account(777)
    arguments = [
        json.dumps([name, postgres_url, "neighbours", {**settings, **own}])
        for name, own in (("first", {}), ("second", OTHER))
    ]
    destination = dlt.destinations.postgres(postgres_url)
    look = dlt.pipeline(
        "first", str(tmp_path / "look"), destination=destination, dataset_name="neighbours"
    )
    with (
        running([sys.executable, "-c", RUNS, arguments[0]], tmp_path) as first,
        running([sys.executable, "-c", RUNS, arguments[1]], tmp_path) as second,
    ):
        assert {hears(first), hears(second)} == {"ready"}
        for number in range(3):
            for process in (first, second):
                begins(process)
            assert {hears(first), hears(second)} == {"done"}
            look.sync_destination()
            for account in (sandbox.account_id, 777):
                assert_equal(look, sandbox, *TABLES, account_id=account)
            for hosted in sandbox.hosted.values():
                for table in TABLES:
                    for record in list(hosted.account.records[table])[:20]:
                        hosted.account.update(table, record, notes=f"edit {number}")


def test_own_staging(source: Make, settings: dict[str, Any], tmp_path: Path) -> None:
    """Each pipeline stages in a dataset of its own, in `load` and in a plain run; no other does."""
    destination = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"))

    def pipeline(name: str) -> Pipeline:
        return dlt.pipeline(name, destination=destination, dataset_name="data")

    load(pipeline("loads"), "tasks", **settings)
    living = source().with_resources("tasks")
    pipeline("plain").run(living)
    plain = pipeline("plain")
    plain.extract(source(full_read=True).with_resources("tasks"))
    plain.normalize()
    plain.load()
    assert staging(plain) == {"data_staging_loads", "data_staging_plain"}
    stranger = pipeline("stranger")
    stranger.run([{"id": 1}], table_name="rows", write_disposition="merge", primary_key="id")
    assert staging(plain) == {"data_staging_loads", "data_staging_plain", "data_staging"}
    assert living


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_chosen_staging(
    source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The name of a staging dataset that the user chose stands."""
    chosen: Any = {"staging_dataset_name_layout": "%s_mine_staging"} if how == "argument" else {}
    if how == "environment":
        monkeypatch.setenv("DESTINATION__STAGING_DATASET_NAME_LAYOUT", "%s_mine_staging")
    destination = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"), **chosen)
    pipeline = dlt.pipeline("chosen", destination=destination, dataset_name="data")
    pipeline.run(source().with_resources("tasks"))
    assert staging(pipeline) == {"data_mine_staging"}


def test_turns(sandbox: Sandbox, source: Make, postgres: Pipeline) -> None:
    """A pipeline reads at once, but does not load while another one loads into its dataset."""
    with postgres.sql_client() as client, ThreadPoolExecutor(1) as apart:
        with client.begin_transaction():
            name = f"dlt-harvest {client.fully_qualified_dataset_name()}"
            client.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", name)
            run = apart.submit(postgres.run, source().with_resources("tasks"))
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not (client.execute_sql(waiting) or [[0]])[0][0]:
                assert not run.done(), run.result()
        run.result()
    assert_equal(postgres, sandbox, "tasks")
    with postgres.sql_client() as client:
        held = client.execute_sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    assert held == [(0,)]
