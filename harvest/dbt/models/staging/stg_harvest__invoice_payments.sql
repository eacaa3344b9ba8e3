with payments as (
  {{ harvest.loaded('invoice_payments', {
    '_account_id': 'id', 'id': 'id', 'invoice_id': 'id', 'amount': 'decimal', 'paid_date': 'date',
  }) }}
)

select
  _account_id,
  id as invoice_payment_id,
  invoice_id,
  amount,
  paid_date
from payments
