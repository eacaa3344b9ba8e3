"""The Airflow example loads the account, a task a group of tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import dlt

from harvest_sandbox import Sandbox
from tests.running import EVER, ROOT
from tests.truth import assert_equal

EXAMPLE = ROOT / "examples" / "airflow_dag.py"


def test_dag(sandbox: Sandbox, tmp_path: Path) -> None:
    """Airflow runs all tasks one after the other, and the dataset holds what Harvest holds."""
    dags = tmp_path / "dags"
    dags.mkdir()
    text = EXAMPLE.read_text().replace('"postgres"', '"warehouse"')
    assert "warehouse" in text
    text = text.replace('"retries": 2', '"retries": 0')  # a failure shows now, not in ten minutes
    (dags / "load_harvest.py").write_text(text)
    file = str(tmp_path / "warehouse.duckdb")  # `duck` would hold it open
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "SOURCES__HARVEST__API_KEY": sandbox.token,
        "SOURCES__HARVEST__ACCOUNT_ID": str(sandbox.account_id),
        "SOURCES__HARVEST__BASE_URL": sandbox.base_url,
        "SOURCES__HARVEST__ANCHOR_DATE": EVER,
        "DESTINATION__WAREHOUSE__DESTINATION_TYPE": "duckdb",
        "DESTINATION__WAREHOUSE__CREDENTIALS": file,
    }

    loaded = dlt.pipeline(
        "test", destination=dlt.destinations.duckdb(file), dataset_name="harvest_data"
    )

    def airflow(*arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - Airflow's own command
            [Path(sys.executable).with_name("airflow"), *arguments],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    airflow("db", "migrate")
    for _ in range(2):
        said = airflow("dags", "test", "load_harvest")
        assert "state=success" in said
        tasks = re.findall(r"\[DAG TEST\] starting task_id=harvest\.(\S+)", said)
        assert "harvest_invoices-invoice_messages-invoice_payments" in tasks
        assert_equal(loaded, sandbox)
        client = next(iter(sandbox.account.records["clients"]))
        sandbox.account.update("clients", client, address="Straße 1")
