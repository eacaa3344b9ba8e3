"""Loads a Harvest account into a database: `python harvest_pipeline.py --help`.

This file is yours to edit: where the tables go, and what each function loads.
"""

from __future__ import annotations

import dlt

from harvest import cli


def warehouse() -> dlt.Pipeline:
    """Say where the tables go; the credentials of the destination stand in .dlt/secrets.toml."""
    return dlt.pipeline(
        pipeline_name="harvest",
        pipelines_dir=".dlt/pipelines",  # this folder's own state, where dlt would use your home's
        destination="duckdb",
        dataset_name="harvest_data",
    )


def load_everything() -> None:
    """Load the whole account."""
    cli.load_and_print(warehouse)


def load_time() -> None:
    """Load time entries and projects."""
    cli.load_and_print(warehouse, "time_entries", "projects")


def load_invoices() -> None:
    """Load invoices with messages and payments, and expenses."""
    cli.load_and_print(warehouse, "invoices", "invoice_messages", "invoice_payments", "expenses")


if __name__ == "__main__":
    cli.main(warehouse)
