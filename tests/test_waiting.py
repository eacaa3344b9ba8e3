"""What failed is what is said, however long something else still waits for an answer."""

from __future__ import annotations

import time
from typing import Any

import pytest
from dlt import Pipeline

from harvest.errors import PartialLoadError, StatusError, UnreachableError
from harvest.run import load
from harvest.settings import Sizes
from harvest_sandbox import Sandbox
from harvest_sandbox.service import Request

from .running import Make, failure

WAITS = 3.0
"""Longer than dlt waits for its threads."""


def test_failure_while_others_wait(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], duck: Pipeline
) -> None:
    """A list that fails while another one waits is named, in a plain run and in `load`."""

    def before(_: int, request: Request) -> None:
        if request.path.endswith(("/projects", "/company")):
            time.sleep(WAITS)

    sandbox.before_request = before
    sandbox.fault("status", path="v2/clients$", status=401, times=-1)
    said = failure(duck, source().with_resources("clients", "projects", "company"))
    assert isinstance(said, StatusError)
    assert said.endpoint.endswith("clients")
    with pytest.raises(StatusError, match="clients"):
        load(duck, "clients", "projects", "company", **settings)


def test_last_request_without_answer(
    sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline
) -> None:
    """A request that is never answered fails its table alone, though no other one is under way."""
    settings["sizes"] = Sizes(max_attempts=1)
    sandbox.fault("drop", path="v2/tasks$", times=-1)
    with pytest.raises(PartialLoadError, match="but not to this request"):
        load(duck, "tasks", **settings)
    sandbox.fault("drop", path="", times=-1)
    with pytest.raises(UnreachableError):
        load(duck, "tasks", **settings)
