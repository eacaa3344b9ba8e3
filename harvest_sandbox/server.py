"""The server: routes, envelopes, filters, errors, limits and declared faults.

Sections (§) are those of the notes on Harvest's API that the README names.
"""

from __future__ import annotations

import base64
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from typing_extensions import Self

from .account import DATE_ORDER, TABLES, Account, Record
from .seed import build

ENCODE = msgspec.json.Encoder(decimal_format="number").encode

CHILD_ROUTES = {
    "invoices/{}/messages": ("invoice_messages", "invoice_messages"),
    "invoices/{}/payments": ("invoice_payments", "invoice_payments"),
    "estimates/{}/messages": ("estimate_messages", "estimate_messages"),
    "users/{}/billable_rates": ("user_billable_rates", "billable_rates"),
    "users/{}/cost_rates": ("user_cost_rates", "cost_rates"),
}
"""Path -> table and envelope key (§4)."""

MODULES = {
    "invoice": "invoice_feature",
    "estimate": "estimate_feature",
    "expense": "expense_feature",
}
NO_UPDATED_SINCE = {"roles", "user_billable_rates", "user_cost_rates"}
REFERENCES = ("user_id", "client_id", "project_id", "task_id")
FLAGS = ("is_active", "is_billed", "is_running")
TOKEN, ACCOUNT_ID, MEMBER_TOKEN = "100.pt.sandbox-secret", 424242, "101.pt.member-secret"
FORBIDDEN_TO_MEMBERS = re.compile(
    "company|users|clients|contacts|tasks|roles|projects|invoices|estimates|.*categories|.*assignments"
)


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


class AnswerNow(Exception):  # noqa: N818 - a short cut out of a route, not an error
    """An answer other than data."""

    def __init__(self, status: int, body: Any, **headers: str) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


def not_found() -> AnswerNow:
    """§1.5: an id that is absent or not visible."""
    return AnswerNow(404, {"status": 404, "error": "Not Found"})


class Sandbox:
    """Serves an account on a free local port while the context is open.

    Args:
        size: How large an agency, see `seed.SIZES`.
        seed: The same seed gives the same agency.
        rate_limit: Requests and seconds, or None for no limit (§2).
        latency: Seconds that each answer takes.
        latency_per_record: Seconds more for each record in it.
        styles: "page" or "cursor" for all lists; default: as documented (§3.2).
        page_cap: Give pages smaller than asked for.
        port: 0 for a free one.
    """

    def __init__(
        self,
        size: str = "tiny",
        seed: int = 1,
        *,
        rate_limit: tuple[int, float] | None = (100, 15.0),
        latency: float = 0.0,
        latency_per_record: float = 0.0,
        styles: str | None = None,
        page_cap: int = 2000,
        port: int = 0,
        account: Account | None = None,
    ) -> None:
        self.account = account or build(size, seed)
        self.clock = self.account.clock
        self.rate_limit, self.retry_after = rate_limit, True
        self.latency, self.latency_per_record = latency, latency_per_record
        self.styles, self.page_cap = styles, page_cap
        self.token, self.member_token, self.account_id = TOKEN, MEMBER_TOKEN, ACCOUNT_ID
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.before_request: Callable[[int, Request], None] | None = None
        self._window: deque[float] = deque()
        self._lock = Lock()
        handler = type("Handler", (_Handler,), {"sandbox": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v2"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault(self, kind: str, **options: Any) -> None:
        """Declare a fault: status, drop, truncate, not_json, hang, redirect or mutate."""
        self.faults.append(Fault(kind, **options))

    def next_fault(self, path: str) -> Fault | None:
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

    def note(self, request: Request) -> int:
        """Log a request; return its number."""
        with self._lock:
            self.log.append(request)
            return len(self.log)

    def throttle(self) -> None:
        """§2: refuse what is over the limit."""
        if self.rate_limit is None:
            return
        limit, seconds = self.rate_limit
        with self._lock:
            now = time.monotonic()
            while self._window and self._window[0] <= now - seconds:
                self._window.popleft()
            if len(self._window) >= limit:
                wait = {"Retry-After": str(int(seconds - (now - self._window[0])) + 1)}
                raise AnswerNow(429, b"", **(wait if self.retry_after else {}))
            self._window.append(now)

    def answer(self, request: Request) -> Any:
        """Return the JSON answer to a request, or raise another answer."""
        member = self._authenticate(request)
        self.throttle()
        parts = request.path.removeprefix("/v2/").strip("/").split("/")
        if member and FORBIDDEN_TO_MEMBERS.fullmatch(parts[0]) and parts != ["users", "me"]:
            raise AnswerNow(403, {"message": "Not authorized!"}, Hint="Not authorized!")
        for prefix, flag in MODULES.items():
            if parts[0].startswith(prefix) and not self.account.company[flag]:
                raise AnswerNow(403, {"message": "Not authorized!"}, Hint="Not authorized!")
        if parts == ["company"]:
            return self.account.company
        if len(parts) == 1 and parts[0] in TABLES:
            return self._list(request, parts[0], parts[0], None)
        if len(parts) == 2 and parts[0] in TABLES:
            rows = self.account.records[parts[0]]
            wanted = min(rows) if parts[1] == "me" else parts[1]
            if not str(wanted).isdigit() or int(wanted) not in rows:
                raise not_found()
            return self.account.shown(parts[0], rows[int(wanted)])
        if len(parts) == 3 and (route := CHILD_ROUTES.get(f"{parts[0]}/{{}}/{parts[2]}")):
            if not parts[1].isdigit() or int(parts[1]) not in self.account.records[parts[0]]:
                raise not_found()
            return self._list(request, *route, int(parts[1]))
        raise AnswerNow(404, b"<html>Not Found</html>")

    def _authenticate(self, request: Request) -> bool:
        headers = request.headers
        if not headers.get("user-agent"):
            raise AnswerNow(400, {"message": "User-Agent is required"})
        token = headers.get("authorization", "").removeprefix("Bearer ")
        account = headers.get("harvest-account-id", "")
        if token not in (self.token, self.member_token) or not account:
            error = {
                "error": "invalid_token",
                "error_description": "The access token provided is expired, revoked, malformed or "
                "invalid for other reasons.",
            }
            raise AnswerNow(401, error, **{"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if account != str(self.account_id):
            raise not_found()
        return token == self.member_token

    def _list(self, request: Request, table: str, key: str, parent_id: int | None) -> Record:
        """One page in its envelope, an atomic snapshot (§3)."""
        params = request.params
        try:
            per_page, page = int(params.get("per_page", 2000)), int(params.get("page", 1))
        except ValueError:
            raise AnswerNow(422, {"message": "per_page is invalid"}) from None
        if not 1 <= per_page <= 2000 or page < 1:
            raise AnswerNow(422, {"message": "per_page must be between 1 and 2000"})
        per_page = min(per_page, self.page_cap)
        with self.account.lock:
            rows = [
                self.account.shown(table, row)
                for row in self.account.rows(table, parent_id)
                if _matches(row, table, params)
            ]
            total = len(rows)
            pages = max(1, -(-total // per_page))
            style = self.styles or ("page" if table in DATE_ORDER else "cursor")
            cursor = params.get("cursor")
            if cursor:
                after = msgspec.json.decode(base64.b64decode(cursor))["after"]["id"]
                rows = _newest_first([row for row in rows if row["id"] < after])
            elif style == "cursor" and page == 1:
                rows = _newest_first(rows)
            else:
                rows = rows[(page - 1) * per_page :]
            chunk, more = rows[:per_page], len(rows) > per_page
            request.records = len(chunk)
            filters = {k: v for k, v in params.items() if k not in ("page", "cursor", "ref")}

            def link(ref: str, **where: Any) -> str:
                query = {**filters, **where, "per_page": per_page, "ref": ref}
                path = request.path.removeprefix("/v2")
                return f"{self.base_url}{path}?{urlencode(sorted(query.items()))}"

            following = None
            if more and style == "cursor":
                token = base64.b64encode(ENCODE({"after": {"id": chunk[-1]["id"]}})).decode()
                following = link("next_cursor", cursor=token)
            elif more:
                following = link("next", page=page + 1)
            midway = cursor is not None and more  # §3.1: numbers are null midway
            return {
                key: chunk,
                "per_page": per_page,
                "total_pages": pages,
                "total_entries": total,
                "next_page": page + 1 if more and not midway else None,
                "previous_page": page - 1 if page > 1 else None,
                "page": None if midway else page,
                "links": {
                    "first": link("first", page=1),
                    "next": following,
                    "previous": None,
                    "last": link("last", page=pages),
                },
            }


def _newest_first(rows: list[Record]) -> list[Record]:
    """§3.2: a cursor is a keyset on the id."""
    return sorted(rows, key=lambda row: -int(row["id"]))


def _matches(row: Record, table: str, params: dict[str, str]) -> bool:
    """Whether a record passes the filters that its endpoint documents (§3.3)."""
    since = params.get("updated_since")
    if since and table not in NO_UPDATED_SINCE:
        try:
            moment = datetime.fromisoformat(since.replace("Z", "+00:00"))
        except ValueError:
            raise AnswerNow(422, {"message": "updated_since is invalid"}) from None
        if datetime.fromisoformat(row["updated_at"].replace("Z", "+00:00")) < moment:
            return False
    if date := DATE_ORDER.get(table):
        day = row[date] or ""
        if "from" in params and not day >= params["from"]:
            return False
        if "to" in params and not (day and day <= params["to"]):
            return False
    for name in FLAGS:
        if name in params and name in row and row[name] != (params[name] == "true"):
            return False
    for name in REFERENCES:
        nested = row.get(name.removesuffix("_id"))
        if name in params and isinstance(nested, dict) and str(nested["id"]) != params[name]:
            return False
    return not ("state" in params and row.get("state") != params["state"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    sandbox: Sandbox

    def log_message(self, *_: object) -> None:
        """Stay quiet: the log is `Sandbox.log`."""

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002
        """Let the `Date` header show the sandbox's clock."""
        return super().date_time_string(self.sandbox.clock.now().timestamp())

    def do_GET(self) -> None:
        sandbox = self.sandbox
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(url.path, dict(parse_qsl(url.query)), headers=headers)
        number = sandbox.note(request)
        if sandbox.before_request:
            sandbox.before_request(number, request)
        fault = sandbox.next_fault(url.path)
        extra: dict[str, str] = {}
        try:
            if fault and fault.kind == "drop":
                self.close_connection = True
                return
            if fault and fault.kind in ("status", "redirect"):
                raise AnswerNow(fault.status, fault.body, **fault.headers)  # noqa: TRY301
            if fault and fault.kind == "not_json":
                raise AnswerNow(200, fault.body or b"<html>Maintenance</html>")  # noqa: TRY301
            if fault and fault.kind == "hang":
                time.sleep(fault.seconds)
            answer, request.status = sandbox.answer(request), 200
            if fault and fault.change:
                fault.change(answer)
        except AnswerNow as other:
            answer, request.status, extra = other.body, other.status, other.headers
        body = answer if isinstance(answer, bytes) else ENCODE(answer)
        time.sleep(sandbox.latency + sandbox.latency_per_record * request.records)
        self.send_response(request.status)
        kind = "text/html" if isinstance(answer, bytes) else "application/json"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        if fault and fault.kind == "truncate":
            body, self.close_connection = body[: len(body) // 2], True
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True
