{#- Makes all tables of `stitch_tables()`, see macros/like/like.sql. -#}
{{ harvest.like('stitch') }}
