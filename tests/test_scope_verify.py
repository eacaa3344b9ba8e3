"""A verification and a check keep to the clients, projects and users that tables are limited to."""

from __future__ import annotations

import re
from typing import Any

import pytest
from dlt import Pipeline

from harvest.check import PROBES, check
from harvest.errors import UnknownIdError, UnverifiableError
from harvest.run import load
from harvest_sandbox import Sandbox

from .limits import common, in_scope, move
from .verified import TABLES, Loaded, differing, settings_of, silent, vary


def loaded_with(sandbox: Sandbox, duck: Pipeline, *tables: str, **scope: Any) -> Loaded:
    """Load an account with limits."""
    vary(sandbox)
    load(duck, *tables or TABLES, tell=silent, **settings_of(sandbox, **scope))
    return Loaded(sandbox, duck)


@pytest.mark.parametrize(
    ("kind", "by", "reports"),
    [
        ("clients", "client", {"time", "expenses", "uninvoiced", "budgets"}),
        ("projects", "project", {"time", "expenses", "uninvoiced", "budgets"}),
        ("users", "person", {"time", "expenses"}),
    ],
)
def test_verify(sandbox: Sandbox, duck: Pipeline, kind: str, by: str, reports: set[str]) -> None:
    """What is in scope agrees, by what the limit leaves whole, and a lost entry is found."""
    scope = {kind: common(sandbox, kind[:-1], 2)}
    loaded = loaded_with(sandbox, duck, **scope)
    rows, lines = loaded.compare(**scope)
    assert {row["verdict"] for row in rows} == {"agrees"}, lines
    assert {row["report"] for row in rows} == reports
    timed = [row for row in rows if row["report"] in ("time", "expenses")]
    assert {row["subject"] for row in timed} == {by}
    assert {row["subject_id"] for row in timed} <= {*scope[kind]}
    entries = in_scope(sandbox, "time_entries", **scope)
    hours = sum(r["warehouse"] for r in timed if r["measure"] == "total_hours")
    assert hours == sum(entry["rounded_hours"] or entry["hours"] for entry in entries)
    if kind == "clients":
        rows, lines = loaded.compare(**scope, by="project")
        assert {row["verdict"] for row in rows} == {"agrees"}, lines
    else:
        assert f"compared by {by}, since tables are limited to {kind}" in "".join(lines)
    if kind == "users":
        assert "budgets not compared, since no such report is of users" in "".join(lines)
    lost = entries[0]["id"]
    with loaded.changed("time_entries", f"DELETE FROM {{time_entries}} WHERE id = {lost}"):
        rows, lines = loaded.compare(**scope)
    assert ("time", "total_hours") in differing(rows), lines
    assert f"time entry {lost} is missing here" in "".join(lines)


def test_verify_two_kinds(sandbox: Sandbox, duck: Pipeline) -> None:
    """People on projects are in no report: that nothing can be compared is an error."""
    scope = {"projects": common(sandbox, "project"), "users": common(sandbox, "user")}
    with pytest.raises(UnverifiableError, match="time not compared, since no such report is of pr"):
        loaded_with(sandbox, duck, "time_entries", **scope).compare(**scope)


def test_verify_moved(sandbox: Sandbox, duck: Pipeline) -> None:
    """What was moved in or out since the last run is explained, also where it is kept."""
    mine, other = common(sandbox, "project")
    scope = {"projects": [mine]}
    loaded = loaded_with(sandbox, duck, **scope)
    sandbox.clock.shift(minutes=5)
    out, into = (in_scope(sandbox, "time_entries", projects=[p])[0]["id"] for p in (mine, other))
    move(sandbox, out, other)
    move(sandbox, into, mine)
    rows, lines = loaded.compare(**scope)
    assert not differing(rows), lines
    reasons = "".join(row["reason"] or "" for row in rows)
    assert f"time entry {into} is missing here, changed in Harvest since the last run" in reasons
    assert f"time entry {out} differs: " in reasons
    keeping = {**scope, "deletions": "keep"}
    load(duck, "time_entries", tell=silent, **settings_of(sandbox, **keeping))
    rows, lines = loaded.compare(**keeping)
    assert not differing(rows), lines
    assert f"time entry {out} was moved to others, and kept" in "".join(lines)


def test_verify_other_scope(sandbox: Sandbox, duck: Pipeline) -> None:
    """Tables of another scope than the settings name are not compared."""
    loaded = loaded_with(sandbox, duck, "time_entries", users=common(sandbox, "user", 5))
    limited = r"loaded limited to users [\d, ]+, and the settings name no limit"
    with pytest.raises(UnverifiableError, match=limited):
        loaded.compare()
    project = common(sandbox, "project", 1)
    with pytest.raises(UnverifiableError, match=f"the settings limit it to project {project[0]}"):
        loaded.compare(projects=project)


def checked(sandbox: Sandbox, **scope: Any) -> tuple[bool, str]:
    """Check; return whether all is well, and the text."""
    lines: list[str] = []
    settings = settings_of(sandbox, **scope)
    del settings["rate_limit"]
    well = check(lines.append, **settings)
    return well, "\n".join(lines)


def test_check(sandbox: Sandbox) -> None:
    """A check names the scope and counts what a first run would read within it."""
    scope = {"projects": common(sandbox, "project", 3)}
    well, text = checked(sandbox, **scope)
    assert well, text
    assert "Limited       time_entries and expenses to projects " in text
    (counts,) = re.findall(r"time_entries +(\d+) +(\d+)", text)
    assert counts == (str(len(in_scope(sandbox, "time_entries", **scope))), "3")
    with pytest.raises(UnknownIdError, match="`users` names 77"):
        checked(sandbox, users=[77])


@pytest.mark.parametrize("name", ["client_id", "project_id", "user_id"])
def test_check_unheeded(sandbox: Sandbox, name: str) -> None:
    """A check says where Harvest ignores one of the filters, and what follows."""
    sandbox.ignored_filters = [name]
    well, text = checked(sandbox)
    assert not well
    (probe,) = (probe for probe in PROBES if "`project_id`" in probe.expected)
    seen = f"otherwise in time_entries by {name}, expenses by {name}. So {probe.otherwise}."
    assert f"  NO    {probe.expected}: {seen}" in text
