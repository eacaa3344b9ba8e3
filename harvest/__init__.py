"""Harvest: time entries, projects, people, expenses, invoices and estimates from its API v2."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import dlt
from dlt.common.time import ensure_datetime_in_tz
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from .client import HarvestClient
from .endpoints import ENDPOINTS
from .errors import ConfigurationError, HarvestError
from .resources import children, listing, parent_feed, single
from .settings import BASE_URL, RATE_LIMIT, USER_AGENT, WORKERS

__all__ = ["ENDPOINTS", "HarvestError", "harvest_source"]


@dlt.source(name="harvest")
def harvest_source(
    api_key: TSecretStrValue = dlt.secrets.value,
    account_id: str = dlt.secrets.value,
    anchor_date: str | None = None,
    base_url: str = BASE_URL,
    user_agent: str = USER_AGENT,
    rate_limit: int = RATE_LIMIT,
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
            before it is not read. Default: one year before the first run.
        base_url: The API's address. Set it for a proxy or the sandbox.
        user_agent: Application and contact, sent to Harvest with each request.
        rate_limit: Requests in 15 s. Lower it when other tools share Harvest's limit of 100.

    Yields:
        The resources, one for each endpoint.

    Raises:
        HarvestError: A setting is malformed, or Harvest could not be read; its text says which
            endpoint and what to do.
    """
    configured = _anchor(anchor_date)
    # dlt's five workers can't use up Harvest's limit; a user's own setting stands.
    if dlt.config.get("sources.harvest.extract.workers") is None:
        dlt.config["sources.harvest.extract.workers"] = WORKERS

    def anchor_of() -> datetime:
        """Return the earliest anchor that this pipeline was ever given."""
        state = dlt.current.source_state()
        kept = state.get("anchor_date")
        known = ensure_datetime_in_tz(kept, timezone.utc) if kept else None
        anchor = min(filter(None, (configured, known)), default=_one_year_ago())
        state["anchor_date"] = anchor.isoformat()
        return anchor

    client = HarvestClient(base_url, api_key, str(account_id), user_agent, rate_limit)
    feeds = {
        endpoint.name: parent_feed(client, endpoint, anchor_of)
        for endpoint in ENDPOINTS
        if endpoint.name in {child.parent for child in ENDPOINTS}
    }
    for endpoint in ENDPOINTS:
        if endpoint.parent:
            yield children(client, endpoint, feeds[endpoint.parent])
        elif endpoint.single:
            yield single(client, endpoint)
        else:
            yield listing(client, endpoint, anchor_of)


def _anchor(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return ensure_datetime_in_tz(text, timezone.utc)
    except (ValueError, TypeError):
        raise ConfigurationError(
            "anchor_date", f"is {text!r}", "give an ISO 8601 date, such as 2024-01-01"
        ) from None


def _one_year_ago() -> datetime:
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=365)
