with entries as (
  select
    entries.*,
    accounts.whole_from,
    {{ harvest.week_of('entries.spent_date', 'accounts.first_week') }} as week_start
  from {{ ref('stg_harvest__time_entries') }} as entries
  inner join {{ ref('accounts') }} as accounts
    on entries._account_id = accounts._account_id
),

-- Without approvals, Harvest calls all hours unsubmitted, and none of them wait.
used as (
  select
    entries._account_id,
    sum(case when entries.approval_status in ('submitted', 'approved') then 1 else 0 end) > 0
      and coalesce(company.approval_feature, true) as uses_approval
  from entries
  left join {{ ref('stg_harvest__company') }} as company
    on entries._account_id = company._account_id
  group by entries._account_id, company.approval_feature
)

select
  entries._account_id,
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
  used.uses_approval,
  week_start >= whole_from as is_whole
from entries
inner join used
  on entries._account_id = used._account_id
group by entries._account_id, week_start, user_id, whole_from, used.uses_approval
