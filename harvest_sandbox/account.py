"""The account: records, edits, selections and the truth. It knows no HTTP."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from threading import RLock
from typing import Any, Literal

from .clock import Clock

Record = dict[str, Any]
Order = Literal["listed", "newest"]
"""As documented, or by id, newest first: the order of cursors."""

CHILDREN = {
    "invoice_messages": "invoice_id",
    "invoice_payments": "invoice_id",
    "estimate_messages": "estimate_id",
    "user_billable_rates": "user_id",
    "user_cost_rates": "user_id",
}
"""Tables whose records name their parent only by the path they are read from."""

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
"""Lists in the order of a business date, newest first."""

NESTED = {
    "client": "clients",
    "project": "projects",
    "task": "tasks",
    "user": "users",
    "creator": "users",
    "expense_category": "expense_categories",
    "user_assignment": "user_assignments",
    "task_assignment": "task_assignments",
    "invoice": "invoices",
    "estimate": "estimates",
}
"""Fields that hold a copy of another table's record."""

LOCKING = {"clients": "client", "projects": "project", "tasks": "task", "users": "user"}
"""Tables whose archived records lock time entries, and the entry's field."""

RATES = ("user_billable_rates", "user_cost_rates")
"""Lists in the order of their start, oldest first."""

WRITTEN = "record {} was changed other than by Account.update: its lists are wrong"

EVER = (0, 99_999_999)

FIRST_ID = 3_000_000_000
"""Ids are above this one, and so beyond 32 bits, as Harvest's newer ids are."""


@dataclass(frozen=True)
class Scope:
    """The users and projects whose rows a reader who is no administrator sees."""

    users: frozenset[int]
    projects: frozenset[int] = frozenset()

    def holds(self, table: str, record: Record) -> bool:
        """Tell whether the record is of one of the users or projects."""
        user = record["id"] if table == "users" else record.get("user", {}).get("id")
        project = record["id"] if table == "projects" else record.get("project", {}).get("id")
        return user in self.users or project in self.projects


@dataclass(frozen=True)
class Query:
    """What a list is asked for.

    Args:
        table: The list.
        parent_id: For children: whose.
        order: The order in which the records are read.
        since: The first `updated_at` that passes.
        days: The first and the last business day that pass, as numbers like 20261231.
        equal: Paths into a record and the value that stands there; lists pass with any item.
        scope: Whose rows only.
        undated_first: Whether records without a business day come first.
    """

    table: str
    parent_id: int | None = None
    order: Order = "listed"
    since: str = ""
    days: tuple[int, int] = EVER
    equal: tuple[tuple[tuple[str, ...], Any], ...] = ()
    scope: Scope | None = None
    undated_first: bool = False


class _Index:
    """Records kept sorted by a key, each found by bisection."""

    def __init__(self, rows: list[Record], key: Callable[[Record], Any]) -> None:
        self.rows, self.key = rows, key

    def add(self, record: Record) -> None:
        insort(self.rows, record, key=self.key)

    def remove(self, record: Record) -> None:
        place = bisect_left(self.rows, self.key(record), key=self.key)
        if self.rows[place : place + 1] != [record]:
            raise RuntimeError(WRITTEN.format(record["id"]))
        del self.rows[place]


class Account:
    """Records by table and id. Each call is atomic.

    Edits go through `add`, `update` and `delete`: they keep the sorted lists and nested copies.
    """

    def __init__(self, clock: Clock | None = None, first_id: int = FIRST_ID) -> None:
        self.clock = clock or Clock()
        self.lock = RLock()
        self.company: Record = {}
        self.teammates: dict[int, set[int]] = {}
        self.absent: dict[str, set[str]] = {}
        self.records: dict[str, dict[int, Record]] = {name: {} for name in (*TABLES, *CHILDREN)}
        self.parent_of: dict[str, dict[int, int]] = {name: {} for name in CHILDREN}
        self._children: dict[str, dict[int, dict[int, Record]]] = {name: {} for name in CHILDREN}
        self._copies: dict[tuple[str, int], dict[tuple[str, ...], Record]] = {}
        self._indexes: dict[str, dict[str, _Index]] = {name: {} for name in self.records}
        self._answers: dict[str, dict[Query, _Index]] = {name: {} for name in self.records}
        self._last_id = first_id
        self._derived = {
            "user_project_assignments": self._project_assignments,
            "user_teammates": self._teammates,
        }

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
            self._nest(record)
            self.records[table][record["id"]] = record
            self._enlist(table, record)
            if parent_id is not None:
                self.parent_of[table][record["id"]] = parent_id
                self._children[table].setdefault(parent_id, {})[record["id"]] = record
            self._follow_addition(table, record, parent_id)
            return record

    def update(self, table: str, record_id: int, *, touch: bool = True, **fields: Any) -> Record:
        """Change a record; `touch=False` leaves its stamp, as some of Harvest's changes do."""
        with self.lock:
            record = self.records[table][record_id]
            if touch:
                fields["updated_at"] = self.clock.stamp()
            self._unlist(table, record)
            record.update(fields)
            self._nest(record)
            self._enlist(table, record)
            for copied, copy in self._copies.get((table, record_id), {}).items():
                copy.update(self._source(table, record_id, copied))
            if "is_active" in fields and table in LOCKING:
                self._lock_entries(LOCKING[table], record_id)
            return record

    def delete(self, table: str, record_id: int) -> None:
        """Remove a record and what goes with it, without a trace."""
        with self.lock:
            record = self.records[table][record_id]
            self._unlist(table, record)
            del self.records[table][record_id]
            for child, key in CHILDREN.items():
                if PARENTS[key] == table:
                    for child_id in list(self._children[child].pop(record_id, {})):
                        self.delete(child, child_id)
            if table in CHILDREN:
                parent_id = self.parent_of[table].pop(record_id)
                self._children[table].get(parent_id, {}).pop(record_id, None)
                if table == "invoice_payments":
                    self._owe(parent_id, record.get("amount", 0))
            if table == "projects":
                for facts in ("time_entries", "expenses"):
                    query = Query(facts, equal=((("project", "id"), record_id),))
                    for row in list(self.select(query)):
                        self.delete(facts, row["id"])

    def set_rate(
        self, table: str, user_id: int, amount: Decimal, start_date: str | None = None
    ) -> Record:
        """Set a user's rate: from a day on, or in place of all there were."""
        with self.lock:
            last: Record | None = None
            for rate in self.rows(table, user_id):
                if start_date is None or (rate["start_date"] or "") >= start_date:
                    self.delete(table, rate["id"])
                else:
                    last = rate
            if last and start_date:
                day = datetime.fromisoformat(start_date).toordinal() - 1
                end = datetime.fromordinal(day).date().isoformat()
                self.update(table, last["id"], end_date=end)
            fields = {"amount": amount, "start_date": start_date, "end_date": None}
            return self.add(table, fields, user_id)

    def rows(self, table: str, parent_id: int | None = None) -> list[Record]:
        """Return a table's records in the order in which Harvest lists them."""
        return list(self.select(Query(table, parent_id)))

    def select(self, query: Query) -> list[Record]:
        """Return the records of a list; the list is the account's own and must not be changed."""
        with self.lock:
            if query.parent_id is not None:
                return self._select(query)
            if query == Query(query.table, order=query.order):
                return self._index(query.table, query.order).rows
            answers = self._answers[query.table]
            if query not in answers:
                if len(answers) == 32:
                    answers.clear()
                key = order_of(query.table, query.order, undated_first=query.undated_first)
                answers[query] = _Index(list(self._select(query)), key)
            return answers[query].rows

    def shown(self, table: str, record: Record) -> Record:
        """Return a record as a reader sees it now: a running timer's hours grow."""
        if table == "time_entries" and record["is_running"]:
            started = datetime.fromisoformat(record["timer_started_at"].replace("Z", "+00:00"))
            hours = Decimal(int((self.clock.now() - started).total_seconds())) / 3600
            record = {**record, "hours": round(record["hours_without_timer"] + hours, 2)}
        if absent := self.absent.get(table):
            record = {key: value for key, value in record.items() if key not in absent}
        return record

    def truth(self, table: str) -> list[Record]:
        """Return all that an administrator's full read of a table gives, parents' ids added."""
        with self.lock:
            if table == "company":
                return [_copied(self.company)]
            if derived := self._derived.get(table):
                return [
                    {**_copied(self.shown(table, row)), "user_id": user_id}
                    for user_id in self.records["users"]
                    for row in derived(user_id)
                ]
            rows = [_copied(self.shown(table, row)) for row in self.records[table].values()]
            if key := CHILDREN.get(table):
                for row in rows:
                    row[key] = self.parent_of[table][row["id"]]
            return rows

    def warm(self) -> None:
        """Sort every list now, so that no reader waits for it."""
        for table in TABLES:
            for order in ("listed", "newest", "stamped"):
                self._index(table, order)

    def _index(self, table: str, order: str) -> _Index:
        """Return a table's sorted list; edits keep it from its first use on."""
        indexes = self._indexes[table]
        if order not in indexes:
            key = order_of(table, order)
            indexes[order] = _Index(sorted(self.records[table].values(), key=key), key)
        return indexes[order]

    def _enlist(self, table: str, record: Record) -> None:
        for index in self._lists(table, record):
            index.add(record)

    def _unlist(self, table: str, record: Record) -> None:
        for index in self._lists(table, record):
            index.remove(record)

    def _lists(self, table: str, record: Record) -> Iterator[_Index]:
        """Yield the sorted lists that hold a record as it is now."""
        yield from self._indexes[table].values()
        for query, answer in self._answers[table].items():
            first, last = query.days
            if query.days != EVER and not max(first, 1) <= _day(table, record) <= last:
                continue
            if _filtered([record], query, query.since):
                yield answer

    def _select(self, query: Query) -> list[Record]:
        table, key = query.table, order_of(query.table, query.order)
        sort, since = True, query.since
        if query.parent_id is not None:
            if derived := self._derived.get(table):
                rows = derived(query.parent_id)
            else:
                rows = list(self._children[table].get(query.parent_id, {}).values())
        elif query.days != EVER:
            index = self._index(table, "listed")
            first, last = query.days
            start = bisect_left(index.rows, -last, key=lambda row: -_day(table, row))
            stop = bisect_right(index.rows, -max(first, 1), key=lambda row: -_day(table, row))
            rows, sort = index.rows[start:stop], query.order != "listed"
        else:
            # What filters walk through lies in memory by id, and sorting what passes is cheaper.
            sort = bool(query.equal)
            rows = self._index(table, "newest" if sort else query.order).rows
            if query.since:
                stamped = self._index(table, "stamped").rows
                start = bisect_left(stamped, query.since, key=lambda row: str(row["updated_at"]))
                if start == 0:
                    since = ""
                elif (len(rows) - start) * 4 < len(rows):
                    rows, sort = stamped[start:], True
        rows = _filtered(rows, query, since)
        if sort:
            rows = sorted(rows, key=key)
        if query.undated_first and query.order == "listed" and (date := DATE_ORDER.get(table)):
            rows = sorted(rows, key=lambda row: row[date] is not None)
        return rows

    def _project_assignments(self, user_id: int) -> list[Record]:
        """Return a user's active assignments, each with its project and the project's tasks.

        Whether the project's archived tasks are among them is not documented: they are.
        """
        projects = self.records["projects"]
        mine = [
            row
            for row in self.records["user_assignments"].values()
            if row["user"]["id"] == user_id
            and row["is_active"]
            and row["project"]["id"] in projects
        ]
        tasks: dict[int, list[Record]] = {row["project"]["id"]: [] for row in mine}
        for row in self.records["task_assignments"].values():
            if row["project"]["id"] in tasks:
                its = {key: value for key, value in row.items() if key != "project"}
                tasks[row["project"]["id"]].append(its)
        rows = []
        for row in mine:
            project = projects[row["project"]["id"]]
            rows.append(
                {
                    **{key: value for key, value in row.items() if key != "user"},
                    "project": {key: project[key] for key in ("id", "name", "code", "is_billable")},
                    "client": project["client"],
                    "task_assignments": tasks[project["id"]],
                }
            )
        return rows

    def _teammates(self, user_id: int) -> list[Record]:
        """Return a manager's teammates; nobody else has any."""
        users = self.records["users"]
        if "manager" not in users.get(user_id, {}).get("access_roles", ()):
            return []
        return [
            {key: users[mate][key] for key in ("id", "first_name", "last_name", "email")}
            for mate in self.teammates.get(user_id, ())
            if mate in users
        ]

    def _nest(self, record: Record) -> None:
        """Let nested copies be shared, so that a change of their source shows in all."""
        for field, table in NESTED.items():
            if value := record.get(field):
                record[field] = self._shared(table, value)
        for item in record.get("line_items", ()):
            if value := item.get("project"):
                item["project"] = self._shared("projects", value)

    def _shared(self, table: str, value: Record) -> Record:
        """Return the one copy of this shape, or the value itself where nothing is known of it."""
        source, shape = self.records[table].get(value["id"]), tuple(value)
        if source is None or not source.keys() | {"name"} >= value.keys():
            return value
        copies = self._copies.setdefault((table, value["id"]), {})
        if shape not in copies:
            copies[shape] = {**value, **self._source(table, value["id"], shape)}
        return copies[shape]

    def _source(self, table: str, record_id: int, shape: tuple[str, ...]) -> Record:
        """Return what a copy of this shape shows of its source now."""
        source = self.records[table][record_id]
        if table == "users":
            source = {**source, "name": f"{source['first_name']} {source['last_name']}"}
        return {key: source[key] for key in shape if key in source}

    def _follow_addition(self, table: str, record: Record, parent_id: int | None) -> None:
        """Do to other records what a new one does."""
        created = record["created_at"]
        if table in ("invoices", "contacts") and record.get("client"):
            self._stamp("clients", record["client"]["id"], created)
        if parent_id is None:
            return
        if table == "invoice_payments":
            self._stamp("invoices", parent_id, created)
            self._owe(parent_id, -record.get("amount", 0), record)
        if table in ("invoice_messages", "estimate_messages"):
            parents = PARENTS[CHILDREN[table]]
            mailed = record.get("event_type") in (None, "send")
            sent = {"sent_at": created} if mailed else {}
            self._stamp(parents, parent_id, created, **sent)

    def _stamp(self, table: str, record_id: int, stamp: str, **fields: Any) -> None:
        """Stamp a record with a moment, if it is later than its last one."""
        if record := self.records[table].get(record_id):
            later = max(stamp, record["updated_at"])
            self.update(table, record_id, touch=False, updated_at=later, **fields)

    def _owe(self, invoice_id: int, change: Decimal | int, payment: Record | None = None) -> None:
        """Change what is owed for an invoice, without a stamp, and its state with it."""
        invoice = self.records["invoices"].get(invoice_id)
        if invoice is None or invoice.get("due_amount") is None:
            return
        fields: Record = {"due_amount": invoice["due_amount"] + change}
        if payment and fields["due_amount"] <= 0:
            fields |= {
                "state": "paid",
                "paid_at": payment.get("paid_at"),
                "paid_date": payment.get("paid_date"),
            }
        elif fields["due_amount"] > 0 and invoice.get("state") == "paid":
            fields |= {"state": "open", "paid_at": None, "paid_date": None}
        self.update("invoices", invoice_id, touch=False, **fields)

    def lock_reason(self, entry: Record) -> str | None:
        """Return why a time entry is locked by what it belongs to, if it is."""
        for table, field in LOCKING.items():
            if not self.records[table].get(entry[field]["id"], {}).get("is_active", True):
                return f"Item Locked: Archived {field.title()}"
        return None

    def _lock_entries(self, field: str, record_id: int) -> None:
        """Lock or unlock time entries after archiving; they are not stamped."""
        for entry in self.select(Query("time_entries", equal=(((field, "id"), record_id),))):
            if not entry.get("is_billed") and not entry.get("is_closed"):
                reason = self.lock_reason(entry)
                entry |= {"is_locked": reason is not None, "locked_reason": reason}


def _day(table: str, record: Record) -> int:
    """Return the business day that a list is ordered by as a number; 0 where there is none."""
    date = record[DATE_ORDER[table]]
    return int(date.replace("-", "")) if date else 0


def order_of(table: str, order: str, *, undated_first: bool = False) -> Callable[[Record], Any]:
    """Return the key that sorts a list as it is read."""
    if order == "stamped":
        return lambda row: (row["updated_at"], row["id"])
    if order == "listed" and table in DATE_ORDER:
        undated = EVER[1] if undated_first else 0
        return lambda row: (-(_day(table, row) or undated), -row["id"])
    if table in RATES:
        return lambda row: (row["start_date"] or "", row["id"])
    return lambda row: -row["id"]


def _filtered(rows: list[Record], query: Query, since: str) -> list[Record]:
    """Return the records that pass a query's filters other than its days."""
    if since:
        rows = [row for row in rows if row["updated_at"] >= since]
    for path, value in query.equal:
        rows = _where(rows, path, value)
    if query.scope:
        rows = [row for row in rows if query.scope.holds(query.table, row)]
    return rows


def _where(rows: list[Record], path: tuple[str, ...], value: Any) -> list[Record]:
    """Return the records that hold a value; plain loops, since they run over whole tables."""
    if len(path) == 1:
        return [row for row in rows if row.get(path[0]) == value]
    if len(path) == 2:
        field, key = path
        return [row for row in rows if (row.get(field) or {}).get(key) == value]
    items, *below = path
    return [row for row in rows if _where(row.get(items) or [], tuple(below), value)]


def _copied(value: Any) -> Any:
    """Return a copy all the way down."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value
