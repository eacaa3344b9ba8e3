with estimates as (
  select
    estimates.*,
    accounts.history_from,
    {{ harvest.month_of('estimates.issued_on') }} as month
  from {{ ref('stg_harvest__estimates') }} as estimates
  inner join {{ ref('accounts') }} as accounts
    on estimates._account_id = accounts._account_id
),

counted as (
  select
    _account_id,
    month,
    currency,
    {{ harvest.whole("sum(case when state = 'draft' then 1 else 0 end)") }} as drafts,
    {{ harvest.whole("sum(case when state <> 'draft' then 1 else 0 end)") }} as sent,
    {{ harvest.whole("sum(case when state = 'accepted' then 1 else 0 end)") }} as accepted,
    {{ harvest.whole("sum(case when state = 'declined' then 1 else 0 end)") }} as declined,
    {{ harvest.decimal("sum(case when state <> 'draft' then amount else 0 end)") }}
      as sent_amount,
    {{ harvest.decimal("sum(case when state = 'accepted' then amount else 0 end)") }}
      as accepted_amount,
    {{ harvest.decimal("sum(case when state = 'declined' then amount else 0 end)") }}
      as declined_amount,
    month >= history_from as is_whole
  from estimates
  group by _account_id, month, currency, history_from
)

select
  _account_id,
  month,
  drafts,
  sent,
  accepted,
  declined,
  sent - accepted - declined as undecided,
  sent_amount,
  accepted_amount,
  declined_amount,
  currency,
  {{ harvest.divide('accepted', 'accepted + declined') }} as win_rate,
  {{ harvest.divide('accepted_amount', 'accepted_amount + declined_amount') }} as win_rate_by_amount,
  is_whole
from counted
