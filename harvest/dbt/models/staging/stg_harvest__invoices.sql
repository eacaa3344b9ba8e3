with invoices as (
  {{ harvest.loaded('invoices', {
    '_account_id': 'id', 'id': 'id', '_dlt_id': 'text', 'number': 'text', 'client__id': 'id',
    'client__name': 'text', 'retainer__id': 'id', 'state': 'text', 'amount': 'decimal',
    'due_amount': 'decimal', 'currency': 'text', 'issue_date': 'date', 'due_date': 'date',
    'paid_date': 'date', 'created_at': 'stamp',
  }) }}
)

select
  invoices._account_id,
  invoices.id as invoice_id,
  invoices._dlt_id,
  invoices.number as invoice_number,
  invoices.client__id as client_id,
  coalesce(clients.client_name, invoices.client__name) as client_name,
  invoices.retainer__id as retainer_id,
  invoices.state,
  invoices.amount,
  invoices.due_amount,
  coalesce(invoices.currency, clients.currency, company.currency) as currency,
  invoices.issue_date,
  invoices.due_date,
  invoices.paid_date,
  invoices.created_at
from invoices
left join {{ ref('stg_harvest__clients') }} as clients
  on invoices._account_id = clients._account_id
  and invoices.client__id = clients.client_id
left join {{ ref('stg_harvest__company') }} as company
  on invoices._account_id = company._account_id
