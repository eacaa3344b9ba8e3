with open_work as (
  select
    _account_id,
    project_id,
    spent_date,
    client_id,
    client_name,
    project_name,
    is_fixed_fee,
    currency,
    rounded_hours as hours,
    case when is_fixed_fee then 0 else billable_amount end as amount,
    case
      when not is_fixed_fee and billable_amount is null then rounded_hours
      else 0
    end as hours_without_rate,
    0 as expenses
  from {{ ref('stg_harvest__time_entries') }}
  where is_billable and not is_billed
  union all
  select
    _account_id,
    project_id,
    spent_date,
    client_id,
    client_name,
    project_name,
    is_fixed_fee,
    currency,
    0 as hours,
    0 as amount,
    0 as hours_without_rate,
    amount as expenses
  from {{ ref('stg_harvest__expenses') }}
  where is_billable and not is_billed
),

daily as (
  select
    _account_id,
    project_id,
    spent_date,
    min(client_id) as client_id,
    min(client_name) as client_name,
    min(project_name) as project_name,
    is_fixed_fee,
    min(currency) as currency,
    sum(hours) as hours,
    -- Where nobody knows which projects have a fixed fee, no hour has an amount.
    case when is_fixed_fee is not null then coalesce(sum(amount), 0) end as amount,
    case when is_fixed_fee is not null then sum(hours_without_rate) end as hours_without_rate,
    coalesce(sum(expenses), 0) as expenses
  from open_work
  group by _account_id, project_id, spent_date, is_fixed_fee
),

aged as (
  select
    daily.*,
    accounts.whole_from,
    {{ harvest.was_read('time_entries', 'daily._account_id') }} as has_entries,
    {{ harvest.was_read('expenses', 'daily._account_id') }} as has_expenses,
    {{ dbt.datediff('daily.spent_date', 'accounts.today', 'day') }} as age_days
  from daily
  inner join {{ ref('accounts') }} as accounts
    on daily._account_id = accounts._account_id
)

select
  _account_id,
  spent_date,
  client_id,
  client_name,
  project_id,
  project_name,
  is_fixed_fee,
  {{ harvest.decimal('case when has_entries then hours end') }} as hours,
  {{ harvest.decimal('case when has_entries then amount end') }} as amount,
  {{ harvest.decimal('case when has_expenses then expenses end') }} as expenses,
  currency,
  {{ harvest.decimal('case when has_entries then hours_without_rate end') }} as hours_without_rate,
  age_days,
  case
    when age_days <= 30 then '0-30'
    when age_days <= 60 then '31-60'
    when age_days <= 90 then '61-90'
    else 'over 90'
  end as age,
  spent_date >= whole_from and has_entries and has_expenses and is_fixed_fee is not null
    as is_whole
from aged
