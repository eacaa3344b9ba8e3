"""The records that Harvest's reports add up, as the warehouse holds them and as Harvest lists them.

Both are read into the same types, so that they can be added up and compared alike. Field names are
those of columns; days are ISO texts, and money and hours exact decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from dlt import Pipeline
from dlt.destinations.sql_client import SqlClientBase

from ..api.client import HarvestClient
from ..catalog import BY_NAME, Endpoint
from ..catalog.schema import ACCOUNT_ID
from ..connection import chunks
from ..destination import DELETED_AT
from ..errors import ShiftingListError
from ..extract.focus import Focus
from ..settings import Sizes
from ..underway import under_way

T = TypeVar("T")


class TimeEntry(NamedTuple):
    """A time entry."""

    id: int
    spent_date: str
    client__id: int
    client__currency: str | None
    project__id: int
    user__id: int
    hours: Decimal
    rounded_hours: Decimal | None
    billable: bool
    billable_rate: Decimal | None
    budgeted: bool
    is_billed: bool
    is_running: bool

    @property
    def reported_hours(self) -> Decimal:
        """The hours that reports count: rounded entry by entry, where the account rounds time."""
        return self.hours if self.rounded_hours is None else self.rounded_hours


class Expense(NamedTuple):
    """An expense."""

    id: int
    spent_date: str
    client__id: int
    client__currency: str | None
    project__id: int
    user__id: int
    total_cost: Decimal
    billable: bool
    is_billed: bool


class Project(NamedTuple):
    """A project."""

    id: int
    created_at: str
    client__id: int
    client__currency: str | None
    is_billable: bool
    is_fixed_fee: bool
    fee: Decimal | None
    starts_on: str | None
    budget_by: str | None
    budget: Decimal | None
    budget_is_monthly: bool
    cost_budget: Decimal | None
    cost_budget_include_expenses: bool

    @property
    def project__id(self) -> int:
        """Its own id: each record that belongs to a project names it so."""
        return self.id


class TaskAssignment(NamedTuple):
    """A task on a project, which may have a budget."""

    id: int
    project__id: int
    budget: Decimal | None
    is_active: bool


class UserAssignment(NamedTuple):
    """A person on a project, who may have a budget."""

    id: int
    project__id: int
    budget: Decimal | None
    is_active: bool


class InvoiceLine(NamedTuple):
    """A line of an invoice."""

    id: int
    project__id: int | None
    amount: Decimal
    state: str


class Client(NamedTuple):
    """A client. Where an entry does not say its currency, its client does."""

    id: int
    currency: str | None


Taker = Callable[[Iterable[Any]], object]
"""Takes some of the rows that are read."""

Row = TimeEntry | Expense | Project | TaskAssignment | UserAssignment | InvoiceLine | Client


@dataclass(frozen=True)
class Kind:
    """A kind of records.

    Args:
        table: Its table, and the list that Harvest has of it.
        row: The type of a row.
        word: What people call a record of it.
        nested: The list in each record that holds the rows; empty where they are the records.
    """

    table: str
    row: type[Any]
    word: str
    nested: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row."""
        names: tuple[str, ...] = self.row._fields
        return names

    def converters(self) -> list[Callable[[Any], Any]]:
        """Return what makes each field's value, of whatever a destination or Harvest gives."""
        endpoint = BY_NAME[self.table]
        columns = endpoint.columns.schema()
        if self.nested:
            columns |= dict(endpoint.nested)[self.nested].schema()
        return [CONVERTERS[str(columns[name]["data_type"])] for name in self.fields]


TIME = Kind("time_entries", TimeEntry, "time entry")
EXPENSES = Kind("expenses", Expense, "expense")
PROJECTS = Kind("projects", Project, "project")
TASKS = Kind("task_assignments", TaskAssignment, "task assignment")
USERS = Kind("user_assignments", UserAssignment, "user assignment")
LINES = Kind("invoices", InvoiceLine, "invoice line", nested="line_items")
CLIENTS = Kind("clients", Client, "client")


def decimal(value: Any) -> Decimal | None:
    """Return a number exactly; SQLite gives decimals as floats, whose shortest text is exact."""
    if value is None or isinstance(value, Decimal):
        return value
    return Decimal(str(value))


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


@lru_cache(maxsize=100_000)
def _day(value: Any) -> str | None:
    """Return the day (UTC) of a date or timestamp, whichever form it has."""
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(timezone.utc)
    return None if value is None else str(value)[:10]


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "bigint": _whole,
    "bool": bool,  # a flag that is not there is not set
    "date": _day,
    "decimal": decimal,
    "text": _text,
    "timestamp": _day,
}

AS_THEY_ARE: dict[Callable[[Any], Any], set[type]] = {
    _whole: {int, type(None)},
    _text: {str, type(None)},
    bool: {bool},
    decimal: {Decimal, type(None)},
}
"""Types of values that need no conversion, by what would convert them."""


def _converted(column: tuple[Any, ...], convert: Callable[[Any], Any]) -> Iterable[Any]:
    """Return a column's values; most destinations give most of them as they must be."""
    finished = {*map(type, column)} <= AS_THEY_ARE.get(convert, set())
    return column if finished else map(convert, column)


class Warehouse:
    """What the destination holds of an account. Rows that are flagged as deleted are left out.

    The statements name columns and compare them with literals, so each SQL database understands
    them; sums are made here, since SQLite adds decimals up as floats.

    Args:
        pipeline: The pipeline that loaded it.
        source: The name of the source's schema.
        account_id: Whose rows.
        focus: What some tables are limited to. Other rows, which `deletions = "keep"` leaves there,
            are left out.
    """

    def __init__(self, pipeline: Pipeline, source: str, account_id: int, focus: Focus) -> None:
        self._pipeline, self._source, self._account_id = pipeline, source, account_id
        self._focus = focus

    def read(self, kind: Kind, take: Taker, where: str = "") -> None:
        """Read the rows of a kind, and hold no more than a chunk of them.

        The whole of it is one question to the connection, so that no other can cut it short.

        Args:
            kind: Which.
            take: Is given each chunk. It asks the destination nothing.
            where: A further condition on the table's own columns; it holds for none that are
                nested.
        """
        statement, convert = self._select(kind, where), kind.converters()

        def ask(client: SqlClientBase[Any]) -> None:
            names = map(client.make_qualified_table_name, (kind.table, _nested_table(kind)))
            for chunk in chunks(client, statement.format(*names)):
                columns = map(_converted, zip(*chunk, strict=True), convert)
                take(map(kind.row._make, zip(*columns, strict=True)))

        self._ask(ask)

    def read_by_year(self, kind: Kind, take: Taker) -> None:
        """Read all rows of a kind that has days, so that a driver need not hold all at once."""
        first, last = self.span(kind) or ("1", "0")
        for year in range(int(first[:4]), int(last[:4]) + 1):
            self.read(kind, take, f"spent_date BETWEEN '{year}-01-01' AND '{year}-12-31'")

    def rows(self, kind: Kind, where: str = "") -> list[Any]:
        """Return the rows that `read` reads."""
        rows: list[Any] = []
        self.read(kind, rows.extend, where)
        return rows

    def span(self, kind: Kind) -> tuple[str, str] | None:
        """Return the first and the last day of a kind's rows; None where there are none."""
        statement = (
            f"SELECT min(spent_date), max(spent_date) FROM {{}} AS t WHERE {self._mine(kind)}"  # noqa: S608 - our names
        )

        def ask(client: SqlClientBase[Any]) -> Any:
            name = client.make_qualified_table_name(kind.table)
            return client.execute_sql(statement.format(name))

        ((first, last),) = self._ask(ask)
        return (str(first)[:10], str(last)[:10]) if first else None

    def _mine(self, kind: Kind) -> str:
        where = [f"t.{ACCOUNT_ID} = {self._account_id}", f"t.{DELETED_AT} IS NULL"]
        for name, ids in self._focus.ids.items() if BY_NAME[kind.table].limited else ():
            where.append(f"t.{name[:-1]}__id IN ({', '.join(map(str, ids))})")
        return " AND ".join(where)

    def _select(self, kind: Kind, where: str) -> str:
        condition = f"{self._mine(kind)} AND {where}" if where else self._mine(kind)
        if not kind.nested:
            columns = ", ".join(f"t.{name}" for name in kind.fields)
            return f"SELECT {columns} FROM {{0}} AS t WHERE {condition}"  # noqa: S608 - our names
        own = {name for name, _ in _nested_columns(kind)}
        columns = ", ".join(f"{'n' if name in own else 't'}.{name}" for name in kind.fields)
        return (
            f"SELECT {columns} FROM {{0}} AS t "  # noqa: S608 - our names
            f"JOIN {{1}} AS n ON n._dlt_parent_id = t._dlt_id WHERE {condition}"
        )

    def _ask(self, question: Callable[[SqlClientBase[Any]], T]) -> T:
        return under_way(self._pipeline).connection.ask(question, self._source)


def listed(client: HarvestClient, kind: Kind, filters: dict[str, str]) -> list[tuple[Any, str]]:
    """Return the rows of Harvest's own list, each with its record's `updated_at`.

    Args:
        client: Where to ask.
        kind: Which.
        filters: Filters of the list, each of which Harvest documents.

    Raises:
        HarvestError: The list could not be read.
    """

    def rows(record: dict[str, Any]) -> Iterator[tuple[Any, str]]:
        return ((row, str(record.get("updated_at"))) for row in rows_of(kind, record))

    return whole(client, BY_NAME[kind.table], filters, rows)


def whole(
    client: HarvestClient,
    endpoint: Endpoint,
    filters: dict[str, str],
    made: Callable[[dict[str, Any]], Iterable[T]],
    **how: Any,
) -> list[T]:
    """Return what is made of each record of a list or report.

    It is read again if it changed meanwhile, since a record may slip between two numbered pages.

    Args:
        client: Where to ask.
        endpoint: The list or report.
        filters: Its parameters.
        made: Makes something of a record.
        how: Further arguments of `HarvestClient.pages`.

    Raises:
        ShiftingListError: It changed each time it was read.
        HarvestError: It could not be read.
    """
    for _ in range(Sizes.max_attempts):
        found: list[T] = []
        count, totals, by_cursor = 0, set[int | None](), False
        for page in client.pages(endpoint.path, endpoint.key, filters, **how):
            count += len(page)
            totals.add(page.total)
            by_cursor |= page.more and not page.numbered
            for record in page:
                found += made(record)
        if by_cursor or totals <= {count, None}:
            return found
    raise ShiftingListError(endpoint.path)


def rows_of(kind: Kind, record: dict[str, Any]) -> Iterator[Any]:
    """Yield the rows that one of Harvest's records makes."""
    convert = kind.converters()
    for part in record.get(kind.nested) or () if kind.nested else (record,):
        whole = {**record, **part}
        values = (_value(whole, name) for name in kind.fields)
        yield kind.row._make(c(value) for c, value in zip(convert, values, strict=True))


def _nested_table(kind: Kind) -> str:
    return f"{kind.table}__{kind.nested}"


def _nested_columns(kind: Kind) -> Any:
    return dict(BY_NAME[kind.table].nested)[kind.nested].schema().items()


def _value(record: dict[str, Any], column: str) -> Any:
    value: Any = record
    for part in column.split("__"):
        value = value.get(part) if isinstance(value, dict) else None
    return value
