"""Clients, projects and users that tables can be limited to, and what is theirs in the sandbox."""

from __future__ import annotations

from harvest_sandbox import Sandbox

from .truth import Row

FIELDS = {"clients": "client", "projects": "project", "users": "user"}


def common(sandbox: Sandbox, field: str, count: int = 2, skip: int = 0) -> list[int]:
    """Return the clients, projects or users with the most time entries."""
    times: dict[int, int] = {}
    for entry in sandbox.account.rows("time_entries"):
        times[entry[field]["id"]] = times.get(entry[field]["id"], 0) + 1
    return sorted(times, key=lambda i: (-times[i], i))[skip : skip + count]


def in_scope(sandbox: Sandbox, table: str, **scope: list[int]) -> list[Row]:
    """Return Harvest's records that meet each of the filters."""
    return [
        row
        for row in sandbox.account.truth(table)
        if all(row[FIELDS[name]]["id"] in ids for name, ids in scope.items())
    ]


def move(sandbox: Sandbox, entry: int, project: int) -> None:
    """Move a time entry to another project of the same client."""
    record = sandbox.account.records["projects"][project]
    nested = {name: record[name] for name in ("id", "name", "code")}
    sandbox.account.update("time_entries", entry, project=nested)
