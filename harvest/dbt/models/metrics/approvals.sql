with entries as (
  select
    entries.*,
    accounts.history_from,
    {{ harvest.week_of('entries.spent_date', 'accounts.first_week') }} as week_start
  from {{ ref('stg_harvest__time_entries') }} as entries
  inner join {{ ref('accounts') }} as accounts
    on entries._account_id = accounts._account_id
)

select
  _account_id,
  week_start,
  user_id,
  min(user_name) as user_name,
  {{ harvest.decimal('sum(hours)') }} as hours,
{%- for status in ['unsubmitted', 'submitted', 'approved'] %}
  {{ harvest.decimal("sum(case when approval_status = '" ~ status ~ "' then hours else 0 end)") }}
    as {{ status }}_hours,
{%- endfor %}
  {{ harvest.decimal(
    "sum(case when approval_status in ('unsubmitted', 'submitted', 'approved') then 0 else hours end)"
  ) }} as other_hours,
  week_start >= history_from as is_whole
from entries
group by _account_id, week_start, user_id, history_from
