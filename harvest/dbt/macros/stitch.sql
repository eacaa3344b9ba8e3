{#-
  Loaded tables under the names of Stitch's, which are those of Singer's tap-harvest:
  https://github.com/singer-io/tap-harvest/tree/master/tap_harvest/schemas. A column has our name here,
  and `_` for `__` there: `client__id` is `client_id`. Left out is what Harvest no longer documents
  (`users.is_admin`, …), and what needs a list taken apart (`user_roles`, `recipients`).
-#}
{% macro stitch_tables() -%}
{{ return({
  'clients': {
    'from': 'clients',
    'id': 'id',
    'text': 'name address currency',
    'flag': 'is_active',
    'stamp': 'created_at updated_at',
  },
  'contacts': {
    'from': 'contacts',
    'id': 'id client__id',
    'text': 'title first_name last_name email phone_office phone_mobile fax',
    'stamp': 'created_at updated_at',
  },
  'estimate_item_categories': {
    'from': 'estimate_item_categories',
    'id': 'id',
    'text': 'name',
    'stamp': 'created_at updated_at',
  },
  'estimate_line_items': {
    'from': 'estimates__line_items',
    'id': 'id',
    'text': 'kind description',
    'decimal': 'quantity unit_price amount',
    'flag': 'taxed taxed2',
    'parent': 'estimates', 'parent_key': 'id', 'as': 'estimate_id',
  },
  'estimate_messages': {
    'from': 'estimate_messages',
    'id': 'id estimate_id',
    'text': 'sent_by sent_by_email sent_from sent_from_email subject body event_type',
    'flag': 'send_me_a_copy',
    'stamp': 'created_at updated_at',
  },
  'estimates': {
    'from': 'estimates',
    'id': 'id client__id creator__id',
    'text': 'client_key number purchase_order subject notes currency state',
    'decimal': 'amount tax tax_amount tax2 tax2_amount discount discount_amount',
    'date': 'issue_date',
    'stamp': 'sent_at accepted_at declined_at created_at updated_at',
  },
  'expense_categories': {
    'from': 'expense_categories',
    'id': 'id',
    'text': 'name unit_name',
    'decimal': 'unit_price',
    'flag': 'is_active',
    'stamp': 'created_at updated_at',
  },
  'expenses': {
    'from': 'expenses',
    'id': 'id client__id project__id expense_category__id user__id user_assignment__id
      receipt__file_size invoice__id',
    'text': 'receipt__url receipt__file_name receipt__content_type notes locked_reason',
    'flag': 'billable is_closed is_locked is_billed',
    'date': 'spent_date',
    'stamp': 'created_at updated_at',
    'decimal': 'total_cost units',
  },
  'invoice_item_categories': {
    'from': 'invoice_item_categories',
    'id': 'id',
    'text': 'name',
    'flag': 'use_as_service use_as_expense',
    'stamp': 'created_at updated_at',
  },
  'invoice_line_items': {
    'from': 'invoices__line_items',
    'id': 'id project__id',
    'text': 'kind description',
    'decimal': 'quantity unit_price amount',
    'flag': 'taxed taxed2',
    'parent': 'invoices', 'parent_key': 'id', 'as': 'invoice_id',
  },
  'invoice_messages': {
    'from': 'invoice_messages',
    'id': 'id invoice_id',
    'text': 'sent_by sent_by_email sent_from sent_from_email subject body event_type',
    'flag': 'include_link_to_client_invoice attach_pdf send_me_a_copy thank_you reminder',
    'date': 'send_reminder_on',
    'stamp': 'created_at updated_at',
  },
  'invoice_payments': {
    'from': 'invoice_payments',
    'id': 'id payment_gateway__id invoice_id',
    'decimal': 'amount',
    'stamp': 'paid_at created_at updated_at',
    'date': 'paid_date',
    'text': 'recorded_by recorded_by_email notes transaction_id payment_gateway__name',
  },
  'invoices': {
    'from': 'invoices',
    'id': 'id client__id estimate__id retainer__id creator__id',
    'text': 'client_key number purchase_order subject notes currency state payment_term',
    'decimal': 'amount due_amount tax tax_amount tax2 tax2_amount discount discount_amount',
    'date': 'period_start period_end issue_date due_date paid_date',
    'stamp': 'sent_at paid_at closed_at created_at updated_at',
  },
  'project_tasks': {
    'from': 'task_assignments',
    'id': 'id project__id task__id',
    'flag': 'is_active billable',
    'decimal': 'hourly_rate budget',
    'stamp': 'created_at updated_at',
  },
  'project_users': {
    'from': 'user_assignments',
    'id': 'id project__id user__id',
    'flag': 'is_active is_project_manager',
    'decimal': 'hourly_rate budget',
    'stamp': 'created_at updated_at',
  },
  'projects': {
    'from': 'projects',
    'id': 'id client__id',
    'text': 'name code bill_by budget_by notes',
    'flag': 'is_active is_billable is_fixed_fee budget_is_monthly notify_when_over_budget
      show_budget_to_all cost_budget_include_expenses',
    'decimal': 'hourly_rate budget over_budget_notification_percentage cost_budget fee',
    'date': 'over_budget_notification_date starts_on ends_on',
    'stamp': 'created_at updated_at',
  },
  'roles': {
    'from': 'roles',
    'id': 'id',
    'text': 'name',
    'stamp': 'created_at updated_at',
  },
  'tasks': {
    'from': 'tasks',
    'id': 'id',
    'text': 'name',
    'flag': 'billable_by_default is_default is_active',
    'decimal': 'default_hourly_rate',
    'stamp': 'created_at updated_at',
  },
  'time_entries': {
    'from': 'time_entries',
    'id': 'id user__id user_assignment__id client__id project__id task__id
      task_assignment__id invoice__id',
    'date': 'spent_date',
    'text': 'external_reference__id notes locked_reason started_time ended_time',
    'decimal': 'hours billable_rate cost_rate',
    'flag': 'is_locked is_closed is_billed is_running billable budgeted',
    'stamp': 'timer_started_at created_at updated_at',
  },
  'user_project_tasks': {
    'from': 'user_project_assignments__task_assignments',
    'id': 'id',
    'parent': 'user_project_assignments', 'parent_key': 'user_id', 'as': 'user_id',
    'renamed': {'id': 'project_task_id'},
  },
  'user_projects': {
    'from': 'user_project_assignments',
    'id': 'id project__id client__id user_id',
    'flag': 'is_active is_project_manager',
    'decimal': 'hourly_rate budget',
    'stamp': 'created_at updated_at',
  },
  'users': {
    'from': 'users',
    'id': 'id weekly_capacity',
    'text': 'first_name last_name email telephone timezone avatar_url',
    'flag': 'has_access_to_all_future_projects is_contractor is_active',
    'decimal': 'default_hourly_rate cost_rate',
    'stamp': 'created_at updated_at',
  },
}) }}
{%- endmacro %}

{#- One of these tables. They are tables, no views, for the reason that staging models are none. -#}
{% macro stitch(name) -%}
{{ config(enabled=var('stitch', false), materialized='table', schema='stitch', alias=name) }}
{%- set wanted = harvest.stitch_tables()[name] -%}
{%- set columns = {'_account_id': 'id'} -%}
{%- for type in ('id', 'text', 'decimal', 'date', 'stamp', 'flag') -%}
  {%- for column in wanted.get(type, '').split() -%}
    {%- do columns.update({column: type}) -%}
  {%- endfor -%}
{%- endfor -%}
{%- set own = {'_dlt_parent_id': 'text'} if wanted.parent else {} -%}
with loaded as (
  {{ harvest.loaded(wanted['from'], dict(columns, **own)) }}
)
{%- if wanted.parent %},

parents as (
  {{ harvest.loaded(wanted.parent, {'_dlt_id': 'text', wanted['parent_key']: 'id'}) }}
)
{%- endif %}

select
{%- for column in columns %}
  loaded.{{ column }} as {{ wanted.get('renamed', {}).get(column)
    or (column if column.startswith('_') else column | replace('__', '_')) }}
  {{- ',' if not loop.last or wanted.parent }}
{%- endfor %}
{%- if wanted.parent %}
  parents.{{ wanted['parent_key'] }} as {{ wanted['as'] }}
{%- endif %}
from loaded
{%- if wanted.parent %}
inner join parents on parents._dlt_id = loaded._dlt_parent_id
{%- endif %}
{%- endmacro %}
