"""Reads Harvest's lists and objects: dlt's REST client, put together with what Harvest asks of it.

Retries, sessions and links are dlt's. Of ours are the rate limits, the check of every answer, and
the refusal to follow a link to another host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from functools import cache
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import requests
from dlt.common import logger
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.specs import RuntimeConfiguration
from dlt.common.jsonpath import compile_path
from dlt.sources.helpers.requests.retry import DEFAULT_RETRY_EXCEPTIONS
from dlt.sources.helpers.rest_client.auth import AuthConfigBase
from dlt.sources.helpers.rest_client.client import PageData, RESTClient
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator
from requests import RequestException, Response

from ..errors import MalformedAnswerError, NoAnswerError, StatusError, UnreachableError
from ..settings import Sizes
from .answers import Answers, Page, moment_of, refuse_foreign
from .rate_limit import Budget, LimitedAdapter, LimitedClient, RateLimiter

Check = Callable[..., None]

PROBE_S = 10
"""How long the host may take to answer when it is asked whether it is there."""

NEXT_LINK = compile_path("links.next")

path_of = cache(compile_path)  # to compile a path took as long as everything else about a request


class LinksPaginator(JSONLinkPaginator):
    """Follows `links.next` as it is. `next_page` may be null midway, so it never ends a list.

    Args:
        path: The list's path, which errors name.
    """

    def __init__(self, path: str) -> None:
        super().__init__(NEXT_LINK)
        self._path, self._followed = path, set[str]()

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        """Take the next link, but only if it leads to where this page came from, and to a new page.

        Raises:
            ForeignAddressError: The link leads to another host.
            MalformedAnswerError: It was followed before, so the list would have no end.
        """
        super().update_state(response, data)
        if link := self._next_reference:
            refuse_foreign(response, link)
            if link in self._followed:
                problem = "the link to the next page leads back to an earlier one"
                raise MalformedAnswerError(self._path, problem, response)
            self._followed.add(link)


class HarvestClient:
    """Reads Harvest's lists, a page at a time, and single objects.

    Threads: any. A lock guards what it counts, and the time of the last answer is replaced as a
    whole; limiters, sessions (`LimitedClient`) and `Answers` guard themselves.

    Args:
        base_url: The API's address, with its version.
        auth: Puts token and account on each request.
        user_agent: Application and contact, which Harvest demands.
        limiters: What holds back the requests of each budget; clients that share Harvest's limits
            share them.
        sizes: How much is asked for at once, and how often.

    Attributes:
        answers: What checks each answer.
        headers: What the last answer said beside its data.
        limiters: As they were given.
        requests: How many requests were answered, those that were tried again included.
    """

    def __init__(
        self,
        base_url: str,
        auth: AuthConfigBase,
        user_agent: str,
        limiters: Mapping[Budget, RateLimiter],
        sizes: Sizes,
    ) -> None:
        self.base_url, self.answers = base_url, Answers()
        self._answered: datetime | None = None
        self.headers: Mapping[str, str] = {}
        self.limiters, self.requests = limiters, 0
        self._lock = Lock()
        self._auth, self._per_page = auth, sizes.per_page
        self._headers = {"User-Agent": user_agent, "Accept": "application/json"}
        self._http = {
            budget: LimitedClient(
                LimitedAdapter(limiter, sizes.connections),
                raise_for_status=False,
                request_max_attempts=sizes.max_attempts,
                exceptions=(*DEFAULT_RETRY_EXCEPTIONS, MalformedAnswerError),
                # The limiter heeds it, for all threads, and reads a date by Harvest's clock.
                respect_retry_after_header=False,
            )
            for budget, limiter in limiters.items()
        }
        # RESTClient would resolve it anew for each request: half of the time of an extraction.
        self._config = resolve_configuration(RuntimeConfiguration())

    def pages(
        self,
        path: str,
        key: str,
        params: dict[str, Any] | None = None,
        *,
        budget: Budget = "general",
        id_name: str = "id",
    ) -> Iterator[Page]:
        """Yield the pages of a list, following `links.next`.

        Args:
            path: The list's path below the base URL.
            key: The key that holds the records in each answer.
            params: Filters, each of which the endpoint documents.
            budget: The rate limit that the requests count against.
            id_name: The key of the id that each record must have; "" where it needs none.

        Raises:
            HarvestError: A page could not be read.
        """
        query = {"per_page": self._per_page, **(params or {})}

        def check(response: Response, *_: Any, **__: Any) -> None:
            self._note_answer(response)
            self.answers.check(response, path, key, id_name=id_name)

        for answer in self._paginate(path, query, path_of(key), check, budget):
            yield Page(answer, key)

    def record(self, path: str) -> dict[str, Any]:
        """Return a single object.

        Raises:
            HarvestError: The object could not be read.
        """

        def check(response: Response, *_: Any, **__: Any) -> None:
            self._note_answer(response)
            self.answers.check(response, path)

        answer = next(self._paginate(path, {}, path_of("$"), check, "general"))
        record: dict[str, Any] = answer[0]
        return record

    def now(self) -> datetime:
        """Return the time by Harvest's clock when it answered last (UTC), ours before that."""
        return self._answered or datetime.now(timezone.utc)

    def _note_answer(self, response: Response) -> None:
        if self._answered is None and "Date" not in response.headers:
            logger.warning(
                "Harvest does not say what time it is, so this machine's clock is trusted: if it "
                "is ahead, a change may be seen a full read later."
            )
        self._answered, self.headers = moment_of(response), response.headers
        with self._lock:
            self.requests += 1

    def _paginate(
        self, path: str, params: dict[str, Any], selector: Any, check: Check, budget: Budget
    ) -> Iterator[PageData[Any]]:
        # dlt keeps a session for each thread, and `LimitedClient` says what follows for a list that
        # is continued in another thread. A REST client remembers where it is in its list, so each
        # list has its own.
        rest_client = RESTClient(
            self.base_url,
            headers=self._headers,
            auth=self._auth,
            paginator=LinksPaginator(path),
            session=self._http[budget].session,
            config=self._config,
        )
        answered_before = self.requests
        try:
            for page in rest_client.paginate(
                path, params=params, data_selector=selector, hooks={"response": [check]}
            ):
                yield page
                answered_before = self.requests
        except (StatusError, MalformedAnswerError):
            raise
        except RequestException as error:
            host = urlsplit(self.base_url).netloc
            answers = self.requests > answered_before or self._is_there()
            kind = NoAnswerError if answers else UnreachableError
            raise kind(path, host, type(error).__name__) from None

    def _is_there(self) -> bool:
        """Ask once, and without the token, whether the host answers anything at all."""
        try:
            requests.get(
                self.base_url, headers=self._headers, timeout=PROBE_S, allow_redirects=False
            )
        except RequestException:
            return False
        return True
