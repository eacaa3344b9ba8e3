"""What is built of the loaded tables: where it can't be, the user hears of it, and in time."""

from __future__ import annotations

import json
from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest import metrics
from harvest.cli import load_and_print, verify_and_print
from harvest.errors import (
    LikeDestinationError,
    MetricsDestinationError,
    MetricsError,
    PartialLoadError,
    UnverifiableError,
)
from harvest_sandbox import Sandbox

from .webhook import Hook


def broken(*_: object) -> object:
    """Let dbt not be installed, as without a package index."""
    raise MetricsError(["metrics"], "installing dbt", "no index")


@pytest.mark.parametrize("as_json", [False, True])
def test_failure(
    settings: dict[str, Any],
    duck: Pipeline,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Where dbt fails, the summary of the load is printed, and the webhook is told once."""
    monkeypatch.setattr(duck.run_context.runtime_config, "slack_incoming_hook", hook.url)
    monkeypatch.setattr(metrics, "_environment", broken)
    with pytest.raises(MetricsError) as caught:
        load_and_print(lambda: duck, "tasks", metrics=True, as_json=as_json, **settings)
    said = capsys.readouterr().out
    if as_json:
        summary = json.loads(said)
        assert summary["tables"].keys() == {"tasks"}
        assert "metrics" not in summary
    else:
        assert "tasks" in said
        assert "Metrics in dataset" not in said
    assert hook.told == [{"text": f"Harvest, pipeline `harvest_test`: {caught.value}"}]


def test_partial_load(
    sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where not all was loaded, nothing is built of it, and the summary says so."""
    sandbox.fault("status", path="v2/clients$", status=422, times=-1)
    with pytest.raises(PartialLoadError):
        load_and_print(
            lambda: duck, "clients", "tasks",
            metrics=True, like="stitch", as_json=True, **settings,
        )  # fmt: skip
    summary = json.loads(capsys.readouterr().out)
    assert [line for line in summary["notices"] if "Left as they were: metrics, stitch." in line]
    assert not summary.keys() & {"metrics", "stitch"}


@pytest.mark.parametrize(
    ("destination", "names", "error"),
    [
        ("snowflake", {"like": "airbyte"}, LikeDestinationError),
        ("snowflake", {"like": "stitch", "metrics": True}, LikeDestinationError),
        ("filesystem", {"like": "fivetran"}, MetricsDestinationError),
    ],
)
def test_elsewhere(
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    destination: str,
    names: dict[str, Any],
    error: type[Exception],
) -> None:
    """A destination on which something can't be built is refused before anything is loaded."""
    pipeline = dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")
    monkeypatch.setattr(pipeline.run_context.runtime_config, "slack_incoming_hook", hook.url)
    with pytest.raises(error, match=f"built on {destination}"):
        load_and_print(lambda: pipeline, "tasks", api_key="none", account_id="1", **names)
    assert len(hook.told) == 1


def test_verification(
    settings: dict[str, Any],
    duck: Pipeline,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The webhook is told once of a verification that fails."""
    monkeypatch.setattr(duck.run_context.runtime_config, "slack_incoming_hook", hook.url)
    with pytest.raises(UnverifiableError) as caught:  # nothing was loaded
        verify_and_print(lambda: duck, **settings)
    assert hook.told == [{"text": f"Harvest, pipeline `harvest_test`: {caught.value}"}]
