"""Reports: figures that are worked out anew for each request. No HTTP.

Hours are rounded as the account's time rounding has it, entry by entry, which is what an entry's
`rounded_hours` says. Where amounts are rounded is not documented: here once, at the end, to cents.
Harvest's pages are https://help.getharvest.com/api-v2/reports-api/reports/time-reports/ and those
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from .account import Query, Record
from .answers import forbidden, invalid
from .readers import Reader

LONGEST = 365
"""Days from `from` to `to` at most."""

HOURLY = ("project", "task", "person")
"""What `budget_by` says of a budget in hours; others are in money."""


@dataclass(frozen=True)
class Report:
    """One report.

    Args:
        rows: Works out its rows, in any order.
        subject: What a row is about: the field of an entry or expense.
        module: The flag of `company` that switches it off.
    """

    rows: Callable[[Report, Asked], Iterator[Record]]
    subject: str = "project"
    module: str = ""


@dataclass(frozen=True)
class Asked:
    """What a report is asked for, and by whom.

    Raises:
        AnswerNow: 422, a parameter is missing or malformed.
    """

    reader: Reader
    params: dict[str, str]

    def days(self) -> tuple[date, date]:
        """Return the first and the last day."""
        first, last = _day("from", self.params), _day("to", self.params)
        if not 0 <= (last - first).days <= LONGEST:
            raise invalid("from and to: the range")
        return first, last

    def flag(self, name: str) -> bool | None:
        """Return a flag; None where it is not given."""
        text = self.params.get(name)
        if text not in ("true", "false", None):
            raise invalid(name)
        return None if text is None else text == "true"

    def facts(self, table: str, first: date, last: date) -> list[Record]:
        """Return the entries or expenses of a span that the reader sees."""
        days = int(f"{first:%Y%m%d}"), int(f"{last:%Y%m%d}")
        return self.reader.account.select(Query(table, days=days, scope=self.reader.scope(table)))

    @property
    def sees_money(self) -> bool:
        """Whether amounts of time are shown."""
        return self.reader.administrator or "billable_rates_manager" in self.reader.grants


def results(path: str, reader: Reader, params: dict[str, str]) -> list[Record]:
    """Return all rows of a report, by name.

    Args:
        path: One of `REPORTS`.
        reader: Who asks.
        params: The parameters of the query.

    Raises:
        AnswerNow: 403, the reader may not see the report, or 422, a parameter is wrong.
    """
    report = REPORTS[path]
    rows = report.rows(report, Asked(reader, params))
    return sorted(rows, key=lambda row: (row[f"{report.subject}_name"], str(row)))


def _time(report: Report, asked: Asked) -> Iterator[Record]:
    first, last = asked.days()
    fixed_fee_too = asked.flag("include_fixed_fee")
    projects, money = asked.reader.account.records["projects"], asked.sees_money
    for group in _grouped(report, asked, asked.facts("time_entries", first, last), money=money):
        billable = [entry for entry in group if entry["billable"]]
        row = {
            **_subject(report, asked, group[0]),
            "total_hours": sum(map(rounded_hours, group)),
            "billable_hours": sum(map(rounded_hours, billable)),
        }
        if money:
            amount = sum(
                rounded_hours(entry) * (entry["billable_rate"] or 0)
                for entry in billable
                if fixed_fee_too or not projects[entry["project"]["id"]]["is_fixed_fee"]
            )
            row |= {"currency": _currency(asked, group[0]), "billable_amount": cents(amount)}
        yield row


def _expenses(report: Report, asked: Asked) -> Iterator[Record]:
    first, last = asked.days()
    for group in _grouped(report, asked, asked.facts("expenses", first, last), money=True):
        billable = [expense["total_cost"] for expense in group if expense["billable"]]
        yield {
            **_subject(report, asked, group[0]),
            "total_amount": cents(sum(expense["total_cost"] for expense in group)),
            "billable_amount": cents(sum(billable)),
            "currency": _currency(asked, group[0]),
        }


def _uninvoiced(_: Report, asked: Asked) -> Iterator[Record]:
    """Yield every billable project, all-zero rows too."""
    reader = asked.reader
    if not reader.may_read("managed_projects_invoice_drafter managed_projects_invoice_manager"):
        raise forbidden()
    first, last = asked.days()
    fixed_fee_too = asked.flag("include_fixed_fee") is not False
    entries = _by_project(asked.facts("time_entries", first, last))
    expenses = _by_project(asked.facts("expenses", first, last))
    for project in _projects(reader):
        if not project["is_billable"] or (project["is_fixed_fee"] and not fixed_fee_too):
            continue
        mine = entries.get(project["id"], [])
        open_entries = [e for e in mine if e["billable"] and not e["is_billed"]]
        cost = sum(
            expense["total_cost"]
            for expense in expenses.get(project["id"], [])
            if expense["billable"] and not expense["is_billed"]
        )
        if project["is_fixed_fee"]:
            begun = (project["starts_on"] or project["created_at"])[:10] <= last.isoformat()
            fee = (project["fee"] or 0) - _invoiced(reader, project["id"]) if begun else 0
        else:
            fee = sum(rounded_hours(e) * (e["billable_rate"] or 0) for e in open_entries)
        yield {
            **_of_project(project, project["name"]),
            "currency": _currency(asked, project),
            "total_hours": sum(map(rounded_hours, mine)),
            "uninvoiced_hours": sum(map(rounded_hours, open_entries)),
            "uninvoiced_expenses": cents(cost),
            "uninvoiced_amount": cents(fee + cost),
        }


def _project_budget(_: Report, asked: Asked) -> Iterator[Record]:
    """Yield each project that has a budget, as it stands now."""
    reader, wanted = asked.reader, asked.flag("is_active")
    account, month = reader.account, f"{reader.account.clock.now():%Y-%m}"
    shown = {project["id"] for project in _projects(reader)}
    facts = {
        table: _by_project(account.select(Query(table))) for table in ("time_entries", "expenses")
    }
    for row in account.records["user_assignments"].values():
        project = account.records["projects"].get(row["project"]["id"], {})
        if row["user"]["id"] == reader.user_id and row["is_active"]:
            shown |= {project["id"]} if project.get("show_budget_to_all") else set()
    for project_id in shown:
        project = account.records["projects"][project_id]
        budget, kind = _budget(reader, project), project["budget_by"]
        if budget is None or wanted not in (None, project["is_active"]):
            continue
        row = {
            **_of_project(project, project["name"]),
            "budget_is_monthly": project["budget_is_monthly"],
            "budget_by": kind,
            "is_active": project["is_active"],
        }
        if kind in HOURLY or asked.sees_money:
            spent = _spent(facts, project, month if project["budget_is_monthly"] else "")
            row |= {"budget": budget, "budget_spent": spent, "budget_remaining": budget - spent}
        yield row


def _spent(facts: dict[str, dict[int, list[Record]]], project: Record, month: str) -> Decimal:
    """Return what was spent of a budget: all of it, or in one month."""

    def spent_on(table: str) -> list[Record]:
        rows = facts[table].get(project["id"], [])
        return [row for row in rows if row["spent_date"].startswith(month)]

    entries = [entry for entry in spent_on("time_entries") if entry["budgeted"]]
    if project["budget_by"] in HOURLY:
        return sum(map(rounded_hours, entries), Decimal(0))
    spent = sum(rounded_hours(entry) * (entry["billable_rate"] or 0) for entry in entries)
    if project["budget_by"] == "project_cost" and project["cost_budget_include_expenses"]:
        spent += sum(expense["total_cost"] for expense in spent_on("expenses"))
    return cents(spent)


def _budget(reader: Reader, project: Record) -> Decimal | None:
    """Return a project's budget, None where it has none."""
    kind = project["budget_by"]
    if kind in ("project", "project_cost"):
        budget: Decimal | None = project["budget" if kind == "project" else "cost_budget"]
        return budget
    tables = {"task": "task_assignments", "task_fees": "task_assignments"}
    tables["person"] = "user_assignments"
    if kind not in tables:
        return None
    parts = [
        row["budget"]
        for row in reader.account.records[tables[kind]].values()
        if row["project"]["id"] == project["id"] and row["budget"] is not None
    ]
    return sum(parts, Decimal(0)) if parts else None


def _invoiced(reader: Reader, project_id: int) -> Decimal:
    """Return what invoices' lines bill of a project."""
    items = [
        item
        for invoice in reader.account.records["invoices"].values()
        for item in invoice["line_items"]
        if (item["project"] or {}).get("id") == project_id
    ]
    return sum((item["amount"] for item in items), Decimal(0))


def _by_project(facts: Iterable[Record]) -> dict[int, list[Record]]:
    """Return entries or expenses by their projects."""
    found: dict[int, list[Record]] = {}
    for fact in facts:
        found.setdefault(fact["project"]["id"], []).append(fact)
    return found


def _projects(reader: Reader) -> list[Record]:
    projects = reader.account.records["projects"]
    return [p for i, p in projects.items() if reader.administrator or i in reader.projects]


def _grouped(
    report: Report, asked: Asked, facts: Iterable[Record], *, money: bool
) -> list[list[Record]]:
    """Return entries or expenses of one subject, and of one currency where that is shown."""
    groups: dict[tuple[int, str], list[Record]] = {}
    for fact in facts:
        key = fact[report.subject]["id"], _currency(asked, fact) if money else ""
        groups.setdefault(key, []).append(fact)
    return list(groups.values())


def _subject(report: Report, asked: Asked, fact: Record) -> Record:
    """Return the fields that say what a row is about."""
    of = fact[report.subject]
    if report.subject == "project":
        project = asked.reader.account.records["projects"][of["id"]]
        code = f"[{project['code']}] " if project["code"] else ""
        return _of_project(project, code + project["name"])
    row = {f"{report.subject}_id": of["id"], f"{report.subject}_name": of["name"]}
    if report.subject == "user":
        user = asked.reader.account.records["users"].get(of["id"], {})
        row["is_contractor"] = user.get("is_contractor")
        if report.rows is _time:
            row |= {name: user.get(name) for name in ("weekly_capacity", "avatar_url")}
    return row


def _of_project(project: Record, name: str) -> Record:
    client = project["client"]
    return {
        "client_id": client["id"],
        "client_name": client["name"],
        "project_id": project["id"],
        "project_name": name,
    }


def _currency(asked: Asked, fact: Record) -> str:
    return str(asked.reader.account.records["clients"][fact["client"]["id"]]["currency"])


def rounded_hours(entry: Record) -> Decimal:
    """Return an entry's hours, rounded as the account has it."""
    rounded = entry.get("rounded_hours")
    hours: Decimal = entry["hours"] if rounded is None else rounded
    return hours


def cents(amount: Decimal | int) -> Decimal:
    """Return an amount in whole cents."""
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_UP)


def _day(name: str, params: dict[str, str]) -> date:
    """Return a day, which both forms may say."""
    text: Any = params.get(name, "")
    try:
        form = "%Y%m%d" if text.isdecimal() else "%Y-%m-%d"
        return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise invalid(name) from None


REPORTS = {
    "reports/time/clients": Report(_time, "client"),
    "reports/time/projects": Report(_time, "project"),
    "reports/time/tasks": Report(_time, "task"),
    "reports/time/team": Report(_time, "user"),
    "reports/expenses/clients": Report(_expenses, "client", "expense_feature"),
    "reports/expenses/projects": Report(_expenses, "project", "expense_feature"),
    "reports/expenses/categories": Report(_expenses, "expense_category", "expense_feature"),
    "reports/expenses/team": Report(_expenses, "user", "expense_feature"),
    "reports/uninvoiced": Report(_uninvoiced, module="invoice_feature"),
    "reports/project_budget": Report(_project_budget),
}
"""All reports by their path."""
