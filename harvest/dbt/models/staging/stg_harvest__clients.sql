with clients as (
  {{ harvest.loaded('clients', {
    '_account_id': 'id', 'id': 'id', 'name': 'text', 'currency': 'text',
  }) }}
)

select
  _account_id,
  id as client_id,
  name as client_name,
  currency
from clients
