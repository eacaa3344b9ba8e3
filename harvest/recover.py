"""Sets a pipeline's working folder right, whatever an earlier run left in it.

dlt keeps three things there: packages on their way into the destination, the schemas, and the
state, which says how far was read. The state is saved when data was read, before it is loaded, and
the folder changes in many small steps. A run that is killed can therefore leave a package that
never loads, half-made files that make every later run fail, and a state that counts data as read
which never arrived. What the destination has recorded as loaded is true in any case.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import cast
from weakref import finalize

from dlt import Pipeline
from dlt.common import logger
from dlt.common.destination.client import JobClientBase, WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.pipeline import LoadInfo, SupportsPipeline, TPipelineState
from dlt.common.schema.typing import PIPELINE_STATE_TABLE_NAME
from dlt.common.storages import LoadStorage, PackageStorage
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.pipeline import trace
from dlt.pipeline.state_sync import load_pipeline_state_from_destination
from dlt.pipeline.trace import PipelineTrace
from filelock import FileLock, Timeout

from .comments import comment, described
from .defaults import own_staging
from .errors import BusyError, LoadError
from .extract.state import forget_tables
from .turns import turn
from .underway import end, if_under_way, under_way

SCHEMA_FILE = ".schema.json"


def recover(pipeline: Pipeline, source_name: str) -> None:
    """Let the next run begin with what the destination holds.

    A local state counts if the destination has recorded its load as complete. Otherwise a run was
    cut short, or the database was restored from a backup, and what was read since must be read
    again: the local folder is dropped, and dlt fetches state and schemas from the destination.
    A folder that a finished run left stays as it is.

    Packages of other sources in the same pipeline are loaded first, as dlt's own `run` does, since
    their data may not be there to be read again.

    Args:
        pipeline: Whose folder.
        source_name: Whose packages are given up and read again.

    Raises:
        BusyError: Another process runs the pipeline now.
        PipelineStepFailed: A package of another source could not be loaded.
    """
    try:
        with under_way(pipeline).at_work:
            _recover(pipeline, source_name)
    except Timeout:
        raise BusyError(pipeline.pipeline_name) from None


def _recover(pipeline: Pipeline, source_name: str) -> None:
    finish_moves(pipeline)
    if pipeline.dev_mode:  # begins with an empty folder in any case
        return
    if _pending(pipeline) - {source_name, ""}:
        logger.warning("Loading what an earlier run of this pipeline left from another source.")
        pipeline.run()
        under_way(pipeline).at_work.acquire()  # It was released with that run.
    if _is_kept_by_destination(pipeline):
        _go_back(pipeline)
    elif _pending(pipeline):
        pipeline.abort_packages()  # the state before it is nowhere but in the package


def start_over(pipeline: Pipeline) -> None:
    """Drop the local folder, so that the next run fetches state and schemas anew.

    Without a state, dlt takes a folder for none and clears it. So the state goes first: if this is
    cut short too, nothing of the rest counts any more.
    """
    refresh, home = pipeline.refresh, pipeline.get_local_state_val("initial_cwd")
    _state_file(pipeline).unlink(missing_ok=True)
    pipeline.drop()
    # dlt forgets these: how to load, and where a database without a path of its own lies.
    pipeline.refresh = refresh
    pipeline.set_local_state_val("initial_cwd", home)


def forget(pipeline: Pipeline, source_name: str, tables: Collection[str]) -> None:
    """Let the destination record that some tables were never read, before they are dropped.

    A refresh drops tables long before they are filled again. If it is cut short in between, a
    state that the destination still holds would take the empty tables for complete.

    Args:
        pipeline: Without anything that waits to be loaded, as `recover` leaves it.
        source_name: The source.
        tables: Its tables that are about to be read anew.

    Raises:
        PipelineStepFailed: The destination could not be written.
    """
    pipeline.sync_destination()
    with pipeline.managed_state(extract_state=True) as state:
        forget_tables(state, source_name, tables)
    pipeline.normalize()
    pipeline.load()


def finish_moves(pipeline: Pipeline) -> None:
    """Finish what dlt was doing to its files when it was killed.

    All of it is local, and needs neither the destination nor a decision about any data. A kill in
    these moments makes each later run fail, by dlt 1.31:

    - A file in `schemas` that waits to be renamed is taken for a schema, which is then not found.
    - The folder `load` counts as complete from its creation on, before it has its subfolders.
    - A package that is marked as complete, but not put away yet, is completed again: an error.
    - A package that was normalized is normalized again while its source is being deleted.
    - A file of a job that waits to be renamed is taken for a job, whose name can't be read.

    Args:
        pipeline: Whose folder. No other process may run it now.
    """
    home = Path(pipeline.working_dir)
    load, extracted = home / "load", home / "normalize" / "extracted"
    schemas = home / "schemas"
    stray = [p for p in _entries(schemas) if not p.name.endswith(SCHEMA_FILE)]
    for path in stray:
        path.unlink(missing_ok=True)
    if stray:
        with pipeline.managed_state():  # which names the schemas that are there
            pass
    if load.is_dir():
        for name in ("new", LoadStorage.NORMALIZED_FOLDER, LoadStorage.LOADED_FOLDER):
            (load / name).mkdir(exist_ok=True)
    normalized, loaded = load / LoadStorage.NORMALIZED_FOLDER, load / LoadStorage.LOADED_FOLDER
    for package in _entries(extracted):
        if (normalized / package.name).exists() or (loaded / package.name).exists():
            shutil.rmtree(package, ignore_errors=True)
    for package in _entries(normalized):
        if (package / PackageStorage.PACKAGE_COMPLETED_FILE_NAME).exists():
            package.rename(loaded / package.name)
    for package in (*_entries(extracted), *_entries(normalized)):
        _drop_nameless(package)


def _drop_nameless(package: Path) -> None:
    for path in package.glob("*_jobs/*"):
        if "." not in path.name:  # A job's name has its table, its number and its format.
            path.unlink()


class RunsWatch:
    """Recovers before `pipeline.run` in a user's own script begins.

    After a kill dlt's `run` loads again what an earlier run left, and reads nothing new. Where a
    row was committed before dlt could note it, that fails in each later run, since rows of
    `_dlt_pipeline_state` and of staging tables are unique, or doubles rows where they are not.

    dlt tells it of runs as it tells its telemetry, and before anything is loaded; a source is read
    too late for that. It watches as long as the source lives. Where a user switched off
    `enable_runtime_trace`, dlt tells nobody.

    Args:
        source_name: Whose packages are given up and read again.

    Attributes:
        sources: How many sources of this name live.
    """

    def __init__(self, source_name: str) -> None:
        self.source_name, self.sources = source_name, 0

    def on_start_trace(self, _: object, step: str, pipeline: SupportsPipeline) -> None:
        """Recover when a run begins, and not when a user extracts, normalizes or loads by hand."""
        if not isinstance(pipeline, Pipeline):
            return
        if self.source_name in pipeline.schema_names:
            under_way(pipeline).hold(own_staging)
        if step == "run":
            recover_before_run(pipeline, self.source_name)

    def on_start_trace_step(self, _: object, step: str, pipeline: SupportsPipeline) -> None:
        """Note what was said of the tables before anything is read; let others load first."""
        if not isinstance(pipeline, Pipeline):
            return
        if step == "extract":
            under_way(pipeline).described = described(pipeline)
        if step == "load" and self.source_name in pipeline.schema_names:
            under_way(pipeline).hold(turn)

    def on_end_trace_step(
        self, _: object, __: object, pipeline: SupportsPipeline, info: object, *___: object
    ) -> None:
        """Let go of the destination when everything was read, comment on what was made there."""
        if not isinstance(pipeline, Pipeline) or not (run := if_under_way(pipeline)):
            return
        run.connection.close()
        try:
            if isinstance(info, LoadInfo) and not info.has_failed_jobs:
                before, run.described = run.described, None
                if before is not None:
                    comment(pipeline, self.source_name, info, before)
        finally:
            run.let_go(turn)

    def on_end_trace(self, trace: PipelineTrace, pipeline: SupportsPipeline, *_: object) -> None:
        """Undo what was done for a run, also for one that failed."""
        if not isinstance(pipeline, Pipeline):
            return
        if run := if_under_way(pipeline):
            run.let_go(own_staging)
        ran = any(step.step == "run" for step in trace.steps)
        if ran or not pipeline.has_pending_data:
            end(pipeline)


def watch_runs(source_name: str, owner: object) -> None:
    """Let one watch look at the runs of a source, as long as any source of that name lives.

    Args:
        source_name: The source.
        owner: An object that lives as long as the source.
    """
    watches = trace.TRACKING_MODULES
    known = (w for w in watches if isinstance(w, RunsWatch) and w.source_name == source_name)
    watch = next(known, None)
    if not watch:
        watch = RunsWatch(source_name)
        watches.append(watch)
    watch.sources += 1

    def leave() -> None:
        watch.sources -= 1
        if not watch.sources and watch in watches:
            watches.remove(watch)

    finalize(owner, leave)


def recover_before_run(pipeline: Pipeline, source_name: str) -> None:
    """Let a run begin with what the destination holds, as `recover` does for `load`.

    Nothing happens where the pipeline's destination keeps no state, while another process is at
    work in its folder, or where data of another source waits.

    dlt turns what is raised here into a warning and goes on. So it is kept for `be_at_work` to
    raise, before anything is read. A package that waits needs no answer from the destination to be
    given up, so only a folder that can't be written lets dlt load it all the same.

    Args:
        pipeline: Any pipeline; one that knows other sources only is left alone.
        source_name: The source.
    """
    if pipeline.dev_mode or not pipeline.destination:
        return
    schemas = {p.name for p in _entries(Path(pipeline.working_dir, "schemas"))}
    if schemas and source_name + SCHEMA_FILE not in schemas:
        return
    run = under_way(pipeline)
    run.not_recovered = None
    try:
        with run.at_work, FileLock(f"{pipeline.working_dir}.lock", timeout=0):
            finish_moves(pipeline)
            if _pending(pipeline) <= {source_name, ""} and _is_kept_by_destination(pipeline):
                _go_back(pipeline)
    except Timeout:
        logger.info("Nothing is recovered: this pipeline's folder is in use.")
    except Exception as error:
        run.not_recovered = error
        raise


def be_at_work(pipeline: Pipeline) -> None:
    """Keep other processes from recovering until the run ends, or without a run this process.

    From now on it is known that the pipeline loads this source, so it gets its own staging dataset.

    To be called when extraction begins. Nobody waits for it, and it keeps nobody from running.

    Raises:
        LoadError: What the destination holds could not be found out before the run.
    """
    run = under_way(pipeline)
    if error := run.not_recovered:
        run.not_recovered = None
        raise LoadError("sync", error) from error
    if pipeline.config.enable_runtime_trace:  # which tells us when the run ends
        run.hold(own_staging)
    with suppress(Timeout):
        run.at_work.acquire()


def _entries(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() else []


def _pending(pipeline: Pipeline) -> set[str]:
    """Return the names of the sources of which there are packages to be loaded."""
    packages = {*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()}
    return {_source_of(pipeline, package) for package in packages}


def _source_of(pipeline: Pipeline, package: str) -> str:
    """Return the name of the source whose data a package holds.

    "" if it is only a remnant, or the state, which dlt puts into a package of the source that the
    pipeline ran first.
    """
    try:
        found = pipeline.get_load_package_info(package)
    except FileNotFoundError:
        return ""
    tables = {job.job_file_info.table_name for jobs in found.jobs.values() for job in jobs}
    return "" if tables == {PIPELINE_STATE_TABLE_NAME} else str(found.schema.name)


def _state_file(pipeline: Pipeline) -> Path:
    return Path(pipeline.working_dir, pipeline.STATE_FILE)


def _is_kept_by_destination(pipeline: Pipeline) -> bool:
    """Return whether the pipeline's state can be fetched from the destination."""
    restores = pipeline.config.restore_from_destination
    return restores and isinstance(pipeline.destination_client(), WithStateSync)


def _go_back(pipeline: Pipeline) -> None:
    """Start over if what was read last is not in the destination."""
    if _pending(pipeline) or not _is_loaded(pipeline):
        start_over(pipeline)


def _is_loaded(pipeline: Pipeline) -> bool:
    """Return whether the destination has recorded the load of the local state, if there is one."""
    state = pipeline.state
    if not state.get("default_schema_name"):
        return True  # nothing was read so far
    with pipeline.destination_client() as client, suppress(DestinationUndefinedEntity):
        return _has(client, state)
    return False


def _has(client: JobClientBase, state: TPipelineState) -> bool:
    if not isinstance(client, SqlJobClientBase):  # plain files
        files = cast("WithStateSync", client)
        stored = load_pipeline_state_from_destination(state["pipeline_name"], files)
        return bool(stored and stored["_state_version"] >= state["_state_version"])
    # Of several states, dlt takes that with the latest load id, which is a time by this machine's
    # clock. After the clock was set back this is not the last one, so any of them will do.
    sql, schema = client.sql_client, client.schema
    states, loads = map(
        sql.make_qualified_table_name, (schema.state_table_name, schema.loads_table_name)
    )
    found = sql.execute_sql(
        f"SELECT 1 FROM {states} AS s JOIN {loads} AS l ON l.load_id = s._dlt_load_id "  # noqa: S608 - our names
        "WHERE s.pipeline_name = %s AND s.version_hash = %s AND l.status = 0",
        state["pipeline_name"],
        state["_version_hash"],
    )
    return bool(found)
