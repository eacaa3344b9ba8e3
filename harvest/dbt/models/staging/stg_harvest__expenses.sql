with expenses as (
  {{ harvest.loaded('expenses', {
    '_account_id': 'id', 'id': 'id', 'spent_date': 'date', 'client__id': 'id',
    'client__name': 'text', 'client__currency': 'text', 'project__id': 'id',
    'project__name': 'text', 'expense_category__id': 'id', 'expense_category__name': 'text',
    'total_cost': 'decimal', 'billable': 'flag', 'is_billed': 'flag',
  }) }}
),

categories as (
  {{ harvest.loaded('expense_categories', {'_account_id': 'id', 'id': 'id', 'name': 'text'}) }}
)

select
  expenses._account_id,
  expenses.id as expense_id,
  expenses.spent_date,
  coalesce(projects.client_id, expenses.client__id) as client_id,
  coalesce(projects.client_name, expenses.client__name) as client_name,
  expenses.project__id as project_id,
  coalesce(projects.project_name, expenses.project__name) as project_name,
  case
    when {{ harvest.was_read('projects', 'expenses._account_id') }}
      then coalesce(projects.is_fixed_fee, false)
  end as is_fixed_fee,
  expenses.expense_category__id as expense_category_id,
  coalesce(categories.name, expenses.expense_category__name) as expense_category_name,
  expenses.total_cost as amount,
  coalesce(projects.currency, expenses.client__currency, company.currency) as currency,
  coalesce(expenses.billable, false) as is_billable,
  coalesce(expenses.is_billed, false) as is_billed
from expenses
left join {{ ref('stg_harvest__projects') }} as projects
  on expenses._account_id = projects._account_id
  and expenses.project__id = projects.project_id
left join categories
  on expenses._account_id = categories._account_id
  and expenses.expense_category__id = categories.id
left join {{ ref('stg_harvest__company') }} as company
  on expenses._account_id = company._account_id
