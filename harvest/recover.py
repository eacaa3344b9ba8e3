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
from dlt.common.storages import LoadStorage, PackageStorage
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.pipeline import trace
from dlt.pipeline.state_sync import load_pipeline_state_from_destination
from dlt.pipeline.trace import PipelineTrace
from filelock import FileLock, Timeout

from .comments import comment, note_described
from .connection import close_connection
from .defaults import begin_own_staging, end_own_staging
from .destination import load_as_before
from .errors import BusyError, LoadError
from .extract.state import forget_tables
from .turns import end_turn, take_turn

SCHEMA_FILE = ".schema.json"

AT_WORK: dict[str, FileLock] = {}
"""Locks of pipelines' folders by path. A lock that nobody refers to is released."""

NOT_RECOVERED: dict[str, Exception] = {}
"""Why nothing was recovered before the run that is under way, by the pipeline's folder."""


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
        with _at_work(pipeline):
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
            begin_own_staging(pipeline)
        if step == "run":
            recover_before_run(pipeline, self.source_name)

    def on_start_trace_step(self, _: object, step: str, pipeline: SupportsPipeline) -> None:
        """Note what was said of the tables before anything is read; let others load first."""
        if not isinstance(pipeline, Pipeline):
            return
        if step == "extract":
            note_described(pipeline)
        if step == "load" and self.source_name in pipeline.schema_names:
            take_turn(pipeline)

    def on_end_trace_step(
        self, _: object, __: object, pipeline: SupportsPipeline, info: object, *___: object
    ) -> None:
        """Let go of the destination when everything was read, comment on what was made there."""
        if isinstance(pipeline, Pipeline):
            close_connection(pipeline)
            try:
                if isinstance(info, LoadInfo) and not info.has_failed_jobs:
                    comment(pipeline, info)
            finally:
                end_turn(pipeline)

    def on_end_trace(self, trace: PipelineTrace, pipeline: SupportsPipeline, *_: object) -> None:
        """Undo what was done for a run, also for one that failed."""
        if not isinstance(pipeline, Pipeline):
            return
        end_own_staging(pipeline)
        ran = any(step.step == "run" for step in trace.steps)
        if ran or not pipeline.has_pending_data:
            _at_work(pipeline).release(force=True)
            load_as_before(pipeline)


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
    NOT_RECOVERED.pop(pipeline.working_dir, None)
    try:
        with _at_work(pipeline), FileLock(f"{pipeline.working_dir}.lock", timeout=0):
            finish_moves(pipeline)
            if _pending(pipeline) <= {source_name, ""} and _is_kept_by_destination(pipeline):
                _go_back(pipeline)
    except Timeout:
        logger.info("Nothing is recovered: this pipeline's folder is in use.")
    except Exception as error:
        NOT_RECOVERED[pipeline.working_dir] = error
        raise


def be_at_work(pipeline: Pipeline) -> None:
    """Keep other processes from recovering until the run ends, or without a run this process.

    From now on it is known that the pipeline loads this source, so it gets its own staging dataset.

    To be called when extraction begins. Nobody waits for it, and it keeps nobody from running.

    Raises:
        LoadError: What the destination holds could not be found out before the run.
    """
    if error := NOT_RECOVERED.pop(pipeline.working_dir, None):
        raise LoadError("sync", error) from error
    if pipeline.config.enable_runtime_trace:  # which tells us when the run ends
        begin_own_staging(pipeline)
    with suppress(Timeout):
        _at_work(pipeline).acquire()


def _at_work(pipeline: Pipeline) -> FileLock:
    path = f"{pipeline.working_dir}.at_work"
    return AT_WORK.setdefault(path, FileLock(path, timeout=0, thread_local=False))


def _entries(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() else []


def _pending(pipeline: Pipeline) -> set[str]:
    """Return the names of the sources of which there are packages to be loaded."""
    packages = {*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()}
    return {_source_of(pipeline, package) for package in packages}


def _source_of(pipeline: Pipeline, package: str) -> str:
    """Return the name of the source whose data a package holds; "" if it is only a remnant."""
    try:
        return str(pipeline.get_load_package_info(package).schema.name)
    except FileNotFoundError:
        return ""


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
