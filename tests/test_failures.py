"""Every failure has a clear cause and remedy, loads nothing, and shows no secret."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from dlt import Pipeline
from dlt.pipeline.exceptions import PipelineStepFailed

from harvest.api.rate_limit import RateLimiter
from harvest.settings import Sizes
from harvest_sandbox import Sandbox

from .running import Make, failure
from .truth import assert_equal


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("status", {"status": 500, "body": b"<html>"}),
        ("status", {"status": 503, "headers": {"Retry-After": "1"}}),
        ("status", {"status": 429}),
        ("status", {"status": 429, "headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}}),
        ("drop", {}),
        ("truncate", {}),
        ("not_json", {}),
        ("not_json", {"body": b""}),
        ("not_json", {"body": b"{}"}),
        ("not_json", {"body": b'{"clients": [], "next_page": 2}'}),
        ("not_json", {"body": b'{"clients": [], "next_page": 2, "links": {}}'}),
    ],
)
def test_passing_fault(
    sandbox: Sandbox, source: Make, duck: Pipeline, kind: str, options: dict[str, object]
) -> None:
    """A fault that passes costs a retry and no row."""
    sandbox.fault(kind, path="clients", **options)
    duck.run(source().with_resources("clients"))
    assert_equal(duck, sandbox, "clients")
    asked = [r for r in sandbox.log if r.path == "/v2/clients" and "is_active" not in r.params]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"api_key": "wrong"}, 401, "api_key"),
        ({"account_id": "7"}, 404, "account_id"),
        ({"api_key": "101.pt.member-secret"}, 403, "administrator"),
    ],
)
def test_refusal(
    source: Make, duck: Pipeline, changes: dict[str, str], status: int, word: str
) -> None:
    """A refusal names endpoint, status and remedy, and leaves nothing behind."""
    said = str(failure(duck, source(**changes).with_resources("clients")))
    assert f"`clients`: Harvest answered {status}" in said
    assert word in said
    assert "clients" not in duck.state.get("sources", {}).get("harvest", {}).get("resources", {})


def test_unreachable(source: Make, duck: Pipeline) -> None:
    """A host that does not answer is named, after all attempts."""
    unreachable = source(base_url="http://127.0.0.1:9/v2", sizes=Sizes(max_attempts=2))
    said = str(failure(duck, unreachable.with_resources("clients")))
    assert "no answer from 127.0.0.1:9" in said


def test_opened_once(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A run that can't be opened fails for all tables at once: none of them tries again."""
    duck.run(source().with_resources("projects"))
    with duck.sql_client() as client:
        table = client.make_qualified_table_name("projects")
        client.execute_sql(f"ALTER TABLE {table} ALTER budget TYPE BIGINT")
    sandbox.log.clear()
    with pytest.raises(PipelineStepFailed):
        duck.run(source())
    assert [request.path for request in sandbox.log] == ["/v2/users/me"]


@pytest.mark.parametrize("where", ["link", "redirect"])
def test_foreign_address(sandbox: Sandbox, source: Make, duck: Pipeline, where: str) -> None:
    """The token never follows a link or redirect to another host."""
    if where == "link":

        def change(body: dict[str, object]) -> None:
            body["links"] = {"next": "https://other.example/v2/clients?page=2"}

        sandbox.fault("mutate", path="clients", change=change)
    else:
        target = {"Location": "https://other.example/v2/clients"}
        sandbox.fault("redirect", path="clients", status=302, headers=target)
    said = str(failure(duck, source().with_resources("clients")))
    assert "other.example" in said
    assert "token is not sent" in said


def test_deleted_parent(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A parent deleted between its listing and its children's request is gone, not an error."""
    doomed = max(i for i in sandbox.account.parent_of["invoice_payments"].values())

    def delete(number: int, _: object) -> None:
        if number == 2:
            sandbox.account.delete("invoices", doomed)

    sandbox.before_request = delete
    duck.run(source().with_resources("invoice_payments"))
    assert_equal(duck, sandbox, "invoice_payments")


def test_no_secret(
    sandbox: Sandbox,
    source: Make,
    duck: Pipeline,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The token is in no log at DEBUG, no error, no trace and no state."""
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "DEBUG")
    logging.getLogger("dlt").propagate = True
    with caplog.at_level(logging.DEBUG):
        duck.run(source().with_resources("clients"))
        sandbox.fault("status", path="clients", status=403)
        failure(duck, source().with_resources("clients"))
    secret = sandbox.token
    assert secret not in caplog.text
    assert secret not in str(duck.last_trace)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_rate_limit(source: Make, duck: Pipeline) -> None:
    """At full speed no request is lost and next to none is refused."""
    with Sandbox("tiny", rate_limit=(20, 2.0)) as limited:
        settings = {"base_url": limited.base_url, "rate_limit": 100}
        started = time.monotonic()
        duck.run(source(**settings).with_resources("invoice_payments"))
        assert_equal(duck, limited, "invoice_payments")
        assert time.monotonic() - started < 60


def test_limiter() -> None:
    """No window of the period holds more requests than allowed."""
    limiter, sent = RateLimiter(5, period=0.2), []
    for _ in range(16):
        with limiter:
            sent.append(time.monotonic())
    assert all(late - early >= 0.199 for early, late in zip(sent, sent[5:], strict=False))
