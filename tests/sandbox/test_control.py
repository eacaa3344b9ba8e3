"""How tests and people use the sandbox."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from harvest_sandbox import Sandbox
from harvest_sandbox.seed import build
from tests.running import ROOT

from .asking import Json, ask


@pytest.fixture
def control(sandbox: Sandbox) -> Callable[..., Any]:
    """Call the control over HTTP."""

    def call(path: str, body: object = None, **params: str) -> Any:
        url = sandbox.base_url.replace("/v2", f"/_sandbox/{path}")
        if body is None:
            answer = requests.get(url, params, timeout=10)
        else:
            answer = requests.post(url, json=body, params=params, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return call


def test_control_edits(sandbox: Sandbox, control: Callable[..., Any]) -> None:
    """Records are added, changed, deleted and told over HTTP, decimals exact."""
    client = control("add/clients", {"name": "Neu", "is_active": True, "currency": "EUR"})
    assert ask(sandbox, f"clients/{client['id']}").json()["name"] == "Neu"
    changed = control(f"update/clients/{client['id']}", {"name": "Alt"}, touch="false")
    assert changed["updated_at"] == client["updated_at"]
    control(f"delete/clients/{client['id']}", {})
    assert ask(sandbox, f"clients/{client['id']}").status_code == 404
    invoice = next(row for row in sandbox.account.truth("invoices") if row["due_amount"] > 1)
    control("add/invoice_payments", {"amount": 0.1}, parent_id=str(invoice["id"]))
    left = sandbox.account.records["invoices"][invoice["id"]]["due_amount"]
    assert left == invoice["due_amount"] - Decimal("0.1")
    assert control("update/company", {"invoice_feature": False})["invoice_feature"] is False
    assert len(control("truth/clients")) == len(sandbox.account.records["clients"])


def test_control_log(sandbox: Sandbox, control: Callable[..., Any]) -> None:
    """The log and its counts tell of API requests only, and can be emptied."""
    invoice = sandbox.account.rows("invoices")[0]["id"]
    for path in ("clients", f"invoices/{invoice}/payments", "clients/1"):
        ask(sandbox, path)
    stats = control("stats")
    assert stats["requests"] == 3
    assert stats["by_status"] == {"200": 2, "404": 1}
    assert stats["throttled"] == 0
    assert stats["by_path"]["v2/invoices/{id}/payments"] == 1
    assert [entry["status"] for entry in control("log")] == [200, 200, 404]
    control("reset", {})
    assert control("stats")["requests"] == 0


def test_control_settings(sandbox: Sandbox, control: Callable[..., Any]) -> None:
    """Settings, clock and faults are set over HTTP; what is unknown is refused."""
    settings = {"page_cap": 3, "styles": {"clients": "page"}, "latency": 0.01}
    control("settings", {**settings, "rate_limit": [2, 60.0]})
    assert control("settings")["rate_limit"] == [2, 60]
    assert "page=2" in ask(sandbox, "clients").json()["links"]["next"]
    totals = {"without_total_entries": ["tasks"], "total_entries_excess": {"users": 1}}
    assert totals.items() <= control("settings", totals).items()
    control("fault", {"kind": "status", "path": "tasks", "status": 503, "body": "busy"})
    assert ask(sandbox, "tasks").text == "busy"
    ask(sandbox, "tasks")
    assert ask(sandbox, "tasks").status_code == 429
    assert control("settings", {"rate_limit": None})["rate_limit"] is None
    assert control("clock", {"shift": {"days": 1}, "speed": 0})["speed"] == 0
    base = sandbox.base_url.replace("/v2", "/_sandbox")
    for call in ("settings", "fault"):
        refused = requests.post(f"{base}/{call}", json={"kind": "x"}, timeout=10)
        assert refused.status_code == 422
    assert requests.get(f"{base}/nothing", timeout=10).status_code == 404


@pytest.mark.parametrize("kind", ["drop", "truncate"])
def test_broken_answers(sandbox: Sandbox, kind: str) -> None:
    """A declared fault meets as many requests as said, after as many as said."""
    sandbox.fault(kind, path="clients", after=1, times=1)
    assert ask(sandbox, "tasks").ok
    assert ask(sandbox, "clients").ok
    with pytest.raises(requests.RequestException):
        ask(sandbox, "clients")
    assert ask(sandbox, "clients").ok


def test_other_faults(sandbox: Sandbox) -> None:
    """A fault can be a status, a redirect, a page in place of JSON, or a long wait."""
    sandbox.fault("status", path="clients", status=502, body=b"<h1>Bad Gateway</h1>")
    answer = ask(sandbox, "clients")
    assert (answer.status_code, answer.text) == (502, "<h1>Bad Gateway</h1>")
    target = {"Location": f"{sandbox.base_url}/tasks"}
    sandbox.fault("redirect", path="clients", status=302, headers=target)
    assert "tasks" in ask(sandbox, "clients").url
    sandbox.fault("not_json", path="clients")
    answer = ask(sandbox, "clients")
    assert answer.headers["Content-Type"].startswith("text/html")
    sandbox.fault("hang", path="clients", seconds=0.2)
    assert ask(sandbox, "clients").elapsed > timedelta(seconds=0.2)


def test_fault_for_good(sandbox: Sandbox, control: Callable[..., Any]) -> None:
    """A fault can meet one parent's children for good, and no other request."""
    first, second, third, *_ = sandbox.account.records["invoices"]
    sandbox.fault("status", path=f"invoices/{first}/payments$", times=-1, status=404)
    path = f"invoices/{second}/messages$"
    control("fault", {"kind": "status", "path": path, "times": -1, "status": 403})
    for _ in range(5):
        statuses = {
            (invoice, children): ask(sandbox, f"invoices/{invoice}/{children}").status_code
            for invoice in (first, second, third)
            for children in ("messages", "payments")
        }
        refused = {asked: status for asked, status in statuses.items() if status != 200}
        assert refused == {(first, "payments"): 404, (second, "messages"): 403}
    assert ask(sandbox, f"invoices/{first}").ok
    control("reset", {})
    assert ask(sandbox, f"invoices/{first}/payments").ok


def test_latency(sandbox: Sandbox) -> None:
    """An answer takes its time, and more for each record in it."""
    sandbox.latency, sandbox.latency_per_record = 0.05, 0.001
    assert ask(sandbox, "time_entries").elapsed > timedelta(seconds=0.2)


def test_mutation(sandbox: Sandbox) -> None:
    """A fault that changes an answer leaves the account as it is."""

    def change(body: Json) -> None:
        body["clients"][0]["name"] = "changed"

    sandbox.fault("mutate", path="clients", change=change)
    assert ask(sandbox, "clients").json()["clients"][0]["name"] == "changed"
    assert ask(sandbox, "clients").json()["clients"][0]["name"] != "changed"


def test_connections(sandbox: Sandbox) -> None:
    """Twenty clients are served side by side, each on one connection, while the account changes."""
    invoices = list(sandbox.account.records["invoices"])

    def use(_: int) -> list[int]:
        session = requests.Session()
        session.headers.update(
            {"Authorization": f"Bearer {sandbox.token}", "Harvest-Account-Id": "424242"}
        )
        paths = [f"{sandbox.base_url}/invoices/{i}/payments" for i in invoices]
        return [session.get(path, timeout=10).status_code for path in paths]

    with ThreadPoolExecutor(20) as pool:
        answers = pool.map(use, range(20))
        for invoice in invoices:
            sandbox.account.add("invoice_payments", {"amount": Decimal(1)}, invoice)
        assert {status for statuses in answers for status in statuses} == {200}


def test_same_seed() -> None:
    """The same seed gives the same agency, another seed another one."""
    first, again, other = (
        [row["hours"] for row in build("tiny", seed).records["time_entries"].values()]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_command() -> None:
    """The command serves an account of its own and says how to reach it."""
    arguments = [
        "--size", "tiny", "--port", "0", "--no-rate-limit", "--style", "cursor",
        "--page-cap", "10", "--latency-per-record-ms", "0.1", "--without", "invoice",
    ]  # fmt: skip
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "harvest_sandbox", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            lines = [process.stdout.readline().strip() for _ in range(4)]
            settings = dict(line.removeprefix("export ").split("=") for line in lines[1:])
            headers = {
                "Authorization": f"Bearer {settings['SOURCES__HARVEST__API_KEY']}",
                "Harvest-Account-Id": settings["SOURCES__HARVEST__ACCOUNT_ID"],
            }
            base = settings["SOURCES__HARVEST__BASE_URL"]
            body = requests.get(f"{base}/time_entries", headers=headers, timeout=10).json()
            assert len(body["time_entries"]) == 10
            assert "cursor=" in body["links"]["next"]
            refused = requests.get(f"{base}/invoices", headers=headers, timeout=10)
            assert refused.status_code == 403
        finally:
            process.terminate()
