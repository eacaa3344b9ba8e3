"""Reports add up what entries and expenses say."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from harvest_sandbox import Sandbox

from .asking import ask, read

TIME = {"clients": "client", "projects": "project", "tasks": "task", "team": "user"}
EXPENSES = {**TIME, "categories": "expense_category"}
del EXPENSES["tasks"]


def year(sandbox: Sandbox) -> dict[str, str]:
    """Return the last 365 days as parameters."""
    today = sandbox.clock.now().date()
    return {"from_": str(today - timedelta(days=364)), "to": str(today)}


def facts(sandbox: Sandbox, table: str, span: dict[str, str]) -> list[dict[str, Any]]:
    """Return the entries or expenses of a span."""
    rows = sandbox.account.truth(table)
    return [row for row in rows if span["from_"] <= row["spent_date"] <= span["to"]]


def currency(sandbox: Sandbox, row: dict[str, Any]) -> str:
    """Return the currency of a record's client."""
    return str(sandbox.account.records["clients"][row["client"]["id"]]["currency"])


@pytest.mark.parametrize("kind", TIME)
@pytest.mark.parametrize("fixed_fee", [None, "true"])
def test_time(sandbox: Sandbox, kind: str, fixed_fee: str | None) -> None:
    """Rounded hours add up by subject and currency; amounts of fixed fees on request."""
    account, span, field = sandbox.account, year(sandbox), TIME[kind]
    for entry in account.truth("time_entries")[::3]:  # rounded up to the hour
        up = Decimal(-(-entry["hours"] // 1))
        account.update("time_entries", entry["id"], rounded_hours=up)
    wanted: dict[Any, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for entry in facts(sandbox, "time_entries", span):
        sums = wanted[entry[field]["id"], currency(sandbox, entry)]
        sums[0] += entry["rounded_hours"]
        if entry["billable"]:
            sums[1] += entry["rounded_hours"]
            fixed = account.records["projects"][entry["project"]["id"]]["is_fixed_fee"]
            if fixed_fee or not fixed:
                sums[2] += entry["rounded_hours"] * entry["billable_rate"]
    asked = {**span, "include_fixed_fee": fixed_fee} if fixed_fee else span
    rows = read(sandbox, f"reports/time/{kind}", **asked)
    assert len(rows) == len(wanted) > 3
    for row in rows:
        total, billable, amount = wanted[row[f"{field}_id"], row["currency"]]
        assert (row["total_hours"], row["billable_hours"]) == (total, billable)
        assert abs(row["billable_amount"] - amount) <= Decimal("0.005")
        assert row["billable_amount"].as_tuple().exponent == -2


@pytest.mark.parametrize("kind", EXPENSES)
def test_expenses(sandbox: Sandbox, kind: str) -> None:
    """Expenses add up by subject and currency."""
    span, field = year(sandbox), EXPENSES[kind]
    wanted: dict[Any, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 2)
    for expense in facts(sandbox, "expenses", span):
        sums = wanted[expense[field]["id"], currency(sandbox, expense)]
        sums[0] += expense["total_cost"]
        sums[1] += expense["total_cost"] * expense["billable"]
    rows = read(sandbox, f"reports/expenses/{kind}", **span)
    got = {
        (r[f"{field}_id"], r["currency"]): [r["total_amount"], r["billable_amount"]] for r in rows
    }
    assert len(rows) == len(got)
    assert got == wanted


def test_fields(sandbox: Sandbox) -> None:
    """Each report names its subject as documented."""
    span, account = year(sandbox), sandbox.account
    subjects = {
        path: set(read(sandbox, f"reports/{path}", **span)[0])
        for path in ("time/tasks", "time/team", "expenses/categories", "expenses/team")
    }
    hours = {"total_hours", "billable_hours", "currency", "billable_amount"}
    money = {"total_amount", "billable_amount", "currency"}
    person = {"user_id", "user_name", "is_contractor"}
    assert subjects == {
        "time/tasks": hours | {"task_id", "task_name"},
        "time/team": hours | person | {"weekly_capacity", "avatar_url"},
        "expenses/categories": money | {"expense_category_id", "expense_category_name"},
        "expenses/team": money | person,
    }
    for path, coded in (
        ("time/projects", True),
        ("expenses/projects", True),
        ("uninvoiced", False),
    ):
        rows = read(sandbox, f"reports/{path}", **span)
        assert rows
        for row in rows:
            project = account.records["projects"][row["project_id"]]
            code = f"[{project['code']}] " if coded and project["code"] else ""
            assert row["project_name"] == code + project["name"]
            assert row["client_id"] == project["client"]["id"]


def test_uninvoiced(sandbox: Sandbox) -> None:
    """Every billable project is there, zeros too; what is billed leaves."""
    account, span = sandbox.account, year(sandbox)
    for table in ("time_entries", "expenses"):
        for fact in account.truth(table)[::2]:
            account.update(table, fact["id"], is_billed=True)
    open_entries = [
        e for e in facts(sandbox, "time_entries", span) if e["billable"] and not e["is_billed"]
    ]
    rows = {row["project_id"]: row for row in read(sandbox, "reports/uninvoiced", **span)}
    projects = account.records["projects"]
    assert rows.keys() == {i for i, project in projects.items() if project["is_billable"]}
    for project_id, row in rows.items():
        mine = [e for e in open_entries if e["project"]["id"] == project_id]
        cost = sum(
            x["total_cost"]
            for x in facts(sandbox, "expenses", span)
            if x["project"]["id"] == project_id and x["billable"] and not x["is_billed"]
        )
        assert row["uninvoiced_hours"] == sum(e["rounded_hours"] for e in mine)
        assert row["uninvoiced_expenses"] == cost
        if not projects[project_id]["is_fixed_fee"]:
            amount = cost + sum(e["rounded_hours"] * e["billable_rate"] for e in mine)
            assert abs(row["uninvoiced_amount"] - amount) <= Decimal("0.005")


def test_fixed_fee_remainder(sandbox: Sandbox) -> None:
    """A fixed fee's remainder, negative too, shows in each window after its start."""
    account = sandbox.account
    project = next(p for p in account.truth("projects") if p["is_billable"])
    account.update(
        "projects", project["id"], is_fixed_fee=True, fee=Decimal(1000), starts_on="2026-03-01"
    )
    item = {
        "id": 1, "kind": "Service", "description": "", "quantity": 1, "unit_price": 1,
        "amount": Decimal("1200.50"), "taxed": False, "taxed2": False,
        "project": {"id": project["id"], "name": "x"},
    }  # fmt: skip
    account.update("invoices", account.rows("invoices")[0]["id"], line_items=[item])
    for other in account.records["invoices"].values():
        if item not in other["line_items"]:
            other["line_items"] = []

    def remainder(first: str, last: str, **more: str) -> list[Decimal]:
        rows = read(sandbox, "reports/uninvoiced", from_=first, to=last, **more)
        return [
            row["uninvoiced_amount"] - row["uninvoiced_expenses"]
            for row in rows
            if row["project_id"] == project["id"]
        ]

    assert remainder("2026-03-01", "2026-03-31") == [Decimal("-200.50")]
    assert remainder("2026-04-01", "2026-04-30") == [Decimal("-200.50")]
    assert remainder("2026-02-01", "2026-02-28") == [0]
    assert remainder("2026-03-01", "2026-03-31", include_fixed_fee="false") == []


def test_project_budget(sandbox: Sandbox) -> None:
    """Projects with a budget show what is spent of it now; monthly ones of this month."""
    account = sandbox.account
    with_budget = [p for p in account.truth("projects") if p["budget"] is not None]
    hours, money, monthly = (project["id"] for project in with_budget[:3])
    account.update("projects", money, budget_by="project_cost", cost_budget=Decimal(10))
    account.update("projects", monthly, budget_is_monthly=True)
    rows = {row["project_id"]: row for row in read(sandbox, "reports/project_budget")}
    assert rows.keys() == {project["id"] for project in with_budget}
    entries = account.truth("time_entries")

    def spent(project_id: int, month: str = "") -> list[dict[str, Any]]:
        return [
            entry
            for entry in entries
            if entry["project"]["id"] == project_id and entry["spent_date"].startswith(month)
        ]

    month = f"{sandbox.clock.now():%Y-%m}"
    assert rows[hours]["budget_spent"] == sum(e["rounded_hours"] for e in spent(hours))
    assert rows[monthly]["budget_spent"] == sum(e["rounded_hours"] for e in spent(monthly, month))
    cost = sum(e["rounded_hours"] * (e["billable_rate"] or 0) for e in spent(money))
    assert abs(rows[money]["budget_spent"] - cost) <= Decimal("0.005")
    assert rows[money]["budget_remaining"] == 10 - rows[money]["budget_spent"] < 0
    account.update("projects", hours, is_active=False)
    active = read(sandbox, "reports/project_budget", is_active="true")
    assert hours not in {row["project_id"] for row in active}


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("time/clients", {}),
        ("time/clients", {"from_": "2026-01-01"}),
        ("expenses/team", {"from_": "soon", "to": "2026-01-31"}),
        ("expenses/team", {"from_": "2026-02-01", "to": "2026-01-31"}),
        ("uninvoiced", {"from_": "2025-01-01", "to": "2026-01-02"}),
        ("uninvoiced", {"from_": "20260101", "to": "20260131", "include_fixed_fee": "1"}),
        ("project_budget", {"is_active": "yes"}),
        ("project_budget", {"per_page": "2001"}),
    ],
)
def test_refused(sandbox: Sandbox, path: str, params: dict[str, str]) -> None:
    """What is missing, malformed or spans more than 365 days is refused with 422."""
    assert ask(sandbox, f"reports/{path}", **params).status_code == 422


def test_span(sandbox: Sandbox) -> None:
    """365 days from first to last are accepted, as seen live, in both forms of a day."""
    whole = read(sandbox, "reports/time/team", from_="20250101", to="20260101")
    assert whole == read(sandbox, "reports/time/team", from_="2025-01-01", to="2026-01-01")


def test_pages(sandbox: Sandbox) -> None:
    """Reports are paged by number, and their links repeat the parameters."""
    span = year(sandbox)
    whole = read(sandbox, "reports/time/projects", **span)
    assert read(sandbox, "reports/time/projects", per_page=2, **span) == whole
    first = ask(sandbox, "reports/time/projects", per_page=2, **span).json()
    assert (first["total_entries"], first["next_page"]) == (len(whole), 2)
    assert f"from={span['from_']}&page=2&per_page=2" in first["links"]["next"]


def test_readers(sandbox: Sandbox) -> None:
    """Others see their own hours without amounts, and budgets of what they manage."""
    account, span = sandbox.account, year(sandbox)
    member = sandbox.users[sandbox.member_token]
    (mine,) = read(sandbox, "reports/time/team", sandbox.member_token, **span)
    assert mine["user_id"] == member
    assert not {"currency", "billable_amount"} & mine.keys()
    own = [e for e in facts(sandbox, "time_entries", span) if e["user"]["id"] == member]
    assert mine["total_hours"] == sum(e["rounded_hours"] for e in own)
    for token in (sandbox.member_token, sandbox.manager_token):
        assert ask(sandbox, "reports/uninvoiced", token, **span).status_code == 403
    assert read(sandbox, "reports/project_budget", sandbox.member_token) == []
    manager = sandbox.users[sandbox.manager_token]
    assert manager
    managed = {
        row["project"]["id"]
        for row in account.truth("user_assignments")
        if row["user"]["id"] == manager and row["is_project_manager"] and row["is_active"]
    }
    budgets = read(sandbox, "reports/project_budget", sandbox.manager_token)
    assert {row["project_id"] for row in budgets} <= managed
    roles = ["manager", "billable_rates_manager", "managed_projects_invoice_drafter"]
    account.update("users", manager, access_roles=roles)
    rows = read(sandbox, "reports/uninvoiced", sandbox.manager_token, **span)
    assert rows
    assert {row["project_id"] for row in rows} <= managed
    assert "billable_amount" in read(sandbox, "reports/time/team", sandbox.manager_token, **span)[0]


def test_modules(sandbox: Sandbox) -> None:
    """Reports of a module that is switched off are refused."""
    sandbox.account.company |= {"expense_feature": False, "invoice_feature": False}
    span = year(sandbox)
    paths = ("expenses/team", "uninvoiced", "time/team", "project_budget")
    statuses = [ask(sandbox, f"reports/{path}", **span).status_code for path in paths]
    assert statuses == [403, 403, 200, 200]


def test_limits_are_apart() -> None:
    """Reports have a limit of their own, and many minutes to wait."""
    with Sandbox("empty", rate_limit=(3, 15.0)) as served:
        assert served.reports_limit == (100, 900.0)
        served.reports_limit = (2, 900.0)
        for status in (200, 200, 429):
            refused = ask(served, "reports/project_budget")
            assert refused.status_code == status
        assert 890 < int(refused.headers["Retry-After"]) <= 900
        assert [ask(served, "company").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_empty_account() -> None:
    """An account without any work has empty reports."""
    with Sandbox("empty", rate_limit=None) as served:
        for path in ("time/team", "expenses/categories", "uninvoiced", "project_budget"):
            assert read(served, f"reports/{path}", **year(served)) == []
