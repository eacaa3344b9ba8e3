"""Defaults a user may want to change, each with its reason."""

from __future__ import annotations

VERSION = "0.1.0"

BASE_URL = "https://api.harvestapp.com/v2"

PER_PAGE = 2000
"""Records asked for in one page: the most that Harvest allows."""

RATE_LIMIT = 100
"""Requests in `RATE_PERIOD` seconds, as documented. Lower it when other tools share them."""

RATE_PERIOD = 15.02
"""Seconds, from a request's answer on. Harvest counts 15."""

MAX_ATTEMPTS = 5
"""How often one request is tried before the run fails."""

WORKERS = 20
"""Requests under way at once. Pages of 2,000 records answer slowly; the rate limit is the bound."""

CONNECTIONS = 40
"""Connections kept open: those of the workers, and those of lists read in several spans."""

CHAINS = 14
"""Windows of dates of one list that are read side by side: at 2 s for a page of 2,000 records, one
after the other would use a fifteenth of the rate limit. Each takes some 14 MB."""

CHAIN_RECORDS = 2_000
"""Records in such a window at least: each ends with a page that is half empty on average."""

FIRST_STEP_RECORDS, FIRST_STEP_REQUESTS = 20_000, 200
"""What the first of several steps brings, so that it is of use within a minute: the newest records
of a long list, and children where they cost no more requests."""

STEP_RECORDS, STEP_REQUESTS = 100_000, 2_000
"""Records of a list in a further step, and requests for children of one kind: 5 minutes at the rate
limit, which is what an interruption costs. More records would take more memory to load."""

FULL_READ_HOURS = 24.0
"""How old the last full read may be. A full read costs a request for each 2,000 records; what
changed without a stamp, or was deleted, is stale for so long at most."""

SUSPICIOUS_SHARE = 0.5
SUSPICIOUS_LEAST = 10
"""Deletions of more than this share of a table, and at least so many rows, must be confirmed."""

DECIMAL_PRECISION, DECIMAL_SCALE = 38, 9
"""Digits of a decimal column, and how many of them stand behind the point. A larger scale would let
the product of two columns, such as hours and rates, overflow in DuckDB."""

OVERLAP_SECONDS = 60
"""A stored cursor stays this far behind the start of the read, for rows that commit late."""

DUCKDB_MEMORY = "256MB"
"""What DuckDB may hold in our process before it uses the disk. By default it takes what it finds:
merging 400,000 time entries took 300 MB more, and 2,000,000 rows as wide 1.8 GB more."""

USER_AGENT = "dlt-harvest (https://dlthub.com/docs)"
"""Harvest demands an application and a contact; set your own, so that it can reach you."""
