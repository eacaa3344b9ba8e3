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
),

-- The latest of the tables that hold history; a day that it begins in counts as cut.
history as (
  select
    _account_id,
    max(
      case
        when history_from is null then cast('1900-01-01' as date)
        else {{ harvest.utc_day(dbt.dateadd('second', 86399, 'history_from')) }}
      end
    ) as history_from
  from {{ ref('stg_harvest__freshness') }}
  where table_name in ('time_entries', 'expenses', 'invoices', 'estimates')
    and read_at is not null
  group by _account_id
),

limits as (
  select
    _account_id,
    max(limited_to) as limited_to
  from {{ ref('stg_harvest__freshness') }}
  where table_name in ('time_entries', 'expenses')
  group by _account_id
),

known as (
  select
    accounts._account_id,
    coalesce({{ harvest.history_from('accounts._account_id') }}, history.history_from)
      as history_from,
    limits.limited_to
  from accounts
  left join history
    on accounts._account_id = history._account_id
  left join limits
    on accounts._account_id = limits._account_id
)

select
  known._account_id,
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
  known.history_from,
  known.limited_to,
  -- Of time entries and expenses; never where they are limited to some of them.
  case
    when known.limited_to is null then known.history_from
    else cast('9999-12-31' as date)
  end as whole_from,
  {{ harvest.today() }} as today
from known
left join {{ ref('stg_harvest__company') }} as company
  on known._account_id = company._account_id
