"""Rows become columns where they are as documented; all other pages go dlt's way."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from dlt import Pipeline

from harvest.catalog import BY_NAME, ENDPOINTS
from harvest.extract.columnar import Columnar
from harvest.extract.records import prepare
from harvest_sandbox import Sandbox

from .running import Make
from .truth import assert_equal, flatten, read

ENTRIES = BY_NAME["time_entries"]


def rows(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return time entries as the source hands them on."""
    found = sandbox.account.truth("time_entries")
    for row in found:
        prepare(ENTRIES, row, sandbox.account_id, public_links=True)
    return found


def columnar() -> Columnar:
    """Make what makes tables of time entries."""
    columns = ENTRIES.columns.schema()
    columns["_account_id"] = {"name": "_account_id", "data_type": "bigint"}
    return Columnar(columns, "123.4")


def test_values(sandbox: Sandbox) -> None:
    """Each value stands in its column: money to the cent, moments in UTC, days as days."""
    entries = rows(sandbox)
    table = columnar().table(entries)
    assert table is not None
    found = table.to_pylist()
    kinds = {name: column["data_type"] for name, column in ENTRIES.columns.schema().items()}
    for entry, row in zip(entries, found, strict=True):
        wanted = flatten(entry)
        assert wanted.keys() <= row.keys()
        for name, kind in kinds.items():
            want = wanted.get(name)
            if isinstance(want, str) and kind == "timestamp":
                want = datetime.fromisoformat(want.replace("Z", "+00:00"))
            if isinstance(want, str) and kind == "date":
                want = date.fromisoformat(want)
            assert row[name] == want, name
    assert len({row["_dlt_id"] for row in found}) == len(found)
    assert {row["_dlt_load_id"] for row in found} == {"123.4"}


@pytest.mark.parametrize(
    "odd",
    [
        {"new_field": 1},
        {"client": {"id": 1, "name": "x", "currency": "EUR", "new_field": 1}},
        {"client": "a text"},
        {"client": [1]},
        {"id": 2**63},
        {"id": "7"},
        {"id": Decimal("1.5")},
        {"user": ""},
        {"spent_date": datetime(2026, 1, 1, 0, 30, tzinfo=timezone.utc)},
        {"notes": b"ab"},
        {"hours": 1.5},
        {"hours": "1.5"},
        {"hours": Decimal("1e30")},
        {"hours": True},
        {"is_billed": 1},
        {"notes": 1},
        {"notes": ["a", "b"]},
        {"spent_date": 20_000},
        {"spent_date": "today"},
        {"spent_date": "2026-01-01T00:00:00Z"},
        {"timer_started_at": 1_700_000_000},
        {"timer_started_at": "2026-01-01"},
        {"timer_started_at": "8:00am"},
    ],
    ids=str,
)
def test_odd_rows(sandbox: Sandbox, odd: dict[str, Any]) -> None:
    """A page with one value that is not as documented is left to dlt."""
    entries = rows(sandbox)
    entries[3] |= odd
    assert columnar().table(entries) is None


def test_ids_are_kept(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """The ids by which unchanged rows are known stand in the columns, so none is written again."""
    duck.run(source().with_resources("time_entries"))
    before = {row["id"] for row in read(duck, "time_entries")}
    duck.run(source(full_read=True).with_resources("time_entries"))
    assert duck.last_trace
    assert duck.last_trace.last_normalize_info
    assert duck.last_trace.last_normalize_info.row_counts.get("time_entries", 0) <= 2  # timers
    assert {row["id"] for row in read(duck, "time_entries")} == before
    assert_equal(duck, sandbox, "time_entries")


def test_moments_of_a_step(sandbox: Sandbox) -> None:
    """Moments and days that a user's step made are taken as they are."""
    entries = rows(sandbox)
    east = timezone(timedelta(hours=2))
    for row in entries:
        row["timer_started_at"] = datetime(2026, 1, 1, 1, tzinfo=east)
        row["spent_date"] = date(2026, 1, 1)
    table = columnar().table(entries)
    assert table is not None
    assert table["timer_started_at"][0].as_py() == datetime(2025, 12, 31, 23, tzinfo=timezone.utc)
    assert table["spent_date"][0].as_py() == date(2026, 1, 1)


def test_pages_of_both_kinds(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Pages of one table that go either way load together, first, later and with a new column."""
    sandbox.page_cap = 10
    entries = sandbox.account.rows("time_entries")
    for entry in entries[15:18]:
        sandbox.account.update(
            "time_entries", entry["id"], hours=Decimal(7), notes="odd", mood="good"
        )
    pipeline.run(source().with_resources("time_entries", "clients"))
    loaded = {row["id"]: row["mood"] for row in read(pipeline, "time_entries")}
    assert sorted(loaded) == sorted(entry["id"] for entry in entries)
    assert [loaded[entry["id"]] for entry in entries[15:18]] == ["good"] * 3
    for entry in entries[:40]:
        sandbox.account.update("time_entries", entry["id"], notes="again")
    pipeline.run(source().with_resources("time_entries", "clients"))
    assert_equal(pipeline, sandbox, "time_entries", "clients")


def test_ids_of_dlt(
    sandbox: Sandbox, source: Make, duck: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who lets dlt add ids to Arrow tables gets each once."""
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID", "true")
    monkeypatch.setenv("NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID", "true")
    duck.run(source().with_resources("clients"))
    assert_equal(duck, sandbox, "clients")


def test_formats(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Lists without lists in them come as columns, and no other table does."""
    pipeline.run(source())
    assert pipeline.last_trace
    assert pipeline.last_trace.last_extract_info
    (metrics,) = pipeline.last_trace.last_extract_info.metrics.values()
    names = [*metrics[0]["job_metrics"]]
    assert any(n.startswith("time_entries.") and n.endswith(".parquet") for n in names)
    assert not any(n.startswith("time_entries.") and "jsonl" in n for n in names)
    for endpoint in ENDPOINTS:
        if endpoint.nested or endpoint.parent:
            assert not any(n.startswith(f"{endpoint.name}.") and "parquet" in n for n in names)
    assert_equal(pipeline, sandbox)
