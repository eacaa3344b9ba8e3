"""The table of routes: all that can be read, by whom and by which filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Style = Literal["page", "cursor"]


@dataclass(frozen=True)
class Route:
    """One list.

    Args:
        path: Below `/v2/`; `{id}` stands for a number.
        readers: Who is not refused with 403, see `Reader.grants`; an administrator never is.
        filters: Documented filters besides `updated_since`.
        updated_since: Whether that filter is documented.
        style: The documented pagination; the lists by date also have `from` and `to`.
        module: The flag of `company` that switches the list off.
        table: The account's table; default: the path.
        key: The envelope's key; default: the path's last part.
        single: Whether one record can be read by its id.
        of_managers: Whether only a manager has such a list, below `users/{id}`.
    """

    path: str
    readers: str = "administrator"
    filters: str = ""
    updated_since: bool = True
    style: Style = "cursor"
    module: str = ""
    table: str = ""
    key: str = ""
    single: bool = True
    of_managers: bool = False

    def __post_init__(self) -> None:
        """Fill in what follows from the path."""
        object.__setattr__(self, "table", self.table or self.path)
        object.__setattr__(self, "key", self.key or self.path.rsplit("/", 1)[-1])


_INVOICERS = "managed_projects_invoice_drafter managed_projects_invoice_manager"
_FACTS = "user_id client_id project_id is_billed approval_status"

ROUTES = (
    Route("users", "teammates", "is_active"),
    Route("clients", "client_and_task_manager", "is_active"),
    Route("contacts", "client_and_task_manager", "client_id"),
    Route("projects", "projects", "is_active client_id"),
    Route("tasks", "client_and_task_manager", "is_active"),
    Route("roles", updated_since=False),
    Route("user_assignments", "teammates projects", "is_active user_id", single=False),
    Route("task_assignments", "projects", "is_active", single=False),
    Route("expense_categories", filters="is_active", module="expense_feature"),
    Route("invoice_item_categories", "projects", module="invoice_feature"),
    Route("estimate_item_categories", module="estimate_feature"),
    Route(
        "time_entries",
        "everyone",
        f"{_FACTS} task_id external_reference_id is_running",
        style="page",
    ),
    Route("expenses", "everyone", _FACTS, style="page", module="expense_feature"),
    Route(
        "invoices",
        _INVOICERS,
        "client_id line_items.project_id state",
        style="page",
        module="invoice_feature",
    ),
    Route(
        "estimates",
        "estimates_manager",
        "client_id state",
        style="page",
        module="estimate_feature",
    ),
    Route(
        "invoices/{id}/messages",
        _INVOICERS,
        module="invoice_feature",
        table="invoice_messages",
        key="invoice_messages",
        single=False,
    ),
    Route(
        "invoices/{id}/payments",
        _INVOICERS,
        module="invoice_feature",
        table="invoice_payments",
        key="invoice_payments",
        single=False,
    ),
    Route(
        "estimates/{id}/messages",
        "estimates_manager",
        module="estimate_feature",
        table="estimate_messages",
        key="estimate_messages",
        single=False,
    ),
    Route(
        "users/{id}/billable_rates",
        "billable_rates_manager",
        updated_since=False,
        table="user_billable_rates",
    ),
    Route("users/{id}/cost_rates", updated_since=False, table="user_cost_rates"),
    Route(
        "users/{id}/project_assignments",
        "self team",
        table="user_project_assignments",
        single=False,
    ),
    Route(
        "users/{id}/teammates",
        updated_since=False,
        table="user_teammates",
        single=False,
        of_managers=True,
    ),
)

LISTS = {route.path: route for route in ROUTES}
SINGLES = {f"{route.path}/{{id}}": route for route in ROUTES if route.single}


def pattern(path: str) -> tuple[str, list[int]]:
    """Return a path with `{id}` in place of its numbers, and the numbers."""
    parts = path.strip("/").split("/")
    numbers = [int(part) for part in parts if part.isdecimal()]
    return "/".join("{id}" if part.isdecimal() else part for part in parts), numbers
