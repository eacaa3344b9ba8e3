"""Dagster assets that load Harvest, one asset a table: `dagster dev -f dagster_assets.py`.

Assets that are materialized together are one run of the pipeline. Two runs must not overlap, since
they share Harvest's rate limit and the pipeline's state: that is what the pool is for.

Credentials stand where dlt finds them, e.g. in the environment: SOURCES__HARVEST__API_KEY and
SOURCES__HARVEST__ACCOUNT_ID.
"""

from collections.abc import Iterator
from typing import Any

import dlt
from dagster import AssetExecutionContext, Definitions, ScheduleDefinition, define_asset_job
from dagster_dlt import DagsterDltResource, dlt_assets

from harvest import harvest_source


def warehouse() -> dlt.Pipeline:
    """Say where the tables go."""
    return dlt.pipeline("harvest", destination="postgres", dataset_name="harvest_data")


@dlt_assets(
    dlt_source=harvest_source(),
    dlt_pipeline=warehouse(),
    name="harvest",
    group_name="harvest",
    pool="harvest",
)
def harvest_assets(context: AssetExecutionContext, dlt: DagsterDltResource) -> Iterator[Any]:
    """Load the assets that were selected."""
    # Both are made anew for each run: dagster-dlt 0.29 takes the columns' names out of the schema
    # of the pipeline that it ran, so a second run in the same process would fail.
    yield from dlt.run(context=context, dlt_source=harvest_source(), dlt_pipeline=warehouse())


every_hour = ScheduleDefinition(
    job=define_asset_job("load_harvest", selection=[harvest_assets]), cron_schedule="0 * * * *"
)

defs = Definitions(
    assets=[harvest_assets], schedules=[every_hour], resources={"dlt": DagsterDltResource()}
)
