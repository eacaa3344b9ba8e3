{#-
  Loaded tables under the names that another connector gives them. `airbyte.sql`, `fivetran.sql` and
  `stitch.sql` name its tables and columns, and where they differ from ours:

  - `from`: the loaded table, where its name is another one.
  - `columns`: their names. One that is a column here stays as it is; `client_id` is `client__id`;
    `client` is a JSON object of all columns that begin with `client__`; `line_items` is a JSON list of
    what the nested table holds.
  - `but`: columns that are another one here: `user_id`; `invoices.id`, of the row that a nested one
    belongs to; `user_ids[id]`, with a row for each item of that list, which is an id or a text.
-#}
{% macro tables_like(connector) -%}
{%- if connector == 'airbyte' -%}{{ return(harvest.airbyte_tables()) }}{%- endif -%}
{%- if connector == 'fivetran' -%}{{ return(harvest.fivetran_tables()) }}{%- endif -%}
{%- if connector == 'stitch' -%}{{ return(harvest.stitch_tables()) }}{%- endif -%}
{{ exceptions.raise_compiler_error("The variable `like` is '" ~ connector ~ "', not 'airbyte', 'fivetran' or 'stitch'.") }}
{%- endmacro %}

{#- The model that stands for all of them. -#}
{% macro like(connector) -%}
{%- set wanted = ([var('like')] if var('like') is string else var('like')) | select | list -%}
{%- for each in wanted -%}{%- do harvest.tables_like(each) -%}{%- endfor -%}
{{ config(enabled=connector in wanted, materialized='tables_like', schema=connector) }}
{%- for name, table in harvest.tables_like(connector).items() %}
-- depends_on: {{ source('harvest', table.from or name) }}
{%- endfor %}
{%- endmacro %}

{#-
  Makes all of them. dbt has a file for each model, so this is one model that makes many tables. They
  are no views, for the reason that staging models are none.
-#}
{% materialization tables_like, default %}
  {%- set made = [] -%}
  {%- for name, table in harvest.tables_like(model.name).items() -%}
    {%- set target = api.Relation.create(
      database=database, schema=schema, identifier=name, type='table'
    ) -%}
    {%- set there = load_cached_relation(target) -%}
    {%- if there -%}{%- do adapter.drop_relation(there) -%}{%- endif -%}
    {%- call statement('main') -%}
      {{ create_table_as(False, target, harvest.select_like(table.from or name, table)) }}
    {%- endcall -%}
    {%- do made.append(target) -%}
  {%- endfor -%}
  {%- do adapter.commit() -%}
  {{ return({'relations': made}) }}
{% endmaterialization %}

{#- The columns of a loaded table, by type, as sources.yml has them. -#}
{% macro columns_of(table) -%}
{%- set kinds = {
  'bigint': 'id', 'text': 'text', 'decimal': 'decimal', 'date': 'date', 'timestamp': 'stamp',
  'bool': 'flag', 'json': 'json',
} -%}
{%- set found = {} -%}
{%- for node in graph.sources.values()
    if node.package_name == 'harvest' and node.source_name == 'harvest' and node.name == table -%}
  {%- for name, column in node.columns.items() -%}
    {%- do found.update({name: kinds[column.data_type]}) -%}
  {%- endfor -%}
{%- endfor -%}
{{ return(found) }}
{%- endmacro %}

{% macro select_like(from, table) -%}
{%- set columns = harvest.columns_of(from) -%}
{%- set flat = {} -%}
{%- set objects = [] -%}
{%- for name in columns if '__' in name -%}
  {%- do flat.update({name | replace('__', '_'): name}) -%}
  {%- do objects.append(name.split('__')[0]) -%}
{%- endfor -%}
{%- set but = table.but or {} -%}
{%- set chosen = {'_account_id': 'loaded._account_id'} -%}
{%- set lists = [] -%}
{%- set above = [] -%}
{%- for name in table['columns'].split() -%}
  {%- set ours = but.get(name, name) -%}
  {%- if '.' in ours -%}
    {%- do above.append(ours.split('.')) -%}
    {%- do chosen.update({name: 'above.' ~ ours.split('.')[1]}) -%}
  {%- elif '[' in ours -%}
    {%- set list, kind = ours[:-1].split('[') -%}
    {%- do chosen.update({name: harvest.list_items('loaded.' ~ list, kind)}) -%}
  {%- elif ours in columns or ours in flat -%}
    {%- do chosen.update({name: 'loaded.' ~ (ours if ours in columns else flat[ours])}) -%}
  {%- elif ours in objects -%}
    {%- do chosen.update({name: harvest.object_of(columns, ours ~ '__')}) -%}
  {%- elif harvest.columns_of(from ~ '__' ~ ours) -%}
    {%- do lists.append(ours) -%}
    {%- do chosen.update({name: 'coalesce(' ~ ours ~ ".items, cast('[]' as " ~ harvest.json_type() ~ '))'}) -%}
  {%- else -%}
    {{ exceptions.raise_compiler_error('No column of `' ~ from ~ '` is called `' ~ ours ~ '`.') }}
  {%- endif -%}
{%- endfor -%}
with loaded as (
  {{ harvest.loaded(from, dict(columns, _dlt_id='text', _dlt_parent_id='text')) }}
)
{%- for parent, key in above %},

above as (
  {{ harvest.loaded(parent, {'_dlt_id': 'text', key: 'id'}) }}
)
{%- endfor %}
{%- for list in lists %}
{%- set inner = harvest.columns_of(from ~ '__' ~ list) %},

{{ list }} as (
  select
    loaded._dlt_parent_id,
    {{ harvest.json_list(harvest.object_of(inner), 'loaded._dlt_list_idx') }} as items
  from (
    {{ harvest.loaded(from ~ '__' ~ list, dict(inner, _dlt_parent_id='text', _dlt_list_idx='id')) }}
  ) as loaded
  group by loaded._dlt_parent_id
)
{%- endfor %}

select
{%- for name, expression in chosen.items() %}
  {{ expression }} as {{ adapter.quote(name) if name == 'user' else name }}{{ ',' if not loop.last }}
{%- endfor %}
from loaded
{%- if above %}
inner join above on above._dlt_id = loaded._dlt_parent_id
{%- endif %}
{%- for list in lists %}
left join {{ list }} on {{ list }}._dlt_parent_id = loaded._dlt_id
{%- endfor %}
{%- endmacro %}

{#- The JSON object of all columns that begin with `prefix`; null where all of them are. -#}
{% macro object_of(columns, prefix='') -%}
{%- set parts = {} -%}
{%- set nulls = [] -%}
{%- for name, kind in columns.items() if name.startswith(prefix) and not name.startswith('_') -%}
  {%- set key = name[prefix | length:] -%}
  {%- if '__' not in key -%}
    {%- set value = 'loaded.' ~ name -%}
    {%- do parts.update({key: harvest.stamp_text(value) if kind == 'stamp' else value}) -%}
  {%- elif key.split('__')[0] not in parts -%}
    {%- set object = key.split('__')[0] -%}
    {%- do parts.update({object: harvest.object_of(columns, prefix ~ object ~ '__')}) -%}
  {%- endif -%}
  {%- do nulls.append('loaded.' ~ name ~ ' is null') -%}
{%- endfor -%}
{%- set object = harvest.json_object(parts) -%}
{{ return(object if not prefix else 'case when not (' ~ nulls | join(' and ') ~ ') then ' ~ object ~ ' end') }}
{%- endmacro %}
