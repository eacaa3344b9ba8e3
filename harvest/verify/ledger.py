"""Adds records up as Harvest's reports do.

- **Time is rounded entry by entry, before it is totalled**, to the nearest or up to the nearest 6,
  15 or 30 minutes, in summary reports, on new invoices and in project budgets, and not on
  timesheets:
  https://support.getharvest.com/hc/en-us/articles/360053116772-How-does-time-rounding-work.
  Harvest says what an entry was rounded to in `rounded_hours`; without rounding that equals
  `hours`.
- **Billable amounts** are rounded hours by the entry's `billable_rate`. Fixed-fee projects count
  too, since the reports are asked for with `include_fixed_fee`:
  https://help.getharvest.com/api-v2/reports-api/reports/time-reports/
- **Uninvoiced**: billable and not billed. Of a fixed fee, what its invoices' lines leave of it, in
  each span that does not end before the project began:
  https://support.getharvest.com/hc/en-us/articles/360048181472-How-project-type-affects-reports and
  https://help.getharvest.com/api-v2/reports-api/reports/uninvoiced-report/
- **Budgets** are spent by entries that are `budgeted`: in hours, or in money by their rates, with
  expenses where the project says so; a monthly budget by those of this month:
  https://help.getharvest.com/api-v2/reports-api/reports/project-budget-report/

Where the documents are silent, each reading of them counts as agreement, and nothing else does:
an amount may be rounded to cents entry by entry, once at the end, or not; a draft invoice may take
from a fixed fee or not; an archived assignment's budget may count or not; around a turn of the
month, this month is that of one time zone or another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from ..extract.windows import Window
from .records import (
    Client,
    Expense,
    InvoiceLine,
    Project,
    Row,
    TaskAssignment,
    TimeEntry,
    UserAssignment,
)

Key = tuple[int, str]
"""Whom or what a figure is about, and its currency; "" where it has none."""

Figure = tuple[Decimal, ...]
"""A figure in each of the readings that Harvest's documents allow, the usual one first."""

Figures = dict[Key, dict[str, Figure]]

Assignment = TaskAssignment | UserAssignment

NONE = Decimal(0)
CENT = Decimal("0.01")

SUBJECTS = {"client": "client__id", "project": "project__id", "person": "user__id"}
"""What time and expenses can be compared by, and the column that names it."""

MONEY = ("project_cost", "task_fees")
"""What `budget_by` says of a budget in money."""


class Sum:
    """A sum, exact and of parts that are rounded to cents each."""

    def __init__(self, exact: Decimal = NONE, in_cents: Decimal = NONE) -> None:
        self.exact, self.in_cents = exact, in_cents

    def add(self, value: Decimal, in_cents: Decimal) -> None:
        """Add a value.

        Args:
            value: The value.
            in_cents: The same, rounded.
        """
        self.exact += value
        self.in_cents += in_cents

    def __add__(self, other: Sum) -> Sum:
        return Sum(self.exact + other.exact, self.in_cents + other.in_cents)

    @property
    def figure(self) -> Figure:
        """The sum in each reading."""
        return cents(self.exact), self.in_cents, self.exact


Sums = dict[Key, dict[str, Sum]]
"""Sums by subject and currency, and by measure."""


class Ledger:
    """Adds up the records of an account.

    Args:
        by: What time and expenses are added up by, one of `SUBJECTS`.
        now: The moment of monthly budgets, by Harvest's clock (UTC).
    """

    def __init__(self, by: str, now: datetime) -> None:
        self._subject, self._this_month = SUBJECTS[by], _months_at(now)
        self._months: dict[tuple[str, str], Sums] = defaultdict(_sums)
        self._projects: dict[int, Project] = {}
        self._currencies: dict[int, str] = {}
        self._lines: dict[int, list[InvoiceLine]] = defaultdict(list)
        self._parts: dict[tuple[type, int], list[Assignment]] = defaultdict(list)

    def add(self, rows: Iterable[Row]) -> None:
        """Add records; clients come before what lacks a currency of its own."""
        for row in rows:
            if isinstance(row, TimeEntry):
                self._add_time(row)
            elif isinstance(row, Expense):
                self._add_expense(row)
            elif isinstance(row, Project):
                self._projects[row.id] = row
            elif isinstance(row, InvoiceLine):
                if row.project__id is not None:
                    self._lines[row.project__id].append(row)
            elif isinstance(row, Client):
                self._currencies[row.id] = row.currency or ""
            else:
                self._parts[type(row), row.project__id].append(row)

    def figures(self, report: str, window: Window, *, money: bool = True) -> Figures:
        """Return what a report says of a span of whole months.

        Args:
            report: "time", "expenses", "uninvoiced" or "budgets".
            window: The months. Budgets are as they stand, of whatever span.
            money: Whether the report shows amounts and currencies; of time, not every token sees
                them.
        """
        made: dict[str, Callable[[], Figures]] = {
            "uninvoiced": lambda: self._uninvoiced(window),
            "budgets": self._budgets,
        }
        if report in made:
            return made[report]()
        figures: Figures = {}
        for key, totals in self._over(_months(window), report, money=money).items():
            figures[key] = {measure: total.figure for measure, total in totals.items()}
        return figures

    def project(self, project_id: int) -> Project | None:
        """Return a project, None where it is not known."""
        return self._projects.get(project_id)

    def _add_time(self, row: TimeEntry) -> None:
        month, hours = row.spent_date[:7], row.reported_hours
        amount = hours * (row.billable_rate or NONE)
        rounded = cents(amount)
        time = self._months["time", month][getattr(row, self._subject), self._currency(row)]
        time["total_hours"].add(hours, hours)
        if row.billable:
            time["billable_hours"].add(hours, hours)
            time["billable_amount"].add(amount, rounded)
        of_project = self._months["projects", month][row.project__id, ""]
        of_project["total_hours"].add(hours, hours)
        if row.billable and not row.is_billed:
            of_project["uninvoiced_hours"].add(hours, hours)
            of_project["uninvoiced_amount"].add(amount, rounded)
        if row.budgeted:
            of_project["budgeted_hours"].add(hours, hours)
            of_project["budgeted_amount"].add(amount, rounded)

    def _add_expense(self, row: Expense) -> None:
        month, cost = row.spent_date[:7], row.total_cost
        rounded = cents(cost)
        expenses = self._months["expenses", month][getattr(row, self._subject), self._currency(row)]
        expenses["total_amount"].add(cost, rounded)
        if row.billable:
            expenses["billable_amount"].add(cost, rounded)
        of_project = self._months["projects", month][row.project__id, ""]
        of_project["expenses"].add(cost, rounded)
        if row.billable and not row.is_billed:
            of_project["uninvoiced_expenses"].add(cost, rounded)

    def _currency(self, row: TimeEntry | Expense | Project) -> str:
        return row.client__currency or self._currencies.get(row.client__id, "")

    def _over(self, months: Iterable[str], what: str, *, money: bool = True) -> Sums:
        """Return the sums of some months; without money, hours of all currencies together."""
        total = _sums()
        for month in months:
            for (subject, currency), parts in self._months.get((what, month), {}).items():
                sums = total[subject, currency if money else ""]
                for measure, part in parts.items():
                    if money or measure != "billable_amount":
                        sums[measure] += part
        return total

    def _uninvoiced(self, window: Window) -> Figures:
        sums, figures = self._over(_months(window), "projects"), Figures()
        for project in self._projects.values():
            if not project.is_billable:
                continue
            mine = sums[project.id, ""]
            costs = mine["uninvoiced_expenses"]
            amount = (mine["uninvoiced_amount"] + costs).figure
            if project.is_fixed_fee:
                left = self._fee_left(project, window)
                amount = tuple(fee + cost for fee in left for cost in costs.figure)
            figures[project.id, self._currency(project)] = {
                "total_hours": mine["total_hours"].figure,
                "uninvoiced_hours": mine["uninvoiced_hours"].figure,
                "uninvoiced_expenses": costs.figure,
                "uninvoiced_amount": amount,
            }
        return figures

    def _fee_left(self, project: Project, window: Window) -> Figure:
        begun = project.starts_on or project.created_at
        if window.last and begun > window.last.isoformat():
            return (NONE,)
        fee, lines = project.fee or NONE, self._lines.get(project.id, [])
        sent = [line for line in lines if line.state != "draft"]
        return tuple(fee - sum((line.amount for line in each), NONE) for each in (lines, sent))

    def _budgets(self) -> Figures:
        figures: Figures = {}
        ever = self._over({month for _, month in self._months}, "projects")
        this_month = [self._over([month], "projects") for month in self._this_month]
        for project in self._projects.values():
            if not (budget := self._budget(project)):
                continue
            spent: Figure = ()
            for sums in this_month if project.budget_is_monthly else [ever]:
                spent += self._spent(project, sums).figure
            figures[project.id, ""] = {"budget": budget, "budget_spent": spent}
        return figures

    def _spent(self, project: Project, sums: Sums) -> Sum:
        mine = sums[project.id, ""]
        spent = mine["budgeted_amount" if project.budget_by in MONEY else "budgeted_hours"]
        if project.budget_by == "project_cost" and project.cost_budget_include_expenses:
            return spent + mine["expenses"]
        return spent

    def _budget(self, project: Project) -> Figure:
        """Return a project's budget; nothing where it has none."""
        whole = {"project": project.budget, "project_cost": project.cost_budget}
        parts = {"task": TaskAssignment, "task_fees": TaskAssignment, "person": UserAssignment}
        kind = project.budget_by or ""
        if kind in whole:
            budget = whole[kind]
            return () if budget is None else (budget,)
        if kind not in parts:
            return ()
        rows = [r for r in self._parts.get((parts[kind], project.id), []) if r.budget is not None]
        active = [row for row in rows if row.is_active]
        each = [sum((row.budget or NONE for row in some), NONE) for some in (rows, active)]
        return tuple(each) if rows else ()


def _sums() -> Sums:
    return defaultdict(lambda: defaultdict(Sum))


def cents(amount: Decimal) -> Decimal:
    """Return an amount in whole cents."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def _months_at(now: datetime) -> list[str]:
    """Return the months that it is somewhere on earth, UTC's first."""
    zones = (timedelta(0), timedelta(hours=-12), timedelta(hours=14))
    return list(dict.fromkeys(f"{now + zone:%Y-%m}" for zone in zones))


def _months(window: Window) -> Iterator[str]:
    """Yield the months of a span, as texts like "2026-03"."""
    if not window.first or not window.last:
        return
    for count in range(
        window.first.year * 12 + window.first.month - 1, window.last.year * 12 + window.last.month
    ):
        yield f"{count // 12:04d}-{count % 12 + 1:02d}"
