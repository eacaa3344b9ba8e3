with versions as (
  {{ harvest.loaded('time_entries_history', {
    '_account_id': 'id', 'id': 'id', '_version': 'id', 'invoice__id': 'id', 'hours': 'decimal',
    'rounded_hours': 'decimal', 'billable': 'flag', 'billable_rate': 'decimal',
    'updated_at': 'stamp',
  }) }}
)

select
  _account_id,
  id as time_entry_id,
  _version,
  invoice__id as invoice_id,
  hours,
  case
    when not coalesce(billable, false) then 0
    else {{ harvest.decimal('coalesce(rounded_hours, hours) * billable_rate') }}
  end as billable_amount,
  updated_at
from versions
