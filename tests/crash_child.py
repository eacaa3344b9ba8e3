"""Runs `harvest.run.load` in a process of its own, which may kill itself at a chosen moment."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import dlt
import duckdb
from dlt import Pipeline
from dlt.common.runtime.collector import NullCollector
from dlt.common.storages import PackageStorage
from dlt.extract import DltSource

from harvest import harvest_source
from harvest.run import load
from harvest_sandbox import Sandbox

from .processes import spawn
from .running import EVER

TABLES = ["time_entries", "invoices", "invoice_payments", "company"]
"""A list by date, one with nested lists, children, and a single object."""


class Progress(NullCollector):
    """Does something at the nth sign of progress in a step, named as dlt shows it."""

    def __init__(self, step: str, after: int) -> None:
        self.phase, self.left = step, after

    def update(self, *_: Any, **__: Any) -> None:
        """Count what dlt reports."""
        if self.step.startswith(self.phase):
            self.left -= 1
            if self.left == 0:
                self.act()

    def act(self) -> None:
        """Die as by a power cut."""
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Job:
    """What to run.

    Args:
        destination: The name of dlt's destination.
        credentials: Its address.
        dataset: The dataset and the pipeline's name.
        pipelines_dir: Where the pipeline keeps its state.
        source: Arguments of `harvest_source`.
        tables: Its tables.
        step: "Extract", "Normalize" or "Load": where to die; empty: nowhere.
        after: At which sign of progress there.
        committed: A table: die when the destination committed it, before dlt has noted that.
    """

    destination: str
    credentials: str
    dataset: str
    pipelines_dir: str
    source: dict[str, Any]
    tables: list[str]
    step: str = ""
    after: int = 0
    committed: str = ""

    def pipeline(self, progress: NullCollector | None = None) -> Pipeline:
        """Return the pipeline as a new process finds it."""
        destination = getattr(dlt.destinations, self.destination)(self.credentials)
        return dlt.pipeline(
            self.dataset,
            pipelines_dir=self.pipelines_dir,
            destination=destination,
            dataset_name=self.dataset,
            progress=progress or NullCollector(),
        )

    def read(self) -> DltSource:
        """Return the source as a user's own script makes it."""
        return harvest_source(**self.source).with_resources(*self.tables)

    def load(self, progress: NullCollector | None = None) -> None:
        """Do this job here."""
        load(self.pipeline(progress), *self.tables, **self.source)

    def held(self) -> AbstractContextManager[object]:
        """Keep a DuckDB file open in a block, as the fixture `duck` does."""
        return duckdb.connect(self.credentials) if self.destination == "duckdb" else nullcontext()


def describe(sandbox: Sandbox, home: Path, destination: str, credentials: str, name: str) -> Job:
    """Return a run that reads the sandbox."""
    return Job(
        destination,
        credentials,
        dataset="".join(c if c.isalnum() else "_" for c in name).lower()[:50].strip("_"),
        pipelines_dir=str(home / "pipelines"),
        source={
            "api_key": sandbox.token,
            "account_id": str(sandbox.account_id),
            "base_url": sandbox.base_url,
            "anchor_date": EVER,
            "rate_limit": 100_000,
        },
        tables=TABLES,
    )


def die_before_noting(table: str) -> None:
    """Lose power in the moment between the destination's commit and dlt's note of it."""
    note = PackageStorage.save_pending_transition

    def die(self: PackageStorage, load_id: str, file_name: str, *outcome: Any) -> None:
        if file_name.startswith(f"{table}."):
            os.kill(os.getpid(), signal.SIGKILL)
        note(self, load_id, file_name, *outcome)

    mock.patch.object(PackageStorage, "save_pending_transition", die).start()


def crash(job: Job) -> None:
    """Do a job, and die where it says so."""
    if job.committed:
        die_before_noting(job.committed)
    job.load(Progress(job.step, job.after) if job.step else None)


def killed(job: Job) -> None:
    """Run a job that dies."""
    assert spawn(crash, job) == -signal.SIGKILL


def change(sandbox: Sandbox, seed: int = 1) -> None:
    """Edit and add records as stamps show, so that an ordinary run must find all."""
    account, r = sandbox.account, Random(seed)  # noqa: S311 - seeded edits
    sandbox.clock.shift(minutes=5)
    for table in ("clients", "time_entries", "invoices"):
        for record in r.sample(account.rows(table), 5):
            text = {"clients": "address", "invoices": "subject"}.get(table, "notes")
            changes: dict[str, Any] = {text: f"changed {seed}"}
            account.update(table, record["id"], **changes)
    entry = {k: v for k, v in account.rows("time_entries")[0].items() if k != "id"}
    account.add("time_entries", {**entry, "created_at": account.clock.stamp(),
        "updated_at": account.clock.stamp()})  # fmt: skip
    invoice = r.choice([row for row in account.rows("invoices") if row["line_items"]])
    items = [{**invoice["line_items"][0], "id": seed * 100 + n} for n in range(3)]
    account.update("invoices", invoice["id"], line_items=items)
    payment = {**account.rows("invoice_payments")[0], "amount": Decimal("0.01")}
    for name in ("id", "created_at", "updated_at"):
        del payment[name]
    account.add("invoice_payments", payment, invoice["id"])
    account.company["name"] = f"Agency {seed}"
