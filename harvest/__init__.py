"""Harvest: time entries, projects, people, expenses, invoices and estimates from its API v2."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import dlt
from dlt.common.time import ensure_datetime_in_tz
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from .account import Account, Options
from .client import HarvestClient
from .endpoints import ENDPOINTS
from .errors import ConfigurationError, HarvestError
from .feed import Feed
from .resources import child_table, list_table, single
from .settings import BASE_URL, FULL_READ_HOURS, RATE_LIMIT, USER_AGENT

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
    deletions: str = "remove",
    children: str = "complete",
    full_read: bool = False,
    full_read_hours: float = FULL_READ_HOURS,
    confirm_deletions: bool = False,
    in_steps: bool = False,
) -> Iterator[DltResource]:
    """Read a Harvest account, as https://help.getharvest.com/api-v2/ documents it.

    - Each endpoint is a resource and a table of its name; select with `with_resources`.
    - Lists are merged on `id`. The first run reads all in scope, a later one what changed since.
    - `company`, messages, payments and rates are read whole and replaced on each run.
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
        children: Read messages, payments and rates of all parents on each run ("complete"), or of
            those only that changed since the last ("changed").
        full_read: List everything in scope again in this run.
        full_read_hours: List everything in scope again when the last time is so long ago; 0 on
            each run, -1 only when asked by `full_read`. Only then deletions are found.
        confirm_deletions: Accept that most rows of a table are gone, or that the token sees less
            than the one before it.
        in_steps: Bring a long history in several runs, newest first, each of which loads what it
            read; run again while the source's state has `left`. `harvest.run.load` does.

    Yields:
        The resources, one for each endpoint.

    Raises:
        HarvestError: A setting is malformed, or Harvest could not be read; its text says which
            endpoint and what to do.
    """
    configured = _anchor(anchor_date)
    options = Options(
        deletions=_one_of("deletions", deletions, ("remove", "flag", "keep")),
        children=_one_of("children", children, ("complete", "changed")),
        full_read=full_read,
        full_read_hours=full_read_hours,
        confirm_deletions=confirm_deletions,
        in_steps=in_steps,
    )

    def anchor_of() -> datetime:
        """Return the earliest anchor that this pipeline was ever given."""
        state = dlt.current.source_state()
        kept = state.get("anchor_date")
        known = ensure_datetime_in_tz(kept, timezone.utc) if kept else None
        anchor = min(filter(None, (configured, known)), default=_one_year_ago())
        state["anchor_date"] = anchor.isoformat()
        return anchor

    client = HarvestClient(base_url, api_key, str(account_id), user_agent, rate_limit)
    account = Account(client, options)
    lists: dict[str, tuple[Feed, DltResource]] = {}
    for endpoint in ENDPOINTS:
        if endpoint.single:
            yield single(account, endpoint)
        elif endpoint.parent:
            yield child_table(*lists[endpoint.parent], endpoint)
        else:
            feed = Feed(account, endpoint, anchor_of)
            lists[endpoint.name] = feed, list_table(feed)
            yield lists[endpoint.name][1]


def _anchor(text: str | None) -> datetime | None:
    if text is None:
        return None
    if text == "all":
        return datetime(1970, 1, 1, tzinfo=timezone.utc)
    try:
        return ensure_datetime_in_tz(text, timezone.utc)
    except (ValueError, TypeError):
        raise ConfigurationError(
            "anchor_date", f"is {text!r}", "give an ISO 8601 date, such as 2024-01-01, or all"
        ) from None


def _one_of(setting: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigurationError(setting, f"is {value!r}", f"choose one of {', '.join(known)}")
    return value


def _one_year_ago() -> datetime:
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=365)
