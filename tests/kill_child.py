"""Runs a job that kills itself just before the nth step that another process could observe.

A step is a change to a file below the pipeline's working directory, or the begin or end of a
statement in the destination. A kill between two steps leaves what a kill at the second one does.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient

from harvest.run import load

from .crash_child import Job

CHANGES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "os.truncate")
"""What Python audits of the changes that dlt makes to files, besides `open`."""

CLIENTS = (DuckDbSqlClient, Psycopg2SqlClient)


def run(job: Job, *, plain: bool) -> None:
    """Run a job once, as a process of its own does.

    Args:
        job: What to run.
        plain: Whether by dlt's `pipeline.run`, as in a user's own script, instead of by `load`. The
            source is made before the pipeline, so that nothing can be mended when it is made.
    """
    if plain:
        source = job.read()
        job.pipeline().run(source)
    else:
        load(job.pipeline(), *job.tables, **job.source, tell=lambda _: None)


def run_killed(job: Job, log: str, *, plain: bool, at: int) -> None:
    """Run a job once, and die before the step of this number.

    Args:
        job: What to run.
        log: A file that takes a line for each step before it is made.
        plain: Whether by dlt's `pipeline.run`.
        at: The number of the step, from 1 on; 0 only writes the log.
    """
    root = os.path.realpath(Path(job.pipelines_dir) / job.dataset)
    lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    numbers = count(1)

    def step(what: str) -> None:
        os.write(lines, f"{what}\n".encode())
        if next(numbers) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and _writes(*arguments[1:3]):
            path = _path(arguments[0], -1)
        elif event in CHANGES:
            path = _path(arguments[0], arguments[-1] if event in CHANGES[1:4] else -1)
        else:
            return
        if path == root or path.startswith(root + os.sep):
            step(f"{event} {path[len(root) :] or '.'}")

    sys.addaudithook(audit)
    for client in CLIENTS:
        watch(client, step)
    run(job, plain=plain)


def watch(client: type[Any], step: Callable[[str], None]) -> None:
    """Make a step of the begin and end of what a client asks of its database."""
    execute, begin = client.execute_query, client.begin_transaction

    @contextmanager
    def execute_query(self: Any, query: Any, *values: Any, **options: Any) -> Iterator[Any]:
        text = " ".join(str(query).split())[:120]
        step(f"before {text}")
        with execute(self, query, *values, **options) as cursor:
            step(f"after {text}")
            yield cursor

    @contextmanager
    def begin_transaction(self: Any) -> Iterator[Any]:
        with begin(self) as transaction:
            yield transaction
            step("before COMMIT")
        step("after COMMIT")

    mock.patch.object(client, "execute_query", execute_query).start()
    mock.patch.object(client, "begin_transaction", begin_transaction).start()


def _writes(mode: Any, flags: Any) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _path(path: Any, folder: Any) -> str:
    if isinstance(path, int):
        return ""
    text = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0 and not text.startswith(os.sep):
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)  # noqa: PTH115,PTH118
    return os.path.abspath(text)  # noqa: PTH100 - fast, and without further events
