"""Asks the sandbox as a connector does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import requests

from harvest_sandbox import Sandbox

Json = dict[str, Any]


def ask(
    sandbox: Sandbox,
    path: str,
    token: str | None = None,
    account_id: int | str | None = None,
    **params: object,
) -> requests.Response:
    """Read a path below the base URL, or a whole address, as a connector does.

    The token is the administrator's and the account is the first one, if they are omitted.
    """
    url = path if path.startswith("http") else f"{sandbox.base_url}/{path}"
    headers = {
        "Authorization": f"Bearer {token or sandbox.token}",
        "Harvest-Account-Id": str(account_id or sandbox.account_id),
        "User-Agent": "tests (tests@example.com)",
    }
    query = {name.rstrip("_"): str(value) for name, value in params.items()}
    return requests.get(url, query, headers=headers, timeout=10)


def read(
    sandbox: Sandbox,
    path: str,
    token: str | None = None,
    account_id: int | str | None = None,
    **params: object,
) -> list[Json]:
    """Read a list to its end by its links."""
    rows: list[Json] = []
    answer = ask(sandbox, path, token, account_id, **params)
    while True:
        answer.raise_for_status()
        body = answer.json(parse_float=Decimal)
        (key,) = body.keys() - PAGING
        rows += body[key]
        if body["links"]["next"] is None:
            return rows
        answer = ask(sandbox, body["links"]["next"], token, account_id)


PAGING = {
    "per_page", "total_pages", "total_entries", "next_page", "previous_page", "page", "links",
}  # fmt: skip


def ids(rows: list[Json]) -> list[int]:
    """Return the ids in their order."""
    return [row["id"] for row in rows]


def line_project(sandbox: Sandbox) -> int:
    """Return the id of a project that an invoice's line names."""
    items = [item for row in sandbox.account.truth("invoices") for item in row["line_items"]]
    return next(int(item["project"]["id"]) for item in items if item["project"])
