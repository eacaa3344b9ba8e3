"""What dbt builds, by dbt: `make test-dbt`."""
