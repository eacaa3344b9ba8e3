"""The shape of a row of the catalog: what is known of one endpoint and its columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns

from ..settings import DECIMAL_PRECISION, DECIMAL_SCALE

STAMPS = "created_at updated_at"

ACCOUNT_ID = "_account_id"
"""The column that says of every row which Harvest account it belongs to."""

PUBLIC_LINKS = ("client_key", "statement_key")
"""Columns that are secrets: whoever has one opens an invoice or statement without a login."""


@dataclass(frozen=True)
class Columns:
    """Column names by type, separated by spaces."""

    ids: str = ""
    texts: str = ""
    decimals: str = ""
    dates: str = ""
    stamps: str = ""
    flags: str = ""
    lists: str = ""

    @cached_property
    def objects(self) -> frozenset[str]:
        """Names of the nested objects whose columns are named here."""
        return frozenset(name.partition("__")[0] for name in self.schema() if "__" in name)

    def schema(self) -> TTableSchemaColumns:
        """Return dlt's hints. Each column gets a dict of its own, because dlt writes into it."""
        types: dict[str, TColumnSchema] = {
            "ids": {"data_type": "bigint"},
            "texts": {"data_type": "text"},
            "decimals": {
                "data_type": "decimal",
                "precision": DECIMAL_PRECISION,
                "scale": DECIMAL_SCALE,
            },
            "dates": {"data_type": "date"},
            "stamps": {"data_type": "timestamp", "timezone": True},
            "flags": {"data_type": "bool"},
            "lists": {"data_type": "json"},
        }
        return {
            name: {"name": name, **hint}
            for kind, hint in types.items()
            for name in getattr(self, kind).split()
        }


@dataclass(frozen=True)
class Report:
    """What the figures of a report are about. They have no ids, and a row does not say its days.

    Args:
        subject: The column that names whom or what a row is about.
        span: What `from` and `to` name: "period": each month, week or day in turn, which makes a
            history; "year": the days up to now, as many as Harvest allows; "": they are not given.
            The figures of the latter two change as time goes by, so those of each day are kept.
        by_currency: Whether a subject has a row for each currency.
        fixed_fee: Whether amounts of fixed-fee projects are in it only if Harvest is asked for.
    """

    subject: str
    span: Literal["period", "year", ""] = "period"
    by_currency: bool = True
    fixed_fee: bool = False

    @property
    def when(self) -> str:
        """The column of the days that are replaced when they are read again."""
        return "period_start" if self.span == "period" else "snapshot_date"


@dataclass(frozen=True)
class Endpoint:
    """One endpoint and its table.

    Args:
        name: The table's name.
        row: What one row of the table is, for the documentation.
        page: The endpoint's page below https://help.getharvest.com/api-v2/.
        columns: The documented columns by type.
        path: Path below the base URL; a child's holds `{id}`, the parent's. Default: the name.
        key: The key of the list in each answer. Default: the path's last part.
        parent: Name of the parent endpoint, for children.
        parent_key: The column that carries the parent's id.
        told_by: The parent's columns that change with its children.
        adds_up: Two columns of the parent: the children's amounts add up to the first less the
            second.
        updated_since: Whether Harvest documents the filter `updated_since` here.
        anchored: Whether `anchor_date` bounds what is read: it bounds history, never reference
            data.
        singleton: Whether the endpoint is one object instead of a list.
        date: The date that sorts the list, newest first, and that `from` and `to` filter by.
            Empty where Harvest documents none, or where it can be null.
        limited: Whether the settings `clients`, `projects` and `users` limit the table, by
            Harvest's filters `client_id`, `project_id` and `user_id`.
        unstamped_filter: A filter that finds records which change without a new `updated_at`.
        module: The flag of `company` that says whether the account has this part of Harvest.
        nested: Columns of nested tables, by the list's name.
        none_status: The status by which Harvest says that a parent can have no such children.
        on_request: Whether the table is loaded only when the user names it.
        report: What the figures are about, where it is a report.
    """

    name: str
    row: str
    page: str
    columns: Columns
    path: str = ""
    key: str = ""
    parent: str | None = None
    parent_key: str = ""
    told_by: tuple[str, ...] = ()
    adds_up: tuple[str, ...] = ()
    updated_since: bool = True
    anchored: bool = False
    singleton: bool = False
    date: str = ""
    limited: bool = False
    unstamped_filter: str = ""
    module: str = ""
    nested: tuple[tuple[str, Columns], ...] = ()
    none_status: int = 0
    on_request: bool = False
    report: Report | None = None

    def __post_init__(self) -> None:
        """Fill in what follows from the name."""
        object.__setattr__(self, "path", self.path or self.name)
        object.__setattr__(self, "key", self.key or self.path.rsplit("/", 1)[-1])

    @property
    def archives(self) -> bool:
        """Whether the list's records can be archived, which Harvest filters by `is_active`."""
        own = not self.parent and not self.singleton
        return own and "is_active" in self.columns.flags.split()

    @property
    def id_columns(self) -> tuple[str, ...]:
        """The columns that name a row within its account.

        A child's id need be unique for its parent only, and a singleton has no id at all.
        """
        if self.singleton:
            return ()
        if self.report:
            currency = ("currency",) if self.report.by_currency else ()
            return (self.report.when, self.report.subject, *currency)
        return (self.parent_key, "id") if self.parent else ("id",)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns that name a row of the table."""
        return (ACCOUNT_ID, *self.id_columns)

    @property
    def merge_key(self) -> tuple[str, ...]:
        """The columns that name the rows which are replaced together; none where each is alone."""
        return (ACCOUNT_ID, self.report.when) if self.report else ()

    @property
    def history_table(self) -> str:
        """The table of its records' versions, where the user wants one; "" where there is none.

        Children of a record are replaced together, a report's figures are none of a record, and
        `company` has no id.
        """
        versioned = not (self.parent or self.singleton or self.report)
        return f"{self.name}_history" if versioned else ""

    def by_default(self, *, reports: bool) -> bool:
        """Tell whether the table is loaded when the user names none.

        Args:
            reports: Whether the user wants all reports.
        """
        return not self.on_request or (reports and self.report is not None)

    @property
    def snapshots(self) -> bool:
        """Whether the table holds figures of days, of which earlier ones can't be read again."""
        return self.report is not None and self.report.span != "period"

    @property
    def nested_tables(self) -> tuple[str, ...]:
        """The names of the tables that hold the records' lists of objects."""
        return tuple(f"{self.name}__{name}" for name, _ in self.nested)

    @property
    def all_tables(self) -> tuple[str, ...]:
        """The names of the table and of its nested tables."""
        return (self.name, *self.nested_tables)
