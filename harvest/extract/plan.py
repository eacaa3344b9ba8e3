"""What a run reads: a pure function of what is remembered, the settings and the time.

Of a table, a run reads everything in scope (a full read), or what changed, or the next batch of a
first read (a backfill). A list is read once for its own table and for the children of its records,
so their plans are joined into one plan for the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import partial
from typing import Literal

from ..catalog import ENDPOINTS, Endpoint, Report
from ..errors import ConfigurationError
from ..settings import DEFAULT_HISTORY, LONGEST_REPORT, Settings, Sizes
from .state import PeriodsRead, TableState
from .windows import DAY, EARLIEST, Window, periods

Mode = Literal["whole", "changes", "differing", "backfill", "later"]

FRESH = timedelta(hours=1)
"""While older periods of a report are left, newer ones are not read again for so long."""


@dataclass(frozen=True)
class TablePlan:
    """What a run reads for one table.

    Attributes:
        mode: What is read of a list, or of which parents children are read.
            "whole": everything in scope, so what was not found is gone; children of all parents.
            "changes": what changed since the cursor; children of parents that changed.
            "differing": of children, those of parents that changed or that differ from what the
            destination holds.
            "backfill": the next batch of a first read, and what changed since the cursor; children
            of the next parents, and of those that changed.
            "later": nothing yet, because lists by date come first; children of no parent.
        since: The moment from which on changes are read (UTC); None where everything is read.
        until: The last day that is left of a list's backfill.
        below_id: The id below which the parents of a child's backfill are left; None for all.
        batch_size: How much a batch brings: records of a list, or parents whose children are read.
            0 to leave nothing for a further batch.
    """

    mode: Mode
    since: datetime | None = None
    until: date | None = None
    below_id: int | None = None
    batch_size: int = 0


@dataclass(frozen=True)
class Read:
    """One pass over a list.

    Attributes:
        since: Only what changed from this moment on (UTC); None for everything.
        changes: Whether these are the changes since the last run. Of a limited table they are asked
            for without its limit, as a record that left it would not come otherwise.
        until: Only records of this day and before; None for all days.
        batch_size: Leave the rest for a further batch once so many records came; 0 to leave none.
    """

    since: datetime | None = None
    changes: bool = False
    until: date | None = None
    batch_size: int = 0


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


@dataclass(frozen=True)
class ReportPlan:
    """What a run reads of one report, each window with one request, newest first.

    Attributes:
        again: Windows that were read before, and what is new since then. They can't be left.
        first: Windows that were never read, or all of them where everything is read anew. They
            may be left for a further batch.
        goes_on: What was read before; None where all is read as if nothing was.
    """

    again: tuple[Window, ...]
    first: tuple[Window, ...] = ()
    goes_on: PeriodsRead | None = None


def plan_report(
    table: str,
    report: Report,
    state: TableState,
    settings: Settings,
    *,
    anchor: datetime,
    now: datetime,
    replaced: bool = False,
    held: str = "",
) -> ReportPlan:
    """Return what a run reads of a report.

    Its full read comes with `full_read` alone, never by itself: a history of five years takes 61
    requests of each report, and Harvest allows 100 in 15 minutes.

    Args:
        table: The report's table.
        report: What its figures are about.
        state: What is remembered of it.
        settings: What the user chose.
        anchor: How far back history is read (UTC).
        now: The time by Harvest's clock (UTC).
        replaced: Whether dlt replaces the table by what this run yields.
        held: How long the periods are that the destination holds, where nothing is remembered:
            another pipeline may have loaded them.

    Raises:
        ConfigurationError: The table holds periods of another length.
    """
    today = now.date()
    if report.span != "period":
        year = Window(today - (LONGEST_REPORT - 1) * DAY, today)
        return ReportPlan((year if report.span else Window(),))
    length, known = settings.report_period, state.periods
    windows = periods(length, max(anchor.date(), EARLIEST), today)
    if replaced:
        return ReportPlan(tuple(windows))
    held = known.length if known else held
    if held and held != length:
        raise ConfigurationError(
            "report_period",
            f"is {length!r}, but `{table}` holds periods of a {held}",
            f"keep it so, or read the table anew (--refresh {table})",
        )
    if known is None or (settings.full_read and not settings.next_batch):
        return ReportPlan((), tuple(windows))
    if report.fixed_fee and known.fixed_fee != settings.report_fixed_fee:
        raise ConfigurationError(
            "report_fixed_fee",
            f"is {settings.report_fixed_fee}, but `{table}` was read otherwise",
            f"keep it so, or read the table anew (--refresh {table})",
        )
    first = tuple(window for window in windows if window.first and window.first < known.first)
    if first and timedelta(0) <= now - known.read_at < FRESH:
        return ReportPlan((), first, known)
    start = _again_from(known, windows, settings.report_lookback, today)
    return ReportPlan(tuple(w for w in windows if w.first and w.first >= start), first, known)


def _again_from(known: PeriodsRead, windows: list[Window], lookback: int, today: date) -> date:
    """Return the first day of the oldest period that is read again.

    It counts from the last read, so that a pause between two runs leaves no period unread.
    """
    last = min(known.read_at.date(), today)
    then = [w.first for w in windows if w.first and known.first <= w.first <= last]
    return then[min(lookback, len(then) - 1)] if then else known.first


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
    appended: bool = False,
    comparable: bool = True,
    lacks_versions: bool = False,
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
        appended: Whether the destination can but append rows. There each full read stores all of
            them once more, so only `full_read` starts one.
        comparable: Whether the destination can be asked what it holds, so that it shows which
            children differ.
        lacks_versions: Whether the table's history lacks versions of rows that were read.
    """
    is_child = endpoint.parent is not None
    asked = (settings.full_read and not settings.next_batch) or lacks_versions
    if replaced or (asked and state.cursor):
        return TablePlan("whole")
    if state.cursor and state.focus != (settings.focus if endpoint.limited else {}):
        return TablePlan("whole")  # At once, so that the rows leave that are out of it by now.
    widens = _widens(state, anchor)
    if state.backfill and not widens:
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
            batch_size=sized if settings.in_batches else 0,
        )
    if state.full_read_at is None or widens:  # A backfill under way begins anew.
        if settings.in_batches and is_child and state.full_read_at is None:
            return TablePlan("backfill", batch_size=sizes.first_batch_requests)
        batched = settings.in_batches and endpoint.date and not has_children
        return TablePlan("whole", batch_size=sizes.batch_records if batched else 0)
    children = "changed" if appended or settings.next_batch else settings.children
    if children == "differing" and not comparable:
        children = "complete"
    by_itself = not (appended or settings.next_batch)
    if by_itself and _is_due(state.full_read_at, settings.full_read_hours, now):
        return TablePlan("whole")
    if is_child and children == "complete":
        return TablePlan("whole")
    if not is_child and not endpoint.updated_since:
        return TablePlan("whole")
    if state.cursor is None or state.cursor > now:  # a clock went wrong
        return TablePlan("whole")
    differing = is_child and children == "differing"
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
        reads = (
            Read(anchor, until=own.until, batch_size=own.batch_size),
            Read(own.since, changes=True),
        )
        return ListPlan(reads, complete=False, rows_since=None, tables=tables)
    needs_all = any(plan.mode != "changes" for plan in asking)
    if needs_all or (own and own.mode != "changes"):
        # Children that come in batches need their parents listed, and not stored, in each batch.
        stored = bool(own and own.mode == "changes")
        stored = stored and all(plan.mode != "whole" for plan in asking)
        return ListPlan(
            (Read(anchor, batch_size=own.batch_size if own else 0),),
            complete=True,
            rows_since=own.since if own and stored else None,
            tables=tables,
        )
    cursors = [plan.since for plan in (own, *asking) if plan and plan.since]
    changes = (Read(min(cursors), changes=True),) if cursors else ()
    return ListPlan(changes, complete=False, rows_since=None, tables=tables)


def requests_needed(
    endpoint: Endpoint, plan: ListPlan | ReportPlan, page: int = 1, total: int = 0, news: int = 0
) -> int:
    """Return the fewest requests for a list and the children of its records, or for a report.

    A report takes fewer where whole years are empty.

    Args:
        endpoint: The list or report.
        plan: What is read of it.
        page: Records on a page at most.
        total: Records that the list holds in scope.
        news: Those of them that changed since the last run.
    """
    if isinstance(plan, ReportPlan):
        return len(plan.again) + len(plan.first)
    if endpoint.singleton:
        return 1
    listed = total if plan.complete else news
    pages = pages_of(listed, page) if plan.reads else 0
    children = (table for name, table in plan.tables.items() if name != endpoint.name)
    asked = {"whole": total, "backfill": total, "later": 0}
    return pages + sum(asked.get(table.mode, news) for table in children)


def pages_of(records: int, page: int) -> int:
    """Return the requests for a list: one for each page, and one for an empty list."""
    return max(1, -(-records // page))


def _widens(state: TableState, anchor: datetime | None) -> bool:
    """Tell whether history is in scope that was in no run before."""
    return anchor is not None and (state.anchor is None or anchor < state.anchor)


def _is_due(full_read_at: datetime, hours: float, now: datetime) -> bool:
    """Tell whether the last full read is too old. One in the future was dated by a wrong clock."""
    if hours < 0:
        return False
    return full_read_at > now or now - full_read_at >= timedelta(hours=hours)


def report_requests(
    settings: Settings, history: timedelta = DEFAULT_HISTORY
) -> dict[str, tuple[int, int]]:
    """Return how many requests each report takes at most: for a history, and in a later run.

    Args:
        settings: What the user chose.
        history: How far back it is read.
    """
    now = datetime(2026, 1, 31, tzinfo=timezone.utc)
    requests = {}
    for endpoint in ENDPOINTS:
        if not (report := endpoint.report):
            continue
        planned = partial(plan_report, endpoint.name, report, settings=settings, now=now)
        plan = planned(TableState(), anchor=now - history)
        read = TableState()
        if plan.first:
            oldest = plan.first[-1].first or now.date()
            read.periods = PeriodsRead(settings.report_period, oldest, now)
        again = planned(read, anchor=now - history)
        requests[endpoint.name] = requests_needed(endpoint, plan), requests_needed(endpoint, again)
    return requests


def later_runs(settings: Settings) -> dict[str, str]:
    """Say in words how a run reads each table an hour after a run that read everything.

    Args:
        settings: What the user chose.
    """
    now = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
    state = TableState(cursor=now, full_read_at=now - timedelta(hours=1), anchor=now)
    words = {}
    for endpoint in ENDPOINTS:
        if endpoint.report:
            by_period = endpoint.report.span == "period"
            words[endpoint.name] = (
                f"this {settings.report_period} and the {settings.report_lookback} before it"
                if by_period
                else "the day's figures"
            )
            continue
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
