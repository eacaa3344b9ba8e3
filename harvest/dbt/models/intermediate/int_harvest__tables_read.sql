select
  _account_id,
  table_name
from {{ ref('stg_harvest__freshness') }}
where read_at is not null
-- Of a module that is switched off there is nothing to read.
{%- for table, feature in {'expenses': 'expense_feature', 'invoices': 'invoice_feature'}.items() %}
union all
select
  _account_id,
  '{{ table }}' as table_name
from {{ ref('stg_harvest__company') }}
where not {{ feature }}
{%- endfor %}
