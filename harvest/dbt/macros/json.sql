{#- JSON, for the databases that it was tried on. -#}
{% macro json_type() -%}{{ return(adapter.dispatch('json_type', 'harvest')()) }}{%- endmacro %}

{% macro default__json_type() -%}json{%- endmacro %}

{% macro postgres__json_type() -%}jsonb{%- endmacro %}

{#- An object: SQL by name. -#}
{% macro json_object(parts) -%}
{%- set pairs = [] -%}
{%- for name, value in parts.items() -%}{%- do pairs.append("'" ~ name ~ "', " ~ value) -%}{%- endfor -%}
{{ return(adapter.dispatch('json_object', 'harvest')(pairs | join(', '))) }}
{%- endmacro %}

{% macro default__json_object(pairs) -%}{{ harvest.no_json() }}{%- endmacro %}

{% macro no_json() -%}
{{ exceptions.raise_compiler_error('JSON is made on DuckDB and Postgres only, not on ' ~ target.type ~ '.') }}
{%- endmacro %}

{% macro duckdb__json_object(pairs) -%}json_object({{ pairs }}){%- endmacro %}

{% macro postgres__json_object(pairs) -%}jsonb_build_object({{ pairs }}){%- endmacro %}

{#- A list of JSON, of all rows of a group. -#}
{% macro json_list(item, order) -%}
{{ return(adapter.dispatch('json_list', 'harvest')(item, order)) }}
{%- endmacro %}

{% macro default__json_list(item, order) -%}{{ harvest.no_json() }}{%- endmacro %}

{% macro duckdb__json_list(item, order) -%}to_json(list({{ item }} order by {{ order }})){%- endmacro %}

{% macro postgres__json_list(item, order) -%}jsonb_agg({{ item }} order by {{ order }}){%- endmacro %}

{#- A row for each item of a list in JSON; `kind` is "id" or "text". -#}
{% macro list_items(list, kind) -%}
{%- set type = dbt.type_bigint() if kind == 'id' else dbt.type_string() -%}
{{ return(adapter.dispatch('list_items', 'harvest')(list, type)) }}
{%- endmacro %}

{% macro default__list_items(list, type) -%}
{{ exceptions.raise_compiler_error('Lists in JSON are read on DuckDB and Postgres only, not on ' ~ target.type ~ '.') }}
{%- endmacro %}

{% macro duckdb__list_items(list, type) -%}unnest(cast({{ list }} as {{ type }}[])){%- endmacro %}

{% macro postgres__list_items(list, type) -%}cast(jsonb_array_elements_text({{ list }}) as {{ type }}){%- endmacro %}

{#- A timestamp as Harvest writes it: 2026-01-02T03:04:05Z. -#}
{% macro stamp_text(stamp) -%}{{ return(adapter.dispatch('stamp_text', 'harvest')(stamp)) }}{%- endmacro %}

{% macro default__stamp_text(stamp) -%}{{ harvest.no_json() }}{%- endmacro %}

{% macro duckdb__stamp_text(stamp) -%}
strftime({{ stamp }} at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ')
{%- endmacro %}

{% macro postgres__stamp_text(stamp) -%}
to_char({{ stamp }} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
{%- endmacro %}
