with entries as (
  {{ harvest.loaded('time_entries', {
    '_account_id': 'id', 'id': 'id', 'spent_date': 'date', 'user__id': 'id', 'user__name': 'text',
    'client__id': 'id', 'client__name': 'text', 'client__currency': 'text', 'project__id': 'id',
    'project__name': 'text', 'task__id': 'id', 'task__name': 'text', 'invoice__id': 'id',
    'hours': 'decimal', 'rounded_hours': 'decimal', 'billable': 'flag', 'budgeted': 'flag',
    'is_billed': 'flag', 'approval_status': 'text', 'billable_rate': 'decimal',
    'cost_rate': 'decimal', 'updated_at': 'stamp',
  }) }}
),

-- Names and currencies as they are now; as the entry tells them, where that is all there is.
named as (
  select
    entries._account_id,
    entries.id as time_entry_id,
    entries.spent_date,
    entries.user__id as user_id,
    coalesce(users.user_name, entries.user__name) as user_name,
    coalesce(projects.client_id, entries.client__id) as client_id,
    coalesce(projects.client_name, entries.client__name) as client_name,
    entries.project__id as project_id,
    coalesce(projects.project_name, entries.project__name) as project_name,
    case
      when {{ harvest.was_read('projects', 'entries._account_id') }}
        then coalesce(projects.is_fixed_fee, false)
    end as is_fixed_fee,
    entries.task__id as task_id,
    coalesce(tasks.task_name, entries.task__name) as task_name,
    entries.invoice__id as invoice_id,
    entries.hours,
    coalesce(entries.rounded_hours, entries.hours) as rounded_hours,
    coalesce(entries.billable, false) as is_billable,
    coalesce(entries.budgeted, false) as is_budgeted,
    coalesce(entries.is_billed, false) as is_billed,
    entries.approval_status,
    entries.billable_rate,
    coalesce(projects.currency, entries.client__currency, company.currency) as currency,
    coalesce(entries.cost_rate, rates.amount) as cost_rate,
    company.currency as cost_currency,
    entries.updated_at
  from entries
  left join {{ ref('stg_harvest__users') }} as users
    on entries._account_id = users._account_id and entries.user__id = users.user_id
  left join {{ ref('stg_harvest__projects') }} as projects
    on entries._account_id = projects._account_id
    and entries.project__id = projects.project_id
  left join {{ ref('stg_harvest__tasks') }} as tasks
    on entries._account_id = tasks._account_id and entries.task__id = tasks.task_id
  left join {{ ref('stg_harvest__company') }} as company
    on entries._account_id = company._account_id
  left join {{ ref('stg_harvest__cost_rates') }} as rates
    on entries._account_id = rates._account_id
    and entries.user__id = rates.user_id
    and entries.spent_date between rates.valid_from and rates.valid_to
)

select
  *,
  case
    when not is_billable then 0
    else {{ harvest.decimal('rounded_hours * billable_rate') }}
  end as billable_amount,
  {{ harvest.decimal('rounded_hours * cost_rate') }} as cost
from named
