with lines as (
  {{ harvest.loaded('invoices__line_items', {
    'id': 'id', '_dlt_parent_id': 'text', 'project__id': 'id', 'amount': 'decimal',
  }) }}
)

select
  invoices._account_id,
  invoices.invoice_id,
  lines.id as invoice_line_id,
  invoices.state,
  invoices.currency,
  lines.project__id as project_id,
  lines.amount
from lines
inner join {{ ref('stg_harvest__invoices') }} as invoices
  on lines._dlt_parent_id = invoices._dlt_id
