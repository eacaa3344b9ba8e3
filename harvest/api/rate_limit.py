"""Requests leave only as fast as Harvest allows, over all threads.

Harvest keeps two budgets: 100 requests in 15 seconds in general, and 100 in 15 minutes for reports.
Each is a `RateLimiter` of its own, so a request waits for its own budget only, and so does what
Harvest says about it.

Harvest does not ask which process a request came from. So each limiter notes in a small file when
its requests were answered, and the next process, which knows nothing of them, begins with what it
finds there. To begin slowly instead would cost every run time, and would still meet refusals where
the process before used up the whole budget.
"""

from __future__ import annotations

import struct
from collections import deque
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Lock
from time import monotonic, sleep, time
from typing import Any, Literal

from dlt.common import logger
from dlt.common.runtime.signals import raise_if_signalled
from dlt.sources.helpers.requests import Client, Session
from filelock import FileLock
from requests import Response
from requests.adapters import HTTPAdapter

from ..settings import LONGEST_WAIT, RATE_PERIOD, REPORTS_PERIOD
from .answers import moment_of

Budget = Literal["general", "reports"]

TOLD_FROM = 30.0  # seconds: whoever watches a run that stands still for so long wants to know why


class RequestLog:
    """Notes in a file when requests were answered, for the next process on this machine.

    Without a place to write, nothing is noted: the next process may then meet a few refusals.

    What other processes note meanwhile is not read: a run knows of what was answered before it.

    Threads: any, and other processes. A file lock guards the file.

    Args:
        path: The file; its folder is made where it is missing.
    """

    MOMENT = struct.Struct("<d")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock")
        self._gave_up = False

    def recent(self, period: float) -> list[float]:
        """Return how many seconds ago requests were answered, oldest first, and forget older ones.

        Args:
            period: How many seconds back they matter.
        """
        if self._gave_up:
            return []
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                noted = self._path.read_bytes() if self._path.exists() else b""
                whole = noted[: len(noted) // self.MOMENT.size * self.MOMENT.size]
                now = time()
                # A clock that was set back leaves moments in the future: they tell nothing.
                moments = [t for (t,) in self.MOMENT.iter_unpack(whole) if now - period < t <= now]
                self._path.write_bytes(b"".join(map(self.MOMENT.pack, sorted(moments))))
        except OSError as error:
            self._give_up(error)
            return []
        return [now - moment for moment in sorted(moments)]

    def note(self) -> None:
        """Note that a request was answered now."""
        if self._gave_up:
            return
        try:
            with self._lock, self._path.open("ab", buffering=0) as file:
                file.write(self.MOMENT.pack(time()))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        logger.info(f"Requests are not noted for the next run: {type(error).__name__}.")
        self._gave_up = True


class RateLimiter:
    """Holds requests back so that Harvest never counts too many of them in a period.

    A request counts from the moment it is sent until a period after its answer, because Harvest saw
    it at some moment before the answer, however long it was on its way. Use as a context around
    the sending.

    Threads: any. A lock guards all that it counts, and is not held while a thread waits.

    Args:
        requests: How many may fall into one period.
        period: Seconds.
        log: Where the requests of other processes are found, and those of this one noted; None to
            count those of this limiter alone.
    """

    def __init__(
        self, requests: int, period: float = RATE_PERIOD, log: RequestLog | None = None
    ) -> None:
        self.requests, self.period = requests, period
        self._log = log
        self._answered: deque[float] | None = None  # not yet looked up
        self._under_way = 0
        self._paused_until = self._waiting_until = 0.0
        self._lock = Lock()

    def __enter__(self) -> None:
        """Wait until a request may be sent. The lock is not held while waiting."""
        while (seconds := self._take()) > 0:
            self._waiting_until = monotonic() + seconds
            rest(seconds)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._under_way -= 1
            self._recent.append(monotonic())
        if self._log:
            self._log.note()

    @property
    def waiting(self) -> float:
        """For how many seconds more a request waits; 0 if none does."""
        return max(0.0, self._waiting_until - monotonic())

    def seconds_for(self, requests: int) -> float:
        """Return how long so many requests take at least, if none was sent before them."""
        return (requests - 1) // self.requests * self.period if requests else 0.0

    def _take(self) -> float:
        """Take a slot and return 0, or return the seconds until there may be one."""
        with self._lock:
            recent, now = self._recent, monotonic()
            while recent and recent[0] <= now - self.period:
                recent.popleft()
            if self._paused_until > now:
                return self._paused_until - now
            if self._under_way + len(recent) < self.requests:
                self._under_way += 1
                return 0.0
            seconds = recent[0] + self.period - now if recent else 0.02
        if seconds > TOLD_FROM:
            logger.warning(
                f"{self.requests} requests were sent in {self.period / 60:.0f} min, as many as "
                f"Harvest allows for reports: the next one leaves in {seconds:.0f} s."
            )
        return seconds

    @property
    def _recent(self) -> deque[float]:
        """When requests were answered in the last period. It is looked up with the first request.

        Not before: the source may be made long before it is read.
        """
        if self._answered is None:
            now = monotonic()
            noted = self._log.recent(self.period) if self._log else ()
            self._answered = deque(now - ago for ago in noted)
        return self._answered

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`: what Harvest says to one thread holds for all of them."""
        with self._lock:
            now = monotonic()
            if now + seconds > max(self._paused_until, now) + TOLD_FROM:
                logger.warning(f"Harvest asks to wait: no request is sent for {seconds:.0f} s.")
            self._paused_until = max(self._paused_until, now + seconds)


def limiters(requests: int, folder: Path | None = None) -> dict[Budget, RateLimiter]:
    """Return a limiter for each of Harvest's budgets.

    Args:
        requests: How many requests each budget allows in its own period.
        folder: Where the requests are noted for the next process that asks for the same account;
            None to note nothing.
    """
    periods: dict[Budget, float] = {"general": RATE_PERIOD, "reports": REPORTS_PERIOD}
    return {
        budget: RateLimiter(requests, period, RequestLog(folder / budget) if folder else None)
        for budget, period in periods.items()
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
            self.limiter.pause(self._wait(response))
        return response

    def _wait(self, response: Response) -> float:
        """Return for how many seconds a refusal holds all requests of the budget back."""
        seconds = retry_after(response)
        if seconds > LONGEST_WAIT:
            return 0.0
        if response.status_code == 429 and not seconds:
            # Recorded answers of Harvest lack the header. Five attempts are made, and the four
            # pauses between them cover a whole period.
            return self.limiter.period / 4
        return seconds


class LimitedClient(Client):
    """dlt's retrying client with an adapter of ours, whose waits between attempts Ctrl-C ends.

    dlt's own client has no argument for either.

    Threads: any. dlt keeps a session for each thread, but a list may be continued in another thread
    than the one it was begun in, so two threads may send by the same session. A session is not
    changed once it is made; its cookies and connections have locks of their own; and each request
    has its own retry, because the one that dlt makes empties its figures whenever a request begins,
    and another request that looks for them at that moment fails (`KeyError`).
    """

    def __init__(self, adapter: HTTPAdapter, **settings: Any) -> None:
        super().__init__(**settings)
        self._adapter = adapter

    def _make_session(self) -> Session:
        session = super()._make_session()
        with_retry: Any = session.send
        retry, send = with_retry.retry, with_retry.__wrapped__
        retry.sleep = rest
        session.send = lambda *args, **kwargs: retry.copy()(send, *args, **kwargs)  # type: ignore[method-assign]
        return session


def retry_after(response: Response) -> float:
    """Return the seconds that Harvest asks to wait; 0 where it gives none, and no date to come."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - moment_of(response)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
