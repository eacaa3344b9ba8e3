"""A run that is killed anywhere, at any change to a file or any statement, is mended by the next.

`make test` kills at one of these steps in each case, another each time, by `load` or by a plain
run. To kill at each of them, by both, which takes some hours:

    HARVEST_KILL_STEPS=all .venv/bin/python -m pytest tests/test_kills.py
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from harvest_sandbox import Sandbox

from .crash_child import Job, change, describe
from .kill_child import run, run_killed
from .processes import spawn
from .running import administer
from .truth import assert_equal

STEPS = os.environ.get("HARVEST_KILL_STEPS", "1")
"""At how many steps to kill in each test, or "all"."""

TABLES = ["clients", "invoices", "invoice_payments", "company"]
"""A list, one with nested lists, its children, and a single object."""


class Setting:
    """A warehouse before a run, of which each kill gets a copy.

    Args:
        sandbox: What is read.
        folder: Where the copies are made.
        destination: "duckdb" or "postgres".
        server: The address of the Postgres.
        plain: Whether runs are dlt's `pipeline.run`.
        before: What befell earlier: "nothing"; "a run", which ended well; or "a kill" after it,
            so that the run that is killed is the one that has to mend.
    """

    def __init__(
        self, sandbox: Sandbox, folder: Path, destination: str, server: str, *,
        plain: bool, before: str,
    ) -> None:  # fmt: skip
        self.sandbox, self.folder, self.destination = sandbox, folder, destination
        self.server, self.plain = server, plain
        self.template = f"prepared_{uuid4().hex[:12]}"
        self.prepared = self._job(self.template)
        Path(self.prepared.pipelines_dir).mkdir(parents=True)
        if before != "nothing":
            assert spawn(run, self.prepared, plain=plain) == 0
            change(sandbox, seed=1)  # which a cursor at the second change would miss
            change(sandbox, seed=2)
        if before == "a kill":
            loading = next(n for n, step in enumerate(self.steps(), 1) if "started_jobs" in step)
            log = str(self.folder / self.template / "log")
            end = spawn(run_killed, self.prepared, log, plain=plain, at=loading)
            assert end == -signal.SIGKILL

    def steps(self) -> list[str]:
        """Return all steps of a run."""
        with self.copy() as job:
            log = Path(job.pipelines_dir) / "log"
            assert spawn(run_killed, job, str(log), plain=self.plain, at=0) == 0
            return log.read_text().splitlines()

    def kill(self, number: int) -> str:
        """Kill a run at a step, demand that the two runs after it mend all, and name the step."""
        with self.copy() as job:
            log = Path(job.pipelines_dir) / "log"
            killed = spawn(run_killed, job, str(log), plain=self.plain, at=number)
            last = log.read_text().splitlines()[-1] if killed else "no such step"
            step = f"{'plain' if self.plain else 'load'}, {last}"
            assert killed in (-signal.SIGKILL, 0), step
            for _ in range(2):
                assert spawn(run, job, plain=self.plain) == 0, f"{number}: {step}"
            try:
                assert_equal(job.pipeline(), self.sandbox, *TABLES)
            except AssertionError as error:
                pytest.fail(f"{number}: {step}: {error}")
            return step

    @contextmanager
    def copy(self) -> Iterator[Job]:
        """Yield a job that finds what was prepared."""
        name = f"copy_{uuid4().hex[:12]}"
        job = self._job(name)
        shutil.copytree(self.folder / self.template, self.folder / name)
        try:
            yield job
        finally:
            shutil.rmtree(self.folder / name)
            if self.server:
                administer(self.server, f"DROP DATABASE {name} WITH (FORCE)")

    def _job(self, name: str) -> Job:
        if self.server:
            origin = "" if name == self.template else f" TEMPLATE {self.template}"
            administer(self.server, f"CREATE DATABASE {name}{origin}")
            credentials = self.server.replace("/postgres?", f"/{name}?")
        else:
            credentials = str(self.folder / name / "warehouse.duckdb")
        job = describe(self.sandbox, self.folder / name, self.destination, credentials, "sweep")
        return replace(job, tables=TABLES)


@pytest.mark.parametrize("plain", [False, True] if STEPS == "all" else [None])
@pytest.mark.parametrize("before", ["nothing", "a run", "a kill"])
@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_killed_at_any_step(
    sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest, destination: str,
    before: str, plain: bool | None,  # noqa: FBT001
) -> None:  # fmt: skip
    """Wherever a run is killed, the next two runs end well, and all tables equal Harvest."""
    server = request.getfixturevalue("postgres_server") if destination == "postgres" else ""
    if plain is None:
        plain = Random().choice([False, True])  # noqa: S311 - either
    setting = Setting(sandbox, tmp_path, destination, server, plain=plain, before=before)
    numbers = [*range(1, len(setting.steps()) + 1)]
    if STEPS != "all":
        numbers = Random().sample(numbers, int(STEPS))  # noqa: S311 - any of them
    for number in numbers:
        setting.kill(number)
