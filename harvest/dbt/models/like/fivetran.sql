{#- Makes all tables of `fivetran_tables()`, see macros/like/like.sql. -#}
{{ harvest.like('fivetran') }}
