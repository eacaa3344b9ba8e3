"""The command line: `dlt-harvest --help`, or `python harvest_pipeline.py --help`.

It lives here and not in the script, because a script that `dlt init` copied is the user's own and
is never renewed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import dlt
from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.runtime.collector import NullCollector
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration
from dlt.pipeline.progress import TSupportedCollectors

from . import ENDPOINTS, run
from .authorize import REDIRECT_PORT, authorize
from .check import check
from .dashboard import PORT, demand, export, has_metrics, serve
from .destination import name_there
from .errors import (
    AccountsError,
    ConfigurationError,
    DifferencesError,
    HarvestError,
    InternalError,
    MissingCredentialsError,
    PartialLoadError,
    UnverifiedError,
    UnwritableFolderError,
)
from .extract.focus import FILTERS
from .extract.plan import report_requests
from .metrics import CONNECTORS, METRICS, build, demand_dbt
from .notify import notifies
from .progress import display
from .settings import VERSION, Settings
from .summary import Summary
from .verify import MONTHS, SUBJECTS, Verification

NO_CREDENTIALS = """No Harvest credentials found.
  1. Make a personal access token at https://id.getharvest.com/developers
  2. Put it and the account id beside it into .dlt/secrets.toml:
       [sources.harvest]
       api_key = "your token"
       account_id = "your account id"
  Or read with an application: set client_id and client_secret there, then {program} --authorize
  No token yet? See it work on a local sandbox account: {program} --demo"""

DLT_CREDENTIALS = "https://dlthub.com/docs/general-usage/credentials/setup"

EPILOG = """examples:
  {program}                            everything that the token may read
  {program} time_entries projects      two tables
  {program} --anchor-date 2020-01-01   history since 2020; "all" for all of it
  {program} --full-read                find what was deleted in Harvest, now
  {program} --check                    what a run would read, and whether all is well
  {program} --verify                   whether what was loaded agrees with Harvest's reports
  {program} --demo                     a local sandbox account, no token needed
  {program} --dashboard                a page to look at, after a run with --metrics

exit codes:
  0    everything was loaded, or a check or verification found all well
  1    the run failed, or figures differ; one line on stderr says why, and the next run goes on
  2    the command line is wrong
  130  interrupted with Ctrl-C; the next run goes on

Settings and credentials stand in .dlt/config.toml and .dlt/secrets.toml. Each setting is
explained in docs/settings.md of the repository, and by `harvest_source` in harvest/__init__.py."""

OF_A_LOAD = {
    "tables": "TABLE",
    "anchor_date": "--anchor-date",
    "full_read": "--full-read",
    "only_account": "--account",
    "confirm_deletions": "--confirm-deletions",
    "refresh": "--refresh",
    "destination": "--destination",
    "dataset": "--dataset",
    "metrics": "--metrics",
    "like": "--like",
    "as_json": "--json",
    "demo": "--demo",
}
"""What says how to load, as it is called here and by the user."""

LOADS_NOTHING = {
    "check": {"anchor_date", "only_account", "demo"},
    "verify": {"only_account", "destination", "dataset", "as_json", "demo"},
    "dashboard": {"destination", "dataset", "demo"},
    "authorize": set[str](),
    "list": set[str](),
}
"""The commands that load nothing, and what each of them takes of `OF_A_LOAD`."""

BELONGS_TO = {
    "port": "dashboard",
    "export": "dashboard",
    "verify_by": "verify",
    "verify_months": "verify",
}
"""What says something of one command only."""

M_ARENA_MAX = -8  # as malloc.h has it

Warehouse = Callable[[], dlt.Pipeline]

DEMO_VARIABLES = {"exchange_rates": {"USD": "0.92"}}
"""Of the demo's metrics: some of its clients pay in dollars."""


def load_and_print(
    warehouse: Warehouse,
    *tables: str,
    as_json: bool = False,
    metrics: bool = False,
    like: str = "",
    variables: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Load the named tables, or all, and print what arrived, also where the rest could not be read.

    Args:
        warehouse: Makes the pipeline to load into.
        tables: What to load; everything if none is named.
        as_json: Print the summary as one line of JSON, and all else to stderr.
        metrics: Build the metrics from all that the dataset holds then.
        like: Build all tables under the names that this connector gives them.
        variables: For both, as `harvest.metrics.build` takes them.
        options: As `harvest.run.load` takes them, the arguments of `harvest_source` included.

    Raises:
        HarvestError: The run failed; its text is one line with cause and remedy.
    """
    pipeline, aside = _at_home(warehouse), sys.stderr if as_json else sys.stdout
    wanted = [METRICS] * metrics + [like] * bool(like)
    if wanted:
        notifies(demand_dbt)(pipeline, *wanted)
    if isinstance(pipeline.collector, NullCollector):  # the user asked for no display of dlt's
        pipeline.collector = display(aside)
    tell = partial(print, file=aside, flush=True)
    with redirect_stdout(aside):  # to which a display of dlt's and the user's own steps write
        summary, failed = _load(pipeline, *tables, tell=tell, **options)
    if wanted and failed:
        summary.notices.append(
            f"Left as they were: {', '.join(wanted)}. They are built only after a load without an "
            "error."
        )
    where, dataset = _where(pipeline), name_there(pipeline)
    place = {"in": where, "dataset": dataset}
    if not as_json:
        print(f"\n{summary}\n\nIn {where}, dataset {dataset}.")
    built = {}
    try:
        if wanted and not failed:
            built = build(pipeline, *wanted, tell=tell, variables=variables)
    finally:  # what was loaded is there, whatever becomes of what is built of it
        if as_json:
            print(json.dumps({**summary.as_dict(), **place, **built}))
    for what, name in built.items():
        said = "Metrics" if what == METRICS else f"Tables as {what.capitalize()} names them"
        tell(f"{said} in dataset {name}.")
    if failed:
        raise failed


def _where(pipeline: dlt.Pipeline) -> str:
    """Return where the destination is; a file as it can be pasted, not as an address has it."""
    config = pipeline.destination_client().config
    text = str(config)
    return unquote(text) if isinstance(config, DuckDbClientConfiguration) else text


def _load(
    pipeline: dlt.Pipeline, *tables: str, **options: Any
) -> tuple[Summary, HarvestError | None]:
    """Load; return what arrived, and the error of a load that did not end well all the same."""
    try:
        return run.load(pipeline, *tables, **options), None
    except (PartialLoadError, AccountsError, UnverifiedError, DifferencesError) as error:
        if not error.summary.tables:
            raise
        return error.summary, error


def verify_and_print(warehouse: Warehouse, *, as_json: bool = False, **options: Any) -> None:
    """Compare what was loaded with Harvest's reports, and print what agrees and what does not.

    Args:
        warehouse: Makes the pipeline that loaded it.
        as_json: Print the result of each account as one line of JSON, and all else to stderr.
        options: As `harvest.run.verify` takes them, the arguments of `harvest_source` included.

    Raises:
        HarvestError: Figures differ for no known reason, or nothing could be compared.
    """
    out, aside = sys.stdout, sys.stderr if as_json else sys.stdout
    tell = partial(print, file=aside, flush=True)

    def note(verification: Verification) -> None:
        if as_json:
            print(json.dumps(verification.as_dict()), file=out, flush=True)

    with redirect_stdout(aside):  # as for a load
        run.verify(_at_home(warehouse), tell=tell, note=note, **options)


def dashboard(
    warehouse: Warehouse,
    *,
    port: int | None = None,
    file: str | None = None,
    fill: Callable[[], object] | None = None,
) -> None:
    """Show what was loaded on a page, or write the page into a file.

    Args:
        warehouse: Makes the pipeline that loaded it.
        port: Where the page is served; `PORT` if it is omitted.
        file: Where the page is written to; it is served, if this is omitted.
        fill: Loads and builds the metrics where there are none; they are demanded otherwise.

    Raises:
        HarvestError: There are no metrics, or the page can't be shown.
    """
    demand()
    pipeline, tell = _at_home(warehouse), partial(print, flush=True)
    if fill and not has_metrics(pipeline):
        fill()
        pipeline = warehouse()
    if file:
        export(pipeline, file, tell=tell)
    else:
        serve(pipeline, port=PORT if port is None else port, tell=tell)
        sys.stdout.flush()
        os._exit(0)  # marimo's threads would wait for browsers that have the page open


def _at_home(warehouse: Warehouse) -> dlt.Pipeline:
    """Return the pipeline, its state and its local database both in the folder that it runs in.

    dlt remembers in the state where the pipeline was made. In a copy of that folder it would go on
    to fill the database of the original, and it fails once that is gone.

    Raises:
        ConfigurationError: The display that the user wants can't be shown.
        UnwritableFolderError: The state can't be kept where it should be.
    """
    _demand_display()
    try:
        pipeline, here = warehouse(), str(Path.cwd())
        state = Path(pipeline.pipelines_dir).resolve()
        if Path(here) not in state.parents:
            return pipeline  # the user keeps the state elsewhere
        if pipeline.get_local_state_val("initial_cwd") != here:
            pipeline.set_local_state_val("initial_cwd", here)
            pipeline = warehouse()
        state.mkdir(parents=True, exist_ok=True)
        (state / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        if error.filename is None:  # of something else, such as a library that is missing
            raise
        raise UnwritableFolderError(error) from error
    return pipeline


def _demand_display() -> None:
    """Make sure that dlt can show the display that the user wants, if any.

    Raises:
        ConfigurationError: dlt has no such display, or what draws it is not installed.
    """
    name: str | None = dlt.config.get("progress", str)
    known = get_args(TSupportedCollectors)
    if name is None:
        return
    if name not in known:
        raise ConfigurationError(
            "progress",
            f"(PROGRESS) is '{name}', which dlt does not know",
            f"choose {', '.join(known)}, or leave it out",
        )
    if name != "log" and not find_spec(name):
        raise ConfigurationError(
            "progress",
            f"(PROGRESS) is '{name}', which is not installed",
            f"install it by `pip install {name.replace('_', '-')}`, or leave the setting out",
        )


def in_demo(command: Callable[..., bool | None], *args: Any, **options: Any) -> bool | None:
    """Let a command read the account of the local sandbox."""
    try:
        from harvest_sandbox import Sandbox  # noqa: PLC0415 - dlt init does not copy it
    except ModuleNotFoundError as error:
        sys.exit(f"--demo needs the sandbox ({error}): run it in the connector's repository.")
    with Sandbox("story", rate_limit=None) as sandbox:
        here = {
            "rate_limit": 100_000,  # a local server has none
            "api_key": sandbox.token,
            "account_id": str(sandbox.account_id),
            "base_url": sandbox.base_url,
            # An application that is configured reads the real account.
            "client_id": "",
            # Clients, projects and users that are configured are the real account's.
            **dict.fromkeys(FILTERS, ""),
        }
        return command(*args, **{"anchor_date": "all", **options, **here})


def _load_demo(program: str, *args: Any, **options: Any) -> None:
    """Load the demo's account, and say how to look at it."""
    in_demo(load_and_print, *args, variables=DEMO_VARIABLES, **options)
    if not options.get("as_json"):
        print(f"Look at it: {program} --demo --dashboard.")


def default_warehouse(name: str = "harvest") -> dlt.Pipeline:
    """Return the pipeline of the installed command; or another, into a dataset of its own."""
    return dlt.pipeline(
        pipeline_name=name,
        pipelines_dir=".dlt/pipelines",
        destination="duckdb",
        dataset_name=f"{name}_data",
    )


def _redirected(warehouse: Warehouse, destination: str | None, dataset: str | None) -> Warehouse:
    """Return what makes the same pipeline into another destination or dataset.

    Its state stands apart, because it says what that destination holds.
    """
    if not destination and not dataset:
        return warehouse

    def make() -> dlt.Pipeline:
        usual = warehouse()
        names = destination or usual.destination.destination_name, dataset or usual.dataset_name
        return dlt.pipeline(
            pipeline_name=usual.pipeline_name,
            pipelines_dir=str(Path(usual.pipelines_dir, "-".join(names))),
            destination=destination or usual.destination,
            dataset_name=dataset or usual.dataset_name,
        )

    return make


def list_tables() -> None:
    """Print each table with its parent, and what those cost that are loaded on request only."""
    print(f"{'table':<28}parent")
    for endpoint in ENDPOINTS:
        if not endpoint.report:
            print(f"{endpoint.name:<28}{endpoint.parent or ''}".rstrip())
    print(f"\n{'on request, or by reports = true':<36}requests for a year, and in later runs")
    for name, (first, later) in report_requests(Settings()).items():
        print(f"{name:<36}{first}, {later}")
    print("\nHarvest allows 100 requests for reports in 15 minutes; nothing else waits for them.")


def arguments(program: str) -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog=program.removeprefix("python "),
        description="Load a Harvest account into a database. The first run brings a year of\n"
        "history, or all of it by --anchor-date; later runs bring what changed.\n"
        "Run it as often as you like.",
        epilog=EPILOG.format(program=program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, add_command = parser.add_argument, parser.add_mutually_exclusive_group().add_argument
    add("tables", nargs="*", metavar="TABLE", help="tables to load; default: all but reports")
    add_command("--list", action="store_true", help="list the tables and stop")
    add("--anchor-date", type=_given, metavar="DATE",
        help="how far back to read history, e.g. 2024-01-01, or "
        '"all"; default: one year before the first run')  # fmt: skip
    add("--full-read", action="store_true",
        help="list everything in scope again: finds deletions and mends what is stale")  # fmt: skip
    add("--account", type=_given, metavar="ID", dest="only_account",
        help="of several accounts, load this one only")  # fmt: skip
    add("--confirm-deletions", action="store_true",
        help="accept that most rows of a table are gone, or that the token sees less")  # fmt: skip
    add("--refresh", action="store_true",
        help="drop the tables of this run, and nothing else, and read them anew")  # fmt: skip
    add("--destination", type=_given, metavar="NAME",
        help="another of dlt's destinations, e.g. postgres")  # fmt: skip
    add("--dataset", type=_given, metavar="NAME", help="another dataset (schema) there")
    add("--metrics", action="store_true",
        help="build metrics of what is loaded: hours, utilization, profit, ...")  # fmt: skip
    add("--like", choices=CONNECTORS, metavar="NAME",
        help="build tables of what is loaded under the names that another connector gives them: "
        f"{', '.join(CONNECTORS)}")  # fmt: skip
    add_command("--dashboard", action="store_true",
        help="load nothing: show the metrics on a page that this machine alone can open; with "
        "--demo, load first what is not there")  # fmt: skip
    add("--port", type=_port, metavar="N", help=f"of the dashboard, default {PORT}; 0: any")
    add("--export", type=_given, metavar="FILE",
        help="write the dashboard as one HTML file, to send, in place of serving it")  # fmt: skip
    add("--json", action="store_true", dest="as_json",
        help="print the summary, or each account's verification, as one line of JSON, and all else "
        "to stderr")  # fmt: skip
    add("--demo", action="store_true",
        help="use a local sandbox account, and a dataset of its own")  # fmt: skip
    add_command("--check", action="store_true",
        help="load nothing: say what the token reaches, what a first run takes, and whether "
        "Harvest is as expected")  # fmt: skip
    add_command("--verify", action="store_true",
        help="load nothing: compare what was loaded with Harvest's own reports")  # fmt: skip
    add("--verify-by", choices=list(SUBJECTS), metavar="WHAT",
        help="compare time and expenses by client (default), project or person")  # fmt: skip
    add("--verify-months", type=int, metavar="N",
        help=f"compare so many of the newest months one by one, default {MONTHS}; of those before, "
        "whole years, and their months where these differ")  # fmt: skip
    add_command("--authorize", type=_port, nargs="?", const=REDIRECT_PORT, metavar="PORT",
        help="let an application of yours read Harvest (OAuth2) and stop; default port: "
        f"{REDIRECT_PORT}")  # fmt: skip
    add("--version", action="version", version=f"dlt-harvest {VERSION}")
    return parser


def main(warehouse: Warehouse = default_warehouse) -> None:
    """Read the command line and load; every failure ends with one line and its exit code.

    Args:
        warehouse: Makes the pipeline to load into.
    """
    script = Path(sys.argv[0]).name
    program = f"python {script}" if script.endswith(".py") else script
    parser = arguments(program)
    args = parser.parse_args()
    for table in args.tables:
        _check_table(parser, table)
    _check_options(parser, args)
    _share_heaps()
    try:
        if _command(args, warehouse, program)() is False:
            raise SystemExit(1)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads the output wants no more of it, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at its end
        if not args.list:
            sys.exit("Nobody reads the output any more, so it ended early; run again to go on.")
    except UnknownDestinationModule as error:
        name = args.destination or error.ref
        parser.error(f"no such destination: {name}; dlt's documentation lists all")
    except (MissingCredentialsError, ConfigFieldMissingException) as error:
        sys.exit(_missing(error, program))
    except (HarvestError, ConfigurationException) as error:
        _print_traces(error)
        sys.exit(str(error))
    except KeyboardInterrupt:
        print("Interrupted. Nothing is lost: run again to go on.", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # threads that still wait for an answer must not hold the exit


def _share_heaps() -> None:
    """Let all threads share two heaps, where glibc would give each its own and keep what it freed.

    400,000 time entries took 809 MB at their peak without this, and 658 MB with it. It holds for
    the whole process, so only a process of our own is changed.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _command(
    args: argparse.Namespace, warehouse: Warehouse, program: str
) -> Callable[[], bool | None]:
    """Return what the command line asks for. What it returns is False if all is not well."""
    tell = partial(print, flush=True)
    if args.list:
        return list_tables
    if args.authorize is not None:
        return partial(authorize, args.authorize, tell)
    names = (
        "anchor_date", "full_read", "confirm_deletions", "refresh", "as_json", "only_account",
        "metrics", "like",
    )  # fmt: skip
    options = {name: value for name in names if (value := getattr(args, name))}
    if args.check:
        look = partial(in_demo, check) if args.demo else check
        return partial(look, tell, **options)
    # The demo has a pipeline and a dataset of its own: neither its state, nor its data, nor what is
    # built of them meet a real account, also where both are in one database.
    usual = partial(default_warehouse, "harvest_demo") if args.demo else warehouse
    chosen = _redirected(usual, args.destination, args.dataset)
    if args.verify:
        compare = partial(in_demo, verify_and_print) if args.demo else verify_and_print
        how = {"by": args.verify_by, "months": args.verify_months}
        given = {name: value for name, value in how.items() if value is not None}
        return partial(compare, chosen, **given, **options)
    if args.dashboard:
        fill = (
            partial(in_demo, load_and_print, chosen, metrics=True, variables=DEMO_VARIABLES)
            if args.demo
            else None
        )
        return partial(dashboard, chosen, port=args.port, file=args.export, fill=fill)
    start = partial(_load_demo, program) if args.demo else load_and_print
    return partial(start, chosen, *args.tables, **options)


def _missing(error: MissingCredentialsError | ConfigFieldMissingException, program: str) -> str:
    """Say which credentials are missing, and where they belong."""
    ours = isinstance(error, MissingCredentialsError) or any(
        field.startswith("sources.harvest.") for field in error.fields
    )
    if ours:
        return NO_CREDENTIALS.format(program=program)
    missing = " ".join(line.strip() for line in str(error).splitlines()[:2])
    return f"{missing}: put them into .dlt/secrets.toml, see {DLT_CREDENTIALS}"


def _print_traces(error: Exception) -> None:
    """Print the traces of bugs."""
    errors = error.errors.values() if isinstance(error, AccountsError) else (error,)
    for one in errors:
        if isinstance(one, InternalError):
            traceback.print_exception(one.__cause__)


def _check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    for command, takes in LOADS_NOTHING.items():
        if getattr(args, command) is None or getattr(args, command) is False:  # 0 is a port
            continue
        for name, option in OF_A_LOAD.items():
            if getattr(args, name) and name not in takes:
                parser.error(f"{option} does not go with --{command}, which loads nothing")
    for name, command in BELONGS_TO.items():
        if getattr(args, name) is not None and not getattr(args, command):
            parser.error(f"--{name.replace('_', '-')} goes with --{command}")
    if args.demo and args.dataset:
        parser.error("--dataset does not go with --demo, which has a dataset of its own")
    if args.export and args.port is not None:
        parser.error("--port does not go with --export, which serves nothing")


def _given(text: str) -> str:
    """Refuse an empty value: it is most likely a variable of a script that was not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("its value is empty")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**16:
        msg = f"{text} is no port: give a number from 0 to 65535"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _check_table(parser: argparse.ArgumentParser, table: str) -> None:
    known = [endpoint.name for endpoint in ENDPOINTS]
    if table in known:
        return
    near = get_close_matches(table.lower().replace("-", "_"), known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "--list shows all"
    parser.error(f"no such table: {table}; {hint}")
