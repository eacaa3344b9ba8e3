"""Who reads what."""

from __future__ import annotations

import pytest

from harvest_sandbox import Sandbox

from .asking import ask, ids, read


def test_member(sandbox: Sandbox) -> None:
    """A member reads own entries and expenses, silently fewer, and nothing else."""
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
    """A manager reads what teammates did and what was done in managed projects."""
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
    """A further role opens its lists to a manager, at once, and to no member."""
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
    """Fields that not every account has can be left out, in answers and truth alike."""
    sandbox.account.absent = {"users": {"permissions_claims", "access_roles"}}
    assert not {"permissions_claims", "access_roles"} & ask(sandbox, "users/me").json().keys()
    assert "access_roles" not in sandbox.account.truth("users")[0]
    assert ask(sandbox, "clients").status_code == 200


def test_project_assignments(sandbox: Sandbox) -> None:
    """A user's active assignments come with project, client and the project's tasks."""
    account = sandbox.account
    assignments = account.truth("user_assignments")
    user = next(row["user"]["id"] for row in assignments if not row["is_active"])
    mine = {row["id"]: row for row in assignments if row["user"]["id"] == user}
    path = f"users/{user}/project_assignments"
    rows = read(sandbox, path, per_page=2)
    active = [record_id for record_id, row in mine.items() if row["is_active"]]
    assert ids(rows) == sorted(active, reverse=True)
    assert len(active) < len(mine)
    for row in rows:
        project = account.records["projects"][row["project"]["id"]]
        assert row["project"] == {k: project[k] for k in ("id", "name", "code", "is_billable")}
        assert row["client"] == project["client"]
        assert row["updated_at"] == mine[row["id"]]["updated_at"]
        tasks = [
            t for t in account.truth("task_assignments") if t["project"]["id"] == project["id"]
        ]
        assert sorted(ids(row["task_assignments"])) == sorted(ids(tasks))
        assert "project" not in row["task_assignments"][0]
        assert "user" not in row
    truth = [r for r in account.truth("user_project_assignments") if r["user_id"] == user]
    assert {r["id"]: {**r, "user_id": user} for r in rows} == {r["id"]: r for r in truth}
    newest = max(row["updated_at"] for row in rows)
    assert {row["updated_at"] for row in read(sandbox, path, updated_since=newest)} == {newest}
    account.update("user_assignments", active[0], is_active=False)
    assert active[0] not in ids(read(sandbox, path))


def test_project_assignments_readers(sandbox: Sandbox) -> None:
    """Own assignments are open to everyone, others' to a manager with that teammate."""
    account = sandbox.account
    member, manager = sandbox.users[sandbox.member_token], sandbox.users[sandbox.manager_token]
    assert member
    assert manager
    mate = next(iter(account.teammates[manager] - {member}))
    stranger = max(account.records["users"].keys() - account.teammates[manager])
    asked = [
        (sandbox.member_token, member), (sandbox.member_token, mate),
        (sandbox.manager_token, manager), (sandbox.manager_token, mate),
        (sandbox.manager_token, stranger), (sandbox.token, stranger), (sandbox.token, 1),
    ]  # fmt: skip
    statuses = [
        ask(sandbox, f"users/{user}/project_assignments", token).status_code
        for token, user in asked
    ]
    assert statuses == [200, 403, 200, 200, 403, 200, 404]


def test_teammates(sandbox: Sandbox) -> None:
    """A manager's teammates have names and no stamps; other users answer 422."""
    account = sandbox.account
    manager, member = sandbox.users[sandbox.manager_token], sandbox.users[sandbox.member_token]
    assert manager
    path = f"users/{manager}/teammates"
    rows = read(sandbox, path, per_page=1)
    assert set(ids(rows)) == account.teammates[manager]
    assert rows[0].keys() == {"id", "first_name", "last_name", "email"}
    truth = account.truth("user_teammates")
    assert sorted(ids(truth)) == sorted(ids(rows))
    assert {row["user_id"] for row in truth} == {manager}
    refused = ask(sandbox, f"users/{member}/teammates")
    assert refused.status_code == 422
    assert refused.json() == {"message": "User must be a Manager to have teammates"}
    assert ask(sandbox, path, sandbox.manager_token).status_code == 403
    account.teammates[manager] = set()
    assert read(sandbox, path) == []
    account.update("users", manager, access_roles=["member"])
    assert ask(sandbox, path).status_code == 422
