"""Reports of time hold the amounts of fixed-fee projects where the user wants them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from dlt import Pipeline

from harvest.errors import ConfigurationError
from harvest.run import load
from harvest_sandbox import Sandbox
from harvest_sandbox.readers import Reader
from harvest_sandbox.reports import results

from .truth import read

TABLE = "report_time_projects"


def amounts(sandbox: Sandbox, pipeline: Pipeline, fixed_fee: str) -> tuple[Any, Any]:
    """Return what the table holds by period and project, and what Harvest reports of these."""
    rows = read(pipeline, TABLE)
    held = {(r["period_start"], r["project_id"], r["currency"]): r["billable_amount"] for r in rows}
    asked = {
        (date.fromisoformat(str(r["period_start"])), date.fromisoformat(str(r["period_end"])))
        for r in rows
    }
    told = {
        (first, row["project_id"], row["currency"]): row["billable_amount"]
        for first, last in asked
        for row in results(
            "reports/time/projects",
            Reader(sandbox.account, None),
            {"from": str(first), "to": str(last), "include_fixed_fee": fixed_fee},
        )
    }
    return held, told


def test_fixed_fee(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """The amounts are those of Harvest's report with fixed fees; without the setting they are 0."""
    sandbox.account.update("projects", sandbox.account.rows("projects")[0]["id"], is_fixed_fee=True)
    chosen = {**settings, "anchor_date": "2026-01-01"}
    load(duck, TABLE, **chosen)
    held, told = amounts(sandbox, duck, "false")
    assert held == told
    with pytest.raises(ConfigurationError, match="`report_fixed_fee` is True, but"):
        load(duck, TABLE, **chosen, report_fixed_fee=True)
    load(duck, TABLE, **chosen, report_fixed_fee=True, refresh=True)
    more, told = amounts(sandbox, duck, "true")
    assert more == told
    assert sum(more.values()) > sum(held.values())
    load(duck, TABLE, **chosen, report_fixed_fee=True)
    assert amounts(sandbox, duck, "true") == (more, told)
