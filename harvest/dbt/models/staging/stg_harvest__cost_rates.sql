with rates as (
  {{ harvest.loaded('user_cost_rates', {
    '_account_id': 'id', 'id': 'id', 'user_id': 'id', 'amount': 'decimal', 'start_date': 'date',
    'end_date': 'date',
  }) }}
),

started as (
  select
    _account_id,
    user_id,
    amount,
    coalesce(start_date, cast('1900-01-01' as date)) as valid_from,
    coalesce(end_date, cast('9999-12-31' as date)) as valid_to,
    row_number() over (
      partition by _account_id, user_id, start_date
      order by id desc
    ) as place
  from rates
),

followed as (
  select
    *,
    lead(valid_from) over (partition by _account_id, user_id order by valid_from) as next_from
  from started
  where place = 1
)

-- Of a person and day there is one rate at most: the last that began.
select
  _account_id,
  user_id,
  amount,
  valid_from,
  case
    when next_from <= valid_to then {{ harvest.add_days('next_from', -1) }}
    else valid_to
  end as valid_to
from followed
