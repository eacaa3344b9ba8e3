"""An environment with dbt."""

from __future__ import annotations

import pytest
from dlt.common.runners import Venv
from dlt.helpers.dbt import create_venv
from filelock import FileLock

from harvest import metrics

from ..running import ENVIRONMENTS


@pytest.fixture(scope="session")
def dbt() -> Venv:
    """Keep an environment with dbt beside the one of the tests: installing it takes a minute."""
    folder = ENVIRONMENTS / metrics.environment_name("duckdb")
    ENVIRONMENTS.mkdir(exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if (folder / "ready").exists():
            return Venv.restore(str(folder))
        made = create_venv(str(folder), ["duckdb", "postgres"], metrics.DBT_VERSION)
        (folder / "ready").touch()
    return made
