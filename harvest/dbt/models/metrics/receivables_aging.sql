with paid as (
  select
    _account_id,
    invoice_id,
    sum(amount) as paid_amount,
    max(paid_date) as last_paid_on
  from {{ ref('stg_harvest__invoice_payments') }}
  group by _account_id, invoice_id
),

-- Elsewhere an invoice without payments may have some that nobody read.
payments_read as (
  select _account_id
  from {{ ref('stg_harvest__freshness') }}
  where table_name = 'invoice_payments' and read_at is not null and requests_left is null
),

invoices as (
  select
    invoices.*,
    accounts.history_from,
    coalesce(
      paid.paid_amount, case when payments_read._account_id is not null then 0 end
    ) as paid_amount,
    paid.last_paid_on,
    {{ dbt.datediff('invoices.due_date', 'accounts.today', 'day') }} as days_past_due,
    case
      when invoices.state = 'paid' then
        {{ dbt.datediff(
          'invoices.issue_date', 'coalesce(invoices.paid_date, paid.last_paid_on)', 'day'
        ) }}
    end as days_to_pay,
    case
      when invoices.state <> 'open' then invoices.state
      when invoices.retainer_id is not null then 'retainer'
      else 'open'
    end as status
  from {{ ref('stg_harvest__invoices') }} as invoices
  inner join {{ ref('accounts') }} as accounts
    on invoices._account_id = accounts._account_id
  left join paid
    on invoices._account_id = paid._account_id
    and invoices.invoice_id = paid.invoice_id
  left join payments_read
    on invoices._account_id = payments_read._account_id
),

-- Of the invoices of before, only those that changed later were read: they were paid late.
counted as (
  select
    *,
    case when issue_date < history_from then null else days_to_pay end as days_counted
  from invoices
)

select
  _account_id,
  invoice_id,
  invoice_number,
  client_id,
  client_name,
  status,
  issue_date,
  due_date,
  {{ harvest.decimal('amount') }} as amount,
  {{ harvest.decimal('paid_amount') }} as paid_amount,
  {{ harvest.decimal('due_amount') }} as due_amount,
  currency,
  status in ('open', 'retainer') and paid_amount > 0 and due_amount > 0 as is_partly_paid,
  case when status in ('open', 'retainer') then days_past_due end as days_past_due,
  case
    when status not in ('open', 'retainer') or due_amount = 0 then null
    when days_past_due is null or days_past_due <= 0 then 'not due'
    when days_past_due <= 30 then '1-30'
    when days_past_due <= 60 then '31-60'
    when days_past_due <= 90 then '61-90'
    else 'over 90'
  end as age,
  days_to_pay,
  {{ harvest.divide(
    'sum(days_counted) over (partition by _account_id, client_id)',
    'count(days_counted) over (partition by _account_id, client_id)', 1
  ) }} as client_average_days_to_pay,
  issue_date >= history_from as is_whole
from counted
