"""Checks answers: only complete data passes, with exact numbers and text that can be stored."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from decimal import Context, Decimal, InvalidOperation, localcontext
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import msgspec
from dlt.common import logger
from dlt.sources.helpers.rest_client.client import PageData
from requests import Response

from ..errors import ForeignAddressError, MalformedAnswerError, StatusError
from ..settings import DECIMAL_PRECISION, DECIMAL_SCALE

ROUNDING = Context(prec=DECIMAL_PRECISION)
PLAIN_LENGTH = len("0.") + DECIMAL_SCALE  # a number so short has no more places than a column

INTEGERS = 2**63  # a column holds whole numbers below

NUL = rb"\u0000"  # the one way in which JSON can hold the character
LONG_NUMBER = re.compile(rb"\d{19}")  # no whole number that a column can't hold is shorter
LONE_SURROGATES = re.compile("[\ud800-\udfff]")
LONE_SURROGATES_AND_NUL = re.compile("[\x00\ud800-\udfff]")


class Page(list[dict[str, Any]]):
    """The records of one answer, and what else it said.

    Attributes:
        answered: The moment of the answer by Harvest's clock (UTC), ours where it does not say.
        total: How many records the whole list has by Harvest's count, None where it does not say.
        per_page: How many records a page has at most, as Harvest says; None where it does not.
        more: Whether there is a next page.
        numbered: Whether the next page is asked for by its number, and not by a cursor.
    """

    def __init__(self, answer: PageData[dict[str, Any]], key: str) -> None:
        super().__init__(answer)
        envelope = answer.response.json()
        # Whoever follows a list keeps this answer until the next one comes. Many lists are
        # followed at once, and the records of all these answers would fill the memory.
        answer.clear()
        envelope[key].clear()
        total = envelope.get("total_entries")
        self.answered = moment_of(answer.response)
        self.total = total if isinstance(total, int) else None
        per_page = envelope.get("per_page")
        self.per_page = per_page if isinstance(per_page, int) else None
        following = str((envelope.get("links") or {}).get("next") or "")
        self.more = bool(following)
        self.numbered = self.more and "cursor" not in parse_qs(urlsplit(following).query)


class Answers:
    """Checks answers, and parses each of them once.

    Threads: any. A lock guards which warnings came already; all else belongs to one answer.

    Attributes:
        keeps_nul: Whether the destination holds text with a NUL character; else it is replaced.
    """

    def __init__(self) -> None:
        self.keeps_nul = False
        self._told: set[tuple[str, str]] = set()
        self._lock = Lock()

    def check(
        self, response: Response, path: str, key: str | None = None, *, id_name: str = "id"
    ) -> None:
        """Let only whole data pass.

        It looks at every attempt, so an answer that it refuses is asked for again.

        Args:
            response: The answer.
            path: The path that was asked for, which errors name.
            key: The key that holds the list; None for a single object.
            id_name: The key of the id that each record of the list must have; "" for none.

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
        numbers = Numbers()
        try:
            body, is_odd = _parse(response.content, numbers)
        except (ValueError, RecursionError):
            raise MalformedAnswerError(path, "the body is not JSON", response) from None
        problem = numbers.problem or _problem(body, key, id_name=id_name)
        if not problem and LONG_NUMBER.search(response.content):
            problem = _too_long(body)
        if problem:
            raise MalformedAnswerError(path, problem, response)
        if numbers.rounded:
            rounded = f"{numbers.rounded:.40} was rounded to {DECIMAL_SCALE} decimal places"
            self._tell_once(key or path, "number", f"{rounded}, the most that a column holds")
        if is_odd or NUL in response.content:
            self._replace_odd_text(body[key] if key else [body], key or path)
        if key is not None and id_name:
            for record in body[key]:
                record[id_name] = int(record[id_name])  # dlt merges by it, be it written as text
        # RESTClient and its paginator each ask for the body, and would parse it again as floats.
        response.json = lambda **_: body  # type: ignore[method-assign]
        # The answer is kept while its page is read, and the text of a full page is a megabyte.
        response._content = b""  # noqa: SLF001

    def _replace_odd_text(self, records: list[dict[str, Any]], name: str) -> None:
        """Replace characters that the destination cannot hold: one of them would fail every load.

        Half of a surrogate pair, which is what is left of an emoji that was cut in two, can be
        stored nowhere. Postgres and others refuse a NUL.
        """
        odd = LONE_SURROGATES if self.keeps_nul else LONE_SURROGATES_AND_NUL
        for place, record in enumerate(records):
            cleaned = _without(odd, record)
            if cleaned != record:
                records[place] = cleaned
                self._tell_once(
                    name,
                    "text",
                    f"record {record.get('id', 'without id')} holds a character that cannot be "
                    "stored (NUL or half an emoji), it was replaced by U+FFFD",
                )

    def _tell_once(self, name: str, kind: str, news: str) -> None:
        with self._lock:
            if (name, kind) in self._told:
                return
            self._told.add((name, kind))
        logger.warning(f"`{name}`: {news}. This warning comes once for each list.")


class Numbers:
    """Parses the numbers of one answer exactly, as far as a column can hold them.

    Harvest documents two to four decimal places. A number that a column cannot hold would fail the
    whole load.

    Attributes:
        rounded: A number that had too many decimal places; empty if none had.
        problem: What is wrong with a number that has too many digits before the point; empty if
            none has.
    """

    def __init__(self) -> None:
        self.rounded = self.problem = ""

    def parse(self, text: str) -> Decimal:
        """Return a number that JSON writes with a point or an exponent."""
        if len(text) <= PLAIN_LENGTH and "e" not in text and "E" not in text:
            return Decimal(text)
        try:
            with localcontext(ROUNDING):
                value = Decimal(text)
                rounded = round(value, DECIMAL_SCALE)
        except InvalidOperation:
            self.problem = f"the number {text:.40} is larger than any column can hold"
            return Decimal(0)
        if rounded == value:
            return value
        self.rounded = self.rounded or text
        return rounded


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


def _parse(content: bytes, numbers: Numbers) -> tuple[Any, bool]:
    """Return what a body says, and whether it may hold half a surrogate pair.

    msgspec takes less than half of the time of Python's own parser. It refuses some of what Python
    reads, half a surrogate pair above all; where both read a body, they read the same.

    Raises:
        ValueError: The body is not JSON.
        RecursionError: It is nested too deeply to be an answer.
    """
    try:
        return msgspec.json.Decoder(float_hook=numbers.parse).decode(content), False
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return json.loads(content, parse_float=numbers.parse), True


def _without(odd: re.Pattern[str], value: Any) -> Any:
    """Return a value whose text, keys included, has U+FFFD for each odd character."""
    if isinstance(value, str):
        return odd.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without(odd, item) for item in value]
    if isinstance(value, dict):
        return {_without(odd, name): _without(odd, item) for name, item in value.items()}
    return value


def _problem(body: Any, key: str | None, *, id_name: str) -> str:
    """Return what keeps a body from being what was asked for; empty where nothing does."""
    if not isinstance(body, dict):
        return "the body is not a JSON object"
    if key is None:
        return ""
    records, links = body.get(key), body.get("links")
    if not isinstance(records, list):
        return f"the list `{key}` is missing"
    if not all(isinstance(r, dict) and (not id_name or _is_id(r.get(id_name))) for r in records):
        wrong = f"has no valid {id_name}" if id_name else "is not an object"
        return f"a record of `{key}` {wrong}"
    if not (isinstance(links, dict) and "next" in links) and not _is_whole(body, key):
        return "the links to further pages are missing"
    return ""


def _is_id(value: object) -> bool:
    return (type(value) is int and value >= 0) or (isinstance(value, str) and value.isdecimal())


def _too_long(value: Any, record: str = "") -> str:
    """Return what is wrong with a whole number that no column can hold; empty if there is none."""
    if type(value) is int and not -INTEGERS <= value < INTEGERS:
        return f"the number {value!s:.40} {record}is larger than any column can hold"
    if isinstance(value, dict):
        own = value.get("id")
        if isinstance(own, str) and own.isdecimal():
            own = int(own)
        record = record or (f"of record {own} " if type(own) is int else "")
        found = (_too_long(v, record) for v in (own, *value.values()))
    elif isinstance(value, list):
        found = (_too_long(item, record) for item in value)
    else:
        return ""
    return next(filter(None, found), "")


def _is_whole(body: dict[str, Any], key: str) -> bool:
    """Whether a list without links says by its numbers that there is no further page."""
    return body.get("next_page") is None and body.get("total_entries") == len(body[key])
