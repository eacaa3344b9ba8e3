with freshness as (
  {{ harvest.loaded('_freshness', {
    '_account_id': 'id', 'table_name': 'text', 'read_at': 'stamp', 'history_from': 'stamp',
    'limited_to': 'text', 'requests_left': 'id',
  }) }}
)

select
  _account_id,
  table_name,
  read_at,
  history_from,
  limited_to,
  requests_left
from freshness
