"""Who reads what; sections (§) are those of the API notes."""

from __future__ import annotations

import pytest

from harvest_sandbox import Sandbox

from .asking import ask, ids, read


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
