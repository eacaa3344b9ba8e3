"""Answers arrive complete and exact; what no column can hold is replaced, or is an error."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from dlt import Pipeline

from harvest.api.auth import PersonalToken
from harvest.api.client import HarvestClient
from harvest.api.rate_limit import limiters
from harvest.errors import MalformedAnswerError, StatusError
from harvest.settings import Sizes
from harvest_sandbox import Sandbox

from .running import Make
from .truth import read

ENVELOPE = b'{"tasks": [%s], "total_entries": 1, "links": {"next": null}}'


def client_of(sandbox: Sandbox, *, keeps_nul: bool = False, max_attempts: int = 1) -> HarvestClient:
    """Make a client of the sandbox that gives up at once."""
    auth = PersonalToken(sandbox.token, str(sandbox.account_id))
    sizes = Sizes(max_attempts=max_attempts)
    client = HarvestClient(sandbox.base_url, auth, "tests", limiters(100_000), sizes)
    client.answers.keeps_nul = keeps_nul
    return client


def answered(sandbox: Sandbox, record: bytes, **settings: Any) -> list[dict[str, Any]]:
    """Return the records of a page whose only record is this."""
    sandbox.fault("not_json", path="tasks", body=ENVELOPE % record)
    (page,) = client_of(sandbox, **settings).pages("tasks", "tasks")
    return page


@pytest.mark.parametrize(
    ("sent", "nul", "read_as"),
    [
        (rb'"a\u0000b"', False, "a\ufffdb"),
        (rb'"a\u0000b"', True, "a\0b"),
        (rb'"a\ud83db"', True, "a\ufffdb"),
        (rb'"\ude00"', True, "\ufffd"),
        (rb'"\ud83d\u0000"', True, "\ufffd\0"),
        (rb'"\ud83d\u0000"', False, "\ufffd\ufffd"),
        (b'"\xed\xa0\xbd\xed\xb8\x80"', False, "\ufffd\ufffd"),
        (rb'"\ud83d\ude00 \\u0000"', False, "\U0001f600 \\u0000"),
        (rb'{"x\u0000": [{"y\ud83d": "\udc00"}]}', False, {"x\ufffd": [{"y\ufffd": "\ufffd"}]}),
    ],
)
def test_odd_text(sandbox: Sandbox, sent: bytes, nul: bool, read_as: object) -> None:  # noqa: FBT001
    """What the destination cannot hold is replaced, keys and nested text too; nothing else is."""
    (record,) = answered(sandbox, b'{"id": 5, "name": %s}' % sent, keeps_nul=nul)
    assert record == {"id": 5, "name": read_as}


def test_odd_text_is_told_once(sandbox: Sandbox, told: list[str]) -> None:
    """One line names the table and the first record whose text was changed."""
    odd = rb'{"id": 5, "name": "fine"}, {"id": 6, "name": "\u0000"}, {"id": 7, "name": "\u0000"}'
    sandbox.fault("not_json", path="tasks", body=ENVELOPE % odd, times=2)
    client = client_of(sandbox)
    for _ in range(2):
        list(client.pages("tasks", "tasks"))
    (line,) = told
    assert "`tasks`: record 6 " in line
    assert "U+FFFD" in line


def test_odd_text_loads(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Half an emoji and a NUL block no run, and what the destination can hold arrives."""
    sandbox.fault(
        "not_json",
        path="tasks",
        body=ENVELOPE % rb'{"id": 5, "name": "a\u0000\ud83db", "updated_at": null}',
        times=-1,
    )
    for _ in range(2):
        pipeline.run(source().with_resources("tasks"))
    kept = "\0" if pipeline.destination.destination_name == "duckdb" else "\ufffd"
    assert [row["name"] for row in read(pipeline, "tasks")] == [f"a{kept}\ufffdb"]


@pytest.mark.parametrize(
    "sent",
    [b'{"id": 9223372036854775808}', b'{"id": "9223372036854775808"}',
        b'{"id": 5, "user": {"id": -9223372036854775809}}',
        b'{"id": 5, "line_items": [{"id": 12345678901234567890123456789012}]}'],
)  # fmt: skip
def test_long_number(sandbox: Sandbox, sent: bytes) -> None:
    """A whole number that no column can hold is an error that names the record."""
    with pytest.raises(MalformedAnswerError, match=r"the number -?\d+ of record \d+ is larger"):
        answered(sandbox, sent)


@pytest.mark.parametrize("sent", [b"9223372036854775807", b'"9223372036854775807"'])
def test_largest_id(sandbox: Sandbox, sent: bytes) -> None:
    """The largest number that a column can hold is an id like any other."""
    (record,) = answered(sandbox, b'{"id": %s, "name": "%s"}' % (sent, b"9" * 40))
    assert record["id"] == 2**63 - 1


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        (b"0.1", "0.1"),
        (b"100.0", "100.0"),
        (b"1.5e3", "1.5E+3"),
        (b"0.123456789", "0.123456789"),
        (b"1e-9", "1E-9"),
        (b"1e-10", "0E-9"),
        (b"0.1234567895", "0.123456790"),
        (b"-12345678901234567890123456789.5", "-12345678901234567890123456789.5"),
        (b"1e28", "1E+28"),
    ],
)
def test_number(sandbox: Sandbox, sent: bytes, read_as: str) -> None:
    """A number is exact, as far as a column can hold it."""
    (record,) = answered(sandbox, b'{"id": 5, "rate": %s}' % sent)
    assert repr(record["rate"]) == repr(Decimal(read_as))


@pytest.mark.parametrize("sent", [b"1e30", b"1e99999999999999999999", b"9" * 30 + b".5"])
def test_number_too_large(sandbox: Sandbox, sent: bytes) -> None:
    """A number that no column holds is named, instead of failing the destination."""
    with pytest.raises(MalformedAnswerError, match="is larger than any column can hold"):
        answered(sandbox, b'{"id": 5, "rate": %s}' % sent)


def test_rounding_is_told_once(sandbox: Sandbox, told: list[str]) -> None:
    """One line names the table and a number that was rounded, however many there are."""
    answered(sandbox, b'{"id": 5, "a": 0.12345678901, "b": 0.98765432101}')
    (line,) = told
    assert "`tasks`: 0.12345678901 was rounded" in line


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 5000, b"\xff", b'{"tasks": [01]}', b"[]"])
def test_not_json(sandbox: Sandbox, body: bytes) -> None:
    """A body that is no JSON object is refused in one line, however odd it is."""
    sandbox.fault("not_json", path="tasks", body=body)
    with pytest.raises(MalformedAnswerError, match="`tasks`: Harvest answered 200, but the body"):
        list(client_of(sandbox).pages("tasks", "tasks"))


def test_byte_order_mark(sandbox: Sandbox) -> None:
    """A byte order mark in front, as some proxies add it, is no reason to refuse an answer."""
    sandbox.fault("not_json", path="tasks", body=b"\xef\xbb\xbf" + ENVELOPE % b'{"id": 5}')
    (page,) = client_of(sandbox).pages("tasks", "tasks")
    assert page == [{"id": 5}]


def test_no_id(sandbox: Sandbox) -> None:
    """Rows without an id pass when the caller says that they have none, and only then."""
    client = client_of(sandbox)
    rows = b'{"client_id": 1, "currency": "EUR"}, {"client_id": 1, "currency": "USD"}'
    sandbox.fault("not_json", path="tasks", body=ENVELOPE % rows, times=2)
    (page,) = client.pages("tasks", "tasks", budget="reports", id_name="")
    assert [row["currency"] for row in page] == ["EUR", "USD"]
    with pytest.raises(MalformedAnswerError, match="a record of `tasks` has no valid id"):
        list(client.pages("tasks", "tasks"))
    sandbox.fault("not_json", path="tasks", body=ENVELOPE % b"5")
    with pytest.raises(MalformedAnswerError, match="a record of `tasks` is not an object"):
        list(client.pages("tasks", "tasks", id_name=""))


def test_attempts(sandbox: Sandbox) -> None:
    """A request is tried as often as the sizes say."""
    sandbox.fault("status", path="tasks", status=500, times=-1)
    with pytest.raises(StatusError):
        list(client_of(sandbox, max_attempts=2).pages("tasks", "tasks"))
    assert len(sandbox.log) == 2
