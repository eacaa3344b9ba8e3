"""Which columns of a table name rows of another table."""

from __future__ import annotations

import re

from dlt.common.schema.typing import TTableReference, TTableReferenceParam

from .schema import ACCOUNT_ID, Columns

OBJECTS = {
    "client": "clients",
    "creator": "users",
    "estimate": "estimates",
    "expense_category": "expense_categories",
    "invoice": "invoices",
    "project": "projects",
    "task": "tasks",
    "task_assignment": "task_assignments",
    "user": "users",
    "user_assignment": "user_assignments",
}
"""The tables of the objects that records name, each by its `id`: `client__id`, `client_id`."""

SAME_ROWS = {
    "user_project_assignments": "user_assignments",
    "user_project_assignments__task_assignments": "task_assignments",
}
"""Tables whose `id` is that of a row in another table."""


def referenced(table: str, column: str) -> str | None:
    """Return the table whose row a column names by its `id`; None where it names none."""
    if column == "id":
        return SAME_ROWS.get(table)
    stem, found = re.subn("_{1,2}id$", "", column)
    return OBJECTS.get(stem) if found else None


def references(table: str, columns: Columns) -> TTableReferenceParam:
    """Return dlt's hints of how a table joins others: by account and id.

    dlt keeps one reference to each table. That the `id` of `user_teammates` is a person's too is
    therefore not told.

    Args:
        table: The table's name.
        columns: Its documented columns.
    """
    return [
        TTableReference(
            columns=[ACCOUNT_ID, column],
            referenced_table=other,
            referenced_columns=[ACCOUNT_ID, "id"],
            cardinality="many_to_one",
            label=column,
        )
        for column in columns.ids.split()
        if (other := referenced(table, column))
    ]
