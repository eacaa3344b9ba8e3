"""Answers: error shapes, filters and pages.

They follow https://help.getharvest.com/api-v2/introduction/overview/general/ and
https://help.getharvest.com/api-v2/introduction/overview/pagination/.
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import msgspec

from .account import DATE_ORDER, EVER, Record
from .clock import stamp
from .routes import Route, Style

_encode_valid = msgspec.json.Encoder(decimal_format="number").encode


def encode(value: Any) -> bytes:
    """Return JSON, decimals as exact numbers.

    Text may hold anything that JSON can say, NUL and lone surrogates included. UTF-8 has no bytes
    for a lone surrogate, so it is sent as an escape sequence.
    """
    try:
        return _encode_valid(value)
    except UnicodeEncodeError:
        return _encode_valid(_escaped(value))


def _escaped(value: Any) -> Any:
    """Return a copy in which text that UTF-8 has no bytes for is escaped already."""
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, str):
        return msgspec.Raw(json.dumps(value).encode())
    return value


class AnswerNow(Exception):  # noqa: N818 - a short cut out of a route, not an error
    """An answer other than data; bytes are HTML or nothing, all else is JSON."""

    def __init__(self, status: int, body: Any, **headers: str) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


def not_found() -> AnswerNow:
    """Return the answer to an id that is absent or not visible."""
    return AnswerNow(404, {"status": 404, "error": "Not Found"})


def no_such_path() -> AnswerNow:
    """Return the answer to a malformed path: a page for people."""
    return AnswerNow(404, b"<!DOCTYPE html><title>Not Found</title><h1>Not Found</h1>")


def forbidden() -> AnswerNow:
    """Return the answer where the role forbids."""
    return AnswerNow(403, {"message": "Not authorized!"}, Hint="Not authorized!")


def invalid_token() -> AnswerNow:
    """Return the answer to a bad token, or no account id."""
    error = {
        "error": "invalid_token",
        "error_description": "The access token provided is expired, revoked, malformed or invalid "
        "for other reasons.",
    }
    challenge = 'Bearer realm="Harvest API", error="invalid_token"'
    return AnswerNow(401, error, **{"WWW-Authenticate": challenge})


def oauth_error(status: int, error: str) -> AnswerNow:
    """Return the refusal of the token endpoint."""
    return AnswerNow(status, {"error": error, "error_description": "The request was refused."})


def no_manager() -> AnswerNow:
    """Return the refusal of teammates, which only a manager has."""
    return AnswerNow(422, {"message": "User must be a Manager to have teammates"})


def invalid(name: str) -> AnswerNow:
    """Return the refusal of a bad parameter."""
    return AnswerNow(422, {"message": f"{name} is invalid"})


def filters(
    route: Route, params: dict[str, str], *, exclusive: bool, days_exclusive: bool
) -> dict[str, Any]:
    """Return the documented filters as fields of a `Query`; others are ignored."""
    fields: dict[str, Any] = {}
    if "updated_since" in params and route.updated_since:
        fields["since"] = _first_stamp(params["updated_since"], exclusive=exclusive)
    if route.table in DATE_ORDER and ("from" in params or "to" in params):
        first, last = EVER
        fields["days"] = (
            _day("from", params["from"]) + days_exclusive if "from" in params else first + 1,
            _day("to", params["to"]) - days_exclusive if "to" in params else last,
        )
    equal = []
    for documented in route.filters.split():
        *items, name = documented.split(".")
        if name in params:
            path = (*items, name[:-3], "id") if name.endswith("_id") else (*items, name)
            equal.append((path, _value(name, params[name])))
    return {**fields, "equal": tuple(equal)}


def _value(name: str, text: str) -> Any:
    if name.startswith("is_"):
        if text not in ("true", "false"):
            raise invalid(name)
        return text == "true"
    if name.endswith("_id") and name != "external_reference_id":
        if not text.isdecimal():
            raise invalid(name)
        return int(text)
    return text


def _day(name: str, text: str) -> int:
    """Return a day as a number; both forms are in use."""
    try:
        digits = text if len(text) == 8 else datetime.strptime(text, "%Y-%m-%d").strftime("%Y%m%d")  # noqa: DTZ007 - a day has no zone
        return int(digits)
    except ValueError:
        raise invalid(name) from None


def _first_stamp(text: str, *, exclusive: bool) -> str:
    """Return the first whole second that passes: `>=` or `>` is not documented."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise invalid("updated_since") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    whole = moment.astimezone(timezone.utc).replace(microsecond=0)
    if exclusive or moment.microsecond:
        whole += timedelta(seconds=1)
    return stamp(whole)


def page_numbers(params: dict[str, str]) -> tuple[int, int]:
    """Return `page` and `per_page`; above 2,000 is refused."""
    try:
        page, per_page = int(params.get("page", 1)), int(params.get("per_page", 2000))
    except ValueError:
        raise AnswerNow(422, {"message": "page and per_page must be numbers"}) from None
    if not 1 <= per_page <= 2000 or page < 1:
        raise AnswerNow(422, {"message": "per_page must be between 1 and 2000, page 1 or more"})
    return page, per_page


def envelope(
    url: str,
    params: dict[str, str],
    rows: list[Record],
    *,
    key: str,
    style: Style,
    page: int,
    per_page: int,
    position: Callable[[Record], Any],
    carried: tuple[str, ...] = ("id",),
) -> Record:
    """Return one page of a list in its envelope.

    A cursor carries some fields of a record, which give its position.
    """
    total = len(rows)
    pages = max(1, -(-total // per_page))
    start, stop, by_cursor = (page - 1) * per_page, page * per_page, False
    if cursor := params.get("cursor"):  # wins over `page`
        by_cursor = True
        side, place = _decode(cursor, position)
        if side == "after":
            start = bisect_right(rows, place, key=position)
            stop = start + per_page
        else:
            stop = bisect_left(rows, place, key=position)
            start = max(0, stop - per_page)
    chunk = rows[start:stop]
    is_first, is_last = start <= 0, stop >= total
    if by_cursor:
        page = 1 if is_first else pages
    repeated = {k: v for k, v in params.items() if k not in ("page", "cursor", "ref")}

    def link(ref: str, **where: Any) -> str:
        query = {**repeated, **where, "per_page": per_page, "ref": ref}
        return f"{url}?{urlencode(sorted(query.items()))}"

    following = preceding = None
    if style == "cursor" and chunk:
        last, first = ({name: row[name] for name in carried} for row in (chunk[-1], chunk[0]))
        following = None if is_last else link("next_cursor", cursor=_encode({"after": last}))
        preceding = None if is_first else link("previous_cursor", cursor=_encode({"before": first}))
    elif style == "page":
        following = None if is_last else link("next", page=page + 1)
        preceding = None if is_first else link("previous", page=page - 1)
    midway = by_cursor and not is_first and not is_last  # numbers are null there
    return {
        key: chunk,
        "per_page": per_page,
        "total_pages": pages,
        "total_entries": total,
        "next_page": None if midway or is_last else page + 1,
        "previous_page": None if midway or is_first else page - 1,
        "page": None if midway else page,
        "links": {
            "first": link("first", page=1),
            "next": following,
            "previous": preceding,
            "last": link("last", page=pages),
        },
    }


def _encode(content: Record) -> str:
    return base64.b64encode(encode(content)).decode()


def _decode(cursor: str, position: Callable[[Record], Any]) -> tuple[str, Any]:
    try:
        content = msgspec.json.decode(base64.b64decode(cursor), type=dict[str, dict[str, Any]])
        ((side, fields),) = content.items()
        return side, position(fields)
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError, ValueError):
        raise invalid("cursor") from None
