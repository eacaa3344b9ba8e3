{#- The day that ages and forecasts are counted from. -#}
{% macro today() -%}
cast('{{ var("today") or run_started_at.strftime("%Y-%m-%d") }}' as date)
{%- endmacro %}

{#- The UTC day of a timestamp. -#}
{% macro utc_day(stamp) -%}{{ return(adapter.dispatch('utc_day', 'harvest')(stamp)) }}{%- endmacro %}

{% macro default__utc_day(stamp) -%}cast(({{ stamp }}) at time zone 'UTC' as date){%- endmacro %}

{% macro bigquery__utc_day(stamp) -%}date({{ stamp }}){%- endmacro %}

{% macro snowflake__utc_day(stamp) -%}cast(convert_timezone('UTC', {{ stamp }}) as date){%- endmacro %}

{% macro month_of(day) -%}cast({{ dbt.date_trunc('month', day) }} as date){%- endmacro %}

{% macro add_days(day, days) -%}cast({{ dbt.dateadd('day', days, day) }} as date){%- endmacro %}

{#- The first day of a week that begins on the weekday of `base`, a day before all others. -#}
{% macro week_of(day, base) -%}
{{ harvest.add_days(day, '-1 * mod(' ~ dbt.datediff(base, day, 'day') ~ ', 7)') }}
{%- endmacro %}
