{#-
  Airbyte's tables, by its source-harvest:
  https://github.com/airbytehq/airbyte/blob/master/airbyte-integrations/connectors/source-harvest/manifest.yaml.
  Objects and lists are JSON. Left out are reports, whose periods are other ones here, and what
  Harvest no longer documents.
-#}
{% macro airbyte_tables() -%}
{{ return({
  'billable_rates': {
    'from': 'user_billable_rates',
    'columns': 'id amount start_date end_date created_at updated_at parent_id',
    'renamed': {'parent_id': 'user_id'},
  },
  'clients': {
    'columns': 'id name is_active address statement_key currency created_at updated_at',
  },
  'company': {
    'columns': 'base_uri full_domain name is_active week_start_day wants_timestamp_timers
      time_format date_format plan_type clock currency currency_code_display
      currency_symbol_display decimal_symbol thousands_separator color_scheme
      weekly_capacity expense_feature invoice_feature estimate_feature approval_feature
      team_feature',
  },
  'contacts': {
    'columns': 'id client title first_name last_name email phone_office phone_mobile fax
      created_at updated_at',
  },
  'cost_rates': {
    'from': 'user_cost_rates',
    'columns': 'id amount start_date end_date created_at updated_at parent_id',
    'renamed': {'parent_id': 'user_id'},
  },
  'estimate_item_categories': {
    'columns': 'id name created_at updated_at',
  },
  'estimate_messages': {
    'columns': 'id sent_by sent_by_email sent_from sent_from_email recipients subject body
      event_type send_me_a_copy created_at updated_at parent_id',
    'renamed': {'parent_id': 'estimate_id'},
  },
  'estimates': {
    'columns': 'id client line_items creator client_key number purchase_order amount tax
      tax_amount tax2 tax2_amount discount discount_amount subject notes currency state
      issue_date sent_at created_at updated_at accepted_at declined_at',
  },
  'expense_categories': {
    'columns': 'id name unit_name unit_price is_active created_at updated_at',
  },
  'expenses': {
    'columns': 'id client project expense_category user user_assignment receipt invoice notes
      units total_cost billable is_closed is_locked is_billed locked_reason spent_date
      created_at updated_at',
  },
  'invoice_item_categories': {
    'columns': 'id name use_as_service use_as_expense created_at updated_at',
  },
  'invoice_messages': {
    'columns': 'id sent_by sent_by_email sent_from sent_from_email recipients subject body
      event_type send_me_a_copy include_link_to_client_invoice attach_pdf thank_you
      reminder send_reminder_on created_at updated_at parent_id',
    'renamed': {'parent_id': 'invoice_id'},
  },
  'invoice_payments': {
    'columns': 'id amount paid_at paid_date recorded_by recorded_by_email notes transaction_id
      payment_gateway created_at updated_at parent_id',
    'renamed': {'parent_id': 'invoice_id'},
  },
  'invoices': {
    'columns': 'id client line_items estimate retainer creator client_key number purchase_order
      amount tax tax_amount tax2 tax2_amount discount discount_amount due_amount subject
      notes currency state period_start period_end issue_date due_date payment_term
      payment_options sent_at paid_at paid_date closed_at recurring_invoice_id
      created_at updated_at',
  },
  'project_assignments': {
    'from': 'user_project_assignments',
    'columns': 'id is_project_manager is_active use_default_rates budget hourly_rate project
      client task_assignments created_at updated_at parent_id',
    'renamed': {'parent_id': 'user_id'},
  },
  'projects': {
    'columns': 'id client name code is_active is_billable is_fixed_fee bill_by hourly_rate budget
      budget_by budget_is_monthly notify_when_over_budget
      over_budget_notification_percentage over_budget_notification_date
      show_budget_to_all cost_budget cost_budget_include_expenses fee notes starts_on
      ends_on created_at updated_at',
  },
  'roles': {
    'columns': 'id name user_ids created_at updated_at',
  },
  'task_assignments': {
    'columns': 'id project task is_active billable hourly_rate budget created_at updated_at',
  },
  'tasks': {
    'columns': 'id name billable_by_default default_hourly_rate is_default is_active created_at
      updated_at',
  },
  'time_entries': {
    'columns': 'id spent_date user user_assignment client project task task_assignment
      external_reference invoice hours hours_without_timer rounded_hours notes is_locked
      locked_reason is_closed is_billed timer_started_at started_time ended_time
      is_running billable budgeted billable_rate cost_rate created_at updated_at',
  },
  'user_assignments': {
    'columns': 'id project user is_active is_project_manager use_default_rates hourly_rate budget
      created_at updated_at',
  },
  'users': {
    'columns': 'id first_name last_name email telephone timezone has_access_to_all_future_projects
      is_contractor is_active weekly_capacity default_hourly_rate cost_rate roles
      access_roles permissions_claims avatar_url created_at updated_at',
  },
}) }}
{%- endmacro %}
