"""What belongs to one person: the projects to track time to, and a manager's team."""

from __future__ import annotations

from typing import Any

from dlt import Pipeline

from harvest.run import load
from harvest_sandbox import Sandbox

from .running import Make, children_asked
from .truth import assert_equal, read

TABLES = ("user_project_assignments", "user_teammates")


def test_assignments(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Active assignments come with their tasks; one that is archived leaves, with its tasks."""
    pipeline.run(source().with_resources("user_project_assignments"))
    assert_equal(pipeline, sandbox, "user_project_assignments")
    archived = sandbox.account.truth("user_project_assignments")[0]["id"]
    sandbox.account.update("user_assignments", archived, is_active=False)
    pipeline.run(source().with_resources("user_project_assignments"))
    assert_equal(pipeline, sandbox, "user_project_assignments")
    rows = read(pipeline, "user_project_assignments")
    assert archived not in {row["id"] for row in rows}
    parents = {row["_dlt_parent_id"] for row in read(pipeline, f"{TABLES[0]}__task_assignments")}
    assert parents <= {row["_dlt_id"] for row in rows}


def test_teammates(
    sandbox: Sandbox, settings: dict[str, Any], pipeline: Pipeline, told: list[str]
) -> None:
    """Teammates are managers' only: Harvest refuses all others' with 422, which is no failure."""
    account = sandbox.account
    manager, other = sandbox.users[sandbox.manager_token], max(account.records["users"])
    assert manager
    account.update("users", other, access_roles=["manager"])
    account.teammates[other] = set(account.teammates[manager])  # on two teams at once
    summary = load(pipeline, "user_teammates", **settings)
    assert_equal(pipeline, sandbox, "user_teammates")
    assert {row["user_id"] for row in read(pipeline, "user_teammates")} == {manager, other}
    assert not summary.notices
    assert not summary.skipped
    assert not [line for line in told if "`user_teammates`" in line]
    account.update("users", other, access_roles=["member"])
    account.teammates[manager].pop()
    load(pipeline, "user_teammates", **settings)
    assert_equal(pipeline, sandbox, "user_teammates")
    assert {row["user_id"] for row in read(pipeline, "user_teammates")} == {manager}


def test_one_request_each(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Each person costs one request of each table."""
    duck.run(source().with_resources(*TABLES))
    asked = children_asked(sandbox)
    users = sandbox.account.records["users"]
    paths = {f"/v2/users/{u}/{p}" for u in users for p in ("project_assignments", "teammates")}
    assert sorted(asked) == sorted(paths)


def test_manager(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A manager's token reads teammates' assignments; the list of teammates is left out."""
    summary = load(duck, **{**settings, "api_key": sandbox.manager_token})
    team = sandbox.account.teammates[sandbox.users[sandbox.manager_token] or 0]
    truth = sandbox.account.truth("user_project_assignments")
    loaded = {row["id"] for row in read(duck, "user_project_assignments")}
    assert loaded == {row["id"] for row in truth if row["user_id"] in team}
    assert summary.skipped["user_teammates"] == "not allowed for this token"
    assert "user_project_assignments" not in summary.skipped
