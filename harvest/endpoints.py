"""The table of endpoints: what is read from where, how, and with which column types.

To add an endpoint is to add a row. Columns are named by type, nested ones with `__`, as they
stand in the destination; what is not named here is inferred by dlt.
Facts: https://help.getharvest.com/api-v2/
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns

from .settings import DECIMAL_PRECISION, DECIMAL_SCALE

STAMPS = "created_at updated_at"


@dataclass(frozen=True)
class Columns:
    """Column names by type, separated by spaces."""

    ids: str = ""
    texts: str = ""
    decimals: str = ""
    dates: str = ""
    stamps: str = ""
    flags: str = ""
    lists: str = ""

    @cached_property
    def objects(self) -> frozenset[str]:
        """Names of the nested objects whose columns are named here."""
        return frozenset(name.partition("__")[0] for name in self.schema() if "__" in name)

    def schema(self) -> TTableSchemaColumns:
        """Return dlt's hints: each column gets a dict of its own, since dlt writes into it."""
        types: dict[str, TColumnSchema] = {
            "ids": {"data_type": "bigint"},
            "texts": {"data_type": "text"},
            "decimals": {
                "data_type": "decimal",
                "precision": DECIMAL_PRECISION,
                "scale": DECIMAL_SCALE,
            },
            "dates": {"data_type": "date"},
            "stamps": {"data_type": "timestamp", "timezone": True},
            "flags": {"data_type": "bool"},
            "lists": {"data_type": "json"},
        }
        return {
            name: {"name": name, **hint}
            for kind, hint in types.items()
            for name in getattr(self, kind).split()
        }


@dataclass(frozen=True)
class Endpoint:
    """One endpoint and its table.

    Args:
        name: The table's name.
        columns: The documented columns by type.
        path: Path below the base URL; a child's holds `{id}`, the parent's. Default: the name.
        key: The envelope's key; default: the path's last part.
        parent: Name of the parent endpoint, for children.
        parent_key: The column that carries the parent's id.
        updated_since: Whether Harvest documents the filter `updated_since` here.
        anchored: Whether `anchor_date` bounds what is read: history does, reference data does not.
        single: One object instead of a list.
        date: The date that sorts the list, newest first, and that `from` and `to` filter by;
            empty where Harvest documents none, or where it can be null.
        live: A filter for records that change without a new `updated_at`.
        module: The flag of `company` that says whether the account has this part of Harvest.
        nested: Columns of child tables, by the list's name.
    """

    name: str
    columns: Columns
    path: str = ""
    key: str = ""
    parent: str | None = None
    parent_key: str = ""
    updated_since: bool = True
    anchored: bool = False
    single: bool = False
    date: str = ""
    live: str = ""
    module: str = ""
    nested: tuple[tuple[str, Columns], ...] = ()

    def __post_init__(self) -> None:
        """Fill in what follows from the name."""
        object.__setattr__(self, "path", self.path or self.name)
        object.__setattr__(self, "key", self.key or self.path.rsplit("/", 1)[-1])

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns that name a row; a child's id need be unique for its parent only."""
        return (self.parent_key, "id") if self.parent else ("id",)

    @property
    def mode(self) -> Literal["incremental", "full refresh"]:
        """How the table is kept."""
        return "full refresh" if self.single or self.parent else "incremental"


_ASSIGNMENT_COPY = " ".join(
    f"user_assignment__{column}"
    for column in ("is_active", "is_project_manager", "use_default_rates")
)
_LINE_ITEM = Columns(
    ids="id", texts="kind description", decimals="quantity unit_price amount", flags="taxed taxed2"
)
_INVOICE_LINE_ITEM = Columns(
    ids="id project__id",
    texts="kind description project__name project__code",
    decimals="quantity unit_price amount",
    flags="taxed taxed2",
)
_RECIPIENT = Columns(texts="name email")
_MESSAGE_TEXTS = "sent_by sent_by_email sent_from sent_from_email subject body event_type"
_AMOUNTS = "amount tax tax_amount tax2 tax2_amount discount discount_amount"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "users",
        Columns(
            ids="id weekly_capacity",
            texts="first_name last_name email telephone timezone avatar_url",
            decimals="default_hourly_rate cost_rate",
            stamps=STAMPS,
            flags="has_access_to_all_future_projects is_contractor is_active",
            lists="roles access_roles permissions_claims",
        ),
    ),
    Endpoint(
        "clients",
        Columns(
            ids="id", texts="name address statement_key currency", stamps=STAMPS, flags="is_active"
        ),
    ),
    Endpoint(
        "contacts",
        Columns(
            ids="id client__id",
            texts="client__name title first_name last_name email phone_office phone_mobile fax",
            stamps=STAMPS,
        ),
    ),
    Endpoint(
        "projects",
        Columns(
            ids="id client__id",
            texts="client__name client__currency name code bill_by budget_by notes",
            decimals="hourly_rate budget over_budget_notification_percentage cost_budget fee",
            dates="over_budget_notification_date starts_on ends_on",
            stamps=STAMPS,
            flags="is_active is_billable is_fixed_fee budget_is_monthly notify_when_over_budget "
            "show_budget_to_all cost_budget_include_expenses",
        ),
    ),
    Endpoint(
        "tasks",
        Columns(
            ids="id",
            texts="name",
            decimals="default_hourly_rate",
            stamps=STAMPS,
            flags="billable_by_default is_default is_active",
        ),
    ),
    Endpoint(
        "roles",
        Columns(ids="id", texts="name", stamps=STAMPS, lists="user_ids"),
        updated_since=False,
    ),
    Endpoint(
        "user_assignments",
        Columns(
            ids="id project__id user__id",
            texts="project__name project__code user__name",
            decimals="hourly_rate budget",
            stamps=STAMPS,
            flags="is_active is_project_manager use_default_rates",
        ),
    ),
    Endpoint(
        "task_assignments",
        Columns(
            ids="id project__id task__id",
            texts="project__name project__code task__name",
            decimals="hourly_rate budget",
            stamps=STAMPS,
            flags="is_active billable",
        ),
    ),
    Endpoint(
        "expense_categories",
        Columns(
            ids="id",
            texts="name unit_name",
            decimals="unit_price",
            stamps=STAMPS,
            flags="is_active",
        ),
        module="expense_feature",
    ),
    Endpoint(
        "invoice_item_categories",
        Columns(ids="id", texts="name", stamps=STAMPS, flags="use_as_service use_as_expense"),
        module="invoice_feature",
    ),
    Endpoint(
        "estimate_item_categories",
        Columns(ids="id", texts="name", stamps=STAMPS),
        module="estimate_feature",
    ),
    Endpoint(
        "time_entries",
        Columns(
            ids="id user__id client__id project__id task__id user_assignment__id "
            "task_assignment__id invoice__id",
            texts="user__name client__name client__currency project__name project__code task__name "
            "notes locked_reason approval_status started_time ended_time invoice__number "
            "external_reference__id external_reference__group_id external_reference__account_id "
            "external_reference__permalink external_reference__service "
            "external_reference__service_icon_url",
            decimals="hours hours_without_timer rounded_hours billable_rate cost_rate "
            "user_assignment__hourly_rate user_assignment__budget task_assignment__hourly_rate "
            "task_assignment__budget",
            dates="spent_date",
            stamps=f"{STAMPS} timer_started_at user_assignment__created_at "
            "user_assignment__updated_at task_assignment__created_at task_assignment__updated_at",
            flags="is_locked is_closed is_billed is_running billable budgeted "
            f"task_assignment__billable task_assignment__is_active {_ASSIGNMENT_COPY}",
        ),
        anchored=True,
        date="spent_date",
        live="is_running",
    ),
    Endpoint(
        "expenses",
        Columns(
            ids="id client__id project__id expense_category__id user__id user_assignment__id "
            "invoice__id receipt__file_size",
            texts="client__name client__currency project__name project__code "
            "expense_category__name expense_category__unit_name user__name invoice__number "
            "receipt__url receipt__file_name receipt__content_type notes locked_reason "
            "approval_status",
            decimals="units total_cost expense_category__unit_price user_assignment__hourly_rate "
            "user_assignment__budget",
            dates="spent_date",
            stamps=f"{STAMPS} user_assignment__created_at user_assignment__updated_at",
            flags=f"billable is_closed is_locked is_billed {_ASSIGNMENT_COPY}",
        ),
        anchored=True,
        date="spent_date",
        module="expense_feature",
    ),
    Endpoint(
        "invoices",
        Columns(
            ids="id client__id creator__id estimate__id retainer__id recurring_invoice_id",
            texts="client__name creator__name client_key number purchase_order subject notes "
            "currency state payment_term",
            decimals=f"{_AMOUNTS} due_amount",
            dates="period_start period_end issue_date due_date paid_date",
            stamps=f"{STAMPS} sent_at paid_at closed_at",
            lists="payment_options",
        ),
        anchored=True,
        date="issue_date",
        module="invoice_feature",
        nested=(("line_items", _INVOICE_LINE_ITEM),),
    ),
    Endpoint(
        "estimates",
        Columns(
            ids="id client__id creator__id",
            texts="client__name creator__name client_key number purchase_order subject notes "
            "currency state",
            decimals=_AMOUNTS,
            dates="issue_date",
            stamps=f"{STAMPS} sent_at accepted_at declined_at",
        ),
        anchored=True,
        module="estimate_feature",
        nested=(("line_items", _LINE_ITEM),),
    ),
    Endpoint(
        "company",
        Columns(
            ids="weekly_capacity",
            texts="base_uri full_domain name week_start_day time_format date_format plan_type "
            "clock currency currency_code_display currency_symbol_display decimal_symbol "
            "thousands_separator color_scheme",
            flags="is_active wants_timestamp_timers expense_feature invoice_feature "
            "estimate_feature approval_feature team_feature",
        ),
        single=True,
    ),
    Endpoint(
        "invoice_messages",
        Columns(
            ids="id invoice_id",
            texts=_MESSAGE_TEXTS,
            dates="send_reminder_on",
            stamps=STAMPS,
            flags="include_link_to_client_invoice attach_pdf send_me_a_copy thank_you reminder",
        ),
        path="invoices/{id}/messages",
        key="invoice_messages",
        parent="invoices",
        parent_key="invoice_id",
        module="invoice_feature",
        nested=(("recipients", _RECIPIENT),),
    ),
    Endpoint(
        "invoice_payments",
        Columns(
            ids="id invoice_id payment_gateway__id",
            texts="recorded_by recorded_by_email notes transaction_id payment_gateway__name",
            decimals="amount",
            dates="paid_date",
            stamps=f"{STAMPS} paid_at",
        ),
        path="invoices/{id}/payments",
        key="invoice_payments",
        parent="invoices",
        parent_key="invoice_id",
        module="invoice_feature",
    ),
    Endpoint(
        "estimate_messages",
        Columns(ids="id estimate_id", texts=_MESSAGE_TEXTS, stamps=STAMPS, flags="send_me_a_copy"),
        path="estimates/{id}/messages",
        key="estimate_messages",
        parent="estimates",
        parent_key="estimate_id",
        module="estimate_feature",
        nested=(("recipients", _RECIPIENT),),
    ),
    Endpoint(
        "user_billable_rates",
        Columns(ids="id user_id", decimals="amount", dates="start_date end_date", stamps=STAMPS),
        path="users/{id}/billable_rates",
        parent="users",
        parent_key="user_id",
    ),
    Endpoint(
        "user_cost_rates",
        Columns(ids="id user_id", decimals="amount", dates="start_date end_date", stamps=STAMPS),
        path="users/{id}/cost_rates",
        parent="users",
        parent_key="user_id",
    ),
)
