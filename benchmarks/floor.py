"""The fewest requests that the API allows for what a run must know."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from harvest.catalog import ENDPOINTS
from harvest.extract.plan import plan_list, plan_table, requests_needed
from harvest.extract.state import TableState
from harvest.settings import Settings, Sizes


def floor(
    tables: list[str], rows: dict[str, int], changed: dict[str, int] | None, children: str
) -> int:
    """Return the fewest requests of a run, as the source's own plan counts them.

    Args:
        tables: What is loaded.
        rows: Records of each list.
        changed: How many of them changed since the last run; None for a first run.
        children: Whether those of all parents are read, "complete", or of those that changed or
            differ.
    """
    now = datetime.now(timezone.utc)
    loaded = TableState(cursor=now, full_read_at=now - timedelta(hours=1), anchor=now)
    state = TableState() if changed is None else loaded
    settings = Settings(children=children)
    requests = 0
    for endpoint in ENDPOINTS:
        family = [e for e in ENDPOINTS if endpoint.name in (e.name, e.parent) and e.name in tables]
        if endpoint.parent or endpoint.report or not family:
            continue
        plans = {
            e.name: plan_table(e, state, settings, Sizes(), anchor=now, now=now) for e in family
        }
        own = plans.pop(endpoint.name, None)
        plan = plan_list(own, plans, name=endpoint.name, anchor=now)
        total = rows.get(endpoint.name, 0)
        news = total if changed is None else changed.get(endpoint.name, 0)
        requests += requests_needed(endpoint, plan, Sizes.per_page, total, news)
    return requests
