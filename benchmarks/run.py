"""One run of the pipeline in a process of its own, so that its figures are its alone."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import dlt

from harvest.catalog import ENDPOINTS
from harvest.run import load
from harvest.settings import RATE_LIMIT
from harvest.summary import Rows

from .account import EDITS, NOTE
from .peer import peer_source

STAGES = "extract", "normalize", "load"
NO_LIMIT = 1_000_000


@dataclass
class Task:
    """What the run loads, and where to; whether everything is read again, or by the usual way."""

    destination: str
    credentials: str
    children: str
    tables: list[str]
    limited: bool
    full_read: bool = False
    peer: bool = False


@dataclass
class Usage:
    """What the run took and brought.

    Attributes:
        seconds: Wall time, by stage and in "all".
        cpu_seconds: Of all threads and child processes.
        peak_mb: The most memory that the process held.
        loaded: Rows loaded.
        rows: Rows that each table holds after it, and after "edited " those that hold the edit.
    """

    seconds: dict[str, float]
    cpu_seconds: float
    peak_mb: float
    loaded: int
    rows: dict[str, int]


def measured(task: Task, settings: dict[str, str], home: Path) -> Usage:
    """Run the task in a new process whose pipeline lives in `home`."""
    environment = {
        **os.environ,
        **settings,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "DLT_DATA_DIR": str(home / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    command = [sys.executable, "-m", "benchmarks.run", json.dumps(asdict(task))]
    done = subprocess.run(
        command, env=environment, cwd=home, stdout=subprocess.PIPE, text=True, check=True
    )
    return Usage(**json.loads(done.stdout.splitlines()[-1]))


def perform(task: Task) -> Usage:
    """Run the task here."""
    destination = getattr(dlt.destinations, task.destination)(task.credentials)
    name = "peer" if task.peer else "benchmark"
    pipeline = dlt.pipeline(name, destination=destination, dataset_name=f"{name}_data")
    limit = RATE_LIMIT if task.limited else NO_LIMIT

    seconds = dict.fromkeys(STAGES, 0.0)

    def add_up(_: str) -> None:
        """Add the stages of the run that ended: a long history comes in several."""
        for step in pipeline.last_trace.steps if pipeline.last_trace else ():
            if step.step in STAGES and step.finished_at:
                seconds[step.step] += (step.finished_at - step.started_at).total_seconds()

    started, cpu = time.monotonic(), _cpu_seconds()
    if task.peer:
        pipeline.run(peer_source(task.tables))
        tables = _rows(pipeline)
    else:
        tables = load(
            pipeline,
            *task.tables,
            tell=add_up,
            anchor_date="2000-01-01",
            children=task.children,
            full_read=task.full_read,
            rate_limit=limit,
        ).tables
    add_up("the last run")
    seconds["all"] = time.monotonic() - started
    edited = {f"edited {name}": _edited(pipeline, name) for name in EDITS if name in task.tables}
    return Usage(
        seconds=seconds,
        cpu_seconds=_cpu_seconds() - cpu,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        loaded=sum(rows.loaded for rows in tables.values()),
        rows={table: rows.now or 0 for table, rows in tables.items()} | edited,
    )


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _rows(pipeline: dlt.Pipeline) -> dict[str, Rows]:
    """Return what a run of dlt's own loaded, and what the tables of the account hold now."""
    known = {name for e in ENDPOINTS for name in (e.name, *e.nested_tables)}
    trace = pipeline.last_trace
    loaded = trace.last_normalize_info.row_counts if trace and trace.last_normalize_info else {}
    found = {}
    with pipeline.sql_client() as client:
        for table in known & set(pipeline.default_schema.data_table_names(seen_data_only=True)):
            name = client.make_qualified_table_name(table)
            counted = client.execute_sql(f"SELECT count(*) FROM {name}")  # noqa: S608 - our own
            found[table] = Rows(now=counted[0][0] if counted else 0, loaded=loaded.get(table, 0))
    return found


def _edited(pipeline: dlt.Pipeline, table: str) -> int:
    with pipeline.sql_client() as client:
        name = client.make_qualified_table_name(table)
        query = f"SELECT count(*) FROM {name} WHERE notes = %s"  # noqa: S608 - our own names
        rows = client.execute_sql(query, NOTE)
        return int(rows[0][0]) if rows else 0


if __name__ == "__main__":
    print(json.dumps(asdict(perform(Task(**json.loads(sys.argv[1]))))))
