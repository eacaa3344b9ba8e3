"""Records are read whole and added up by Harvest's rules, in each reading that these allow."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from harvest.api.client import HarvestClient
from harvest.extract.windows import Window
from harvest.verify.ledger import Ledger
from harvest.verify.records import TIME, Project, TimeEntry, listed
from harvest_sandbox import Sandbox
from harvest_sandbox.service import Request

ENTRY = TimeEntry(
    id=1, spent_date="", client__id=2, client__currency="EUR", project__id=1, user__id=3,
    hours=Decimal(1), rounded_hours=None, billable=True, billable_rate=None, budgeted=True,
    is_billed=False, is_running=False,
)  # fmt: skip

PROJECT = Project(
    id=1, created_at="2026-01-01", client__id=2, client__currency="EUR", is_billable=True,
    is_fixed_fee=False, fee=None, starts_on=None, budget_by="project", budget=Decimal(9),
    budget_is_monthly=True, cost_budget=None, cost_budget_include_expenses=False,
)  # fmt: skip


def test_slips_between_pages(sandbox: Sandbox, client: HarvestClient) -> None:
    """A list that loses a record while its numbered pages are read loses no other one."""
    sandbox.styles, sandbox.page_cap = "page", 20
    account = sandbox.account

    def before(_: int, request: Request) -> None:
        if request.params.get("page") == "2":
            sandbox.before_request = None
            newest = max(account.rows("time_entries"), key=lambda e: (e["spent_date"], e["id"]))
            account.delete("time_entries", newest["id"])

    sandbox.before_request = before
    found = {row.id for row, _ in listed(client, TIME, {})}
    assert sandbox.before_request is None
    assert found == account.records["time_entries"].keys()


@pytest.mark.parametrize(
    ("now", "spent"),
    [
        ("2026-10-31T09:59", [1]),
        ("2026-10-31T10:00", [1, 2]),
        ("2026-11-01T00:00", [2, 1]),
        ("2026-11-01T11:59", [2, 1]),
        ("2026-11-01T12:00", [2]),
    ],
)
def test_turn_of_the_month(now: str, spent: list[int]) -> None:
    """While it is two months on earth a monthly budget is spent by either, UTC's first."""
    ledger = Ledger("client", datetime.fromisoformat(f"{now}:00+00:00"))
    october = ENTRY._replace(spent_date="2026-10-31")
    november = ENTRY._replace(spent_date="2026-11-01", hours=Decimal(2))
    ledger.add([PROJECT, october, november])
    figure = ledger.figures("budgets", Window())[1, ""]["budget_spent"]
    assert list(dict.fromkeys(figure)) == spent
