"""What a person may read: an account seen through a user's access roles. No HTTP."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from .account import Account, Scope

OWN = {"time_entries", "expenses"}
"""Lists that show everyone at least their own rows."""


class Reader:
    """A user's rights at this moment, or an administrator's who is no user.

    `grants` are the user's access roles, and what follows from them: "everyone", "teammates" of a
    manager who has some, "projects" of a manager who manages some.
    """

    def __init__(self, account: Account, user_id: int | None) -> None:
        self.account, self.user_id = account, user_id
        user = account.records["users"].get(user_id or 0)
        roles = set(user.get("access_roles", ())) if user else {"administrator"}
        self.administrator = "administrator" in roles
        self.team: frozenset[int] = frozenset()
        self.projects: frozenset[int] = frozenset()
        if "manager" in roles and not self.administrator:
            self.team = frozenset(account.teammates.get(user_id or 0, ()))
            self.projects = frozenset(
                row["project"]["id"]
                for row in account.records["user_assignments"].values()
                if row["is_project_manager"] and row["is_active"] and row["user"]["id"] == user_id
            )
        self.grants = {"everyone"}
        if roles & {"administrator", "manager"}:
            self.grants |= roles  # further roles are a manager's
        if self.team:
            self.grants.add("teammates")
        if self.projects:
            self.grants.add("projects")

    def may_read(self, readers: str, user_id: int | None = None) -> bool:
        """Tell whether this reader has any of the named grants.

        Args:
            readers: The grants that open a list.
            user_id: For the lists below a user: which one. "self" and "team" are granted when that
                is the reader, or one of the reader's teammates.
        """
        grants = set(self.grants)
        if user_id == self.user_id:
            grants.add("self")
        if user_id in self.team:
            grants.add("team")
        return self.administrator or not grants.isdisjoint(readers.split())

    def scope(self, table: str) -> Scope | None:
        """Return whose rows of a table are shown, silently; None for all."""
        if self.administrator:
            return None
        if table in OWN:
            return Scope(self.team | {self.user_id or 0}, self.projects)
        if table in ("users", "projects", "user_assignments", "task_assignments"):
            return Scope(self.team, self.projects)
        return None

    def hidden(self, table: str) -> AbstractSet[str]:
        """Return the fields that are absent for this reader."""
        if table != "users" or self.administrator:
            return frozenset()
        if "billable_rates_manager" in self.grants:
            return {"cost_rate"}
        return {"cost_rate", "default_hourly_rate"}
