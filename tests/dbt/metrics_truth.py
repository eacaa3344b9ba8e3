"""Computes each metric anew from the sandbox's records, in plain Python and exact decimals.

It shares nothing with the dbt package but the names of models and columns: sums are loops here,
spans of days are counted day by day, and amounts are `Decimal`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import Any

from harvest_sandbox.account import Account

Row = dict[str, Any]
Key = tuple[Any, ...]

NONE = Decimal(0)
KEYS = {
    "accounts": (),
    "hours": ("user_id", "project_id", "task_id", "spent_date"),
    "utilization": ("user_id", "week_start"),
    "profit_time_and_materials": ("project_id", "month"),
    "profit_fixed_fee": ("project_id", "month"),
    "budget_burn": ("project_id", "day"),
    "work_in_progress": ("project_id", "spent_date"),
    "receivables_aging": ("invoice_id",),
    "approvals": ("user_id", "week_start"),
    "missing_timesheets": ("user_id", "week_start"),
    "expenses": ("expense_category_id", "month", "currency"),
    "estimates": ("month", "currency"),
    "edits_after_invoicing": ("time_entry_id",),
}
"""What one row of each model stands for, besides the account."""


@dataclass
class Truth:
    """The metrics of an account.

    Args:
        account: The account.
        today: The day that ages are counted from.
        history_from: The day from which on history is whole.
        rates: What currencies are worth in the company's.
        seen: The time entries by id, as they were at each run.
        currency: The company's, where it is another than the account says.
        unknown: A person whom the token may not see.
        payments_read: Whether payments were read.
        limited_to: What time entries and expenses are limited to.
        uses_approval: Whether anybody ever submitted hours; all are unsubmitted otherwise.
    """

    account: Account
    today: date
    history_from: date
    rates: dict[str, Decimal]
    seen: list[dict[int, Row]]
    currency: str | None = None
    unknown: int | None = None
    payments_read: bool = True
    limited_to: str | None = None
    uses_approval: bool = True

    def __post_init__(self) -> None:
        """Read the records once."""
        truth = self.account.truth
        self.company = truth("company")[0]
        self.company["currency"] = self.currency or self.company["currency"]
        self.users = {row["id"]: row for row in truth("users") if row["id"] != self.unknown}
        self.clients = {row["id"]: row for row in truth("clients")}
        self.projects = {row["id"]: row for row in truth("projects")}
        self.entries = [_read(row) for row in truth("time_entries")]
        self.costs = [_read(row) for row in truth("expenses")]
        self.cost_rates = truth("user_cost_rates")
        self.bills = [_read(row) for row in truth("invoices")]

    def rows(self, model: str) -> dict[Key, Row]:
        """Return a model's rows by what each stands for."""
        made: Callable[[], Iterable[Row]] = getattr(self, model)
        found: dict[Key, Row] = {}
        for row in made():
            key = tuple(row[name] for name in KEYS[model])
            assert key not in found, (model, key)
            found[key] = row
        return found

    def accounts(self) -> Iterator[Row]:
        """Yield the account's row."""
        first = {"Saturday": date(1899, 12, 30), "Sunday": date(1899, 12, 31)}
        yield {
            "company_name": self.company["name"],
            "currency": self.company["currency"],
            "weekly_capacity": self.company["weekly_capacity"],
            "week_start_day": self.company["week_start_day"],
            "first_week": first.get(self.company["week_start_day"], date(1900, 1, 1)),
            "history_from": self.history_from,
            "limited_to": self.limited_to,
            "whole_from": date(9999, 12, 31) if self.limited_to else self.history_from,
            "today": self.today,
        }

    def _whole(self, *days: date) -> bool:
        """Tell whether all time entries and expenses since are there."""
        return not self.limited_to and min(days) >= self.history_from

    def hours(self) -> Iterator[Row]:
        """Yield person, project, task and day."""
        for rows in self._grouped(
            self.entries, lambda e: (e["user"]["id"], e["project"]["id"], e["task"]["id"], e["day"])
        ):
            one = rows[0]
            billable = [row for row in rows if row["billable"]]
            other = [row for row in rows if not row["billable"]]
            yield {
                "user_id": one["user"]["id"],
                "user_name": one["user"]["name"],
                **self._project(one["project"]["id"]),
                "task_id": one["task"]["id"],
                "task_name": one["task"]["name"],
                "spent_date": one["day"],
                "is_fixed_fee": self.projects[one["project"]["id"]]["is_fixed_fee"],
                "entries": len(rows),
                "hours": _sum(rows, "hours"),
                "rounded_hours": _sum(rows, "rounded_hours"),
                "billable_hours": _sum(billable, "hours"),
                "billable_rounded_hours": _sum(billable, "rounded_hours"),
                "nonbillable_hours": _sum(other, "hours"),
                "nonbillable_rounded_hours": _sum(other, "rounded_hours"),
                "billable_amount": sum(map(_amount, rows), NONE),
                "currency": self._currency(one["project"]["id"]),
                "hours_without_rate": _sum(
                    [row for row in billable if row["billable_rate"] is None], "rounded_hours"
                ),
                "cost": sum((self._cost(row) or NONE for row in rows), NONE),
                "cost_currency": self.company["currency"],
                "hours_without_cost_rate": _sum(
                    [row for row in rows if self._cost(row) is None], "rounded_hours"
                ),
                "is_whole": self._whole(one["day"]),
            }

    def utilization(self) -> Iterator[Row]:
        """Yield person and week."""
        for week in self._person_weeks():
            days = len(week["days"])
            hours, billable = week["hours"], week["billable"]
            if not days and not hours:
                continue
            known = week["capacity"] is not None
            capacity = _ratio(week["capacity"] * days, Decimal(5), 2) or NONE if known else None
            yield {
                **week["person"],
                "is_archived": not week["user"]["is_active"] if known else None,
                "working_days": days,
                "capacity_hours": capacity,
                "tracked_hours": hours,
                "billable_hours": billable,
                "utilization": _ratio(hours, capacity or NONE),
                "billable_utilization": _ratio(billable, capacity or NONE),
                "billable_share": _ratio(billable, hours),
                "is_whole": week["is_whole"],
            }

    def missing_timesheets(self) -> Iterator[Row]:
        """Yield person and week."""
        for week in self._person_weeks():
            days = week["days"] or week["days_before"]
            if not days or week["capacity"] is None:
                continue
            capacity = _ratio(week["capacity"] * len(days), Decimal(5), 2) or NONE
            status = "due" if week["days"] else "not started"
            yield {
                **week["person"],
                "status": status if week["user"]["is_active"] else "archived",
                "capacity_hours": capacity,
                "tracked_hours": week["hours"],
                "missing_hours": max(NONE, capacity - week["hours"]),
                "is_whole": week["is_whole"],
            }

    def _person_weeks(self) -> Iterator[Row]:
        seen = {e["user"]["id"]: e["user"] for e in self.entries if e["day"] <= self.today}
        for user in {**seen, **self.users}.values():
            mine = [e for e in self.entries if e["user"]["id"] == user["id"]]
            mine = [e for e in mine if e["day"] <= self.today]
            first = min((e["day"] for e in mine), default=None)
            last = max((e["day"] for e in mine), default=None)
            if user.get("is_active"):
                last = self.today
            made = user.get("created_at")
            begin = max(_day(made), self.history_from) if made else first or self.today
            begin = min(begin, first) if first else begin
            weeks: dict[date, tuple[list[date], list[date]]] = {}
            day = begin
            while last and day <= last:
                before, after = weeks.setdefault(self._week(day), ([], []))
                if day.weekday() < 5:
                    (after if first and day >= first else before).append(day)
                day += timedelta(days=1)
            for start, (before, after) in weeks.items():
                here = [e for e in mine if self._week(e["day"]) == start]
                yield {
                    "user": user,
                    "person": {
                        "user_id": user["id"],
                        "user_name": user.get("name")
                        or f"{user['first_name']} {user['last_name']}",
                        "is_contractor": user.get("is_contractor"),
                        "week_start": start,
                    },
                    "days": after,
                    "days_before": before,
                    "capacity": Decimal(user["weekly_capacity"]) / 3600 if made else None,
                    "hours": _sum(here, "hours"),
                    "billable": _sum([e for e in here if e["billable"]], "hours"),
                    "is_whole": self._whole(start),
                }

    def approvals(self) -> Iterator[Row]:
        """Yield person and week."""
        known = ("unsubmitted", "submitted", "approved")
        for rows in self._grouped(self.entries, lambda e: (e["user"]["id"], self._week(e["day"]))):
            by_status: dict[str, Decimal] = defaultdict(Decimal)
            for row in rows:
                status = row["approval_status"] if self.uses_approval else "unsubmitted"
                by_status[status if status in known else "other"] += row["hours"]
            yield {
                "user_id": rows[0]["user"]["id"],
                "user_name": rows[0]["user"]["name"],
                "week_start": self._week(rows[0]["day"]),
                "hours": _sum(rows, "hours"),
                **{f"{status}_hours": by_status[status] for status in (*known, "other")},
                "uses_approval": self.uses_approval,
                "is_whole": self._whole(self._week(rows[0]["day"])),
            }

    def profit_time_and_materials(self) -> Iterator[Row]:
        """Yield project and month."""
        for project, month, worked, spent in self._project_months():
            if self.projects[project]["is_fixed_fee"]:
                continue
            billable = [row for row in worked if row["billable"]]
            amount = sum(map(_amount, worked), NONE)
            passed_on = _sum([row for row in spent if row["billable"]], "total_cost")
            cost = sum((self._cost(row) or NONE for row in worked), NONE)
            expenses = _sum(spent, "total_cost")
            yield {
                "month": month,
                **self._project(project),
                "is_billable": self.projects[project]["is_billable"],
                "hours": _sum(worked, "rounded_hours"),
                "billable_hours": _sum(billable, "rounded_hours"),
                "billable_amount": amount,
                "billable_expenses": passed_on,
                "revenue": amount + passed_on,
                "expenses": expenses,
                **self._profit(project, amount + passed_on, expenses, cost),
                "hours_without_rate": _sum(
                    [row for row in billable if row["billable_rate"] is None], "rounded_hours"
                ),
                "hours_without_cost_rate": _sum(
                    [row for row in worked if self._cost(row) is None], "rounded_hours"
                ),
                "is_whole": self._whole(month),
            }

    def profit_fixed_fee(self) -> Iterator[Row]:
        """Yield project and month."""
        work = {(p, month): (worked, spent) for p, month, worked, spent in self._project_months()}
        for project, record in self.projects.items():
            if not record["is_fixed_fee"]:
                continue
            invoiced = NONE
            for bill in self.bills:
                for line in bill["line_items"]:
                    if bill["state"] != "draft" and (line["project"] or {}).get("id") == project:
                        invoiced += line["amount"]
            fee = record["fee"]
            total = max(invoiced, fee or NONE) if fee is not None or invoiced > 0 else None
            earned = self._earned(record, total) if total is not None else {}
            months = {month for p, month in work if p == project} | earned.keys()
            dated = record["starts_on"] and record["ends_on"] and total is not None
            for month in months:
                worked, spent = work.get((project, month), ([], []))
                revenue = earned.get(month, NONE) if dated else None
                expenses = _sum(spent, "total_cost")
                cost = sum((self._cost(row) or NONE for row in worked), NONE)
                yield {
                    "month": month,
                    **self._project(project),
                    "hours": _sum(worked, "rounded_hours"),
                    "fee": fee,
                    "invoiced": invoiced,
                    "revenue": revenue,
                    "expenses": expenses,
                    **self._profit(project, revenue, expenses, cost),
                    "hours_without_cost_rate": _sum(
                        [row for row in worked if self._cost(row) is None], "rounded_hours"
                    ),
                    "starts_on": _date(record["starts_on"]),
                    "ends_on": _date(record["ends_on"]),
                    "is_whole": self._whole(month, _day(record["created_at"])),
                }

    def _earned(self, project: Row, total: Decimal) -> dict[date, Decimal]:
        """Return what of a fee falls into each month up to today."""
        start, end = _date(project["starts_on"]), _date(project["ends_on"])
        if not start or not end:
            return {}
        every = (end - start).days + 1
        days: dict[date, int] = {}
        for n in range(every):
            day = start + timedelta(days=n)
            if day <= self.today:
                days[day.replace(day=1)] = n + 1
        earned, before = {}, NONE
        for month, until in sorted(days.items()):
            now = (total * until / every).quantize(Decimal("0.01"), ROUND_HALF_UP)
            earned[month], before = now - before, now
        return earned

    def budget_burn(self) -> Iterator[Row]:
        """Yield project and day."""
        for project, record in self.projects.items():
            budget, money = self._budget(record)
            if not budget:
                continue
            spent: dict[date, Decimal] = defaultdict(Decimal)
            for row in self.entries:
                if row["project"]["id"] == project and row["budgeted"]:
                    spent[row["day"]] += _amount(row) if money else row["rounded_hours"]
            if record["budget_by"] == "project_cost" and record["cost_budget_include_expenses"]:
                for row in self.costs:
                    if row["project"]["id"] == project:
                        spent[row["day"]] += row["total_cost"]
            if record["is_active"]:
                spent[self.today] += NONE
            for day in sorted(day for day in spent if day <= self.today):
                yield {
                    "day": day,
                    **self._project(project),
                    "is_archived": not record["is_active"],
                    "budget_by": record["budget_by"],
                    "budget_is_monthly": record["budget_is_monthly"],
                    "budget": budget,
                    "unit": self._currency(project) if money else "hours",
                    "currency": self._currency(project) if money else None,
                    "spent_that_day": spent[day],
                    **self._burn(record, budget, spent, day),
                }

    def _burn(self, project: Row, budget: Decimal, spent: dict[date, Decimal], day: date) -> Row:
        monthly = project["budget_is_monthly"]
        begin = day.replace(day=1) if monthly else date.min
        until = sum((amount for d, amount in spent.items() if begin <= d <= day), NONE)
        since = day - timedelta(days=27)
        lately = sum((amount for d, amount in spent.items() if since <= d <= day), NONE)
        left, out = budget - until, None
        first = min((d for d, amount in spent.items() if amount), default=day)
        days = min(28, (day - first).days + 1)
        if lately > 0 and left > 0 and left * days / lately < 3650:
            precise = (left * days / lately).quantize(Decimal("0.000001"), ROUND_HALF_UP)
            out = day + timedelta(days=int(precise.to_integral_value(ROUND_CEILING)))
            if monthly and out.replace(day=1) != begin:
                out = None
        made = _day(project["created_at"])
        return {
            "spent": until,
            "remaining": left,
            "share": _ratio(until, budget),
            "spent_lately": lately,
            "runs_out_on": out,
            "is_whole": self._whole(begin if monthly else made),
        }

    def _budget(self, project: Row) -> tuple[Decimal | None, bool]:
        """Return a project's budget, and whether it is money."""
        kind = project["budget_by"]
        if kind == "project":
            return project["budget"], False
        if kind == "project_cost":
            return project["cost_budget"], True
        table = {"person": "user_assignments"}.get(kind, "task_assignments")
        parts = [
            row["budget"]
            for row in self.account.truth(table)
            if row["project"]["id"] == project["id"] and row["budget"] is not None
        ]
        if kind not in ("person", "task", "task_fees") or not parts:
            return None, False
        return sum(parts, NONE), kind == "task_fees"

    def work_in_progress(self) -> Iterator[Row]:
        """Yield project and day."""
        rows = [row for row in (*self.entries, *self.costs) if row["billable"]]
        for group in self._grouped(
            [row for row in rows if not row["is_billed"]], lambda r: (r["project"]["id"], r["day"])
        ):
            project, day = group[0]["project"]["id"], group[0]["day"]
            worked = [row for row in group if "hours" in row]
            fixed = self.projects[project]["is_fixed_fee"]
            age = (self.today - day).days
            spans = ((30, "0-30"), (60, "31-60"), (90, "61-90"))
            yield {
                "spent_date": day,
                **self._project(project),
                "is_fixed_fee": fixed,
                "hours": _sum(worked, "rounded_hours"),
                "amount": NONE if fixed else sum(map(_amount, worked), NONE),
                "expenses": _sum([row for row in group if "total_cost" in row], "total_cost"),
                "currency": self._currency(project),
                "hours_without_rate": NONE
                if fixed
                else _sum([row for row in worked if row["billable_rate"] is None], "rounded_hours"),
                "age_days": age,
                "age": next((name for top, name in spans if age <= top), "over 90"),
                "is_whole": self._whole(day),
            }

    def receivables_aging(self) -> Iterator[Row]:
        """Yield the invoices."""
        payments = self.account.truth("invoice_payments") if self.payments_read else []
        paying: dict[int, list[int]] = defaultdict(list)
        for bill in self.bills:
            if bill["state"] == "paid":
                dates = [_date(p["paid_date"]) for p in payments if p["invoice_id"] == bill["id"]]
                paid = _date(bill["paid_date"]) or max(filter(None, dates))
                issued = _date(bill["issue_date"])
                assert paid
                assert issued
                bill["days_to_pay"] = (paid - issued).days
                if issued >= self.history_from:
                    paying[bill["client"]["id"]].append(bill["days_to_pay"])
        for bill in self.bills:
            received = _sum([p for p in payments if p["invoice_id"] == bill["id"]], "amount")
            owed = bill["state"] == "open"
            due, issued = _date(bill["due_date"]), _date(bill["issue_date"])
            assert due
            assert issued
            late, taken = (self.today - due).days, paying[bill["client"]["id"]]
            spans = ((0, "not due"), (30, "1-30"), (60, "31-60"), (90, "61-90"))
            yield {
                "invoice_id": bill["id"],
                "invoice_number": bill["number"],
                "client_id": bill["client"]["id"],
                "client_name": bill["client"]["name"],
                "status": "retainer" if owed and bill["retainer"] else bill["state"],
                "issue_date": issued,
                "due_date": due,
                "amount": bill["amount"],
                "paid_amount": received if self.payments_read else None,
                "due_amount": bill["due_amount"],
                "currency": bill["currency"],
                "is_partly_paid": self._is_partly_paid(bill, received),
                "days_past_due": late if owed else None,
                "age": next((name for top, name in spans if late <= top), "over 90")
                if owed and bill["due_amount"]
                else None,
                "days_to_pay": bill.get("days_to_pay"),
                "client_average_days_to_pay": _ratio(
                    Decimal(sum(taken)), Decimal(len(taken)), places=1
                ),
                "is_whole": issued >= self.history_from,
            }

    def _is_partly_paid(self, bill: Row, received: Decimal) -> bool | None:
        if bill["state"] != "open" or not bill["due_amount"]:
            return False
        return received > 0 if self.payments_read else None

    def expenses(self) -> Iterator[Row]:
        """Yield category, month and currency."""
        for rows in self._grouped(
            self.costs,
            lambda r: (
                r["expense_category"]["id"], r["month"], self._currency(r["project"]["id"])
            ),
        ):  # fmt: skip
            billable = [row for row in rows if row["billable"]]
            yield {
                "expense_category_id": rows[0]["expense_category"]["id"],
                "expense_category_name": rows[0]["expense_category"]["name"],
                "month": rows[0]["month"],
                "currency": self._currency(rows[0]["project"]["id"]),
                "expenses": len(rows),
                "amount": _sum(rows, "total_cost"),
                "billable_amount": _sum(billable, "total_cost"),
                "uninvoiced_amount": _sum(
                    [row for row in billable if not row["is_billed"]], "total_cost"
                ),
                "is_whole": self._whole(rows[0]["month"]),
            }

    def estimates(self) -> Iterator[Row]:
        """Yield month and currency."""
        offers = self.account.truth("estimates")
        for offer in offers:
            issued = _date(offer["issue_date"]) or _day(offer["sent_at"] or offer["created_at"])
            offer["month"] = issued.replace(day=1)
        for rows in self._grouped(offers, lambda o: (o["month"], o["currency"])):
            won = [row for row in rows if row["state"] == "accepted"]
            lost = [row for row in rows if row["state"] == "declined"]
            sent = [row for row in rows if row["state"] != "draft"]
            decided = _sum(won, "amount") + _sum(lost, "amount")
            yield {
                "month": rows[0]["month"],
                "currency": rows[0]["currency"],
                "drafts": len(rows) - len(sent),
                "sent": len(sent),
                "accepted": len(won),
                "declined": len(lost),
                "undecided": len(sent) - len(won) - len(lost),
                "sent_amount": _sum(sent, "amount"),
                "accepted_amount": _sum(won, "amount"),
                "declined_amount": _sum(lost, "amount"),
                "win_rate": _ratio(Decimal(len(won)), Decimal(len(won) + len(lost))),
                "win_rate_by_amount": _ratio(_sum(won, "amount"), decided),
                "is_whole": rows[0]["month"] >= self.history_from,
            }

    def edits_after_invoicing(self) -> Iterator[Row]:
        """Yield the entries that were changed later."""
        bills = {bill["id"]: bill for bill in self.bills}
        for entry in self.entries:
            bill = bills.get((entry["invoice"] or {}).get("id"))
            if not bill or not entry["is_billed"]:
                continue
            made, changed = _moment(bill["created_at"]), _moment(entry["updated_at"])
            if changed - made > timedelta(minutes=5):
                yield {
                    "time_entry_id": entry["id"],
                    "spent_date": entry["day"],
                    "user_id": entry["user"]["id"],
                    "user_name": entry["user"]["name"],
                    **self._project(entry["project"]["id"]),
                    "task_id": entry["task"]["id"],
                    "task_name": entry["task"]["name"],
                    "invoice_id": bill["id"],
                    "invoice_number": bill["number"],
                    "invoiced_at": made,
                    "changed_at": changed,
                    "days_after": (changed.date() - made.date()).days,
                    "hours": entry["hours"],
                    "billable_amount": _amount(entry)
                    if not entry["billable"] or entry["billable_rate"] is not None
                    else None,
                    **self._as_invoiced(entry, made),
                    "currency": self._currency(entry["project"]["id"]),
                    "is_whole": self._whole(entry["day"]),
                }

    def _as_invoiced(self, entry: Row, made: datetime) -> Row:
        """Return what an entry was worth when its invoice was made, where a run saw that."""
        states = [states[entry["id"]] for states in self.seen if entry["id"] in states]
        then = [
            state
            for state in states
            if state["invoice"]
            and state["invoice"]["id"] == entry["invoice"]["id"]
            and _moment(state["updated_at"]) - made <= timedelta(minutes=5)
        ]
        if not then:
            return {"hours_invoiced": None, "billable_amount_invoiced": None}
        known = not then[-1]["billable"] or then[-1]["billable_rate"] is not None
        return {
            "hours_invoiced": then[-1]["hours"],
            "billable_amount_invoiced": _amount(then[-1]) if known else None,
        }

    def _project_months(self) -> Iterator[tuple[int, date, list[Row], list[Row]]]:
        for rows in self._grouped(
            [*self.entries, *self.costs], lambda r: (r["project"]["id"], r["month"])
        ):
            worked = [row for row in rows if "hours" in row]
            spent = [row for row in rows if "total_cost" in row]
            yield rows[0]["project"]["id"], rows[0]["month"], worked, spent

    def _profit(
        self, project: int, revenue: Decimal | None, expenses: Decimal, cost: Decimal
    ) -> Row:
        currency, company = self._currency(project), self.company["currency"]
        rate = Decimal(1) if currency == company else self.rates.get(currency)
        known = rate is not None and revenue is not None
        return {
            "currency": currency,
            "cost": cost,
            "cost_currency": company,
            "exchange_rate": rate,
            "profit": _stored((revenue - expenses) * rate - cost)  # type: ignore[operator]
            if known
            else None,
            "profit_currency": company,
        }

    def _project(self, project: int) -> Row:
        record = self.projects[project]
        return {
            "client_id": record["client"]["id"],
            "client_name": record["client"]["name"],
            "project_id": project,
            "project_name": record["name"],
        }

    def _currency(self, project: int) -> str:
        return str(self.clients[self.projects[project]["client"]["id"]]["currency"])

    def _cost(self, entry: Row) -> Decimal | None:
        rate = entry["cost_rate"]
        if rate is None:
            valid = [
                row
                for row in self.cost_rates
                if row["user_id"] == entry["user"]["id"]
                and (row["start_date"] or "") <= entry["spent_date"]
                and (row["end_date"] or "9999") >= entry["spent_date"]
            ]
            if valid:
                rate = max(valid, key=lambda row: (row["start_date"] or "", row["id"]))["amount"]
        return None if rate is None else entry["rounded_hours"] * rate

    def _week(self, day: date) -> date:
        first = {"Saturday": 5, "Sunday": 6}.get(self.company["week_start_day"], 0)
        return day - timedelta(days=(day.weekday() - first) % 7)

    @staticmethod
    def _grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> Iterable[list[Row]]:
        groups: dict[Key, list[Row]] = defaultdict(list)
        for row in rows:
            groups[key(row)].append(row)
        return groups.values()


def _read(record: Row) -> Row:
    """Return a record with its day and month as dates."""
    day = _date(record.get("spent_date"))
    return {**record, "day": day, "month": day and day.replace(day=1)}


def _amount(entry: Row) -> Decimal:
    if not entry["billable"] or entry["billable_rate"] is None:
        return NONE
    return Decimal(entry["rounded_hours"] * entry["billable_rate"])


def _sum(rows: Iterable[Row], column: str) -> Decimal:
    return sum((row[column] for row in rows), NONE)


def _ratio(part: Decimal, whole: Decimal, places: int = 4) -> Decimal | None:
    """Return a ratio, rounded half away from zero."""
    if not whole:
        return None
    return (part / whole).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _stored(amount: Decimal) -> Decimal:
    """Return an amount with the nine places that a column has."""
    return amount.quantize(Decimal("1e-9"), ROUND_HALF_UP)


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _day(text: str) -> date:
    return _moment(text).date()
