"""The sandbox keeps its promises over real HTTP; sections (§) are those of the API notes."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests

from harvest_sandbox import Sandbox
from harvest_sandbox.account import EVER, Order, Query
from harvest_sandbox.seed import build

Json = dict[str, Any]


def ask(
    sandbox: Sandbox, path: str, token: str | None = None, **params: object
) -> requests.Response:
    """Read a path below the base URL, or a whole address, as a connector does."""
    url = path if path.startswith("http") else f"{sandbox.base_url}/{path}"
    headers = {
        "Authorization": f"Bearer {token or sandbox.token}",
        "Harvest-Account-Id": str(sandbox.account_id),
        "User-Agent": "tests (tests@example.com)",
    }
    query = {name.rstrip("_"): str(value) for name, value in params.items()}
    return requests.get(url, query, headers=headers, timeout=10)


def read(sandbox: Sandbox, path: str, token: str | None = None, **params: object) -> list[Json]:
    """Read a list to its end by its links."""
    rows: list[Json] = []
    answer = ask(sandbox, path, token, **params)
    while True:
        answer.raise_for_status()
        body = answer.json(parse_float=Decimal)
        (key,) = body.keys() - PAGING
        rows += body[key]
        if body["links"]["next"] is None:
            return rows
        answer = ask(sandbox, body["links"]["next"], token)


PAGING = {
    "per_page", "total_pages", "total_entries", "next_page", "previous_page", "page", "links",
}  # fmt: skip


def ids(rows: list[Json]) -> list[int]:
    """Return the ids in their order."""
    return [row["id"] for row in rows]


@pytest.fixture
def control(sandbox: Sandbox) -> Callable[..., Any]:
    """Call the control over HTTP."""

    def call(path: str, body: object = None, **params: str) -> Any:
        url = sandbox.base_url.replace("/v2", f"/_sandbox/{path}")
        if body is None:
            answer = requests.get(url, params, timeout=10)
        else:
            answer = requests.post(url, json=body, params=params, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return call


# Pages


def test_page_links(sandbox: Sandbox) -> None:
    """A list in pages numbers them and links first, previous, next and last (§3.1)."""
    since = "2010-01-01T00:00:00Z"
    first = ask(sandbox, "time_entries", per_page=40, updated_since=since).json()
    assert first.keys() == PAGING | {"time_entries"}
    assert len(first["time_entries"]) == first["per_page"] == 40
    assert (first["total_entries"], first["total_pages"]) == (150, 4)
    assert (first["page"], first["next_page"], first["previous_page"]) == (1, 2, None)
    assert first["links"]["previous"] is None
    second = ask(sandbox, first["links"]["next"]).json()
    assert (second["page"], second["next_page"], second["previous_page"]) == (2, 3, 1)
    back = ask(sandbox, second["links"]["previous"]).json()
    assert back["time_entries"] == first["time_entries"]
    last = ask(sandbox, first["links"]["last"]).json()
    assert (last["page"], last["next_page"], last["links"]["next"]) == (4, None, None)
    assert len(last["time_entries"]) == 30
    assert "updated_since=2010-01-01T00%3A00%3A00Z" in first["links"]["next"]


def test_cursor_links(sandbox: Sandbox) -> None:
    """A list by cursor has no page numbers midway, and its cursors lead both ways (§3.1, §3.2)."""
    sandbox.styles = "cursor"
    first = ask(sandbox, "time_entries", per_page=40).json()
    assert (first["page"], first["next_page"]) == (1, 2)
    assert "cursor=" in first["links"]["next"]
    assert "page=1" in first["links"]["first"]
    second = ask(sandbox, first["links"]["next"]).json()
    assert (second["page"], second["next_page"], second["previous_page"]) == (None, None, None)
    back = ask(sandbox, second["links"]["previous"]).json()
    assert back["time_entries"] == first["time_entries"]
    third = ask(sandbox, second["links"]["next"]).json()
    last = ask(sandbox, third["links"]["next"]).json()
    assert (last["page"], last["next_page"], last["previous_page"]) == (4, None, 3)
    assert last["links"]["next"] is None


@pytest.mark.parametrize("style", ["page", "cursor", None])
@pytest.mark.parametrize("cap", [1, 7, 2000])
def test_all_rows(sandbox: Sandbox, style: str | None, cap: int) -> None:
    """Links lead through every row once, in either style, whatever a page holds."""
    sandbox.styles, sandbox.page_cap = style, cap
    user = next(iter(sandbox.account.parent_of["user_billable_rates"].values()))
    for _ in range(2):
        rate = {"amount": 1, "start_date": "2024-01-01", "end_date": None}
        sandbox.account.add("user_billable_rates", rate, user)
    for path, table in (("time_entries", "time_entries"), ("clients", "clients")):
        assert sorted(ids(read(sandbox, path))) == sorted(sandbox.account.records[table])
    rates = sandbox.account.rows("user_billable_rates", user)
    assert ids(read(sandbox, f"users/{user}/billable_rates")) == ids(rates)


def test_documented_styles(sandbox: Sandbox) -> None:
    """Without a setting the four lists by date come in pages and the others by cursor (§3.2)."""
    for path in ("time_entries", "expenses", "invoices", "estimates"):
        assert "page=2" in ask(sandbox, path, per_page=2).json()["links"]["next"]
    for path in ("users", "clients", "projects", "user_assignments"):
        assert "cursor=" in ask(sandbox, path, per_page=2).json()["links"]["next"]


def test_style_by_table(sandbox: Sandbox) -> None:
    """A style can be set for single tables; the others stay as documented."""
    sandbox.styles = {"time_entries": "cursor", "clients": "page"}
    assert "cursor=" in ask(sandbox, "time_entries", per_page=2).json()["links"]["next"]
    assert "page=2" in ask(sandbox, "clients", per_page=2).json()["links"]["next"]
    assert "page=2" in ask(sandbox, "expenses", per_page=2).json()["links"]["next"]


def test_per_page(sandbox: Sandbox) -> None:
    """`per_page` is 1 to 2,000; what is above is refused, not cut (§3.2)."""
    assert ask(sandbox, "clients", per_page=2000).status_code == 200
    for query in ({"per_page": 2001}, {"per_page": 0}, {"per_page": "x"}, {"page": 0}):
        answer = ask(sandbox, "clients", **query)
        assert answer.status_code == 422
        assert "message" in answer.json()
    assert ask(sandbox, "clients", cursor="nonsense").status_code == 422


def test_empty_page(sandbox: Sandbox) -> None:
    """A list with nothing in it is a page with an empty list and links that end (§3.1)."""
    body = ask(sandbox, "clients", updated_since="2100-01-01T00:00:00Z").json()
    assert body["clients"] == []
    assert (body["total_entries"], body["links"]["next"]) == (0, None)


def test_order(sandbox: Sandbox) -> None:
    """Lists come newest first: by business date, then id, or by id alone (§3.3)."""
    for path, date in (("time_entries", "spent_date"), ("invoices", "issue_date")):
        keys = [(row[date], row["id"]) for row in read(sandbox, path)]
        assert keys == sorted(keys, reverse=True)
    assert ids(read(sandbox, "clients")) == sorted(sandbox.account.records["clients"], reverse=True)
    sandbox.styles = "cursor"
    entries = ids(read(sandbox, "time_entries"))
    assert entries == sorted(sandbox.account.records["time_entries"], reverse=True)


def test_undated(sandbox: Sandbox) -> None:
    """Drafts without an issue date come last, or first if so set, and never with `from` or `to`."""
    dates = [row["issue_date"] for row in read(sandbox, "estimates", per_page=1)]
    assert dates[0] is not None
    assert dates[-1] is None
    sandbox.undated_first = True
    drafts = len(dates) - len([date for date in dates if date])
    rows = read(sandbox, "estimates", per_page=1)
    assert [row["issue_date"] for row in rows[:drafts]] == [None] * drafts
    sandbox.account.update("estimates", rows[0]["id"], notes="edited")
    assert ids(read(sandbox, "estimates", per_page=1)) == ids(rows)
    for bounds in ({"from_": "1990-01-01"}, {"to": "2100-01-01"}):
        rows = read(sandbox, "estimates", **bounds)
        assert len(rows) == len([date for date in dates if date])


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_delete_shifts_pages(sandbox: Sandbox, style: str) -> None:
    """A delete between two pages hides a row from a reader of pages, not of cursors (§3.2)."""
    sandbox.styles = style
    first = ask(sandbox, "time_entries", per_page=50).json()
    sandbox.account.delete("time_entries", first["time_entries"][0]["id"])
    seen = set(ids(first["time_entries"])) | set(ids(read(sandbox, first["links"]["next"])))
    assert len(sandbox.account.records["time_entries"].keys() - seen) == (style == "page")


def test_move_shifts_pages(sandbox: Sandbox) -> None:
    """A row whose date is moved to the top between two pages brings another one twice."""
    first = ask(sandbox, "time_entries", per_page=50).json()
    oldest = sandbox.account.rows("time_entries")[-1]
    sandbox.account.update("time_entries", oldest["id"], spent_date="2100-01-01")
    rest = ids(read(sandbox, first["links"]["next"]))
    assert first["time_entries"][-1]["id"] in rest
    assert oldest["id"] not in rest


def test_origin(sandbox: Sandbox) -> None:
    """Links stay on the host that was asked, and on its path (§3.2)."""
    there = sandbox.base_url.replace("127.0.0.1", "localhost")
    assert ask(sandbox, f"{there}/clients").json()["links"]["first"].startswith(f"{there}/clients?")


# Filters


def test_updated_since(sandbox: Sandbox) -> None:
    """`updated_since` takes its own second along, or leaves it out if so set (§9 point 5)."""
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
    """Children are filtered by their own stamp (§3.3)."""
    payment, invoice = next(iter(sandbox.account.parent_of["invoice_payments"].items()))
    stamp = sandbox.account.records["invoice_payments"][payment]["updated_at"]
    path = f"invoices/{invoice}/payments"
    assert ids(read(sandbox, path, updated_since=stamp)) == [payment]
    assert read(sandbox, path, updated_since="2100-01-01T00:00:00Z") == []


def test_days(sandbox: Sandbox) -> None:
    """`from` and `to` include their days, in both forms in use, along with other filters (§3.3)."""
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
    """Documented filters choose rows; unknown parameters are ignored (§3.3)."""
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


def _line_project(sandbox: Sandbox) -> int:
    """Return the id of a project that an invoice's line names."""
    items = [item for row in sandbox.account.truth("invoices") for item in row["line_items"]]
    return next(int(item["project"]["id"]) for item in items if item["project"])


def test_invoices_of_project(sandbox: Sandbox) -> None:
    """Invoices are found by the project of any of their lines."""
    invoices, project = sandbox.account.truth("invoices"), _line_project(sandbox)
    wanted = {
        row["id"]
        for row in invoices
        for item in row["line_items"]
        if item["project"] and item["project"]["id"] == project
    }
    assert set(ids(read(sandbox, "invoices", project_id=project))) == wanted


def test_single(sandbox: Sandbox) -> None:
    """One record is read by its id where Harvest documents it (§4)."""
    for table in ("clients", "projects", "time_entries", "invoices", "roles"):
        record = sandbox.account.truth(table)[-1]
        answer = ask(sandbox, f"{table}/{record['id']}").json(parse_float=Decimal)
        assert answer["id"] == record["id"]
        assert answer.keys() == record.keys()
    rate, user = next(iter(sandbox.account.parent_of["user_billable_rates"].items()))
    assert ask(sandbox, f"users/{user}/billable_rates/{rate}").json()["id"] == rate
    assert ask(sandbox, "company").json() == sandbox.account.company


# Refusals


def test_user_agent(sandbox: Sandbox) -> None:
    """A request without User-Agent is refused with 400 (§1.2)."""
    host = sandbox.base_url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=10)
    headers = {"Authorization": f"Bearer {sandbox.token}", "Harvest-Account-Id": "424242"}
    connection.request("GET", "/v2/clients", headers=headers)
    assert connection.getresponse().status == 400
    connection.close()


def test_credentials(sandbox: Sandbox) -> None:
    """A bad token or no account id is 401 with its own JSON; another account is 404 (§1.5)."""
    answer = ask(sandbox, "clients", "wrong")
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"
    assert "invalid_token" in answer.headers["WWW-Authenticate"]
    headers = {"Authorization": f"Bearer {sandbox.token}", "User-Agent": "tests"}
    url = f"{sandbox.base_url}/clients"
    assert requests.get(url, headers=headers, timeout=10).status_code == 401
    headers["Harvest-Account-Id"] = "1"
    assert requests.get(url, headers=headers, timeout=10).status_code == 404
    query = {"access_token": sandbox.token, "account_id": str(sandbox.account_id)}
    assert requests.get(url, query, timeout=10).status_code == 200


def test_not_found(sandbox: Sandbox) -> None:
    """An absent id answers 404 in JSON, a path that is none a page for people (§1.5)."""
    for path in ("clients/1", "invoices/1/payments", "users/1/cost_rates"):
        answer = ask(sandbox, path)
        assert answer.status_code == 404
        assert answer.json() == {"status": 404, "error": "Not Found"}
    for path in ("nothing", "clients/x", "user_assignments/1"):
        answer = ask(sandbox, path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "<h1>" in answer.text


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(
    ("module", "paths"),
    [
        ("invoice", ["invoices", "invoice_item_categories", "invoices/1/payments"]),
        ("estimate", ["estimates", "estimate_item_categories"]),
        ("expense", ["expenses", "expense_categories"]),
    ],
)
def test_modules(sandbox: Sandbox, module: str, paths: list[str], status: int) -> None:
    """Lists of a module that the company has not answer 403 or 404, as set (§9 point 9)."""
    sandbox.module_status = status
    sandbox.account.company[f"{module}_feature"] = False
    assert [ask(sandbox, path).status_code for path in paths] == [status] * len(paths)
    assert ask(sandbox, "time_entries").status_code == 200


@pytest.fixture
def limited() -> Iterator[Sandbox]:
    """Serve with a limit of two requests."""
    with Sandbox("empty", rate_limit=(2, 10.0)) as served:
        yield served


def test_rate_limit(limited: Sandbox) -> None:
    """What is over the limit gets 429, nothing in it, HTML by its type (§2)."""
    statuses = [ask(limited, "clients").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    answer = ask(limited, "clients")
    assert answer.content == b""
    assert answer.headers["Content-Type"].startswith("text/html")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10


def test_retry_after(limited: Sandbox) -> None:
    """`Retry-After` can be a moment by Harvest's clock or be absent, and the body a page."""
    limited.retry_after, limited.throttle_body = "date", b"<h1>Slow down</h1>"
    limited.clock.shift(days=3)
    for _ in range(2):
        ask(limited, "clients")
    answer = ask(limited, "clients")
    assert answer.content == b"<h1>Slow down</h1>"
    now, then = (parsedate_to_datetime(answer.headers[name]) for name in ("Date", "Retry-After"))
    assert timedelta(0) < then - now <= timedelta(seconds=12)
    limited.retry_after = False
    assert "Retry-After" not in ask(limited, "clients").headers


# Roles


def test_member(sandbox: Sandbox) -> None:
    """A member reads own entries and expenses, silently fewer, and nothing else (§1.6)."""
    token, account = sandbox.member_token, sandbox.account
    me = ask(sandbox, "users/me", token).json()
    assert me["access_roles"] == ["member"]
    for table in ("time_entries", "expenses"):
        mine = {row["id"] for row in account.truth(table) if row["user"]["id"] == me["id"]}
        assert set(ids(read(sandbox, table, token))) == mine
        assert mine < account.records[table].keys()
    for path in ("company", "users", "clients", "projects", "invoices", "user_assignments"):
        answer = ask(sandbox, path, token)
        assert answer.status_code == 403
        assert answer.json() == {"message": "Not authorized!"}
        assert answer.headers["Hint"] == "Not authorized!"
    for row in account.truth("time_entries"):
        status = 200 if row["user"]["id"] == me["id"] else 404
        assert ask(sandbox, f"time_entries/{row['id']}", token).status_code == status


def test_manager(sandbox: Sandbox) -> None:
    """A manager reads what teammates did and what was done in managed projects (§1.6)."""
    token, account = sandbox.manager_token, sandbox.account
    me = ask(sandbox, "users/me", token).json()["id"]
    team = account.teammates[me]
    managed = {
        row["project"]["id"]
        for row in account.truth("user_assignments")
        if row["user"]["id"] == me and row["is_project_manager"] and row["is_active"]
    }
    assert team
    assert managed
    wanted = {
        row["id"]
        for row in account.truth("time_entries")
        if row["user"]["id"] in team | {me} or row["project"]["id"] in managed
    }
    assert set(ids(read(sandbox, "time_entries", token))) == wanted
    assert wanted < account.records["time_entries"].keys()
    assert set(ids(read(sandbox, "users", token))) == team
    assert set(ids(read(sandbox, "projects", token))) == managed
    assert {row["project"]["id"] for row in read(sandbox, "task_assignments", token)} <= managed
    for path in ("company", "clients", "tasks", "roles", "invoices", "estimates"):
        assert ask(sandbox, path, token).status_code == 403


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ("client_and_task_manager", "clients"),
        ("managed_projects_invoice_manager", "invoices"),
        ("managed_projects_invoice_drafter", "invoices"),
        ("estimates_manager", "estimates"),
        ("billable_rates_manager", "users/{}/billable_rates"),
    ],
)
def test_manager_roles(sandbox: Sandbox, role: str, path: str) -> None:
    """A further role opens its lists to a manager, at once, and to no member (§1.6)."""
    for token in (sandbox.manager_token, sandbox.member_token):
        user_id = sandbox.users[token]
        assert user_id
        roles = sandbox.account.records["users"][user_id]["access_roles"]
        assert ask(sandbox, path.format(user_id), token).status_code == 403
        sandbox.account.update("users", user_id, access_roles=[*roles, role])
        status = 200 if "manager" in roles else 403
        assert ask(sandbox, path.format(user_id), token).status_code == status


def test_role_changes(sandbox: Sandbox) -> None:
    """An administrator who becomes a manager sees less from the next request on."""
    administrator = ask(sandbox, "users/me").json()
    assert {"cost_rate", "default_hourly_rate"} <= administrator.keys()
    sandbox.account.update("users", administrator["id"], access_roles=["manager"])
    assert ask(sandbox, "clients").status_code == 403
    me = ask(sandbox, "users/me").json()
    assert me["access_roles"] == ["manager"]
    assert not {"cost_rate", "default_hourly_rate"} & me.keys()
    roles = ["manager", "billable_rates_manager"]
    sandbox.account.update("users", administrator["id"], access_roles=roles)
    me = ask(sandbox, "users/me").json()
    assert "default_hourly_rate" in me
    assert "cost_rate" not in me


def test_absent(sandbox: Sandbox) -> None:
    """Fields that not every account has can be left out, in answers and truth alike (§9)."""
    sandbox.account.absent = {"users": {"permissions_claims", "access_roles"}}
    assert not {"permissions_claims", "access_roles"} & ask(sandbox, "users/me").json().keys()
    assert "access_roles" not in sandbox.account.truth("users")[0]
    assert ask(sandbox, "clients").status_code == 200


# What a change does


def test_live_names(sandbox: Sandbox) -> None:
    """A new name shows in every nested copy at once, and stamps only its own record (§6.2)."""
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
    account.update("projects", _line_project(sandbox), name="On a line")
    items = [item for row in read(sandbox, "invoices") for item in row["line_items"]]
    assert "On a line" in {item["project"]["name"] for item in items if item["project"]}
    added = account.add("contacts", {"client": {"id": entry["client"]["id"], "name": "old"}})
    assert added["client"]["name"] == "Neu"


def test_payment(sandbox: Sandbox) -> None:
    """A payment stamps its invoice and pays it; its deletion undoes that without a stamp (§6.2)."""
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
    """A message sent stamps its parent and its `sent_at` (§6.2)."""
    parent = sandbox.account.rows(table)[0]["id"]
    message = sandbox.account.add(f"{table[:-1]}_messages", {"event_type": None}, parent)
    seen = ask(sandbox, f"{table}/{parent}").json()
    assert seen["sent_at"] == seen["updated_at"] == message["created_at"]


@pytest.mark.parametrize("table", ["invoices", "contacts"])
def test_client_stamped(sandbox: Sandbox, table: str) -> None:
    """A new invoice or contact stamps its client (§6.2)."""
    model = sandbox.account.rows(table)[0]
    model = {k: v for k, v in model.items() if k not in ("id", "created_at", "updated_at")}
    added = sandbox.account.add(table, model)
    client = ask(sandbox, f"clients/{added['client']['id']}").json()
    assert client["updated_at"] == added["created_at"]


def test_archived_project(sandbox: Sandbox) -> None:
    """An archived project stays in the list and locks its entries, which get no stamp (§6.2)."""
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
    """A deleted project takes its entries and expenses along, and nothing tells of them (§7)."""
    account = sandbox.account
    project = account.rows("expenses")[0]["project"]["id"]
    account.delete("projects", project)
    assert ask(sandbox, f"projects/{project}").status_code == 404
    for table in ("time_entries", "expenses"):
        rows = read(sandbox, table)
        assert len(rows) == len(account.records[table]) > 0
        assert project not in {row["project"]["id"] for row in rows}


def test_set_rate(sandbox: Sandbox) -> None:
    """A rate from a day on ends the one before; one without a day replaces all (§4.4)."""
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


# Clock


def test_clock(sandbox: Sandbox) -> None:
    """The `Date` header, stamps and running timers share one clock, which can be shifted."""
    sandbox.clock.shift(days=400)
    answer = ask(sandbox, "time_entries", is_running="true")
    now = parsedate_to_datetime(answer.headers["Date"])
    assert timedelta(days=399) < now - datetime.now(timezone.utc) < timedelta(days=401)
    assert {row["hours"] // 24 for row in answer.json()["time_entries"]} == {400}
    client = next(iter(sandbox.account.records["clients"]))
    stamp = sandbox.account.update("clients", client)["updated_at"]
    assert abs(datetime.fromisoformat(stamp.replace("Z", "+00:00")) - now) < timedelta(seconds=5)


def test_clock_speed(sandbox: Sandbox) -> None:
    """The clock can stand still and run fast."""
    clock = sandbox.clock
    clock.speed = 0
    assert clock.now() == clock.now()
    before = clock.now()
    clock.speed = 1_000_000
    time.sleep(0.01)
    assert clock.now() - before > timedelta(hours=2)


# Control and use


def test_control_edits(sandbox: Sandbox, control: Callable[..., Any]) -> None:
    """Records are added, changed, deleted and told over HTTP, decimals exact."""
    client = control("add/clients", {"name": "Neu", "is_active": True, "currency": "EUR"})
    assert ask(sandbox, f"clients/{client['id']}").json()["name"] == "Neu"
    changed = control(f"update/clients/{client['id']}", {"name": "Alt"}, touch="false")
    assert changed["updated_at"] == client["updated_at"]
    control(f"delete/clients/{client['id']}", {})
    assert ask(sandbox, f"clients/{client['id']}").status_code == 404
    invoice = next(row for row in sandbox.account.truth("invoices") if row["due_amount"] > 1)
    control("add/invoice_payments", {"amount": 0.1}, parent_id=str(invoice["id"]))
    left = sandbox.account.records["invoices"][invoice["id"]]["due_amount"]
    assert left == invoice["due_amount"] - Decimal("0.1")
    assert control("update/company", {"invoice_feature": False})["invoice_feature"] is False
    assert len(control("truth/clients")) == len(sandbox.account.records["clients"])


def test_control_log(sandbox: Sandbox, control: Callable[..., Any]) -> None:
    """The log and its counts tell of API requests only, and can be emptied."""
    invoice = sandbox.account.rows("invoices")[0]["id"]
    for path in ("clients", f"invoices/{invoice}/payments", "clients/1"):
        ask(sandbox, path)
    stats = control("stats")
    assert stats["requests"] == 3
    assert stats["by_status"] == {"200": 2, "404": 1}
    assert stats["throttled"] == 0
    assert stats["by_path"]["v2/invoices/{id}/payments"] == 1
    assert [entry["status"] for entry in control("log")] == [200, 200, 404]
    control("reset", {})
    assert control("stats")["requests"] == 0


def test_control_settings(sandbox: Sandbox, control: Callable[..., Any]) -> None:
    """Settings, clock and faults are set over HTTP; what is unknown is refused."""
    settings = {"page_cap": 3, "styles": {"clients": "page"}, "latency": 0.01}
    control("settings", {**settings, "rate_limit": [2, 60.0]})
    assert control("settings")["rate_limit"] == [2, 60]
    assert "page=2" in ask(sandbox, "clients").json()["links"]["next"]
    control("fault", {"kind": "status", "path": "tasks", "status": 503, "body": "busy"})
    assert ask(sandbox, "tasks").text == "busy"
    ask(sandbox, "tasks")
    assert ask(sandbox, "tasks").status_code == 429
    assert control("settings", {"rate_limit": None})["rate_limit"] is None
    assert control("clock", {"shift": {"days": 1}, "speed": 0})["speed"] == 0
    base = sandbox.base_url.replace("/v2", "/_sandbox")
    for call in ("settings", "fault"):
        refused = requests.post(f"{base}/{call}", json={"kind": "x"}, timeout=10)
        assert refused.status_code == 422
    assert requests.get(f"{base}/nothing", timeout=10).status_code == 404


@pytest.mark.parametrize("kind", ["drop", "truncate"])
def test_broken_answers(sandbox: Sandbox, kind: str) -> None:
    """A declared fault meets as many requests as said, after as many as said."""
    sandbox.fault(kind, path="clients", after=1, times=1)
    assert ask(sandbox, "tasks").ok
    assert ask(sandbox, "clients").ok
    with pytest.raises(requests.RequestException):
        ask(sandbox, "clients")
    assert ask(sandbox, "clients").ok


def test_other_faults(sandbox: Sandbox) -> None:
    """A fault can be a status, a redirect, a page in place of JSON, or a long wait."""
    sandbox.fault("status", path="clients", status=502, body=b"<h1>Bad Gateway</h1>")
    answer = ask(sandbox, "clients")
    assert (answer.status_code, answer.text) == (502, "<h1>Bad Gateway</h1>")
    target = {"Location": f"{sandbox.base_url}/tasks"}
    sandbox.fault("redirect", path="clients", status=302, headers=target)
    assert "tasks" in ask(sandbox, "clients").url
    sandbox.fault("not_json", path="clients")
    answer = ask(sandbox, "clients")
    assert answer.headers["Content-Type"].startswith("text/html")
    sandbox.fault("hang", path="clients", seconds=0.2)
    assert ask(sandbox, "clients").elapsed > timedelta(seconds=0.2)


def test_latency(sandbox: Sandbox) -> None:
    """An answer takes its time, and more for each record in it."""
    sandbox.latency, sandbox.latency_per_record = 0.05, 0.001
    assert ask(sandbox, "time_entries").elapsed > timedelta(seconds=0.2)


def test_mutation(sandbox: Sandbox) -> None:
    """A fault that changes an answer leaves the account as it is."""

    def change(body: Json) -> None:
        body["clients"][0]["name"] = "changed"

    sandbox.fault("mutate", path="clients", change=change)
    assert ask(sandbox, "clients").json()["clients"][0]["name"] == "changed"
    assert ask(sandbox, "clients").json()["clients"][0]["name"] != "changed"


def test_connections(sandbox: Sandbox) -> None:
    """Twenty clients are served side by side, each on one connection, while the account changes."""
    invoices = list(sandbox.account.records["invoices"])

    def use(_: int) -> list[int]:
        session = requests.Session()
        session.headers.update(
            {"Authorization": f"Bearer {sandbox.token}", "Harvest-Account-Id": "424242"}
        )
        paths = [f"{sandbox.base_url}/invoices/{i}/payments" for i in invoices]
        return [session.get(path, timeout=10).status_code for path in paths]

    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(use, range(20))
        for invoice in invoices:
            sandbox.account.add("invoice_payments", {"amount": Decimal(1)}, invoice)
        assert {status for statuses in answers for status in statuses} == {200}


def test_same_seed() -> None:
    """The same seed gives the same agency, another seed another one."""
    first, again, other = (
        [row["hours"] for row in build("tiny", seed).records["time_entries"].values()]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_command() -> None:
    """The command serves an account of its own and says how to reach it."""
    here = Path(__file__).parent.parent
    arguments = [
        "--size", "tiny", "--port", "0", "--no-rate-limit", "--style", "cursor",
        "--page-cap", "10", "--latency-per-record-ms", "0.1", "--without", "invoice",
    ]  # fmt: skip
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "harvest_sandbox", *arguments],
        cwd=here, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            lines = [process.stdout.readline().strip() for _ in range(4)]
            settings = dict(line.removeprefix("export ").split("=") for line in lines[1:])
            headers = {
                "Authorization": f"Bearer {settings['SOURCES__HARVEST__API_KEY']}",
                "Harvest-Account-Id": settings["SOURCES__HARVEST__ACCOUNT_ID"],
            }
            base = settings["SOURCES__HARVEST__BASE_URL"]
            body = requests.get(f"{base}/time_entries", headers=headers, timeout=10).json()
            assert len(body["time_entries"]) == 10
            assert "cursor=" in body["links"]["next"]
            refused = requests.get(f"{base}/invoices", headers=headers, timeout=10)
            assert refused.status_code == 403
        finally:
            process.terminate()
