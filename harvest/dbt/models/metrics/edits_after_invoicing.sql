with versions as (
  select
    versions.*,
    row_number() over (
      partition by versions._account_id, versions.time_entry_id, versions.invoice_id
      order by versions._version desc
    ) as place
  from {{ ref('stg_harvest__time_entry_versions') }} as versions
  inner join {{ ref('stg_harvest__invoices') }} as invoices
    on versions._account_id = invoices._account_id
    and versions.invoice_id = invoices.invoice_id
  -- Harvest stamps entries a second after it makes their invoice.
  where versions.updated_at <= {{ dbt.dateadd('minute', 5, 'invoices.created_at') }}
)

select
  entries._account_id,
  entries.time_entry_id,
  entries.spent_date,
  entries.user_id,
  entries.user_name,
  entries.client_id,
  entries.client_name,
  entries.project_id,
  entries.project_name,
  entries.task_id,
  entries.task_name,
  invoices.invoice_id,
  invoices.invoice_number,
  invoices.created_at as invoiced_at,
  entries.updated_at as changed_at,
  {{ dbt.datediff(
    harvest.utc_day('invoices.created_at'), harvest.utc_day('entries.updated_at'), 'day'
  ) }} as days_after,
  {{ harvest.decimal('entries.hours') }} as hours,
  {{ harvest.decimal('entries.billable_amount') }} as billable_amount,
  {{ harvest.decimal('versions.hours') }} as hours_invoiced,
  {{ harvest.decimal('versions.billable_amount') }} as billable_amount_invoiced,
  entries.currency,
  entries.spent_date >= accounts.whole_from as is_whole
from {{ ref('stg_harvest__time_entries') }} as entries
inner join {{ ref('stg_harvest__invoices') }} as invoices
  on entries._account_id = invoices._account_id
  and entries.invoice_id = invoices.invoice_id
inner join {{ ref('accounts') }} as accounts
  on entries._account_id = accounts._account_id
left join versions
  on entries._account_id = versions._account_id
  and entries.time_entry_id = versions.time_entry_id
  and entries.invoice_id = versions.invoice_id
  and versions.place = 1
where
  entries.is_billed
  and entries.updated_at > {{ dbt.dateadd('minute', 5, 'invoices.created_at') }}
