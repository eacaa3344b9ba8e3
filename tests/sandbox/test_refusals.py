"""What is refused, and how."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from harvest_sandbox import Sandbox

from .asking import ask


def test_user_agent(sandbox: Sandbox) -> None:
    """A request without User-Agent is refused with 400."""
    host = sandbox.base_url.split("/")[2]
    connection = http.client.HTTPConnection(host, timeout=10)
    headers = {"Authorization": f"Bearer {sandbox.token}", "Harvest-Account-Id": "424242"}
    connection.request("GET", "/v2/clients", headers=headers)
    assert connection.getresponse().status == 400
    connection.close()


def test_credentials(sandbox: Sandbox) -> None:
    """A bad token or no account id is 401 with its own JSON; another account is 404."""
    answer = ask(sandbox, "clients", "wrong")
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"
    assert "invalid_token" in answer.headers["WWW-Authenticate"]
    headers = {"Authorization": f"Bearer {sandbox.token}", "User-Agent": "tests"}
    url = f"{sandbox.base_url}/clients"
    assert requests.get(url, headers=headers, timeout=10).status_code == 401
    headers["Harvest-Account-Id"] = "1"
    assert requests.get(url, headers=headers, timeout=10).status_code == 404
    query = {"access_token": sandbox.token, "account_id": str(sandbox.account_id)}
    assert requests.get(url, query, timeout=10).status_code == 200


def test_not_found(sandbox: Sandbox) -> None:
    """An absent id answers 404 in JSON, a path that is none a page for people."""
    for path in ("clients/1", "invoices/1/payments", "users/1/cost_rates"):
        answer = ask(sandbox, path)
        assert answer.status_code == 404
        assert answer.json() == {"status": 404, "error": "Not Found"}
    for path in ("nothing", "clients/x", "user_assignments/1"):
        answer = ask(sandbox, path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "<h1>" in answer.text


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize(
    ("module", "paths"),
    [
        ("invoice", ["invoices", "invoice_item_categories", "invoices/1/payments"]),
        ("estimate", ["estimates", "estimate_item_categories"]),
        ("expense", ["expenses", "expense_categories"]),
    ],
)
def test_modules(sandbox: Sandbox, module: str, paths: list[str], status: int) -> None:
    """Lists of a module that the company has not answer 403 or 404, as set."""
    sandbox.module_status = status
    sandbox.account.company[f"{module}_feature"] = False
    assert [ask(sandbox, path).status_code for path in paths] == [status] * len(paths)
    assert ask(sandbox, "time_entries").status_code == 200


@pytest.fixture
def limited() -> Iterator[Sandbox]:
    """Serve with a limit of two requests."""
    with Sandbox("empty", rate_limit=(2, 10.0)) as served:
        yield served


def test_rate_limit(limited: Sandbox) -> None:
    """What is over the limit gets 429, nothing in it, HTML by its type."""
    statuses = [ask(limited, "clients").status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    answer = ask(limited, "clients")
    assert answer.content == b""
    assert answer.headers["Content-Type"].startswith("text/html")
    assert 1 <= int(answer.headers["Retry-After"]) <= 10


def test_retry_after(limited: Sandbox) -> None:
    """`Retry-After` can be a moment by Harvest's clock or be absent, and the body a page."""
    limited.retry_after, limited.throttle_body = "date", b"<h1>Slow down</h1>"
    limited.clock.shift(days=3)
    for _ in range(2):
        ask(limited, "clients")
    answer = ask(limited, "clients")
    assert answer.content == b"<h1>Slow down</h1>"
    now, then = (parsedate_to_datetime(answer.headers[name]) for name in ("Date", "Retry-After"))
    assert timedelta(0) < then - now <= timedelta(seconds=12)
    limited.retry_after = False
    assert "Retry-After" not in ask(limited, "clients").headers
