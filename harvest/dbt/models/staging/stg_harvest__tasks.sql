with tasks as (
  {{ harvest.loaded('tasks', {'_account_id': 'id', 'id': 'id', 'name': 'text'}) }}
)

select
  _account_id,
  id as task_id,
  name as task_name
from tasks
