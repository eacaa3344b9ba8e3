"""What a run reads follows from what is remembered, the settings and the time, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest

from harvest.catalog import BY_NAME
from harvest.extract.plan import ListPlan, TablePlan, plan_list, plan_table, requests_needed
from harvest.extract.state import Backfill, TableState
from harvest.settings import Settings, Sizes

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
ANCHOR = NOW - timedelta(days=300)
DEFAULT = Settings()

LOADED = TableState(cursor=NOW - HOUR, full_read_at=NOW - HOUR, anchor=ANCHOR)
PART = Backfill(NOW - HOUR, until=date(2026, 1, 1))
CHILD_PART = Backfill(NOW - HOUR, below_id=50)
PART_LOADED = TableState(cursor=NOW, anchor=ANCHOR, backfill=PART)
LIMITED = TableState(
    cursor=NOW - HOUR, full_read_at=NOW - HOUR, anchor=ANCHOR, focus={"projects": [7]}
)
CHILD_PART_LOADED = TableState(anchor=ANCHOR, backfill=CHILD_PART)


def plan(table: str, state: TableState, chosen: Settings = DEFAULT, **given: Any) -> TablePlan:
    """Plan a table; history is bounded by the anchor."""
    endpoint = BY_NAME[table]
    bounded = BY_NAME[endpoint.parent] if endpoint.parent else endpoint
    anchor = ANCHOR if bounded.anchored else None
    return plan_table(endpoint, state, chosen, Sizes(), **{"anchor": anchor, "now": NOW, **given})


@pytest.mark.parametrize(
    ("table", "state", "changes", "given", "mode"),
    [
        ("clients", TableState(), {}, {}, "whole"),
        ("clients", LOADED, {}, {}, "changes"),
        ("clients", LOADED, {"full_read": True}, {}, "whole"),
        ("clients", LOADED, {"full_read_hours": 1}, {}, "whole"),
        ("clients", LOADED, {"full_read_hours": 0}, {}, "whole"),
        ("clients", LOADED, {"full_read_hours": -1}, {}, "changes"),
        ("clients", LOADED, {}, {"now": NOW + 24 * HOUR}, "whole"),
        ("clients", LOADED, {}, {"now": NOW - 24 * HOUR}, "whole"),  # dated by a wrong clock
        ("clients", LOADED, {}, {"replaced": True}, "whole"),
        ("roles", LOADED, {}, {}, "whole"),  # no filter for changes
        ("time_entries", LOADED, {}, {}, "changes"),
        ("time_entries", LOADED, {}, {"anchor": ANCHOR - HOUR}, "whole"),
        ("time_entries", LOADED, {}, {"anchor": ANCHOR + HOUR}, "changes"),
        ("time_entries", LOADED, {"projects": (7,)}, {}, "whole"),
        ("time_entries", LIMITED, {"projects": (7,)}, {}, "changes"),
        ("time_entries", LIMITED, {}, {}, "whole"),
        ("invoices", LOADED, {"projects": (7,)}, {}, "changes"),
        ("time_entries", PART_LOADED, {"projects": (7,)}, {}, "whole"),
        ("time_entries", PART_LOADED, {}, {}, "backfill"),
        ("time_entries", PART_LOADED, {"full_read": True}, {}, "whole"),
        ("invoices", PART_LOADED, {}, {"has_children": True}, "whole"),
        ("invoice_payments", LOADED, {}, {}, "whole"),
        ("invoice_payments", LOADED, {"children": "changed"}, {}, "changes"),
        ("invoice_payments", LOADED, {"children": "differing"}, {}, "differing"),
        ("invoices", LOADED, {"children": "differing"}, {}, "changes"),
        ("clients", LOADED, {}, {"now": NOW + 24 * HOUR, "appended": True}, "changes"),
        ("clients", LOADED, {"full_read": True}, {"appended": True}, "whole"),
        ("invoice_payments", LOADED, {}, {"appended": True}, "changes"),
        ("invoice_payments", LOADED, {"children": "differing"}, {"comparable": False}, "whole"),
        ("clients", LOADED, {}, {"lacks_versions": True}, "whole"),
        ("clients", LOADED, {"full_read": True, "next_batch": True}, {}, "changes"),
        ("clients", LOADED, {"full_read_hours": 0, "next_batch": True}, {}, "changes"),
        ("invoice_payments", LOADED, {"next_batch": True}, {}, "changes"),
        ("invoice_payments", TableState(), {"in_batches": True}, {}, "backfill"),
        ("invoice_payments", TableState(), {}, {}, "whole"),
        (
            "invoice_payments",
            CHILD_PART_LOADED,
            {"in_batches": True},
            {"lists_first": True},
            "later",
        ),
        (
            "invoice_payments",
            CHILD_PART_LOADED,
            {},
            {"lists_first": True},
            "backfill",
        ),
    ],
)
def test_mode(
    table: str, state: TableState, changes: dict[str, Any], given: dict[str, Any], mode: str
) -> None:
    """Each state and setting leads to its way of reading."""
    assert plan(table, state, replace(DEFAULT, **changes), **given).mode == mode


STATES = [
    TableState(cursor=cursor, full_read_at=full, anchor=anchor, backfill=backfill)
    for cursor, full, anchor, backfill in product(
        (None, NOW - HOUR, NOW + HOUR),
        (None, NOW - HOUR, NOW - 30 * HOUR, NOW + HOUR),
        (None, ANCHOR, ANCHOR - HOUR, ANCHOR + HOUR),
        (None, PART, CHILD_PART),
    )
]
CHOICES = [
    replace(DEFAULT, children=children, full_read=full, full_read_hours=hours, in_batches=batches)
    for children, full, hours, batches in product(
        ("complete", "differing", "changed"), (True, False), (-1, 0, 24), (True, False)
    )
]


def plans(table: str, child: str) -> list[tuple[TableState, TableState, Settings, ListPlan]]:
    """Return the joined plan of a list and its children for every state and setting."""
    found = []
    for own, childs, chosen in product(STATES[::3], STATES[::5], CHOICES):
        tables = (plan(table, own, chosen, has_children=True), plan(child, childs, chosen))
        joined = plan_list(tables[0], {child: tables[1]}, name=table, anchor=ANCHOR)
        found.append((own, childs, chosen, joined))
    return found


def test_nothing_is_forgotten() -> None:
    """In every state a list is read so far back that no table fed from it misses a change."""
    for own, childs, chosen, joined in plans("invoices", "invoice_payments"):
        for state, table in zip((own, childs), joined.tables.values(), strict=True):
            if table.mode == "later":
                continue
            if table.mode == "changes" and not joined.complete:
                cursor = state.cursor
                assert cursor
                assert any(read.since and read.since <= cursor for read in joined.reads), chosen
            elif not joined.complete:
                assert table.mode == "backfill"
                assert joined.reads[0].since in (None, ANCHOR)


@pytest.mark.parametrize("table", ["invoices", "invoice_payments"])
def test_earlier_anchor(table: str) -> None:
    """An earlier anchor leaves out nothing that no run before had in scope."""
    for state, chosen in product(STATES, CHOICES):
        if state.anchor is None or state.anchor > ANCHOR:
            planned = plan(table, state, chosen)
            assert planned.mode in ("whole", "backfill")
            assert (planned.since, planned.until, planned.below_id) == (None, None, None)


def test_complete_means_everything() -> None:
    """A plan that is called complete reads the list from the anchor on, to its end."""
    for *_, joined in plans("invoices", "invoice_payments"):
        if joined.complete:
            (read,) = joined.reads
            assert read.since == ANCHOR
            assert read.until is None
            assert read.batch_size == 0


def test_full_read_is_whole() -> None:
    """A full read that is asked for reads everything at once, wherever the state stands."""
    for table, state in product(BY_NAME, STATES):
        if state.cursor:
            chosen = replace(DEFAULT, full_read=True, in_batches=True)
            assert plan(table, state, chosen) == TablePlan("whole")


@pytest.mark.parametrize(
    ("mode", "requests"), [("whole", 3 + 5_000), ("changes", 1 + 7), ("later", 1)]
)
def test_requests(mode: Any, requests: int) -> None:
    """The plan tells the fewest requests: pages of 2,000, and one for each parent that is asked."""
    own = TablePlan("changes", NOW)
    child = TablePlan(mode, NOW if mode == "changes" else None)
    joined = plan_list(own, {"invoice_payments": child}, name="invoices", anchor=ANCHOR)
    needed = requests_needed(BY_NAME["invoices"], joined, page=2_000, total=5_000, news=7)
    assert needed == requests
