"""What a change does to other records."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest

from harvest_sandbox import Sandbox
from harvest_sandbox.account import EVER, Order, Query

from .asking import ask, ids, line_project, read


def test_live_names(sandbox: Sandbox) -> None:
    """A new name shows in every nested copy at once, and stamps only its own record."""
    account = sandbox.account
    entry = account.truth("time_entries")[-1]
    names = {"client": "Neu", "project": "Nouveau", "task": "Новая"}
    for field, name in names.items():
        account.update(f"{field}s", entry[field]["id"], name=name)
    account.update("users", entry["user"]["id"], first_name="Ny", last_name="Åse")
    account.update("task_assignments", entry["task_assignment"]["id"], billable=False)
    seen = ask(sandbox, f"time_entries/{entry['id']}").json()
    assert {field: seen[field]["name"] for field in names} == names
    assert seen["user"]["name"] == "Ny Åse"
    assert seen["task_assignment"]["billable"] is False
    assert seen["updated_at"] == entry["updated_at"]
    assert seen["project"] in [row["project"] for row in account.truth("time_entries")]
    account.update("projects", line_project(sandbox), name="On a line")
    items = [item for row in read(sandbox, "invoices") for item in row["line_items"]]
    assert "On a line" in {item["project"]["name"] for item in items if item["project"]}
    added = account.add("contacts", {"client": {"id": entry["client"]["id"], "name": "old"}})
    assert added["client"]["name"] == "Neu"


def test_payment(sandbox: Sandbox) -> None:
    """A payment stamps its invoice and pays it; its deletion undoes that without a stamp."""
    account = sandbox.account
    invoice = next(row for row in account.truth("invoices") if row["due_amount"] > 0)
    path = f"invoices/{invoice['id']}"
    details = {"paid_at": "2024-05-01T00:00:00Z", "paid_date": "2024-05-01"}
    part = {"amount": Decimal("0.01"), **details}
    first = account.add("invoice_payments", part, invoice["id"])
    seen = ask(sandbox, path).json(parse_float=Decimal)
    assert seen["due_amount"] == invoice["due_amount"] - Decimal("0.01")
    assert seen["updated_at"] == first["created_at"]
    assert seen["state"] == invoice["state"]
    rest = account.add("invoice_payments", {"amount": seen["due_amount"], **details}, seen["id"])
    paid = ask(sandbox, path).json()
    assert (paid["state"], paid["due_amount"], paid["paid_date"]) == ("paid", 0, "2024-05-01")
    sandbox.clock.shift(hours=1)
    account.delete("invoice_payments", rest["id"])
    seen = ask(sandbox, path).json(parse_float=Decimal)
    assert (seen["state"], seen["due_amount"]) == ("open", rest["amount"])
    assert seen["updated_at"] == paid["updated_at"]
    assert ids(read(sandbox, f"{path}/payments")) == [first["id"]]


@pytest.mark.parametrize("table", ["invoices", "estimates"])
def test_message(sandbox: Sandbox, table: str) -> None:
    """A message sent stamps its parent and its `sent_at`."""
    parent = sandbox.account.rows(table)[0]["id"]
    message = sandbox.account.add(f"{table[:-1]}_messages", {"event_type": None}, parent)
    seen = ask(sandbox, f"{table}/{parent}").json()
    assert seen["sent_at"] == seen["updated_at"] == message["created_at"]


@pytest.mark.parametrize("table", ["invoices", "contacts"])
def test_client_stamped(sandbox: Sandbox, table: str) -> None:
    """A new invoice or contact stamps its client."""
    model = sandbox.account.rows(table)[0]
    model = {k: v for k, v in model.items() if k not in ("id", "created_at", "updated_at")}
    added = sandbox.account.add(table, model)
    client = ask(sandbox, f"clients/{added['client']['id']}").json()
    assert client["updated_at"] == added["created_at"]


def test_archived_project(sandbox: Sandbox) -> None:
    """An archived project stays in the list and locks its entries, which get no stamp."""
    account = sandbox.account
    entry = next(row for row in account.truth("time_entries") if not row["is_locked"])
    path = f"time_entries/{entry['id']}"
    account.update("projects", entry["project"]["id"], is_active=False)
    seen = ask(sandbox, path).json()
    assert seen["is_locked"]
    assert seen["locked_reason"]
    assert seen["updated_at"] == entry["updated_at"]
    assert entry["project"]["id"] in ids(read(sandbox, "projects"))
    account.update("projects", entry["project"]["id"], is_active=True)
    assert not ask(sandbox, path).json()["is_locked"]


def test_deleted_project(sandbox: Sandbox) -> None:
    """A deleted project takes its entries and expenses along, and nothing tells of them."""
    account = sandbox.account
    project = account.rows("expenses")[0]["project"]["id"]
    account.delete("projects", project)
    assert ask(sandbox, f"projects/{project}").status_code == 404
    for table in ("time_entries", "expenses"):
        rows = read(sandbox, table)
        assert len(rows) == len(account.records[table]) > 0
        assert project not in {row["project"]["id"] for row in rows}


def test_set_rate(sandbox: Sandbox) -> None:
    """A rate from a day on ends the one before; one without a day replaces all."""
    account, table = sandbox.account, "user_billable_rates"
    user = next(iter(account.records["users"]))
    account.set_rate(table, user, Decimal(80))
    account.set_rate(table, user, Decimal(90), "2024-03-01")
    rates = read(sandbox, f"users/{user}/billable_rates")
    assert [(r["amount"], r["start_date"], r["end_date"]) for r in rates] == [
        (80, None, "2024-02-29"),
        (90, "2024-03-01", None),
    ]
    account.set_rate(table, user, Decimal(100))
    (rate,) = read(sandbox, f"users/{user}/billable_rates")
    assert (rate["amount"], rate["start_date"]) == (100, None)


def test_lists_follow_edits(sandbox: Sandbox) -> None:
    """Every list and filter shows an edit in the request after it."""
    account = sandbox.account
    ask(sandbox, "time_entries")
    entry = account.rows("time_entries")[60]
    query = {"updated_since": "2100-01-01T00:00:00Z"}
    assert read(sandbox, "time_entries", **query) == []
    future = "2100-01-02T00:00:00Z"
    account.update("time_entries", entry["id"], touch=False, updated_at=future)
    assert ids(read(sandbox, "time_entries", **query)) == [entry["id"]]
    account.update("time_entries", entry["id"], spent_date="1999-12-31")
    assert read(sandbox, "time_entries")[-1]["id"] == entry["id"]
    assert ids(read(sandbox, "time_entries", to="1999-12-31")) == [entry["id"]]
    account.delete("time_entries", entry["id"])
    assert entry["id"] not in ids(read(sandbox, "time_entries"))


def test_lists_stay_sorted(sandbox: Sandbox) -> None:
    """Through any edits every selection is what walking through all records would give."""
    random, account = Random(3), sandbox.account  # noqa: S311 - chosen edits, no secret
    table, model = "time_entries", sandbox.account.rows("time_entries")[0]
    for step in range(300):
        records = account.records[table]
        stamp = f"2024-01-{random.randrange(1, 29):02}T00:00:00Z"
        fields = {
            "spent_date": f"2024-{random.randrange(1, 13):02}-01",
            "is_billed": random.random() > 0.5,
            "updated_at": stamp,
        }
        edit, chosen = random.randrange(3), random.choice(list(records))
        if edit == 0:
            kept = {k: v for k, v in model.items() if k != "id"}
            account.add(table, {**kept, **fields})
        elif edit == 1:
            account.update(table, chosen, touch=False, **fields)
        else:
            account.delete(table, chosen)
        order: Order = "listed" if step % 2 else "newest"
        billed = random.choice([(), ((("is_billed",), True),)])
        since = random.choice(["", "2024-01-01T00:00:00Z", "2024-01-15T00:00:00Z"])
        first, last = random.choice([EVER, (20240301, 20240901)])
        wanted = [
            row
            for row in records.values()
            if row["updated_at"] >= since
            and first <= int(row["spent_date"].replace("-", "")) <= last
            and (not billed or row["is_billed"])
        ]
        wanted.sort(key=lambda row: row["id"], reverse=True)
        if order == "listed":
            wanted.sort(key=lambda row: str(row["spent_date"]), reverse=True)
        query = Query(table, order=order, since=since, days=(first, last), equal=billed)
        assert ids(account.select(query)) == ids(wanted)


def test_written_record(sandbox: Sandbox) -> None:
    """A record that was written to past `update` is found out, not lost from a list."""
    entry = sandbox.account.rows("time_entries")[0]
    entry["spent_date"] = "1999-12-31"
    with pytest.raises(RuntimeError, match="changed other than by"):
        sandbox.account.update("time_entries", entry["id"], notes="")


def test_truth(sandbox: Sandbox) -> None:
    """The truth is what an administrator's full read gives, and a copy."""
    for table in ("users", "projects", "expenses", "invoices", "estimates"):
        read_here = {row["id"]: row for row in read(sandbox, table)}
        truth = sandbox.account.truth(table)
        assert read_here == {row["id"]: row for row in truth}
        truth[0].clear()
        assert sandbox.account.truth(table)[0]


@pytest.mark.parametrize(
    "text", ["a\x00b", "\ud83d", "\ude00 \ud83d", "🚀\ud83d\x00é", '"\\\ud83d']
)
def test_any_text(sandbox: Sandbox, text: str) -> None:
    """Text with NUL or half of a surrogate pair is served, escaped as JSON escapes it."""
    entry = sandbox.account.rows("time_entries")[0]
    reference = {"id": text, "service": text}
    sandbox.account.update(
        "time_entries",
        entry["id"],
        notes=text,
        external_reference=reference,
        cost_rate=Decimal("1.10"),
    )
    answer = ask(sandbox, "time_entries")
    (row,) = [row for row in answer.json()["time_entries"] if row["id"] == entry["id"]]
    assert (row["notes"], row["external_reference"]) == (text, reference)
    assert b'"cost_rate":1.10}' in answer.content
    assert b"\x00" not in answer.content
    assert answer.content.decode()
