with company as (
  {{ harvest.loaded('company', {
    '_account_id': 'id', 'name': 'text', 'currency': 'text', 'week_start_day': 'text',
    'weekly_capacity': 'id', 'approval_feature': 'flag', 'expense_feature': 'flag',
    'invoice_feature': 'flag',
  }) }}
)

select
  _account_id,
  name as company_name,
  currency,
  week_start_day,
  weekly_capacity,
  approval_feature,
  expense_feature,
  invoice_feature
from company
