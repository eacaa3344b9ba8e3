-- Every day from 2000 to 2044, so that no model need ask the database where to begin.
with numbers as (
  {{ dbt.generate_series(16384) }}
),

days as (
  select {{ harvest.add_days("cast('1999-12-31' as date)", 'generated_number') }} as day
  from numbers
)

select
  day,
  mod({{ dbt.datediff("cast('1900-01-01' as date)", 'day', 'day') }}, 7) < 5 as is_working_day
from days
