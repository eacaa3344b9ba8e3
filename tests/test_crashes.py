"""However a run is cut short, nothing is wrong after it and the next run mends it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest import HarvestError
from harvest_sandbox import Sandbox
from harvest_sandbox.service import Request

from .crash_child import TABLES, Job, Progress, change, crash, describe, killed
from .processes import begun
from .running import EVER, SCRIPT, execute, run_script, running, when_asked
from .truth import assert_equal

STEPS = (("duckdb", "Normalize"), ("duckdb", "Load"), ("postgres", "Load"))

ROUNDS = int(os.environ.get("HARVEST_KILLS", "1"))
"""Kills at random moments, for each destination."""


@pytest.fixture(autouse=True)
def _still_clock(sandbox: Sandbox) -> None:
    sandbox.clock.speed = 0  # a running timer's hours must not grow between reading and comparing


@pytest.fixture(params=["duckdb", "postgres"])
def job(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Job:
    """Describe a run into an empty destination.

    Before its load begins, a run does the same whatever the destination.
    """
    credentials = str(tmp_path / "warehouse.duckdb")
    if request.param == "postgres":
        credentials = request.getfixturevalue("postgres_url")
    return describe(sandbox, tmp_path, request.param, credentials, request.node.name)


def load_and_change(job: Job, sandbox: Sandbox) -> None:
    """Run once, and change records."""
    with job.held():
        job.load()
    change(sandbox)


def assert_mended(job: Job, sandbox: Sandbox) -> None:
    """Run once more, and demand that all tables hold what Harvest holds."""
    with job.held():
        job.load()
        assert_equal(job.pipeline(), sandbox, *TABLES)


@pytest.mark.parametrize("job", ["duckdb"], indirect=True)
def test_killed_while_reading(job: Job, sandbox: Sandbox) -> None:
    """A run killed between two requests costs nothing: the next one reads all of it again."""
    load_and_change(job, sandbox)
    asked = when_asked(sandbox, 5)
    with begun(crash, job) as child:
        assert asked.wait(30)
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    assert_mended(job, sandbox)


@pytest.mark.parametrize(("job", "step"), STEPS, indirect=["job"])
def test_killed_in_a_step(job: Job, sandbox: Sandbox, step: str) -> None:
    """A run killed between two files loses nothing: the next one brings that and what is new."""
    load_and_change(job, sandbox)
    killed(replace(job, step=step, after=4))
    change(sandbox, seed=2)
    assert_mended(job, sandbox)


def test_killed_after_commit(job: Job, sandbox: Sandbox) -> None:
    """A run killed when the destination has taken a file, before dlt notes it, loads none twice."""
    load_and_change(job, sandbox)
    killed(replace(job, committed="invoices__line_items"))
    assert_mended(job, sandbox)


@pytest.mark.parametrize(("job", "step"), STEPS, indirect=["job"])
def test_first_run_killed(job: Job, sandbox: Sandbox, step: str) -> None:
    """A first run killed before the destination holds anything is as good as none."""
    killed(replace(job, step=step, after=3))
    assert_mended(job, sandbox)


def test_killed_anytime(job: Job, sandbox: Sandbox) -> None:
    """A run killed at any moment is mended by the next one."""
    random = Random(time.time_ns())  # noqa: S311 - any moments will do
    load_and_change(job, sandbox)
    asked = when_asked(sandbox, 1)
    with begun(crash, job) as child:
        assert asked.wait(30)
        start = time.monotonic()
        child.join(30)
        assert child.exitcode == 0
        duration = time.monotonic() - start
    for n in range(ROUNDS):
        change(sandbox, seed=n)
        asked, moment = when_asked(sandbox, 1), duration * random.uniform(0.2, 1)
        with begun(crash, job) as child:
            assert asked.wait(30)
            child.join(moment)
        assert_mended(job, sandbox)


def test_new_container(job: Job, sandbox: Sandbox) -> None:
    """When the machine goes with its disk in mid-load, a new one still brings all."""
    load_and_change(job, sandbox)
    killed(replace(job, step="Load", after=9))
    shutil.rmtree(job.pipelines_dir)
    assert_mended(job, sandbox)


class Strike(Progress):
    """Does something to the destination at a moment of the load."""

    def __init__(self, after: int, blow: Callable[[], object]) -> None:
        super().__init__("Load", after)
        self.blow = blow

    def act(self) -> None:
        """Strike."""
        self.blow()


@pytest.mark.parametrize("blow", ["stopped", "killed", "disconnected"])
@pytest.mark.parametrize("job", ["postgres"], indirect=True)
def test_database_gone(job: Job, sandbox: Sandbox, postgres_cluster: Any, blow: str) -> None:
    """A database that goes away in mid-load and comes back ends up with all, and nothing twice."""
    server = postgres_cluster
    load_and_change(job, sandbox)

    others = (
        "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid != pg_backend_pid()"
    )

    def kill() -> None:
        for pid in re.findall(r"^ *(\d+)$", server.psql(f"SELECT pid {others}"), re.MULTILINE):
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def disconnect() -> None:
        server.psql(f"SELECT pg_terminate_backend(pid) {others}")

    blows = {"stopped": server.stop, "killed": kill, "disconnected": disconnect}
    try:
        with suppress(HarvestError):  # it may well survive a short absence
            job.load(Strike(5, blows[blow]))
    finally:
        server.start()  # for this test, and all others
    change(sandbox, seed=2)
    assert_mended(job, sandbox)


@pytest.mark.parametrize("remedy", ["destination", "harvest"])
@pytest.mark.parametrize("job", ["postgres"], indirect=True)
def test_refused_row(job: Job, sandbox: Sandbox, remedy: str) -> None:
    """A row that the destination refuses stops the run; once mended on either side, all arrives."""
    job.load()
    execute(
        job.pipeline(),
        "ALTER TABLE {dataset}.invoices ADD CONSTRAINT no_change CHECK (subject <> 'changed 1')",
    )
    change(sandbox)
    with pytest.raises(HarvestError, match="no_change"):
        job.load()
    if remedy == "destination":
        execute(job.pipeline(), "ALTER TABLE {dataset}.invoices DROP CONSTRAINT no_change")
    else:
        sandbox.clock.shift(minutes=5)
        for invoice in sandbox.account.rows("invoices"):
            sandbox.account.update("invoices", invoice["id"], subject="changed back")
    assert_mended(job, sandbox)


def script(sandbox: Sandbox, *tables: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that a user gives, and the settings for the sandbox."""
    command = [sys.executable, str(SCRIPT), *(tables or TABLES), "--anchor-date", EVER]
    settings = {
        "SOURCES__HARVEST__BASE_URL": sandbox.base_url,
        "SOURCES__HARVEST__API_KEY": sandbox.token,
        "SOURCES__HARVEST__ACCOUNT_ID": str(sandbox.account_id),
        "SOURCES__HARVEST__RATE_LIMIT": "100000",
    }
    return command, settings


def scripts_pipeline(home: Path) -> Pipeline:
    """Return the pipeline that the script fills."""
    destination = dlt.destinations.duckdb(str(home / "harvest.duckdb"))
    return dlt.pipeline(
        "harvest",
        pipelines_dir=str(home / ".dlt" / "pipelines"),
        destination=destination,
        dataset_name="harvest_data",
    )


@pytest.mark.parametrize("trouble", ["hanging", "throttling", "failing", "none"])
def test_interrupted(sandbox: Sandbox, tmp_path: Path, trouble: str) -> None:
    """Ctrl-C ends a run within seconds, whatever Harvest does, and the next run brings all."""
    if trouble == "hanging":
        sandbox.fault("hang", seconds=40, after=2, times=1000)
    elif trouble == "throttling":
        sandbox.fault("status", status=429, headers={"Retry-After": "30"}, after=2, times=1000)
    elif trouble == "failing":
        sandbox.fault("status", status=503, after=2, times=1000)
    tables = ("time_entries", "clients")
    command, settings = script(sandbox, *tables)
    asked = when_asked(sandbox, 3)
    with running(command, tmp_path, **settings) as child:
        assert asked.wait(30)
        child.send_signal(signal.SIGINT)
        sent = time.monotonic()
        _, said = child.communicate(timeout=60)
        assert time.monotonic() - sent < 6
    assert child.returncode == 130, said
    assert "Traceback" not in said
    assert "run again" in said
    sandbox.faults.clear()
    done = run_script(*command[2:], home=tmp_path, **settings)
    assert done.returncode == 0, done.stderr
    assert_equal(scripts_pipeline(tmp_path), sandbox, *tables)


def test_two_at_once(sandbox: Sandbox, tmp_path: Path) -> None:
    """A second run of a pipeline says in one line that it must wait, and disturbs nothing."""
    asked, on = Event(), Event()

    def hold(number: int, _: Request) -> None:
        if number == 3:
            asked.set()
            on.wait(30)

    sandbox.before_request = hold
    tables = ("time_entries", "clients")
    (_, *arguments), settings = script(sandbox, *tables)
    run = partial(run_script, *arguments[1:], home=tmp_path, **settings)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(run)
        assert asked.wait(30)
        second = run()
        on.set()
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "running already" in second.stderr
    assert first.result().returncode == 0, first.result().stderr
    assert_equal(scripts_pipeline(tmp_path), sandbox, *tables)


@pytest.mark.parametrize("job", ["duckdb"], indirect=True)
def test_database_in_use(job: Job, sandbox: Sandbox, tmp_path: Path) -> None:
    """While another program holds the DuckDB file, runs fail; afterwards the next brings all."""
    load_and_change(job, sandbox)
    holder = f"import duckdb; file = duckdb.connect({job.credentials!r}); print('held', flush=True)"
    with subprocess.Popen(  # noqa: S603 - a line of Python
        [sys.executable, "-c", f"{holder}; input()"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(HarvestError, match="lock"):
            job.load()
        other.communicate("\n")
    assert_mended(job, sandbox)
