"""What Harvest answered: only whole data passes, with every number exact."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from decimal import Context, Decimal, localcontext
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

from dlt.common import logger
from dlt.sources.helpers.rest_client.client import PageData
from requests import Response

from ..errors import ForeignAddressError, MalformedAnswerError, StatusError
from ..settings import DECIMAL_PRECISION, DECIMAL_SCALE

FINE_NUMBER = re.compile(rb"\.\d{%d}|[eE]-\d" % (DECIMAL_SCALE + 1))
"""Matches answers that may hold a number with more decimal places than a column has."""


class Page(list[dict[str, Any]]):
    """The records of one answer, and what else it said.

    Attributes:
        answered: The moment of the answer by Harvest's clock (UTC), ours where it does not say.
        total: How many records the whole list has by Harvest's count, None where it does not say.
        more: Whether there is a next page.
        numbered: Whether the next page is asked for by its number, and not by a cursor.
    """

    def __init__(self, answer: PageData[dict[str, Any]], key: str) -> None:
        super().__init__(answer)
        for record in self:
            if "id" in record:  # a number, whatever its form: dlt merges on it
                record["id"] = int(record["id"])
        envelope = answer.response.json()
        # Whoever follows a list keeps this answer until the next one comes. Many lists are
        # followed at once, and the records of all these answers would fill the memory.
        answer.clear()
        envelope[key].clear()
        total = envelope.get("total_entries")
        self.answered = moment_of(answer.response)
        self.total = total if isinstance(total, int) else None
        following = str((envelope.get("links") or {}).get("next") or "")
        self.more = bool(following)
        self.numbered = self.more and "cursor" not in parse_qs(urlsplit(following).query)


def check_answer(
    response: Response, path: str, key: str | None = None, *, identified: bool = True
) -> None:
    """Let only whole data pass, and have it parsed once with exact numbers.

    It looks at every attempt, so an answer that it refuses is asked for again.

    Args:
        response: The answer.
        path: The path that was asked for, which errors name.
        key: The key that holds the list; None for a single object.
        identified: Whether each record of the list must have an `id`.

    Raises:
        StatusError: The status is not 200.
        MalformedAnswerError: The body is not the JSON that it must be.
        ForeignAddressError: A redirect leads to another host.
    """
    if response.is_redirect:
        refuse_foreign(response, response.headers["Location"])
        return
    if response.status_code != 200:
        raise StatusError(path, response)
    try:
        # To check each number doubles the time of parsing, so look first whether any needs it.
        fine = FINE_NUMBER.search(response.content)
        body = json.loads(response.content, parse_float=_rounded if fine else Decimal)
    except ValueError:
        raise MalformedAnswerError(path, "the body is not JSON", response) from None
    if not isinstance(body, dict):
        raise MalformedAnswerError(path, "the body is not a JSON object", response)
    if key is not None and (problem := _problem_of_list(body, key, identified=identified)):
        raise MalformedAnswerError(path, problem, response)
    # RESTClient and its paginator each ask for the body, and would parse it again as floats.
    response.json = lambda **_: body  # type: ignore[method-assign]


def refuse_foreign(response: Response, url: str) -> None:
    """Refuse a link or redirect that would carry the token to another host.

    Raises:
        ForeignAddressError: The URL is not on the host that answered.
    """
    here, there = urlsplit(response.url), urlsplit(urljoin(response.url, url))
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise ForeignAddressError(here.path, there.netloc)


def moment_of(response: Response) -> datetime:
    """Return the moment of an answer by Harvest's clock (UTC), ours where it does not say."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(timezone.utc)
    except (KeyError, ValueError, TypeError):
        return datetime.now(timezone.utc)


def _problem_of_list(body: dict[str, Any], key: str, *, identified: bool) -> str:
    """Return what keeps an answer from being a page of a list; empty where nothing does."""
    records, links = body.get(key), body.get("links")
    if not isinstance(records, list):
        return f"the list `{key}` is missing"
    if not all(isinstance(r, dict) and (not identified or _is_id(r.get("id"))) for r in records):
        return f"a record of `{key}` " + ("has no id" if identified else "is not an object")
    if not (isinstance(links, dict) and "next" in links) and not _is_whole(body, key):
        return "the links to further pages are missing"
    return ""


def _is_id(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isdecimal())


def _is_whole(body: dict[str, Any], key: str) -> bool:
    """Whether a list without links says by its numbers that there is no further page."""
    return body.get("next_page") is None and body.get("total_entries") == len(body[key])


def _rounded(text: str) -> Decimal:
    """Return a JSON number as far as a column can hold it; a finer one would fail the whole load.

    Harvest documents two to four decimal places.
    """
    value = Decimal(text)
    with localcontext(Context(prec=DECIMAL_PRECISION)):
        rounded = round(value, DECIMAL_SCALE)
    if rounded != value:
        logger.warning(f"{text} was rounded to {DECIMAL_SCALE} decimal places.")
        return rounded
    return value
