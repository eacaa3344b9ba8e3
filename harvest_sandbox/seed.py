"""A believable agency, made from a seed."""

from __future__ import annotations

import gc
import sys
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from .account import FIRST_ID, Account, Record
from .clock import Clock, stamp
from .copies import bare, person, ref
from .story import tell

SIZES = {"empty": 0, "tiny": 150, "small": 2_500, "10k": 10_000, "100k": 100_000, "400k": 400_000,
         "2m": 2_000_000}  # fmt: skip
"""Time entries by size; the other tables follow in proportion."""

STORY = "story"
"""The size of an agency for a demonstration, see `story`."""

NOTES = (
    None,
    "",
    "Workshop",
    "Entwürfe für Ähren & Söhne",
    "Zeile 1\r\nZeile 2",
    "会議の準備",
    "🚀",
)
COST = Decimal("75.0")
FIRST = "Ada Bo Chloé Dmitri Eva Finn Grażyna Hiro Inés Jun".split()
LAST = "Ånd Berg Çelik Dahl Étienne Fuchs García Holm Ito Jansen".split()
TRADES = "Bakery Brewery Clinic Foundry Library Museum Nursery Observatory Press Vineyard".split()


def build(size: str, seed: int, clock: Clock | None = None, first_id: int = FIRST_ID) -> Account:
    """Return an account of one of the sizes; the same seed gives the same agency.

    Args:
        size: One of the `SIZES`, or `STORY`.
        seed: Any number.
        clock: The account's clock; a new one, if omitted.
        first_id: All ids are above this one.
    """
    collecting = gc.isenabled()
    gc.disable()  # nothing here is garbage, and looking for it takes longer than building
    try:
        account = _Builder(size, seed, Account(clock, first_id)).account
    finally:
        if collecting:
            gc.enable()
    account.warm()
    return account


class _Builder:
    def __init__(self, size: str, seed: int, account: Account) -> None:
        self.random = Random(seed)  # noqa: S311 - a seeded agency, no secret
        self.account = account
        self.now = account.clock.now()
        self.entries = SIZES.get(size, 0)
        self._company()
        if size == STORY:
            tell(account, self.random, self._add)
            return
        self._people()
        if self.entries:
            self._work()
            self._money()

    def _count(self, share: float, least: int) -> int:
        return max(least, int(self.entries * share))

    def _stamps(self, days: float = 1000) -> Record:
        created = self.now - timedelta(seconds=self.random.uniform(86_400, days * 86_400))
        updated = created + (self.now - timedelta(hours=12) - created) * self.random.random()
        return {"created_at": stamp(created), "updated_at": stamp(updated)}

    def _iso_day(self) -> str:
        return sys.intern(self._day().isoformat())  # a thousand days, one text each

    def _day(self) -> date:
        return (self.now - timedelta(days=self.random.uniform(0, 1000))).date()

    def _add(self, table: str, parent_id: int | None = None, /, **fields: Any) -> Record:
        return self.account.add(table, {**self._stamps(), **fields}, parent_id)

    def _money_value(self, top: int, places: str = "0.01") -> Decimal:
        return (Decimal(self.random.randrange(1, top * 1000)) / 1000).quantize(Decimal(places))

    def _company(self) -> None:
        self.account.company = {
            "base_uri": "https://sandbox.harvestapp.com", "full_domain": "sandbox.harvestapp.com",
            "name": "Sandbox Agency", "is_active": True, "week_start_day": "Monday",
            "wants_timestamp_timers": True, "time_format": "hours_minutes",
            "date_format": "%Y-%m-%d", "plan_type": "sponsored", "clock": "12h", "currency": "EUR",
            "currency_code_display": "iso_code_none", "currency_symbol_display": "symbol_before",
            "decimal_symbol": ".", "thousands_separator": ",", "color_scheme": "orange",
            "weekly_capacity": 126_000, "expense_feature": True, "invoice_feature": True,
            "estimate_feature": True, "approval_feature": True, "team_feature": True,
        }  # fmt: skip

    def _people(self) -> None:
        r = self.random
        for n in range(self._count(50 / 400_000, 10 if self.entries else 1)):
            user = self._add(
                "users",
                first_name=FIRST[n % 10], last_name=LAST[n // 10 % 10],
                email=f"user{n}@example.com", telephone="",
                timezone="Pacific Time (US & Canada)", has_access_to_all_future_projects=n == 0,
                is_contractor=n % 5 == 4, is_active=n % 7 != 6, weekly_capacity=126_000,
                default_hourly_rate=None if n % 4 == 3 else self._money_value(200),
                cost_rate=None if n % 6 == 5 else Decimal("0.535") * (n + 1),
                roles=[] if n % 3 == 2 else ["Developer", "Büro"][: n % 3 + 1],
                access_roles=(["administrator"], ["manager", "people_manager"])[n]
                if n < 2 else ["member"],
                permissions_claims=["expenses:read:own"], avatar_url=f"https://example.com/{n}?1",
            )  # fmt: skip
            for table in ("user_billable_rates", "user_cost_rates"):
                for _ in range(r.randrange(3)):
                    self._add(
                        table, user["id"],
                        amount=self._money_value(200), start_date=None, end_date=None,
                    )  # fmt: skip
        users = sorted(self.account.records["users"])
        if self.entries:
            self.account.teammates[users[1]] = set(users[2:4])
        for name in ("Developer", "Büro"):
            self._add("roles", name=name, user_ids=r.sample(users, len(users) // 2))

    def _work(self) -> None:
        r = self.random
        for n in range(self._count(300 / 400_000, 8)):
            client = self._add(
                "clients", name=f"{LAST[n % 10]} {TRADES[n // 10 % 10]} {n}", is_active=n % 9 != 8,
                address=r.choice((None, "1 Main St\r\nTown")), statement_key=f"{n:032x}",
                currency=("EUR", "USD", "JPY")[n % 3],
            )  # fmt: skip
            self._add(
                "contacts", client=ref(client), title=r.choice((None, "Dr.")),
                first_name=r.choice(FIRST), last_name=r.choice(LAST), email=None,
                phone_office="", phone_mobile="", fax="",
            )  # fmt: skip
        for n in range(self._count(200 / 400_000, 8)):
            self._add(
                "tasks", name=f"Task {n}", billable_by_default=n % 3 != 0, is_default=n < 4,
                default_hourly_rate=None if n % 2 else Decimal("100.0"), is_active=n % 8 != 7,
            )  # fmt: skip
        clients, tasks = self.account.rows("clients"), self.account.rows("tasks")
        users = self.account.rows("users")
        self.assignments: list[tuple[Record, ...]] = []
        for n in range(self._count(800 / 400_000, 12)):
            client = r.choice(clients)
            project = self._add(
                "projects", client=ref(client, "currency"), name=f"Project {n}",
                code=(None, "", f"P-{n}")[n % 3], is_active=n % 10 != 9, is_billable=n % 4 != 3,
                is_fixed_fee=n % 6 == 5, bill_by=("Project", "Tasks", "People", "none")[n % 4],
                hourly_rate=None if n % 2 else self._money_value(200),
                budget=None if n % 3 else Decimal("200.0"), budget_by="project",
                budget_is_monthly=False, notify_when_over_budget=n % 2 == 0,
                over_budget_notification_percentage=Decimal("80.0"),
                over_budget_notification_date=None, show_budget_to_all=False,
                cost_budget=None, cost_budget_include_expenses=False,
                fee=Decimal("5000.0") if n % 6 == 5 else None, notes=r.choice(NOTES),
                starts_on=None if n % 2 else self._day().isoformat(), ends_on=None,
            )  # fmt: skip
            for user, task in zip(r.sample(users, 5), r.sample(tasks, 5), strict=True):
                rate = {"hourly_rate": r.choice((None, Decimal("0.485"))), "budget": None}
                mine = self._add(
                    "user_assignments", project=ref(project, "code"), user=person(user),
                    is_active=r.random() > 0.1, use_default_rates=True,
                    is_project_manager="manager" in user["access_roles"] or r.random() > 0.8,
                    **rate,
                )  # fmt: skip
                its = self._add(
                    "task_assignments", project=ref(project, "code"), task=ref(task),
                    is_active=r.random() > 0.1, billable=r.random() > 0.2, **rate,
                )  # fmt: skip
                self.assignments.append((mine, its, project, bare(mine, "user"), bare(its, "task")))
        for n in range(self.entries):
            self._time_entry(n)

    def _time_entry(self, n: int) -> None:
        r = self.random
        mine, its, project, user_assignment, task_assignment = r.choice(self.assignments)
        hours = Decimal(r.randrange(-50 if n % 50 == 0 else 1, 900)) / 100
        running = n < 2
        subjects = {
            "user": mine["user"], "client": project["client"], "project": mine["project"],
            "task": its["task"],
        }  # fmt: skip
        locked = self.account.lock_reason(subjects)
        self._add(
            "time_entries",
            spent_date=self._iso_day(), **subjects,
            user_assignment=user_assignment, task_assignment=task_assignment,
            external_reference=None if n % 20 else {
                "id": str(n), "group_id": "7", "account_id": None,
                "permalink": f"https://example.com/{n}", "service": "example.com",
                "service_icon_url": "https://example.com/i.png",
            },
            invoice=None, hours=hours, hours_without_timer=hours, rounded_hours=hours,
            notes=r.choice(NOTES), is_locked=locked is not None, locked_reason=locked,
            is_closed=False, approval_status="unsubmitted", is_billed=False, is_running=running,
            timer_started_at=stamp(self.now - timedelta(hours=2)) if running else None,
            started_time="8:00am" if n % 3 == 0 else None,
            ended_time="9:30am" if n % 3 == 0 and not running else None,
            billable=n % 4 != 3, budgeted=True,
            billable_rate=None if n % 4 == 3 else self._money_value(200, "0.001"),
            cost_rate=r.choice((None, COST)),
        )  # fmt: skip

    def _money(self) -> None:
        r = self.random
        for name, price in (("Mileage", Decimal("0.535")), ("Meals", None)):
            self._add(
                "expense_categories", name=name, unit_price=price,
                unit_name="mile" if price else None, is_active=True,
            )  # fmt: skip
        for name in ("Service", "Product"):
            self._add(
                "invoice_item_categories", name=name, use_as_service=name == "Service",
                use_as_expense=name == "Product",
            )  # fmt: skip
            self._add("estimate_item_categories", name=name)
        categories = self.account.rows("expense_categories")
        for n in range(self._count(12_000 / 400_000, 15)):
            mine, _, project, user_assignment, _ = r.choice(self.assignments)
            category = r.choice(categories)
            self._add(
                "expenses", client=project["client"], project=mine["project"], user=mine["user"],
                expense_category=ref(category, "unit_price", "unit_name"),
                user_assignment=user_assignment,
                receipt=None if n % 3 else {
                    "url": f"https://example.com/{n}", "file_name": "Beleg.pdf",
                    "file_size": 39_410 + n, "content_type": "application/pdf",
                },
                invoice=None, notes=r.choice(NOTES), locked_reason=None, units=Decimal("1.0"),
                total_cost=self._money_value(500), billable=n % 2 == 0, is_closed=False,
                is_locked=False, is_billed=False, approval_status="unsubmitted",
                spent_date=self._iso_day(),
            )  # fmt: skip
        for n in range(self._count(5_000 / 400_000, 12)):
            self._bill("invoices", n)
        for n in range(self._count(800 / 400_000, 6)):
            self._bill("estimates", n)

    def _bill(self, table: str, n: int) -> None:
        r, invoice = self.random, table == "invoices"
        client, creator = r.choice(self.account.rows("clients")), self.account.rows("users")[0]
        items: list[Record] = []
        for _ in range(n % 4):
            quantity, price = Decimal(r.randrange(1, 40)) / 4, self._money_value(300, "0.001")
            item = {
                "id": self.account.new_id(), "kind": "Service", "description": r.choice(NOTES[1:]),
                "quantity": quantity, "unit_price": price,
                "amount": (quantity * price).quantize(Decimal("0.01")),
                "taxed": False, "taxed2": False,
            }  # fmt: skip
            if invoice:
                project = r.choice((None, self.assignments[0][2]))
                item["project"] = project and ref(project, "code")
            items.append(item)
        amount = sum((Decimal(item["amount"]) for item in items), Decimal("0.0"))
        day = self._day()
        fields: Record = {
            "client": ref(client), "creator": person(creator), "line_items": items,
            "client_key": f"{n:040x}", "number": str(1000 + n) if n % 5 else f"R-{n}",
            "purchase_order": r.choice(("", None)), "subject": r.choice(NOTES),
            "notes": r.choice(NOTES), "amount": amount, "tax": Decimal("10.0") if n % 2 else None,
            "tax_amount": Decimal("0.0"), "tax2": None, "tax2_amount": Decimal("0.0"),
            "discount": None, "discount_amount": None, "currency": client["currency"],
            "issue_date": day.isoformat(), "sent_at": None,
        }  # fmt: skip
        if invoice:
            fields |= {
                "estimate": None, "retainer": None,
                "due_amount": amount, "state": ("draft", "open")[n % 2], "period_start": None,
                "period_end": None, "due_date": (day + timedelta(days=30)).isoformat(),
                "payment_term": "net 30", "payment_options": ["ach"] if n % 2 else [],
                "paid_at": None, "closed_at": None, "recurring_invoice_id": None, "paid_date": None,
            }  # fmt: skip
        else:
            state = ("draft", "sent", "accepted", "declined")[n % 4]
            fields |= {"state": state, "accepted_at": None, "declined_at": None}
            if state == "draft":
                fields["issue_date"] = None
        bill = self._add(table, **fields)
        stamps = {"created_at": bill["updated_at"], "updated_at": bill["updated_at"]}
        for _ in range(n % 3):
            message = {
                "sent_by": "Ada Ånd", "sent_by_email": "user0@example.com", "sent_from": "Ada Ånd",
                "sent_from_email": "user0@example.com", "subject": "Hello", "body": r.choice(NOTES),
                "recipients": [{"name": None, "email": "client@example.com"}][: n % 2],
                "send_me_a_copy": True, "event_type": r.choice((None, "send", "view")),
            }  # fmt: skip
            if invoice:
                message |= {
                    "include_link_to_client_invoice": None, "attach_pdf": True, "thank_you": False,
                    "reminder": False, "send_reminder_on": None,
                }  # fmt: skip
            child = "invoice_messages" if invoice else "estimate_messages"
            self._add(child, bill["id"], **message, **stamps)
        if invoice and items and n % 3 == 0:
            self._add(
                "invoice_payments", bill["id"], amount=amount, paid_at=bill["updated_at"],
                paid_date=day.isoformat(), recorded_by="Ada Ånd", notes=None, transaction_id=None,
                recorded_by_email="user0@example.com", payment_gateway={"id": None, "name": None},
                **stamps,
            )  # fmt: skip
