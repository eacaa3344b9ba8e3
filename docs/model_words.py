"""Writes what the columns of dbt's models mean, for the files beside these models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from harvest.catalog.words import DLT_COLUMNS, column_words
from harvest.extract.freshness import COLUMNS, FRESHNESS

STAGING = Path("harvest/dbt/models/staging")

WORDS = {
    "billable_amount": "Rounded hours × the billable rate in `currency`; 0 if it is not billable.",
    "budget": "What they have together: hours or money, as the project's `budget_by` says.",
    "budget_of": "Whose budgets these are: person or task.",
    "client_name": "The client's name as it is now, or as the record tells it.",
    "cost": "Rounded hours × the cost rate, in `cost_currency`.",
    "cost_currency": "The company's currency, which cost rates are in.",
    "cost_rate": "What an hour costs you: the entry's own rate, else the person's of that day.",
    "created_on": "The UTC day that the record was made in Harvest.",
    "currency": "The currency of the amounts: the record's or the client's, else the company's.",
    "expense_category_name": "The category's name as it is now, or as the record tells it.",
    "is_archived": "Whether the record is archived in Harvest.",
    "is_fixed_fee": "Whether the project has a fixed fee; false where it is not known.",
    "issued_on": "The day of issue, else the UTC day that it was sent, else made.",
    "project_code": "The project's code; null where it is empty.",
    "project_name": "The project's name as it is now, or as the record tells it.",
    "rounded_hours": "Hours as the account rounds them; `hours` where that is not known.",
    "task_name": "The task's name as it is now, or as the record tells it.",
    "user_name": "The person's full name as it is now, or as the record tells it.",
    "valid_from": "The first day of the rate.",
    "valid_to": "The last day of the rate.",
}
"""What a column of a staging model means that is not as it was loaded."""

LOADED = {
    "assignment_budgets": ("user_assignments",),
    "cost_rates": ("user_cost_rates",),
    "freshness": (FRESHNESS,),
    "invoice_lines": ("invoices__line_items", "invoices"),
    "time_entry_versions": ("time_entries_history",),
}
"""The tables that a staging model reads, where it has another name."""


def staging() -> Iterator[str]:
    """Yield the lines of YAML that describe the staging models."""
    yield "models:"
    for path in sorted(STAGING.glob("*.sql")):
        model = path.stem.partition("__")[2]
        selects = re.findall(r"select\n(.*?)\n *from ", path.read_text(encoding="utf-8"), re.DOTALL)
        yield f"  - name: {path.stem}"
        yield "    columns:"
        for expression in _expressions(selects):
            name = re.findall(r"\w+", expression)[-1]
            yield f"      - name: {name}"
            said = json.dumps(_meaning(model, name, expression), ensure_ascii=False)
            yield f"        description: {said}"


def _expressions(selects: list[str]) -> list[str]:
    """Return the expressions of the last select; `*` stands for those of the one before."""
    text = re.sub(r"{{(.*?)}}", r"(\1)", selects[-1], flags=re.DOTALL)
    depth, found = 0, [""]
    for part in re.split(r"([(),])", text):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "," and not depth:
            found.append("")
        else:
            found[-1] += part
    return [
        inner
        for one in map(str.strip, found)
        for inner in (_expressions(selects[:-1]) if one == "*" else [one])
    ]


def _meaning(model: str, name: str, expression: str) -> str:
    """Return what a column means: as it was loaded, or else by `WORDS`."""
    as_loaded = re.fullmatch(r"[\w.]+( as \w+)?", expression)
    known = _loaded_meaning(model, expression)
    return known if known and (as_loaded or name not in WORDS) else WORDS[name]


def _loaded_meaning(model: str, expression: str) -> str | None:
    """Return what the first loaded column of an expression means; None if there is none."""
    for name in re.findall(r"\w+", expression):
        for table in LOADED.get(model, (model,)):
            with suppress(KeyError):
                if table == FRESHNESS:
                    return COLUMNS[name]["description"]
                return DLT_COLUMNS.get(name) or column_words(table, name)
    return None
