"""What each table and column means, for dlt's schema, databases, dbt and the documentation.

A column is described once: that of a nested object by the object's own table, and what all tables
have in common below `SHARED`. Ids name the table that they lead to.
"""

from __future__ import annotations

from dlt.common.schema.typing import TTableSchemaColumns

from .endpoints import BY_NAME
from .references import OBJECTS, referenced
from .schema import ACCOUNT_ID

Words = dict[str, str]

TABLE = ""
"""The key under which a nested table says what one of its rows is."""

SHARED: Words = {
    ACCOUNT_ID: "The Harvest account that the row belongs to.",
    "_deleted_at": "When the row was found to be gone from Harvest (UTC); null: it is there. Only "
    "with deletions = flag are such rows kept.",
    "id": "Harvest's number of the record.",
    "created_at": "When the record was made in Harvest (UTC).",
    "updated_at": "When the record last changed in Harvest (UTC). Harvest does not stamp every "
    "change.",
    "is_active": "Whether the record is in use; false: archived.",
    "first_name": "The person's first name.",
    "last_name": "The person's last name.",
    "email": "The person's email address.",
    "user__name": "The person's full name, as it was when this row was written.",
    "locked_reason": "Why the record can't be changed, in English.",
    "approval_status": "unsubmitted, submitted or approved.",
    "is_locked": "Whether the record can't be changed any more.",
    "is_closed": "Whether the record was approved. Harvest calls it deprecated: see "
    "`approval_status`.",
    "is_billed": "Whether the record was invoiced, or marked so: then `invoice__id` may be null.",
    "billable": "Whether the client is charged for it.",
}
"""Columns that mean the same in every table that does not say otherwise."""

DLT_COLUMNS: Words = {
    "_dlt_id": "dlt's own name of the row.",
    "_dlt_load_id": "The load that wrote the row last: `load_id` in `_dlt_loads`.",
    "_dlt_parent_id": "The row whose list the item is in: its `_dlt_id`.",
    "_dlt_root_id": "The row of the record that the item belongs to: its `_dlt_id`.",
    "_dlt_list_idx": "The item's place in its list, from 0.",
}
"""Columns that dlt adds."""

VERSIONS: Words = {
    "_version": "Number of the version, from 1 in each record.",
    "_seen_at": "When the run began that saw the version, by Harvest's clock (UTC).",
    "_deleted_at": "When the record was found to be gone from Harvest (UTC); null: it was there.",
    "line_items": "The lines as they were (a JSON list).",
}
"""What columns mean in the tables of versions, beside those of the record."""

_HISTORY = "_history"

_ASSIGNMENT: Words = {
    "is_active": "Whether the person may track time to the project; false: no longer.",
    "is_project_manager": "Whether the person manages the project.",
    "use_default_rates": "Whether the person's default rate holds on the project; false: "
    "`hourly_rate` does.",
    "hourly_rate": "Price of one hour of the person on the project, in the client's currency.",
    "budget": "Hours that the person has for the project, where `budget_by` is person.",
}
_TASK_ASSIGNMENT: Words = {
    "is_active": "Whether time may be tracked to the task on the project; false: no longer.",
    "billable": "Whether the client is charged for the task on the project.",
    "hourly_rate": "Price of one hour of the task on the project, in the client's currency, where "
    "`bill_by` is Tasks.",
    "budget": "What the task has on the project: hours where `budget_by` is task, money in the "
    "client's currency where it is task_fees.",
}
_MESSAGE: Words = {
    "sent_by": "Name of whoever sent the message.",
    "sent_by_email": "Email address of whoever sent the message.",
    "sent_from": "Name that the message shows as its sender.",
    "sent_from_email": "Email address that the message shows as its sender.",
    "subject": "The message's subject.",
    "body": "The message's text; null for a mere event.",
    "send_me_a_copy": "Whether the sender got a copy.",
}
_RECIPIENT: Words = {
    TABLE: "one reader of a message",
    "name": "The reader's name.",
    "email": "The reader's email address.",
}
_LINE: Words = {
    "kind": "The line's category, by name.",
    "description": "The line's text.",
    "quantity": "Number of units, such as hours.",
    "unit_price": "Price of one unit, in the document's currency; it may be finer than a cent.",
    "amount": "Price of the line before taxes and discount, in the document's currency.",
    "taxed": "Whether the first tax applies to the line.",
    "taxed2": "Whether the second tax applies to the line.",
}
_DOCUMENT: Words = {
    "creator__name": "Name of whoever made the document.",
    "client_key": "A secret: whoever has it opens the document in a browser, without a login.",
    "number": "The document's number, which may hold letters.",
    "purchase_order": "The client's number of the order.",
    "amount": "Total with taxes and discount, in `currency`.",
    "tax": "First tax, in percent: 10 is 10 %.",
    "tax_amount": "First tax, in `currency`.",
    "tax2": "Second tax, in percent: 10 is 10 %.",
    "tax2_amount": "Second tax, in `currency`.",
    "discount": "Discount, in percent: 10 is 10 %.",
    "discount_amount": "Discount, in `currency`.",
    "subject": "The document's subject.",
    "notes": "Further text of the document.",
    "currency": "Currency of the document's amounts (ISO 4217 code).",
    "sent_at": "When the document was last sent (UTC).",
}
_RATE: Words = {
    "start_date": "First day on which the rate holds; null: it always did.",
    "end_date": "Last day on which the rate holds; null: it still does.",
}
_SPENT: Words = {"client__currency": "The client's currency (ISO 4217 code): amounts are in it."}

TABLES: dict[str, Words] = {
    "users": {
        "telephone": "The person's telephone number.",
        "timezone": "The person's time zone, by its name in Rails, such as Kyiv.",
        "has_access_to_all_future_projects": "Whether the person joins each new project.",
        "is_contractor": "Whether the person is a contractor, not an employee.",
        "weekly_capacity": "Time that the person can work in a week, in seconds.",
        "default_hourly_rate": "Price of one hour of the person where no project has its own; null "
        "also where the token may not see rates.",
        "cost_rate": "What one hour of the person costs you today; null also where the token may "
        "not see it.",
        "roles": "Names of the person's roles, see `roles` (a JSON list).",
        "access_roles": "What the person may do in Harvest: administrator, manager or member, and "
        "what more a manager may (a JSON list).",
        "permissions_claims": "Further rights of the person, which Harvest does not document (a "
        "JSON list).",
        "avatar_url": "Address of the person's picture; it changes often.",
    },
    "clients": {
        "name": "The client's name.",
        "address": "The client's postal address.",
        "statement_key": "A secret: whoever has it opens the client's statement in a browser, "
        "without a login.",
        "currency": "The client's currency (ISO 4217 code).",
    },
    "contacts": {
        "title": "The person's title.",
        "phone_office": "The person's telephone number in the office.",
        "phone_mobile": "The person's mobile number.",
        "fax": "The person's fax number.",
    },
    "projects": {
        "name": "The project's name.",
        "code": "The project's code.",
        "is_billable": "Whether the client is charged for the project.",
        "is_fixed_fee": "Whether the client pays an agreed `fee`, and not by the hour.",
        "bill_by": "Whose rates hold: Project, Tasks, People or none.",
        "hourly_rate": "Price of one hour, in the client's currency, where `bill_by` is Project.",
        "budget": "Budget in hours.",
        "budget_by": "What the budget counts: hours of the project (project), of each task (task) "
        "or person (person); money of the project (project_cost) or each task (task_fees); none.",
        "budget_is_monthly": "Whether the budget begins anew each month.",
        "notify_when_over_budget": "Whether Harvest warns when much of the budget is spent.",
        "over_budget_notification_percentage": "Share of the budget at which Harvest warns, in "
        "percent: 80 is 80 %.",
        "over_budget_notification_date": "Day of the last such warning; null: none was sent.",
        "show_budget_to_all": "Whether everybody on the project sees its budget.",
        "cost_budget": "Budget in money, in the client's currency.",
        "cost_budget_include_expenses": "Whether expenses count towards `cost_budget`.",
        "fee": "Agreed price of a fixed-fee project, in the client's currency.",
        "notes": "Notes on the project.",
        "starts_on": "The project's first day; null: nobody set it.",
        "ends_on": "The project's last day; null: nobody set it.",
    },
    "tasks": {
        "name": "The task's name.",
        "billable_by_default": "Whether the task is billable where it joins a project.",
        "default_hourly_rate": "Price of one hour of the task where it joins a project.",
        "is_default": "Whether the task joins each new project.",
    },
    "roles": {
        "name": "The role's name.",
        "user_ids": "The people who have the role: their `id` in `users` (a JSON list).",
    },
    "user_assignments": _ASSIGNMENT,
    "task_assignments": _TASK_ASSIGNMENT,
    "expense_categories": {
        "name": "The category's name.",
        "unit_name": "What is counted, such as mile; null: amounts are entered as they are.",
        "unit_price": "Price of one unit; it may be finer than a cent.",
    },
    "invoice_item_categories": {
        "name": "The category's name. Lines of invoices name it as their `kind`.",
        "use_as_service": "Whether hours that are invoiced become lines of the category.",
        "use_as_expense": "Whether expenses that are invoiced become lines of the category.",
    },
    "estimate_item_categories": {
        "name": "The category's name. Lines of estimates name it as their `kind`.",
    },
    "time_entries": {
        **_SPENT,
        "spent_date": "Day of the work, where the person is.",
        "hours": "Hours as they were tracked: 1.5 is an hour and a half. Of a running timer what "
        "it showed when it was read; negative in corrections.",
        "hours_without_timer": "Hours that are saved, without those of a running timer.",
        "rounded_hours": "Hours by the account's time rounding, as reports and invoices count.",
        "notes": "What the person wrote about the work.",
        "is_running": "Whether the entry's timer is running.",
        "timer_started_at": "When the running timer was started (UTC); null: it is not running.",
        "started_time": "Time of day at which the work began, as Harvest writes it: 2:59pm or "
        "14:59, where the person is. Null where only durations are tracked.",
        "ended_time": "Time of day at which the work ended, as `started_time`; null also while the "
        "timer is running.",
        "budgeted": "Whether the hours count towards the project's budget.",
        "billable_rate": "Price of one hour, in the client's currency; null: not billable, or the "
        "token may not see it.",
        "cost_rate": "What one hour costs you; null: unknown, or the token may not see it.",
        "external_reference__id": "Name of what was worked on in another service, by that service.",
        "external_reference__group_id": "Name of the group it is in, such as a board, by that "
        "service.",
        "external_reference__account_id": "Name of the account there, by that service.",
        "external_reference__permalink": "Address of what was worked on.",
        "external_reference__service": "The other service, such as trello.com.",
        "external_reference__service_icon_url": "Address of the service's icon.",
    },
    "expenses": {
        **_SPENT,
        "spent_date": "Day of the expense.",
        "notes": "What the person wrote about the expense.",
        "units": "Number of units of the category.",
        "total_cost": "Amount of the expense, in the client's currency.",
        "receipt__url": "Address of the receipt, which may need a login or stop working.",
        "receipt__file_name": "Name of the receipt's file.",
        "receipt__file_size": "Size of the receipt's file, in bytes.",
        "receipt__content_type": "MIME type of the receipt's file.",
    },
    "invoices": {
        **_DOCUMENT,
        "due_amount": "What is still to be paid, in `currency`.",
        "state": "draft, open, paid or closed.",
        "payment_term": "When the invoice is due: upon receipt, net 15, net 30, net 45, net 60 or "
        "custom.",
        "payment_options": "How the client may pay online: ach, credit_card, paypal (a JSON list).",
        "period_start": "First day of the time and expenses that are invoiced; null: none were.",
        "period_end": "Last day of the time and expenses that are invoiced; null: none were.",
        "issue_date": "Day of issue.",
        "due_date": "Day by which the invoice is to be paid.",
        "paid_at": "When the invoice was paid (UTC); midnight where only the day is known.",
        "paid_date": "Day on which the invoice was paid.",
        "closed_at": "When the invoice was closed, as one that will not be paid (UTC).",
        "retainer__id": "Harvest's number of the retainer, which its API does not list.",
        "recurring_invoice_id": "Harvest's number of the recurring invoice that this is one of, "
        "which its API does not list.",
    },
    "invoices__line_items": {TABLE: "one line of an invoice", **_LINE},
    "estimates": {
        **_DOCUMENT,
        "state": "draft, sent, accepted or declined.",
        "issue_date": "Day of issue; null on drafts.",
        "accepted_at": "When the client accepted (UTC).",
        "declined_at": "When the client declined (UTC).",
    },
    "estimates__line_items": {TABLE: "one line of an estimate", **_LINE},
    "company": {
        "base_uri": "Address of the account's web pages.",
        "full_domain": "Domain of the account's web pages.",
        "name": "The company's name.",
        "is_active": "Whether the account is in use.",
        "week_start_day": "Day on which a week begins: Saturday, Sunday or Monday.",
        "wants_timestamp_timers": "Whether people track from when to when they work; false: how "
        "long.",
        "time_format": "How Harvest shows hours: decimal or hours_minutes.",
        "date_format": "How Harvest shows dates, such as %Y-%m-%d.",
        "plan_type": "The account's plan.",
        "clock": "How Harvest shows times of day: 12h or 24h.",
        "currency": "The company's currency (ISO 4217 code). Harvest does not document it.",
        "currency_code_display": "Where amounts show the currency's code: iso_code_none, "
        "iso_code_before or iso_code_after.",
        "currency_symbol_display": "Where amounts show the currency's sign: symbol_none, "
        "symbol_before or symbol_after.",
        "decimal_symbol": "What Harvest writes between a number's whole part and its decimals.",
        "thousands_separator": "What Harvest writes between the thousands of a number.",
        "color_scheme": "Colour of the account's web pages.",
        "weekly_capacity": "Time that a person can usually work in a week, in seconds.",
        "expense_feature": "Whether the account has the module for expenses.",
        "invoice_feature": "Whether the account has the module for invoices.",
        "estimate_feature": "Whether the account has the module for estimates.",
        "approval_feature": "Whether the account has the module for approvals.",
        "team_feature": "Whether the account has the module for the team.",
    },
    "invoice_messages": {
        **_MESSAGE,
        "event_type": "What happened to the invoice: send, close, draft, re-open, view; null: a "
        "message was mailed.",
        "send_reminder_on": "Day on which a reminder is to be sent.",
        "include_link_to_client_invoice": "Whether the message links to the invoice. Harvest calls "
        "it deprecated.",
        "attach_pdf": "Whether the invoice is attached as PDF.",
        "thank_you": "Whether the message thanks for a payment.",
        "reminder": "Whether the message reminds of a payment.",
    },
    "invoice_messages__recipients": _RECIPIENT,
    "invoice_payments": {
        "amount": "What was paid, in the invoice's currency.",
        "paid_at": "When it was paid (UTC).",
        "paid_date": "Day on which it was paid.",
        "recorded_by": "Name of whoever recorded the payment.",
        "recorded_by_email": "Email address of whoever recorded the payment.",
        "notes": "Notes on the payment.",
        "transaction_id": "The payment service's name of the payment.",
        "payment_gateway__id": "Harvest's number of the payment service; null: recorded by hand.",
        "payment_gateway__name": "Name of the payment service; null: recorded by hand.",
    },
    "estimate_messages": {
        **_MESSAGE,
        "event_type": "What happened to the estimate: send, accept, decline, re-open, view, "
        "invoice; null: a message was mailed.",
    },
    "estimate_messages__recipients": _RECIPIENT,
    "user_billable_rates": {"amount": "Price of one hour of the person.", **_RATE},
    "user_cost_rates": {"amount": "What one hour of the person costs you.", **_RATE},
    "user_project_assignments": _ASSIGNMENT,
    "user_project_assignments__task_assignments": {
        TABLE: "one task that one person may track time to on one project",
        **_TASK_ASSIGNMENT,
    },
    "user_teammates": {
        "user_id": "The manager: `id` in `users`.",
        "id": "The person on the manager's team: `id` in `users`.",
    },
    "report_uninvoiced": {
        "period_start": "First of the 365 days that the figures cover.",
        "period_end": "Last of the 365 days that the figures cover.",
        "total_hours": "Rounded hours of the project in these days.",
        "uninvoiced_hours": "Rounded billable hours that are not invoiced.",
        "uninvoiced_expenses": "Billable expenses that are not invoiced, in `currency`.",
        "uninvoiced_amount": "What is not invoiced of hours, expenses and fee, in `currency`; "
        "negative where more than the fee was invoiced.",
    },
    "report_project_budget": {
        "budget": "The budget, this month's where it is monthly: in hours or in the client's "
        "currency, as `budget_by` says.",
        "budget_spent": "What is spent of the budget, in its unit.",
        "budget_remaining": "What is left of the budget, in its unit; negative: it is overrun.",
        "is_active": "Whether the project is in use; false: archived.",
    },
}
"""What columns mean in one table."""

REPORTS: Words = {
    "period_start": "First day of the period.",
    "period_end": "Last day of the period.",
    "snapshot_date": "Day on which the figures stood so (UTC).",
    "currency": "Currency of the amounts (ISO 4217 code); empty where the token may not see it.",
    "client_name": "The client's name, as it was when the report was read.",
    "project_name": "The project's name, as it was when the report was read. In reports by period "
    "with its code: [CODE] Name.",
    "task_name": "The task's name, as it was when the report was read.",
    "user_name": "The person's full name, as it was when the report was read.",
    "expense_category_name": "The category's name, as it was when the report was read.",
    "total_hours": "Rounded hours, billable or not.",
    "billable_hours": "Rounded hours that are billable.",
    "billable_amount": "What the client is charged for, in `currency`. In reports of time, hours "
    "of fixed-fee projects count as 0.",
    "total_amount": "Expenses, billable or not, in `currency`.",
    **{
        name: TABLES[table][name]
        for table, names in {
            "users": "is_contractor weekly_capacity avatar_url",
            "projects": "budget_by budget_is_monthly",
        }.items()
        for name in names.split()
    },
}
"""What columns mean in all reports that do not say otherwise."""


def table_words(table: str) -> str:
    """Return what a table holds: what one of its rows is."""
    if table.endswith(_HISTORY):
        return f"One row is one version of a row of `{table.removesuffix(_HISTORY)}`."
    row = BY_NAME[table].row if table in BY_NAME else TABLES[table][TABLE]
    return f"One row is {row}."


def column_words(table: str, column: str) -> str:
    """Return what a column of a table means.

    Raises:
        KeyError: Nobody said it.
    """
    if table.endswith(_HISTORY):
        return VERSIONS.get(column) or column_words(table.removesuffix(_HISTORY), column)
    own = TABLES.get(table, {})
    if column in own:
        return own[column]
    if other := referenced(table, column):
        stem = column.removesuffix("id").rstrip("_").replace("_", " ") or "same record as there"
        return f"The {stem}: `id` in `{other}`."
    reports = REPORTS if table in BY_NAME and BY_NAME[table].report else {}
    if words := reports.get(column) or SHARED.get(column):
        return words
    owner, _, part = column.partition("__")
    copied = column_words(OBJECTS[owner], part)
    return f"{copied} Copied from `{OBJECTS[owner]}`, and as old as this row."


def described(table: str, columns: TTableSchemaColumns) -> TTableSchemaColumns:
    """Return dlt's hints of columns, each with what it means."""
    return {
        name: {**column, "description": column_words(table, name)}
        for name, column in columns.items()
    }
