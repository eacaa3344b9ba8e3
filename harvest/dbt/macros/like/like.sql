{#-
  Loaded tables under the names that another connector gives them. `airbyte.sql`, `fivetran.sql` and
  `stitch.sql` name its tables and columns, and where they differ from ours:

  - `from`: the loaded table, where its name is another one.
  - `columns`: their names. One that is a column here stays as it is; `client_id` is `client__id`;
    `client` is a JSON object of all columns that begin with `client__`; `line_items` is a JSON list of
    what the nested table holds.
  - `renamed`: columns that are another one here: `user_id`; `invoices.id`, of the row that a nested one
    belongs to; `user_ids[id]`, with a row for each item of that list, which is an id or a text.

  So Fivetran's `estimate_line_item`, shortened,

    'from': 'estimates__line_items',
    'columns': 'id amount taxed_2 estimate_id',
    'renamed': {'taxed_2': 'taxed2', 'estimate_id': 'estimates.id'},

  becomes

    with source_rows as (
      select id, amount, taxed2, …, _dlt_id, _dlt_parent_id from harvest_data.estimates__line_items
    ),

    parent as (
      select _dlt_id, id from harvest_data.estimates
    )

    select
      source_rows._account_id as _account_id,
      source_rows.id as id,
      source_rows.amount as amount,
      source_rows.taxed2 as taxed_2,
      parent.id as estimate_id
    from source_rows
    inner join parent on parent._dlt_id = source_rows._dlt_parent_id
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
  are no views, for the reason that staging models are none. Hooks run once, grants are of each table.
-#}
{% materialization tables_like, default %}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
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
    {%- do apply_grants(target, config.get('grants'), should_revoke=False) -%}
    {%- do made.append(target) -%}
  {%- endfor -%}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {%- do adapter.commit() -%}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
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

{#- The query that makes one of their tables out of a loaded one. -#}
{% macro select_like(from, table) -%}
{%- set columns = harvest.columns_of(from) -%}
{%- set in_objects = {} -%}
{%- set objects = [] -%}
{%- for name in columns if '__' in name -%}
  {%- do in_objects.update({name | replace('__', '_'): name}) -%}
  {%- do objects.append(name.split('__')[0]) -%}
{%- endfor -%}
{%- set renamed = table.renamed or {} -%}
{%- set selected = {'_account_id': 'source_rows._account_id'} -%}
{%- set lists = [] -%}
{%- set parents = [] -%}
{%- for name in table['columns'].split() -%}
  {%- set column = renamed.get(name, name) -%}
  {%- if '.' in column -%}
    {%- do parents.append(column.split('.')) -%}
    {%- do selected.update({name: 'parent.' ~ column.split('.')[1]}) -%}
  {%- elif '[' in column -%}
    {%- set list, kind = column[:-1].split('[') -%}
    {%- do selected.update({name: harvest.list_items('source_rows.' ~ list, kind)}) -%}
  {%- elif column in columns or column in in_objects -%}
    {%- do selected.update({name: 'source_rows.' ~ (column if column in columns else in_objects[column])}) -%}
  {%- elif column in objects -%}
    {%- do selected.update({name: harvest.object_of(columns, column ~ '__')}) -%}
  {%- elif harvest.columns_of(from ~ '__' ~ column) -%}
    {%- do lists.append(column) -%}
    {%- do selected.update({name: 'coalesce(' ~ column ~ ".items, cast('[]' as " ~ harvest.json_type() ~ '))'}) -%}
  {%- else -%}
    {{ exceptions.raise_compiler_error('No column of `' ~ from ~ '` is called `' ~ column ~ '`.') }}
  {%- endif -%}
{%- endfor -%}
with source_rows as (
  {{ harvest.loaded(from, dict(columns, _dlt_id='text', _dlt_parent_id='text')) }}
)
{%- for parent, key in parents %},

parent as (
  {{ harvest.loaded(parent, {'_dlt_id': 'text', key: 'id'}) }}
)
{%- endfor %}
{%- for list in lists %}
{%- set inner = harvest.columns_of(from ~ '__' ~ list) %},

{{ list }} as (
  select
    source_rows._dlt_parent_id,
    {{ harvest.json_list(harvest.object_of(inner), 'source_rows._dlt_list_idx') }} as items
  from (
    {{ harvest.loaded(from ~ '__' ~ list, dict(inner, _dlt_parent_id='text', _dlt_list_idx='id')) }}
  ) as source_rows
  group by source_rows._dlt_parent_id
)
{%- endfor %}

select
{%- for name, expression in selected.items() %}
  {{ expression }} as {{ adapter.quote(name) if name == 'user' else name }}{{ ',' if not loop.last }}
{%- endfor %}
from source_rows
{%- if parents %}
inner join parent on parent._dlt_id = source_rows._dlt_parent_id
{%- endif %}
{%- for list in lists %}
left join {{ list }} on {{ list }}._dlt_parent_id = source_rows._dlt_id
{%- endfor %}
{%- endmacro %}

{#- The JSON object of all columns that begin with `prefix`; null where all of them are. -#}
{% macro object_of(columns, prefix='') -%}
{%- set parts = {} -%}
{%- set nulls = [] -%}
{%- for name, kind in columns.items() if name.startswith(prefix) and not name.startswith('_') -%}
  {%- set key = name[prefix | length:] -%}
  {%- if '__' not in key -%}
    {%- set value = 'source_rows.' ~ name -%}
    {%- do parts.update({key: harvest.stamp_text(value) if kind == 'stamp' else value}) -%}
  {%- elif key.split('__')[0] not in parts -%}
    {%- set object = key.split('__')[0] -%}
    {%- do parts.update({object: harvest.object_of(columns, prefix ~ object ~ '__')}) -%}
  {%- endif -%}
  {%- do nulls.append('source_rows.' ~ name ~ ' is null') -%}
{%- endfor -%}
{%- set object = harvest.json_object(parts) -%}
{{ return(object if not prefix else 'case when not (' ~ nulls | join(' and ') ~ ') then ' ~ object ~ ' end') }}
{%- endmacro %}
