"""The questions that the page answers: a screen, a title, its SQL, and what is shown of it.

The SQL is that of DuckDB and Postgres. A table's name in braces stands for its chosen rows. Money
is never added across currencies: whatever adds amounts is grouped by their currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter

PEOPLE, PROJECTS, MONEY, HEALTH = "People", "Projects", "Money", "Data health"
SCREENS = (PEOPLE, PROJECTS, MONEY, HEALTH)

TEXT, HOURS, AMOUNT, SHARE, COUNT, DAYS = "text", "hours", "amount", "share", "count", "days"
DAY, MONTH, MOMENT, QUANTITY = "day", "month", "moment", "quantity"


SOON = 28
"""A budget that lasts no longer than so many days is soon used up."""


@dataclass(frozen=True)
class Bars:
    """A bar for each label, as long as its value; stacked where it is divided."""

    of: str
    value: str
    kind: str
    by: str = ""
    order: tuple[str, ...] = ()
    """What `by` is divided into, from the least to the most worrying."""
    parts: tuple[str, ...] = ()
    """Columns that are stacked, in place of `value` and `by`."""
    target: float | None = None
    """What a value should not exceed; it is drawn as a line."""
    below: bool = False
    """Whether it should stay below the target, and not reach it."""
    signed: bool = False
    """Whether values below zero are losses."""
    series: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    """Colours of what it is stacked of, see page.css: 1 is usual, 2 stands out, 5 is grey."""


@dataclass(frozen=True)
class Months:
    """A column for each month, stacked by what it is divided into."""

    parts: tuple[str, ...] = ()
    value: str = ""
    by: str = ""
    series: tuple[int, ...] = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Weeks:
    """A square for each person and week, the darker the fuller."""


@dataclass(frozen=True)
class Burns:
    """A line for each budget, and where it leads to."""


@dataclass(frozen=True)
class Question:
    """One question.

    Args:
        screen: Where it is asked.
        title: Its words.
        sql: What answers it.
        columns: What its table shows, and as what. Other columns are in its downloads only.
        chart: What is drawn; None: the table says it all.
        split: The column whose values have charts of their own, such as a currency.
        note: What must be known to read the answer.
        empty: What is said where there is nothing.
        label: Whose names stand in the column of the same name, told apart by its id.
        of_last_run: Whether each table's row says what the last run wrote, and what is gone.
    """

    screen: str
    title: str
    sql: str
    columns: dict[str, str]
    chart: Bars | Months | Weeks | Burns | None = None
    split: str = ""
    note: str = ""
    empty: str = "Nothing here for this choice."
    label: str = ""
    of_last_run: bool = False

    @property
    def tables(self) -> list[str]:
        """The tables that it is asked of."""
        return _tables(self.sql)


def _tables(sql: str) -> list[str]:
    return sorted({name for _, name, _, _ in Formatter().parse(sql) if name})


AGES = ("not due", "1-30", "31-60", "61-90", "over 90")
WORK_AGES = ("0-30", "31-60", "61-90", "over 90")

QUESTIONS = (
    Question(
        PEOPLE, "Who is overbooked?",
        """
        SELECT _account_id, user_id, min(user_name) AS person,
          CASE WHEN bool_or(is_contractor) THEN 'contractor' ELSE 'employee' END AS role,
          sum(capacity_hours) AS capacity, sum(tracked_hours) AS tracked,
          sum(billable_hours) AS billable,
          sum(tracked_hours) / nullif(sum(capacity_hours), 0) AS utilization,
          sum(billable_hours) / nullif(sum(tracked_hours), 0) AS billable_share
        FROM {utilization} AS weeks
        GROUP BY _account_id, user_id
        ORDER BY role DESC, utilization DESC NULLS LAST, person, user_id
        """,
        {"person": TEXT, "role": TEXT, "capacity": HOURS, "tracked": HOURS, "utilization": SHARE,
         "billable": HOURS, "billable_share": SHARE},
        Bars("person", "utilization", SHARE, target=1), split="role",
        note="All tracked hours of the period ÷ capacity. The line is 100 %: public holidays are "
        "not known.",
        label="user",
    ),
    Question(
        PEOPLE, "Whose timesheets are missing?",
        """
        SELECT weeks._account_id, user_id, min(user_name) AS person,
          CASE WHEN bool_or(is_contractor) THEN 'contractor' ELSE 'employee' END AS role,
          sum(missing_hours) AS missing_hours, count(*) AS weeks, max(week_start) AS newest_week
        FROM {missing_timesheets} AS weeks
        INNER JOIN {accounts} AS accounts ON weeks._account_id = accounts._account_id
        WHERE status = 'due' AND missing_hours > 0 AND week_start <= today - 7
        GROUP BY weeks._account_id, user_id
        ORDER BY role DESC, missing_hours DESC, person, user_id
        """,
        {"person": TEXT, "role": TEXT, "missing_hours": HOURS, "weeks": COUNT,
         "newest_week": DAY},
        Bars("person", "missing_hours", HOURS), split="role",
        note="Capacity less tracked hours of weeks that are over. Time off that nobody tracks is "
        "missing too.",
        empty="No timesheet is missing.", label="user",
    ),
    Question(
        PEOPLE, "How full was each week?",
        """
        SELECT _account_id, user_id, user_name AS person, week_start, capacity_hours AS capacity,
          tracked_hours AS tracked, utilization, billable_share, is_whole
        FROM {utilization} AS weeks
        ORDER BY sum(tracked_hours) OVER whole / nullif(sum(capacity_hours) OVER whole, 0)
          DESC NULLS LAST, person, user_id, week_start
        """.replace("OVER whole", "OVER (PARTITION BY _account_id, user_id)"),
        {"person": TEXT, "week_start": DAY, "capacity": HOURS, "tracked": HOURS,
         "utilization": SHARE, "billable_share": SHARE},
        Weeks(),
        label="user",
    ),
    Question(
        PEOPLE, "Whose hours are billable?",
        """
        SELECT _account_id, user_id, min(user_name) AS person, sum(billable_hours) AS billable,
          sum(tracked_hours) - sum(billable_hours) AS not_billable,
          sum(billable_hours) / nullif(sum(tracked_hours), 0) AS billable_share
        FROM {utilization} AS weeks
        GROUP BY _account_id, user_id
        HAVING sum(tracked_hours) <> 0
        ORDER BY sum(tracked_hours) DESC, person, user_id
        """,
        {"person": TEXT, "billable": HOURS, "not_billable": HOURS, "billable_share": SHARE},
        Bars("person", "hours", HOURS, parts=("billable", "not_billable"), series=(1, 5)),
        empty="Nobody tracked time in this period.", label="user",
    ),
    Question(
        PEOPLE, "Whose hours wait for approval?",
        """
        SELECT _account_id, user_id, min(user_name) AS person,
          sum(submitted_hours) AS submitted, sum(unsubmitted_hours) AS not_submitted,
          min(week_start) AS oldest_week
        FROM {approvals} AS weeks
        WHERE uses_approval AND (unsubmitted_hours <> 0 OR submitted_hours <> 0)
        GROUP BY _account_id, user_id
        ORDER BY sum(submitted_hours) + sum(unsubmitted_hours) DESC, person, user_id
        """,
        {"person": TEXT, "submitted": HOURS, "not_submitted": HOURS, "oldest_week": DAY},
        Bars("person", "hours", HOURS, parts=("submitted", "not_submitted")),
        empty="No hours wait for approval.", label="user",
    ),
    Question(
        PROJECTS, "Which budgets are used up?",
        """
        SELECT _account_id, project_id, project_name AS project, client_name AS client, budget_by,
          CASE WHEN budget_is_monthly THEN 'each month' ELSE 'once' END AS renewed,
          budget, spent, remaining, unit, share AS used, runs_out_on, day AS as_of,
          is_whole
        FROM (
          SELECT *, row_number() OVER (PARTITION BY _account_id, project_id ORDER BY day DESC) AS n
          FROM {budget_burn} AS days
        ) AS latest
        WHERE n = 1 AND NOT is_archived
        ORDER BY share DESC, project, project_id
        """,
        {"project": TEXT, "client": TEXT, "budget": QUANTITY, "spent": QUANTITY,
         "remaining": QUANTITY, "unit": TEXT, "renewed": TEXT, "used": SHARE,
         "runs_out_on": DAY},
        Bars("project", "used", SHARE, target=1, below=True),
        note="The line is the budget. It runs out on the day that the pace of late leads to.",
        empty="No active project has a budget.", label="project",
    ),
    Question(
        PROJECTS, "Where do the hours go?",
        """
        SELECT _account_id, project_id, min(project_name) AS project, min(client_name) AS client,
          sum(billable_hours) AS billable, sum(nonbillable_hours) AS not_billable,
          sum(hours) AS hours, count(DISTINCT user_id) AS people
        FROM {hours} AS days
        GROUP BY _account_id, project_id
        ORDER BY sum(hours) DESC, project, project_id
        """,
        {"project": TEXT, "client": TEXT, "billable": HOURS, "not_billable": HOURS,
         "hours": HOURS, "people": COUNT},
        Bars("project", "hours", HOURS, parts=("billable", "not_billable"), series=(1, 5)),
        empty="Nobody tracked time in this period.", label="project",
    ),
    Question(
        PROJECTS, "How fast do the fullest budgets burn?",
        """
        SELECT days._account_id, days.project_id, project_name AS project, day, spent, budget,
          unit, share AS used, runs_out_on, is_whole
        FROM {budget_burn} AS days
        INNER JOIN (
          SELECT _account_id, project_id FROM (
            SELECT _account_id, project_id, share, is_archived,
              row_number() OVER (PARTITION BY _account_id, project_id ORDER BY day DESC) AS n
            FROM {budget_burn} AS days
          ) AS latest
          WHERE n = 1 AND NOT is_archived AND share > 0
          ORDER BY share DESC, _account_id, project_id LIMIT 5
        ) AS fullest
          ON days._account_id = fullest._account_id AND days.project_id = fullest.project_id
        ORDER BY project, project_id, day
        """,
        {"project": TEXT, "day": DAY, "spent": QUANTITY, "budget": QUANTITY, "unit": TEXT,
         "used": SHARE, "runs_out_on": DAY},
        Burns(),
        note="Dashed: where the pace of late leads to. Pale: budgets that last longer than "
        f"{SOON} days, where others do not.",
        empty="No active project has a budget.", label="project",
    ),
    Question(
        PROJECTS, "Do fixed fees pay?",
        """
        SELECT _account_id, project_id, min(project_name) AS project, min(client_name) AS client,
          max(fee) AS fee, max(invoiced) AS invoiced, sum(revenue) AS earned,
          sum(expenses) AS expenses, currency, sum(cost) AS cost, sum(profit) AS profit,
          profit_currency, count(*) - count(profit) AS months_without_profit,
          sum(hours) AS hours, sum(hours_without_cost_rate) AS hours_without_cost,
          min(starts_on) AS starts_on, max(ends_on) AS ends_on, bool_and(is_whole) AS is_whole
        FROM {profit_fixed_fee} AS months
        GROUP BY _account_id, project_id, currency, profit_currency
        ORDER BY profit_currency, profit NULLS LAST, project, project_id
        """,
        {"project": TEXT, "client": TEXT, "fee": AMOUNT, "earned": AMOUNT, "expenses": AMOUNT,
         "currency": TEXT, "hours": HOURS, "cost": AMOUNT, "profit": AMOUNT,
         "profit_currency": TEXT},
        Bars("project", "profit", AMOUNT, signed=True), split="profit_currency",
        note="The part of the fee that fell into the period, less cost and expenses.",
        empty="No fixed-fee project in this period.", label="project",
    ),
    Question(
        PROJECTS, "Do time-and-materials projects pay?",
        """
        SELECT _account_id, project_id, min(project_name) AS project, min(client_name) AS client,
          sum(hours) AS hours, sum(billable_hours) AS billable_hours, sum(revenue) AS revenue,
          sum(expenses) AS expenses, currency, sum(cost) AS cost, sum(profit) AS profit,
          profit_currency, count(*) - count(profit) AS months_without_profit,
          sum(hours_without_rate) AS hours_without_rate,
          sum(hours_without_cost_rate) AS hours_without_cost
        FROM {profit_time_and_materials} AS months
        GROUP BY _account_id, project_id, currency, profit_currency
        ORDER BY profit_currency, profit DESC NULLS LAST, project, project_id
        """,
        {"project": TEXT, "client": TEXT, "hours": HOURS, "revenue": AMOUNT, "expenses": AMOUNT,
         "currency": TEXT, "cost": AMOUNT, "profit": AMOUNT, "profit_currency": TEXT},
        Bars("project", "profit", AMOUNT, signed=True), split="profit_currency",
        empty="No time-and-materials project in this period.", label="project",
    ),
    Question(
        MONEY, "What is worked but not invoiced?",
        """
        SELECT _account_id, project_id, min(project_name) AS project, min(client_name) AS client,
          age, sum(hours) AS hours, sum(amount) AS amount, sum(expenses) AS expenses,
          sum(amount) + sum(expenses) AS not_invoiced, currency, max(age_days) AS oldest_days,
          bool_and(is_whole) AS is_whole
        FROM {work_in_progress} AS days
        GROUP BY _account_id, project_id, age, currency
        ORDER BY currency, sum(sum(amount) + sum(expenses))
          OVER (PARTITION BY _account_id, project_id, currency) DESC, project, project_id, age
        """,
        {"project": TEXT, "client": TEXT, "age": TEXT, "hours": HOURS, "amount": AMOUNT,
         "expenses": AMOUNT, "not_invoiced": AMOUNT, "currency": TEXT, "oldest_days": DAYS},
        Bars("project", "not_invoiced", AMOUNT, by="age", order=WORK_AGES), split="currency",
        note="As of today, of whatever period; by days since the work. Hours of fixed fees have no "
        "amount of their own.",
        empty="Everything billable is invoiced.", label="project",
    ),
    Question(
        MONEY, "Who owes, and how late?",
        """
        SELECT _account_id, client_id, min(client_name) AS client, age,
          sum(due_amount) AS owed, currency, count(*) AS invoices, max(days_past_due) AS days_late,
          bool_and(is_whole) AS is_whole
        FROM {receivables_aging} AS invoices
        WHERE age IS NOT NULL
        GROUP BY _account_id, client_id, age, currency
        ORDER BY currency, sum(sum(due_amount))
          OVER (PARTITION BY _account_id, client_id, currency) DESC, client, client_id, age
        """,
        {"client": TEXT, "age": TEXT, "owed": AMOUNT, "currency": TEXT, "invoices": COUNT},
        Bars("client", "owed", AMOUNT, by="age", order=AGES), split="currency",
        note="As of today, by days past the due date.",
        empty="Nobody owes anything.", label="client",
    ),
    Question(
        MONEY, "Which invoices are overdue?",
        """
        SELECT _account_id, invoice_id, invoice_number AS invoice, client_name AS client,
          issue_date, due_date, days_past_due AS days_late, amount, paid_amount AS paid,
          due_amount AS owed, currency
        FROM {receivables_aging} AS invoices
        WHERE age IS NOT NULL AND age <> 'not due'
        ORDER BY days_past_due DESC, invoice_id
        """,
        {"invoice": TEXT, "client": TEXT, "due_date": DAY, "days_late": COUNT, "amount": AMOUNT,
         "paid": AMOUNT, "owed": AMOUNT, "currency": TEXT},
        empty="No invoice is overdue.",
    ),
    Question(
        MONEY, "How long do clients take to pay?",
        """
        SELECT _account_id, client_id, min(client_name) AS client,
          min(client_average_days_to_pay) AS days_to_pay,
          count(CASE WHEN is_whole IS NOT FALSE THEN days_to_pay END) AS paid_invoices
        FROM {receivables_aging} AS invoices
        WHERE client_average_days_to_pay IS NOT NULL
        GROUP BY _account_id, client_id
        ORDER BY min(client_average_days_to_pay) DESC, client, client_id
        """,
        {"client": TEXT, "days_to_pay": DAYS, "paid_invoices": COUNT},
        Bars("client", "days_to_pay", DAYS),
        note="From issue to payment, the mean of all paid invoices since history is whole, of "
        "whatever period.",
        empty="No invoice has been paid.", label="client",
    ),
    Question(
        MONEY, "Which clients earn?",
        """
        SELECT _account_id, client_id, min(client_name) AS client, sum(revenue) AS revenue,
          sum(expenses) AS expenses, currency, sum(cost) AS cost, sum(profit) AS profit,
          profit_currency, count(*) - count(profit) AS months_without_profit
        FROM (
          SELECT _account_id, client_id, client_name, revenue, expenses, currency, cost, profit,
            profit_currency
          FROM {profit_time_and_materials} AS by_time
          UNION ALL
          SELECT _account_id, client_id, client_name, revenue, expenses, currency, cost, profit,
            profit_currency
          FROM {profit_fixed_fee} AS by_fee
        ) AS months
        GROUP BY _account_id, client_id, currency, profit_currency
        ORDER BY profit_currency, profit DESC NULLS LAST, client, client_id
        """,
        {"client": TEXT, "revenue": AMOUNT, "expenses": AMOUNT, "currency": TEXT, "cost": AMOUNT,
         "profit": AMOUNT, "profit_currency": TEXT, "months_without_profit": COUNT},
        Bars("client", "profit", AMOUNT, signed=True), split="profit_currency",
        label="client",
    ),
    Question(
        MONEY, "What does each month bring?",
        """
        SELECT month, currency, sum(by_time) AS time_and_materials, sum(by_fee) AS fixed_fees,
          bool_and(is_whole) AS is_whole
        FROM (
          SELECT month, currency, revenue AS by_time, 0 * revenue AS by_fee, is_whole
          FROM {profit_time_and_materials} AS by_time
          UNION ALL
          SELECT month, currency, 0 * revenue, revenue, is_whole
          FROM {profit_fixed_fee} AS by_fee
        ) AS months
        GROUP BY month, currency
        ORDER BY currency, month
        """,
        {"month": MONTH, "time_and_materials": AMOUNT, "fixed_fees": AMOUNT, "currency": TEXT},
        Months(parts=("time_and_materials", "fixed_fees")), split="currency",
        note="Billable hours × rate, billable expenses and the month's part of fixed fees, in the "
        "clients' currencies.",
    ),
    Question(
        MONEY, "What is spent on expenses?",
        """
        SELECT month, coalesce(expense_category_name, 'Without a category') AS category, currency,
          sum(amount) AS amount, sum(billable_amount) AS billable,
          sum(uninvoiced_amount) AS not_invoiced, sum(expenses) AS expenses,
          bool_and(is_whole) AS is_whole
        FROM {expenses} AS months
        GROUP BY 1, 2, 3
        ORDER BY currency, month, category
        """,
        {"month": MONTH, "category": TEXT, "expenses": COUNT, "amount": AMOUNT,
         "billable": AMOUNT, "not_invoiced": AMOUNT, "currency": TEXT},
        Months(value="amount", by="category"), split="currency",
        empty="No expenses in this period.",
    ),
    Question(
        MONEY, "What becomes of estimates?",
        """
        SELECT month, currency, sum(sent) AS sent, sum(accepted) AS accepted_estimates,
          sum(declined) AS declined_estimates, sum(accepted_amount) AS accepted,
          sum(sent_amount - accepted_amount - declined_amount) AS undecided,
          sum(declined_amount) AS declined,
          sum(accepted_amount) / nullif(sum(accepted_amount + declined_amount), 0) AS won,
          bool_and(is_whole) AS is_whole
        FROM {estimates} AS months
        GROUP BY month, currency
        ORDER BY currency, month
        """,
        {"month": MONTH, "sent": COUNT, "accepted": AMOUNT, "undecided": AMOUNT,
         "declined": AMOUNT, "currency": TEXT, "won": SHARE},
        Months(parts=("accepted", "undecided", "declined"), series=(1, 5, 2)), split="currency",
        note="By month of issue. Won: accepted ÷ (accepted + declined), by amount.",
        empty="No estimates in this period.",
    ),
    Question(
        HEALTH, "How fresh is each table?",
        """
        SELECT _account_id, table_name AS "table", read_at, full_read_at, changed_at, history_from,
          limited_to, requests_left, problem
        FROM {_freshness} AS tables
        ORDER BY CASE WHEN problem IS NULL THEN 1 ELSE 0 END, table_name, _account_id
        """,
        {"table": TEXT, "read_at": MOMENT, "full_read_at": MOMENT, "changed_at": MOMENT,
         "history_from": MOMENT, "limited_to": TEXT, "written": COUNT, "gone": COUNT,
         "requests_left": COUNT, "problem": TEXT},
        note="Times are UTC. A full read finds what was deleted in Harvest. No date under history "
        "from: all of it is there. Written and gone: rows of the last run.",
        of_last_run=True,
        empty="Nothing was loaded by a version that notes how fresh tables are.",
    ),
    Question(
        HEALTH, "Do the figures agree with Harvest's reports?",
        """
        SELECT report,
          sum(CASE WHEN verdict = 'agrees' THEN 1 ELSE 0 END) AS agree,
          sum(CASE WHEN verdict = 'explained' THEN 1 ELSE 0 END) AS explained,
          sum(CASE WHEN verdict = 'unexplained' THEN 1 ELSE 0 END) AS unexplained,
          max(results.verified_at) AS verified_at
        FROM {_verification} AS results
        INNER JOIN (
          SELECT _account_id, max(verified_at) AS verified_at FROM {_verification} AS results
          GROUP BY _account_id
        ) AS latest
          ON results._account_id = latest._account_id AND results.verified_at = latest.verified_at
        GROUP BY report ORDER BY report
        """,
        {"report": TEXT, "agree": COUNT, "explained": COUNT, "unexplained": COUNT,
         "verified_at": MOMENT},
        Bars("report", "figures", COUNT, parts=("agree", "explained", "unexplained"),
             series=(1, 5, 2)),
        empty="Not verified yet: run with --verify to compare with Harvest's own reports.",
    ),
    Question(
        HEALTH, "Which figures differ?",
        """
        SELECT results._account_id, report, subject, subject_id, currency, measure, period_start,
          period_end, warehouse, harvest, verdict, reason
        FROM {_verification} AS results
        INNER JOIN (
          SELECT _account_id, max(verified_at) AS verified_at FROM {_verification} AS results
          GROUP BY _account_id
        ) AS latest
          ON results._account_id = latest._account_id AND results.verified_at = latest.verified_at
        WHERE verdict <> 'agrees'
        ORDER BY verdict DESC, report, period_start, subject_id, measure
        """,
        {"report": TEXT, "subject": TEXT, "subject_id": TEXT, "measure": TEXT,
         "period_start": DAY, "warehouse": QUANTITY, "harvest": QUANTITY, "currency": TEXT,
         "verdict": TEXT, "reason": TEXT},
        empty="None that is known.",
    ),
    Question(
        HEALTH, "Which entries were touched after invoicing?",
        """
        SELECT _account_id, time_entry_id, spent_date, user_name AS person, client_name AS client,
          project_name AS project, invoice_number AS invoice, invoiced_at, changed_at,
          days_after, hours_invoiced, hours, billable_amount_invoiced AS amount_invoiced,
          billable_amount AS amount, currency
        FROM {edits_after_invoicing} AS entries
        ORDER BY changed_at DESC, time_entry_id
        """,
        {"spent_date": DAY, "person": TEXT, "project": TEXT, "invoice": TEXT,
         "invoiced_at": MOMENT, "changed_at": MOMENT, "hours_invoiced": HOURS, "hours": HOURS,
         "amount_invoiced": AMOUNT, "amount": AMOUNT, "currency": TEXT},
        note="Any change counts, also of notes. What was invoiced is known where the history of "
        "time entries is kept and a run saw it.",
        empty="None in this period.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure at the top of a screen: one for each unit, such as a currency.

    Args:
        screen: Where it stands.
        title: What it is.
        kind: As what it is shown.
        sql: What answers it, by `value` and `unit`; `left_out` counts the projects that lack in it.
        worry: Whether anything above zero is bad.
    """

    screen: str
    title: str
    kind: str
    sql: str
    worry: bool = False

    @property
    def tables(self) -> list[str]:
        """The tables that it is taken of."""
        return _tables(self.sql)


_LATEST = """
    (SELECT * FROM (
      SELECT *, row_number() OVER (PARTITION BY _account_id, project_id ORDER BY day DESC) AS n
      FROM {budget_burn} AS days
    ) AS every WHERE n = 1 AND NOT is_archived) AS latest"""

_OWED = "SELECT sum(due_amount) AS value, currency AS unit FROM {receivables_aging} AS invoices "

_ROLES = "CASE WHEN is_contractor THEN 'contractors' ELSE 'employees' END AS unit"
_BY_ROLE = " GROUP BY 2 ORDER BY 2 DESC"

_PROFIT = "SELECT _account_id, project_id, profit, profit_currency AS unit FROM {%s} AS months"


def _profit(*models: str) -> str:
    """Return the SQL of the profit of all projects, and of how many it leaves some months out."""
    months = " UNION ALL ".join(_PROFIT % model for model in models)
    return (
        "SELECT sum(profit) AS value, unit, "
        "sum(CASE WHEN known < months THEN 1 ELSE 0 END) AS left_out FROM ("
        "SELECT unit, sum(profit) AS profit, count(profit) AS known, count(*) AS months "
        f"FROM ({months}) AS months GROUP BY _account_id, project_id, unit"
        ") AS projects GROUP BY unit ORDER BY unit"
    )


FIGURES = (
    Figure(PEOPLE, "Tracked of capacity", SHARE,
           "SELECT sum(tracked_hours) / nullif(sum(capacity_hours), 0) AS value, "
           + _ROLES + " FROM {utilization} AS weeks WHERE capacity_hours IS NOT NULL" + _BY_ROLE),
    Figure(PEOPLE, "Billable of tracked", SHARE,
           "SELECT sum(billable_hours) / nullif(sum(tracked_hours), 0) AS value, '' AS unit "
           "FROM {utilization} AS weeks"),
    Figure(PEOPLE, "Tracked", HOURS,
           "SELECT sum(tracked_hours) AS value, 'hours' AS unit FROM {utilization} AS weeks"),
    Figure(PEOPLE, "Hours missing from timesheets", HOURS,
           "SELECT sum(missing_hours) AS value, " + _ROLES + " FROM {missing_timesheets} AS weeks "
           "INNER JOIN {accounts} AS accounts ON weeks._account_id = accounts._account_id "
           "WHERE status = 'due' AND missing_hours > 0 AND week_start <= today - 7"
           + _BY_ROLE, worry=True),
    Figure(PROJECTS, "Budgets used up", COUNT,
           "SELECT count(*) AS value, '' AS unit FROM" + _LATEST + " WHERE share >= 1",
           worry=True),
    Figure(PROJECTS, f"Used up within {SOON} days", COUNT,
           "SELECT count(*) AS value, '' AS unit FROM" + _LATEST
           + f" WHERE runs_out_on <= day + {SOON}", worry=True),
    Figure(PROJECTS, "Profit of fixed fees", AMOUNT, _profit("profit_fixed_fee")),
    Figure(PROJECTS, "Profit of time and materials", AMOUNT,
           _profit("profit_time_and_materials")),
    Figure(MONEY, "Not invoiced", AMOUNT,
           "SELECT sum(amount) + sum(expenses) AS value, currency AS unit "
           "FROM {work_in_progress} AS days GROUP BY currency ORDER BY currency"),
    Figure(MONEY, "Owed", AMOUNT,
           _OWED + "WHERE age IS NOT NULL GROUP BY currency ORDER BY currency"),
    Figure(MONEY, "Overdue", AMOUNT,
           _OWED + "WHERE age IS NOT NULL AND age <> 'not due' "
           "GROUP BY currency ORDER BY currency", worry=True),
    Figure(MONEY, "Profit", AMOUNT, _profit("profit_fixed_fee", "profit_time_and_materials")),
    Figure(HEALTH, "Last read (UTC)", MOMENT,
           "SELECT max(read_at) AS value, '' AS unit FROM {_freshness} AS tables"),
    Figure(HEALTH, "History is whole from", TEXT,
           "SELECT CASE WHEN count(history_from) < count(*) THEN 'not known' "
           "WHEN max(history_from) = DATE '1900-01-01' THEN 'its beginning' "
           "ELSE cast(max(history_from) AS text) END AS value, '' AS unit "
           "FROM {accounts} AS accounts"),
    Figure(HEALTH, "Tables with a problem", COUNT,
           "SELECT count(problem) AS value, '' AS unit FROM {_freshness} AS tables", worry=True),
    Figure(HEALTH, "Metrics count from", TEXT,
           "SELECT cast(max(today) AS text) AS value, '' AS unit FROM {accounts} AS accounts"),
)  # fmt: skip
