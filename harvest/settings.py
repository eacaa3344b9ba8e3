"""Defaults a user may want to change, each with its reason."""

from __future__ import annotations

BASE_URL = "https://api.harvestapp.com/v2"

PER_PAGE = 2000
"""Records asked for in one page: the most that Harvest allows."""

RATE_LIMIT = 100
"""Requests in `RATE_PERIOD` seconds, as documented. Lower it when other tools share them."""

RATE_PERIOD = 15.3
"""Seconds. Harvest counts 15; the margin pays for the time a request is under way."""

MAX_ATTEMPTS = 5
"""How often one request is tried before the run fails."""

WORKERS = 20
"""Requests under way at once. Pages of 2,000 records answer slowly; the rate limit is the bound."""

OVERLAP_SECONDS = 60
"""A stored cursor stays this far behind the start of the read, for rows that commit late."""

USER_AGENT = "dlt-harvest (https://dlthub.com/docs)"
"""Harvest demands an application and a contact; set your own, so that it can reach you."""
