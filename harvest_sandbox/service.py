"""Harvest as a service: a request goes in, an answer comes out. It knows no sockets."""

from __future__ import annotations

import copy
import html
import re
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from itertools import groupby
from random import Random
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlencode

from . import answers
from .account import DATE_ORDER, RATES, Account, Order, Query, Record, order_of
from .answers import AnswerNow, encode
from .hosted import HostedAccount
from .identity import Identity
from .readers import Reader
from .reports import REPORTS, results
from .routes import LISTS, SINGLES, Route, Style, pattern
from .seed import build

ACCOUNT_ID = 424242
TOKENS = ("100.pt.sandbox-secret", "102.pt.manager-secret", "101.pt.member-secret")
SHARED_TOKEN = "103.pt.shared-secret"  # noqa: S105 - opens nothing but the sandbox
API = re.compile("(/api)?/v2/")
ACCOUNTS = "/api/v2/accounts"
"""The path at which the id host lists the accounts that a token reaches."""

AUTHORIZE, TOKEN = "/oauth2/authorize", "/api/v2/oauth2/token"
"""The paths at which the id host asks a person for consent, and gives tokens."""

CONSENT = b"""<!DOCTYPE html><title>Authorize</title><h1>May this application read Harvest?</h1>
<p><a href="%s">Allow</a></p>"""

FORECAST = {"id": 777_777, "name": "Sandbox Planning", "product": "forecast"}
"""Is listed beside the Harvest accounts, so that a client that does not filter by product fails."""

FAULTS = ("status", "drop", "truncate", "not_json", "hang", "redirect", "mutate")


@dataclass
class Request:
    """One request of the API, and what became of it.

    Args:
        path: The path, without the query.
        params: The parameters of the query.
        status: The status of the answer; 0 while there is none.
        records: How many records the answer holds.
        headers: The headers, their names in lower case.
        at: When the request came, by the monotonic clock.
        method: "GET" or "POST", whose form stands in `params`.
    """

    path: str
    params: dict[str, str]
    status: int = 0
    records: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time.monotonic)
    method: str = "GET"


@dataclass
class Fault:
    """A fault that was declared in advance, for the requests whose path matches.

    Args:
        kind: "status" and "redirect" answer with `status`, `body` and `headers`; "not_json" answers
            200 with `body` as HTML; "drop" closes the connection without an answer; "truncate"
            sends half of the body; "hang" waits `seconds` before it answers; "mutate" lets `change`
            alter the data.
        path: A regular expression that is searched for in the request's path. An empty one matches
            every request.
        times: How many requests meet the fault; -1 for all of them.
        after: How many matching requests are answered well before that.
        status: The status of "status" and "redirect".
        body: The body, sent as HTML.
        headers: More headers of the answer.
        seconds: How long "hang" waits.
        change: Gets a copy of the data and alters it in place.

    Raises:
        KeyError: There is no such kind.
    """

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
        """Refuse a kind that does not exist: it would do nothing, and the test would pass."""
        if self.kind not in FAULTS:
            raise KeyError(self.kind)


@dataclass
class Answer:
    """What is sent back.

    Args:
        status: The HTTP status.
        content: The body.
        media_type: The body's type.
        headers: More headers.
        broken: "drop": nothing is sent and the connection is closed. "truncate": only half of the
            body is sent. Empty: all of it is sent.
    """

    status: int
    content: bytes
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    broken: Literal["", "drop", "truncate"] = ""


class Service:
    """Answers requests of the API from one account, or from several (see `add_account`).

    Every setting is an attribute of the same name and can be changed at any time.

    Args:
        size: The size of the agency, one of `seed.SIZES`.
        seed: The same seed gives the same agency.
        rate_limit: How many requests are allowed in how many seconds; None for no limit.
        reports_limit: How many requests for reports, which count apart.
        retry_after: What a 429 says in `Retry-After`: True for seconds, "date" for a date, False
            for no such header.
        throttle_body: The HTML body of a 429.
        latency: How many seconds each answer takes.
        latency_per_record: How many seconds more it takes for each record in it.
        styles: "page" or "cursor" for all lists, or a style for each named table. A list without a
            style is paged as documented.
        page_cap: No page holds more records than this, whatever was asked for.
        without_total_entries: Tables whose lists do not say `total_entries`.
        total_entries_excess: By table, how many more entries `total_entries` says than there are,
            however often the list is read.
        module_status: What the lists of a switched-off module answer: 403 or 404.
        updated_since_exclusive: Whether `updated_since` leaves out records that changed in the very
            second that it names.
        undated_first: Whether records without a date come first in lists by date.
        ignored_filters: Documented parameters that are ignored, such as "updated_since".
        days_exclusive: Whether `from` and `to` leave out their own days.
        oldest_first: Lists by date that come in the opposite order.
        unsteady: How many of the days of numbered lists by date come in another order each time:
            from 0, none, to 1, all.
        without_archived: Tables whose lists leave out archived records unless `is_active` asks for
            them.
        date_ahead: How many seconds the `Date` header is ahead of the clock that stamps records;
            None for no such header.
        limit_headers: Whether answers name the limit and what is left of it.
        token_seconds: How long the access token of an application is good; None to leave
            `expires_in` out.
        rotates_tokens: Whether each refresh gives a new refresh token and ends the one before it,
            and the access tokens that came of it.
        account: An account to serve instead of a seeded one.

    Attributes:
        identity: The application, and what people granted it.
        person: The personal token of whoever agrees on the page of consent.
        account, account_id, users: The first account, its id, and its tokens with their users.
        token, manager_token, member_token: Tokens of the first account's administrator, manager
            and member.
        shared_token: A token that reaches every account, as soon as there are several.
        hosted: All accounts by their ids.
        log: All requests of the API, the oldest first.
        faults: The declared faults that have not been used up.
        before_request: Is called with the number of each request and the request, before it is
            answered.
    """

    def __init__(
        self,
        size: str = "tiny",
        seed: int = 1,
        *,
        rate_limit: tuple[int, float] | None = (100, 15.0),
        reports_limit: tuple[int, float] | None = (100, 900.0),
        retry_after: bool | Literal["date"] = True,
        throttle_body: bytes = b"",
        latency: float = 0.0,
        latency_per_record: float = 0.0,
        styles: str | dict[str, str] | None = None,
        page_cap: int = 2000,
        without_total_entries: Collection[str] = (),
        total_entries_excess: dict[str, int] | None = None,
        module_status: int = 403,
        updated_since_exclusive: bool = False,
        undated_first: bool = False,
        ignored_filters: Collection[str] = (),
        days_exclusive: bool = False,
        oldest_first: Collection[str] = (),
        unsteady: float = 0,
        without_archived: Collection[str] = (),
        date_ahead: float | None = 0.0,
        limit_headers: bool = False,
        token_seconds: int | None = 1_209_600,
        rotates_tokens: bool = False,
        account: Account | None = None,
    ) -> None:
        first = HostedAccount(account or build(size, seed), ACCOUNT_ID, TOKENS)
        self.hosted = {ACCOUNT_ID: first}
        self.account, self.account_id, self.users = first.account, ACCOUNT_ID, first.users
        self.token, self.manager_token, self.member_token = TOKENS
        self.shared_token = SHARED_TOKEN
        self.clock = self.account.clock
        self.rate_limit, self.reports_limit = rate_limit, reports_limit
        self.retry_after = retry_after
        self.throttle_body = throttle_body
        self.latency, self.latency_per_record = latency, latency_per_record
        self.styles, self.page_cap = styles, page_cap
        self.without_total_entries = without_total_entries
        self.total_entries_excess = total_entries_excess or {}
        self.module_status = module_status
        self.updated_since_exclusive = updated_since_exclusive
        self.undated_first = undated_first
        self.ignored_filters, self.days_exclusive = ignored_filters, days_exclusive
        self.oldest_first, self.without_archived = oldest_first, without_archived
        self.unsteady, self._luck = unsteady, Random(1)  # noqa: S311 - no secret
        self.date_ahead, self.limit_headers = date_ahead, limit_headers
        self.token_seconds, self.rotates_tokens = token_seconds, rotates_tokens
        self.identity, self.person = Identity(self.clock), self.token
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.before_request: Callable[[int, Request], None] | None = None
        self._answered: dict[bool, deque[float]] = {True: deque(), False: deque()}
        self._lock = Lock()

    def add_account(
        self,
        account_id: int = 515151,
        size: str = "tiny",
        seed: int = 2,
        *,
        first_id: int = 4_000_000_000,
    ) -> HostedAccount:
        """Serve one more account, by the same clock, and return it with its tokens.

        `shared_token` reaches this account and all others from now on; each of the other tokens
        reaches one account only.

        Args:
            account_id: Its id.
            size: The size of the agency, one of `seed.SIZES`.
            seed: The same seed gives the same agency.
            first_id: Its records have ids above this one. Whether two accounts can hold records
                with the same id is not documented; 3,000,000,000 makes them share ids with the
                first account's.

        Raises:
            ValueError: There is an account with this id already.
        """
        if account_id in self.hosted:
            raise ValueError(account_id)
        account = build(size, seed, self.clock, first_id)
        account.company["name"] = f"Agency {account_id}"
        tokens = (
            f"{account_id}.pt.sandbox-secret",
            f"{account_id}.pt.manager-secret",
            f"{account_id}.pt.member-secret",
        )
        added = self.hosted[account_id] = HostedAccount(account, account_id, tokens)
        for hosted in self.hosted.values():
            hosted.share(self.shared_token)
        return added

    def fault(self, kind: str, **options: Any) -> None:
        """Declare a fault; `Fault` lists the kinds and the options."""
        self.faults.append(Fault(kind, **options))

    def answer(self, request: Request) -> Answer:
        """Answer a request as Harvest does, or with the fault that was declared for it."""
        number = self._note(request)
        if self.before_request:
            self.before_request(number, request)
        fault = self._next_fault(request.path)
        if fault and fault.kind == "drop":
            return Answer(0, b"", broken="drop")
        if fault and fault.kind == "hang":
            time.sleep(fault.seconds)
        try:
            answer = Answer(200, self._content(request, fault))
        except AnswerNow as other:
            if isinstance(other.body, bytes):
                answer = Answer(other.status, other.body, "text/html", other.headers)
            else:
                answer = Answer(other.status, encode(other.body), headers=other.headers)
        request.status = answer.status
        if self.limit_headers and self.rate_limit:
            limit = self.rate_limit[0]
            answer.headers["X-RateLimit-Limit"] = str(limit)
            answer.headers["X-RateLimit-Remaining"] = str(
                max(0, limit - len(self._answered[False]))
            )
        time.sleep(self.latency + self.latency_per_record * request.records)
        if fault and fault.kind == "truncate":
            answer.broken = "truncate"
        return answer

    def _note(self, request: Request) -> int:
        """Log a request; return its number."""
        with self._lock:
            self.log.append(request)
            return len(self.log)

    def _next_fault(self, path: str) -> Fault | None:
        """Return the fault that this request meets, if any, and count it as used once."""
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

    def _throttle(self, *, report: bool) -> None:
        """Refuse what is over the limit; all accounts and tokens share one.

        Whether reports count in the general limit too is not documented: they don't.
        """
        limit = self.reports_limit if report else self.rate_limit
        if limit is None:
            return
        requests, seconds = limit
        with self._lock:
            now, window = time.monotonic(), self._answered[report]
            while window and window[0] <= now - seconds:
                window.popleft()
            if len(window) >= requests:
                wait = int(seconds - (now - window[0])) + 1
                raise AnswerNow(429, self.throttle_body, **self._retry_after(wait))
            window.append(now)

    def _retry_after(self, wait: int) -> dict[str, str]:
        if not self.retry_after:
            return {}
        if self.retry_after == "date":
            # A date has whole seconds only: one more makes up for the fraction that it drops.
            then = self.clock.now() + timedelta(seconds=wait + 1)
            return {"Retry-After": format_datetime(then, usegmt=True)}
        return {"Retry-After": str(wait)}

    def _content(self, request: Request, fault: Fault | None) -> bytes:
        """Return the JSON that answers a request, or raise another answer."""
        if fault and fault.kind in ("status", "redirect"):
            raise AnswerNow(fault.status, fault.body, **fault.headers)
        if fault and fault.kind == "not_json":
            raise AnswerNow(200, fault.body or b"<html>Maintenance</html>")
        if request.path == AUTHORIZE:
            raise self._consent(request)
        if request.path == TOKEN and request.method == "POST":
            self._demand_agent(request)
            given = self.identity.token(
                request.params, self.token_seconds, rotates=self.rotates_tokens
            )
            return self._encoded(given, fault)
        token = self._token(request)
        if request.path == ACCOUNTS:  # on another host, so it does not count in the limit
            return self._encoded(self._accounts(token), fault)
        hosted = self._account(request, token)
        self._throttle(report=_below_api(request.path).startswith("reports/"))
        with hosted.account.lock:  # the whole answer shows the account at one moment
            reader = Reader(hosted.account, hosted.users[token])
            return self._encoded(self._data(request, reader), fault)

    def _encoded(self, data: Record, fault: Fault | None) -> bytes:
        if fault and fault.change:
            data = copy.deepcopy(data)  # the fault changes this answer, not the account
            fault.change(data)
        return encode(data)

    def _consent(self, request: Request) -> AnswerNow:
        """Return the page that asks a person, or where who agreed there is sent."""
        self.identity.check(request.params)
        if request.params.get("agree") == "yes":
            return AnswerNow(302, b"", Location=self.identity.consent(request.params, self.person))
        link = f"{request.path}?{urlencode({**request.params, 'agree': 'yes'})}"
        return AnswerNow(200, CONSENT % html.escape(link).encode())

    @staticmethod
    def _demand_agent(request: Request) -> None:
        if not request.headers.get("user-agent"):
            raise AnswerNow(400, {"message": "User-Agent is required"})

    def _token(self, request: Request) -> str:
        """Return the token of a request; it may stand in the query.

        An application's access token is read as the personal token of who granted it.
        """
        self._demand_agent(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        token = self.identity.person_of(token or request.params.get("access_token", ""))
        if not any(hosted.accepts(token) for hosted in self.hosted.values()):
            raise answers.invalid_token()
        return token

    def _account(self, request: Request, token: str) -> HostedAccount:
        """Return the account that a request names, if its token reaches that account."""
        named = request.headers.get("harvest-account-id") or request.params.get("account_id")
        if not named:
            raise answers.invalid_token()
        for hosted in self.hosted.values():
            if named == str(hosted.account_id) and hosted.accepts(token):
                return hosted
        raise answers.not_found()

    def _accounts(self, token: str) -> Record:
        """Return the accounts that a token reaches."""
        reached = [hosted for hosted in self.hosted.values() if hosted.accepts(token)]
        user_id = reached[0].users[token] or 0
        user = reached[0].account.records["users"].get(user_id, {})
        products = [
            {
                "id": hosted.account_id,
                "name": hosted.account.company.get("name", ""),
                "product": "harvest",
            }
            for hosted in reached
        ]
        return {
            "user": {
                "id": user_id + 1,  # an id of Harvest ID, which is no user's id in any account
                "first_name": user.get("first_name", ""),
                "last_name": user.get("last_name", ""),
                "email": user.get("email", ""),
            },
            "accounts": [
                {**product, "google_sign_in_required": False} for product in (*products, FORECAST)
            ],
        }

    def _data(self, request: Request, reader: Reader) -> Record:
        """Return the data that a request reads, or raise another answer."""
        account = reader.account
        path, numbers = pattern(_below_api(request.path))
        if path == "company":
            return self._company(reader)
        if path in REPORTS:
            return self._report(request, reader, path)
        if path == "users/me":
            return self._record(LISTS["users"], reader, reader.user_id or 0, scoped=False)
        route = LISTS.get(path) or SINGLES.get(path)
        if route is None:
            raise answers.no_such_path()
        self._demand(route.module, account)
        parent_id = numbers[0] if "{id}" in route.path else None
        if not reader.may_read(route.readers, parent_id):
            raise answers.forbidden()
        if parent_id:
            parent = account.records[route.path.split("/")[0]].get(parent_id)
            if parent is None:
                raise answers.not_found()
            if route.of_managers and "manager" not in parent.get("access_roles", ()):
                raise answers.no_manager()
        if path in LISTS:
            return self._list(request, route, reader, parent_id)
        if parent_id and account.parent_of[route.table].get(numbers[-1]) != parent_id:
            raise answers.not_found()
        return self._record(route, reader, numbers[-1])

    def _demand(self, module: str, account: Account) -> None:
        """Refuse what belongs to a module that is switched off."""
        if module and not account.company.get(module, True):
            raise answers.not_found() if self.module_status == 404 else answers.forbidden()

    def _report(self, request: Request, reader: Reader, path: str) -> Record:
        self._demand(REPORTS[path].module, reader.account)
        page, per_page = answers.page_numbers(request.params)
        body = answers.envelope(
            f"http://{request.headers.get('host', '')}{request.path}",
            {name: value for name, value in request.params.items() if name != "cursor"},
            results(path, reader, request.params),
            key="results",
            style="page",
            page=page,
            per_page=min(per_page, self.page_cap),
            position=id,
        )
        request.records = len(body["results"])
        return body

    def _company(self, reader: Reader) -> Record:
        if not reader.administrator:
            raise answers.forbidden()
        return reader.account.company

    def _record(
        self, route: Route, reader: Reader, record_id: int, *, scoped: bool = True
    ) -> Record:
        record = reader.account.records[route.table].get(record_id)
        scope = reader.scope(route.table) if scoped else None
        if record is None or (scope and not scope.holds(route.table, record)):
            raise answers.not_found()
        (shown,) = self._shown(route.table, reader, [record])
        return shown

    def _shown(self, table: str, reader: Reader, rows: list[Record]) -> list[Record]:
        hidden = reader.hidden(table)
        rows = [reader.account.shown(table, row) for row in rows]
        if hidden:
            return [{k: v for k, v in row.items() if k not in hidden} for row in rows]
        return rows

    def _style(self, route: Route) -> Style:
        styles = self.styles
        chosen = styles.get(route.table) if isinstance(styles, dict) else styles
        return "page" if (chosen or route.style) == "page" else "cursor"

    def _unsteady(self, rows: list[Record], date: str) -> list[Record]:
        days = [list(day) for _, day in groupby(rows, key=lambda row: row[date])]
        for day in days:
            if self._luck.random() < self.unsteady:
                self._luck.shuffle(day)
        return [row for day in days for row in day]

    def _list(
        self, request: Request, route: Route, reader: Reader, parent_id: int | None
    ) -> Record:
        page, per_page = answers.page_numbers(request.params)
        style: Style = "cursor" if "cursor" in request.params else self._style(route)
        order: Order = "newest" if style == "cursor" else "listed"
        heeded = {k: v for k, v in request.params.items() if k not in self.ignored_filters}
        if route.table in self.without_archived:
            heeded.setdefault("is_active", "true")
        filters = answers.filters(
            route,
            heeded,
            exclusive=self.updated_since_exclusive,
            days_exclusive=self.days_exclusive,
        )
        query = Query(
            route.table,
            parent_id,
            order,
            scope=reader.scope(route.table),
            undated_first=self.undated_first,
            **filters,
        )
        rows, position = reader.account.select(query), order_of(route.table, order)
        if route.table in self.oldest_first:
            if style == "cursor":
                rows, position = sorted(rows, key=lambda row: row["id"]), lambda row: row["id"]
            else:
                rows = rows[::-1]
        if self.unsteady and style == "page" and (date := DATE_ORDER.get(route.table)):
            rows = self._unsteady(rows, date)
        body = answers.envelope(
            f"http://{request.headers.get('host', '')}{request.path}",
            request.params,
            rows,
            key=route.key,
            style=style,
            page=page,
            per_page=min(per_page, self.page_cap),
            position=position,
            carried=("start_date", "id") if route.table in RATES else ("id",),
        )
        body[route.key] = self._shown(route.table, reader, body[route.key])
        body["total_entries"] += self.total_entries_excess.get(route.table, 0)
        if route.table in self.without_total_entries:
            del body["total_entries"]
        request.records = len(body[route.key])
        return body


def _below_api(path: str) -> str:
    """Return the part of a path that follows the API's version; empty for other paths."""
    prefix = API.match(path)
    return path[prefix.end() :] if prefix else ""
