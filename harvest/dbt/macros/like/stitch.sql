{#-
  Stitch's tables, which are those of Singer's tap-harvest:
  https://github.com/singer-io/tap-harvest/tree/master/tap_harvest/schemas. Left out is what Harvest
  no longer documents.
-#}
{% macro stitch_tables() -%}
{{ return({
  'clients': {
    'columns': 'id name address currency created_at updated_at is_active',
  },
  'contacts': {
    'columns': 'id client_id title first_name last_name email phone_office phone_mobile fax
      created_at updated_at',
  },
  'estimate_item_categories': {
    'columns': 'id name created_at updated_at',
  },
  'estimate_line_items': {
    'from': 'estimates__line_items',
    'columns': 'id kind description quantity unit_price amount taxed taxed2 estimate_id',
    'renamed': {'estimate_id': 'estimates.id'},
  },
  'estimate_messages': {
    'columns': 'id estimate_id sent_by sent_by_email sent_from sent_from_email subject body
      event_type created_at updated_at send_me_a_copy',
  },
  'estimates': {
    'columns': 'id client_id creator_id client_key number purchase_order subject notes currency
      state amount tax tax_amount tax2 tax2_amount discount discount_amount issue_date
      sent_at accepted_at declined_at created_at updated_at',
  },
  'expense_categories': {
    'columns': 'id name unit_name unit_price created_at updated_at is_active',
  },
  'expenses': {
    'columns': 'id client_id project_id expense_category_id user_id user_assignment_id
      receipt_file_size invoice_id receipt_url receipt_file_name receipt_content_type
      notes locked_reason total_cost units spent_date created_at updated_at billable
      is_closed is_locked is_billed',
  },
  'invoice_item_categories': {
    'columns': 'id name created_at updated_at use_as_service use_as_expense',
  },
  'invoice_line_items': {
    'from': 'invoices__line_items',
    'columns': 'id project_id kind description quantity unit_price amount taxed taxed2 invoice_id',
    'renamed': {'invoice_id': 'invoices.id'},
  },
  'invoice_messages': {
    'columns': 'id invoice_id sent_by sent_by_email sent_from sent_from_email subject body
      event_type send_reminder_on created_at updated_at include_link_to_client_invoice
      attach_pdf send_me_a_copy thank_you reminder',
  },
  'invoice_payments': {
    'columns': 'id payment_gateway_id invoice_id recorded_by recorded_by_email notes
      transaction_id payment_gateway_name amount paid_date paid_at created_at updated_at',
  },
  'invoices': {
    'columns': 'id client_id estimate_id retainer_id creator_id client_key number purchase_order
      subject notes currency state payment_term amount due_amount tax tax_amount tax2
      tax2_amount discount discount_amount period_start period_end issue_date due_date
      paid_date sent_at paid_at closed_at created_at updated_at',
  },
  'project_tasks': {
    'from': 'task_assignments',
    'columns': 'id project_id task_id hourly_rate budget created_at updated_at is_active billable',
  },
  'project_users': {
    'from': 'user_assignments',
    'columns': 'id project_id user_id hourly_rate budget created_at updated_at is_active
      is_project_manager',
  },
  'projects': {
    'columns': 'id client_id name code bill_by budget_by notes hourly_rate budget
      over_budget_notification_percentage cost_budget fee over_budget_notification_date
      starts_on ends_on created_at updated_at is_active is_billable is_fixed_fee
      budget_is_monthly notify_when_over_budget show_budget_to_all
      cost_budget_include_expenses',
  },
  'roles': {
    'columns': 'id name created_at updated_at',
  },
  'tasks': {
    'columns': 'id name default_hourly_rate created_at updated_at billable_by_default is_default
      is_active',
  },
  'time_entries': {
    'columns': 'id user_id user_assignment_id client_id project_id task_id task_assignment_id
      invoice_id external_reference_id notes locked_reason started_time ended_time hours
      billable_rate cost_rate spent_date timer_started_at created_at updated_at
      is_locked is_closed is_billed is_running billable budgeted',
  },
  'user_project_tasks': {
    'from': 'user_project_assignments__task_assignments',
    'columns': 'project_task_id user_id',
    'renamed': {'user_id': 'user_project_assignments.user_id', 'project_task_id': 'id'},
  },
  'user_projects': {
    'from': 'user_project_assignments',
    'columns': 'id project_id client_id user_id hourly_rate budget created_at updated_at is_active
      is_project_manager',
  },
  'users': {
    'columns': 'id weekly_capacity first_name last_name email telephone timezone avatar_url
      default_hourly_rate cost_rate created_at updated_at
      has_access_to_all_future_projects is_contractor is_active',
  },
  'user_roles': {
    'from': 'roles',
    'columns': 'user_id role_id',
    'renamed': {'user_id': 'user_ids[id]', 'role_id': 'id'},
  },
}) }}
{%- endmacro %}
