"""What we hold for a pipeline while it is at work: it is all begun here, and ended together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from threading import Lock

from dlt import Pipeline
from filelock import FileLock

from .comments import Meanings
from .connection import Connection

Held = Callable[[Pipeline], AbstractContextManager[None]]

RUNS: dict[str, Underway] = {}
"""The runs that are under way, by the pipeline's folder. A run is here from what first asks for it
until `end`; one that somebody extracts, normalizes and loads by hand until it was loaded, and one
of which dlt tells us nothing until the process ends."""

_ONE_AT_A_TIME = Lock()


class Underway:
    """A pipeline at work, and what of ours lasts no longer than that.

    Threads: any. A lock lets one of them make it (`under_way`), and `connection` guards itself. All
    else is begun and ended where dlt runs the pipeline, or while a run is opened, when dlt waits.

    Args:
        pipeline: The pipeline.

    Attributes:
        connection: Asks its destination. It is open only while questions come.
        at_work: The lock that keeps other processes from recovering its folder. A lock that nobody
            refers to is released.
        not_recovered: Why nothing was recovered before the run.
        described: What was said of each table before anything was read.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.connection = Connection(pipeline)
        path = f"{pipeline.working_dir}.at_work"
        self.at_work = FileLock(path, timeout=0, thread_local=False)
        self.not_recovered: Exception | None = None
        self.described: dict[str, Meanings] | None = None
        self._held: dict[Held, ExitStack] = {}

    def hold(self, what: Held) -> None:
        """Begin something once, until it is let go of or the run ends.

        Args:
            what: Begins it for the pipeline, and ends it.
        """
        if what not in self._held:
            with ExitStack() as begun:
                begun.enter_context(what(self.connection.pipeline))
                self._held[what] = begun.pop_all()

    def let_go(self, what: Held) -> None:
        """End something that was begun, if it was."""
        if begun := self._held.pop(what, None):
            begun.close()

    def end(self) -> None:
        """End all of it, also where a part of it fails."""
        with ExitStack() as ending:
            ending.callback(self.at_work.release, force=True)
            ending.callback(self.connection.close)
            for what in [*self._held]:
                ending.callback(self.let_go, what)


def under_way(pipeline: Pipeline) -> Underway:
    """Return the run of a pipeline, which begins with the first who asks."""
    with _ONE_AT_A_TIME:
        if not (run := RUNS.get(pipeline.working_dir)):
            run = RUNS[pipeline.working_dir] = Underway(pipeline)
        if run.connection.pipeline is not pipeline:  # another object of the same folder
            run.connection = Connection(pipeline)
        return run


def if_under_way(pipeline: Pipeline) -> Underway | None:
    """Return the run of a pipeline, if there is one."""
    return RUNS.get(pipeline.working_dir)


def end(pipeline: Pipeline) -> None:
    """Let nothing of ours outlive a pipeline's run."""
    if run := RUNS.pop(pipeline.working_dir, None):
        with suppress(Exception):  # What broke is closed by that, and no row depends on it.
            run.end()
