with entries as (
  select * from {{ ref('stg_harvest__time_entries') }}
)

select
  entries._account_id,
  entries.spent_date,
  entries.user_id,
  min(entries.user_name) as user_name,
  min(entries.client_id) as client_id,
  min(entries.client_name) as client_name,
  entries.project_id,
  min(entries.project_name) as project_name,
  entries.task_id,
  min(entries.task_name) as task_name,
  entries.is_fixed_fee,
  {{ harvest.whole('count(*)') }} as entries,
  {{ harvest.decimal('sum(entries.hours)') }} as hours,
  {{ harvest.decimal('sum(entries.rounded_hours)') }} as rounded_hours,
  {{ harvest.decimal('sum(case when entries.is_billable then entries.hours else 0 end)') }}
    as billable_hours,
  {{ harvest.decimal('sum(case when entries.is_billable then entries.rounded_hours else 0 end)') }}
    as billable_rounded_hours,
  {{ harvest.decimal('sum(case when entries.is_billable then 0 else entries.hours end)') }}
    as nonbillable_hours,
  {{ harvest.decimal('sum(case when entries.is_billable then 0 else entries.rounded_hours end)') }}
    as nonbillable_rounded_hours,
  {{ harvest.decimal('coalesce(sum(entries.billable_amount), 0)') }} as billable_amount,
  min(entries.currency) as currency,
  {{ harvest.decimal(
    'sum(case when entries.billable_amount is null then entries.rounded_hours else 0 end)'
  ) }} as hours_without_rate,
  {{ harvest.decimal('coalesce(sum(entries.cost), 0)') }} as cost,
  min(entries.cost_currency) as cost_currency,
  {{ harvest.decimal('sum(case when entries.cost is null then entries.rounded_hours else 0 end)') }}
    as hours_without_cost_rate,
  entries.spent_date >= accounts.whole_from as is_whole
from entries
inner join {{ ref('accounts') }} as accounts
  on entries._account_id = accounts._account_id
group by
  entries._account_id,
  entries.spent_date,
  entries.user_id,
  entries.project_id,
  entries.task_id,
  entries.is_fixed_fee,
  accounts.whole_from
