"""A run begins with what the destination holds, whatever the pipeline's folder says."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt import Pipeline
from dlt.extract import DltSource
from dlt.pipeline import trace
from filelock import FileLock, Timeout

from harvest.errors import BusyError, LoadError
from harvest.recover import RunsWatch, be_at_work, recover, recover_before_run
from harvest.run import load
from harvest.underway import RUNS, end
from harvest_sandbox import Sandbox

from .crash_child import Job, change, describe, killed
from .kill_child import run
from .running import Make, failure
from .truth import assert_equal, read

TABLES = ["clients", "invoices"]


@pytest.fixture
def job(sandbox: Sandbox, tmp_path: Path) -> Job:
    """Describe a run into an empty DuckDB."""
    job = describe(sandbox, tmp_path, "duckdb", str(tmp_path / "warehouse.duckdb"), "recovered")
    job.tables = TABLES
    return job


@pytest.fixture
def held(job: Job) -> Iterator[Job]:
    """Describe a run into an empty DuckDB that no other process opens."""
    with job.held():
        yield job


def test_finished_run(held: Job, sandbox: Sandbox) -> None:
    """A folder that a finished run left stays as it is, with what dlt tells of earlier loads."""
    for loads in (1, 2):
        change(sandbox, seed=loads)  # dlt makes no package for a run without any change
        load(held.pipeline(), *held.tables, **held.source)
        assert len(held.pipeline().list_completed_load_packages()) == loads


@pytest.mark.parametrize("plain", [False, True])
def test_restored_backup(
    job: Job,
    sandbox: Sandbox,
    tmp_path: Path,
    plain: bool,  # noqa: FBT001
) -> None:
    """When the database goes back to a backup, what came since is read again."""
    with job.held():
        job.load()
    shutil.copy(job.credentials, tmp_path / "backup")
    change(sandbox, seed=1)  # which a cursor at the second change would miss
    change(sandbox, seed=2)
    with job.held():
        job.load()
    shutil.copy(tmp_path / "backup", job.credentials)
    with job.held():
        run(job, plain=plain)
        assert_equal(job.pipeline(), sandbox, *TABLES)


def test_lost_package(job: Job, sandbox: Sandbox) -> None:
    """What was read and never loaded is read again, also when its package is gone."""
    load(job.pipeline(), *job.tables, **job.source)
    change(sandbox, seed=1)
    change(sandbox, seed=2)
    job.step, job.after = "Load", 4
    killed(job)
    job.step = ""
    for package in Path(job.pipeline().working_dir, "load", "normalized").glob("*/"):
        shutil.rmtree(package, ignore_errors=True)
    load(job.pipeline(), *job.tables, **job.source)
    assert_equal(job.pipeline(), sandbox, *TABLES)


def test_other_source(held: Job) -> None:
    """Data that another source left to be loaded is loaded, since it may not be read again."""
    load(held.pipeline(), *held.tables, **held.source)
    queue = dlt.resource([{"id": 1}], name="messages", write_disposition="append")
    other = DltSource(dlt.Schema("queue"), "queue", [queue])
    held.pipeline().extract(other)
    load(held.pipeline(), *held.tables, **held.source)
    assert [row["id"] for row in read(held.pipeline(), "messages")] == [1]


@pytest.mark.parametrize("plain", [False, True])
def test_behind_other_source(
    held: Job,
    sandbox: Sandbox,
    plain: bool,  # noqa: FBT001
) -> None:
    """What was read and not loaded is read anew, where the state waits with another source."""
    held.pipeline().run([{"id": 1}], table_name="messages", schema=dlt.Schema("queue"))
    held.pipeline().run(held.read())
    change(sandbox)
    held.pipeline().extract(held.read())
    change(sandbox, seed=2)
    if plain:
        held.pipeline().run(held.read())
    else:
        load(held.pipeline(), *held.tables, **held.source)
    assert_equal(held.pipeline(), sandbox, *TABLES)


def test_database_in_first_folder(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database without a path of its own is found again from another folder."""

    def pipeline() -> Pipeline:
        return dlt.pipeline("placed", destination="duckdb", dataset_name="data")

    load(pipeline(), "clients", **settings)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    pipeline().extract([{"id": 1}], table_name="unloaded", schema=dlt.Schema("harvest"))
    recover(pipeline(), "harvest")
    assert read(pipeline(), "clients")
    assert not list((tmp_path / "elsewhere").glob("*.duckdb"))


@pytest.mark.parametrize("source_first", [True, False])
def test_own_script(
    job: Job,
    sandbox: Sandbox,
    source_first: bool,  # noqa: FBT001
) -> None:
    """After a kill, one `pipeline.run` of a user's own brings what was left and what is new."""
    load(job.pipeline(), *job.tables, **job.source)
    change(sandbox)
    job.step, job.after = "Load", 4
    killed(job)
    job.step = ""
    change(sandbox, seed=2)
    if source_first:
        source = job.read()
        pipeline = job.pipeline()
    else:
        pipeline = job.pipeline()
        source = job.read()
    pipeline.run(source)
    assert_equal(pipeline, sandbox, *TABLES)


def sources_watched() -> int:
    """Return how many sources live; other tests may have left some."""
    watches = [m for m in trace.TRACKING_MODULES if isinstance(m, RunsWatch)]
    return sum(watch.sources for watch in watches)


def test_unrelated_pipeline(held: Job) -> None:
    """What waits in a pipeline that knows other sources only is left alone, and so are all later.

    Nothing of the source stays in the process once it is gone.
    """
    gc.collect()
    before = sources_watched()
    source = held.read()
    assert sources_watched() == before + 1
    other = dlt.pipeline("other", destination=dlt.destinations.duckdb(held.credentials))
    other.run([{"id": 1}], table_name="waiting")
    other.extract([{"id": 2}], table_name="waiting")
    other.run()
    assert {row["id"] for row in read(other, "waiting")} == {1, 2}
    del source
    gc.collect()
    assert sources_watched() <= before


def test_source_ends(held: Job) -> None:
    """Once it ran, nothing of a source stays in the process, so that later runs don't slow down."""
    before = [*trace.TRACKING_MODULES]
    for _ in range(2):  # the first finds an empty destination
        held.pipeline().run(held.read())
    gc.collect()
    assert not [module for module in trace.TRACKING_MODULES if module not in before]


def test_one_recovery(held: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is recovered once, however many sources there are in the process."""
    sources, recovered = [held.read() for _ in range(3)], list[str]()

    def note(pipeline: Pipeline, source_name: str) -> None:
        recovered.append(source_name)
        recover_before_run(pipeline, source_name)

    monkeypatch.setattr("harvest.recover.recover_before_run", note)
    for runs in (1, 2):
        held.pipeline().run(sources.pop())
        assert recovered == ["harvest"] * runs
        gc.collect()


def free(pipeline: Pipeline) -> bool:
    """Tell whether another process could recover in the pipeline's folder."""
    lock = FileLock(f"{pipeline.working_dir}.at_work", timeout=0)
    with suppress(Timeout), lock:
        return True
    return False


def test_another_process_at_work(held: Job) -> None:
    """What another process may be loading right now is left to it."""
    load(held.pipeline(), *held.tables, **held.source)
    pipeline = held.pipeline()
    pipeline.extract(held.read())
    assert not free(pipeline)
    RUNS.clear()  # as when this process ended
    assert free(pipeline)
    with FileLock(f"{pipeline.working_dir}.at_work", timeout=0):
        recover_before_run(pipeline, "harvest")
        with pytest.raises(BusyError):
            load(held.pipeline(), *held.tables, **held.source)
    assert pipeline.has_pending_data
    be_at_work(pipeline)
    assert not free(pipeline)
    recover_before_run(pipeline, "harvest")
    assert not pipeline.has_pending_data
    end(pipeline)  # as dlt lets it, where it runs the pipeline


def test_idle_process(held: Job) -> None:
    """A process that ran the pipeline and lives on, as a notebook does, keeps nobody away."""
    pipeline, source, seen = held.pipeline(), held.read(), list[bool]()

    def see(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(free(pipeline))
        return row

    source.resources["invoices"].add_map(see)
    pipeline.run(source)
    assert seen
    assert not any(seen)
    assert free(pipeline)


def test_no_recovery(held: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run does not begin where it can't be known whether the destination has the local state."""
    held.pipeline().run(held.read())

    def refuse(_: Pipeline) -> bool:
        message = "no answer"
        raise OSError(message)

    with monkeypatch.context() as broken:
        broken.setattr("harvest.recover._is_loaded", refuse)
        said = failure(held.pipeline(), held.read())
    assert isinstance(said, LoadError)
    assert "OSError: no answer" in str(said)
    held.pipeline().run(held.read())


@pytest.mark.parametrize("plain", [False, True])
def test_file_without_a_name(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], duck: Pipeline, *, plain: bool
) -> None:
    """What dlt was about to rename to a job when it was killed keeps no later run away."""
    duck.extract(source().with_resources("clients"))
    duck.normalize()
    end(duck)
    (package,) = duck.list_normalized_load_packages()
    jobs = Path(duck.working_dir, "load", "normalized", package, "new_jobs")
    (jobs / "449dc71b15b58ff130bc74c7cbde7225").touch()
    if plain:
        duck.run(source().with_resources("clients"))
    else:
        load(duck, "clients", **settings)
    assert_equal(duck, sandbox, "clients")
