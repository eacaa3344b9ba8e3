"""What a run reads: a pure function of what is remembered, the settings and the time.

A table is read whole, or by its changes, or it goes on with a first read that comes in batches.
A list is read once for its own table and for the children of its records, so their plans are
joined into one plan for the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Literal

from ..catalog import ENDPOINTS, Endpoint
from ..settings import Settings, Sizes
from .state import TableState

Mode = Literal["whole", "changes", "differing", "backfill", "later"]


@dataclass(frozen=True)
class TablePlan:
    """What a run reads for one table.

    Attributes:
        mode: "whole": everything in scope is read, and what was not found is gone. "changes": what
            changed since the cursor. "differing": that, and children of parents that differ from
            what the destination holds. "backfill": the next batch of a first read, and what changed
            since the cursor. "later": nothing yet, because lists by date come first. Of children:
            those of all parents, of parents that changed, of the next parents, or of none.
        since: The moment from which on changes are read (UTC); None where everything is read.
        until: The last day that is left of a list's backfill.
        below_id: The id below which the parents of a child's backfill are left; None for all.
        limit: How much a batch brings: records of a list, or parents asked for children. 0 for
            no limit.
    """

    mode: Mode
    since: datetime | None = None
    until: date | None = None
    below_id: int | None = None
    limit: int = 0


@dataclass(frozen=True)
class Read:
    """One pass over a list.

    Attributes:
        since: Only what changed from this moment on (UTC); None for everything.
        until: Only records of this day and before; None for all days.
        limit: Leave the rest once so many records came; 0 for no limit.
    """

    since: datetime | None = None
    until: date | None = None
    limit: int = 0


@dataclass(frozen=True)
class ListPlan:
    """What a run reads of one list, for its own table and the children of its records.

    Attributes:
        reads: The passes over the list, one after the other.
        complete: Whether they cover everything in scope, so that what is not found is gone.
        rows_since: Older records are not sent to the list's own table, which has them already;
            None to send all.
        tables: The plan of each table that is fed from this list.
    """

    reads: tuple[Read, ...]
    complete: bool
    rows_since: datetime | None
    tables: Mapping[str, TablePlan]


def plan_table(  # noqa: C901, PLR0911 - one question after the other, each with its answer
    endpoint: Endpoint,
    state: TableState,
    settings: Settings,
    sizes: Sizes,
    *,
    anchor: datetime | None,
    now: datetime,
    lists_first: bool = False,
    has_children: bool = False,
    replaced: bool = False,
) -> TablePlan:
    """Return what a run reads for one table.

    Args:
        endpoint: The table's endpoint.
        state: What is remembered of the table.
        settings: What the user chose.
        sizes: How large batches are.
        anchor: How far back history is read (UTC); None for reference data.
        now: The time by Harvest's clock (UTC).
        lists_first: Whether a list by date is still in its first read, so that children wait.
        has_children: Whether children of the list are read too. They need all their parents, so
            only a list without them comes in batches.
        replaced: Whether dlt replaces the table by what this run yields.
    """
    is_child = endpoint.parent is not None
    if replaced or (settings.full_read and state.cursor):
        return TablePlan("whole")
    if state.backfill:
        if is_child and lists_first and settings.in_batches:
            return TablePlan("later", state.cursor)
        if has_children:
            return TablePlan("whole")
        sized = sizes.batch_requests if is_child else sizes.batch_records
        return TablePlan(
            "backfill",
            state.cursor,
            state.backfill.until,
            state.backfill.below_id,
            limit=sized if settings.in_batches else 0,
        )
    if state.full_read_at is None or _widens(state, anchor):
        if settings.in_batches and is_child and state.full_read_at is None:
            return TablePlan("backfill", limit=sizes.first_batch_requests)
        batched = settings.in_batches and endpoint.date and not has_children
        return TablePlan("whole", limit=sizes.first_batch_records if batched else 0)
    if _is_due(state.full_read_at, settings.full_read_hours, now):
        return TablePlan("whole")
    if is_child and settings.children == "complete":
        return TablePlan("whole")
    if not is_child and not endpoint.updated_since:
        return TablePlan("whole")
    if state.cursor is None or state.cursor > now:  # a clock went wrong
        return TablePlan("whole")
    differing = is_child and settings.children == "differing"
    return TablePlan("differing" if differing else "changes", state.cursor)


def plan_list(
    own: TablePlan | None, children: Mapping[str, TablePlan], *, name: str, anchor: datetime | None
) -> ListPlan:
    """Join the plans of a list's own table and of its records' children.

    Args:
        own: The plan of the list's own table; None where it is not selected.
        children: The plans of the selected children, by table.
        name: The list's name.
        anchor: How far back the list is read (UTC); None for all of it.
    """
    tables = {**({name: own} if own else {}), **children}
    asking = [plan for plan in children.values() if plan.mode != "later"]
    if own and own.mode == "backfill":  # Only a list without children comes in batches.
        reads = (Read(anchor, own.until, own.limit), Read(own.since))
        return ListPlan(reads, complete=False, rows_since=None, tables=tables)
    needs_all = any(plan.mode != "changes" for plan in asking)
    if needs_all or (own and own.mode != "changes"):
        # Children that come in batches need their parents listed, and not stored, in each batch.
        stored = bool(own and own.mode == "changes")
        stored = stored and all(plan.mode != "whole" for plan in asking)
        return ListPlan(
            (Read(anchor, limit=own.limit if own else 0),),
            complete=True,
            rows_since=own.since if own and stored else None,
            tables=tables,
        )
    cursors = [plan.since for plan in (own, *asking) if plan and plan.since]
    changes = (Read(min(cursors)),) if cursors else ()
    return ListPlan(changes, complete=False, rows_since=None, tables=tables)


def requests_needed(endpoint: Endpoint, plan: ListPlan, page: int, total: int, news: int) -> int:
    """Return the fewest requests for a list and the children of its records.

    Args:
        endpoint: The list.
        plan: What is read of it.
        page: Records on a page at most.
        total: Records that the list holds in scope.
        news: Those of them that changed since the last run.
    """
    if endpoint.singleton:
        return 1
    listed = total if plan.complete else news
    pages = max(1, -(-listed // page)) if plan.reads else 0
    children = (table for name, table in plan.tables.items() if name != endpoint.name)
    asked = {"whole": total, "backfill": total, "later": 0}
    return pages + sum(asked.get(table.mode, news) for table in children)


def _widens(state: TableState, anchor: datetime | None) -> bool:
    """Tell whether history is in scope that was in no run before."""
    return anchor is not None and (state.anchor is None or anchor < state.anchor)


def _is_due(full_read_at: datetime, hours: float, now: datetime) -> bool:
    """Tell whether the last full read is too old. One in the future was dated by a wrong clock."""
    if hours < 0:
        return False
    return full_read_at > now or now - full_read_at >= timedelta(hours=hours)


def later_runs(settings: Settings) -> dict[str, str]:
    """Say in words how a run reads each table an hour after a run that read everything.

    Args:
        settings: What the user chose.
    """
    now = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    state = TableState(cursor=now, full_read_at=now - timedelta(hours=1), anchor=now)
    words = {}
    for endpoint in ENDPOINTS:
        children = [child for child in ENDPOINTS if child.parent == endpoint.name]
        plans = {
            e.name: plan_table(e, state, settings, Sizes(), anchor=now, now=now)
            for e in (endpoint, *children)
        }
        own = plans.pop(endpoint.name)
        whole = endpoint.singleton or own.mode == "whole"
        if not endpoint.parent and not endpoint.singleton:
            whole = plan_list(own, plans, name=endpoint.name, anchor=now).complete
        read = "those of changed parents" if endpoint.parent else "changes"
        words[endpoint.name] = "everything in scope" if whole else read
    return words
