"""Loads a Harvest account into a database: `python harvest_pipeline.py --help`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.pipeline.exceptions import PipelineStepFailed

from harvest import ENDPOINTS, HarvestError, harvest_source

NO_CREDENTIALS = """No Harvest credentials found.
  1. Make a personal access token at https://id.getharvest.com/developers
  2. Put it into .dlt/secrets.toml:
       [sources.harvest]
       api_key = "your token"
       account_id = "your account id"
  No token yet? See it work on a local sandbox account: python harvest_pipeline.py --demo"""


def load(*tables: str, name: str = "harvest", full_refresh: bool = False, **settings: Any) -> None:
    """Load the named tables, or all of them, and print what arrived."""
    pipeline = dlt.pipeline(
        pipeline_name=name,
        destination="duckdb",
        dataset_name="harvest_data",
        progress="log",
    )
    source = harvest_source(**settings)
    if tables:
        source = source.with_resources(*tables)
    if full_refresh:
        pipeline.run(source, refresh="drop_sources")
    else:
        if pipeline.has_pending_data:
            pipeline.run()  # a run that broke off: dlt loads what it had before reading anew
        pipeline.run(source)
    trace = pipeline.last_trace
    counts = trace.last_normalize_info.row_counts if trace and trace.last_normalize_info else {}
    with pipeline.sql_client() as client:
        print(f"\n{'table':<32}{'rows loaded':>12}{'rows now':>12}")
        for table in sorted(pipeline.default_schema.data_table_names(seen_data_only=True)):
            rows = client.make_qualified_table_name(table)
            ((now,),) = client.execute_sql(f"SELECT count(*) FROM {rows}") or ((0,),)
            print(f"{table:<32}{counts.get(table, 0):>12,}{now:>12,}")
    print(f"\nIn {pipeline.destination.destination_name}, dataset {pipeline.dataset_name}.")


def load_everything() -> None:
    """Load the whole account."""
    load()


def load_time() -> None:
    """Load time entries and projects."""
    load("time_entries", "projects")


def load_invoices() -> None:
    """Load invoices with messages and payments, and expenses."""
    load("invoices", "invoice_messages", "invoice_payments", "expenses")


def load_demo(tables: list[str], settings: dict[str, Any], *, full_refresh: bool) -> None:
    """Load from the local sandbox account."""
    try:
        from harvest_sandbox import Sandbox  # noqa: PLC0415 - dlt init does not copy it
    except ModuleNotFoundError as error:
        sys.exit(f"--demo needs the sandbox ({error}): run it in the connector's repository.")
    with Sandbox("small") as sandbox:
        here = {
            "api_key": sandbox.token,
            "account_id": str(sandbox.account_id),
            "base_url": sandbox.base_url,
        }
        # A pipeline of its own: neither data nor cursors of the demo may meet a real account.
        load(*tables, name="harvest_demo", full_refresh=full_refresh, **{**settings, **here})


def list_tables() -> None:
    """Print each table with its mode and parent."""
    for endpoint in ENDPOINTS:
        print(f"{endpoint.name:<28}{endpoint.mode:<16}{endpoint.parent or ''}".rstrip())


def cause(error: BaseException) -> HarvestError | None:
    """Return what Harvest's connector said, from under dlt's wrapping."""
    link: BaseException | None = error
    while link is not None and not isinstance(link, HarvestError):
        link = link.__cause__ or link.__context__
    return link


def main() -> None:
    """Read the command line and load."""
    parser = argparse.ArgumentParser(description="Load a Harvest account into a database.")
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="tables to load; default: all")
    parser.add_argument("--list", action="store_true", help="list the tables and stop")
    parser.add_argument("--anchor-date", help="how far back to read history, e.g. 2024-01-01")
    parser.add_argument("--full-refresh", action="store_true", help="drop the tables, read anew")
    parser.add_argument("--demo", action="store_true", help="use the local sandbox account")
    args = parser.parse_args()
    if args.list:
        list_tables()
        return
    if unknown := set(args.tables) - {endpoint.name for endpoint in ENDPOINTS}:
        parser.error(f"no such table: {', '.join(sorted(unknown))}; --list shows all")
    settings = {"anchor_date": args.anchor_date} if args.anchor_date else {}
    try:
        if args.demo:
            load_demo(args.tables, settings, full_refresh=args.full_refresh)
        else:
            load(*args.tables, full_refresh=args.full_refresh, **settings)
    except ConfigFieldMissingException as error:
        sys.exit(NO_CREDENTIALS if error.spec_name.startswith("Harvest") else str(error))
    except (HarvestError, PipelineStepFailed) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        sys.exit(str(cause(error) or lines[-1]))


if __name__ == "__main__":
    main()
