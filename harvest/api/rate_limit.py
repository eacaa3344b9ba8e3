"""Requests leave only as fast as Harvest allows, over all threads.

Harvest keeps two budgets: 100 requests in 15 seconds in general, and 100 in 15 minutes for reports.
Each is a `RateLimiter` of its own, so a request waits for its own budget only, and so does what
Harvest says about it.
"""

from __future__ import annotations

from collections import deque
from email.utils import parsedate_to_datetime
from threading import Lock
from time import monotonic, sleep
from typing import Any, Literal

from dlt.common.runtime.signals import raise_if_signalled
from dlt.sources.helpers.requests import Client, Session
from requests import Response
from requests.adapters import HTTPAdapter

from ..settings import RATE_PERIOD, REPORTS_PERIOD
from .answers import moment_of

Budget = Literal["general", "reports"]


class RateLimiter:
    """Holds requests back so that Harvest never counts too many of them in a period.

    A request counts from the moment it is sent until a period after its answer, because Harvest saw
    it at some moment before the answer, however long it was on its way. Use as a context around
    the sending.

    Args:
        requests: How many may fall into one period.
        period: Seconds.
    """

    def __init__(self, requests: int, period: float = RATE_PERIOD) -> None:
        self.requests, self.period = requests, period
        self._answered: deque[float] = deque()
        self._under_way = 0
        self._paused_until = 0.0
        self._lock = Lock()

    def __enter__(self) -> None:
        """Wait until a request may be sent. The lock is not held while waiting."""
        while (seconds := self._take()) > 0:
            rest(seconds)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._under_way -= 1
            self._answered.append(monotonic())

    def _take(self) -> float:
        """Take a slot and return 0, or return the seconds until there may be one."""
        with self._lock:
            now = monotonic()
            while self._answered and self._answered[0] <= now - self.period:
                self._answered.popleft()
            if self._paused_until > now:
                return self._paused_until - now
            if self._under_way + len(self._answered) < self.requests:
                self._under_way += 1
                return 0.0
            return self._answered[0] + self.period - now if self._answered else 0.02

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`: what Harvest says to one thread holds for all of them."""
        with self._lock:
            self._paused_until = max(self._paused_until, monotonic() + seconds)


def limiters(requests: int) -> dict[Budget, RateLimiter]:
    """Return a limiter for each of Harvest's budgets.

    Args:
        requests: How many requests each budget allows in its own period.
    """
    return {
        "general": RateLimiter(requests, RATE_PERIOD),
        "reports": RateLimiter(requests, REPORTS_PERIOD),
    }


def rest(seconds: float) -> None:
    """Sleep, but let Ctrl-C end it.

    Raises:
        SignalReceivedException: The user wants the run to end.
    """
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        sleep(min(left, 0.2))
        raise_if_signalled()


class LimitedAdapter(HTTPAdapter):
    """Sends requests as a limiter allows.

    It sits below the retry, so that every attempt counts, and every redirect.

    Args:
        limiter: The budget that the requests belong to.
        connections: How many connections are kept open.
    """

    def __init__(self, limiter: RateLimiter, connections: int) -> None:
        super().__init__(pool_maxsize=connections)
        self.limiter = limiter

    def send(self, *args: Any, **kwargs: Any) -> Response:
        """Send one request when the limiter allows it."""
        with self.limiter:
            response = super().send(*args, **kwargs)
        if response.status_code in (429, 503):
            self.limiter.pause(retry_after(response))
        return response


class LimitedClient(Client):
    """dlt's retrying client with an adapter of ours, whose waits between attempts Ctrl-C ends.

    dlt's own client has no argument for either.
    """

    def __init__(self, adapter: HTTPAdapter, **settings: Any) -> None:
        super().__init__(**settings)
        self._adapter = adapter

    def _make_session(self) -> Session:
        session = super()._make_session()
        session.send.retry.sleep = rest  # type: ignore[attr-defined]
        return session


def retry_after(response: Response) -> float:
    """Return the seconds that Harvest asks to wait; 0 where it gives neither seconds nor a date."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - moment_of(response)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
