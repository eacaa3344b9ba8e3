"""The reports' part of the table of endpoints.

Facts: https://help.getharvest.com/api-v2/reports-api/
"""

from __future__ import annotations

from .schema import Columns, Endpoint, Report

_PROJECT = Columns(ids="client_id project_id", texts="client_name project_name")


def _of_time(name: str, row: str, subject: Columns) -> Endpoint:
    figures = "total_hours billable_hours billable_amount"
    return _by_period("time", name, f"hours of {row}", subject, figures)


def _of_expenses(name: str, row: str, subject: Columns) -> Endpoint:
    figures = "total_amount billable_amount"
    return _by_period(
        "expenses", name, f"expenses of {row}", subject, figures, module="expense_feature"
    )


def _by_period(
    kind: str, name: str, row: str, subject: Columns, figures: str, *, module: str = ""
) -> Endpoint:
    return Endpoint(
        f"report_{kind}_{name}",
        f"{row} in one period and currency",
        f"reports-api/reports/{kind.removesuffix('s')}-reports",
        Columns(
            ids=subject.ids,
            texts=f"{subject.texts} currency",
            decimals=figures,
            dates="period_start period_end",
            flags=subject.flags,
        ),
        path=f"reports/{kind}/{name}",
        key="results",
        updated_since=False,
        module=module,
        on_request=True,
        report=Report(_subject(subject), fixed_fee=kind == "time"),
    )


def _subject(columns: Columns) -> str:
    """Return the column of whom or what rows are about; others say more of it."""
    return columns.ids.split()[-1]


REPORTS: tuple[Endpoint, ...] = (
    _of_time("clients", "one client", Columns(ids="client_id", texts="client_name")),
    _of_time("projects", "one project", _PROJECT),
    _of_time("tasks", "one task", Columns(ids="task_id", texts="task_name")),
    _of_time(
        "team",
        "one person",
        Columns(ids="weekly_capacity user_id", texts="user_name avatar_url", flags="is_contractor"),
    ),
    _of_expenses("clients", "one client", Columns(ids="client_id", texts="client_name")),
    _of_expenses("projects", "one project", _PROJECT),
    _of_expenses(
        "categories",
        "one category",
        Columns(ids="expense_category_id", texts="expense_category_name"),
    ),
    _of_expenses(
        "team",
        "one person",
        Columns(ids="user_id", texts="user_name", flags="is_contractor"),
    ),
    Endpoint(
        "report_uninvoiced",
        "what of one project's last 365 days is not invoiced, as it stood on one day",
        "reports-api/reports/uninvoiced-report",
        Columns(
            ids=_PROJECT.ids,
            texts=f"{_PROJECT.texts} currency",
            decimals="total_hours uninvoiced_hours uninvoiced_expenses uninvoiced_amount",
            dates="snapshot_date period_start period_end",
        ),
        path="reports/uninvoiced",
        key="results",
        updated_since=False,
        module="invoice_feature",
        on_request=True,
        report=Report("project_id", span="year"),
    ),
    Endpoint(
        "report_project_budget",
        "one project's budget and what was spent of it, as it stood on one day",
        "reports-api/reports/project-budget-report",
        Columns(
            ids=_PROJECT.ids,
            texts=f"{_PROJECT.texts} budget_by",
            decimals="budget budget_spent budget_remaining",
            dates="snapshot_date",
            flags="budget_is_monthly is_active",
        ),
        path="reports/project_budget",
        key="results",
        updated_since=False,
        on_request=True,
        report=Report("project_id", span="", by_currency=False),
    ),
)
