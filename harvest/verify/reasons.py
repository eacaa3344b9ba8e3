"""Finds out why a figure differs: lists the records that it adds up anew, and compares each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any

from ..api.client import HarvestClient
from ..catalog import BY_NAME
from ..errors import StatusError
from ..extract.focus import Focus
from ..extract.state import TableState
from ..extract.windows import Filters, Window
from ..settings import EVERYTHING, OVERLAP_SECONDS
from .ledger import SUBJECTS, Ledger
from .records import EXPENSES, LINES, TIME, Kind, Project, TimeEntry, Warehouse, listed, rows_of
from .reported import Comparison, Result

FEW = 3
"""Reasons that are told of one figure; of the others, how many there are."""

LOOK_UPS = 20
"""Records that a list lacks, and that are asked for one by one."""

AT_ONCE = 500
"""Records that the warehouse is asked for at once, which are in another month than Harvest has."""

CUT_SHORT = {("budgets", "budget_spent"), ("uninvoiced", "uninvoiced_amount")}
"""Figures that may need all of a project's history."""

MODES = {"to the nearest": ROUND_HALF_UP, "up to the nearest": ROUND_CEILING}

ROUNDINGS: dict[str, tuple[Decimal, str] | None] = {
    "no rounding": None,
    **{
        f"{words} {minutes} min": (Decimal(minutes) / 60, mode)
        for minutes in (6, 15, 30)
        for words, mode in MODES.items()
    },
}
"""Harvest's settings of time rounding, each with its step in hours."""


Both = tuple[list[Any], list[tuple[Any, str]]]
"""Records as the warehouse has them, and as Harvest lists them, each with its `updated_at`."""


@dataclass
class Finding:
    """A record that the warehouse and Harvest do not hold alike.

    Attributes:
        text: What is the matter.
        is_known: Whether that is what must be expected, and no fault.
        rows: The record as either holds it.
    """

    text: str
    is_known: bool
    rows: tuple[Any, ...]


@dataclass
class Listed:
    """What was found out about some records.

    Attributes:
        findings: Those that differ.
        ledger: What Harvest's own records add up to.
    """

    ledger: Ledger
    findings: list[Finding] = field(default_factory=list)


class Reasons:
    """Finds out why figures differ.

    Args:
        client: Where to ask.
        warehouse: What the destination holds.
        tables: What is remembered of each table.
        anchor: How far back history was read (UTC).
        keeps_deleted: Whether rows stay that Harvest no longer has.
        focus: What time entries and expenses are limited to.
        ledger: Makes an empty ledger.
        known: The warehouse's ledger, which knows its projects.
    """

    def __init__(
        self,
        client: HarvestClient,
        warehouse: Warehouse,
        tables: dict[str, TableState],
        *,
        anchor: datetime,
        keeps_deleted: bool,
        focus: Focus,
        ledger: Callable[[], Ledger],
        known: Ledger,
    ) -> None:
        self._client, self._warehouse, self._tables = client, warehouse, tables
        self._anchor, self._keeps_deleted, self._focus = anchor, keeps_deleted, focus
        self._ledger, self._known = ledger, known
        self._found: dict[Any, Listed] = {}
        self._whole: dict[Kind, Both] = {}

    def explain(self, result: Result, by: str) -> None:
        """Give a result that differs its reason, and its verdict.

        Raises:
            HarvestError: Harvest's records could not be listed.
        """
        whole = result.comparison.span == "month"
        project = None if whole else self._known.project(result.subject_id)
        if project and self._is_cut(result, project):
            result.verdict = "explained"
            result.reason = f"history before {self._anchor:%Y-%m-%d} was not read"
            return
        found = self._look(result.comparison, result.window, None if whole else result.subject_id)
        subject = SUBJECTS[by] if whole else "project__id"
        findings = [
            finding
            for finding in found.findings
            if result.subject_id in [getattr(row, subject) for row in finding.rows]
        ]
        figures = found.ledger.figures(
            result.comparison.name, result.window, money=bool(result.currency)
        )
        figure = figures.get(result.key, {}).get(result.measure, (Decimal(0),))
        texts = [finding.text for finding in findings[:FEW]]
        if len(findings) > FEW:
            texts.append(f"and {len(findings) - FEW} more")
        if result.harvest not in figure:
            texts.append(f"Harvest's own records add up to {figure[0].normalize():f}")
        elif findings and all(finding.is_known for finding in findings):
            result.verdict = "explained"
        result.reason = "; ".join(texts) or "nothing differs by now: verify again"

    def _is_cut(self, result: Result, project: Project) -> bool:
        """Tell whether a figure needs history of a project that the anchor leaves out."""
        if (result.comparison.name, result.measure) not in CUT_SHORT or self._anchor == EVERYTHING:
            return False
        is_old = project.created_at < self._anchor.date().isoformat()
        of_a_span = (
            project.budget_is_monthly
            if result.comparison.name == "budgets"
            else not project.is_fixed_fee
        )
        return is_old and not of_a_span

    def _look(self, comparison: Comparison, window: Window, project: int | None) -> Listed:
        key = comparison.name, window, project
        if key not in self._found:
            found = self._found[key] = Listed(self._ledger())
            for kind in comparison.kinds:
                if kind.table in self._tables:
                    self._compare(kind, window, project, found)
        return self._found[key]

    def _compare(self, kind: Kind, window: Window, project: int | None, found: Listed) -> None:
        """Compare the records of a kind, of some months or of a project."""

        def concerns(row: Any) -> bool:
            return project is None or row.project__id == project

        rows, listing = self._both(kind, window, project)
        ours = [row for row in rows if concerns(row)]
        stamps = {row.id: (row, stamp) for row, stamp in listing if concerns(row)}
        theirs = {record: row for record, (row, _) in stamps.items()}
        found.ledger.add(theirs.values())
        if kind is TIME:
            found.findings += self._rerounded(ours, theirs)
        times = Counter(row.id for row in ours)
        here = {row.id: row for row in ours}
        for record, count in times.items():
            if count > 1:
                text = f"{kind.word} {record} stands here {count} times"
                found.findings.append(Finding(text, is_known=False, rows=(here[record],)))
        elsewhere = self._elsewhere(kind, sorted(theirs.keys() - here.keys()))
        told = {row.id for finding in found.findings for row in finding.rows}
        gone = 0
        for record in sorted({*here, *theirs} - told):
            if record not in theirs:
                gone += 1
                look = gone <= LOOK_UPS
                found.findings += self._gone(kind, here[record], found.ledger, look=look)
            elif theirs[record] != here.get(record):
                held = here.get(record) or elsewhere.get(record)
                found.findings.append(self._changed(kind, held, *stamps[record]))

    def _both(self, kind: Kind, window: Window, project: int | None) -> Both:
        """Return the records of a kind among which are those of some months or of a project.

        What can't be narrowed to these is asked for once, for all projects that differ.
        """
        if kind not in (TIME, EXPENSES, LINES):
            if kind not in self._whole:
                self._whole[kind] = self._warehouse.rows(kind), listed(self._client, kind, {})
            return self._whole[kind]
        dated = kind is not LINES
        where, filters = (_within(window), window.filters) if dated else ([], Filters())
        lists = self._focus.lists if dated else [Filters()]
        if project is not None:
            lists = [{"project_id": str(project)}]  # It is one of those that count.
            where = [*where, f"{'n' if kind.nested else 't'}.project__id = {project}"]
        ours = self._warehouse.rows(kind, " AND ".join(where))
        listings = [listed(self._client, kind, {**filters, **each}) for each in lists]
        return ours, [pair for listing in listings for pair in listing]

    def _elsewhere(self, kind: Kind, ids: list[int]) -> dict[int, Any]:
        """Return those of some records that the warehouse holds in another month or project."""
        if not ids or kind not in (TIME, EXPENSES):
            return {}
        among = ", ".join(map(str, ids[:AT_ONCE]))
        return {row.id: row for row in self._warehouse.rows(kind, f"t.id IN ({among})")}

    def _changed(self, kind: Kind, ours: Any, theirs: Any, stamp: str) -> Finding:
        what = f"{kind.word} {theirs.id} "
        if ours is None:
            what += "is missing here"
        else:
            what += "differs: " + ", ".join(
                f"{name} is {_shown(here)} here, {_shown(there)} in Harvest"
                for name, here, there in zip(kind.fields, ours, theirs, strict=True)
                if here != there
            )
        moment = _moment(stamp)
        table = self._tables[kind.table]
        # The cursor may be the stamp of the newest record, which was read.
        read_until = table.read_at and table.read_at - timedelta(seconds=OVERLAP_SECONDS)
        why = ""
        if moment and read_until and moment >= read_until:
            why = f", changed in Harvest since the last run, at {stamp}"
        elif moment and ours is None and BY_NAME[kind.table].anchored and moment < self._anchor:
            why = f", last changed before {self._anchor:%Y-%m-%d}, so the anchor leaves it out"
        elif kind is TIME and ours is not None and theirs.is_running and _only_hours(ours, theirs):
            why = ", its timer runs"
        rows = (theirs,) if ours is None else (ours, theirs)
        return Finding(what + why, is_known=bool(why), rows=rows)

    def _gone(self, kind: Kind, ours: Any, ledger: Ledger, *, look: bool) -> Iterator[Finding]:
        """Say of a row that Harvest's list lacks whether it is elsewhere by now, or nowhere.

        If Harvest has it as it is here, the list left it out: then it is added to the ledger.
        """
        if look and kind in (TIME, EXPENSES):
            try:
                record = self._client.record(f"{kind.table}/{ours.id}")
            except StatusError as error:
                if error.status != 404:
                    raise
            else:
                if self._keeps_deleted and self._focus.excludes(record):
                    text = f"{kind.word} {ours.id} was moved to others, and kept by `deletions`"
                    yield Finding(text, is_known=True, rows=(ours,))
                    return
                (theirs,) = rows_of(kind, record)
                if theirs == ours:
                    ledger.add([ours])
                else:
                    yield self._changed(kind, ours, theirs, str(record.get("updated_at")))
                return
        text = f"{kind.word} {ours.id} is not in Harvest"
        if self._keeps_deleted:
            yield Finding(f"{text}, and kept by `deletions`", is_known=True, rows=(ours,))
            return
        read_at = self._tables[kind.table].full_read_at
        text += f": deleted after the full read of {read_at:%Y-%m-%d %H:%M} UTC, or never there"
        yield Finding(f"{text}; --full-read mends it", is_known=False, rows=(ours,))

    @staticmethod
    def _rerounded(ours: list[TimeEntry], theirs: dict[int, TimeEntry]) -> list[Finding]:
        """Return the entries that differ since the account rounds time otherwise.

        Harvest stamps none of them. Only if all entries here were rounded by one of its settings,
        and all in Harvest by another, that is the reason.
        """
        pairs = [(row, theirs[row.id]) for row in ours if row.id in theirs]
        stale = [
            (here, there)
            for here, there in pairs
            if here != there and here._replace(rounded_hours=there.rounded_hours) == there
        ]
        before = _roundings(here for here, there in pairs if here.hours == there.hours)
        now = _roundings(theirs.values())
        if not stale or not before or not now:
            return []
        words = f"time rounding was changed in Harvest from {before[0]} to {now[0]}"
        return [
            Finding(
                f"time entry {here.id} has {_shown(here.rounded_hours)} rounded hours here, "
                f"{_shown(there.rounded_hours)} in Harvest: {words}; --full-read renews them",
                is_known=True,
                rows=(here, there),
            )
            for here, there in stale
        ]


def _roundings(entries: Iterable[TimeEntry]) -> list[str]:
    """Return the settings that all entries may have been rounded by."""
    pairs = {(entry.hours, entry.reported_hours) for entry in entries}
    return [
        words for words, rule in ROUNDINGS.items() if all(_rounded(h, rule) == r for h, r in pairs)
    ]


def _rounded(hours: Decimal, rule: tuple[Decimal, str] | None) -> Decimal:
    if rule is None:
        return hours
    step, mode = rule
    return (hours / step).to_integral_value(mode) * step


def _only_hours(ours: TimeEntry, theirs: TimeEntry) -> bool:
    return (
        ours._replace(
            hours=theirs.hours, rounded_hours=theirs.rounded_hours, is_running=theirs.is_running
        )
        == theirs
    )


def _moment(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return None


def _within(window: Window) -> list[str]:
    if not window.first or not window.last:
        return []
    return [f"t.spent_date BETWEEN '{window.first}' AND '{window.last}'"]


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "nothing" if value is None else str(value)
