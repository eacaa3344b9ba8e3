"""Runs a pipeline to its end."""

from __future__ import annotations

import ctypes
import sysconfig
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dlt import Pipeline
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.destination.exceptions import DestinationException
from dlt.common.exceptions import DltException
from dlt.extract import DltSource
from filelock import FileLock, Timeout

from . import ENDPOINTS, harvest_source
from .defaults import defaults
from .errors import (
    BusyError,
    ConfigurationError,
    CustomStepError,
    HarvestError,
    InternalError,
    LoadError,
    PartialLoadError,
)
from .extract.state import anchor_of, last_run
from .notify import notifies
from .recover import forget, recover
from .settings import EVERYTHING, RATE_LIMIT, RATE_PERIOD
from .summary import Rows, Summary, count_rows, loaded_by, started_with

BY_LOAD = {"in_batches": True, "keep_going": True}
"""What `load` can do for a source: run again for the next batch, and report what failed."""

NEXT_BATCH = {"full_read": False, "full_read_hours": -1, "children": "changed"}
"""Settings of all batches but the first: what the first one read whole is not read whole again."""

M_ARENA_MAX = -8  # as malloc.h has it

BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Exceptions that code raises by mistake, and that no destination or network causes."""

OUR_FOLDER = Path(__file__).parent
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


@notifies
def load(
    pipeline: Pipeline,
    *tables: str,
    refresh: bool | Collection[str] = False,
    customize: Callable[[DltSource], object] | None = None,
    tell: Callable[[str], object] = print,
    **settings: Any,
) -> Summary:
    """Load a Harvest account into the pipeline's destination.

    What an earlier run had read but could not load is given up and read anew; dlt itself would
    load only that, and read nothing new. A long history comes in batches, newest first; after an
    interruption the next call goes on with the batch that was under way. On one machine a pipeline
    runs once at a time.

    Args:
        pipeline: Where to.
        tables: What to load; everything if none is named.
        refresh: Drop these tables, with their nested tables and everything that is remembered
            about them, and read them anew; True means all tables that are loaded. They are dropped
            together with the load of what was read, so a run that fails drops nothing.
        customize: Is given the source before it is read, to add steps to its resources:
            `lambda source: source.users.add_map(mask)`. What it returns is ignored.
        tell: Takes lines for the user: what is about to be dropped, and what is left after each
            batch.
        settings: Arguments of `harvest_source`; those that are not given are taken from dlt's
            configuration.

    Returns:
        What arrived.

    Raises:
        HarvestError: The run failed; its text is one line with cause and remedy. A webhook is told
            the same where dlt's `runtime.slack_incoming_hook` names one.
        dlt.common.configuration.exceptions.ConfigurationException: A setting or a credential is
            missing.
    """

    def make(names: Collection[str], **changes: Any) -> DltSource:
        made = _source(names, {**settings, **changes})
        if customize:
            customize(made)
        return made

    source = make(tables)
    selected = source.selected_resources.keys()
    dropped = set(selected if refresh is True else refresh or ())
    if unknown := dropped - selected:
        raise ConfigurationError(
            "refresh", f"names {', '.join(sorted(unknown))}", "name only tables that are loaded"
        )
    _share_heaps()
    with _alone(pipeline), defaults(pipeline), _explained():
        started = time.monotonic()
        recover(pipeline, source.name)
        summary = started_with(pipeline, source)
        if dropped:
            # What is dropped must come back whole, so nothing may be left out of this run.
            _refresh(pipeline, make(dropped, keep_going=False), summary, tell)
            _add_up(pipeline, source, summary)
        if dropped != selected:
            pipeline.run(source)
            _add_up(pipeline, source, summary)
        run = last_run(pipeline, source.name)
        while run.requests_left and not run.failed:
            left = run.requests_left
            requests = sum(left.values())
            minutes = max(1, round(requests / RATE_LIMIT * RATE_PERIOD / 60))
            tell(f"Left: some {requests:,} requests, {minutes} min or more, for {', '.join(left)}.")
            pipeline.run(make(tables, **NEXT_BATCH))
            _add_up(pipeline, source, summary)
            run = last_run(pipeline, source.name)
        summary.seconds = time.monotonic() - started
        summary.skipped = run.skipped
        summary.notices = [run.deletions_stopped] if run.deletions_stopped else []
        summary.notices += [f"`{name}`: {why}." for name, why in run.refused.items()]
        anchor = anchor_of(pipeline, source.name)
        bounded = any(e.anchored and e.name in selected for e in ENDPOINTS)
        if bounded and anchor and anchor != EVERYTHING:
            summary.history_from = anchor
            summary.notices.append(
                f"Records last changed before {anchor:%Y-%m-%d} were not read, so months before it "
                'may lack some; `anchor_date = "all"` (--anchor-date all) reads everything.'
            )
        if run.failed:
            raise PartialLoadError(run.failed)
        return summary


def _source(tables: Collection[str], settings: dict[str, Any]) -> DltSource:
    known = [endpoint.name for endpoint in ENDPOINTS]
    if unknown := [table for table in tables if table not in known]:
        raise ConfigurationError(
            "tables", f"names {', '.join(unknown)}", f"choose from {', '.join(known)}"
        )
    source: DltSource = harvest_source(**{**BY_LOAD, **settings})
    return source.with_resources(*tables) if tables else source


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
    """Turn whatever is raised into one line that says whose affair it is, and what to do.

    A destination's drivers report values and credentials that they refuse by exceptions that
    elsewhere are bugs, so where dlt deals with the destination they are not taken for ours.
    """
    try:
        yield
    except Exception as error:
        links = [*_chain(error)]
        for link in links:
            if isinstance(link, (HarvestError, ConfigurationException, KeyboardInterrupt)):
                raise link from None
        step = getattr(error, "step", "run")
        # dlt wraps what was raised, sometimes more than once.
        raised = next((link for link in links if not isinstance(link, DltException)), error)
        at_destination = step in {"sync", "load"} or any(
            isinstance(link, DestinationException) for link in links
        )
        if at_destination or not isinstance(raised, BUGS):
            raise LoadError(step, links[-1]) from error
        frame = _blamed(raised)
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        if _is_ours(frame) or _is_library(frame):
            raise InternalError(step, raised, place) from error
        raise CustomStepError(raised, place) from error


def _blamed(error: BaseException) -> traceback.FrameSummary:
    """Return the innermost frame that is ours or the user's; without one, the innermost."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if _is_ours(frame) or not _is_library(frame):
            return frame
    return frames[-1]


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return OUR_FOLDER in Path(frame.filename).parents


def _is_library(frame: traceback.FrameSummary) -> bool:
    """Whether the code of a frame is dlt's, another library's, Python's or generated."""
    file = Path(frame.filename)
    return (
        not {"site-packages", "dist-packages"}.isdisjoint(file.parts)
        or STANDARD_LIBRARY in file.parents
        or frame.filename.startswith("<")
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _refresh(
    pipeline: Pipeline, source: DltSource, summary: Summary, tell: Callable[[str], object]
) -> None:
    """Drop the selected tables of a source and read them anew, in one load."""
    if there := count_rows(pipeline, source.name, source.selected_resources):
        for table in there:
            summary.tables[table] = Rows()
        rows = ", ".join(
            table if count is None else f"{table} ({count:,} rows)"
            for table, count in there.items()
        )
        tell(f"Refresh: {rows} will be dropped and read anew; no other table is touched.")
    everything = source.selected_resources.keys() == source.resources.keys()
    forget(pipeline, source.name, source.selected_resources.keys())
    # "drop_sources" forgets what concerns no single table too.
    pipeline.run(source, refresh="drop_sources" if everything else "drop_resources")


def _add_up(pipeline: Pipeline, source: DltSource, summary: Summary) -> None:
    """Add what the pipeline's last run did, and what the selected tables hold now."""
    now = count_rows(pipeline, source.name, source.selected_resources)
    summary.add(last_run(pipeline, source.name), loaded_by(pipeline), now)
