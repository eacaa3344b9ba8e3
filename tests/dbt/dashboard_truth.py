"""What the dashboard must answer, added up in Python from the rows of the metrics."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from harvest.dashboard.reading import Choice

from ..truth import Row

Tables = dict[str, list[Row]]

DATED = ("spent_date", "day", "week_start")
"""Columns that say on which day begins what a row stands for, if that is no month."""

UNDATED = ("accounts", "work_in_progress", "receivables_aging")
"""What is open is open, whatever the period."""


def _client(tables: Tables, name: str) -> int:
    return next(int(r["client_id"]) for r in tables["hours"] if r["client_name"] == name)


def _within(day: date) -> date:
    """Return a day nearby that cuts a week, whichever day begins it, and a month."""
    while day.weekday() != 2 or not 8 <= day.day <= 21:
        day -= timedelta(days=1)
    return day


CHOICES: dict[str, Callable[[date, int, Tables], Choice]] = {
    "everything": lambda *_: Choice(),
    "a period": lambda today, *_: Choice(
        _within(today - timedelta(days=200)), _within(today - timedelta(days=30))
    ),
    "an account and a currency": lambda _, account, __: Choice(account=account, currency="USD"),
    "a client": lambda _, account, tables: Choice(client=(account, _client(tables, "Elm Library"))),
    "a person": lambda _, account, tables: Choice(
        person=(account, int(tables["hours"][0]["user_id"]))
    ),
}


def comparable(rows: Iterable[Row]) -> list[list[tuple[str, Any]]]:
    """Return rows whose order says nothing: ratios to ten places, whole numbers alike."""
    return sorted(
        ([(name, _plain(value)) for name, value in sorted(row.items())] for row in rows), key=str
    )


def _plain(value: Any) -> Any:
    if isinstance(value, (Decimal, float)) or (type(value) is int):
        return f"{round(Decimal(value), 10).normalize():f}"
    return value


class Answers:
    """The answers for one choice.

    Args:
        tables: All rows of the metrics.
        choice: What is chosen.
        today: The day that the metrics count from.
    """

    def __init__(self, tables: Tables, choice: Choice, today: date) -> None:
        self.tables, self.choice, self.today = tables, choice, today

    def rows(self, model: str) -> list[Row]:
        """Return the chosen rows of a model."""
        c = self.choice
        chosen = []
        for row in self.tables[model]:
            account = row["_account_id"]
            keep = c.account in {None, account}
            if model not in UNDATED:
                days = days_of(row)
                keep = keep and any(
                    (not c.first or day >= c.first) and (not c.last or day <= c.last)
                    for day in days
                )
            if c.client and "client_id" in row:
                keep = keep and (account, row["client_id"]) == c.client
            if c.person and "user_id" in row:
                keep = keep and (account, row["user_id"]) == c.person
            if c.currency and "currency" in row:
                keep = keep and row["currency"] in {c.currency, None}
            if keep:
                chosen.append(row)
        return chosen

    def of(self, title: str) -> list[Row]:
        """Return the answer to a question."""
        name = re.sub(r"[^a-z]+", "_", title.lower()).strip("_")
        answer: Callable[[], list[Row]] = getattr(self, f"_{name}")
        return answer()

    def _who_is_overbooked(self) -> list[Row]:
        return [
            {
                **key, "person": rows[0]["user_name"],
                "role": role(rows[0]),
                "capacity": total(rows, "capacity_hours"), "tracked": total(rows, "tracked_hours"),
                "billable": total(rows, "billable_hours"),
                "utilization": ratio(rows, "tracked_hours", "capacity_hours"),
                "billable_share": ratio(rows, "billable_hours", "tracked_hours"),
            }
            for key, rows in groups(self.rows("utilization"), "_account_id", "user_id")
        ]  # fmt: skip

    def _whose_timesheets_are_missing(self) -> list[Row]:
        return [
            {
                **key, "person": rows[0]["user_name"], "role": role(rows[0]),
                "missing_hours": total(rows, "missing_hours"),
                "weeks": len(rows), "newest_week": most(rows, "week_start"),
            }
            for key, rows in groups(self._missing(), "_account_id", "user_id")
        ]  # fmt: skip

    def _missing(self) -> list[Row]:
        return [
            row for row in self.rows("missing_timesheets")
            if row["status"] == "due" and row["missing_hours"] > 0
            and row["week_start"] + timedelta(days=6) < self.today
        ]  # fmt: skip

    def _how_full_was_each_week(self) -> list[Row]:
        return [
            {
                **taken(row, "_account_id", "user_id", "week_start", "utilization",
                        "billable_share", "is_whole"),
                "person": row["user_name"], "capacity": row["capacity_hours"],
                "tracked": row["tracked_hours"],
            }
            for row in self.rows("utilization")
        ]  # fmt: skip

    def _whose_hours_are_billable(self) -> list[Row]:
        return [
            {
                **key, "person": rows[0]["user_name"], "billable": total(rows, "billable_hours"),
                "not_billable": total(rows, "tracked_hours") - total(rows, "billable_hours"),
                "billable_share": ratio(rows, "billable_hours", "tracked_hours"),
            }
            for key, rows in groups(self.rows("utilization"), "_account_id", "user_id")
            if total(rows, "tracked_hours")
        ]  # fmt: skip

    def _whose_hours_wait_for_approval(self) -> list[Row]:
        waiting = [
            r
            for r in self.rows("approvals")
            if r["uses_approval"] and (r["submitted_hours"] or r["unsubmitted_hours"])
        ]
        return [
            {
                **key, "person": rows[0]["user_name"], "submitted": total(rows, "submitted_hours"),
                "not_submitted": total(rows, "unsubmitted_hours"),
                "oldest_week": min(r["week_start"] for r in rows),
            }
            for key, rows in groups(waiting, "_account_id", "user_id")
        ]  # fmt: skip

    def _latest(self) -> list[Row]:
        newest = [
            max(rows, key=lambda row: row["day"])
            for _, rows in groups(self.rows("budget_burn"), "_account_id", "project_id")
        ]
        return [row for row in newest if not row["is_archived"]]

    def _which_budgets_are_used_up(self) -> list[Row]:
        return [
            {
                **taken(row, "_account_id", "project_id", "budget_by", "budget", "spent",
                        "remaining", "unit", "runs_out_on", "is_whole"),
                "project": row["project_name"], "client": row["client_name"],
                "renewed": "each month" if row["budget_is_monthly"] else "once",
                "used": row["share"], "as_of": row["day"],
            }
            for row in self._latest()
        ]  # fmt: skip

    def _how_fast_do_the_fullest_budgets_burn(self) -> list[Row]:
        begun = [row for row in self._latest() if row["share"] > 0]
        begun.sort(key=lambda row: (-row["share"], row["_account_id"], row["project_id"]))
        fullest = {(row["_account_id"], row["project_id"]) for row in begun[:5]}
        return [
            {
                **taken(row, "_account_id", "project_id", "day", "spent", "budget", "unit",
                        "runs_out_on", "is_whole"),
                "project": row["project_name"], "used": row["share"],
            }
            for row in self.rows("budget_burn")
            if (row["_account_id"], row["project_id"]) in fullest
        ]  # fmt: skip

    def _where_do_the_hours_go(self) -> list[Row]:
        return [
            {
                **key, "project": rows[0]["project_name"], "client": rows[0]["client_name"],
                "billable": total(rows, "billable_hours"),
                "not_billable": total(rows, "nonbillable_hours"), "hours": total(rows, "hours"),
                "people": len({row["user_id"] for row in rows}),
            }
            for key, rows in groups(self.rows("hours"), "_account_id", "project_id")
        ]  # fmt: skip

    def _do_fixed_fees_pay(self) -> list[Row]:
        by = ("_account_id", "project_id", "currency", "profit_currency")
        return [
            {
                **key, "project": rows[0]["project_name"], "client": rows[0]["client_name"],
                "fee": rows[0]["fee"], "invoiced": rows[0]["invoiced"],
                "earned": total(rows, "revenue"), "expenses": total(rows, "expenses"),
                "cost": total(rows, "cost"), "profit": total(rows, "profit"),
                "hours": total(rows, "hours"),
                "hours_without_cost": total(rows, "hours_without_cost_rate"),
                "starts_on": rows[0]["starts_on"], "ends_on": rows[0]["ends_on"],
                "is_whole": all(row["is_whole"] for row in rows),
                "months_without_profit": without_profit(rows),
            }
            for key, rows in groups(self.rows("profit_fixed_fee"), *by)
        ]  # fmt: skip

    def _do_time_and_materials_projects_pay(self) -> list[Row]:
        by = ("_account_id", "project_id", "currency", "profit_currency")
        summed = ("hours", "billable_hours", "revenue", "expenses", "cost", "profit",
                  "hours_without_rate")  # fmt: skip
        return [
            {
                **key, "project": rows[0]["project_name"], "client": rows[0]["client_name"],
                **{name: total(rows, name) for name in summed},
                "hours_without_cost": total(rows, "hours_without_cost_rate"),
                "months_without_profit": without_profit(rows),
            }
            for key, rows in groups(self.rows("profit_time_and_materials"), *by)
        ]  # fmt: skip

    def _what_is_worked_but_not_invoiced(self) -> list[Row]:
        by = ("_account_id", "project_id", "age", "currency")
        return [
            {
                **key, "project": rows[0]["project_name"], "client": rows[0]["client_name"],
                **{name: total(rows, name) for name in ("hours", "amount", "expenses")},
                "not_invoiced": total(rows, "amount") + total(rows, "expenses"),
                "oldest_days": max(row["age_days"] for row in rows),
                "is_whole": all(row["is_whole"] for row in rows),
            }
            for key, rows in groups(self.rows("work_in_progress"), *by)
        ]  # fmt: skip

    def _owed(self) -> list[Row]:
        return [row for row in self.rows("receivables_aging") if row["age"]]

    def _who_owes_and_how_late(self) -> list[Row]:
        by = ("_account_id", "client_id", "age", "currency")
        return [
            {
                **key, "client": rows[0]["client_name"], "owed": total(rows, "due_amount"),
                "invoices": len(rows),
                "days_late": most(rows, "days_past_due"),
                "is_whole": all(row["is_whole"] for row in rows),
            }
            for key, rows in groups(self._owed(), *by)
        ]  # fmt: skip

    def _which_invoices_are_overdue(self) -> list[Row]:
        return [
            {
                **taken(row, "_account_id", "invoice_id", "issue_date", "due_date", "amount",
                        "currency"),
                "invoice": row["invoice_number"], "client": row["client_name"],
                "days_late": row["days_past_due"], "paid": row["paid_amount"],
                "owed": row["due_amount"],
            }
            for row in self._owed()
            if row["days_past_due"] is not None and row["days_past_due"] > 0
        ]  # fmt: skip

    def _how_long_do_clients_take_to_pay(self) -> list[Row]:
        known = [r for r in self.rows("receivables_aging") if r["client_average_days_to_pay"]]
        return [
            {
                **key, "client": rows[0]["client_name"],
                "days_to_pay": rows[0]["client_average_days_to_pay"],
                "paid_invoices": sum(
                    row["days_to_pay"] is not None and row["is_whole"] is not False for row in rows
                ),
            }
            for key, rows in groups(known, "_account_id", "client_id")
        ]  # fmt: skip

    def _which_clients_earn(self) -> list[Row]:
        by = ("_account_id", "client_id", "currency", "profit_currency")
        return [
            {
                **key, "client": rows[0]["client_name"],
                **{name: total(rows, name) for name in ("revenue", "expenses", "cost", "profit")},
                "months_without_profit": without_profit(rows),
            }
            for key, rows in groups([*self._by_time(), *self._by_fee()], *by)
        ]  # fmt: skip

    def _by_time(self) -> list[Row]:
        return self.rows("profit_time_and_materials")

    def _by_fee(self) -> list[Row]:
        return self.rows("profit_fixed_fee")

    def _what_does_each_month_bring(self) -> list[Row]:
        parts = {"time_and_materials": self._by_time(), "fixed_fees": self._by_fee()}
        every = [row for rows in parts.values() for row in rows]
        return [
            {
                **key,
                **{part: self._revenue(mine, rows) for part, mine in parts.items()},
                "is_whole": all(row["is_whole"] for row in rows),
            }
            for key, rows in groups(every, "month", "currency")
        ]  # fmt: skip

    @staticmethod
    def _revenue(mine: list[Row], rows: list[Row]) -> Decimal | None:
        known = [row for row in rows if row["revenue"] is not None]
        places = set(map(id, mine))
        return sum((r["revenue"] for r in known if id(r) in places), Decimal(0)) if known else None

    def _what_is_spent_on_expenses(self) -> list[Row]:
        rows = [
            {**row, "category": row["expense_category_name"] or "Without a category"}
            for row in self.rows("expenses")
        ]
        return [
            {
                **key, "amount": total(mine, "amount"), "billable": total(mine, "billable_amount"),
                "not_invoiced": total(mine, "uninvoiced_amount"),
                "expenses": total(mine, "expenses"),
                "is_whole": all(row["is_whole"] for row in mine),
            }
            for key, mine in groups(rows, "month", "category", "currency")
        ]  # fmt: skip

    def _what_becomes_of_estimates(self) -> list[Row]:
        answer = []
        for key, rows in groups(self.rows("estimates"), "month", "currency"):
            won, lost = total(rows, "accepted_amount"), total(rows, "declined_amount")
            answer.append({
                **key, "sent": total(rows, "sent"), "accepted_estimates": total(rows, "accepted"),
                "declined_estimates": total(rows, "declined"), "accepted": won, "declined": lost,
                "undecided": total(rows, "sent_amount") - won - lost,
                "won": won / (won + lost) if won + lost else None,
                "is_whole": all(row["is_whole"] for row in rows),
            })  # fmt: skip
        return answer

    def _which_entries_were_touched_after_invoicing(self) -> list[Row]:
        return [
            {
                **taken(row, "_account_id", "time_entry_id", "spent_date", "invoiced_at",
                        "changed_at", "days_after", "hours_invoiced", "hours", "currency"),
                "amount_invoiced": row["billable_amount_invoiced"],
                "person": row["user_name"], "client": row["client_name"],
                "project": row["project_name"], "invoice": row["invoice_number"],
                "amount": row["billable_amount"],
            }
            for row in self.rows("edits_after_invoicing")
        ]  # fmt: skip

    def left_out(self, title: str) -> int:
        """Return how many projects a figure leaves out, at least in some months."""
        models = {
            "Profit of fixed fees": self._by_fee(),
            "Profit of time and materials": self._by_time(),
            "Profit": [*self._by_fee(), *self._by_time()],
        }
        return len({
            (row["_account_id"], row["project_id"])
            for row in models.get(title, ())
            if row["profit"] is None
        })  # fmt: skip

    def figure(self, title: str) -> Row | None:
        """Return a figure by unit; None where it is not of the metrics."""
        weeks, latest, owed = self.rows("utilization"), self._latest(), self._owed()
        open_work = [
            {**row, "open": row["amount"] + row["expenses"]}
            for row in self.rows("work_in_progress")
        ]
        late = [row for row in owed if row["age"] != "not due"]
        soon = [r for r in latest if r["runs_out_on"] and (r["runs_out_on"] - r["day"]).days <= 28]
        figures: dict[str, Row] = {
            "Tracked of capacity": {
                f"{who}s": ratio(rows, "tracked_hours", "capacity_hours")
                for who, rows in by_role([w for w in weeks if w["capacity_hours"] is not None])
            },
            "Billable of tracked": {"": ratio(weeks, "billable_hours", "tracked_hours")},
            "Tracked": {"hours": total(weeks, "tracked_hours")},
            "Hours missing from timesheets": {
                f"{who}s": total(rows, "missing_hours") for who, rows in by_role(self._missing())
            },
            "Budgets used up": {"": sum(row["share"] >= 1 for row in latest)},
            "Used up within 28 days": {"": len(soon)},
            "Profit of fixed fees": by_unit(self._by_fee(), "profit", "profit_currency"),
            "Profit of time and materials": by_unit(self._by_time(), "profit", "profit_currency"),
            "Not invoiced": by_unit(open_work, "open", "currency"),
            "Owed": by_unit(owed, "due_amount", "currency"),
            "Overdue": by_unit(late, "due_amount", "currency"),
            "Profit": by_unit([*self._by_fee(), *self._by_time()], "profit", "profit_currency"),
        }
        if title not in figures:
            return None
        return {unit: value for unit, value in figures[title].items() if value is not None}


def days_of(row: Row) -> list[date]:
    """Return the first and the last day of what a row stands for, and those between."""
    if "month" in row:
        first, length = row["month"], monthrange(row["month"].year, row["month"].month)[1]
    else:
        first = next(row[name] for name in DATED if name in row)
        length = 7 if "week_start" in row else 1
    return [first + timedelta(days=n) for n in range(length)]


def role(row: Row) -> str:
    """Return what somebody is."""
    return "contractor" if row["is_contractor"] else "employee"


def without_profit(rows: Iterable[Row]) -> int:
    """Count the rows without a profit."""
    return len([row for row in rows if row["profit"] is None])


def taken(row: Row, *names: str) -> Row:
    """Return some columns of a row."""
    return {name: row[name] for name in names}


def by_role(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Return rows of employees, and of contractors."""
    return [(who, [r for r in rows if role(r) == who]) for who in ("employee", "contractor")]


def groups(rows: Iterable[Row], *by: str) -> list[tuple[Row, list[Row]]]:
    """Return rows that have the same values in some columns, by these."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in by), []).append(row)
    return [(dict(zip(by, key, strict=True)), members) for key, members in found.items()]


def total(rows: Iterable[Row], name: str) -> Any:
    """Return the sum of a column; None where no row has a value, as SQL says it."""
    known = [row[name] for row in rows if row[name] is not None]
    return sum(known) if known else None


def most(rows: Iterable[Row], name: str) -> Any:
    """Return the largest value of a column; None where no row has one."""
    return max((row[name] for row in rows if row[name] is not None), default=None)


def ratio(rows: list[Row], part: str, whole: str) -> Any:
    """Return what one column is of another."""
    above, below = total(rows, part), total(rows, whole)
    return above / below if above is not None and below else None


def by_unit(rows: list[Row], name: str, unit: str) -> Row:
    """Return the sums of a column, by unit."""
    return {key[unit]: total(mine, name) for key, mine in groups(rows, unit)}
