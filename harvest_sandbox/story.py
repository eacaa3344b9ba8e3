"""An agency with a story, for a demonstration: what its figures show is written here.

Two years of a studio of ten with eight clients, in euros and dollars: busy springs and autumns,
quiet summers and turns of the year; one person works too much, one forgets their timesheets, one
has left and two have come; a fixed fee is eaten up by its project, a monthly budget is overrun each
autumn, one client pays late, one project was not billed for months, and a few hours were changed
after their invoice went out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import ROUND_CEILING, Decimal
from random import Random
from typing import Any

from .account import Account, Record
from .clock import stamp
from .copies import bare, ref
from .copies import person as as_person

ADD = Callable[..., Record]

MONTHS = 24
BUSY = {1: 0.9, 2: 0.95, 3: 1.1, 4: 1.1, 5: 1.0, 6: 0.95, 7: 0.8, 8: 0.6, 9: 1.05, 10: 1.15,
        11: 1.2, 12: 0.8}  # fmt: skip
"""How much there is to do, by month."""

PUBLIC_HOLIDAYS = {(1, 1), (5, 1), (12, 24), (12, 25), (12, 26), (12, 31)}
AWAY = ((7, 20), (8, 1), (8, 10), (12, 18), (4, 6))
"""Month and day on which holidays of two weeks may begin; each person takes one of them a year."""

QUARTER = Decimal("0.25")
CENT = Decimal("0.01")


@dataclass(frozen=True)
class Person:
    """One of the studio. Months are counted back from today."""

    name: str
    role: str
    rate: int
    cost: str
    came: int = MONTHS
    left: int = 0
    weekly_hours: int = 35
    pace: float = 1.0
    forgets: float = 0.0
    contractor: bool = False


PEOPLE = (
    Person("Ada Ånd", "Strategy", 150, "62", pace=0.9),
    Person("Bo Berg", "Development", 120, "48", pace=1.0),
    Person("Chloé Çelik", "Design", 110, "44.50", pace=1.32),  # works too much
    Person("Dmitri Dahl", "Development", 120, "46", forgets=0.25),  # forgets timesheets
    Person("Eva Étienne", "Design", 110, "42", weekly_hours=21),
    Person("Finn Fuchs", "Development", 115, "45", left=5),  # has left
    Person("Grażyna García", "Strategy", 140, "58", came=14),
    Person("Hiro Holm", "Development", 115, "41", came=4),
    Person("Inés Ito", "Development", 130, "85", contractor=True, pace=0.7),
    Person("Jun Jansen", "Design", 125, "80", contractor=True, came=18, pace=0.5),
)

CLIENTS = (
    ("Ahlberg Bakery", "EUR", 12), ("Brook Brewery", "USD", 20), ("Cedar Clinic", "EUR", 25),
    ("Dune Foundry", "USD", 97), ("Elm Library", "EUR", 15), ("Fjord Museum", "EUR", 30),
    ("Grove Nursery", "USD", 18), ("Hill Observatory", "EUR", 28),
)  # fmt: skip
"""Name, currency, and the days that it takes to pay. Dune Foundry pays late."""

LATE_PAYER = 3


@dataclass(frozen=True)
class Project:
    """One project. Months are counted back from today; shares say how much of the work it is."""

    name: str
    client: int
    share: float
    starts: int = MONTHS
    ends: int = 0
    fee: int = 0
    budget_by: str = "none"
    budget: int = 0
    monthly: bool = False
    billable: bool = True
    unbilled_months: int = 0


PROJECTS = (
    Project("Care plan", 0, 1.0, budget_by="project", budget=215, monthly=True),
    Project("Shop", 1, 1.3, starts=16, budget_by="project_cost", budget=420_000),
    Project("Patient portal", 2, 1.5, starts=20, ends=3, budget_by="project", budget=4_000),
    Project("Spare parts catalogue", 3, 1.2, budget_by="task", budget=5_600),
    Project("Reading app", 4, 1.7, 7, -1, fee=85_000, budget_by="project", budget=1_300),
    Project("Anniversary exhibition", 5, 0.8, starts=18, ends=9, fee=110_000),
    Project("Plant finder", 6, 0.8, starts=10, budget_by="task_fees", budget=150_000),
    Project("Star map", 7, 0.8, starts=13, budget_by="person", budget=1_500, unbilled_months=5),
    Project("Visual identity", 5, 0.5, starts=6, ends=-3, fee=45_000),
    Project("Studio", 0, 0.5, billable=False),  # own work and holidays
)
STUDIO = len(PROJECTS) - 1

TASKS = ("Strategy", "Design", "Development", "Project management", "Holiday", "Research",
         "Testing", "Support")  # fmt: skip
BUDGETED = TASKS[:4]
CATEGORIES = (("Travel", None, None), ("Mileage", "0.30", "km"), ("Software", None, None),
              ("Meals", None, None))  # fmt: skip


def tell(account: Account, random: Random, add: ADD) -> None:
    """Fill an account that has a company and nothing else.

    Args:
        account: The account.
        random: What chance decides by.
        add: Adds a record to a table, of a parent or none.
    """
    _Story(account, random, add).tell()


class _Story:
    def __init__(self, account: Account, random: Random, add: ADD) -> None:
        self.account, self.random, self._add = account, random, add
        self.now = account.clock.now().replace(microsecond=0)
        self.today = self.now.date()
        self.first = _month(self.today, -MONTHS)
        self.number = 1000

    def tell(self) -> None:
        """Put everything in, in the order in which records refer to each other."""
        self._people()
        self._projects()
        hours = sorted(self._hours(), key=lambda row: str(row["spent_date"]))
        expenses = sorted(self._expenses(), key=lambda row: str(row["spent_date"]))
        self._bill(hours, expenses)
        for table, rows in (("time_entries", hours), ("expenses", expenses)):
            for row in rows:
                self.account.add(table, row)
        self._change_billed_hours()
        self._estimates()

    def add(self, table: str, day: date, parent: int | None = None, **fields: Any) -> Record:
        """Add a record that was made on a day and not changed since."""
        return self._add(table, parent, **{**self._stamped(day), **fields})

    def _stamped(self, day: date, updated: date | None = None) -> Record:
        made, changed = self._moment(day), self._moment(updated or day)
        return {"created_at": made, "updated_at": max(made, changed)}

    def _moment(self, day: date) -> str:
        """Return a moment of a working day, never one to come."""
        minutes = self.random.randrange(9 * 60, 17 * 60)
        moment = datetime.combine(day, time(), timezone.utc) + timedelta(minutes=minutes)
        return stamp(min(moment, self.now - timedelta(minutes=10)))

    def _people(self) -> None:
        self.users: list[Record] = []
        for place, person in enumerate(PEOPLE):
            first, _, last = person.name.partition(" ")
            came = _month(self.today, -person.came)
            user = self.add(
                "users", came,
                first_name=first, last_name=last, email=f"user{place}@example.com", telephone="",
                timezone="Berlin", has_access_to_all_future_projects=place == 0,
                is_contractor=person.contractor, is_active=not person.left,
                weekly_capacity=person.weekly_hours * 3600,
                default_hourly_rate=Decimal(person.rate), cost_rate=Decimal(person.cost),
                roles=[person.role],
                access_roles=[("administrator", "manager", "member")[min(place, 2)]],
                permissions_claims=[], avatar_url=f"https://example.com/{place}",
            )  # fmt: skip
            self.users.append(user)
            raised = date(self.today.year, 1, 1)
            before = (Decimal(person.cost) * Decimal("0.95")).quantize(CENT)
            for table, rates in (
                ("user_billable_rates", [(None, None, Decimal(person.rate))]),
                ("user_cost_rates", [
                    (None, raised - timedelta(days=1), before),
                    (raised, None, Decimal(person.cost)),
                ]),
            ):  # fmt: skip
                for start, end, amount in rates:
                    self.add(
                        table, came, user["id"], amount=amount,
                        start_date=start and start.isoformat(), end_date=end and end.isoformat(),
                    )  # fmt: skip
        for role in dict.fromkeys(person.role for person in PEOPLE):
            ids = [u["id"] for u, p in zip(self.users, PEOPLE, strict=True) if p.role == role]
            self.add("roles", self.first, name=role, user_ids=ids)

    def _projects(self) -> None:
        self.clients = [
            self.add("clients", self.first, name=name, is_active=True, address=None,
                     statement_key=f"{place:032x}", currency=currency)
            for place, (name, currency, _) in enumerate(CLIENTS)
        ]  # fmt: skip
        for client in self.clients:
            self.add(
                "contacts", self.first, client=ref(client), title=None, first_name="Kim",
                last_name=client["name"].split()[0], email="client@example.com", phone_office="",
                phone_mobile="", fax="",
            )  # fmt: skip
        self.tasks = [
            self.add("tasks", self.first, name=name, billable_by_default=name != "Holiday",
                     is_default=True, default_hourly_rate=None, is_active=True)
            for name in TASKS
        ]  # fmt: skip
        self.projects: list[Record] = []
        self.mine: list[list[Record]] = []
        self.its: list[list[Record]] = []
        for place, plan in enumerate(PROJECTS):
            starts, ends = _month(self.today, -plan.starts), _month(self.today, -plan.ends)
            dated = plan.fee or plan.ends
            money = plan.budget_by == "project_cost"
            client = self.clients[plan.client]
            project = self.add(
                "projects", starts,
                client=ref(client, "currency"), name=plan.name, code=f"P{place + 1}",
                is_active=plan.ends <= 0, is_billable=plan.billable,
                is_fixed_fee=plan.fee > 0, bill_by="People" if plan.billable else "none",
                hourly_rate=None,
                budget=Decimal(plan.budget) if plan.budget_by == "project" else None,
                budget_by=plan.budget_by, budget_is_monthly=plan.monthly,
                notify_when_over_budget=False, over_budget_notification_percentage=Decimal("80.0"),
                over_budget_notification_date=None, show_budget_to_all=False,
                cost_budget=Decimal(plan.budget) if money else None,
                cost_budget_include_expenses=money,
                fee=Decimal(plan.fee) if plan.fee else None, notes=None,
                starts_on=starts.isoformat(),
                ends_on=(ends - timedelta(days=1)).isoformat() if dated else None,
            )  # fmt: skip
            self.projects.append(project)
            each = {"person": Decimal(plan.budget) / 10, "task": Decimal(plan.budget) / 4,
                    "task_fees": Decimal(plan.budget) / 4}  # fmt: skip
            self.mine.append([
                self.add("user_assignments", starts, project=ref(project, "code"),
                         user=as_person(user), is_active=True, is_project_manager=n == 0,
                         use_default_rates=True, hourly_rate=None,
                         budget=each["person"] if plan.budget_by == "person" else None)
                for n, user in enumerate(self.users)
            ])  # fmt: skip
            self.its.append([
                self.add("task_assignments", starts, project=ref(project, "code"),
                         task=ref(task), is_active=True,
                         billable=plan.billable and task["name"] != "Holiday", hourly_rate=None,
                         budget=each[plan.budget_by]
                         if plan.budget_by.startswith("task") and task["name"] in BUDGETED
                         else None)
                for task in self.tasks
            ])  # fmt: skip

    def _hours(self) -> Iterator[Record]:
        for place, person in enumerate(PEOPLE):
            starts = _month(self.today, -person.came)
            ends = _month(self.today, -person.left) if person.left else self.today
            away = self._away(place)
            day = starts
            while day <= ends:
                if day in away and day.weekday() < 5:
                    hours = Decimal(person.weekly_hours) / 5
                    if not person.contractor:
                        yield self._entry(day, place, STUDIO, TASKS.index("Holiday"), hours)
                elif day.weekday() < 5 and (day.month, day.day) not in PUBLIC_HOLIDAYS:
                    yield from self._working_day(day, place, person)
                day += timedelta(days=1)

    def _away(self, place: int) -> set[date]:
        days: set[date] = set()
        for year in range(self.first.year, self.today.year + 1):
            for month, day in (AWAY[(place + year) % len(AWAY)], (12, 27)):
                days |= {date(year, month, day) + timedelta(days=n) for n in range(14)}
        return days

    def _working_day(self, day: date, place: int, person: Person) -> Iterator[Record]:
        r = self.random
        if r.random() < person.forgets:
            return
        if person.forgets and (self.today - day).days < 12:
            return
        recent = (self.today - day).days < 120
        pace = min(person.pace, 1.05) if not recent else person.pace
        season = BUSY[day.month] * 0.4 + 0.6
        length = person.weekly_hours / 5 * pace * season * r.uniform(0.9, 1.1)
        open_projects = [
            n for n, plan in enumerate(PROJECTS)
            if _month(self.today, -plan.starts) <= day < _month(self.today, -plan.ends)
            or (plan.ends <= 0 and _month(self.today, -plan.starts) <= day)
        ]  # fmt: skip
        weights = [self._weight(n, day) for n in open_projects]
        pieces = r.choice((1, 2, 2, 3))
        for n in r.choices(open_projects, weights, k=pieces):
            hours = Decimal(str(round(length / pieces, 2)))
            task = TASKS.index(person.role) if r.random() < 0.85 else 3
            yield self._entry(day, place, n, task, hours)

    @staticmethod
    def _weight(project: int, day: date) -> float:
        plan = PROJECTS[project]
        weight = plan.share
        if plan.monthly and day.month in (10, 11):
            weight *= 1.8  # the budget of the month is overrun each autumn
        return weight

    def _entry(self, day: date, place: int, project: int, task: int, hours: Decimal) -> Record:
        mine, its = self.mine[project][place], self.its[project][task]
        billable = bool(its["billable"])
        approved = self._approval(day)
        rounded = (hours / QUARTER).to_integral_value(ROUND_CEILING) * QUARTER
        person = PEOPLE[place]
        raised = day >= date(self.today.year, 1, 1)
        cost = Decimal(person.cost) if raised else Decimal(person.cost) * Decimal("0.95")
        client = self.projects[project]["client"]
        return {
            **self._stamped(day, day + timedelta(days=8)),
            "spent_date": day.isoformat(), "user": mine["user"], "client": client,
            "project": mine["project"], "task": its["task"],
            "user_assignment": bare(mine, "user"), "task_assignment": bare(its, "task"),
            "external_reference": None, "invoice": None, "hours": hours,
            "hours_without_timer": hours, "rounded_hours": rounded, "notes": None,
            "is_locked": approved == "approved", "is_closed": approved == "approved",
            "locked_reason": "Item Approved and Locked" if approved == "approved" else None,
            "approval_status": approved, "is_billed": False, "is_running": False,
            "timer_started_at": None, "started_time": None, "ended_time": None,
            "billable": billable, "budgeted": True,
            "billable_rate": Decimal(person.rate) if billable else None,
            "cost_rate": cost.quantize(CENT),
        }  # fmt: skip

    def _approval(self, day: date) -> str:
        age = (self.today - day).days
        return "approved" if age > 28 else "submitted" if age > 9 else "unsubmitted"

    def _expenses(self) -> Iterator[Record]:
        categories = [
            self.add("expense_categories", self.first, name=name, unit_name=unit,
                     unit_price=price and Decimal(price), is_active=True)
            for name, price, unit in CATEGORIES
        ]  # fmt: skip
        r = self.random
        day = self.first
        while day <= self.today:
            running = [
                n for n, plan in enumerate(PROJECTS)
                if _month(self.today, -plan.starts) <= day < max(
                    _month(self.today, -plan.ends), self.today if plan.ends <= 0 else date.min)
            ]  # fmt: skip
            if running and day.weekday() < 5:
                project = r.choice(running)
                mine = self.mine[project][r.randrange(4)]
                category = r.choice(categories)
                units = Decimal(r.randrange(8, 300))
                cost = (units * category["unit_price"]).quantize(CENT) if category["unit_price"] \
                    else Decimal(r.randrange(900, 42_000)) / 100  # fmt: skip
                approved = self._approval(day)
                yield {
                    **self._stamped(day, day + timedelta(days=8)),
                    "client": self.projects[project]["client"], "project": mine["project"],
                    "user": mine["user"], "receipt": None, "invoice": None, "notes": None,
                    "expense_category": ref(category, "unit_price", "unit_name"),
                    "user_assignment": bare(mine, "user"), "locked_reason": None,
                    "units": units if category["unit_price"] else Decimal("1.0"),
                    "total_cost": cost, "is_closed": approved == "approved",
                    "billable": PROJECTS[project].billable and category["name"] != "Software",
                    "is_locked": approved == "approved", "is_billed": False,
                    "approval_status": approved, "spent_date": day.isoformat(),
                }  # fmt: skip
            day += timedelta(days=r.randrange(2, 5))

    def _bill(self, hours: list[Record], expenses: list[Record]) -> None:
        """Write the invoices of each month, and mark what stands in them."""
        for name in ("Service", "Expense"):
            use = {"use_as_service": name == "Service", "use_as_expense": name == "Expense"}
            self.add("invoice_item_categories", self.first, name=name, **use)
            self.add("estimate_item_categories", self.first, name=name)
        by_month: dict[tuple[int, str], tuple[list[Record], list[Record]]] = {}
        places = {project["id"]: n for n, project in enumerate(self.projects)}
        for kind, rows in enumerate((hours, expenses)):
            for row in rows:
                if row["billable"]:
                    key = places[row["project"]["id"]], str(row["spent_date"])[:7]
                    by_month.setdefault(key, ([], []))[kind].append(row)
        for month in range(MONTHS, 0, -1):
            start, issued = _month(self.today, -month), _month(self.today, 1 - month)
            for n, plan in enumerate(PROJECTS):
                if plan.fee or not plan.billable or month <= plan.unbilled_months:
                    continue
                worked, spent = by_month.get((n, start.isoformat()[:7]), ([], []))
                if worked or spent:
                    self._invoice(n, issued + timedelta(days=3), worked, spent)
        for n, plan in enumerate(PROJECTS):
            for part in range(3 if plan.fee else 0):
                months = plan.starts - (plan.starts - max(plan.ends, 0)) * part // 3
                day = _month(self.today, -months) + timedelta(days=4)
                if day < self.today:
                    self._invoice(n, day, [], [], Decimal(plan.fee) / 4)

    def _invoice(
        self, place: int, day: date, worked: list[Record], spent: list[Record],
        part: Decimal | None = None,
    ) -> None:  # fmt: skip
        project, client = self.projects[place], self.clients[PROJECTS[place].client]
        self.number += 1
        lines = []
        for kind, amounts in (
            ("Service", [row["rounded_hours"] * row["billable_rate"] for row in worked]),
            ("Expense", [row["total_cost"] for row in spent]),
            ("Service", [part] if part else []),
        ):
            if amounts:
                amount = sum(amounts, Decimal(0)).quantize(CENT)
                lines.append({
                    "id": self.account.new_id(), "kind": kind, "description": project["name"],
                    "quantity": Decimal("1.0"), "unit_price": amount, "amount": amount,
                    "taxed": False, "taxed2": False, "project": ref(project, "code"),
                })  # fmt: skip
        amount = sum((line["amount"] for line in lines), Decimal(0))
        due = day + timedelta(days=30)
        draft = day > self.today - timedelta(days=28) and place % 3 == 0
        invoice = self.add(
            "invoices", day,
            client=ref(client), creator=as_person(self.users[0]), line_items=lines,
            client_key=f"{self.number:040x}", number=str(self.number), purchase_order="",
            subject=project["name"], notes="", amount=amount, tax=None,
            tax_amount=Decimal("0.0"), tax2=None, tax2_amount=Decimal("0.0"), discount=None,
            discount_amount=Decimal("0.0"), currency=client["currency"],
            issue_date=day.isoformat(), sent_at=None, estimate=None, retainer=None,
            due_amount=amount, state="draft" if draft else "open", period_start=None,
            period_end=None, due_date=due.isoformat(), payment_term="net 30",
            payment_options=[], paid_at=None, closed_at=None, recurring_invoice_id=None,
            paid_date=None,
        )  # fmt: skip
        billed = {"is_billed": True, "is_locked": True, "locked_reason": "Item Invoiced",
                  "invoice": {"id": invoice["id"], "number": invoice["number"]},
                  "updated_at": invoice["created_at"]}  # fmt: skip
        for row in (*worked, *spent):
            row.update(billed)
            row["created_at"] = min(row["created_at"], row["updated_at"])
        if not draft:
            self._collect(invoice, day, PROJECTS[place].client)

    def _collect(self, invoice: Record, day: date, client: int) -> None:
        self.add(
            "invoice_messages", day, invoice["id"], sent_by=PEOPLE[0].name,
            sent_by_email="user0@example.com", sent_from=PEOPLE[0].name,
            sent_from_email="user0@example.com", subject=f"Invoice {invoice['number']}", body="",
            recipients=[{"name": "Kim", "email": "client@example.com"}], send_me_a_copy=False,
            event_type=None, include_link_to_client_invoice=None, attach_pdf=True,
            thank_you=False, reminder=False, send_reminder_on=None,
        )  # fmt: skip
        r, amount = self.random, invoice["amount"]
        if client == LATE_PAYER and int(invoice["number"]) % 9 == 0:
            written_off = self._moment(day + timedelta(days=120))
            if written_off < stamp(self.now - timedelta(days=1)):
                self.account.update("invoices", invoice["id"], touch=False, state="closed",
                                    closed_at=written_off, updated_at=written_off)  # fmt: skip
                return
        paid_on = day + timedelta(days=max(3, CLIENTS[client][2] + r.randrange(-8, 9)))
        parts = [amount]
        if int(invoice["number"]) % 11 == 0:
            first = (amount * Decimal("0.4")).quantize(CENT)
            parts = [first, amount - first]
        for n, part in enumerate(parts):
            received = paid_on + timedelta(days=n * 30)
            if received < self.today:
                self.add(
                    "invoice_payments", received, invoice["id"], amount=part,
                    paid_at=f"{received.isoformat()}T00:00:00Z", paid_date=received.isoformat(),
                    recorded_by=PEOPLE[0].name, notes=None, transaction_id=None,
                    recorded_by_email="user0@example.com",
                    payment_gateway={"id": None, "name": None},
                )  # fmt: skip

    def _change_billed_hours(self) -> None:
        """Let a few hours be changed after their invoice went out."""
        lately = stamp(self.now - timedelta(days=300))
        billed = [
            row for row in self.account.rows("time_entries")
            if row["invoice"] and row["updated_at"] > lately
        ]  # fmt: skip
        for row in self.random.sample(billed, 6):
            changed = datetime.fromisoformat(row["updated_at"].replace("Z", "+00:00"))
            moment = min(changed + timedelta(days=self.random.randrange(2, 20)), self.now)
            hours = row["hours"] + Decimal("0.5")
            self.account.update(
                "time_entries", row["id"], touch=False, hours=hours, hours_without_timer=hours,
                rounded_hours=row["rounded_hours"] + Decimal("0.5"),
                updated_at=stamp(moment - timedelta(minutes=10)),
            )  # fmt: skip

    def _estimates(self) -> None:
        r = self.random
        for month in range(MONTHS, -1, -1):
            for n in range(r.choice((1, 2, 2, 3))):
                day = _month(self.today, -month) + timedelta(days=r.randrange(0, 26))
                if day >= self.today:
                    continue
                self._estimate(day, month, n)

    def _estimate(self, day: date, month: int, n: int) -> None:
        r, client = self.random, self.random.choice(self.clients)
        quantity, price = Decimal(r.randrange(20, 300)), Decimal(r.randrange(90, 150))
        state = "draft" if month == 0 and n else "sent" if month < 2 else r.choices(
            ("accepted", "declined", "sent"), (55, 35, 10))[0]  # fmt: skip
        self.number += 1
        answered = self._moment(day + timedelta(days=r.randrange(3, 25)))
        self.add(
            "estimates", day,
            client=ref(client), creator=as_person(self.users[0]),
            line_items=[{
                "id": self.account.new_id(), "kind": "Service", "description": "Work",
                "quantity": quantity, "unit_price": price, "amount": quantity * price,
                "taxed": False, "taxed2": False,
            }],
            client_key=f"{self.number:040x}", number=f"E-{self.number}", purchase_order="",
            amount=quantity * price, tax=None, tax_amount=Decimal("0.0"), tax2=None,
            tax2_amount=Decimal("0.0"), discount=None, discount_amount=Decimal("0.0"),
            subject="Offer", notes="", currency=client["currency"], state=state,
            issue_date=None if state == "draft" else day.isoformat(), sent_at=None,
            accepted_at=answered if state == "accepted" else None,
            declined_at=answered if state == "declined" else None,
        )  # fmt: skip


def _month(today: date, months: int) -> date:
    """Return the first day of the month that is so many months from today's."""
    count = today.year * 12 + today.month - 1 + months
    return date(count // 12, count % 12 + 1, 1)
