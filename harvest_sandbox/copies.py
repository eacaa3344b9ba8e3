"""What records hold of others."""

from __future__ import annotations

from .account import Record


def ref(record: Record, *more: str) -> Record:
    """Return a record's id and name, as others hold them."""
    return {key: record[key] for key in ("id", "name", *more)}


def person(user: Record) -> Record:
    """Return a user's id and name, as others hold them."""
    return {"id": user["id"], "name": f"{user['first_name']} {user['last_name']}"}


def bare(assignment: Record, subject: str) -> Record:
    """Return an assignment as entries nest it."""
    return {k: v for k, v in assignment.items() if k not in ("project", subject)}
