"""A webhook is told that a run failed, and never gets in the way of the failure itself."""

from __future__ import annotations

from typing import Any

import pytest
from dlt import Pipeline

from harvest import HarvestError
from harvest.run import load
from harvest_sandbox import Sandbox

from .webhook import Hook

Settings = dict[str, Any]


def fail(sandbox: Sandbox, settings: Settings, duck: Pipeline) -> str:
    """Run into a failure, and return its text."""
    sandbox.fault("status", path="v2/clients", status=422)
    with pytest.raises(HarvestError) as caught:
        load(duck, "clients", **settings)
    return str(caught.value)


def test_failure(
    sandbox: Sandbox,
    settings: Settings,
    duck: Pipeline,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failed run tells its one line, without a secret, and one that ends well tells nothing."""
    monkeypatch.setattr(duck.run_context.runtime_config, "slack_incoming_hook", hook.url)
    load(duck, "clients", **settings)
    assert hook.told == []
    said = fail(sandbox, settings, duck)
    assert hook.told == [{"text": f"Harvest, pipeline `harvest_test`: {said}"}]
    assert sandbox.token not in str(hook.told)


@pytest.mark.parametrize("address", ["refusing", "http://127.0.0.1:9/s3cret", "s3cret"])
def test_broken_hook(
    sandbox: Sandbox,
    settings: Settings,
    duck: Pipeline,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    told: list[str],
    address: str,
) -> None:
    """A hook that does not work costs one warning without its address, and hides nothing."""
    hook.status = 500
    address = hook.url if address == "refusing" else address
    monkeypatch.setattr(duck.run_context.runtime_config, "slack_incoming_hook", address)
    assert "`clients`: Harvest answered 422" in fail(sandbox, settings, duck)
    (warning,) = [line for line in told if "slack_incoming_hook" in line]
    assert "s3cret" not in warning
