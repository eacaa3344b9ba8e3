"""What can be chosen: each choice is checked once, and each default has its reason."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dlt
from dlt.common import logger
from dlt.common.time import ensure_datetime_in_tz

from .errors import ConfigurationError

VERSION = "1.0.0"

BASE_URL = "https://api.harvestapp.com/v2"

ID_URL = "https://id.getharvest.com"

RATE_LIMIT = 100
"""Requests that each of Harvest's budgets allows. Lower it when other tools share them."""

RATE_PERIOD = 15.02
"""Seconds in which the general budget allows `RATE_LIMIT` requests, counted from their answers on.
Harvest counts 15."""

REPORTS_PERIOD = 900.02
"""Seconds in which the budget of reports allows as many. Harvest counts 15 minutes."""

LONGEST_WAIT = 3600.0
"""Seconds that Harvest may ask to wait. Reports are refused for 15 minutes at most; a request that
must wait longer than an hour fails after its attempts, so that a run says why it stands still."""


WORKERS = 20
"""dlt's extraction workers, where the user sets no number: requests under way at once. A page of
2,000 records takes long to answer, so it takes many before the rate limit is what bounds a run."""


@dataclass(frozen=True)
class Sizes:
    """How much is asked for, tried and read at once. Tests pass smaller ones."""

    per_page: int = 2000
    """Records asked for in one page: the most that Harvest allows."""

    max_attempts: int = 5
    """How often one request is tried before the run fails, and how often a list that changed while
    it was read is read again."""

    connections: int = 40
    """Connections kept open: those of dlt's workers, and those of lists read in several windows."""

    parallel_windows: int = 20
    """Windows of dates of one list that are read side by side. At 2 s for a page of 2,000 records,
    pages read one after the other would use a fifteenth of the rate limit. Each takes some
    14 MB."""

    window_records: int = 4_000
    """Records that such a window holds at least: each must be worth its last page, which may be
    nearly empty."""

    first_batch_requests: int = 200
    """Requests for children of one kind that the first batch may take, so that it is of use within
    a minute; where there are more, they wait for the next batch."""

    batch_records: int = 400_000
    """Records of a list by date in each batch, newest first: less than a minute at the rate limit,
    which is what an interruption costs. Each begins with one page alone and ends by waiting for the
    last one, so smaller ones leave the limit unused."""

    batch_requests: int = 2_000
    """Requests for children of one kind in each further batch: 5 minutes at the rate limit, which
    is what an interruption costs."""

    keys_at_once: int = 200_000
    """Keys of a list that the destination is asked for at once, to see which are gone: some 20 MB.
    A database without an index on ids walks through the whole table for each such piece."""

    report_requests: int = 100
    """Requests for reports in each batch, all reports together: what Harvest allows in 15 minutes,
    which is what an interruption costs."""


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

DUCKDB_MEMORY = "200MB"
"""What DuckDB may hold in our process before it uses the disk. By default it takes what it finds:
merging 400,000 time entries took 300 MB more, and 2,000,000 rows as wide 1.8 GB more."""

DEFAULT_HISTORY = timedelta(days=365)
"""How far back history is read where no anchor was ever given."""

EVERYTHING = datetime(1, 1, 1, tzinfo=timezone.utc)
"""The anchor that leaves nothing out: `anchor_date = "all"`."""

DELETIONS = ("remove", "flag", "keep")
CHILDREN = ("complete", "differing", "changed")
PERIODS = ("month", "week", "day")

REPORT_LOOKBACK = 3
"""Closed periods of a report that each run reads again, since old entries change: three months by
default, for three requests of each report."""

LONGEST_REPORT = 365
"""Days that one request for a report may span, both ends included."""

USER_AGENT = "dlt-harvest (https://dlthub.com/docs)"
"""Harvest demands an application and a contact; set your own, so that it can reach you."""


@dataclass(frozen=True)
class Settings:
    """What the user chose of what is read and what follows from it, checked.

    The arguments are those of `harvest_source`, which explains them. They are named in both, as dlt
    looks up typed arguments of a source only, and what these bring must be checked: DECISIONS.md.

    Raises:
        ConfigurationError: A setting is none of its choices.
    """

    account_ids: tuple[int, ...] = ()
    only_account: int | None = None
    anchor_date: datetime | None = None
    deletions: str = "remove"
    children: str = "complete"
    full_read: bool = False
    full_read_hours: float = FULL_READ_HOURS
    confirm_deletions: bool = False
    in_batches: bool = False
    next_batch: bool = False
    keep_going: bool = False
    public_links: bool = True
    reports: bool = False
    report_period: str = "month"
    report_lookback: int = REPORT_LOOKBACK
    report_fixed_fee: bool = False
    verify_full_reads: bool = False
    clients: tuple[int, ...] = ()
    projects: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    history: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is none of a setting's choices."""
        one_of("deletions", self.deletions, DELETIONS)
        one_of("children", self.children, CHILDREN)
        one_of("report_period", self.report_period, PERIODS)
        if self.report_lookback < 0:
            remedy = f"give the number of closed periods to read again, such as {REPORT_LOOKBACK}"
            raise ConfigurationError("report_lookback", f"is {self.report_lookback}", remedy)
        if not self.accounts_read and self.account_ids:
            remedy = f"choose one of {', '.join(map(str, self.account_ids))}"
            raise ConfigurationError("only_account", "is none of the accounts", remedy)
        if self.confirm_deletions and len(self.accounts_read) > 1:
            remedy = "say which, by `only_account` (--account)"
            raise ConfigurationError("confirm_deletions", "holds for one account", remedy)
        if self.clients and self.projects:
            remedy = "name projects, or clients for all projects of theirs"
            raise ConfigurationError("projects", "and `clients` are both set", remedy)
        if self.focus and len(self.accounts_read) > 1:
            remedy = "say of which account these ids are, by `only_account` (--account)"
            raise ConfigurationError(next(iter(self.focus)), "holds for one account", remedy)

    @property
    def focus(self) -> dict[str, list[int]]:
        """The clients, projects and users that some tables are limited to, by setting."""
        named = {"clients": self.clients, "projects": self.projects, "users": self.users}
        return {name: list(ids) for name, ids in named.items() if ids}

    @property
    def accounts_read(self) -> tuple[int, ...]:
        """The accounts that a run reads, of those that are configured."""
        only = self.only_account
        return tuple(i for i in self.account_ids if only is None or str(i) == str(only))


def data_folder() -> Path:
    """Return our folder among those in which dlt keeps data of this machine's user."""
    return Path(dlt.current.run_context().data_dir) / "harvest"


def default_anchor(now: datetime) -> datetime:
    """Return how far back history is read where no anchor was ever given (UTC).

    Args:
        now: The time by Harvest's clock (UTC).
    """
    return now.replace(hour=0, minute=0, second=0, microsecond=0) - DEFAULT_HISTORY


def anchor(text: Any) -> datetime | None:
    """Return the moment (UTC) of an `anchor_date`; None where there is none.

    Raises:
        ConfigurationError: It is neither a date nor "all".
    """
    if text is None:
        return None
    if text == "all":
        return EVERYTHING
    try:
        return ensure_datetime_in_tz(text, timezone.utc)
    except (ValueError, TypeError):
        raise ConfigurationError(
            "anchor_date",
            f"is {text!r}",
            'give an ISO 8601 date, such as 2024-01-01, or "all" for everything',
        ) from None


def one_of(setting: str, value: str, known: Collection[str]) -> None:
    """Refuse what is none of a setting's choices.

    Raises:
        ConfigurationError: It is none.
    """
    if value not in known:
        raise ConfigurationError(setting, f"is {value!r}", f"choose one of {', '.join(known)}")


SPACES = r"\s\u00ad\u200b-\u200f\u2060\ufeff"
"""Spaces, line breaks and characters that do not show, which copying leaves in a setting."""

QUOTES = r"\"'`\u00b4\u00ab\u00bb\u2018-\u201f\u2039\u203a"
"""Quotes, typographic ones included, which copying leaves around a setting."""

BRACKETS = re.compile(r"^\s*\[|\]\s*$")

LOCAL_NAMES = (".local", ".localhost", ".internal", ".lan", ".test")


def pasted(text: str) -> str:
    """Return a setting without what copying left around it."""
    return re.sub(f"^[{SPACES}{QUOTES}]+|[{SPACES}{QUOTES}]+$", "", text)


def parts_of(setting: Any) -> list[str]:
    """Return the parts of a setting: a list, or a text with commas, also in brackets as in JSON."""
    if isinstance(setting, Iterable) and not isinstance(setting, str):
        return [part for item in setting for part in parts_of(item)] or [""]
    parts = BRACKETS.sub("", str(setting)).split(",")
    return parts if len(parts) == 1 or pasted(parts[-1]) else parts[:-1]


def checked_ids(setting: str, given: Any) -> tuple[int, ...]:
    """Return the ids that a setting names, each once and in order; none where it is empty.

    Raises:
        ConfigurationError: It names something else.
    """
    texts = [] if given is None else [pasted(text) for text in parts_of(given)]
    if texts == [""]:
        return ()
    for text in texts:
        if not re.fullmatch("[0-9]{1,18}", text):
            remedy = "give Harvest's ids, such as 1234567, or [1234567, 2345678]"
            raise ConfigurationError(setting, f"names {text!r}, which is no id", remedy)
    return tuple(sorted({int(text) for text in texts}))


def checked_base_url(text: str, setting: str = "base_url", usual: str = BASE_URL) -> str:
    """Return an address without what copying left around it, and without a slash at its end.

    Args:
        text: The setting.
        setting: Its name.
        usual: What it is without a proxy.

    Raises:
        ConfigurationError: It is no address that a token may be sent to.
    """
    url = pasted(text).rstrip("/")
    remedy = f"write it like {usual}"
    if "://" not in url:
        raise ConfigurationError(setting, "does not begin with https://", remedy)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or re.search(r"\s", url):
        raise ConfigurationError(setting, "is no web address", remedy)
    if parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError(setting, "holds more than an address and a path", remedy)
    if parts.scheme == "http" and not _is_near(host):
        if host.endswith(("harvestapp.com", "getharvest.com")):
            raise ConfigurationError(setting, "is not encrypted", remedy)
        logger.warning(f"`{setting}` is not encrypted: the token can be read on its way to {host}.")
    return url


def checked_id_url(text: str | None, base_url: str) -> str:
    """Return Harvest ID's address, without a slash at its end.

    Args:
        text: The setting; None for the one that goes with `base_url`.
        base_url: The API's address, checked. A proxy, or the sandbox, stands for both, since a
            token must not be sent past it.

    Raises:
        ConfigurationError: It is no address that a token may be sent to.
    """
    if text is not None:
        return checked_base_url(text, "id_url", ID_URL)
    parts = urlsplit(base_url)
    usual = parts.hostname == urlsplit(BASE_URL).hostname
    return ID_URL if usual else f"{parts.scheme}://{parts.netloc}"


def checked_user_agent(text: str) -> str:
    """Return application and contact on one line.

    Raises:
        ConfigurationError: It is empty, or no header can hold it.
    """
    agent = " ".join(pasted(text).split())
    if not agent:
        raise ConfigurationError("user_agent", "is empty", "give an application and a contact")
    if not re.fullmatch(r"[\x20-\x7e\xa1-\xff]+", agent):
        remedy = "leave out emoji and other characters that are not Western European"
        raise ConfigurationError("user_agent", "holds characters that no header can", remedy)
    return agent


def checked_rate_limit(requests: int) -> int:
    """Return the number of requests that a budget allows.

    Raises:
        ConfigurationError: No request could ever be sent.
    """
    if type(requests) is not int or requests < 1:
        remedy = f"give a whole number from 1 to {RATE_LIMIT}"
        raise ConfigurationError("rate_limit", f"is {requests!r}", remedy)
    return requests


def _is_near(host: str) -> bool:
    """Whether a host is on this machine or in a private network, where proxies are."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(LOCAL_NAMES)
