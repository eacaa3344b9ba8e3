"""Harvest: time entries, projects, people, expenses, invoices and estimates from its API v2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dlt
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from .api.auth import PersonalToken
from .api.client import HarvestClient
from .api.rate_limit import limiters
from .catalog import ENDPOINTS
from .errors import HarvestError
from .extract.context import Account
from .extract.resources import child_table, list_reader, list_table, singleton_table
from .recover import recover_active
from .settings import (
    BASE_URL,
    RATE_LIMIT,
    USER_AGENT,
    Settings,
    Sizes,
    anchor,
    checked_base_url,
    checked_rate_limit,
    checked_user_agent,
)

__all__ = ["ENDPOINTS", "HarvestError", "harvest_source"]


@dlt.source(name="harvest")
def harvest_source(
    api_key: TSecretStrValue = dlt.secrets.value,
    account_id: str = dlt.secrets.value,
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
    keep_going: bool = Settings.keep_going,
    public_links: bool = Settings.public_links,
    sizes: Sizes | None = None,
) -> Iterator[DltResource]:
    """Read a Harvest account, as https://help.getharvest.com/api-v2/ documents it.

    - Each endpoint is a resource and a table of its name; select with `with_resources`.
    - Rows are merged on `_account_id` and their ids. The first run reads all in scope, a later one
      what changed since.
    - `company`, messages, payments and rates are read whole on each run, and so are the lists of
      users, invoices and estimates that they belong to.
    - `anchor_date` bounds time entries, expenses, invoices and estimates, never reference data.
      It is kept in the pipeline's state: an earlier one later brings the missing history, a
      later one loses nothing.
    - Money, rates and hours are decimals, `*_at` are UTC timestamps, `*_date` are dates.

    Args:
        api_key: Personal access token, from https://id.getharvest.com/developers. An
            administrator's sees everything.
        account_id: The Harvest account's number, from the same page.
        anchor_date: ISO 8601 date or datetime (UTC where it names no zone). History last changed
            before it is not read; "all" reads all of it. Default: one year before the first run.
        base_url: The API's address. Set it for a proxy or the sandbox.
        user_agent: Application and contact, sent to Harvest with each request.
        rate_limit: Requests in 15 s. Lower it when other tools share Harvest's limit of 100.
        deletions: What becomes of rows that Harvest no longer has: "remove" them, "flag" them with
            the time in `_deleted_at`, or "keep" them as they are.
        children: Read messages, payments and rates of all parents on each run ("complete"), of
            those that changed since the last run or differ from what the destination holds
            ("differing"), or of those only that changed ("changed").
        full_read: List everything in scope again in this run.
        full_read_hours: List everything in scope again when the last time is so long ago; 0 on
            each run, -1 only when asked by `full_read`. Only then deletions are found.
        confirm_deletions: Accept that most rows of a table are gone, or that the token sees less
            than the one before it.
        in_batches: Bring a long history in several runs, newest first, each of which loads what it
            read. Run again while the state of the account's last run has `requests_left`.
            `harvest.run.load` does.
        keep_going: Load what can be read when a table or record can't, and note in the state of the
            account's last run what `failed`. `harvest.run.load` does, and reports it.
        public_links: Load `client_key` and `statement_key`. They are secrets: whoever has one opens
            the invoice or statement without a login.
        sizes: How much is read at once, for unusual accounts and tests.

    Yields:
        The resources, one for each endpoint.

    Raises:
        HarvestError: A setting is malformed, or Harvest could not be read; its text says which
            endpoint and what to do.
    """
    sizes = sizes or Sizes()
    recover_active(dlt.current.source_schema().name)
    auth = PersonalToken(api_key, account_id)
    account = int(auth.account_id)
    settings = Settings(
        account_ids=(account,),
        anchor_date=anchor(anchor_date),
        deletions=deletions,
        children=children,
        full_read=full_read,
        full_read_hours=full_read_hours,
        confirm_deletions=confirm_deletions,
        in_batches=in_batches,
        keep_going=keep_going,
        public_links=public_links,
    )
    client = HarvestClient(
        checked_base_url(base_url),
        auth,
        checked_user_agent(user_agent),
        limiters(
            checked_rate_limit(rate_limit),
            Path(dlt.current.run_context().data_dir) / "harvest" / auth.account_id,
        ),
        sizes,
    )
    accounts = [Account(account, client, settings, sizes)]
    readers: dict[str, DltResource] = {}
    for endpoint in ENDPOINTS:
        if endpoint.singleton:
            yield singleton_table(accounts, endpoint, settings)
        elif endpoint.parent:
            yield child_table(readers[endpoint.parent], endpoint, settings)
        else:
            readers[endpoint.name] = list_reader(accounts, endpoint)
            yield list_table(readers[endpoint.name], endpoint, settings)
