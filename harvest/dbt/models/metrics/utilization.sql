select
  _account_id,
  week_start,
  user_id,
  user_name,
  is_contractor,
  is_archived,
  working_days,
  capacity_hours,
  tracked_hours,
  billable_hours,
  {{ harvest.divide('tracked_hours', 'capacity_hours') }} as utilization,
  {{ harvest.divide('billable_hours', 'capacity_hours') }} as billable_utilization,
  {{ harvest.divide('billable_hours', 'tracked_hours') }} as billable_share,
  is_whole
from {{ ref('int_harvest__person_weeks') }}
where working_days > 0 or tracked_hours <> 0
