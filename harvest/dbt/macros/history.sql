{#- From which day on an account's history is whole; null where nobody said. -#}
{% macro history_from(account_id) -%}
{%- set known = var('history_from') -%}
{%- if known -%}
case {{ account_id }}
{%- for account, day in known.items() %}
  when {{ account }} then cast('{{ day }}' as date)
{%- endfor %}
end
{%- else -%}
cast(null as date)
{%- endif -%}
{%- endmacro %}

{#- What one unit of a currency is worth in another; null where nobody said. -#}
{% macro exchange_rate(currency, into) -%}
case
  when {{ currency }} = {{ into }} then {{ harvest.decimal(1) }}
{%- for code, rate in var('exchange_rates').items() %}
  when {{ currency }} = '{{ code }}' then {{ harvest.decimal("'" ~ rate ~ "'") }}
{%- endfor %}
end
{%- endmacro %}
