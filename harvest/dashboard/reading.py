"""Reads the warehouse: what may be chosen, and the answers to questions, by SQL that only reads."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from struct import pack, unpack
from threading import Lock
from typing import Any

from dlt import Pipeline
from dlt.destinations.exceptions import DatabaseTerminalException, DatabaseUndefinedRelation
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials
from dlt.destinations.sql_client import SqlClientBase

from ..catalog.endpoints import BY_NAME
from ..catalog.schema import ACCOUNT_ID
from ..errors import (
    NoMetricsError,
    OtherDatabaseError,
    OtherMetricsError,
    UnreadableWarehouseError,
    WarehouseBusyError,
)
from ..extract.state import last_run
from ..metrics import built_in

Row = dict[str, Any]

FLOCK = "hhqqi4x"
"""`struct flock` of Linux on 64 bits: type, whence, start, length, process."""

DATABASES = {"duckdb": "DuckDB", "postgres": "Postgres"}
"""Whose SQL the questions are in."""

MOST_ROWS = 20_000
"""Rows of an answer that the page takes; its downloads hold all."""

DAY, WEEK, MONTH = "day", "week", "month"
CLIENT, PERSON, CURRENCY = "client", "person", "currency"

REACHES_BACK: Mapping[str, Callable[[date], date]] = {
    DAY: lambda first: first,
    WEEK: lambda first: first - timedelta(days=6),
    MONTH: lambda first: first.replace(day=1),
}
"""The earliest row that reaches into a period, by what a row stands for and the period's first day.
Weeks and months that a period cuts are chosen whole: no row could be divided."""

CHOSEN_BY: Mapping[str, Mapping[str, str]] = {
    "accounts": {},
    "hours": {DAY: "spent_date", CLIENT: "client_id", PERSON: "user_id", CURRENCY: "currency"},
    "utilization": {WEEK: "week_start", PERSON: "user_id"},
    "profit_time_and_materials": {MONTH: "month", CLIENT: "client_id", CURRENCY: "currency"},
    "profit_fixed_fee": {MONTH: "month", CLIENT: "client_id", CURRENCY: "currency"},
    "budget_burn": {DAY: "day", CLIENT: "client_id", CURRENCY: "currency"},
    # What is open is open, however old: no period.
    "work_in_progress": {CLIENT: "client_id", CURRENCY: "currency"},
    "receivables_aging": {CLIENT: "client_id", CURRENCY: "currency"},
    "approvals": {WEEK: "week_start", PERSON: "user_id"},
    "missing_timesheets": {WEEK: "week_start", PERSON: "user_id"},
    "expenses": {MONTH: "month", CURRENCY: "currency"},
    "estimates": {MONTH: "month", CURRENCY: "currency"},
    "edits_after_invoicing": {
        DAY: "spent_date", CLIENT: "client_id", PERSON: "user_id", CURRENCY: "currency",
    },
}  # fmt: skip
"""The metrics, and by which of their columns rows are chosen. What is not named does not choose."""

ALL = "All"
"""Stands for no choice among names."""

MADE_OF: Mapping[str, tuple[str, ...]] = {
    "hours": ("time_entries",),
    "utilization": ("time_entries",),
    "profit_time_and_materials": ("projects", "time_entries", "expenses"),
    "profit_fixed_fee": ("projects", "time_entries", "expenses", "invoices"),
    "budget_burn": (
        "projects", "time_entries", "expenses", "user_assignments", "task_assignments",
    ),
    "work_in_progress": ("projects", "time_entries", "expenses"),
    "receivables_aging": ("invoices",),
    "approvals": ("time_entries",),
    "missing_timesheets": ("users", "time_entries"),
    "expenses": ("expenses",),
    "estimates": ("estimates",),
    "edits_after_invoicing": ("time_entries", "invoices"),
}  # fmt: skip
"""The loaded tables without which a metric says nothing, or too little."""

LOADED = ("_freshness", "_verification", "company")
"""Tables of the loaded dataset that questions are asked of; the account chooses their rows."""


@dataclass(frozen=True)
class Choice:
    """What a user wants to see; None stands for all of it.

    Ids of clients and people come with their account's, as two accounts may use the same.
    """

    first: date | None = None
    last: date | None = None
    account: int | None = None
    client: tuple[int, int] | None = None
    person: tuple[int, int] | None = None
    currency: str | None = None

    @property
    def its_account(self) -> int | None:
        """The account that is chosen, be it by its client or person; None: all of them."""
        return next((pair[0] for pair in (self.client, self.person) if pair), self.account)

    def without_effect(self, models: Sequence[str]) -> list[str]:
        """Return what was chosen but chooses no rows of these models: the day counts as chosen."""
        chosen = {CLIENT: self.client, PERSON: self.person, CURRENCY: self.currency}
        by = [CHOSEN_BY[model] for model in models if model in CHOSEN_BY and model != "accounts"]
        return [name for name, value in chosen.items() if value and not all(name in b for b in by)]


@dataclass(frozen=True)
class Options:
    """What can be chosen: values by the words that stand for them."""

    accounts: dict[str, int] = field(default_factory=dict)
    clients: dict[str, tuple[int, int]] = field(default_factory=dict)
    people: dict[str, tuple[int, int]] = field(default_factory=dict)
    currencies: tuple[str, ...] = ()
    today: date = date(1970, 1, 1)
    first_day: date | None = None
    histories: Mapping[int, date | None] = field(default_factory=dict)
    """From which day on each account's history is whole; None: not known."""
    limits: Mapping[int, str] = field(default_factory=dict)
    """What an account's time entries and expenses are limited to, where they are."""


class Reading:
    """One look into the warehouse, over one connection.

    Args:
        client: dlt's client of the dataset that was loaded.
        pipeline: The pipeline that loaded it.
    """

    def __init__(self, client: SqlClientBase[Any], pipeline: Pipeline) -> None:
        self._client, self._metrics = client, built_in(client.dataset_name)
        self._pipeline = pipeline

    def rows(self, sql: str, choice: Choice, most: int | None = MOST_ROWS) -> list[Row]:
        """Return the rows of a question; none where one of its tables was never loaded.

        Args:
            sql: Of each table, its name in braces stands for the chosen rows.
            choice: What is chosen.
            most: How many rows at most; None for all.

        Raises:
            OtherMetricsError: A table lacks what is asked for.
        """
        tables = {name: self._chosen(name, choice) for name in (*CHOSEN_BY, *LOADED)}
        statement = sql.format(**tables)
        if most is not None:
            statement += f"\nLIMIT {most}"
        try:
            with self._client.execute_query(statement) as cursor:
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except DatabaseUndefinedRelation:
            return []
        except DatabaseTerminalException as error:
            raise OtherMetricsError(self._metrics, error) from error

    def lacking(self, accounts: Collection[int]) -> set[str]:
        """Return the tables of `MADE_OF` that were never read of some of these accounts.

        Of a module that an account has switched off there is nothing to read.
        """
        needed = {table for tables in MADE_OF.values() for table in tables}
        read = "SELECT _account_id, table_name FROM {_freshness} AS read WHERE read_at IS NOT NULL"
        there = {(row[ACCOUNT_ID], row["table_name"]) for row in self.rows(read, Choice())}
        for table in needed:
            if module := BY_NAME[table].module:
                off = f"SELECT _account_id FROM {{company}} AS company WHERE NOT {module}"
                there |= {(row[ACCOUNT_ID], table) for row in self.rows(off, Choice())}
        return {
            table
            for table in needed
            if not accounts or any((account, table) not in there for account in accounts)
        }

    def with_last_run(self, rows: list[Row]) -> list[Row]:
        """Add to each table's row what the last run wrote into it, and what it removed or flagged.

        The pipeline remembers that; null where it does not, as on another machine.
        """
        runs = {
            account: last_run(self._pipeline, account_id=account)
            for account in {row[ACCOUNT_ID] for row in rows}
        }
        counted = []
        for row in rows:
            run, name = runs[row[ACCOUNT_ID]], row["table"]
            known = bool(run.requests)
            gone = run.removed.get(name, 0) + run.flagged.get(name, 0)
            written = run.written.get(name, 0) if known else None
            counted.append({**row, "written": written, "gone": gone if known else None})
        return counted

    def has_metrics(self) -> bool:
        """Tell whether metrics were built."""
        try:
            self._client.execute_sql(f"SELECT 1 FROM {self._name('accounts')} LIMIT 1")
        except DatabaseUndefinedRelation:
            return False
        return True

    def options(self) -> Options:
        """Return what can be chosen."""
        accounts = self.rows(
            "SELECT _account_id, company_name, history_from, limited_to, today FROM {accounts} "
            "ORDER BY company_name, _account_id",
            Choice(),
        )
        several = len(accounts) > 1
        names = {
            row[ACCOUNT_ID]: row["company_name"] or f"Account {row[ACCOUNT_ID]}" for row in accounts
        }

        def named(what: str, models: Sequence[str]) -> dict[str, tuple[int, int]]:
            union = " UNION ".join(
                f"SELECT {ACCOUNT_ID}, {what}_id AS id, {what}_name AS name FROM {{{model}}}"
                for model in models
            )
            grouped = (
                f"SELECT {ACCOUNT_ID}, id, min(name) AS name FROM ({union}) AS named "
                f"WHERE id IS NOT NULL GROUP BY {ACCOUNT_ID}, id ORDER BY lower(min(name)), id"
            )
            found = label(self.rows(grouped, Choice(), None), names if several else {})
            return {row["label"]: (row[ACCOUNT_ID], row["id"]) for row in found}

        money = ("profit_time_and_materials", "profit_fixed_fee", "receivables_aging", "estimates")
        union = " UNION ".join(
            f"SELECT currency FROM {{{model}}}" for model in (*money, "expenses")
        )
        currencies = self.rows(f"SELECT currency FROM ({union}) AS used ORDER BY 1", Choice())
        (days,) = self.rows("SELECT min(week_start) AS first FROM {utilization}", Choice()) or [{}]
        today = datetime.now(timezone.utc).date()
        return Options(
            {unique: account for account, unique in _unique(names).items()},
            named("client", ("profit_time_and_materials", "profit_fixed_fee", "receivables_aging")),
            named("user", ("utilization", "missing_timesheets")),
            tuple(row["currency"] for row in currencies if row["currency"]),
            max((row["today"] for row in accounts), default=today),
            days.get("first"),
            {row[ACCOUNT_ID]: row["history_from"] for row in accounts},
            {row[ACCOUNT_ID]: row["limited_to"] for row in accounts if row["limited_to"]},
        )

    def _chosen(self, table: str, choice: Choice) -> str:
        """Return the SQL that stands for the chosen rows of a table."""
        literal = self._client.capabilities.escape_literal
        by, where = CHOSEN_BY.get(table, {}), []
        if choice.account is not None:
            where.append(f"{ACCOUNT_ID} = {int(choice.account)}")
        for span, earliest in REACHES_BACK.items():
            if span in by and choice.first:
                where.append(f"{by[span]} >= DATE '{earliest(choice.first):%Y-%m-%d}'")
            if span in by and choice.last:
                where.append(f"{by[span]} <= DATE '{choice.last:%Y-%m-%d}'")
        for name, pair in ((CLIENT, choice.client), (PERSON, choice.person)):
            if name in by and pair:
                account, its_id = map(int, pair)
                where.append(f"{ACCOUNT_ID} = {account} AND {by[name]} = {its_id}")
        if CURRENCY in by and choice.currency:
            # A budget in hours has no currency, and is left in.
            column, code = by[CURRENCY], literal(choice.currency)
            where.append(f"({column} = {code} OR {column} IS NULL)")
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        return f"(SELECT * FROM {self._name(table)}{condition})"

    def _name(self, table: str) -> str:
        dataset = self._client.dataset_name if table in LOADED else self._metrics
        with self._client.with_alternative_dataset_name(dataset):
            return self._client.make_qualified_table_name(table)


class Look:
    """Opens the warehouse for a moment at a time, so that nobody waits for the page.

    A DuckDB file allows no load while another process reads it. So a copy is read, made anew when
    the file has changed and nobody writes it. Elsewhere reading is no obstacle; Postgres is told to
    refuse all that writes.

    Threads: any. Each look has a connection of its own; the lock guards the copies.

    Args:
        pipeline: The pipeline that loads into the warehouse.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._lock = Lock()
        self._copies = tempfile.TemporaryDirectory(prefix="harvest-dashboard-")
        self._copied: tuple[object, Path] | None = None
        self._readers: Counter[Path] = Counter()

    def close(self) -> None:
        """Delete the copies."""
        self._copies.cleanup()

    @contextmanager
    def open(self) -> Iterator[Reading]:
        """Open the warehouse.

        Raises:
            NoMetricsError: No metrics were built.
            WarehouseBusyError: The database is being written, and was not read before.
            UnreadableWarehouseError: It can't be opened.
            OtherDatabaseError: The questions are in another SQL.
        """
        database = self.pipeline.destination.destination_type.rpartition(".")[2]
        if database not in DATABASES:
            raise OtherDatabaseError(database, DATABASES.values())
        with self._lock:
            client: Any = self.pipeline.sql_client()
        with ExitStack() as closing:
            if path := _file(client):
                client.credentials.database = str(closing.enter_context(self._copy(path)))
                client.credentials.read_only = True
            try:
                closing.enter_context(client)
            except Exception as error:  # each driver has its own
                raise UnreadableWarehouseError(self.pipeline.pipeline_name, error) from error
            if database == "postgres":
                client.execute_sql("SET default_transaction_read_only = on")
            reading = Reading(client, self.pipeline)
            if not client.has_dataset() or not reading.has_metrics():
                raise NoMetricsError(client.dataset_name)
            yield reading

    @contextmanager
    def _copy(self, path: Path) -> Iterator[Path]:
        """Let a copy be read; it is deleted when a newer one is there and nobody reads it."""
        with self._lock:
            copy = self._newest_copy(path)
            self._readers[copy] += 1
        try:
            yield copy
        finally:
            with self._lock:
                self._readers[copy] -= 1
                for old in [old for old, readers in self._readers.items() if not readers]:
                    if self._copied and old != self._copied[1]:
                        del self._readers[old]
                        shutil.rmtree(old.parent, ignore_errors=True)

    def _newest_copy(self, path: Path) -> Path:
        """Return a copy of a DuckDB file as it was when nobody wrote it."""
        if not path.exists():
            raise NoMetricsError(self.pipeline.dataset_name)
        before = _stamp(path)
        if self._copied and self._copied[0] == before:
            return self._copied[1]
        folder = Path(tempfile.mkdtemp(dir=self._copies.name))
        if not _is_written(path):
            with suppress(OSError):  # Windows refuses to read what is written
                for each in (path, _log(path)):
                    if each.exists():
                        shutil.copyfile(each, folder / each.name)
                if _stamp(path) == before and not _is_written(path):
                    self._copied = before, folder / path.name
                    return self._copied[1]
        shutil.rmtree(folder)
        if self._copied:
            return self._copied[1]
        raise WarehouseBusyError(self.pipeline.pipeline_name)


def label(rows: list[Row], accounts: Mapping[int, str]) -> list[Row]:
    """Give each row a `label`: its `name`, by account or id where others have the same.

    Args:
        rows: Each with `_account_id`, `id` and `name`.
        accounts: Names of the accounts, where there are several.
    """
    names = {
        (row[ACCOUNT_ID], row["id"]): row["name"] or f"without a name ({row['id']})" for row in rows
    }
    seen = Counter(names.values())
    names = {
        key: f"{name} · {accounts[key[0]]}" if seen[name] > 1 and accounts else name
        for key, name in names.items()
    }
    unique = _unique(names)
    return [{**row, "label": unique[row[ACCOUNT_ID], row["id"]]} for row in rows]


def _unique(names: Mapping[Any, str]) -> dict[Any, str]:
    """Return names by key, with the id behind each that stands for several keys, or for `ALL`."""
    seen = Counter([*names.values(), ALL])
    return {
        key: name if seen[name] == 1 else f"{name} ({key[1] if isinstance(key, tuple) else key})"
        for key, name in names.items()
    }


def _file(client: Any) -> Path | None:
    """Return the DuckDB file that a client opens; None where there is none."""
    credentials = getattr(client, "credentials", None)
    if not isinstance(credentials, DuckDbCredentials) or credentials.external_conn():
        return None
    database = str(credentials.database)
    return None if database.startswith(":") else Path(database)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _stamp(path: Path) -> object:
    return [
        (stat.st_mtime_ns, stat.st_size)
        for each in (path, _log(path))
        if each.exists() and (stat := each.stat())
    ]


def _is_written(path: Path) -> bool:
    """Tell whether another process has the file open to write; asking takes no lock."""
    if sys.platform != "linux":  # elsewhere its stamps must do
        return False
    import fcntl  # noqa: PLC0415 - Windows has none

    with path.open("rb") as file:
        ours = pack(FLOCK, fcntl.F_RDLCK, 0, 0, 0, 0)
        found: int = unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, ours))[0]
    return found != fcntl.F_UNLCK
