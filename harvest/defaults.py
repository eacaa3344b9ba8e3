"""dlt's settings as they suit Harvest, for one run and wherever the user has none of their own.

`load` gets all of them. A plain run gets a staging dataset of the pipeline's own, since pipelines
that share one take each other's rows out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dlt import Pipeline
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs import PluggableRunContext
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.normalizers.naming.snake_case import NamingConvention

from .settings import DUCKDB_MEMORY, WORKERS

DEFAULTS: dict[tuple[str, ...], Any] = {
    # dlt's five workers can't use up Harvest's limit when it answers slowly.
    ("sources", "harvest", "extract", "workers"): WORKERS,
    # Packing temporary files takes a third of the time of an extraction.
    ("sources", "harvest", "data_writer", "disable_compression"): True,
    ("destination", "duckdb", "credentials", "global_config"): {"memory_limit": DUCKDB_MEMORY},
}

STAGING_LAYOUT = "staging_dataset_name_layout"

STRATEGY = "loader_parallelism_strategy"


class _Defaults(ConfigProvider):
    """Answers what no other provider answered, and only for one pipeline.

    Args:
        pipeline_name: The pipeline.
        values: The defaults, beside the name of its staging dataset.
    """

    supports_secrets, supports_sections = True, True

    def __init__(self, pipeline_name: str, values: Mapping[tuple[str, ...], Any]) -> None:
        self._pipeline_name, self._values = pipeline_name, values

    @property
    def name(self) -> str:
        """Tells providers of several runs in one process apart."""
        return f"defaults of harvest for {self._pipeline_name}"

    def get_value(
        self,
        key: str,
        hint: type[Any],  # noqa: ARG002 - dlt passes it
        pipeline_name: str | None,
        *sections: str,
    ) -> tuple[Any | None, str]:
        """Return the default, or None."""
        path = (*sections, key)
        value = self._values.get(path)
        if sections[:1] == ("destination",) and key == STAGING_LAYOUT:
            own = NamingConvention().normalize_identifier(self._pipeline_name)  # else dlt warns
            value = f"%s_staging_{own}"
        # dlt asks all providers for what stands below the pipeline's name first. Answering there
        # would overrule what the user set for all pipelines.
        ours = value is not None and not pipeline_name
        if ours and Container()[ConfigSectionContext].pipeline_name == self._pipeline_name:
            return value, ".".join(path)
        return None, ".".join(path)


@contextmanager
def defaults(pipeline: Pipeline) -> Iterator[None]:
    """Let the defaults hold for a pipeline, for as long as the block runs.

    dlt has no place for the defaults of a source, other than the user's files.
    """
    with _asked_last(_Defaults(pipeline.pipeline_name, DEFAULTS)):
        yield


@contextmanager
def own_staging(pipeline: Pipeline) -> Iterator[None]:
    """Give a pipeline a staging dataset of its own, for as long as the block runs."""
    with _asked_last(_Defaults(pipeline.pipeline_name, {})):
        yield


@contextmanager
def one_load_job(pipeline: Pipeline) -> Iterator[None]:
    """Let dlt run one load job at a time, for as long as the block runs.

    Other pipelines may share the destination: it gets the strategy back that it had.
    """
    chosen = pipeline.destination.caps_params
    before = chosen.get(STRATEGY)
    chosen[STRATEGY] = "sequential"
    try:
        yield
    finally:
        chosen.pop(STRATEGY, None)
        if before:
            chosen[STRATEGY] = before


@contextmanager
def _asked_last(ours: _Defaults) -> Iterator[None]:
    """Let dlt ask a provider after all others, for as long as the block runs."""
    providers: list[ConfigProvider] = Container()[PluggableRunContext].providers.providers
    providers.append(ours)
    try:
        yield
    finally:
        with suppress(ValueError):  # dlt's context was made anew meanwhile
            providers.remove(ours)
