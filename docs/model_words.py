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
    "is_fixed_fee": "Whether the project has a fixed fee; false where the project is not there, "
    "null where no projects were read.",
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

KEYS = {
    "assignment_budgets": "project_id budget_of",
    "clients": "client_id",
    "company": "",
    "cost_rates": "user_id valid_from",
    "estimates": "estimate_id",
    "expenses": "expense_id",
    "freshness": "table_name",
    "invoice_lines": "invoice_line_id",
    "invoice_payments": "invoice_payment_id",
    "invoices": "invoice_id",
    "projects": "project_id",
    "tasks": "task_id",
    "time_entries": "time_entry_id",
    "time_entry_versions": "time_entry_id _version",
    "users": "user_id",
}
"""What one row of a staging model stands for, besides the account."""

METRICS = {
    "accounts": "company_name currency weekly_capacity week_start_day first_week history_from "
    "limited_to whole_from today",
    "approvals": "week_start user_id user_name hours unsubmitted_hours submitted_hours "
    "approved_hours other_hours uses_approval is_whole",
    "budget_burn": "day client_id client_name project_id project_name is_archived budget_by "
    "budget_is_monthly budget unit currency spent_that_day spent remaining share spent_lately "
    "runs_out_on is_whole",
    "edits_after_invoicing": "time_entry_id spent_date user_id user_name client_id client_name "
    "project_id project_name task_id task_name invoice_id invoice_number invoiced_at changed_at "
    "days_after hours billable_amount hours_invoiced billable_amount_invoiced currency is_whole",
    "estimates": "month drafts sent accepted declined undecided sent_amount accepted_amount "
    "declined_amount currency win_rate win_rate_by_amount is_whole",
    "expenses": "month expense_category_id expense_category_name currency expenses amount "
    "billable_amount uninvoiced_amount is_whole",
    "hours": "spent_date user_id user_name client_id client_name project_id project_name task_id "
    "task_name is_fixed_fee entries hours rounded_hours billable_hours billable_rounded_hours "
    "nonbillable_hours nonbillable_rounded_hours billable_amount currency hours_without_rate cost "
    "cost_currency hours_without_cost_rate is_whole",
    "missing_timesheets": "week_start user_id user_name is_contractor status capacity_hours "
    "tracked_hours missing_hours is_whole",
    "profit_fixed_fee": "month client_id client_name project_id project_name hours fee invoiced "
    "revenue expenses currency cost cost_currency exchange_rate profit profit_currency "
    "hours_without_cost_rate starts_on ends_on is_whole",
    "profit_time_and_materials": "month client_id client_name project_id project_name is_billable "
    "hours billable_hours billable_amount billable_expenses revenue expenses currency cost "
    "cost_currency exchange_rate profit profit_currency hours_without_rate "
    "hours_without_cost_rate is_whole",
    "receivables_aging": "invoice_id invoice_number client_id client_name status issue_date "
    "due_date amount paid_amount due_amount currency is_partly_paid days_past_due age days_to_pay "
    "client_average_days_to_pay is_whole",
    "utilization": "week_start user_id user_name is_contractor is_archived working_days "
    "capacity_hours tracked_hours billable_hours utilization billable_utilization billable_share "
    "is_whole",
    "work_in_progress": "spent_date client_id client_name project_id project_name is_fixed_fee "
    "hours amount expenses currency hours_without_rate age_days age is_whole",
}
"""The columns of each metric, after `_account_id`."""

METRIC_WORDS = {
    "_account_id": "The Harvest account that the row belongs to.",
    "accepted": "Estimates that were accepted.",
    "accepted_amount": "What these are worth.",
    "age": "Days since the work, in spans.",
    "age_days": "Days since the work.",
    "amount": "What the hours are worth at the entries' rates, in `currency`; 0 for fixed fees.",
    "approved_hours": "Hours that were approved.",
    "billable_amount": "Rounded billable hours × rate, in `currency`.",
    "billable_amount_invoiced": "What `billable_amount` was when it was invoiced; null where no "
    "run saw that.",
    "billable_expenses": "Expenses that the client is billed for, in `currency`.",
    "billable_hours": "Billable hours as they were tracked.",
    "billable_rounded_hours": "Billable hours as the account rounds them.",
    "billable_share": "Billable hours ÷ all.",
    "billable_utilization": "Billable hours ÷ capacity.",
    "budget": "The budget, in `unit`: the project's, or the sum of its tasks' or people's.",
    "budget_by": "What the budget is of, in Harvest's words, such as project or project_cost.",
    "budget_is_monthly": "Whether the budget is renewed each month.",
    "capacity_hours": "Hours that the person could work in the week; null where that is not known.",
    "changed_at": "When the entry last changed (UTC).",
    "client_average_days_to_pay": "Mean of `days_to_pay` of the client, to a tenth, over invoices "
    "issued since history is whole.",
    "client_id": "The client: `id` in `clients`.",
    "client_name": "The client's name as it is now, or as the record tells it.",
    "company_name": "The company's name.",
    "cost": "Rounded hours × cost rate, in `cost_currency`.",
    "cost_currency": "The company's currency, which cost rates are in.",
    "currency": "The currency of the amounts: the record's or the client's, else the company's.",
    "day": "A day on which something was spent, or today.",
    "days_after": "Days from invoice to change.",
    "days_past_due": "Days since the due date; below zero: until then.",
    "days_to_pay": "Days from issue to payment; null where it is not paid.",
    "declined": "Estimates that were declined.",
    "declined_amount": "What these are worth.",
    "drafts": "Estimates that were not sent.",
    "due_amount": "What is still owed.",
    "due_date": "The day on which payment is due.",
    "ends_on": "The last day of the project.",
    "entries": "How many time entries.",
    "exchange_rate": "What one unit of `currency` is worth in the company's; null where that is "
    "not known.",
    "expense_category_id": "The category: `id` in `expense_categories`.",
    "expense_category_name": "The category's name as it is now, or as the record tells it.",
    "expenses": "What all expenses cost, in `currency`.",
    "fee": "The project's fee, in `currency`.",
    "first_week": "A day that begins a week, before all others: from it weeks are counted.",
    "history_from": "From which day on history is whole; 1900-01-01: all of it; null: not known.",
    "hours": "Hours as they were tracked.",
    "hours_invoiced": "What `hours` was when it was invoiced; null where no run saw that.",
    "hours_without_cost_rate": "Rounded hours without a cost rate, which `cost` leaves out.",
    "hours_without_rate": "Rounded billable hours without a rate, which amounts leave out.",
    "invoice_id": "The invoice: `id` in `invoices`.",
    "invoice_number": "The invoice's number.",
    "invoiced": "What was invoiced for the project so far, before tax and discount, in `currency`.",
    "invoiced_at": "When the invoice was made (UTC).",
    "is_archived": "Whether it is archived in Harvest; null where that is not known.",
    "is_billable": "Whether the project is billable.",
    "is_contractor": "Whether the person is a contractor, not an employee; null where that is not "
    "known.",
    "is_fixed_fee": "Whether the project has a fixed fee; false where the project is not there, "
    "null where no projects were read.",
    "is_partly_paid": "Whether some of what is owed was paid; null where payments were not read.",
    "is_whole": "Whether no record lacks in the row; null where that is not known.",
    "issue_date": "The day of issue.",
    "limited_to": "What time entries and expenses are limited to; null: to nothing.",
    "missing_hours": "Capacity less tracked hours; 0 where more was tracked.",
    "month": "The first day of the month.",
    "nonbillable_hours": "Other hours as they were tracked.",
    "nonbillable_rounded_hours": "Other hours as the account rounds them.",
    "other_hours": "Hours without an approval status, or with one that is new.",
    "paid_amount": "The sum of its payments; null where there is none and they were not read.",
    "profit": "Revenue − expenses − cost, in `profit_currency`; null where that can't be known.",
    "profit_currency": "The company's currency.",
    "project_id": "The project: `id` in `projects`.",
    "project_name": "The project's name as it is now, or as the record tells it.",
    "remaining": "What is left of the budget, in `unit`; below zero where it is exceeded.",
    "revenue": "What the month brings, in `currency`.",
    "rounded_hours": "Hours as the account rounds them.",
    "runs_out_on": "The day on which the rest of the budget ends at the pace of late.",
    "sent": "Estimates that are no drafts.",
    "sent_amount": "What these are worth.",
    "share": "Spent ÷ budget.",
    "spent": "What was spent until the day, of monthly budgets in its month, in `unit`.",
    "spent_date": "The day of the work, as the person tracked it.",
    "spent_lately": "What was spent in the last `forecast_days` days, in `unit`.",
    "spent_that_day": "What was spent on the day, in `unit`.",
    "starts_on": "The first day of the project.",
    "submitted_hours": "Hours that wait for approval.",
    "task_id": "The task: `id` in `tasks`.",
    "task_name": "The task's name as it is now, or as the record tells it.",
    "time_entry_id": "The entry: `id` in `time_entries`.",
    "today": "The day that ages and forecasts are counted from.",
    "tracked_hours": "Hours as they were tracked.",
    "undecided": "Estimates that were sent, and neither accepted nor declined.",
    "uninvoiced_amount": "What of the billable amount is not invoiced yet.",
    "unit": "What the budget is in: hours, or the code of a currency.",
    "unsubmitted_hours": "Hours that were not submitted for approval.",
    "user_id": "The person: `id` in `users`.",
    "user_name": "The person's full name as it is now, or as the record tells it.",
    "uses_approval": "Whether the account uses approvals.",
    "utilization": "Tracked hours ÷ capacity.",
    "week_start": "The first day of the week, by the company's first weekday.",
    "week_start_day": "The weekday that the company's weeks begin on.",
    "weekly_capacity": "Time that a person usually works in a week, in seconds.",
    "whole_from": "From which day on time entries and expenses are all there; 9999-12-31: never.",
    "win_rate": "Accepted ÷ (accepted + declined).",
    "win_rate_by_amount": "The same, by amount.",
    "working_days": "Days from Monday to Friday, since the first entry and until today.",
}
"""What a column of the metrics means."""

OTHERWISE = {
    "accounts.currency": "The company's currency.",
    "budget_burn.currency": "The client's currency; null where the budget is hours.",
    "edits_after_invoicing.billable_amount": "Rounded hours × rate; null without a rate.",
    "estimates.currency": "The currency of the amounts.",
    "expenses.amount": "What these expenses cost, in `currency`.",
    "expenses.billable_amount": "What of it is billable.",
    "expenses.expenses": "How many expenses.",
    "missing_timesheets.status": "Whom it is of: due (must be reminded), archived, not started.",
    "profit_fixed_fee.hours": "Hours as the account rounds them.",
    "profit_time_and_materials.billable_hours": "Billable hours as the account rounds them.",
    "profit_time_and_materials.hours": "Hours as the account rounds them.",
    "receivables_aging.age": "Days past the due date, in spans; null where nothing is owed.",
    "receivables_aging.amount": "The invoice's amount, with tax, in `currency`.",
    "receivables_aging.status": "draft, open, retainer (open, of a retainer), paid or closed.",
    "work_in_progress.expenses": "Billable expenses that are not invoiced, in `currency`.",
    "work_in_progress.hours": "Hours as the account rounds them.",
}
"""What a column means in one metric, where it is not the same as in others."""

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
        yield f"    data_tests: [key: {{arguments: {{columns: [{', '.join(_key(model))}]}}}}]"
        yield "    columns:"
        for expression in _expressions(selects):
            name = re.findall(r"\w+", expression)[-1]
            yield from _described("      ", name, _meaning(model, name, expression))


def metric(model: str) -> str:
    """Return the YAML that describes the columns of a metric."""
    columns = ("_account_id", *METRICS[model].split())
    return "\n".join(
        line
        for name in columns
        for line in _described("", name, OTHERWISE.get(f"{model}.{name}") or METRIC_WORDS[name])
    )


def _described(indent: str, name: str, meaning: str) -> Iterator[str]:
    yield f"{indent}- name: {name}"
    yield f"{indent}  description: {json.dumps(meaning, ensure_ascii=False)}"


def _key(model: str) -> list[str]:
    return ["_account_id", *KEYS[model].split()]


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
    words = known if known and (as_loaded or name not in WORDS) else WORDS[name]
    return re.sub(r"`(\w+)__id`", r"`\1_id`", words)  # as the models call it


def _loaded_meaning(model: str, expression: str) -> str | None:
    """Return what the first loaded column of an expression means; None if there is none."""
    for name in re.findall(r"\w+", expression):
        for table in LOADED.get(model, (model,)):
            with suppress(KeyError):
                if table == FRESHNESS:
                    return COLUMNS[name]["description"]
                return DLT_COLUMNS.get(name) or column_words(table, name)
    return None
