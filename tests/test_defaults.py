"""Defaults for dlt hold for our run only, and only where the user has none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt import Pipeline
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.extract import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from harvest import HarvestError, harvest_source
from harvest.run import load

Settings = dict[str, Any]


def memory_limit(pipeline: Pipeline) -> str:
    """Return how much memory DuckDB may hold for this pipeline."""
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT current_setting('memory_limit')")
        assert rows
        return str(rows[0][0])


@pytest.mark.parametrize(("own", "mebibytes"), [("", "190.7 MiB"), ("300MB", "286.1 MiB")])
def test_duckdb_memory(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    mebibytes: str,
) -> None:
    """DuckDB's memory is bounded in our run, as we or the user say, and nowhere else."""
    if own:
        monkeypatch.setenv(
            "DESTINATION__DUCKDB__CREDENTIALS__GLOBAL_CONFIG", f'{{"memory_limit": "{own}"}}'
        )
    duck, other = (  # files that nothing holds open, since that keeps what was set there
        dlt.pipeline(name, destination=dlt.destinations.duckdb(str(tmp_path / f"{name}.duckdb")))
        for name in ("mine", "other")
    )
    before, found = memory_limit(other), set()

    def measure(row: dict[str, Any]) -> dict[str, Any]:
        with ThreadPoolExecutor(1) as elsewhere:  # where another pipeline may run
            found.add((memory_limit(duck), elsewhere.submit(memory_limit, other).result()))
        return row

    def add(source: DltSource) -> None:
        source.resources["clients"].add_map(measure)

    load(duck, "clients", customize=add, **settings)
    assert found == {(mebibytes, before)}
    assert memory_limit(duck) == before


@pytest.mark.parametrize("own", [0, 3])
def test_workers(
    settings: Settings, duck: Pipeline, monkeypatch: pytest.MonkeyPatch, own: int
) -> None:
    """A run asks with twenty workers, or with as many as the user says."""
    if own:
        monkeypatch.setenv("EXTRACT__WORKERS", str(own))
    load(duck, "clients", **settings)
    trace = duck.last_trace
    assert trace
    found = {int(v.value) for v in trace.resolved_config_values if v.key == "workers"}
    assert (own or 20) in found


def test_nothing_stays(settings: Settings, duck: Pipeline) -> None:
    """After a run, failed or not, dlt asks the same providers and explains what is missing."""
    providers = list(dlt.config.config_providers)  # as dlt's own documents show them
    load(duck, "clients", **settings)
    with pytest.raises(HarvestError):
        load(duck, "clients", **{**settings, "api_key": "wrong"})
    duck.run(harvest_source(**settings).with_resources("tasks"))
    assert list(dlt.config.config_providers) == providers
    stranger = dlt.pipeline("stranger", destination="postgres", dataset_name="stranger")
    with pytest.raises(PipelineStepFailed) as caught:
        stranger.run([{"id": 1}], table_name="rows")
    assert isinstance(caught.value.__cause__, ConfigFieldMissingException)
    assert "harvest" not in str(caught.value.__cause__)
    with pytest.raises(ConfigFieldMissingException, match="api_key"):
        load(duck)


@pytest.mark.parametrize("chosen", [{}, {"loader_parallelism_strategy": "parallel"}])
def test_shared_destination(settings: Settings, tmp_path: Path, chosen: dict[str, Any]) -> None:
    """A destination that can load one table at a time only is as it was after the run."""
    address = f"sqlite:///{tmp_path}/warehouse.db"
    destination = dlt.destinations.sqlalchemy(address, **chosen)
    before = {**destination.caps_params}
    pipeline = dlt.pipeline("shares", destination=destination, dataset_name="data")
    seen = []

    def see(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(destination.caps_params["loader_parallelism_strategy"])
        return row

    source = harvest_source(**settings).with_resources("tasks")
    source.resources["tasks"].add_map(see)
    pipeline.run(source)
    assert set(seen) == {"sequential"}
    assert destination.caps_params == before
