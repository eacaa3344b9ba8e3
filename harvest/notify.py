"""Tells a webhook in Slack's form that a run failed, or what follows it.

dlt has a setting for such a hook, which is used here, but tells it nothing by itself. Its
`send_slack_message` is not used: it waits without end for a server that does not answer, and its
exceptions name the hook's address, which is a secret.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import requests
from dlt import Pipeline
from dlt.common import logger

from .errors import HarvestError

TIMEOUT = 10  # seconds: whoever waits for the run has a failure to look after

LONGEST = 2000
"""Characters of a message. Slack itself cuts much later."""

T = TypeVar("T")


def notifies(run: Callable[..., T]) -> Callable[..., T]:
    """Let a function whose first argument is a pipeline post its failures.

    They go to the address in `runtime.slack_incoming_hook`, as dlt's configuration has it. Whatever
    becomes of that, the failure itself is raised.
    """

    @wraps(run)
    def notifying(pipeline: Pipeline, *args: object, **settings: object) -> T:
        try:
            return run(pipeline, *args, **settings)
        except Exception as error:
            if hook := pipeline.run_context.runtime_config.slack_incoming_hook:
                _post(str(hook), f"Harvest, pipeline `{pipeline.pipeline_name}`: {_line(error)}")
            raise

    return notifying


def _line(error: Exception) -> str:
    """Return what happened on one line; of other people's exceptions only what they are."""
    return " ".join(str(error).split()) if isinstance(error, HarvestError) else type(error).__name__


def _post(hook: str, text: str) -> None:
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # as Slack demands
        text = text.replace(character, escaped)
    try:
        answer = requests.post(
            hook, json={"text": text[:LONGEST]}, timeout=TIMEOUT, allow_redirects=False
        )
        problem = "" if answer.ok else f"answered {answer.status_code}"
    except (requests.RequestException, ValueError) as error:
        problem = type(error).__name__
    if problem:
        logger.warning(f"The failure could not be told to `slack_incoming_hook`: {problem}.")
