"""Runs `harvest.run.load` in a process of its own, which may kill itself at a chosen moment.

Usage: `python -m tests.crash_child JSON`, with the fields of `Job`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

import dlt
from dlt import Pipeline
from dlt.common.runtime.collector import NullCollector
from dlt.common.storages import PackageStorage
from dlt.extract import DltSource

from harvest import harvest_source
from harvest.run import load


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

    def arguments(self) -> list[str]:
        """Return the command line that does this job in another process."""
        return [sys.executable, "-m", "tests.crash_child", json.dumps(asdict(self))]


def die_before_noting(table: str) -> None:
    """Lose power in the moment between the destination's commit and dlt's note of it."""
    note = PackageStorage.save_pending_transition

    def die(self: PackageStorage, load_id: str, file_name: str, *outcome: Any) -> None:
        if file_name.startswith(f"{table}."):
            os.kill(os.getpid(), signal.SIGKILL)
        note(self, load_id, file_name, *outcome)

    mock.patch.object(PackageStorage, "save_pending_transition", die).start()


if __name__ == "__main__":
    job = Job(**json.loads(sys.argv[1]))
    if job.committed:
        die_before_noting(job.committed)
    job.load(Progress(job.step, job.after) if job.step else None)
