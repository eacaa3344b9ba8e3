with users as (
  {{ harvest.loaded('users', {
    '_account_id': 'id', 'id': 'id', 'first_name': 'text', 'last_name': 'text',
    'is_contractor': 'flag', 'is_active': 'flag', 'weekly_capacity': 'id', 'created_at': 'stamp',
  }) }}
)

select
  _account_id,
  id as user_id,
  trim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')) as user_name,
  coalesce(is_contractor, false) as is_contractor,
  not coalesce(is_active, true) as is_archived,
  weekly_capacity,
  {{ harvest.utc_day('created_at') }} as created_on
from users
