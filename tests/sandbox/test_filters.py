"""Which records a request chooses."""

from __future__ import annotations

from decimal import Decimal

from harvest_sandbox import Sandbox

from .asking import ask, ids, line_project, read


def test_updated_since(sandbox: Sandbox) -> None:
    """`updated_since` takes its own second along, or leaves it out if so set."""
    stamps = sorted(row["updated_at"] for row in sandbox.account.truth("time_entries"))
    middle = stamps[70]
    for form in (middle, middle.replace("Z", "+00:00")):
        assert len(read(sandbox, "time_entries", updated_since=form)) == 80
    sandbox.updated_since_exclusive = True
    assert len(read(sandbox, "time_entries", updated_since=middle)) == 79
    assert ask(sandbox, "time_entries", updated_since="yesterday").status_code == 422
    roles = sandbox.account.records["roles"]
    assert len(read(sandbox, "roles", updated_since="2100-01-01")) == len(roles)


def test_updated_since_children(sandbox: Sandbox) -> None:
    """Children are filtered by their own stamp."""
    payment, invoice = next(iter(sandbox.account.parent_of["invoice_payments"].items()))
    stamp = sandbox.account.records["invoice_payments"][payment]["updated_at"]
    path = f"invoices/{invoice}/payments"
    assert ids(read(sandbox, path, updated_since=stamp)) == [payment]
    assert read(sandbox, path, updated_since="2100-01-01T00:00:00Z") == []


def test_days(sandbox: Sandbox) -> None:
    """`from` and `to` include their days, in both forms in use, along with other filters."""
    rows = sandbox.account.truth("time_entries")
    days = sorted(row["spent_date"] for row in rows)
    first, last, stamp = days[30], days[90], sorted(row["updated_at"] for row in rows)[60]
    within = {row["id"] for row in rows if first <= row["spent_date"] <= last}
    for style in ("page", "cursor"):
        sandbox.styles = style
        assert set(ids(read(sandbox, "time_entries", from_=first, to=last))) == within
        plain = {"from_": first.replace("-", ""), "to": last.replace("-", "")}
        assert set(ids(read(sandbox, "time_entries", **plain))) == within
        both = set(ids(read(sandbox, "time_entries", updated_since=stamp, **plain)))
        assert both == {row["id"] for row in rows if row["updated_at"] >= stamp} & within
    assert ask(sandbox, "time_entries", from_="soon").status_code == 422


def test_filters(sandbox: Sandbox) -> None:
    """Documented filters choose rows; unknown parameters are ignored."""
    entries = sandbox.account.truth("time_entries")
    entry = entries[0]
    for name in ("user", "client", "project", "task"):
        wanted = [row["id"] for row in entries if row[name]["id"] == entry[name]["id"]]
        found = read(sandbox, "time_entries", **{f"{name}_id": entry[name]["id"]})
        assert sorted(ids(found)) == sorted(wanted)
    sandbox.account.update("time_entries", entry["id"], is_billed=True, approval_status="approved")
    assert ids(read(sandbox, "time_entries", is_billed="true")) == [entry["id"]]
    assert ids(read(sandbox, "time_entries", approval_status="approved")) == [entry["id"]]
    running = {row["id"] for row in entries if row["is_running"]}
    assert set(ids(read(sandbox, "time_entries", is_running="true"))) == running
    reference = entry["external_reference"]["id"]
    assert ids(read(sandbox, "time_entries", external_reference_id=reference)) == [entry["id"]]
    assert len(read(sandbox, "time_entries", sort="id", is_active="true")) == len(entries)
    assert {row["state"] for row in read(sandbox, "invoices", state="draft")} == {"draft"}
    archived = read(sandbox, "users", is_active="false")
    assert archived
    assert not any(row["is_active"] for row in archived)
    assert ask(sandbox, "users", is_active="no").status_code == 422


def test_invoices_of_project(sandbox: Sandbox) -> None:
    """Invoices are found by the project of any of their lines."""
    invoices, project = sandbox.account.truth("invoices"), line_project(sandbox)
    wanted = {
        row["id"]
        for row in invoices
        for item in row["line_items"]
        if item["project"] and item["project"]["id"] == project
    }
    assert set(ids(read(sandbox, "invoices", project_id=project))) == wanted


def test_single(sandbox: Sandbox) -> None:
    """One record is read by its id where Harvest documents it."""
    for table in ("clients", "projects", "time_entries", "invoices", "roles"):
        record = sandbox.account.truth(table)[-1]
        answer = ask(sandbox, f"{table}/{record['id']}").json(parse_float=Decimal)
        assert answer["id"] == record["id"]
        assert answer.keys() == record.keys()
    rate, user = next(iter(sandbox.account.parent_of["user_billable_rates"].items()))
    assert ask(sandbox, f"users/{user}/billable_rates/{rate}").json()["id"] == rate
    assert ask(sandbox, "company").json() == sandbox.account.company
