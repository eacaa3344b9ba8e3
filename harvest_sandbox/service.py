"""Harvest as a service: a request goes in, an answer comes out. It knows no sockets.

Sections (§) are those of the notes on Harvest's API that the README names.
"""

from __future__ import annotations

import copy
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from threading import Lock
from typing import Any, Literal

from . import answers
from .account import RATES, Account, Order, Query, Record, order_of
from .answers import ENCODE, AnswerNow
from .readers import Reader
from .routes import LISTS, SINGLES, Route, Style, pattern
from .seed import build

TOKEN, ACCOUNT_ID = "100.pt.sandbox-secret", 424242
MEMBER_TOKEN, MANAGER_TOKEN = "101.pt.member-secret", "102.pt.manager-secret"
API = re.compile("(/api)?/v2/")
FAULTS = ("status", "drop", "truncate", "not_json", "hang", "redirect", "mutate")


@dataclass
class Request:
    """One request as the server saw it."""

    path: str
    params: dict[str, str]
    status: int = 0
    records: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time.monotonic)


@dataclass
class Fault:
    """A declared fault: what happens to the next `times` requests whose path matches."""

    kind: str
    path: str = ""
    times: int = 1
    after: int = 0
    status: int = 500
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    change: Callable[[Record], None] | None = None

    def __post_init__(self) -> None:
        """Refuse a kind that nothing would come of."""
        if self.kind not in FAULTS:
            raise KeyError(self.kind)


@dataclass
class Answer:
    """What is sent back.

    Args:
        status: The HTTP status.
        content: The body.
        media_type: Its type.
        headers: Further headers.
        broken: Whether no byte of it is sent ("drop"), or half of the body ("truncate").
    """

    status: int
    content: bytes
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    broken: Literal["", "drop", "truncate"] = ""


class Service:
    """Answers requests of the API from an account.

    All settings can be changed while it serves.

    Args:
        size: How large an agency, see `seed.SIZES`.
        seed: The same seed gives the same agency.
        rate_limit: Requests and seconds, or None for no limit (§2).
        retry_after: What a 429 names: True for seconds, "date" for a moment, False for nothing.
        throttle_body: The body of a 429, HTML (§1.5).
        latency: Seconds that each answer takes.
        latency_per_record: Seconds more for each record in it.
        styles: "page" or "cursor" for all lists, or by table; default: as documented (§3.2).
        page_cap: Give pages smaller than asked for.
        module_status: What a switched-off module answers, 403 or 404 (§9 point 9).
        updated_since_exclusive: Whether `updated_since` leaves out its own second (§9 point 5).
        undated_first: Whether records without a date come first in lists by date (§9 point 27).
        account: Serve this one instead of a seeded one.
    """

    def __init__(
        self,
        size: str = "tiny",
        seed: int = 1,
        *,
        rate_limit: tuple[int, float] | None = (100, 15.0),
        retry_after: bool | Literal["date"] = True,
        throttle_body: bytes = b"",
        latency: float = 0.0,
        latency_per_record: float = 0.0,
        styles: str | dict[str, str] | None = None,
        page_cap: int = 2000,
        module_status: int = 403,
        updated_since_exclusive: bool = False,
        undated_first: bool = False,
        account: Account | None = None,
    ) -> None:
        self.account = account or build(size, seed)
        self.clock = self.account.clock
        self.rate_limit, self.retry_after = rate_limit, retry_after
        self.throttle_body = throttle_body
        self.latency, self.latency_per_record = latency, latency_per_record
        self.styles, self.page_cap = styles, page_cap
        self.module_status = module_status
        self.updated_since_exclusive = updated_since_exclusive
        self.undated_first = undated_first
        self.token, self.member_token, self.manager_token = TOKEN, MEMBER_TOKEN, MANAGER_TOKEN
        self.account_id = ACCOUNT_ID
        self.users = self._token_users()
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.before_request: Callable[[int, Request], None] | None = None
        self._window: deque[float] = deque()
        self._lock = Lock()

    def _token_users(self) -> dict[str, int | None]:
        """Give each token its user: the first one with the role."""
        users: dict[str, int | None] = {self.token: None}
        wanted = {
            self.token: "administrator", self.member_token: "member", self.manager_token: "manager",
        }  # fmt: skip
        for user_id, user in sorted(self.account.records["users"].items()):
            for token, role in wanted.items():
                if role in user.get("access_roles", ()) and users.get(token) is None:
                    users[token] = user_id
        return users

    def fault(self, kind: str, **options: Any) -> None:
        """Declare a fault: status, drop, truncate, not_json, hang, redirect or mutate."""
        self.faults.append(Fault(kind, **options))

    def answer(self, request: Request) -> Answer:
        """Answer a request: with the fault that it meets, or else as Harvest does."""
        number = self._note(request)
        if self.before_request:
            self.before_request(number, request)
        fault = self._next_fault(request.path)
        if fault and fault.kind == "drop":
            return Answer(0, b"", broken="drop")
        if fault and fault.kind == "hang":
            time.sleep(fault.seconds)
        try:
            with self.account.lock:  # one answer is one moment's
                answer = Answer(200, self._content(request, fault))
        except AnswerNow as other:
            if isinstance(other.body, bytes):
                answer = Answer(other.status, other.body, "text/html", other.headers)
            else:
                answer = Answer(other.status, ENCODE(other.body), headers=other.headers)
        request.status = answer.status
        time.sleep(self.latency + self.latency_per_record * request.records)
        if fault and fault.kind == "truncate":
            answer.broken = "truncate"
        return answer

    def _next_fault(self, path: str) -> Fault | None:
        """Take the fault that this request meets, if any."""
        with self._lock:
            for fault in self.faults:
                if re.search(fault.path, path):
                    if fault.after > 0:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    if fault.times == 0:
                        self.faults.remove(fault)
                    return fault
        return None

    def _note(self, request: Request) -> int:
        """Log a request; return its number."""
        with self._lock:
            self.log.append(request)
            return len(self.log)

    def _throttle(self) -> None:
        """§2: refuse what is over the limit."""
        if self.rate_limit is None:
            return
        limit, seconds = self.rate_limit
        with self._lock:
            now = time.monotonic()
            while self._window and self._window[0] <= now - seconds:
                self._window.popleft()
            if len(self._window) >= limit:
                wait = int(seconds - (now - self._window[0])) + 1
                raise AnswerNow(429, self.throttle_body, **self._retry_after(wait))
            self._window.append(now)

    def _retry_after(self, wait: int) -> dict[str, str]:
        if not self.retry_after:
            return {}
        if self.retry_after == "date":
            then = self.clock.now() + timedelta(seconds=wait + 1)  # the form drops fractions
            return {"Retry-After": format_datetime(then, usegmt=True)}
        return {"Retry-After": str(wait)}

    def _content(self, request: Request, fault: Fault | None) -> bytes:
        """Return the JSON that a request gets, or raise another answer."""
        if fault and fault.kind in ("status", "redirect"):
            raise AnswerNow(fault.status, fault.body, **fault.headers)
        if fault and fault.kind == "not_json":
            raise AnswerNow(200, fault.body or b"<html>Maintenance</html>")
        data = self._data(request)
        if fault and fault.change:
            data = copy.deepcopy(data)  # the fault's, not the account's
            fault.change(data)
        return ENCODE(data)

    def _data(self, request: Request) -> Record:
        """Return the data that a request reads, or raise another answer."""
        reader = self._authenticate(request)
        self._throttle()
        prefix = API.match(request.path)
        path, numbers = pattern(request.path[prefix.end() :] if prefix else "")
        if path == "company":
            return self._company(reader)
        if path == "users/me":
            return self._record(LISTS["users"], reader, reader.user_id or 0, scoped=False)
        route = LISTS.get(path) or SINGLES.get(path)
        if route is None:
            raise answers.no_such_path()
        if route.module and not self.account.company.get(route.module, True):
            raise answers.not_found() if self.module_status == 404 else answers.forbidden()
        if not reader.may_read(route.readers):
            raise answers.forbidden()
        parent_id = numbers[0] if "{id}" in route.path else None
        if parent_id and parent_id not in self.account.records[route.path.split("/")[0]]:
            raise answers.not_found()
        if path in LISTS:
            return self._list(request, route, reader, parent_id)
        if parent_id and self.account.parent_of[route.table].get(numbers[-1]) != parent_id:
            raise answers.not_found()
        return self._record(route, reader, numbers[-1])

    def _authenticate(self, request: Request) -> Reader:
        """Return who asks (§1.2); tokens and account ids may stand in the query."""
        headers, params = request.headers, request.params
        if not headers.get("user-agent"):
            raise AnswerNow(400, {"message": "User-Agent is required"})
        token = headers.get("authorization", "").removeprefix("Bearer ")
        token = token or params.get("access_token", "")
        account = headers.get("harvest-account-id") or params.get("account_id")
        if token not in self.users or not account:
            raise answers.invalid_token()
        if account != str(self.account_id):
            raise answers.not_found()
        user_id = self.users[token]
        if token != self.token and user_id not in self.account.records["users"]:
            raise answers.invalid_token()
        return Reader(self.account, user_id)

    def _company(self, reader: Reader) -> Record:
        if not reader.administrator:
            raise answers.forbidden()
        return self.account.company

    def _record(
        self, route: Route, reader: Reader, record_id: int, *, scoped: bool = True
    ) -> Record:
        record = self.account.records[route.table].get(record_id)
        scope = reader.scope(route.table) if scoped else None
        if record is None or (scope and not scope.holds(route.table, record)):
            raise answers.not_found()
        (shown,) = self._shown(route.table, reader, [record])
        return shown

    def _shown(self, table: str, reader: Reader, rows: list[Record]) -> list[Record]:
        hidden = reader.hidden(table)
        rows = [self.account.shown(table, row) for row in rows]
        if hidden:
            return [{k: v for k, v in row.items() if k not in hidden} for row in rows]
        return rows

    def _style(self, route: Route) -> Style:
        styles = self.styles
        chosen = styles.get(route.table) if isinstance(styles, dict) else styles
        return "page" if (chosen or route.style) == "page" else "cursor"

    def _list(
        self, request: Request, route: Route, reader: Reader, parent_id: int | None
    ) -> Record:
        page, per_page = answers.page_numbers(request.params)
        style: Style = "cursor" if "cursor" in request.params else self._style(route)
        order: Order = "newest" if style == "cursor" else "listed"
        query = Query(
            route.table,
            parent_id,
            order,
            scope=reader.scope(route.table),
            undated_first=self.undated_first,
            **answers.filters(route, request.params, exclusive=self.updated_since_exclusive),
        )
        body = answers.envelope(
            f"http://{request.headers.get('host', '')}{request.path}",
            request.params,
            self.account.select(query),
            key=route.key,
            style=style,
            page=page,
            per_page=min(per_page, self.page_cap),
            position=order_of(route.table, order),
            carried=("start_date", "id") if route.table in RATES else ("id",),
        )
        body[route.key] = self._shown(route.table, reader, body[route.key])
        request.records = len(body[route.key])
        return body
