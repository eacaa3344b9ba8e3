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

{#-
  What one unit of a currency is worth in a company's currency; null where nobody said. A rate that
  does not name the company's currency holds where all companies have the same: among several it
  would be right for one of them only.
-#}
{% macro exchange_rate(currency, into) -%}
case
  when {{ currency }} = {{ into }} then {{ harvest.decimal(1) }}
{%- for code, rate in var('exchange_rates').items() %}
{%- if rate is mapping %}
{%- for other, worth in rate.items() %}
  when {{ currency }} = '{{ other }}' and {{ into }} = '{{ code }}'
    then {{ harvest.decimal("'" ~ worth ~ "'") }}
{%- endfor %}
{%- else %}
  when {{ currency }} = '{{ code }}' and {{ into }} is not null
    and 1 = (select count(distinct currency) from {{ ref('accounts') }})
    then {{ harvest.decimal("'" ~ rate ~ "'") }}
{%- endif %}
{%- endfor %}
end
{%- endmacro %}
