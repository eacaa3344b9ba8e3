"""What a run did to each table, and what the destination holds now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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

from .catalog.schema import ACCOUNT_ID
from .errors import by_account
from .extract.freshness import FRESHNESS
from .extract.state import LastRun

Counts = Mapping[str, int | None]


@dataclass
class Rows:
    """What a run did to one table.

    Rows are counted in the destination, and those that were read are compared with what it holds,
    so all figures are exact as long as nobody else writes into the table.

    Attributes:
        before: Rows that the destination held before it.
        now: Rows that the destination holds after it; None where it can't be asked.
        loaded: Rows that were sent to the destination.
        written: Rows that were new or changed; None where rows are not compared: of nested tables
            and reports, and where the destination can't be asked.
        removed: Rows that left the table, since Harvest has them no more.
        flagged: Rows that were flagged instead.
    """

    before: int | None = 0
    now: int | None = 0
    loaded: int = 0
    written: int | None = None
    removed: int = 0
    flagged: int = 0

    @property
    def added(self) -> int:
        """Rows that the destination did not have before."""
        return (self.now or 0) - (self.before or 0) + self.removed

    @property
    def changed(self) -> int:
        """Rows that were there, but otherwise."""
        return max(0, (self.written or 0) - self.added)

    @property
    def unchanged(self) -> int:
        """Rows that are as they were."""
        return max(0, (self.now or 0) - self.added - self.changed - self.flagged)

    def __add__(self, other: Rows) -> Rows:
        """Return the figures of two accounts together."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in asdict(self)}
        figures: dict[str, Any] = {
            name: None if None in pair else sum(pair) for name, pair in pairs.items()
        }
        return Rows(**figures)

    def as_dict(self) -> dict[str, int]:
        """Return the figures that can be told."""
        if self.now is None:
            return {"loaded": self.loaded}
        names = ["now", "loaded"]
        if self.written is not None:
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
        accounts: Where several accounts were loaded: what this run brought of each. All else is
            the sum, or names the account.
    """

    tables: dict[str, Rows] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    history_from: datetime | None = None
    requests: int = 0
    seconds: float = 0.0
    accounts: dict[int, Summary] = field(default_factory=dict)

    def add(
        self, run: LastRun, loaded: Mapping[str, int | None], now: Mapping[str, int | None]
    ) -> None:
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
            rows.loaded += loaded.get(table) or 0
            if table in run.written:
                rows.written = (rows.written or 0) + run.written[table]
            rows.removed += run.removed.get(table, 0)
            rows.flagged += run.flagged.get(table, 0)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON takes it."""
        said = {
            **asdict(self),
            "tables": {table: rows.as_dict() for table, rows in self.tables.items()},
            "history_from": self.history_from and self.history_from.isoformat(),
            "seconds": round(self.seconds, 1),
        }
        del said["accounts"]
        accounts = {str(account): part.as_dict() for account, part in self.accounts.items()}
        return {**said, "accounts": accounts} if accounts else said

    def __str__(self) -> str:
        """Return the summary as a table for people, where there are several accounts for each."""
        lines = [] if self.accounts else self._lines()
        for account, part in self.accounts.items():
            lines += [f"Account {account}", *part._lines(), ""]  # noqa: SLF001 - of its own kind
        lines += [f"\nNote: {notice}" for notice in self.notices]
        return "\n".join([*lines, f"\n{self.requests:,} requests, {_spoken(self.seconds)}."])

    def _lines(self) -> list[str]:
        columns = ["added", "changed", "removed", "flagged", "unchanged", "now"]
        if not any(rows.flagged for rows in self.tables.values()):
            columns.remove("flagged")
        if any(rows.now is None for rows in self.tables.values()):
            columns = ["loaded"]
        width = max([30, *map(len, self.tables), *map(len, self.skipped)])
        lines = [f"{'table':<{width}}" + "".join(f"{column:>11}" for column in columns)]
        for table, rows in self.tables.items():
            said = rows.as_dict()
            figures = (f"{said[name]:,}" if name in said else "" for name in columns)
            lines.append(f"{table:<{width}}" + "".join(f"{figure:>11}" for figure in figures))
        lines += [f"{table:<{width}} left out: {reason}" for table, reason in self.skipped.items()]
        return lines


def total_of(summaries: Mapping[int, Summary]) -> Summary:
    """Return the summary of all accounts; of one, as if there were no others."""
    if len(summaries) == 1:
        return next(iter(summaries.values()))
    total = Summary(accounts=dict(summaries))
    total.notices = by_account((i, n) for i, summary in summaries.items() for n in summary.notices)
    for account, summary in summaries.items():
        total.requests += summary.requests
        total.history_from = max(
            filter(None, (total.history_from, summary.history_from)), default=None
        )
        for table, rows in summary.tables.items():
            total.tables[table] = total.tables.get(table, Rows()) + rows
        for table, why in summary.skipped.items():
            said = [total.skipped[table]] if table in total.skipped else []
            total.skipped[table] = ", ".join([*said, f"account {account}: {why}"])
    return total


def loaded_tables(pipeline: Pipeline, source_name: str) -> dict[str, str]:
    """Return the tables that were loaded, nested tables included, each with its resource."""
    if source_name not in pipeline.schemas:
        return {}  # nothing was ever loaded
    schema = pipeline.schemas[source_name]
    return {
        table: str(get_root_table(schema.tables, table).get("resource"))
        for table in schema.data_table_names(seen_data_only=True)
        # Each table writes how fresh it is, so dlt takes that table to belong to one of them.
        if table != FRESHNESS
    }


def count_rows(
    pipeline: Pipeline, source_name: str, resources: Collection[str], account: int | None = None
) -> dict[str, int | None]:
    """Return how many rows the destination holds, by table of the resources.

    dlt asks files by way of DuckDB, which needs extensions from the internet for Delta and Iceberg,
    and may not be installed. Where it can't be asked the count is None, since what was loaded was
    loaded all the same.

    Args:
        pipeline: Where.
        source_name: The source whose tables they are.
        resources: The resources that the tables belong to.
        account: Whose rows; None for all. A nested table that Harvest added since is left out: its
            rows do not name their account.
    """
    loaded = loaded_tables(pipeline, source_name)
    tables = sorted(table for table, resource in loaded.items() if resource in resources)
    which = ""
    if account is not None:
        columns = pipeline.schemas[source_name].get_table_columns if tables else None
        tables = [table for table in tables if columns and ACCOUNT_ID in columns(table)]
        which = f" WHERE {ACCOUNT_ID} = {account}"
    if not tables:
        return {}
    try:
        with pipeline.sql_client(source_name) as client:
            return {table: _count(client, table, which) for table in tables}
    except (DestinationException, MissingDependencyException) as error:
        if isinstance(pipeline.destination_client(source_name), SqlJobClientBase):
            raise
        logger.info(f"The rows of the tables can't be counted: {error}")
        return dict.fromkeys(tables)


def _count(client: Any, table: str, which: str) -> int:
    name = client.make_qualified_table_name(table)
    try:
        rows = client.execute_sql(f"SELECT count(*) FROM {name}{which}")  # noqa: S608 - our own
    except DatabaseUndefinedRelation:  # somebody dropped it
        return 0
    return int(rows[0][0])


def loaded_by(pipeline: Pipeline) -> dict[str, int]:
    """Return how many rows the pipeline's last run sent, by table."""
    trace = pipeline.last_trace
    return trace.last_normalize_info.row_counts if trace and trace.last_normalize_info else {}


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
