"""What a run did to each table, and what the destination holds now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from dlt import Pipeline
from dlt.common import logger
from dlt.common.destination.exceptions import DestinationException
from dlt.common.exceptions import MissingDependencyException
from dlt.common.schema.utils import get_root_table
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.extract import DltSource

from .extract.freshness import FRESHNESS
from .extract.state import LastRun


@dataclass
class Rows:
    """What a run did to one table.

    Added and removed rows are counted in the destination, so they are exact. `changed` are those of
    the rest that Harvest stamped since the table's read before began: what it changes without a new
    stamp, a running timer's hours for one, counts as unchanged.

    Attributes:
        before: Rows that the destination held before it.
        now: Rows that the destination holds after it; None where it can't be asked.
        loaded: Rows that were sent to the destination.
        changed: Rows that changed; None where it can't be told: of nested tables, of `company`,
            which has no stamp, and where every state of a record is kept.
        removed: Rows that left the table, since Harvest has them no more.
        flagged: Rows that were flagged instead.
    """

    before: int | None = 0
    now: int | None = 0
    loaded: int = 0
    changed: int | None = None
    removed: int = 0
    flagged: int = 0

    @property
    def added(self) -> int:
        """Rows that the destination did not have before."""
        return (self.now or 0) - (self.before or 0) + self.removed

    @property
    def unchanged(self) -> int:
        """Rows that are as they were."""
        return max(0, (self.now or 0) - self.added - (self.changed or 0) - self.flagged)

    def as_dict(self) -> dict[str, int]:
        """Return the figures that can be told."""
        if self.now is None:
            return {"loaded": self.loaded}
        names = ["now", "loaded"]
        if self.changed is not None:
            names += ["added", "changed", "removed", "flagged", "unchanged"]
        return {name: getattr(self, name) for name in names}


@dataclass
class Summary:
    """What a run brought.

    Attributes:
        tables: What happened to each table that was selected, its nested tables included.
        skipped: Why, by table that the token may not read.
        notices: What a user should know besides.
        history_from: The moment from which on the history of the selected tables is whole (UTC);
            None if all of it is there.
        requests: How many requests were made, those that were tried again included.
        seconds: How long it took.
    """

    tables: dict[str, Rows] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    history_from: datetime | None = None
    requests: int = 0
    seconds: float = 0.0

    def add(self, run: LastRun, loaded: dict[str, int], now: dict[str, int | None]) -> None:
        """Add what one run of the pipeline did.

        Args:
            run: What the state says of it.
            loaded: Rows that were sent, by table.
            now: Rows that the destination holds, by table.
        """
        self.requests += run.requests
        for table, count in now.items():
            rows = self.tables.setdefault(table, Rows())
            rows.now = count
            rows.loaded += loaded.get(table, 0)
            if table in run.changed:
                rows.changed = (rows.changed or 0) + run.changed[table]
            rows.removed += run.removed.get(table, 0)
            rows.flagged += run.flagged.get(table, 0)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON takes it."""
        return {
            **asdict(self),
            "tables": {table: rows.as_dict() for table, rows in self.tables.items()},
            "history_from": self.history_from and self.history_from.isoformat(),
            "seconds": round(self.seconds, 1),
        }

    def __str__(self) -> str:
        """Return the summary as a table for people."""
        columns = ["added", "changed", "removed", "flagged", "unchanged", "now"]
        if not any(rows.flagged for rows in self.tables.values()):
            columns.remove("flagged")
        if any(rows.now is None for rows in self.tables.values()):
            columns = ["loaded"]
        lines = [f"{'table':<30}" + "".join(f"{column:>11}" for column in columns)]
        for table, rows in self.tables.items():
            said = rows.as_dict()
            figures = (f"{said[name]:,}" if name in said else "" for name in columns)
            lines.append(f"{table:<30}" + "".join(f"{figure:>11}" for figure in figures))
        lines += [f"{table:<30} left out: {reason}" for table, reason in self.skipped.items()]
        lines += [f"\nNote: {notice}" for notice in self.notices]
        return "\n".join([*lines, f"\n{self.requests:,} requests, {_spoken(self.seconds)}."])


def count_rows(
    pipeline: Pipeline, source_name: str, resources: Collection[str]
) -> dict[str, int | None]:
    """Return how many rows the destination holds, by table of the resources.

    dlt asks files by way of DuckDB, which needs extensions from the internet for Delta and Iceberg,
    and may not be installed. Where it can't be asked the count is None, since what was loaded was
    loaded all the same.

    Args:
        pipeline: Where.
        source_name: The source whose tables they are.
        resources: The resources that the tables belong to.
    """
    if source_name not in pipeline.schemas:
        return {}  # nothing was ever loaded
    schema = pipeline.schemas[source_name]
    tables = sorted(
        table
        for table in schema.data_table_names(seen_data_only=True)
        # Each table writes how fresh it is, so dlt takes that table to belong to one of them.
        if table != FRESHNESS and get_root_table(schema.tables, table).get("resource") in resources
    )
    try:
        with pipeline.sql_client(source_name) as client:
            return {table: _count(client, table) for table in tables}
    except (DestinationException, MissingDependencyException) as error:
        if isinstance(pipeline.destination_client(source_name), SqlJobClientBase):
            raise
        logger.info(f"The rows of the tables can't be counted: {error}")
        return dict.fromkeys(tables)


def _count(client: Any, table: str) -> int:
    name = client.make_qualified_table_name(table)
    try:
        rows = client.execute_sql(f"SELECT count(*) FROM {name}")  # noqa: S608 - our own names
    except DatabaseUndefinedRelation:  # somebody dropped it
        return 0
    return int(rows[0][0])


def loaded_by(pipeline: Pipeline) -> dict[str, int]:
    """Return how many rows the pipeline's last run sent, by table."""
    trace = pipeline.last_trace
    return trace.last_normalize_info.row_counts if trace and trace.last_normalize_info else {}


def started_with(pipeline: Pipeline, source: DltSource) -> Summary:
    """Return the summary of a run that is about to begin.

    Args:
        pipeline: The pipeline, which may be new on this machine.
        source: The source, with its selected tables.
    """
    if not pipeline.default_schema_name and not pipeline.dev_mode:
        pipeline.sync_destination()  # fetches what another machine loaded
    before = count_rows(pipeline, source.name, source.selected_resources)
    return Summary({table: Rows(before=count, now=count) for table, count in before.items()})


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
