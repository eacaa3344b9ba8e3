{#- The columns are what one row stands for: no two rows agree in all of them, and none is null. -#}
{% test key(model, columns, nullable=[]) %}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{%- for column in columns if column not in nullable %}
  or {{ column }} is null
{%- endfor %}
{% endtest %}
