with expenses as (
  select
    expenses.*,
    accounts.whole_from,
    {{ harvest.month_of('expenses.spent_date') }} as month
  from {{ ref('stg_harvest__expenses') }} as expenses
  inner join {{ ref('accounts') }} as accounts
    on expenses._account_id = accounts._account_id
)

select
  _account_id,
  month,
  expense_category_id,
  min(expense_category_name) as expense_category_name,
  currency,
  {{ harvest.whole('count(*)') }} as expenses,
  {{ harvest.decimal('sum(amount)') }} as amount,
  {{ harvest.decimal('sum(case when is_billable then amount else 0 end)') }} as billable_amount,
  {{ harvest.decimal('sum(case when is_billable and not is_billed then amount else 0 end)') }}
    as uninvoiced_amount,
  month >= whole_from as is_whole
from expenses
group by _account_id, month, expense_category_id, currency, whole_from
