"""The account: records, edits and the truth. It knows no HTTP.

Sections (§) are those of the notes on Harvest's API that the README names.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from threading import RLock
from typing import Any

Record = dict[str, Any]

CHILDREN = {
    "invoice_messages": "invoice_id",
    "invoice_payments": "invoice_id",
    "estimate_messages": "estimate_id",
    "user_billable_rates": "user_id",
    "user_cost_rates": "user_id",
}
"""Tables whose records name their parent only by the path they are read from (§6.1)."""

PARENTS = {"invoice_id": "invoices", "estimate_id": "estimates", "user_id": "users"}

TABLES = (
    "users clients contacts projects tasks roles user_assignments task_assignments "
    "expense_categories invoice_item_categories estimate_item_categories time_entries expenses "
    "invoices estimates"
).split()

DATE_ORDER = {
    "time_entries": "spent_date",
    "expenses": "spent_date",
    "invoices": "issue_date",
    "estimates": "issue_date",
}
"""Lists in pages, newest business date first (§3.3)."""


class Clock:
    """Harvest's clock, which may be shifted against ours."""

    def __init__(self) -> None:
        self._shift = timedelta()

    def now(self) -> datetime:
        """Return the moment (UTC)."""
        return datetime.now(timezone.utc) + self._shift

    def shift(self, **delta: float) -> None:
        """Move the clock by a `timedelta`."""
        self._shift += timedelta(**delta)

    def stamp(self) -> str:
        """Return the moment in Harvest's form: whole seconds (§1.4)."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")


class Account:
    """Records by table and id. Each call is atomic."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.lock = RLock()
        self.company: Record = {}
        self.records: dict[str, dict[int, Record]] = {name: {} for name in (*TABLES, *CHILDREN)}
        self.parent_of: dict[str, dict[int, int]] = {name: {} for name in CHILDREN}
        self._last_id = 3_000_000_000  # beyond 32 bits, as Harvest's newer ids are (§1.4)

    def new_id(self) -> int:
        """Return an id above all others."""
        self._last_id += 7
        return self._last_id

    def add(self, table: str, record: Record, parent_id: int | None = None) -> Record:
        """Put a record in, stamped now where it carries no stamps."""
        with self.lock:
            record = {"id": self.new_id(), **record}
            record.setdefault("created_at", self.clock.stamp())
            record.setdefault("updated_at", record["created_at"])
            self.records[table][record["id"]] = record
            if parent_id is not None:
                self.parent_of[table][record["id"]] = parent_id
                parents = PARENTS[CHILDREN[table]]
                if table in ("invoice_payments", "invoice_messages", "estimate_messages"):
                    # A payment or message stamps its parent (§6.2).
                    self.records[parents][parent_id]["updated_at"] = record["created_at"]
            return record

    def update(self, table: str, record_id: int, *, touch: bool = True, **fields: Any) -> Record:
        """Change a record; `touch=False` leaves its stamp, as some of Harvest's changes do."""
        with self.lock:
            record = self.records[table][record_id]
            record.update(fields)
            if touch:
                record["updated_at"] = self.clock.stamp()
            return record

    def delete(self, table: str, record_id: int) -> None:
        """Remove a record and what goes with it, without a trace (§7)."""
        with self.lock:
            del self.records[table][record_id]
            for child, key in CHILDREN.items():
                if PARENTS[key] == table:
                    doomed = [i for i, p in self.parent_of[child].items() if p == record_id]
                    for child_id in doomed:
                        self.delete(child, child_id)
            self.parent_of.get(table, {}).pop(record_id, None)
            if table == "projects":
                for facts in ("time_entries", "expenses"):
                    rows = self.records[facts]
                    for row in [r for r in rows.values() if r["project"]["id"] == record_id]:
                        self.delete(facts, row["id"])

    def rows(self, table: str, parent_id: int | None = None) -> list[Record]:
        """Return a table's records in the order in which Harvest lists them (§3.3)."""
        with self.lock:
            rows: Iterator[Record] = iter(self.records[table].values())
            if parent_id is not None:
                of = self.parent_of[table]
                rows = (row for row in rows if of[row["id"]] == parent_id)
            date = DATE_ORDER.get(table)
            if date:
                return sorted(rows, key=lambda r: (r[date] or "", r["id"]), reverse=True)
            return sorted(rows, key=lambda r: int(r["id"]), reverse=True)

    def shown(self, table: str, record: Record) -> Record:
        """Return a record as a reader sees it now: a running timer's hours grow (§6.2)."""
        if table == "time_entries" and record["is_running"]:
            started = datetime.fromisoformat(record["timer_started_at"].replace("Z", "+00:00"))
            hours = Decimal(int((self.clock.now() - started).total_seconds())) / 3600
            return {**record, "hours": round(record["hours_without_timer"] + hours, 2)}
        return record

    def truth(self, table: str) -> list[Record]:
        """Return all that an administrator's full read of a table gives, parents' ids added."""
        with self.lock:
            if table == "company":
                return [copy.deepcopy(self.company)]
            rows = [copy.deepcopy(self.shown(table, row)) for row in self.records[table].values()]
            if key := CHILDREN.get(table):
                for row in rows:
                    row[key] = self.parent_of[table][row["id"]]
            return rows
