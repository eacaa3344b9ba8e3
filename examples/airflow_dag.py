"""An Airflow DAG that loads Harvest every hour: copy it into your folder of DAGs.

Each list is a task of its own, together with the tables that are read by it, such as an invoice's
payments. The tasks run one after the other: they share Harvest's rate limit and the pipeline's
state, of which parallel tasks would lose parts.

Credentials stand where dlt finds them, e.g. in the Airflow variable `dlt_secrets_toml`:

    [sources.harvest]
    api_key = "your token"
    account_id = "your account id"
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import dlt
from airflow.sdk import dag  # Airflow 2: from airflow.decorators import dag
from dlt.helpers.airflow_helper import PipelineTasksGroup

from harvest import harvest_source


@dag(
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
)
def load_harvest() -> None:
    """Load the whole account; each task begins with the state that the destination keeps."""
    tables = PipelineTasksGroup("harvest")
    pipeline = dlt.pipeline("harvest", destination="postgres", dataset_name="harvest_data")
    tables.add_run(pipeline, harvest_source(), decompose="serialize")


load_harvest()
