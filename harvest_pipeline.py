"""Loads a Harvest account into a database: `python harvest_pipeline.py --help`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import dlt
from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.runtime.collector import LogCollector

from harvest import ENDPOINTS, HarvestError, harvest_source
from harvest.run import Summary, load

NO_CREDENTIALS = """No Harvest credentials found.
  1. Make a personal access token at https://id.getharvest.com/developers
  2. Put it and the account id beside it into .dlt/secrets.toml:
       [sources.harvest]
       api_key = "your token"
       account_id = "your account id"
  No token yet? See it work on a local sandbox account: python harvest_pipeline.py --demo"""

EPILOG = """examples:
  python harvest_pipeline.py                            everything that the token may read
  python harvest_pipeline.py time_entries projects      two tables
  python harvest_pipeline.py --anchor-date 2020-01-01   history since 2020
  python harvest_pipeline.py --full                     find what was deleted in Harvest, now
  python harvest_pipeline.py --demo                     a local sandbox account, no token needed

Settings and credentials stand in .dlt/config.toml and .dlt/secrets.toml, see the README."""


def run(*tables: str, demo: bool = False, full_refresh: bool = False, **settings: Any) -> None:
    """Load the named tables, or all, and print what arrived.

    The destination is one word here; its credentials stand in .dlt/secrets.toml.
    """
    pipeline = dlt.pipeline(
        # A pipeline of its own: neither data nor cursors of the demo may meet a real account.
        pipeline_name="harvest_demo" if demo else "harvest",
        destination="duckdb",
        dataset_name="harvest_data",
        progress=LogCollector(log_period=5, dump_system_stats=False),
    )

    def source(**more: Any) -> Any:
        everything = harvest_source(**settings, **more)
        return everything.with_resources(*tables) if tables else everything

    report(pipeline, load(pipeline, source, full_refresh=full_refresh))


def load_everything() -> None:
    """Load the whole account."""
    run()


def load_time() -> None:
    """Load time entries and projects."""
    run("time_entries", "projects")


def load_invoices() -> None:
    """Load invoices with messages and payments, and expenses."""
    run("invoices", "invoice_messages", "invoice_payments", "expenses")


def load_demo(*tables: str, **options: Any) -> None:
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
        run(*tables, demo=True, **{**options, **here})


def report(pipeline: dlt.Pipeline, summary: Summary) -> None:
    """Print what a run brought, and where it is."""
    print(f"\n{'table':<32}{'rows loaded':>12}{'rows now':>12}")
    for table, (loaded, now) in summary.tables.items():
        print(f"{table:<32}{loaded:>12,}{now:>12,}")
    for table, reason in summary.skipped.items():
        print(f"{table:<32}left out: {reason}")
    for notice in summary.notices:
        print(f"\nNote: {notice}")
    with pipeline.destination_client() as client:
        where = str(client.config)
    print(f"\nIn {where}, dataset {pipeline.dataset_name}.")


def list_tables() -> None:
    """Print each table with its mode and parent."""
    print(f"{'table':<28}parent")
    for endpoint in ENDPOINTS:
        print(f"{endpoint.name:<28}{endpoint.parent or ''}".rstrip())


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description="Load a Harvest account into a database. The first run brings everything,\n"
        "later runs what changed; run it as often as you like.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("tables", nargs="*", metavar="TABLE", help="tables to load; default: all")
    add("--list", action="store_true", help="list the tables and stop")
    add("--anchor-date", metavar="DATE", help="how far back to read history, e.g. 2024-01-01; "
        "default: one year before the first run")  # fmt: skip
    add("--full", dest="full_read", action="store_true",
        help="list everything in scope again: finds deletions and mends what is stale")  # fmt: skip
    add("--confirm-deletions", action="store_true",
        help="accept that most rows of a table are gone, or that the token sees less")  # fmt: skip
    add("--full-refresh", action="store_true", help="drop the tables and read all anew")
    add("--demo", action="store_true", help="use a local sandbox account")
    return parser


def main() -> None:
    """Read the command line and load; every failure ends with one line and its exit code."""
    parser = arguments()
    args = parser.parse_args()
    if args.list:
        list_tables()
        return
    if unknown := set(args.tables) - {endpoint.name for endpoint in ENDPOINTS}:
        parser.error(f"no such table: {', '.join(sorted(unknown))}; --list shows all")
    names = ("anchor_date", "full_read", "confirm_deletions", "full_refresh")
    options = {name: value for name in names if (value := getattr(args, name))}
    start = load_demo if args.demo else run
    try:
        start(*args.tables, **options)
    except ConfigFieldMissingException as error:
        sys.exit(NO_CREDENTIALS if error.spec_name.startswith("Harvest") else str(error))
    except (HarvestError, ConfigurationException) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Interrupted. Nothing is lost: run again to go on.", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # threads that still wait for an answer must not hold the exit


if __name__ == "__main__":
    main()
