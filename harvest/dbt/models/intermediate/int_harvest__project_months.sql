with work as (
  select
    _account_id,
    project_id,
    {{ harvest.month_of('spent_date') }} as month,
    rounded_hours as hours,
    case when is_billable then rounded_hours else 0 end as billable_hours,
    coalesce(billable_amount, 0) as billable_amount,
    case when billable_amount is null then rounded_hours else 0 end as hours_without_rate,
    coalesce(cost, 0) as cost,
    case when cost is null then rounded_hours else 0 end as hours_without_cost_rate,
    0 as billable_expenses,
    0 as expenses
  from {{ ref('stg_harvest__time_entries') }}
  union all
  select
    _account_id,
    project_id,
    {{ harvest.month_of('spent_date') }} as month,
    0 as hours,
    0 as billable_hours,
    0 as billable_amount,
    0 as hours_without_rate,
    0 as cost,
    0 as hours_without_cost_rate,
    case when is_billable then amount else 0 end as billable_expenses,
    amount as expenses
  from {{ ref('stg_harvest__expenses') }}
)

-- What one project did and cost in one month.
select
  _account_id,
  project_id,
  month,
{%- for table, columns in {
  'time_entries': [
    'hours', 'billable_hours', 'billable_amount', 'hours_without_rate', 'cost',
    'hours_without_cost_rate',
  ],
  'expenses': ['billable_expenses', 'expenses'],
}.items() %}
{%- for column in columns %}
  {{ harvest.decimal(
    'case when ' ~ harvest.was_read(table, '_account_id') ~ ' then sum(' ~ column ~ ') end'
  ) }} as {{ column }},
{%- endfor %}
{%- endfor %}
  {{ harvest.was_read('time_entries', '_account_id') }}
    and {{ harvest.was_read('expenses', '_account_id') }} as is_known
from work
group by _account_id, project_id, month
