"""Runs the source and its script, and asks what was asked meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Event
from typing import Any
from uuid import uuid4

import dlt
import pytest
from dlt import Pipeline
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from harvest import HarvestError, harvest_source
from harvest.configured import accounts_read, with_settings_of
from harvest.extract.context import Account
from harvest.settings import Sizes
from harvest_sandbox import Sandbox
from harvest_sandbox.service import Request

from .processes import as_script, spawn

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "harvest_pipeline.py"
ENVIRONMENTS = ROOT / ".venv" / "dbt"
"""Where dbt is installed for tests: it takes a minute, and so it is kept."""

EVER = "2010-01-01"
Make = Callable[..., DltSource]

SMALL = Sizes(
    parallel_windows=2,
    window_records=10,
    first_batch_requests=3,
    batch_records=40,
    batch_requests=6,
)
"""Sizes that make a tiny account long: its lists come in windows of a few records."""

LONGER = replace(SMALL, batch_records=80, batch_requests=20)
"""Sizes by which a first read takes half as many batches."""


def be_at(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Run in a folder, and let dlt keep there what it keeps, and tell nobody."""
    patch.chdir(home)
    patch.setenv("DLT_DATA_DIR", str(home / "dlt"))
    patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")


def accounts_of(settings: dict[str, Any]) -> list[Account]:
    """Return the accounts that a source reads by these arguments and dlt's configuration."""
    return with_settings_of(harvest_source, accounts_read, settings)


def failure(pipeline: Pipeline, source: DltSource, **how: Any) -> HarvestError:
    """Run, and return what the connector said."""
    with pytest.raises(PipelineStepFailed) as caught:
        pipeline.run(source, **how)
    link: BaseException | None = caught.value
    while link is not None and not isinstance(link, HarvestError):
        link = link.__cause__
    assert isinstance(link, HarvestError)
    return link


def execute(pipeline: Pipeline, statement: str) -> None:
    """Run a statement of the user's own."""
    with pipeline.sql_client() as client:
        client.execute_sql(statement.format(dataset=client.fully_qualified_dataset_name()))


def administer(server: str, statement: str) -> None:
    """Run a statement about the databases of a Postgres server."""
    import psycopg2  # the environments of engines lack it

    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


@contextmanager
def a_database(server: str) -> Iterator[str]:
    """Make an empty database of a Postgres server, which ends with this block; yield its address.

    ADBC reads all types of a database whenever it connects, and each table is one: in a database
    that tests share, each would pay for those before it.
    """
    name = f"test_{uuid4().hex}"
    administer(server, f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    try:
        yield server.replace("/postgres?", f"/{name}?")
    finally:
        administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def written(pipeline: Pipeline) -> dict[str, int]:
    """Return how many rows of each table the last run sent to the destination."""
    trace = pipeline.last_trace
    assert trace
    assert trace.last_normalize_info
    counts = trace.last_normalize_info.row_counts
    return {table: rows for table, rows in counts.items() if not table.startswith("_") and rows}


def loads(pipeline: Pipeline, *tables: str) -> dict[str, dict[Any, tuple[str, str]]]:
    """Return of each table which load brought each row, and dlt's id of the row."""
    found = {}
    with pipeline.sql_client() as client:
        for table in tables:
            name = client.make_qualified_table_name(table)
            keys = "_account_id" if table == "company" else "id"
            rows = client.execute_sql(f"SELECT {keys}, _dlt_load_id, _dlt_id FROM {name}")
            found[table] = {key: (load, row_id) for key, load, row_id in rows or ()}
    return found


def second_pipeline(pipeline: Pipeline) -> Pipeline:
    """Return another pipeline into the same dataset."""
    return dlt.pipeline(
        "harvest_second", destination=pipeline.destination, dataset_name=pipeline.dataset_name
    )


def as_environment(settings: dict[str, Any]) -> dict[str, str]:
    """Return the environment that sets arguments of `harvest_source`."""
    return {f"SOURCES__HARVEST__{name.upper()}": str(value) for name, value in settings.items()}


def run_script(*arguments: str, home: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does, and return what it printed."""
    ours = {"PYTHONPATH": str(SCRIPT.parent), "DLT_DATA_DIR": str(home / "dlt")}
    with NamedTemporaryFile("w+") as out, NamedTemporaryFile("w+") as err:
        printed = out.name, err.name
        code = spawn(as_script, SCRIPT, arguments, home, {**os.environ, **ours, **env}, printed)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


@contextmanager
def running(arguments: list[str], home: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command in another process, which ends with this block."""
    process = subprocess.Popen(  # noqa: S603 - our own scripts
        arguments,
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def when_asked(sandbox: Sandbox, number: int, path: str = "") -> Event:
    """Return an event that is set by the nth request from now on whose path ends with `path`."""
    asked, left = Event(), [number]

    def before(_: int, request: Request) -> None:
        if request.path.endswith(path):
            left[0] -= 1
            if left[0] == 0:
                asked.set()

    sandbox.before_request = before
    return asked


def children_asked(sandbox: Sandbox) -> list[str]:
    """Return the paths of all requests for children."""
    return [request.path for request in sandbox.log if request.path.count("/") == 4]
