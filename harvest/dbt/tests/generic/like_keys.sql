{#- In no table with an `id` do two rows have the same, or the same below the same parent; or none. -#}
{% test like_keys(model, connector) %}
{%- for name, table in harvest.tables_like(connector).items() if 'id' in table['columns'].split() %}
{%- set key = ['_account_id', 'id'] -%}
{%- for column, ours in (table.renamed or {}).items() if '.' in ours -%}
  {%- do key.append(column) -%}
{%- endfor %}
{{ 'union all' if not loop.first }}
select '{{ name }}' as table_name, count(*) as how_many
from {{ model.incorporate(path={'identifier': name}) }}
group by {{ key | join(', ') }}
having count(*) > 1 or id is null
{%- endfor %}
{% endtest %}
