"""Whatever is done in Harvest and befalls the runs, the warehouse equals Harvest in the end.

Hypothesis draws sequences of edits, runs and mishaps. `make test` runs a few. To search for long:

    HARVEST_SEQUENCES=300 HARVEST_STEPS=25 .venv/bin/python -m pytest tests/test_property.py -x
"""

from __future__ import annotations

import copy
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import dlt
from dlt import Pipeline
from dlt.common.destination import Destination
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from harvest import ENDPOINTS, HarvestError, harvest_source
from harvest.errors import SuspiciousDeletionsError
from harvest.run import load
from harvest_sandbox import Sandbox
from harvest_sandbox.account import PARENTS, TABLES, Account, Record
from harvest_sandbox.clock import stamp
from harvest_sandbox.server import Request

from .conftest import EVER
from .truth import assert_equal, read

SEQUENCES, STEPS = os.environ.get("HARVEST_SEQUENCES"), os.environ.get("HARVEST_STEPS", "12")

TEXTS = (
    None, "", " ", "NULL", "\\N", "a\tb\\", "it's \"quoted\"; --", "E'\\x41'", "1\r\n2\n", "12",
    "🚀 é e\u0301", "2024-01-01", "2024-01-01T00:00:00Z", "1.50", '{"a": [1]}', "x" * 70_000,
)  # fmt: skip
"""Texts that a loader may take for something else."""

FIELDS = {
    "users": {"text": "telephone email avatar_url", "decimal": "cost_rate default_hourly_rate",
        "flag": "is_contractor", "list": "roles permissions_claims"},
    "clients": {"text": "address statement_key"},
    "contacts": {"text": "title email last_name"},
    "projects": {"text": "notes bill_by", "decimal": "budget fee", "day": "starts_on ends_on"},
    "tasks": {"decimal": "default_hourly_rate", "flag": "is_default"},
    "roles": {"text": "name"},
    "expense_categories": {"flag": "is_active"},
    "invoice_item_categories": {"text": "name", "flag": "use_as_service"},
    "estimate_item_categories": {"text": "name"},
    "time_entries": {"text": "notes started_time", "decimal": "rounded_hours cost_rate",
        "flag": "billable budgeted", "reference": "external_reference"},
    "expenses": {"text": "notes", "decimal": "total_cost units", "receipt": "receipt"},
    "invoices": {"text": "subject purchase_order", "decimal": "tax discount", "day": "due_date",
        "list": "payment_options", "items": "line_items"},
    "estimates": {"text": "subject notes", "decimal": "tax2", "items": "line_items"},
}  # fmt: skip
"""Fields that no other record nests a copy of, by what they hold."""

NAMES = {"clients": "name currency", "projects": "name code", "tasks": "name", "users": "last_name"}
"""Fields that other records nest copies of, which change without a stamp."""

DATED = {
    "time_entries": "spent_date",
    "expenses": "spent_date",
    "invoices": "issue_date",
    "estimates": "issue_date",
}

HOLDERS = {
    "clients": ("client", "projects invoices estimates"),
    "tasks": ("task", "time_entries"),
    "users": ("user", "time_entries expenses user_assignments"),
    "user_assignments": ("user_assignment", "time_entries expenses"),
    "task_assignments": ("task_assignment", "time_entries"),
}
"""What Harvest refuses to delete (§7): a table, the field that nests it, and where."""

CHILDREN = ("invoice_messages", "invoice_payments", "estimate_messages")


def value(kind: str, r: Random) -> Any:
    """Draw a field's value."""
    text = r.choice(TEXTS)
    reference = {"id": text, "group_id": "7", "account_id": None, "permalink": "p",
        "service": None, "service_icon_url": "i"}  # fmt: skip
    receipt = {"url": "u", "file_name": text, "file_size": 2**33, "content_type": "image/png"}
    drawn = {
        "text": text,
        "decimal": r.choice((None, Decimal(r.randrange(-(10**7), 10**7)).scaleb(-r.randrange(5)))),
        "flag": r.random() < 0.5,
        "day": r.choice((None, "1970-01-01", "2099-12-31", day(r))),
        "list": [text for text in r.sample(TEXTS, r.randrange(3)) if text],
        "items": [line_item(r) for _ in range(r.randrange(4))],
        "receipt": r.choice((None, receipt)),
        "reference": r.choice((None, reference)),
    }
    return drawn[kind]


def day(r: Random) -> str:
    """Draw one of a few days, so that many records share one."""
    return (date(2026, 3, 28) + timedelta(days=r.randrange(6))).isoformat()


def line_item(r: Random) -> Record:
    """Draw an item of an invoice or estimate."""
    return {
        "id": 2**40 + r.randrange(2**20), "kind": "Service", "description": r.choice(TEXTS),
        "quantity": Decimal(r.randrange(1, 400)) / 4, "unit_price": Decimal("0.535"),
        "amount": Decimal(r.randrange(10**6)) / 100, "taxed": r.random() < 0.5, "taxed2": False,
    }  # fmt: skip


class Editor:
    """Makes one edit of those that people make in Harvest.

    Args:
        account: Where.
        seed: Decides on records and values.
        scope: The tables that the warehouse has.
    """

    def __init__(self, account: Account, seed: int, scope: set[str]) -> None:
        self.account, self.scope = account, scope
        self.random = Random(seed)  # noqa: S311 - Hypothesis draws the seed

    def some(self, *tables: str) -> tuple[str, Record] | None:
        """Draw a table in scope and one of its records, if there is any."""
        held = [table for table in tables if table in self.scope and self.account.records[table]]
        if not held:
            return None
        table = self.random.choice(held)
        records = self.account.records[table]
        return table, records[self.random.choice(sorted(records))]

    def create(self) -> None:
        """Add a record like another one."""
        if drawn := self.some(*TABLES):
            record = copy.deepcopy(drawn[1])
            for name in ("id", "created_at", "updated_at"):
                del record[name]
            self.account.add(drawn[0], record)

    def edit(self, *, touch: bool = True) -> None:
        """Change some of a record's own fields."""
        if drawn := self.some(*FIELDS):
            table, record = drawn
            fields = [
                (kind, name) for kind, names in FIELDS[table].items() for name in names.split()
            ]
            chosen = self.random.sample(fields, self.random.randint(1, len(fields)))
            changes = {name: value(kind, self.random) for kind, name in chosen}
            self.account.update(table, record["id"], touch=touch, **changes)

    def commit_late(self) -> None:
        """Let a change appear with a stamp of some time ago (§9 point 7)."""
        if drawn := self.some("clients", "contacts", "time_entries", "invoices", "estimates"):
            table, record = drawn
            late = stamp(self.account.clock.now() - timedelta(seconds=45))
            field = {"clients": "address", "contacts": "title"}.get(table, "notes")
            changes: Record = {field: self.random.choice(TEXTS)}
            changes["updated_at"] = max(late, record["updated_at"])
            self.account.update(table, record["id"], touch=False, **changes)

    def move(self) -> None:
        """Give a record another day, and so another place in its list."""
        if drawn := self.some(*DATED):
            table, record = drawn
            # Some estimates are drafts, which have no date (§9 point 27).
            undated = table == "estimates" and self.random.random() < 0.2
            changes: Record = {DATED[table]: None if undated else day(self.random)}
            self.account.update(table, record["id"], **changes)

    def switch_timer(self) -> None:
        """Start or stop a timer."""
        if drawn := self.some("time_entries"):
            entry = drawn[1]
            running = not entry["is_running"]
            started = self.account.clock.stamp() if running else None
            hours = {"hours": entry["hours_without_timer"]} if running else {}
            changes = {"is_running": running, "timer_started_at": started, **hours}
            self.account.update("time_entries", entry["id"], **changes)

    def bill(self) -> None:
        """Invoice an entry or expense, or take it off its invoice."""
        if drawn := self.some("time_entries", "expenses"):
            table, record = drawn
            nested = None if record["invoice"] else {"id": 7, "number": str(self.random.random())}
            self.account.update(table, record["id"], invoice=nested, is_billed=nested is not None)

    def send(self) -> None:
        """Send a message."""
        r, drawn = self.random, self.some("invoices", "estimates")
        if drawn is None:
            return
        table, parent = drawn
        message = {
            "sent_by": "A", "sent_by_email": "a@example.com", "sent_from": "A", "subject": "S",
            "sent_from_email": "a@example.com", "body": r.choice(TEXTS), "send_me_a_copy": True,
            "recipients": [{"name": text, "email": "b@example.com"} for text in r.sample(TEXTS, 2)],
            "event_type": r.choice((None, "send", "view")),
        }  # fmt: skip
        if table == "invoices":
            message |= {
                "include_link_to_client_invoice": None, "attach_pdf": True, "thank_you": False,
                "reminder": False, "send_reminder_on": r.choice((None, day(r))),
            }  # fmt: skip
        self.account.add(f"{table[:-1]}_messages", message, parent["id"])

    def pay(self) -> None:
        """Record a payment."""
        r, drawn = self.random, self.some("invoices")
        if drawn:
            payment = {
                "amount": Decimal(r.randrange(1, 10**6)) / 100, "paid_date": day(r),
                "paid_at": self.account.clock.stamp(), "recorded_by": r.choice(TEXTS),
                "recorded_by_email": "a@example.com", "transaction_id": r.choice(TEXTS),
                "payment_gateway": {"id": r.choice((None, 5)), "name": r.choice(TEXTS)},
                "notes": None,
            }  # fmt: skip
            self.account.add("invoice_payments", payment, drawn[1]["id"])

    def edit_company(self) -> None:
        """Change the company, which has no stamp."""
        self.account.company["name"] = self.random.choice(TEXTS[1:])

    def set_rate(self) -> None:
        """Replace a user's rates, or add one from a day on."""
        if drawn := self.some("users"):
            table = self.random.choice(("user_billable_rates", "user_cost_rates"))
            start = self.random.choice((None, day(self.random)))
            self.account.set_rate(table, drawn[1]["id"], Decimal("0.485"), start)

    def delete_message(self) -> None:
        """Delete a message; its parent shows nothing of it (§6.2)."""
        if drawn := self.some("invoice_messages", "estimate_messages"):
            self.account.delete(drawn[0], drawn[1]["id"])

    def rename(self) -> None:
        """Change what other records nest a copy of."""
        if drawn := self.some(*NAMES):
            table, record = drawn
            changes = {self.random.choice(NAMES[table].split()): self.random.choice(TEXTS[1:])}
            self.account.update(table, record["id"], touch=self.random.random() < 0.5, **changes)

    def archive(self) -> None:
        """Archive or restore a record, and so lock or unlock time entries."""
        if drawn := self.some("clients", "projects", "tasks", "users"):
            table, record = drawn
            self.account.update(table, record["id"], is_active=not record["is_active"])

    def reassign(self) -> None:
        """Change an assignment, of which entries nest a copy."""
        if drawn := self.some("user_assignments", "task_assignments"):
            rate, active = value("decimal", self.random), self.random.random() < 0.5
            self.account.update(drawn[0], drawn[1]["id"], hourly_rate=rate, is_active=active)

    def edit_unstamped(self) -> None:
        """Change a record as bulk actions do."""
        self.edit(touch=False)

    def delete(self) -> None:
        """Delete what Harvest lets be deleted."""
        drawn = self.some(*TABLES, "invoice_messages", "invoice_payments", "estimate_messages")
        if drawn is None:
            return
        table, doomed = drawn
        if table == "users" and doomed["id"] == min(self.account.records["users"]):
            return  # the token's own user
        field, holders = HOLDERS.get(table, ("", ""))
        for holder in holders.split():
            if any(
                row[field]["id"] == doomed["id"] for row in self.account.records[holder].values()
            ):
                return
        self.account.delete(table, doomed["id"])


STAMPED = "create edit commit_late move switch_timer bill send pay edit_company".split()
CHILDRENS = "set_rate delete_message".split()
"""Found by reading all children of all parents."""
SILENT = "rename archive reassign edit_unstamped delete".split()
"""Found by a full read alone."""

Drawn = tuple[str, int, int]
"""An edit, its seed, and the seconds that pass before it."""


def drawn_edits(*names: str) -> st.SearchStrategy[Drawn]:
    """Draw one of some edits."""
    seconds = st.sampled_from([0, 1, 20, 61, 3_600])
    return st.tuples(st.sampled_from(names), st.integers(0, 2**20), seconds)


def several(*names: str) -> st.SearchStrategy[list[tuple[int, Drawn]]]:
    """Draw edits, each with the number of a request."""
    return st.lists(st.tuples(st.integers(1, 30), drawn_edits(*names)), min_size=1, max_size=10)


edits = several(*STAMPED) | several(*STAMPED, *CHILDRENS, *SILENT, "delete", "delete")
requests = st.integers(0, 30)
subsets = st.none() | st.sets(st.sampled_from([e.name for e in ENDPOINTS]), min_size=1)
faults = st.sampled_from(
    [("status", 500), ("status", 503), ("status", 429), ("drop", 0), ("truncate", 0),
        ("not_json", 0)]
)  # fmt: skip
SMALL_STEPS: Record = {
    "FIRST_STEP_RECORDS": 10,
    "FIRST_STEP_REQUESTS": 3,
    "STEP_RECORDS": 40,
    "STEP_REQUESTS": 20,
}
"""Settings that make a tiny account's history long."""

scopes = st.sampled_from(
    [
        "users user_billable_rates user_cost_rates roles company",
        "clients projects tasks task_assignments",
        "time_entries projects user_assignments",
        "expenses expense_categories estimates estimate_messages contacts",
        "invoices invoice_messages invoice_payments clients",
        "time_entries invoices estimates expenses projects",
        " ".join(endpoint.name for endpoint in ENDPOINTS),
    ]
)
"""Tables of the warehouse: a run takes as long as it has tables."""


class Warehouse(RuleBasedStateMachine):
    """A Harvest account, a pipeline that reads it, and a destination that must equal it."""

    home: Path
    destination: Destination[Any, Any]
    numbers = count()

    @initialize(
        seed=st.integers(1, 3),
        style=st.sampled_from([None, "page", "cursor"]),
        page_cap=st.sampled_from([7, 20, 50, 2000]),
        chain=st.sampled_from([8_000, 10, 30]),
        exclusive=st.booleans(),
        undated_first=st.booleans(),
        hours=st.sampled_from([0, -7, 7]),
        crowded=st.booleans(),
        children=st.sampled_from(["complete", "complete", "changed"]),
        in_steps=st.booleans(),
        scope=scopes,
    )
    def open(
        self,
        *,
        seed: int,
        style: str | None,
        page_cap: int,
        chain: int,
        exclusive: bool,
        undated_first: bool,
        hours: int,
        crowded: bool,
        children: str,
        in_steps: bool,
        scope: str,
    ) -> None:
        """Open an account whose behaviour is one of those that Harvest leaves open."""
        self.sandbox = Sandbox(
            "tiny",
            seed,
            rate_limit=None,
            styles=style,
            page_cap=page_cap,
            updated_since_exclusive=exclusive,
            undated_first=undated_first,
        )
        self.account, self.clock = self.sandbox.account, self.sandbox.clock
        self.clock.speed = 0  # moments are drawn, so that a sequence can be repeated
        self.clock.shift(hours=hours)
        self.sandbox.__enter__()
        self.name = f"property_{next(self.numbers)}"
        self.children, self.scope = children, set(scope.split())
        self.stale = self.pending = False
        self.in_steps = in_steps
        self.patches = ExitStack()
        self.patches.enter_context(mock.patch("harvest.listing.CHAIN_RECORDS", chain))
        if in_steps:
            self.patches.enter_context(mock.patch("harvest.listing.CHAINS", 2))
            self.patches.enter_context(mock.patch.multiple("harvest.feed", **SMALL_STEPS))
        if crowded:
            r = Random(seed)  # noqa: S311 - a seeded agency
            for table, field in DATED.items():
                for record in self.account.rows(table):
                    changes: Record = {field: day(r)}
                    self.account.update(table, record["id"], touch=False, **changes)

    def teardown(self) -> None:
        """Demand equality once more, and close the account."""
        if not hasattr(self, "patches"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._run_quiet(full=True)
        finally:
            self.patches.close()
            self.sandbox.__exit__()

    @rule(drawn=edits)
    def change(self, drawn: list[tuple[int, Drawn]]) -> None:
        """Edit between two runs."""
        for _, each in drawn:
            self._edit(*each)

    @rule(plan=edits, full=st.booleans(), tables=subsets, fault=st.none() | faults, at=requests)
    def run_disturbed(
        self,
        *,
        plan: list[tuple[int, Drawn]],
        full: bool,
        tables: set[str] | None,
        fault: tuple[str, int] | None,
        at: int,
    ) -> None:
        """Run while Harvest is edited, and perhaps answers badly once."""
        if fault:
            self.sandbox.fault(fault[0], status=fault[1], after=at)
        with self._edited(plan):
            self._run(full=full, tables=tables)

    @rule(full=st.booleans(), tables=subsets, at=requests)
    def run_refused(self, *, full: bool, tables: set[str] | None, at: int) -> None:
        """Run into an error; a step that fails while it reads changes nothing."""
        self.sandbox.fault("status", status=422, after=at)
        before = None if self.pending or self.in_steps else self._rows()
        if not self._run(full=full, tables=tables) and before is not None:
            assert self._rows() == before

    @rule(plan=edits, full=st.booleans(), normalized=st.booleans(), moved=st.booleans())
    def run_broken_off(
        self, *, plan: list[tuple[int, Drawn]], full: bool, normalized: bool, moved: bool
    ) -> None:
        """Lose power between two steps of a run; keep the disk, or move to a new machine."""
        pipeline = self._pipeline()
        if not pipeline.has_pending_data:  # dlt would extract a second package
            with self._edited(plan):
                try:
                    source = harvest_source(**self._settings(full=full))
                    pipeline.extract(source.with_resources(*self.scope))
                except Exception as error:  # noqa: BLE001 - dlt wraps what the source raised
                    _assert_expected(error)
                    return
            if normalized:
                pipeline.normalize()
            self.pending = True
        if moved:
            shutil.rmtree(self.home / self.name, ignore_errors=True)
            self.pending = False

    @rule()
    def run_full(self) -> None:
        """Read everything in quiet times: the warehouse equals Harvest."""
        self._run_quiet(full=True)
        self.stale = False

    @precondition(lambda self: not self.stale)
    @rule()
    def run(self) -> None:
        """Read what changed in quiet times: it does too, if every change was stamped."""
        self._run_quiet(full=False)

    def _run_quiet(self, *, full: bool) -> None:
        try:
            load(self._pipeline(), *self.scope, **self._settings(full=full))
        except SuspiciousDeletionsError as error:
            event("suspicious deletions")
            held = {_key(row) for row in read(self._pipeline(), error.endpoint)}
            gone = held - {_key(row) for row in self.account.truth(error.endpoint)}
            assert len(gone) * 2 > len(held)
            settings = self._settings(full=full, confirm_deletions=True)
            load(self._pipeline(), *self.scope, **settings)
        self.pending = False
        assert_equal(self._pipeline(), self.sandbox, *self.scope)

    def _run(self, *, full: bool, tables: set[str] | None) -> bool:
        """Run, and return whether it ended well."""
        try:
            chosen = (tables or self.scope) & self.scope or self.scope
            load(self._pipeline(), *chosen, **self._settings(full=full))
        except HarvestError as error:
            event(f"failed: {type(error).__name__}")
            return False
        else:
            return True
        finally:
            self.pending = self._pipeline().has_pending_data
            self.sandbox.faults.clear()

    def _edit(self, name: str, seed: int, seconds: int) -> None:
        with self.account.lock:
            self.clock.shift(seconds=seconds)
            getattr(Editor(self.account, seed, self.scope), name)()
            seen = (*STAMPED, *(CHILDRENS if self.children == "complete" else ()))
            self.stale |= name not in seen

    @contextmanager
    def _edited(self, plan: list[tuple[int, Drawn]]) -> Iterator[None]:
        """Make edits just before some of the coming requests are answered."""
        begun = len(self.sandbox.log)

        def before(number: int, _: Request) -> None:
            for at, drawn in plan:
                if begun + at == number:
                    self._edit(*drawn)

        self.sandbox.before_request = before
        try:
            yield
        finally:
            self.sandbox.before_request = None

    def _pipeline(self) -> Pipeline:
        """Return the pipeline as a new process finds it."""
        return dlt.pipeline(
            self.name,
            pipelines_dir=str(self.home),
            destination=self.destination,
            dataset_name=self.name,
        )

    def _settings(self, *, full: bool, confirm_deletions: bool = False) -> dict[str, Any]:
        return {
            "api_key": self.sandbox.token,
            "account_id": str(self.sandbox.account_id),
            "base_url": self.sandbox.base_url,
            "anchor_date": EVER,
            "rate_limit": 100_000,
            "full_read": full,
            "children": self.children,
            "confirm_deletions": confirm_deletions,
        }

    def _rows(self) -> dict[str, list[str]]:
        pipeline = self._pipeline()
        pipeline.sync_destination()  # a new machine learns what was loaded
        if not pipeline.default_schema_name:
            return {}
        tables = pipeline.default_schema.data_table_names(seen_data_only=True)
        return {table: sorted(map(repr, read(pipeline, table))) for table in tables}


def _assert_expected(error: BaseException) -> None:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, HarvestError):
            return
        link = link.__cause__ or link.__context__
    raise error


def _key(row: Record) -> tuple[Any, ...]:
    return (*(row[key] for key in PARENTS if key in row), row["id"])


def check(home: Path, destination: Destination[Any, Any], sequences: int) -> None:
    """Let Hypothesis look for a sequence that ends with a difference."""
    machine = type("Machine", (Warehouse,), {"home": home, "destination": destination})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(SEQUENCES or sequences),
            stateful_step_count=int(STEPS),
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink]
            if "HARVEST_SHRINK" in os.environ
            else [Phase.generate],
        ),
    )


def test_duckdb(tmp_path: Path) -> None:
    """DuckDB holds what Harvest holds, after any sequence of edits, runs and mishaps."""
    check(tmp_path, dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb")), 5)


def test_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Postgres holds what Harvest holds, after any sequence of edits, runs and mishaps."""
    check(tmp_path, dlt.destinations.postgres(postgres_url), 3)
