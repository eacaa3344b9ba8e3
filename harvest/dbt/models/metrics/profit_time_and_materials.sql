with months as (
  select
    months.*,
    projects.project_name,
    projects.client_id,
    projects.client_name,
    projects.is_billable,
    projects.currency,
    accounts.currency as profit_currency,
    {{ harvest.decimal('months.billable_amount + months.billable_expenses') }} as revenue,
    {{ harvest.exchange_rate('projects.currency', 'accounts.currency') }} as exchange_rate,
    months.month >= accounts.whole_from and months.is_known as is_whole
  from {{ ref('int_harvest__project_months') }} as months
  inner join {{ ref('stg_harvest__projects') }} as projects
    on months._account_id = projects._account_id
    and months.project_id = projects.project_id
    and not projects.is_fixed_fee
  inner join {{ ref('accounts') }} as accounts
    on months._account_id = accounts._account_id
)

select
  _account_id,
  month,
  client_id,
  client_name,
  project_id,
  project_name,
  is_billable,
  hours,
  billable_hours,
  billable_amount,
  billable_expenses,
  revenue,
  expenses,
  currency,
  cost,
  profit_currency as cost_currency,
  exchange_rate,
  {{ harvest.decimal('(revenue - expenses) * exchange_rate - cost') }} as profit,
  profit_currency,
  hours_without_rate,
  hours_without_cost_rate,
  is_whole
from months
