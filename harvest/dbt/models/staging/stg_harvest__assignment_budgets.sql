with people as (
  {{ harvest.loaded('user_assignments', {
    '_account_id': 'id', 'project__id': 'id', 'budget': 'decimal',
  }) }}
),

tasks as (
  {{ harvest.loaded('task_assignments', {
    '_account_id': 'id', 'project__id': 'id', 'budget': 'decimal',
  }) }}
)

-- What a project's people, or its tasks, are given together.
select
  _account_id,
  project__id as project_id,
  'person' as budget_of,
  sum(budget) as budget
from people
group by _account_id, project__id
union all
select
  _account_id,
  project__id as project_id,
  'task' as budget_of,
  sum(budget) as budget
from tasks
group by _account_id, project__id
