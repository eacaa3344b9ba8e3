"""All HTTP: auth, rate limit, retry, page links and the check of each answer."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Context, Decimal, localcontext
from email.utils import parsedate_to_datetime
from functools import cache
from threading import Lock
from time import monotonic, sleep
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from dlt.common import logger
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.common.jsonpath import compile_path
from dlt.common.runtime.signals import raise_if_signalled
from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.requests import Client, Session
from dlt.sources.helpers.requests.retry import DEFAULT_RETRY_EXCEPTIONS
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.client import PageData, RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter

from .errors import (
    ForeignAddressError,
    MalformedAnswerError,
    StatusError,
    UnreachableError,
)
from .settings import (
    CONNECTIONS,
    DECIMAL_PRECISION,
    DECIMAL_SCALE,
    MAX_ATTEMPTS,
    PER_PAGE,
    RATE_PERIOD,
)

NEXT_LINK = compile_path("links.next")

path_of = cache(compile_path)  # compiling took as long as all else about a request

FINE_NUMBER = re.compile(rb"\.\d{%d}|[eE]-\d" % (DECIMAL_SCALE + 1))
"""Where an answer may hold a number with more decimal places than a column has."""


class Page(list[dict[str, Any]]):
    """The records of one answer, and what else it said.

    Attributes:
        answered: The moment of the answer by Harvest's clock (UTC), ours where it does not say.
        total: How many records the whole list has by Harvest's count, None where it does not say.
        more: Whether there is a next page.
        numbered: Whether that is asked for by its number, and not by a cursor.
    """

    def __init__(self, answer: PageData[dict[str, Any]], key: str) -> None:
        super().__init__(answer)
        for record in self:
            record["id"] = int(record["id"])  # the one key of all; a number, whatever its form
        envelope = answer.response.json()
        # A chain of pages waits for the next one with this answer in its hands: many pages at
        # once would fill the memory.
        answer.clear()
        envelope[key].clear()
        total = envelope.get("total_entries")
        self.answered = _moment(answer.response)
        self.total = total if isinstance(total, int) else None
        following = str((envelope.get("links") or {}).get("next") or "")
        self.more = bool(following)
        self.numbered = self.more and "cursor" not in parse_qs(urlsplit(following).query)


class HarvestAuth(BearerTokenAuth):
    """Sets token and account id. As an auth class they stay out of dlt's debug log."""

    def __init__(self, token: TSecretStrValue, account_id: str) -> None:
        super().__init__(token=token)
        self.account_id = account_id

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put both headers on the request."""
        request.headers["Harvest-Account-Id"] = self.account_id
        return super().__call__(request)


class RateLimiter:
    """Holds back requests, over all threads, so that Harvest never counts too many in its window.

    A request counts from when it is sent until a period after its answer: Harvest saw it before
    that, however long it was on its way. Use as a context around the sending.

    Args:
        requests: How many in a period.
        period: Seconds.
    """

    def __init__(self, requests: int, period: float = RATE_PERIOD) -> None:
        self.requests, self.period = requests, period
        self._answered: deque[float] = deque()
        self._under_way = 0
        self._paused_until = 0.0
        self._lock = Lock()

    def __enter__(self) -> None:
        """Wait until a request may be sent; the wait itself holds no lock."""
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
        """Send nothing for `seconds`: what Harvest says to one thread holds for all."""
        with self._lock:
            self._paused_until = max(self._paused_until, monotonic() + seconds)


def rest(seconds: float) -> None:
    """Sleep, but not through Ctrl-C.

    Raises:
        SignalReceivedException: The user wants the run to end.
    """
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        sleep(min(left, 0.2))
        raise_if_signalled()


class InterruptibleClient(Client):
    """dlt's retrying client, whose waits between two attempts end with Ctrl-C.

    dlt's own has no argument for that, nor for the adapter below the retry.
    """

    def __init__(self, adapter: HTTPAdapter, **settings: Any) -> None:
        super().__init__(**settings)
        self._adapter = adapter

    def _make_session(self) -> Session:
        session = super()._make_session()
        session.send.retry.sleep = rest  # type: ignore[attr-defined]
        return session


class LimitedAdapter(HTTPAdapter):
    """Counts every attempt, retries and redirects too: it sits below the retry."""

    def __init__(self, limiter: RateLimiter) -> None:
        super().__init__(pool_maxsize=CONNECTIONS)
        self.limiter = limiter

    def send(self, *args: Any, **kwargs: Any) -> Response:
        """Send one request when the limit allows it."""
        with self.limiter:
            response = super().send(*args, **kwargs)
        if response.status_code in (429, 503):
            self.limiter.pause(_retry_after(response))
        return response


class LinksPaginator(JSONLinkPaginator):
    """Follows `links.next` as it is; `next_page` may be null midway, so it never ends a listing."""

    def __init__(self) -> None:
        super().__init__(NEXT_LINK)

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        """Take the next link, but only to where this page came from."""
        super().update_state(response, data)
        if self._next_reference:
            _refuse_foreign(response, self._next_reference)


class HarvestClient:
    """Reads Harvest's lists and objects, a page at a time.

    Args:
        base_url: The API's address, with its version.
        api_key: A personal access token.
        account_id: The Harvest account's number.
        user_agent: Application and contact, which Harvest demands.
        rate_limit: Requests in 15 s over all threads.
    """

    def __init__(
        self,
        base_url: str,
        api_key: TSecretStrValue,
        account_id: str,
        user_agent: str,
        rate_limit: int,
    ) -> None:
        self.base_url = base_url
        self._http = InterruptibleClient(
            LimitedAdapter(RateLimiter(rate_limit)),
            raise_for_status=False,
            request_max_attempts=MAX_ATTEMPTS,
            exceptions=(*DEFAULT_RETRY_EXCEPTIONS, MalformedAnswerError),
            # The limiter heeds it for all threads, and a date by Harvest's clock instead of ours.
            respect_retry_after_header=False,
        )
        # RESTClient resolves it anew for each request otherwise: half the time of an extraction.
        self._config = resolve_configuration(RuntimeConfiguration())
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self._auth = HarvestAuth(api_key, account_id)

    def pages(self, path: str, key: str, params: dict[str, Any] | None = None) -> Iterator[Page]:
        """Yield the pages of a list, following `links.next`.

        Args:
            path: The list's path below the base URL.
            key: The key that holds the records in each answer.
            params: Filters, each of which the endpoint documents.

        Raises:
            HarvestError: A page could not be read.
        """
        query = {"per_page": PER_PAGE, **(params or {})}
        for answer in self._paginate(path, query, key):
            yield Page(answer, key)

    def record(self, path: str) -> dict[str, Any]:
        """Return a single object.

        Raises:
            HarvestError: The object could not be read.
        """
        answer = next(self._paginate(path, {}, None))
        record: dict[str, Any] = answer[0]
        return record

    def _paginate(
        self, path: str, params: dict[str, Any], key: str | None
    ) -> Iterator[PageData[Any]]:
        # A session belongs to its thread, so the REST client around it is made where it is used.
        rest = RESTClient(
            self.base_url,
            headers=self._headers,
            auth=self._auth,
            paginator=LinksPaginator(),
            session=self._http.session,
            config=self._config,
        )

        def check(response: Response, *_: Any, **__: Any) -> None:
            _check(response, path, key)

        try:
            yield from rest.paginate(
                path, params=params, data_selector=path_of(key or "$"), hooks={"response": [check]}
            )
        except (StatusError, MalformedAnswerError):
            raise
        except RequestException as error:
            raise UnreachableError(
                path, urlsplit(self.base_url).netloc, type(error).__name__
            ) from None


def _refuse_foreign(response: Response, url: str) -> None:
    here, there = urlsplit(response.url), urlsplit(urljoin(response.url, url))
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise ForeignAddressError(here.path, there.netloc)


def _check(response: Response, path: str, key: str | None) -> None:
    """Let only whole data pass; runs on each attempt, so what it refuses is tried again."""
    if response.is_redirect:
        _refuse_foreign(response, response.headers["Location"])
        return
    if response.status_code != 200:
        raise StatusError(path, response)
    try:
        # The check of each number would double the time of parsing, so look first.
        fine = FINE_NUMBER.search(response.content)
        body = json.loads(response.content, parse_float=_rounded if fine else Decimal)
    except ValueError:
        raise MalformedAnswerError(path, "the body is not JSON", response) from None
    if not isinstance(body, dict):
        raise MalformedAnswerError(path, "the body is not a JSON object", response)
    if key is not None:
        records = body.get(key)
        if not isinstance(records, list):
            raise MalformedAnswerError(path, f"the list `{key}` is missing", response)
        if not all(isinstance(r, dict) and _is_id(r.get("id")) for r in records):
            raise MalformedAnswerError(path, f"a record of `{key}` has no id", response)
        links = body.get("links")
        if not (isinstance(links, dict) and "next" in links) and not _is_whole(body, key):
            raise MalformedAnswerError(path, "the links to further pages are missing", response)
    # RESTClient and its paginator each ask for the body: parse it once, decimals exact.
    response.json = lambda **_: body  # type: ignore[method-assign]


def _rounded(text: str) -> Decimal:
    """Return a JSON number as far as a column can hold it; a finer one would fail the whole load.

    Harvest documents two to four places.
    """
    value = Decimal(text)
    with localcontext(Context(prec=DECIMAL_PRECISION)):
        rounded = round(value, DECIMAL_SCALE)
    if rounded != value:
        logger.warning(f"{text} was rounded to {DECIMAL_SCALE} decimal places.")
        return rounded
    return value


def _is_id(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isdecimal())


def _retry_after(response: Response) -> float:
    """Return the seconds that Harvest asks to wait; 0 where it gives neither seconds nor a date."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - _moment(response)).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _moment(response: Response) -> datetime:
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
    except (KeyError, ValueError, TypeError):
        return datetime.now(timezone.utc)


def _is_whole(body: dict[str, Any], key: str) -> bool:
    """Whether a list without links says by its numbers that there is no further page."""
    return body.get("next_page") is None and body.get("total_entries") == len(body[key])
