"""Runs a pipeline to its end, and says what arrived."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from dlt import Pipeline
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.extract import DltSource
from filelock import FileLock, Timeout

from .errors import BusyError, HarvestError, LoadError
from .recover import forget, recover
from .settings import RATE_LIMIT, RATE_PERIOD

M_ARENA_MAX = -8  # as malloc.h has it


@dataclass
class Summary:
    """What a run brought.

    Attributes:
        tables: By table, rows loaded in this run and rows that the destination holds now.
        skipped: Why, by table that the token may not read.
        notices: What a user should know besides.
    """

    tables: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def load(
    pipeline: Pipeline,
    make_source: Callable[..., DltSource],
    *,
    full_refresh: bool = False,
    tell: Callable[[str], None] = print,
) -> Summary:
    """Load a Harvest account into the pipeline's destination.

    What a run that broke off had read is given up and read anew; dlt itself would load only that,
    and read nothing new. A long history comes in steps, newest first; after an interruption the
    next call goes on with the step that was under way. One machine runs a pipeline once at a time.

    Args:
        pipeline: Where to.
        make_source: Makes the `harvest_source` to read, given further settings.
        full_refresh: Drop the source's tables and state, and read anew.
        tell: Takes a line on what is left, between two steps.

    Returns:
        What arrived.

    Raises:
        HarvestError: The run failed; its text is one line with cause and remedy.
    """
    _share_heaps()
    with _alone(pipeline), _explained():
        source = make_source(in_steps=True)
        summary = Summary()
        recover(pipeline, source.name)
        if full_refresh:
            forget(pipeline, source.name)
            pipeline.run(source, refresh="drop_sources")
        else:
            pipeline.run(source)
        _count(pipeline, summary)
        while left := _state(pipeline, source).get("left"):
            requests = sum(left.values())
            minutes = max(1, round(requests / RATE_LIMIT * RATE_PERIOD / 60))
            tell(f"Left: some {requests:,} requests, {minutes} min or more, for {', '.join(left)}.")
            pipeline.run(source)
            _count(pipeline, summary)
        state = _state(pipeline, source)
        summary.skipped = state.get("skipped", {})
        summary.notices = [state[key] for key in ("deletions_stopped",) if key in state]
        return summary


def _state(pipeline: Pipeline, source: DltSource) -> dict[str, Any]:
    state: dict[str, Any] = pipeline.state.get("sources", {}).get(source.name, {})
    return state


def _share_heaps() -> None:
    """Let all threads share two heaps, where glibc would give each its own and keep what it freed.

    400,000 time entries took 809 MB at their peak without this, and 658 MB with it.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


@contextmanager
def _alone(pipeline: Pipeline) -> Iterator[None]:
    lock = FileLock(f"{pipeline.working_dir}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(pipeline.pipeline_name) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn whatever dlt or a destination raises into one line of cause and remedy."""
    try:
        yield
    except Exception as error:
        links = [*_chain(error)]
        for link in links:
            if isinstance(link, (HarvestError, ConfigurationException, KeyboardInterrupt)):
                raise link from None
        raise LoadError(getattr(error, "step", "run"), links[-1]) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _count(pipeline: Pipeline, summary: Summary) -> None:
    """Add what the pipeline's last run loaded, and what its tables hold now."""
    trace = pipeline.last_trace
    loaded = trace.last_normalize_info.row_counts if trace and trace.last_normalize_info else {}
    with pipeline.sql_client() as client:
        for table in sorted(pipeline.default_schema.data_table_names(seen_data_only=True)):
            name = client.make_qualified_table_name(table)
            rows = client.execute_sql(f"SELECT count(*) FROM {name}")  # noqa: S608 - our own names
            before, _ = summary.tables.get(table, (0, 0))
            summary.tables[table] = before + loaded.get(table, 0), rows[0][0] if rows else 0
