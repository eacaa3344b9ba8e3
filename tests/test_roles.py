"""A token that may not read everything loads what it may, and says what it left out."""

from __future__ import annotations

from typing import Any

import pytest
from dlt import Pipeline

from harvest.run import load
from harvest_sandbox import Sandbox

from .running import Make, failure
from .truth import ALWAYS, assert_equal, read


def test_member(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A member's run over everything loads own entries and expenses, and names what it skipped."""
    summary = load(duck, **{**settings, "api_key": sandbox.member_token})
    me = sandbox.users[sandbox.member_token]
    for table in ("time_entries", "expenses"):
        mine = {r["id"] for r in sandbox.account.truth(table) if r["user"]["id"] == me}
        assert {row["id"] for row in read(duck, table)} == mine
    assert summary.tables.keys() >= {"time_entries", "expenses"}
    assert summary.skipped.keys() == {e.name for e in ALWAYS} - {"time_entries", "expenses"}
    assert summary.skipped["clients"] == "not allowed for this token"


def test_manager(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A manager's users load, and only the rates that the manager may not read are left out."""
    summary = load(duck, **{**settings, "api_key": sandbox.manager_token})
    assert {row["id"] for row in read(duck, "users")}
    assert {"user_billable_rates", "user_cost_rates", "clients"} <= summary.skipped.keys()
    assert "users" not in summary.skipped


@pytest.mark.parametrize("status", [403, 404])
def test_module_off(
    sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline, status: int
) -> None:
    """A module that is switched off is left out by name, whatever its lists answer."""
    sandbox.module_status = status
    sandbox.account.company["estimate_feature"] = False
    summary = load(duck, **settings)
    assert summary.skipped == dict.fromkeys(
        ("estimates", "estimate_messages", "estimate_item_categories"), "module switched off"
    )
    loaded = [e.name for e in ALWAYS if e.name not in summary.skipped]
    assert_equal(duck, sandbox, *loaded)


def test_named_table(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A table that was asked for by name and may not be read is an error."""
    chosen = source(api_key=sandbox.member_token).with_resources("clients", "time_entries")
    assert "`clients`: Harvest answered 403" in str(failure(duck, chosen))


def test_used_to_load(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A table that used to load and may not be read any more is an error, never left out."""
    duck.run(source())
    before = read(duck, "estimates")
    sandbox.account.company["estimate_feature"] = False
    assert "Harvest answered 403" in str(failure(duck, source()))
    assert read(duck, "estimates") == before


@pytest.mark.parametrize("status", [403, 404])
def test_wrong_account(sandbox: Sandbox, source: Make, duck: Pipeline, status: int) -> None:
    """A wrong account id is never an empty account, whatever Harvest answers to it."""
    if status == 403:
        sandbox.fault("status", times=-1, status=403)
    failed = failure(duck, source(account_id="7"))
    assert f"answered {status}" in str(failed)


def test_empty_account(source: Make, duck: Pipeline, sandbox: Sandbox) -> None:
    """An account without any entries, invoices or clients is whole too."""
    with Sandbox("empty", rate_limit=None) as empty:
        duck.run(source(base_url=empty.base_url))
        assert_equal(duck, empty)
    assert sandbox.log == []
