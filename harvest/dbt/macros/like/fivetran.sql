{#-
  Fivetran's tables: https://fivetran.com/docs/connectors/applications/harvest/connector-schema. Left
  out is what Harvest no longer documents.
-#}
{% macro fivetran_tables() -%}
{{ return({
  'client': {
    'from': 'clients',
    'columns': 'id name is_active address statement_key currency created_at updated_at',
  },
  'contact': {
    'from': 'contacts',
    'columns': 'id client_id title first_name last_name email phone_office phone_mobile fax
      created_at updated_at',
  },
  'estimate': {
    'from': 'estimates',
    'columns': 'id client_id creator_id client_key number purchase_order amount tax tax_amount
      tax_2 tax_2_amount discount discount_amount subject notes currency state
      issue_date sent_at created_at updated_at accepted_at declined_at',
    'renamed': {'tax_2': 'tax2', 'tax_2_amount': 'tax2_amount'},
  },
  'estimate_item_category': {
    'from': 'estimate_item_categories',
    'columns': 'id name created_at updated_at',
  },
  'estimate_line_item': {
    'from': 'estimates__line_items',
    'columns': 'id amount description kind quantity taxed taxed_2 unit_price estimate_id',
    'renamed': {'taxed_2': 'taxed2', 'estimate_id': 'estimates.id'},
  },
  'estimate_message': {
    'from': 'estimate_messages',
    'columns': 'id estimate_id sent_by sent_by_email sent_from sent_from_email subject body
      event_type send_me_a_copy created_at updated_at',
  },
  'estimate_message_recipient': {
    'from': 'estimate_messages__recipients',
    'columns': 'name email estimate_message_id',
    'renamed': {'estimate_message_id': 'estimate_messages.id'},
  },
  'expense': {
    'from': 'expenses',
    'columns': 'id client_id project_id expense_category_id user_id user_assignment_id invoice_id
      receipt_url receipt_file_name receipt_file_size receipt_content_type notes units
      total_cost billable is_closed is_locked is_billed locked_reason spent_date
      created_at updated_at',
  },
  'expense_category': {
    'from': 'expense_categories',
    'columns': 'id name unit_name unit_price is_active created_at updated_at',
  },
  'invoice': {
    'from': 'invoices',
    'columns': 'id client_id creator_id client_key number purchase_order amount tax tax_amount
      tax_2 tax_2_amount discount discount_amount due_amount subject notes currency
      state period_start period_end issue_date due_date payment_term sent_at paid_at
      paid_date closed_at recurring_invoice_id created_at updated_at',
    'renamed': {'tax_2': 'tax2', 'tax_2_amount': 'tax2_amount'},
  },
  'invoice_item_category': {
    'from': 'invoice_item_categories',
    'columns': 'id name use_as_service use_as_expense created_at updated_at',
  },
  'invoice_line_item': {
    'from': 'invoices__line_items',
    'columns': 'id amount description kind quantity taxed taxed_2 unit_price project_id invoice_id',
    'renamed': {'taxed_2': 'taxed2', 'invoice_id': 'invoices.id'},
  },
  'invoice_message': {
    'from': 'invoice_messages',
    'columns': 'id invoice_id sent_by sent_by_email sent_from sent_from_email subject body
      event_type send_me_a_copy include_link_to_client_invoice attach_pdf thank_you
      reminder send_reminder_on created_at updated_at',
  },
  'invoice_message_recipient': {
    'from': 'invoice_messages__recipients',
    'columns': 'name email invoice_message_id',
    'renamed': {'invoice_message_id': 'invoice_messages.id'},
  },
  'invoice_payment': {
    'from': 'invoice_payments',
    'columns': 'id invoice_id amount paid_at paid_date recorded_by recorded_by_email notes
      transaction_id payment_gateway_id payment_gateway_name created_at updated_at',
  },
  'project': {
    'from': 'projects',
    'columns': 'id client_id name code is_active is_billable is_fixed_fee bill_by hourly_rate
      budget budget_by budget_is_monthly notify_when_over_budget
      over_budget_notification_percentage over_budget_notification_date
      show_budget_to_all cost_budget cost_budget_include_expenses fee notes starts_on
      ends_on created_at updated_at',
  },
  'project_task_assignment': {
    'from': 'task_assignments',
    'columns': 'id project_id task_id is_active billable hourly_rate budget created_at updated_at',
  },
  'project_user_assignment': {
    'from': 'user_assignments',
    'columns': 'id project_id user_id is_active is_project_manager use_default_rates hourly_rate
      budget created_at updated_at',
  },
  'role': {
    'from': 'roles',
    'columns': 'id name created_at updated_at',
  },
  'role_user': {
    'from': 'roles',
    'columns': 'role_id role_user_id',
    'renamed': {'role_id': 'id', 'role_user_id': 'user_ids[id]'},
  },
  'task': {
    'from': 'tasks',
    'columns': 'id name billable_by_default default_hourly_rate is_default is_active created_at
      updated_at',
  },
  'time_entry': {
    'from': 'time_entries',
    'columns': 'id spent_date user_id user_assignment_id client_id project_id task_id
      task_assignment_id invoice_id external_reference hours hours_without_timer
      rounded_hours notes is_locked locked_reason is_closed is_billed timer_started_at
      started_time ended_time is_running billable budgeted billable_rate cost_rate
      created_at updated_at',
  },
  'user_billable_rate': {
    'from': 'user_billable_rates',
    'columns': 'id users_id amount start_date end_date created_at updated_at',
    'renamed': {'users_id': 'user_id'},
  },
  'user_cost_rate': {
    'from': 'user_cost_rates',
    'columns': 'id users_id amount start_date end_date created_at updated_at',
    'renamed': {'users_id': 'user_id'},
  },
  'user_project_assignment': {
    'from': 'user_project_assignments',
    'columns': 'id users_id project_id client_id is_active is_project_manager use_default_rates
      hourly_rate budget created_at updated_at',
    'renamed': {'users_id': 'user_id'},
  },
  'user_project_assignment_task_assignment': {
    'from': 'user_project_assignments__task_assignments',
    'columns': 'id users_id task_id is_active billable hourly_rate budget created_at updated_at',
    'renamed': {'users_id': 'user_project_assignments.user_id'},
  },
  'users': {
    'columns': 'id first_name last_name email telephone timezone has_access_to_all_future_projects
      is_contractor is_active weekly_capacity default_hourly_rate cost_rate avatar_url
      created_at updated_at',
  },
  'users_permission_claim': {
    'from': 'users',
    'columns': 'users_id permission_claim_name',
    'renamed': {'users_id': 'id', 'permission_claim_name': 'permissions_claims[text]'},
  },
}) }}
{%- endmacro %}
