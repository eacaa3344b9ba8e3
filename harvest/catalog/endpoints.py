"""The table of endpoints: what is read from where, how, and with which column types.

To add an endpoint is to add a row. Columns are named by type, nested ones with `__`, as they
stand in the destination; dlt infers what is not named here.
Facts: https://help.getharvest.com/api-v2/
"""

from __future__ import annotations

from .reports import REPORTS
from .schema import STAMPS, Columns, Endpoint

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
_TASK_OF_PROJECT = Columns(
    ids="id task__id",
    texts="task__name",
    decimals="hourly_rate budget",
    stamps=STAMPS,
    flags="billable is_active",
)
_RECIPIENT = Columns(texts="name email")
_MESSAGE_TEXTS = "sent_by sent_by_email sent_from sent_from_email subject body event_type"
_AMOUNTS = "amount tax tax_amount tax2 tax2_amount discount discount_amount"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "users",
        "one person",
        "users-api/users/users",
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
        "one client",
        "clients-api/clients/clients",
        Columns(
            ids="id", texts="name address statement_key currency", stamps=STAMPS, flags="is_active"
        ),
    ),
    Endpoint(
        "contacts",
        "one person at a client",
        "clients-api/clients/contacts",
        Columns(
            ids="id client__id",
            texts="client__name title first_name last_name email phone_office phone_mobile fax",
            stamps=STAMPS,
        ),
    ),
    Endpoint(
        "projects",
        "one project",
        "projects-api/projects/projects",
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
        "one kind of work",
        "tasks-api/tasks/tasks",
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
        "one role, with its people",
        "roles-api/roles/roles",
        Columns(ids="id", texts="name", stamps=STAMPS, lists="user_ids"),
        updated_since=False,
    ),
    Endpoint(
        "user_assignments",
        "one person on one project",
        "projects-api/projects/user-assignments",
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
        "one task on one project",
        "projects-api/projects/task-assignments",
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
        "one category",
        "expenses-api/expenses/expense-categories",
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
        "one category",
        "invoices-api/invoices/invoice-item-categories",
        Columns(ids="id", texts="name", stamps=STAMPS, flags="use_as_service use_as_expense"),
        module="invoice_feature",
    ),
    Endpoint(
        "estimate_item_categories",
        "one category",
        "estimates-api/estimates/estimate-item-categories",
        Columns(ids="id", texts="name", stamps=STAMPS),
        module="estimate_feature",
    ),
    Endpoint(
        "time_entries",
        "hours of one person on one task and day",
        "timesheets-api/timesheets/time-entries",
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
        limited=True,
        unstamped_filter="is_running",
    ),
    Endpoint(
        "expenses",
        "one expense",
        "expenses-api/expenses/expenses",
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
        limited=True,
        module="expense_feature",
    ),
    Endpoint(
        "invoices",
        "one invoice; in `invoices__line_items` one line of it",
        "invoices-api/invoices/invoices",
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
        "one estimate; in `estimates__line_items` one line of it",
        "estimates-api/estimates/estimates",
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
        "the account's settings",
        "company-api/company/company",
        Columns(
            ids="weekly_capacity",
            texts="base_uri full_domain name week_start_day time_format date_format plan_type "
            "clock currency currency_code_display currency_symbol_display decimal_symbol "
            "thousands_separator color_scheme",
            flags="is_active wants_timestamp_timers expense_feature invoice_feature "
            "estimate_feature approval_feature team_feature",
        ),
        singleton=True,
    ),
    Endpoint(
        "invoice_messages",
        "one message; in `invoice_messages__recipients` one of its readers",
        "invoices-api/invoices/invoice-messages",
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
        told_by=("state", "sent_at"),
        module="invoice_feature",
        nested=(("recipients", _RECIPIENT),),
    ),
    Endpoint(
        "invoice_payments",
        "one payment",
        "invoices-api/invoices/invoice-payments",
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
        told_by=("amount", "due_amount", "state", "paid_at", "paid_date", "closed_at"),
        adds_up=("amount", "due_amount"),
        module="invoice_feature",
    ),
    Endpoint(
        "estimate_messages",
        "one message; in `estimate_messages__recipients` one of its readers",
        "estimates-api/estimates/estimate-messages",
        Columns(ids="id estimate_id", texts=_MESSAGE_TEXTS, stamps=STAMPS, flags="send_me_a_copy"),
        path="estimates/{id}/messages",
        key="estimate_messages",
        parent="estimates",
        parent_key="estimate_id",
        told_by=("state", "sent_at", "accepted_at", "declined_at"),
        module="estimate_feature",
        nested=(("recipients", _RECIPIENT),),
    ),
    Endpoint(
        "user_billable_rates",
        "what one person costs a client from a day on",
        "users-api/users/billable-rates",
        Columns(ids="id user_id", decimals="amount", dates="start_date end_date", stamps=STAMPS),
        path="users/{id}/billable_rates",
        parent="users",
        parent_key="user_id",
        told_by=("default_hourly_rate",),
    ),
    Endpoint(
        "user_cost_rates",
        "what one person costs you from a day on",
        "users-api/users/cost-rates",
        Columns(ids="id user_id", decimals="amount", dates="start_date end_date", stamps=STAMPS),
        path="users/{id}/cost_rates",
        parent="users",
        parent_key="user_id",
        told_by=("cost_rate",),
    ),
    Endpoint(
        "user_project_assignments",
        "one project that one person may track time to; in "
        "`user_project_assignments__task_assignments` one task of it",
        "users-api/users/project-assignments",
        Columns(
            ids="id user_id project__id client__id",
            texts="project__name project__code client__name client__currency",
            decimals="hourly_rate budget",
            stamps=STAMPS,
            flags="is_active is_project_manager use_default_rates project__is_billable",
        ),
        path="users/{id}/project_assignments",
        parent="users",
        parent_key="user_id",
        nested=(("task_assignments", _TASK_OF_PROJECT),),
    ),
    Endpoint(
        "user_teammates",
        "one person on one manager's team",
        "users-api/users/teammates",
        Columns(ids="id user_id", texts="first_name last_name email"),
        path="users/{id}/teammates",
        parent="users",
        parent_key="user_id",
        none_status=422,  # only managers have teammates
    ),
    *REPORTS,
)

BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS}
