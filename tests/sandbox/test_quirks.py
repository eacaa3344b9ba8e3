"""The sandbox can differ from the documents."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from harvest_sandbox import Sandbox

from .asking import ask, ids, read


def test_ignored_filters(sandbox: Sandbox) -> None:
    """A filter that is ignored chooses nothing; the others still do."""
    sandbox.ignored_filters = ["updated_since", "to"]
    whole = sandbox.account.records["time_entries"].keys()
    assert (
        set(ids(read(sandbox, "time_entries", updated_since="2100-01-01", to="2001-01-01")))
        == whole
    )
    assert read(sandbox, "time_entries", from_="2100-01-01") == []


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_days_exclusive(sandbox: Sandbox, style: str) -> None:
    """`from` and `to` can leave out their own days."""
    sandbox.styles, sandbox.days_exclusive = style, True
    days = sorted({row["spent_date"] for row in sandbox.account.truth("time_entries")})
    first, *_, last = days
    found = {row["spent_date"] for row in read(sandbox, "time_entries", from_=first, to=last)}
    assert found == set(days[1:-1])
    assert read(sandbox, "time_entries", from_=first, to=first) == []


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_oldest_first(sandbox: Sandbox, style: str) -> None:
    """A list by date can come in the opposite order, whole on each style of pages."""
    sandbox.styles = style
    usual = ids(read(sandbox, "time_entries", per_page=40))
    sandbox.oldest_first = ["time_entries"]
    assert ids(read(sandbox, "time_entries", per_page=40)) == usual[::-1]


def test_without_archived(sandbox: Sandbox) -> None:
    """A list can leave archived records out unless they are asked for."""
    users = sandbox.account.truth("users")
    active = {row["id"] for row in users if row["is_active"]}
    assert 0 < len(active) < len(users)
    assert len(read(sandbox, "users")) == len(users)
    sandbox.without_archived = ["users"]
    assert set(ids(read(sandbox, "users"))) == active
    assert ask(sandbox, "users").json()["total_entries"] == len(active)
    assert len(read(sandbox, "users", is_active="false")) == len(users) - len(active)
    assert len(read(sandbox, "projects")) == len(sandbox.account.records["projects"])


def test_date_header(sandbox: Sandbox) -> None:
    """The `Date` header can be ahead of the stamps, or left out."""
    sandbox.date_ahead = 3600.0
    said = parsedate_to_datetime(ask(sandbox, "users/me").headers["Date"])
    ahead = said - sandbox.clock.now()
    assert timedelta(minutes=59) < ahead < timedelta(minutes=61)
    sandbox.date_ahead = None
    assert "Date" not in ask(sandbox, "users/me").headers


def test_limit_headers(sandbox: Sandbox) -> None:
    """Answers name the limit only if so set."""
    assert not [name for name in ask(sandbox, "users/me").headers if "imit" in name]
    sandbox.rate_limit, sandbox.limit_headers = (50, 15.0), True
    headers = ask(sandbox, "users/me").headers
    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("50", "49")
