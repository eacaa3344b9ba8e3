"""The Dagster example loads the account into assets, all of them or a few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dlt import Pipeline

from harvest_sandbox import Sandbox
from tests.running import EVER, ROOT
from tests.truth import ALWAYS, assert_equal

EXAMPLE = ROOT / "examples" / "dagster_assets.py"


@pytest.fixture
def example(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the example defines, with DuckDB for a destination."""
    monkeypatch.setenv("SOURCES__HARVEST__API_KEY", sandbox.token)
    monkeypatch.setenv("SOURCES__HARVEST__ACCOUNT_ID", str(sandbox.account_id))
    monkeypatch.setenv("SOURCES__HARVEST__BASE_URL", sandbox.base_url)
    monkeypatch.setenv("SOURCES__HARVEST__ANCHOR_DATE", EVER)
    monkeypatch.setenv("DESTINATION__WAREHOUSE__DESTINATION_TYPE", "duckdb")
    monkeypatch.setenv("DESTINATION__WAREHOUSE__CREDENTIALS", str(tmp_path / "warehouse.duckdb"))
    text = EXAMPLE.read_text().replace('"postgres"', '"warehouse"')
    assert "warehouse" in text
    defined: dict[str, Any] = {"__name__": "example"}
    exec(compile(text, str(EXAMPLE), "exec", dont_inherit=True), defined)  # noqa: S102 - our own example
    return defined


def test_assets(sandbox: Sandbox, duck: Pipeline, example: dict[str, Any]) -> None:
    """One asset a table; materialized all, then some, they hold what Harvest holds."""
    from dagster import AssetKey, materialize

    assets, resources = example["harvest_assets"], {"dlt": example["DagsterDltResource"]()}
    names = {key.path[-1].removeprefix("dlt_harvest_") for key in assets.keys}
    assert names == {endpoint.name for endpoint in ALWAYS}
    assert materialize([assets], resources=resources).success
    assert_equal(duck, sandbox)
    client = next(iter(sandbox.account.records["clients"]))
    sandbox.account.update("clients", client, address="Straße 1")
    chosen = [AssetKey("dlt_harvest_clients"), AssetKey("dlt_harvest_invoice_payments")]
    assert materialize([assets], resources=resources, selection=chosen).success
    assert_equal(duck, sandbox, "clients", "invoice_payments")
    assert example["defs"].resolve_job_def("load_harvest")
