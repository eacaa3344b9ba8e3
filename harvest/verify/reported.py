"""What is compared: Harvest's reports, the records that each adds up, and where both differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from ..api.client import HarvestClient
from ..catalog import BY_NAME, Endpoint
from ..extract.windows import Window, periods
from ..settings import LONGEST_REPORT
from .ledger import NONE, SUBJECTS, Figures, Key
from .records import EXPENSES, LINES, PROJECTS, TASKS, TIME, USERS, Kind, decimal, whole

Verdict = Literal["agrees", "explained", "unexplained"]


@dataclass(frozen=True)
class Comparison:
    """What of the warehouse is compared with one of Harvest's reports.

    Args:
        name: What it is called, also by `Ledger.figures`.
        tables: The report by what it is compared by, as the catalog names it.
        measures: The figures of a row.
        kinds: The records that it adds up.
        span: What one request covers: "month": a month, or several; "year": as many months as
            Harvest allows; "now": the report is about no span.
        params: Further parameters of the request.
    """

    name: str
    tables: Mapping[str, str]
    measures: tuple[str, ...]
    kinds: tuple[Kind, ...]
    span: Literal["month", "year", "now"]
    params: Mapping[str, str]

    def endpoint(self, by: str) -> Endpoint:
        """Return the report."""
        return BY_NAME[self.tables[by]]

    def subject(self, by: str) -> str:
        """Return what its figures are about."""
        return by if self.span == "month" else "project"


COMPARISONS = (
    Comparison(
        "time",
        {
            "client": "report_time_clients",
            "project": "report_time_projects",
            "person": "report_time_team",
        },
        ("total_hours", "billable_hours", "billable_amount"),
        (TIME,),
        "month",
        {"include_fixed_fee": "true"},
    ),
    Comparison(
        "expenses",
        {
            "client": "report_expenses_clients",
            "project": "report_expenses_projects",
            "person": "report_expenses_team",
        },
        ("total_amount", "billable_amount"),
        (EXPENSES,),
        "month",
        {},
    ),
    Comparison(
        "uninvoiced",
        dict.fromkeys(SUBJECTS, "report_uninvoiced"),
        ("total_hours", "uninvoiced_hours", "uninvoiced_expenses", "uninvoiced_amount"),
        (PROJECTS, TIME, EXPENSES, LINES),
        "year",
        {},
    ),
    Comparison(
        "budgets",
        dict.fromkeys(SUBJECTS, "report_project_budget"),
        ("budget", "budget_spent"),
        (PROJECTS, TASKS, USERS, TIME, EXPENSES),
        "now",
        {},
    ),
)


@dataclass
class Result:
    """One figure, as the warehouse and Harvest have it.

    Attributes:
        comparison: Which report's.
        window: Of which months; open where the report is about no span.
        subject: What it is about: "client", "project" or "person".
        subject_id: Whose id.
        name: Whose name, as the report has it; it is shown, not stored.
        currency: Its currency; "" where it is no money.
        measure: Which figure.
        warehouse: What the warehouse's records add up to.
        harvest: What Harvest reports.
        verdict: Whether both agree, or else whether it is known why not.
        reason: Why not, as far as is known.
    """

    comparison: Comparison
    window: Window
    subject: str
    subject_id: int
    name: str
    currency: str
    measure: str
    warehouse: Decimal
    harvest: Decimal
    verdict: Verdict
    reason: str | None = None

    @property
    def key(self) -> Key:
        """Whom it is about, in which currency."""
        return self.subject_id, self.currency


@dataclass
class Reported:
    """What one report says.

    Attributes:
        rows: Its rows by subject and currency.
        names: The subjects' names.
        money: Whether it names currencies; of time, not every token sees them.
    """

    rows: dict[Key, dict[str, Any]]
    names: dict[int, str]
    money: bool = True


def ask(client: HarvestClient, comparison: Comparison, by: str, window: Window) -> Reported:
    """Ask Harvest for a report of a span.

    Raises:
        ShiftingListError: It changed each time it was read.
        HarvestError: It could not be read.
    """
    endpoint = comparison.endpoint(by)
    filters = {**window.filters, **comparison.params}
    rows = whole(client, endpoint, filters, lambda row: [row], budget="reports", id_name="")
    return _reported(rows, endpoint)


def _reported(rows: list[dict[str, Any]], endpoint: Endpoint) -> Reported:
    subject = endpoint.report.subject if endpoint.report else ""
    name = subject.replace("_id", "_name")
    return Reported(
        {(int(row[subject]), row.get("currency") or ""): row for row in rows},
        {int(row[subject]): str(row.get(name)) for row in rows},
        all(row.get("currency") for row in rows),
    )


def differences(
    comparison: Comparison, by: str, window: Window, ours: Figures, theirs: Reported
) -> Iterable[Result]:
    """Yield each figure that is not zero on both sides, its verdict before reasons are known.

    A figure that the token may not see is left out.
    """
    for key in sorted({*ours, *theirs.rows}):
        row = theirs.rows.get(key, dict.fromkeys(comparison.measures, NONE))
        for measure in comparison.measures:
            reported, figure = decimal(row.get(measure)), ours.get(key, {}).get(measure, (NONE,))
            if reported is None or not (reported or any(figure)):
                continue
            agrees = reported in figure
            yield Result(
                comparison, window, comparison.subject(by), key[0], theirs.names.get(key[0], ""),
                key[1], measure, reported if agrees else figure[0], reported,
                "agrees" if agrees else "unexplained",
            )  # fmt: skip


def spans(first: date, last: date, months: int) -> list[Window]:
    """Return the spans of whole months that are asked for, newest first.

    Args:
        first: A day of the oldest month.
        last: A day of the newest.
        months: How many of the newest are asked for one by one. Older ones are joined, as many as
            Harvest allows in one request.
    """
    found: list[Window] = []
    for place, month in enumerate(periods("month", first, last)):
        joined = Window(month.first, found[-1].last) if place > months else month
        if joined is not month and _days(joined) <= LONGEST_REPORT:
            found[-1] = joined
        else:
            found.append(month)
    return found


def is_month(window: Window) -> bool:
    """Tell whether a span is one month."""
    first, last = window.first, window.last
    return bool(first and last and (first.year, first.month) == (last.year, last.month))


def _days(window: Window) -> int:
    return (window.last - window.first).days + 1 if window.first and window.last else 0
