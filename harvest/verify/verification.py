"""Verifies one account: asks for reports, compares, finds reasons, and keeps each result.

Whole years are compared first, each by one request of each report, and those that differ month by
month, down to the records. Only the newest months are compared one by one in any case, since that
is where people make changes: an entry that only moved within a year would not show in the year.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import islice
from typing import Any

import dlt
from dlt import Pipeline, Schema
from dlt.common.utils import uniq_id

from ..catalog.schema import ACCOUNT_ID
from ..destination import Destination
from ..errors import StatusError, UnverifiableError
from ..extract.access import shrank, token_scope_of_owner
from ..extract.context import Account
from ..extract.focus import Focus
from ..extract.hints import made_again
from ..extract.state import TableState, anchor_of, last_run, tables_of, token_scope_of
from ..extract.windows import DAY, Window, periods
from ..settings import DECIMAL_PRECISION, DECIMAL_SCALE, EVERYTHING
from .ledger import NONE, SUBJECTS, Ledger
from .reasons import Reasons
from .records import (
    CLIENTS,
    EXPENSES,
    LINES,
    PROJECTS,
    TASKS,
    TIME,
    USERS,
    Client,
    Warehouse,
)
from .reported import COMPARISONS, Comparison, Result, ask, differences, is_month, spans

MONTHS = 4
"""The newest months that are compared one by one: this one, and three before, as long as old
entries are usually changed."""

TOLD = 20
"""Figures that are told of those that are explained, and of those that are not. All are kept."""

RECORDS = {TIME.table, EXPENSES.table}
"""Tables without which nothing is compared. They have no children, so they are read in full only
where a full read is due."""

VERIFICATION = "_verification"
"""The table of results. Like `_account_id` it begins as no name of Harvest's does."""

SCHEMA = "harvest_verification"
"""Its schema. It is not the source's, which no verification changes."""

_NUMBER = {"data_type": "decimal", "precision": DECIMAL_PRECISION, "scale": DECIMAL_SCALE}

DESCRIPTION = "One row is one figure, as the loaded records have it and as Harvest reports it."

COLUMNS: dict[str, Any] = {
    ACCOUNT_ID: {"data_type": "bigint", "description": "the Harvest account"},
    "verified_at": {"data_type": "timestamp", "description": "when, by Harvest's clock (UTC)"},
    "report": {"data_type": "text", "description": "time, expenses, uninvoiced or budgets"},
    "subject": {"data_type": "text", "description": "client, project or person"},
    "subject_id": {"data_type": "bigint", "description": "its id"},
    "currency": {"data_type": "text", "description": "of a client's figures; empty for none"},
    "measure": {"data_type": "text", "description": "which figure, as the report names it"},
    "period_start": {"data_type": "date", "description": "its first day; null: as it stands"},
    "period_end": {"data_type": "date", "description": "its last day; null: as it stands"},
    "warehouse": {**_NUMBER, "description": "what the loaded records add up to"},
    "harvest": {**_NUMBER, "description": "what Harvest reports"},
    "verdict": {"data_type": "text", "description": "agrees, explained or unexplained"},
    "reason": {"data_type": "text", "description": "why they differ, as far as is known"},
}


@dataclass
class Verification:
    """The verification of one account.

    Args:
        pipeline: The pipeline that loaded it, in step with its destination.
        source: The name of the source.
        account: The account.
        by: What time and expenses are compared by, one of `SUBJECTS`.
        months: How many of the newest months are compared one by one.

    Attributes:
        results: Each figure that was compared.
        notes: What a user should know besides.

    Raises:
        UnverifiableError: The account was not read in full, the token sees less than the one that
            read it, or no report could be compared.
        HarvestError: Harvest could not be read.
    """

    pipeline: Pipeline
    source: str
    account: Account
    by: str = "client"
    months: int = MONTHS
    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Compare everything."""
        self._client, self._focus = self.account.client, Focus(self.account.settings.focus)
        self._tables = self._read_in_full()
        self._anchor = anchor_of(self.pipeline, self.source, self.account.account_id) or EVERYTHING
        self._demand_same_view()
        self.verified_at = self._client.now()
        self._warehouse = Warehouse(
            self.pipeline, self.source, self.account.account_id, self._focus
        )
        self._subjects = _subjects_of(self._focus)
        if self._subjects and self.by not in self._subjects:
            self.by = self._subjects[0]
            self.notes.append(f"compared by {self.by}, since tables are limited to {self._focus}")
        self._ledger = self._added_up()
        self._first, self._last = self._first_and_last()
        if not self._first:
            self.notes.append(
                f"no month compared, since none is whole since {self._anchor:%Y-%m-%d}"
            )
        elif self._anchor == EVERYTHING:
            self._look_before(self._first)
        self._compared = False
        for comparison in COMPARISONS:
            if self._possible(comparison):
                self._compare(comparison)
        if not self._compared and not self.results:
            raise UnverifiableError("; ".join(self.notes), "mend one of these, then verify again")
        self._explain()

    def count(self, *verdicts: str) -> int:
        """Return how many results have one of some verdicts."""
        return sum(result.verdict in verdicts for result in self.results)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of `_verification`."""
        for result in self.results:
            yield {
                ACCOUNT_ID: self.account.account_id,
                "verified_at": self.verified_at,
                "report": result.comparison.name,
                "subject": result.subject,
                "subject_id": result.subject_id,
                "currency": result.currency,
                "measure": result.measure,
                "period_start": result.window.first,
                "period_end": result.window.last,
                "warehouse": result.warehouse,
                "harvest": result.harvest,
                "verdict": result.verdict,
                "reason": result.reason,
            }

    def as_dict(self) -> dict[str, Any]:
        """Return what was found, as JSON takes it: figures as texts, so that they stay exact."""
        verdicts = ("agrees", "explained", "unexplained")
        differ = [row for row in self.rows() if row["verdict"] != "agrees"]
        return {
            "account": self.account.account_id,
            "verified_at": self.verified_at.isoformat(),
            "by": self.by,
            **{verdict: self.count(verdict) for verdict in verdicts},
            "differences": [
                {name: None if value is None else str(value) for name, value in row.items()}
                for row in differ
            ],
            "notes": self.notes,
        }

    def lines(self) -> Iterator[str]:
        """Yield what was found, for people."""
        since = f"{self._first:%Y-%m} to {self._last:%Y-%m}" if self._first else "no month"
        account = self.account.account_id
        limit = f" of {self._focus}" if self._focus else ""
        yield f"Account {account}, {since}, by {self.by}{limit}, against Harvest's reports:"
        for comparison in COMPARISONS:
            mine = [result for result in self.results if result.comparison is comparison]
            if not mine:
                continue
            counts = {
                verdict: sum(result.verdict == verdict for result in mine)
                for verdict in ("agrees", "explained", "unexplained")
            }
            said = [f"{counts['agrees']:,} figures agree"]
            said += [f"{n:,} {v}" for v, n in counts.items() if n and v != "agrees"]
            yield f"  {comparison.name:<12}{', '.join(said)}"
        for verdict in ("unexplained", "explained"):
            found = [result for result in self.results if result.verdict == verdict]
            yield from (f"  {verdict}: {_spoken(result)}" for result in found[:TOLD])
            if len(found) > TOLD:
                yield f"  {verdict}: {len(found) - TOLD:,} more, see `{VERIFICATION}`"
        yield from (f"  Note: {note}" for note in self.notes)

    def _read_in_full(self) -> dict[str, TableState]:
        """Return what is remembered of the tables that were read in full.

        Records may be missing from what was not, and what differs then says nothing.
        """
        tables = tables_of(self.pipeline, self.source, self.account.account_id)
        run = last_run(self.pipeline, self.source, self.account.account_id)
        anchor = anchor_of(self.pipeline, self.source, self.account.account_id) or EVERYTHING
        kinds = (TIME, EXPENSES, PROJECTS, CLIENTS, LINES, TASKS, USERS)
        begun = {*tables, *run.failed, *run.requests_left}
        known = {k.table: tables.get(k.table, TableState()) for k in kinds if k.table in begun}
        unfinished = [
            name
            for name, table in known.items()
            if table.full_read_at is None
            or table.backfill
            or (table.anchor and table.anchor > anchor)
            or name in {*run.failed, *run.requests_left}
        ]
        if unfinished:
            named = ", ".join(f"`{name}`" for name in unfinished)
            why = f"{named} was not read to the end"
            raise UnverifiableError(why, "load again until nothing is left, then verify")
        if known.keys().isdisjoint(RECORDS):
            why = f"account {self.account.account_id} was never read in full by this pipeline"
            raise UnverifiableError(why, "load it first, without --verify")
        for name in RECORDS & known.keys():
            if known[name].focus != self._focus.ids:
                before = Focus(known[name].focus)
                loaded = f"limited to {before}" if before else "without a limit"
                now = f"limit it to {self._focus}" if self._focus else "name no limit"
                why = f"`{name}` was loaded {loaded}, and the settings {now}"
                raise UnverifiableError(why, "load again with these settings, then verify")
        schema = self.pipeline.schemas[self.source]
        for name in known:
            if schema.tables.get(name, {}).get("write_disposition") != "merge":
                why = f"`{name}` keeps each state of a record as a row of its own"
                raise UnverifiableError(why, "verify in a destination that can replace rows")
        return known

    def _demand_same_view(self) -> None:
        """Say so where the token does not see all; refuse one that sees less than was loaded."""
        now = token_scope_of_owner(self._client.record("users/me"))
        before = token_scope_of(self.pipeline, self.source, self.account.account_id)
        if before and shrank(before, now):
            raise UnverifiableError(
                "the token may see less than the one that loaded the account",
                "use that token, or load with this one first",
            )
        if "administrator" not in now.access_roles:
            self.notes.append(
                "the token's owner is no administrator, so neither the warehouse nor the reports "
                "hold all; they were compared as far as this token sees"
            )
        try:
            company = self._client.record("company")
        except StatusError:  # Not every token may ask.
            company = {}
        self._off = {name for name, flag in company.items() if flag is False}

    def _possible(self, comparison: Comparison) -> bool:
        """Tell whether a report can be compared; note why, if not."""
        module = comparison.endpoint(self.by).module
        without = {EXPENSES} if "expense_feature" in self._off else set()
        lacking = [
            kind.table
            for kind in comparison.kinds
            if kind.table not in self._tables and kind not in without
        ]
        if module in self._off:
            self.notes.append(f"{comparison.name} not compared: the module is switched off")
            return False
        if comparison.subject(self.by) not in self._subjects:
            self.notes.append(
                f"{comparison.name} not compared, since no such report is of {self._focus} alone"
            )
            return False
        if lacking:
            tables = ", ".join(f"`{name}`" for name in lacking)
            self.notes.append(f"{comparison.name} not compared, since {tables} was never loaded")
        return not lacking

    def _added_up(self) -> Ledger:
        ledger = self._new_ledger()
        for kind in (PROJECTS, LINES, TASKS, USERS):
            if kind.table in self._tables:
                self._warehouse.read(kind, ledger.add)
        for kind in (TIME, EXPENSES):
            if kind.table in self._tables:
                self._warehouse.read_by_year(kind, ledger.add)
        return ledger

    def _new_ledger(self) -> Ledger:
        ledger = Ledger(self.by, self.verified_at)
        ledger.add(self._clients)
        return ledger

    @cached_property
    def _clients(self) -> list[Client]:
        return self._warehouse.rows(CLIENTS) if CLIENTS.table in self._tables else []

    def _first_and_last(self) -> tuple[date | None, date]:
        """Return the first day from which on history is whole, and the last of this month.

        Of the month in which the anchor lies, some records may not have been read.
        """
        today = self.verified_at.date()
        last = periods("month", today, today)[0].last or today
        if self._anchor != EVERYTHING:
            first = self._anchor.date()
            if first.day > 1:
                first = (periods("month", first, first)[0].last or first) + DAY
            return (first if first <= today else None), last
        kinds = [kind for kind in (TIME, EXPENSES) if kind.table in self._tables]
        found = map(self._warehouse.span, kinds)
        days = [date.fromisoformat(span[0]) for span in found if span]
        return min([*days, today]).replace(day=1), last

    def _look_before(self, first: date) -> None:
        """Note a difference where Harvest has records before the oldest that is here."""
        for comparison in COMPARISONS[:2]:
            (kind,) = comparison.kinds
            if kind.table not in self._tables:
                continue
            before, total = Window(None, first - DAY).filters, 0
            for each in self._focus.lists:
                filters = {**before, **each, "per_page": "1"}
                (page,) = islice(self._client.pages(kind.table, kind.table, filters), 1)
                total += len(page) if page.total is None else page.total
            if total:
                self.results.append(
                    Result(
                        comparison, Window(None, first - DAY), "account", self.account.account_id,
                        "", "", "records", NONE, NONE + total, "unexplained",
                        f"{kind.table} before {first} are missing here",
                    )
                )  # fmt: skip

    def _compare(self, comparison: Comparison) -> None:
        """Add the results of one report, or note that the token may not read it."""
        try:
            for window in self._windows(comparison):
                found = self._compare_span(comparison, window)
                differ = any(result.verdict != "agrees" for result in found)
                if differ and comparison.span == "month" and not is_month(window):
                    each = periods("month", window.first or self._last, window.last or self._last)
                    found = [r for month in each for r in self._compare_span(comparison, month)]
                self.results += found
        except StatusError as error:
            if error.status not in (403, 404):
                raise
            self.notes.append(f"{comparison.name} not compared: the token may not read the report")

    def _windows(self, comparison: Comparison) -> list[Window]:
        if comparison.span == "now":
            return [Window()]
        months = self.months if comparison.span == "month" else 0
        return spans(self._first, self._last, months) if self._first else []

    def _compare_span(self, comparison: Comparison, window: Window) -> list[Result]:
        theirs = ask(self._client, comparison, self.by, window)
        self._compared = True
        money = theirs.money or comparison.name != "time"
        if not money and theirs.rows:
            self._note_once("amounts of time not compared, since the token may not see them")
        ours = self._ledger.figures(comparison.name, window, money=money)
        if self._focus:
            subject, rows = comparison.subject(self.by), theirs.rows
            counted = [k for k in {*ours, *rows} if self._counts(subject, k[0], rows.get(k, {}))]
            theirs.rows = {key: rows[key] for key in counted if key in rows}
            ours = {key: ours[key] for key in counted if key in ours}
        return list(differences(comparison, self.by, window, ours, theirs))

    def _counts(self, subject: str, number: int, row: Mapping[str, Any]) -> bool:
        """Tell whether a figure of a report is of what the tables are limited to."""
        setting = {"client": "clients", "project": "projects", "person": "users"}[subject]
        if setting in self._focus.ids:
            return number in self._focus.ids[setting]
        project = self._ledger.project(number)
        client = row.get("client_id") or (project and project.client__id)
        return client is None or client in self._focus.ids["clients"]

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _explain(self) -> None:
        reasons = Reasons(
            self._client,
            self._warehouse,
            self._tables,
            anchor=self._anchor,
            keeps_deleted=self.account.settings.deletions == "keep",
            focus=self._focus,
            ledger=self._new_ledger,
            known=self._ledger,
        )
        for result in self.results:
            if result.verdict == "unexplained" and not result.reason:
                reasons.explain(result, self.by)


def _subjects_of(focus: Focus) -> list[str]:
    """Return whose figures a limit leaves whole: of a client's hours, people are only a part."""
    whole = {"clients": {"client", "project"}, "projects": {"project"}, "users": {"person"}}
    return [subject for subject in SUBJECTS if all(subject in whole[name] for name in focus.ids)]


def _spoken(result: Result) -> str:
    """Say what a figure is here and in Harvest, and why."""
    first, last = result.window.first, result.window.last
    if is_month(result.window):
        when = f" {first:%Y-%m}"
    elif first and last:
        when = f" {first:%Y-%m} to {last:%Y-%m}"
    else:
        when = f" until {last}" if last else ""
    name = f" {result.name}" if result.name else ""
    currency = f" {result.currency}" if result.currency and "hours" not in result.measure else ""
    apart = result.warehouse - result.harvest
    return (
        f"{result.comparison.name}{when}, {result.subject} {result.subject_id}{name}: "
        f"{result.measure} {result.warehouse:,.2f} here, {result.harvest:,.2f} in Harvest "
        f"({apart:+,.2f}{currency}): {result.reason}"
    )


def store(pipeline: Pipeline, verifications: Iterable[Verification]) -> None:
    """Add the results to the table `_verification` of the pipeline's dataset.

    Its schema is its own, so the source's schema and state stay as they are. What somebody dropped,
    the table or a column, is made again.

    Args:
        pipeline: The pipeline that loaded the accounts.
        verifications: The results of each account.
    """
    rows = [row for verification in verifications for row in verification.rows()]
    if not rows:
        return
    columns: Any = {name: {"name": name, **column} for name, column in COLUMNS.items()}
    resource = dlt.resource(rows, name=VERIFICATION, write_disposition="append", columns=columns)
    table = resource.compute_table_schema()
    destination = Destination(pipeline, SCHEMA, 0)
    there = destination.tables([VERIFICATION])
    hints: dict[str, Any] = {"description": DESCRIPTION}
    if there is not None and destination.lacks(VERIFICATION, there):
        hints |= made_again(uniq_id())
    resource.apply_hints(additional_table_hints=hints)
    can = destination.abilities({VERIFICATION: table})[VERIFICATION]
    if can.file_format:
        resource.apply_hints(file_format=can.file_format)
    pipeline.run(resource, schema=Schema(SCHEMA))
