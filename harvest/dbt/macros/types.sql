{% macro decimal_type() -%}{{ return(adapter.dispatch('decimal_type', 'harvest')()) }}{%- endmacro %}

{#- 38 digits, nine of them behind the point, as the loaded columns have. -#}
{% macro default__decimal_type() -%}numeric(38, 9){%- endmacro %}

{% macro bigquery__decimal_type() -%}numeric{%- endmacro %}

{% macro decimal(value) -%}cast({{ value }} as {{ harvest.decimal_type() }}){%- endmacro %}

{#- A ratio, rounded half away from zero to `places`, without floats; null where nothing divides. -#}
{% macro divide(numerator, denominator, places=4) -%}
{{ return(adapter.dispatch('divide', 'harvest')(numerator, denominator, places)) }}
{%- endmacro %}

{% macro default__divide(numerator, denominator, places) -%}
{{ harvest.decimal('round(' ~ harvest.decimal(numerator) ~ ' / nullif(' ~ harvest.decimal(denominator) ~ ', 0), ' ~ places ~ ')') }}
{%- endmacro %}

{#- DuckDB divides decimals as floats, so they are divided as whole numbers of billionths. -#}
{% macro duckdb__divide(numerator, denominator, places) -%}
{%- set n = 'cast(' ~ harvest.decimal(numerator) ~ ' * 1000000000 as hugeint)' -%}
{%- set d = 'nullif(cast(' ~ harvest.decimal(denominator) ~ ' * 1000000000 as hugeint), 0)' -%}
cast(
  cast(
    sign({{ n }}) * sign({{ d }})
    * ((2 * abs({{ n }}) * {{ 10 ** places }} + abs({{ d }})) // (2 * abs({{ d }})))
    as decimal(38, 0)
  ) * cast('{{ '%.*f' % (places, 10.0 ** -places) }}' as decimal({{ places + 1 }}, {{ places }}))
  as {{ harvest.decimal_type() }})
{%- endmacro %}

{#- A number of days or rows: sums of whole numbers have another type in each database. -#}
{% macro whole(value) -%}cast({{ value }} as {{ dbt.type_int() }}){%- endmacro %}
