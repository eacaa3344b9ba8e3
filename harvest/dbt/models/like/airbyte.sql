{#- Makes all tables of `airbyte_tables()`, see macros/like/like.sql. -#}
{{ harvest.like('airbyte') }}
