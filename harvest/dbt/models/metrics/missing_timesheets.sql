with weeks as (
  select
    *,
    case
      when is_archived then 'archived'
      when working_days = 0 then 'not started'
      else 'due'
    end as status,
    case
      when working_days = 0 then capacity_hours_before_first_entry
      else capacity_hours
    end as expected_hours
  from {{ ref('int_harvest__person_weeks') }}
)

select
  _account_id,
  week_start,
  user_id,
  user_name,
  is_contractor,
  status,
  expected_hours as capacity_hours,
  tracked_hours,
  case
    when tracked_hours >= expected_hours then {{ harvest.decimal(0) }}
    else {{ harvest.decimal('expected_hours - tracked_hours') }}
  end as missing_hours,
  is_whole
from weeks
where (working_days > 0 or days_before_first_entry > 0) and expected_hours is not null
