{#-
  The named columns of a loaded table, by type. A table that was never loaded has no rows, a column
  that never came is null. Rows that Harvest no longer has (`deletions="flag"`) are left out.
-#}
{% macro loaded(table, columns) -%}
{%- set wanted = source('harvest', table) -%}
{%- set types = {
  'id': dbt.type_bigint(), 'text': dbt.type_string(), 'decimal': harvest.decimal_type(),
  'date': 'date', 'stamp': dbt.type_timestamp(), 'flag': dbt.type_boolean(),
  'json': harvest.json_type(),
} -%}
{%- set there = [] -%}
{%- set relation = none -%}
{%- if execute -%}
  {%- set relation = adapter.get_relation(
    database=wanted.database, schema=wanted.schema, identifier=wanted.identifier
  ) -%}
  {%- if relation -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
      {%- do there.append(column.name | lower) -%}
    {%- endfor -%}
  {%- endif -%}
{%- endif -%}
select
{%- for name, type in columns.items() %}
  {% if name in there %}{{ name }}{% else %}cast(null as {{ types[type] }}) as {{ name }}{% endif %}
  {{- ',' if not loop.last }}
{%- endfor %}
{%- if relation %}
from {{ wanted }}
{%- if '_deleted_at' in there %}
where _deleted_at is null
{%- endif %}
{%- else %}
from (select 1 as nothing) as never_loaded
where 1 = 0
{%- endif %}
{%- endmacro %}

{#- Whether a table was ever read of an account: if not, sums of it are null, not 0. -#}
{% macro was_read(table, account_id) -%}
({{ account_id }} in (
  select _account_id from {{ ref('int_harvest__tables_read') }} where table_name = '{{ table }}'
))
{%- endmacro %}
