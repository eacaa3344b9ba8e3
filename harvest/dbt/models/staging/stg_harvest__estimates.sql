with estimates as (
  {{ harvest.loaded('estimates', {
    '_account_id': 'id', 'id': 'id', 'client__id': 'id', 'client__name': 'text', 'state': 'text',
    'amount': 'decimal', 'currency': 'text', 'issue_date': 'date', 'sent_at': 'stamp',
    'created_at': 'stamp',
  }) }}
)

select
  estimates._account_id,
  estimates.id as estimate_id,
  estimates.client__id as client_id,
  coalesce(clients.client_name, estimates.client__name) as client_name,
  estimates.state,
  estimates.amount,
  coalesce(estimates.currency, clients.currency, company.currency) as currency,
  coalesce(
    estimates.issue_date,
    {{ harvest.utc_day('estimates.sent_at') }},
    {{ harvest.utc_day('estimates.created_at') }}
  ) as issued_on
from estimates
left join {{ ref('stg_harvest__clients') }} as clients
  on estimates._account_id = clients._account_id
  and estimates.client__id = clients.client_id
left join {{ ref('stg_harvest__company') }} as company
  on estimates._account_id = company._account_id
