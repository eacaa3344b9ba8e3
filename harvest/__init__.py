"""Harvest: time entries, projects, people, expenses, invoices and estimates from its API v2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common.typing import TSecretValue
from dlt.extract import DltResource

from .api.oauth import Unlisted
from .catalog import ENDPOINTS
from .configured import accounts_read
from .errors import HarvestError
from .extract.context import Accounts
from .extract.resources import (
    child_table,
    list_reader,
    list_table,
    report_reader,
    report_table,
    singleton_table,
)
from .recover import watch_runs
from .settings import BASE_URL, RATE_LIMIT, USER_AGENT, Settings, Sizes

__all__ = ["ENDPOINTS", "HarvestError", "harvest_source"]


@dlt.source(name="harvest")
def harvest_source(
    api_key: TSecretValue | None = dlt.secrets.value,
    account_id: Any | None = dlt.secrets.value,
    anchor_date: str | None = None,
    base_url: str = BASE_URL,
    user_agent: str = USER_AGENT,
    rate_limit: int = RATE_LIMIT,
    *,
    deletions: str = Settings.deletions,
    children: str = Settings.children,
    full_read: bool = Settings.full_read,
    full_read_hours: float = Settings.full_read_hours,
    confirm_deletions: bool = Settings.confirm_deletions,
    in_batches: bool = Settings.in_batches,
    next_batch: bool = Settings.next_batch,
    keep_going: bool = Settings.keep_going,
    public_links: bool = Settings.public_links,
    reports: bool = Settings.reports,
    report_period: str = Settings.report_period,
    report_lookback: int = Settings.report_lookback,
    report_fixed_fee: bool = Settings.report_fixed_fee,
    verify_full_reads: bool = Settings.verify_full_reads,
    clients: Any | None = None,
    projects: Any | None = None,
    users: Any | None = None,
    history: Any | None = None,
    client_id: str | None = None,
    client_secret: Unlisted = "",
    refresh_token: Unlisted = "",
    token_file: str | None = None,
    id_url: str | None = None,
    only_account: int | None = None,
    sizes: Sizes | None = None,
) -> Iterator[DltResource]:
    """Read a Harvest account, or several, as https://help.getharvest.com/api-v2/ documents it.

    - Each endpoint is a resource and a table of its name; select with `with_resources`.
    - Rows are merged on `_account_id` and their ids. The first run reads all in scope, a later one
      what changed since.
    - `company`, `roles` and the children of records (messages, payments, rates, people's projects
      and teammates) are read whole on each run, and so are the lists of users, invoices and
      estimates that they belong to.
    - `anchor_date` bounds time entries, expenses, invoices and estimates, never reference data.
      It is kept in the pipeline's state: an earlier one later brings the missing history, a
      later one loses nothing.
    - Money, rates and hours are decimals, `*_at` are UTC timestamps, `*_date` are dates.

    Args:
        api_key: Personal access token, from https://id.getharvest.com/developers. An
            administrator's sees everything. For several accounts one token that reaches them all,
            or a list with one for each, in the order of `account_id`. Not with an application, see
            `client_id`.
        account_id: The Harvest account's number, from the same page. A list of numbers, a text
            with commas, or "all" for each Harvest account that the token reaches: all are loaded
            into the same tables, and `_account_id` tells their rows apart. "all" is asked for when
            the source is made.
        anchor_date: ISO 8601 date or datetime (UTC where it names no zone). History last changed
            before it is not read; "all" reads all of it. Default: one year before the first run.
        base_url: The API's address. Set it for a proxy or the sandbox.
        user_agent: Application and contact, sent to Harvest with each request.
        rate_limit: Requests in 15 s, and requests for reports in 15 minutes. Lower it when other
            tools share Harvest's limits of 100 each.
        deletions: What becomes of rows that Harvest no longer has: "remove" them, "flag" them with
            the time in `_deleted_at`, or "keep" them as they are.
        children: Read messages, payments and rates of all parents on each run ("complete"), of
            those that changed since the last run or differ from what the destination holds
            ("differing"), or of those only that changed ("changed").
        full_read: List everything in scope again in this run.
        full_read_hours: List everything in scope again when the last time is so long ago; 0 on
            each run, -1 only when asked by `full_read`. Of what is not read whole on each run,
            deletions are found only then.
        confirm_deletions: Accept that most rows of a table are gone, or that the token sees less
            than the one before it. Where there are several accounts, for `only_account`.
        in_batches: Bring a long history in several runs, newest first, each of which loads what it
            read. Run again while the state of the account's last run has `requests_left`.
            `harvest.run.load` does.
        next_batch: Go on with what the last run left, and start no further full read, whatever
            `children`, `full_read` and `full_read_hours` say. `harvest.run.load` does from its
            second batch on.
        keep_going: Load what can be read when a table or record can't, and note in the state of the
            account's last run what `failed`. `harvest.run.load` does, and reports it.
        public_links: Load `client_key` and `statement_key`. They are secrets: whoever has one opens
            the invoice or statement without a login.
        reports: Load the tables `report_*` too. Without it, only those that are named.
        report_period: How long a period of a report is: "month", "week" (from Monday) or "day".
        report_lookback: How many closed periods of a report each run reads again, beside the
            current one. Older ones are read again by `full_read` only.
        report_fixed_fee: Let reports of time hold what the hours of fixed-fee projects are worth at
            their rates. Without it Harvest counts them as 0.
        verify_full_reads: Compare what was loaded with Harvest's own reports after each full read.
            `harvest.run.load` does.
        clients: Load time entries and expenses of these clients only: their ids in Harvest, a list
            or a text with commas. No other table is limited. Empty: of all clients.
        projects: The same by projects. Not with `clients`.
        users: The same by people. Together with `clients` or `projects`: of these people on these.
        history: Tables of which each version that a run sees is kept, with its time and deletions,
            in `<table>_history`: a list, or a text with commas, such as "time_entries,invoices".
            All lists may be named: no children, reports or `company`.
        client_id: An application of your own, from the same page, that reads instead of a personal
            token. `dlt-harvest --authorize` walks through its first authorization.
        client_secret: Its secret.
        refresh_token: What an earlier authorization brought. Not needed where `token_file` has it.
        token_file: Where the application's tokens are kept, which Harvest may replace at any time:
            a place that lasts and is shared by all runs. Only its owner can read it. Default: a
            file in dlt's data directory.
        id_url: Harvest ID's address. Default: https://id.getharvest.com, or that of a `base_url`
            of your own.
        only_account: Of several accounts, read this one in this run. The others stay as they are.
        sizes: How much is read at once, for unusual accounts and tests.

    Yields:
        The resources, one for each endpoint.

    Raises:
        HarvestError: A setting is malformed, or Harvest could not be read; its text says which
            endpoint and what to do.
    """
    accounts = Accounts(accounts_read(**locals()))  # All arguments, and nothing else so far.
    settings = accounts.settings
    watch_runs(dlt.current.source_schema().name, owner=accounts)
    readers: dict[str, DltResource] = {}
    of_reports = report_reader(accounts)
    for endpoint in ENDPOINTS:
        if endpoint.singleton:
            yield singleton_table(accounts, endpoint, settings)
        elif endpoint.report:
            yield report_table(of_reports, endpoint, settings)
        elif endpoint.parent:
            yield child_table(readers[endpoint.parent], endpoint, settings)
        else:
            readers[endpoint.name] = list_reader(accounts, endpoint)
            yield list_table(readers[endpoint.name], endpoint, settings)
