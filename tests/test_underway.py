"""What we hold for a run ends with it."""

from __future__ import annotations

from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest import HarvestError
from harvest.run import load, verify
from harvest.underway import RUNS

from .running import Make, failure


def test_nothing_outlives(settings: dict[str, Any], source: Make, duck: Pipeline) -> None:
    """Nothing of ours is left in the process, however a run was begun and whether it failed."""
    load(duck, "tasks", **settings)
    assert RUNS == {}
    with pytest.raises(HarvestError):
        load(duck, "tasks", **{**settings, "api_key": "wrong"})
    assert RUNS == {}
    with pytest.raises(HarvestError):  # nothing that could be verified
        verify(duck, **settings)
    assert RUNS == {}
    duck.run(source().with_resources("tasks"))
    assert RUNS == {}
    failure(duck, source(api_key="wrong").with_resources("tasks"))
    assert RUNS == {}


def test_by_hand(source: Make, duck: Pipeline) -> None:
    """Who extracts by hand keeps other processes away until all was loaded, and no longer."""
    duck.extract(source().with_resources("tasks"))
    assert RUNS.keys() == {duck.working_dir}
    assert RUNS[duck.working_dir].at_work.is_locked
    duck.normalize()
    duck.load()
    assert RUNS == {}


def test_untold(settings: dict[str, Any], duck: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where dlt tells nobody of a run, `load` ends it."""
    monkeypatch.setenv("ENABLE_RUNTIME_TRACE", "false")
    pipeline = dlt.pipeline("untold", destination=duck.destination, dataset_name="untold")
    load(pipeline, "tasks", **settings)
    assert RUNS == {}
