"""All HTTP: auth, rate limit, retry, page links and the check of each answer."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from threading import Lock
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from dlt.common.runtime.signals import sleep
from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.requests import Client
from dlt.sources.helpers.requests.retry import DEFAULT_RETRY_EXCEPTIONS
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.client import PageData, RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter

from .errors import (
    ForeignAddressError,
    MalformedAnswerError,
    ShiftingListError,
    StatusError,
    UnreachableError,
)
from .settings import MAX_ATTEMPTS, PER_PAGE, RATE_PERIOD, WORKERS

Page = PageData[dict[str, Any]]


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
    """At most `requests` in any `period` seconds, over all threads."""

    def __init__(self, requests: int, period: float = RATE_PERIOD) -> None:
        self.requests = requests
        self.period = period
        self._slots: deque[float] = deque(maxlen=requests)
        self._paused_until = 0.0
        self._lock = Lock()

    def acquire(self) -> None:
        """Wait for the moment this request may be sent; the wait itself holds no lock."""
        with self._lock:
            at = max(monotonic(), self._paused_until)
            if len(self._slots) == self.requests:
                at = max(at, self._slots[0] + self.period)
            self._slots.append(at)
        if (wait := at - monotonic()) > 0:
            sleep(wait)

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`: what Harvest says to one thread holds for all."""
        with self._lock:
            self._paused_until = max(self._paused_until, monotonic() + seconds)


class LimitedAdapter(HTTPAdapter):
    """Counts every attempt, retries and redirects too: it sits below the retry."""

    def __init__(self, limiter: RateLimiter) -> None:
        super().__init__(pool_maxsize=WORKERS)
        self.limiter = limiter

    def send(self, *args: Any, **kwargs: Any) -> Response:
        """Send one request when the limit allows it."""
        self.limiter.acquire()
        response = super().send(*args, **kwargs)
        if response.status_code == 429:
            seconds = response.headers.get("Retry-After", "").strip()
            if seconds.isdigit():
                self.limiter.pause(float(seconds))
        return response


class LinksPaginator(JSONLinkPaginator):
    """Follows `links.next` as it is; `next_page` may be null midway, so it never ends a listing."""

    def __init__(self) -> None:
        super().__init__("links.next")

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
        http = Client(
            raise_for_status=False,
            request_max_attempts=MAX_ATTEMPTS,
            exceptions=(*DEFAULT_RETRY_EXCEPTIONS, MalformedAnswerError),
        )
        # The one place a limiter counts each attempt; dlt's Client has no argument for it.
        http._adapter = LimitedAdapter(RateLimiter(rate_limit))  # noqa: SLF001
        self._http = http
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self._auth = HarvestAuth(api_key, account_id)

    def pages(self, path: str, key: str, params: dict[str, Any] | None = None) -> Iterator[Page]:
        """Yield the pages of a list.

        Args:
            path: The list's path below the base URL.
            key: The key that holds the records in each answer.
            params: Filters, each of which the endpoint documents.

        Raises:
            HarvestError: The list could not be read to its end.
        """
        query = {"per_page": PER_PAGE, **(params or {})}
        for _ in range(MAX_ATTEMPTS):
            seen: set[int] = set()
            most, numbered = 0, False
            for page in self._paginate(path, query, key):
                envelope = page.response.json()
                most = max(most, envelope.get("total_entries") or 0)
                numbered |= _by_page_number(envelope)
                seen.update(record["id"] for record in page if "id" in record)
                yield page
            # Page numbers count from the top: a delete shifts the rest, and a row slips between
            # two pages. What comes twice is merged away; a row that slipped would be lost.
            if not numbered or len(seen) >= most:
                return
        raise ShiftingListError(path)

    def record(self, path: str) -> dict[str, Any]:
        """Return a single object.

        Raises:
            HarvestError: The object could not be read.
        """
        page = next(self._paginate(path, {}, None))
        return page[0]

    def _paginate(self, path: str, params: dict[str, Any], key: str | None) -> Iterator[Page]:
        # A session belongs to its thread, so the REST client around it is made where it is used.
        rest = RESTClient(
            self.base_url,
            headers=self._headers,
            auth=self._auth,
            paginator=LinksPaginator(),
            session=self._http.session,
        )

        def check(response: Response, *_: Any, **__: Any) -> None:
            _check(response, path, key)

        try:
            yield from rest.paginate(
                path, params=params, data_selector=key or "$", hooks={"response": [check]}
            )
        except (StatusError, MalformedAnswerError):
            raise
        except RequestException as error:
            raise UnreachableError(
                path, urlsplit(self.base_url).netloc, type(error).__name__
            ) from None


def server_time(page: Page) -> datetime:
    """Return the moment of an answer by Harvest's clock (UTC), ours where it does not say."""
    try:
        return parsedate_to_datetime(page.response.headers["Date"]).astimezone(timezone.utc)
    except (KeyError, ValueError, TypeError):
        return datetime.now(timezone.utc)


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
        body = json.loads(response.content, parse_float=Decimal)
    except ValueError:
        raise MalformedAnswerError(path, "the body is not JSON", response) from None
    if not isinstance(body, dict):
        raise MalformedAnswerError(path, "the body is not a JSON object", response)
    if key is not None:
        if not isinstance(body.get(key), list):
            raise MalformedAnswerError(path, f"the list `{key}` is missing", response)
        links = body.get("links")
        if not (isinstance(links, dict) and "next" in links) and not _is_whole(body, key):
            raise MalformedAnswerError(path, "the links to further pages are missing", response)
    # RESTClient and its paginator each ask for the body: parse it once, decimals exact.
    response.json = lambda **_: body  # type: ignore[method-assign]


def _by_page_number(body: dict[str, Any]) -> bool:
    """Whether the next page is asked for by number, and not by a cursor."""
    following: str | None = (body.get("links") or {}).get("next")
    return bool(following) and "page" in parse_qs(str(urlsplit(following).query))


def _is_whole(body: dict[str, Any], key: str) -> bool:
    """Whether a list without links says by its numbers that there is no further page."""
    return body.get("next_page") is None and body.get("total_entries") == len(body[key])
