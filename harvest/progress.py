"""What a user sees while a run goes on: a live display on a terminal, elsewhere a line per table.

Both are collectors, which dlt calls with counters. Besides dlt's own they understand:

- `update(table, n)`: n records of a table were read; dlt says that itself.
- `update(table, 0, total=n)`: the list has n records. It may be said of each page; the most counts.
- `update(table, 0, inc_total=n)`: n more records than known so far are to be read.
- `update(table, n, inc_total=m, label=REQUESTS)`: of the requests that a table needs, n more were
  answered and m more, or fewer if negative, are known to be needed.

The displays that dlt brings understand the same, if the first thing that is said of a counter gives
it a total, 0 if need be: they can't add to none. A label makes a counter of its own there too.

What waits for Harvest's rate limit is asked of the limiter, whenever the display renders itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from dlt.common.runtime.collector_base import Collector
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from .api.rate_limit import RateLimiter

REQUESTS = "requests"

STEPS = {"Extract": "Reading", "Normalize": "Preparing", "Load": "Loading"}
BARS = {"Normalize": "Files", "Load": "Jobs"}
"""The one counter of dlt's that tells how far a step is; that of extraction counts generators."""


def display(stream: TextIO) -> Collector:
    """Return the display that suits a stream."""
    console = Console(file=stream, highlight=False)
    live = console.is_terminal and not console.is_dumb_terminal
    return LiveProgress(console) if live else LinePerTable(stream)


@dataclass
class Count:
    """How far something is.

    Attributes:
        unit: What is counted.
        done: How many were done.
        total: How many there are as far as is known; None if that is not known.
    """

    unit: str
    done: int = 0
    total: int | None = None

    @property
    def left(self) -> int:
        """How many are left; a list that grew while it was read has no more than none."""
        return max(0, (self.total or 0) - self.done)

    def __str__(self) -> str:
        total = f" of {self.total:,}" if self.left else ""
        unit = self.unit.removesuffix("s") if self.done == 1 and not total else self.unit
        return f"{self.done:,}{total} {unit}"


class Counts(Collector):
    """Keeps count of what dlt and the extraction tell."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Count] = {}
        self.step = ""
        self.limiter: RateLimiter | None = None
        self.started = time.monotonic()

    def watch(self, limiter: RateLimiter) -> None:
        """Tell from now on what waits for a limiter, and how long it makes the rest take."""
        self.limiter = limiter

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,  # noqa: ARG002 - dlt passes it
        label: str | None = None,
    ) -> None:
        """Take note of a counter; see the module for what each one means."""
        if self._is_of_interest(name):
            unit = label or ("records" if self._phase == "Extract" else name.lower())
            count = self.counts.setdefault((name, unit), Count(unit))
            count.done += inc
            if total or inc_total:
                count.total = max(count.total or 0, total or 0) + (inc_total or 0)
        self._show()

    @property
    def _phase(self) -> str:
        return self.step.partition(" ")[0]

    def _counts_of(self, table: str) -> list[Count]:
        counts = [count for (name, _), count in self.counts.items() if name == table]
        return sorted(counts, key=lambda count: count.unit != "records")

    def _is_of_interest(self, name: str) -> bool:
        if self._phase == "Extract":
            return name != "Resources" and not name.startswith("_")
        return name == BARS.get(self._phase)

    def _show(self) -> None:
        """Show the counts, now that they changed."""

    def _start(self, step: str) -> None:  # noqa: ARG002 - dlt set it as `step` before
        self.counts, self.started = {}, time.monotonic()

    def _stop(self) -> None:
        """Show the result of the step."""


class LinePerTable(Counts):
    """Writes one line when a table was read, for logs and pipes.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._told: set[str] = set()

    def _start(self, step: str) -> None:
        super()._start(step)
        self._told = set()

    def _show(self) -> None:
        for table in self._tables() - self._told:
            counts = self._counts_of(table)
            # Requests for children become known bit by bit, so only the end shows that all are.
            if all(c.unit == "records" and c.total and not c.left for c in counts):
                self._tell(table, counts)

    def _stop(self) -> None:
        for table in sorted(self._tables() - self._told):
            counts = self._counts_of(table)
            if any(count.done or not count.left for count in counts):
                self._tell(table, counts)  # not of a list that was read for its children only

    def _tables(self) -> set[str]:
        return {table for table, _ in self.counts} if self._phase == "Extract" else set()

    def _tell(self, table: str, counts: list[Count]) -> None:
        self._told.add(table)
        seconds = time.monotonic() - self.started
        said = ", ".join(map(str, counts))
        print(f"{table}: {said} after {seconds:,.0f} s", file=self._stream, flush=True)


class LiveProgress(Counts):
    """Shows a line for each thing that is under way, on a terminal; what is done makes room.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._rich: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def _start(self, step: str) -> None:
        super()._start(step)
        self._tasks = {}
        self._rich = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            Said(self._count),
            Said(self._remaining),
            console=self._console,
            transient=True,
        )
        self._rich.add_task(STEPS.get(self._phase, self._phase), total=None)
        self._rich.start()

    def _show(self) -> None:
        if not self._rich:
            return
        for name in {name: None for name, _ in self.counts}:
            if name not in self._tasks:
                self._tasks[name] = self._rich.add_task(name, total=None)
            counts = self._counts_of(name)
            # Where requests are counted, they tell how far it is.
            bar = next((count for count in counts if count.unit == REQUESTS), counts[0])
            total = None if bar.total is None else bar.done + bar.left
            self._rich.update(
                self._tasks[name], completed=bar.done, total=total, visible=bar.done != total
            )

    def _stop(self) -> None:
        if self._rich:
            self._rich.stop()
            self._rich = None
        if self._phase == "Extract" and self.counts:
            records = sum(c.done for c in self.counts.values() if c.unit == "records")
            seconds = time.monotonic() - self.started
            self._console.print(f"Read {records:,} records in {seconds:,.0f} s.")

    def _count(self, task: Task) -> str:
        """Return how far a task is; for the step as a whole, how long it must wait."""
        for name, known in self._tasks.items():
            if known == task.id:
                return ", ".join(map(str, self._counts_of(name)))
        seconds = self.limiter.waiting if self.limiter and self._phase == "Extract" else 0
        # At full speed requests wait a moment all the time.
        return f"waiting for Harvest's rate limit, {seconds:.0f} s" if seconds >= 1 else ""

    def _remaining(self, task: Task) -> str:
        """Return how long a task still needs; for the step as a whole, the longest of all.

        The limit lets requests through in bursts, so a speed measured during one promises too much:
        all requests that are left take at least as long as the limit makes them.
        """
        whole = task.id not in self._tasks.values()
        tasks = self._rich.tasks if self._rich and whole else [task]
        seconds = max((t.time_remaining or 0 for t in tasks if t.total), default=0)
        if whole and self.limiter:
            left = sum(count.left for count in self.counts.values() if count.unit == REQUESTS)
            seconds = max(seconds, self.limiter.waiting + self.limiter.seconds_for(left))
        if not seconds:
            return ""
        minutes = round(seconds / 60)
        return f"about {minutes} min left" if minutes else f"about {seconds:.0f} s left"


class Said(ProgressColumn):
    """A column of text.

    Args:
        text: Returns what to say of a task.
    """

    def __init__(self, text: Callable[[Task], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        """Return the text."""
        return Text(self._text(task))
