"""A process of dlt's that is killed is nobody's bug."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from dlt import Pipeline

from harvest.errors import StepError
from harvest.run import load


def test_killed_worker(
    settings: dict[str, Any], duck: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process that normalizes is killed, its cause is to be mended, and a run goes on."""
    monkeypatch.setenv("NORMALIZE__WORKERS", "2")
    here, ended = psutil.Process(), Event()
    others = {process.pid for process in here.children()}

    def kill() -> None:
        while not ended.wait(0.01):
            for process in here.children():
                if process.pid not in others:
                    process.kill()

    killer = Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(StepError, match="BrokenProcessPool") as caught:
            load(duck, "clients", "projects", **settings)
    finally:
        ended.set()
        killer.join()
    assert "bug" not in str(caught.value)
    monkeypatch.delenv("NORMALIZE__WORKERS")
    assert load(duck, "clients", **settings).tables["clients"].now == 8
