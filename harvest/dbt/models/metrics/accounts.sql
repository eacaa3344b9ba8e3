with seen as (
  select _account_id from {{ ref('stg_harvest__company') }}
  union all
  select _account_id from {{ ref('stg_harvest__users') }}
  union all
  select _account_id from {{ ref('stg_harvest__projects') }}
  union all
  select _account_id from {{ ref('stg_harvest__time_entries') }}
  union all
  select _account_id from {{ ref('stg_harvest__expenses') }}
  union all
  select _account_id from {{ ref('stg_harvest__invoices') }}
  union all
  select _account_id from {{ ref('stg_harvest__estimates') }}
),

accounts as (
  select distinct _account_id from seen
)

select
  accounts._account_id,
  company.company_name,
  company.currency,
  company.weekly_capacity,
  coalesce(company.week_start_day, 'Monday') as week_start_day,
  cast(
    case company.week_start_day
      when 'Saturday' then '1899-12-30'
      when 'Sunday' then '1899-12-31'
      else '1900-01-01'
    end as date
  ) as first_week,
  {{ harvest.history_from('accounts._account_id') }} as history_from,
  {{ harvest.today() }} as today
from accounts
left join {{ ref('stg_harvest__company') }} as company
  on accounts._account_id = company._account_id
