{{ harvest.like('airbyte') }}
