"""Control over HTTP, for a sandbox in its own process: outside auth, rate limit and log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .account import Account
from .answers import encode
from .routes import pattern
from .service import Answer, Service

PREFIX = "/_sandbox/"

SETTINGS = (
    "rate_limit reports_limit retry_after throttle_body latency latency_per_record styles page_cap "
    "without_total_entries total_entries_excess module_status updated_since_exclusive "
    "undated_first ignored_filters days_exclusive oldest_first unsteady without_archived "
    "date_ahead limit_headers token_seconds rotates_tokens"
).split()
"""Settings of `Service` that can be read and changed."""


class _Call:
    """One call: what is asked of which service."""

    def __init__(
        self, service: Service, names: list[str], params: dict[str, str], body: Any
    ) -> None:
        self.service, self.names, self.params, self.body = service, names, params, body

    @property
    def account(self) -> Account:
        """The account that `account_id` names, or else the first one."""
        account_id = int(self.params.get("account_id", self.service.account_id))
        return self.service.hosted[account_id].account

    def accounts(self) -> Any:
        """Serve one more account; the body holds the arguments of `add_account`."""
        added = self.service.add_account(**self.body)
        return {
            "account_id": added.account_id,
            "token": added.token,
            "manager_token": added.manager_token,
            "member_token": added.member_token,
            "shared_token": self.service.shared_token,
        }

    def log(self) -> Any:
        """Return all requests since the last reset."""
        return [
            {
                "path": request.path,
                "params": request.params,
                "status": request.status,
                "records": request.records,
                "at": request.at,
            }
            for request in list(self.service.log)
        ]

    def stats(self) -> Any:
        """Return counts of the requests since the last reset."""
        log = list(self.service.log)
        statuses = Counter(str(request.status) for request in log)
        return {
            "requests": len(log),
            "records": sum(request.records for request in log),
            "by_status": statuses,
            "throttled": statuses["429"],
            "by_path": Counter(pattern(request.path)[0] for request in log),
        }

    def reset(self) -> Any:
        """Forget the log and the declared faults."""
        self.service.log.clear()
        self.service.faults.clear()
        return {}

    def truth(self) -> Any:
        """Return a table's records as an administrator's full read gives them."""
        (table,) = self.names
        return self.account.truth(table)

    def add(self) -> Any:
        """Add the record in the body; `parent_id` says whose a child is."""
        (table,) = self.names
        parent = self.params.get("parent_id")
        return self.account.add(table, self.body, int(parent) if parent else None)

    def update(self) -> Any:
        """Change the fields in the body; `touch=false` leaves the stamp."""
        table, *ids = self.names
        account = self.account
        if table == "company":
            with account.lock:
                account.company.update(self.body)
                return account.company
        touch = self.params.get("touch") != "false"
        return account.update(table, int(ids[0]), touch=touch, **self.body)

    def delete(self) -> Any:
        """Delete a record."""
        table, record_id = self.names
        self.account.delete(table, int(record_id))
        return {}

    def fault(self) -> Any:
        """Declare the fault in the body."""
        self.service.fault(**{**self.body, "body": self.body.get("body", "").encode()})
        return {}

    def clock(self) -> Any:
        """Shift the clock or set its speed; return its moment."""
        clock = self.service.clock
        clock.shift(**self.body.get("shift", {}))
        clock.speed = self.body.get("speed", clock.speed)
        return {"now": clock.stamp(), "speed": clock.speed}

    def settings(self) -> Any:
        """Change the settings in the body; return all."""
        if unknown := self.body.keys() - SETTINGS:
            raise KeyError(*unknown)
        for name, value in self.body.items():
            kept = float(value) if isinstance(value, Decimal) else value
            if name.endswith("_limit") and value:
                requests, seconds = value
                kept = (requests, float(seconds))
            elif name == "throttle_body":
                kept = value.encode()
            setattr(self.service, name, kept)
        values = {name: getattr(self.service, name) for name in SETTINGS}
        return {**values, "throttle_body": self.service.throttle_body.decode()}


CALLS: dict[tuple[str, str], Callable[[_Call], Any]] = {
    ("GET", "log"): _Call.log,
    ("GET", "stats"): _Call.stats,
    ("GET", "truth"): _Call.truth,
    ("GET", "settings"): _Call.settings,
    ("POST", "settings"): _Call.settings,
    ("POST", "reset"): _Call.reset,
    ("POST", "accounts"): _Call.accounts,
    ("POST", "add"): _Call.add,
    ("POST", "update"): _Call.update,
    ("POST", "delete"): _Call.delete,
    ("POST", "fault"): _Call.fault,
    ("POST", "clock"): _Call.clock,
}


def answer(service: Service, method: str, path: str, content: bytes) -> Answer:
    """Do what is asked, and tell what came of it in JSON."""
    status, value = _call(service, method, path, content)
    return Answer(status, encode(value))


def _call(service: Service, method: str, path: str, content: bytes) -> tuple[int, Any]:
    url = urlsplit(path)
    name, *names = url.path.removeprefix(PREFIX).strip("/").split("/")
    call = CALLS.get((method, name))
    if call is None:
        return 404, {"error": f"no such call: {method} {url.path}"}
    try:
        body = json.loads(content or b"{}", parse_float=Decimal)
        return 200, call(_Call(service, names, dict(parse_qsl(url.query)), body))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return 422, {"error": f"{type(error).__name__}: {error}"}
