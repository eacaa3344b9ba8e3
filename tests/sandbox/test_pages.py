"""How lists come in pages."""

from __future__ import annotations

import pytest

from harvest_sandbox import Sandbox

from .asking import PAGING, ask, ids, read


def test_page_links(sandbox: Sandbox) -> None:
    """A list in pages numbers them and links first, previous, next and last."""
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
    """A list by cursor has no page numbers midway, and its cursors lead both ways."""
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
    """Without a setting the four lists by date come in pages and the others by cursor."""
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
    """`per_page` is 1 to 2,000; what is above is refused, not cut."""
    assert ask(sandbox, "clients", per_page=2000).status_code == 200
    for query in ({"per_page": 2001}, {"per_page": 0}, {"per_page": "x"}, {"page": 0}):
        answer = ask(sandbox, "clients", **query)
        assert answer.status_code == 422
        assert "message" in answer.json()
    assert ask(sandbox, "clients", cursor="nonsense").status_code == 422


def test_empty_page(sandbox: Sandbox) -> None:
    """A list with nothing in it is a page with an empty list and links that end."""
    body = ask(sandbox, "clients", updated_since="2100-01-01T00:00:00Z").json()
    assert body["clients"] == []
    assert (body["total_entries"], body["links"]["next"]) == (0, None)


def test_order(sandbox: Sandbox) -> None:
    """Lists come newest first: by business date, then id, or by id alone."""
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
    """A delete between two pages hides a row from a reader of pages, not of cursors."""
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
    """Links stay on the host that was asked, and on its path."""
    there = sandbox.base_url.replace("127.0.0.1", "localhost")
    assert ask(sandbox, f"{there}/clients").json()["links"]["first"].startswith(f"{there}/clients?")


def test_without_total_entries(sandbox: Sandbox) -> None:
    """Named tables' lists can lack `total_entries`; their links still lead through all."""
    sandbox.without_total_entries = {"invoice_payments", "clients"}
    invoice = next(iter(sandbox.account.parent_of["invoice_payments"].values()))
    bodies = {
        path: ask(sandbox, path, per_page=2).json()
        for path in (f"invoices/{invoice}/payments", "clients", "tasks")
    }
    assert ["total_entries" in body for body in bodies.values()] == [False, False, True]
    assert all(body["total_pages"] for body in bodies.values())
    found = ids(read(sandbox, "clients", per_page=2))
    assert found == ids(sandbox.account.rows("clients"))


def test_total_entries_excess(sandbox: Sandbox) -> None:
    """Named tables' lists can say too high a `total_entries` each time they are read."""
    sandbox.total_entries_excess = {"clients": 3}
    count = len(sandbox.account.records["clients"])
    for _ in range(3):
        body = ask(sandbox, "clients").json()
        assert (body["total_entries"], len(body["clients"])) == (count + 3, count)
        assert body["links"]["next"] is None
    body = ask(sandbox, "tasks").json()
    assert body["total_entries"] == len(body["tasks"])
