{{ harvest.like('fivetran') }}
