"""Makes the edits that people make in Harvest, drawn at random."""

from __future__ import annotations

import copy
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from harvest_sandbox.account import TABLES, Account, Record
from harvest_sandbox.clock import stamp

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
"""What Harvest refuses to delete: a table, the field that nests it, and where."""


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
        """Let a change appear with a stamp of some time ago."""
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
            # Some estimates are drafts, which have no date.
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
        """Delete a message; its parent shows nothing of it."""
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
