"""dlt's settings as they suit Harvest, for one run and wherever the user has none of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dlt import Pipeline
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs import PluggableRunContext
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext

from .settings import DUCKDB_MEMORY, WORKERS

DEFAULTS: dict[tuple[str, ...], Any] = {
    # dlt's five workers can't use up Harvest's limit when it answers slowly.
    ("sources", "harvest", "extract", "workers"): WORKERS,
    # Packing temporary files takes a third of the time of an extraction.
    ("sources", "harvest", "data_writer", "disable_compression"): True,
    ("destination", "duckdb", "credentials", "global_config"): {"memory_limit": DUCKDB_MEMORY},
}


class _Defaults(ConfigProvider):
    """Answers what no other provider answered, and only for one pipeline."""

    supports_secrets, supports_sections = True, True

    def __init__(self, pipeline_name: str) -> None:
        self._pipeline_name = pipeline_name

    @property
    def name(self) -> str:
        """Tells providers of several runs in one process apart."""
        return f"defaults of harvest.run.load for {self._pipeline_name}"

    def get_value(
        self,
        key: str,
        hint: type[Any],  # noqa: ARG002 - dlt passes it
        pipeline_name: str | None,
        *sections: str,
    ) -> tuple[Any | None, str]:
        """Return the default, or None."""
        path = (*sections, key)
        asking = Container()[ConfigSectionContext].pipeline_name
        # dlt asks all providers for what stands below the pipeline's name first. Answering there
        # would overrule what the user set for all pipelines.
        ours = asking == self._pipeline_name and not pipeline_name
        return (DEFAULTS.get(path) if ours else None), ".".join(path)


@contextmanager
def defaults(pipeline: Pipeline) -> Iterator[None]:
    """Let the defaults hold for a pipeline, for as long as the block runs.

    dlt has no place for the defaults of a source, other than the user's files.
    """
    providers = Container()[PluggableRunContext].providers.providers
    ours = _Defaults(pipeline.pipeline_name)
    providers.append(ours)  # the last one that dlt asks
    try:
        yield
    finally:
        with suppress(ValueError):  # dlt's context was made anew meanwhile
            providers.remove(ours)
