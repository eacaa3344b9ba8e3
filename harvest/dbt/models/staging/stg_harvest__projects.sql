with projects as (
  {{ harvest.loaded('projects', {
    '_account_id': 'id', 'id': 'id', 'name': 'text', 'code': 'text', 'client__id': 'id',
    'client__name': 'text', 'client__currency': 'text', 'is_active': 'flag',
    'is_billable': 'flag', 'is_fixed_fee': 'flag', 'fee': 'decimal', 'budget_by': 'text',
    'budget': 'decimal', 'budget_is_monthly': 'flag', 'cost_budget': 'decimal',
    'cost_budget_include_expenses': 'flag', 'starts_on': 'date', 'ends_on': 'date',
    'created_at': 'stamp',
  }) }}
)

select
  projects._account_id,
  projects.id as project_id,
  projects.name as project_name,
  nullif(projects.code, '') as project_code,
  projects.client__id as client_id,
  coalesce(clients.client_name, projects.client__name) as client_name,
  coalesce(clients.currency, projects.client__currency, company.currency) as currency,
  not coalesce(projects.is_active, true) as is_archived,
  coalesce(projects.is_billable, false) as is_billable,
  coalesce(projects.is_fixed_fee, false) as is_fixed_fee,
  projects.fee,
  coalesce(projects.budget_by, 'none') as budget_by,
  projects.budget,
  coalesce(projects.budget_is_monthly, false) as budget_is_monthly,
  projects.cost_budget,
  coalesce(projects.cost_budget_include_expenses, false) as cost_budget_include_expenses,
  projects.starts_on,
  projects.ends_on,
  {{ harvest.utc_day('projects.created_at') }} as created_on
from projects
left join {{ ref('stg_harvest__clients') }} as clients
  on projects._account_id = clients._account_id
  and projects.client__id = clients.client_id
left join {{ ref('stg_harvest__company') }} as company
  on projects._account_id = company._account_id
