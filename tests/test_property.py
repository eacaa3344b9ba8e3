"""Whatever people do in Harvest and happens to the runs, the warehouse equals Harvest at the end.

Hypothesis draws sequences of edits, runs and mishaps. `make test` runs a few. To search for long:

    HARVEST_SEQUENCES=300 HARVEST_STEPS=25 .venv/bin/python -m pytest tests/test_property.py -x
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import dlt
from dlt import Pipeline
from dlt.common.time import increasing_precise_time
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from harvest import HarvestError, harvest_source
from harvest.errors import SuspiciousDeletionsError
from harvest.run import load
from harvest.settings import Sizes
from harvest_sandbox import Sandbox
from harvest_sandbox.account import PARENTS, Record
from harvest_sandbox.service import Request

from .crash_child import Job
from .editor import CHILDRENS, DATED, SILENT, STAMPED, Editor, day
from .kill_child import run_killed
from .processes import spawn
from .running import EVER
from .truth import ALWAYS, assert_equal, read, read_each

SEQUENCES, STEPS = os.environ.get("HARVEST_SEQUENCES"), os.environ.get("HARVEST_STEPS", "12")

Drawn = tuple[str, int, int]
"""An edit, its seed, and the seconds that pass before it."""


def drawn_edits(*names: str) -> st.SearchStrategy[Drawn]:
    """Draw one of some edits."""
    seconds = st.sampled_from([0, 1, 20, 61, 3_600])
    return st.tuples(st.sampled_from(names), st.integers(0, 2**20), seconds)


def several(*names: str) -> st.SearchStrategy[list[tuple[int, Drawn]]]:
    """Draw edits, each with the number of a request."""
    return st.lists(st.tuples(st.integers(1, 30), drawn_edits(*names)), min_size=1, max_size=10)


edits = several(*STAMPED) | several(*STAMPED, *CHILDRENS, *SILENT, "delete", "delete")
requests = st.integers(0, 30)
kill_steps = st.integers(1, 60) | st.integers(1, 500)
hour_jumps = st.sampled_from([3, 26, 24 * 366, -3, -26, -24 * 366])
odd_settings = st.sampled_from(
    [{}, {}, {"deletions": "keep"}, {"deletions": "flag"}, {"anchor_date": "2026-03-30"},
        {"full_read_hours": 0}, {"full_read_hours": -1}, {"children": "changed"}]
)  # fmt: skip
"""Settings of a run that the runs around it do not have."""
subsets = st.none() | st.sets(st.sampled_from([e.name for e in ALWAYS]), min_size=1)
faults = st.sampled_from(
    [("status", 500), ("status", 503), ("status", 429), ("drop", 0), ("truncate", 0),
        ("not_json", 0)]
)  # fmt: skip
SMALL_BATCHES: Record = {
    "parallel_windows": 2,
    "first_batch_requests": 3,
    "batch_records": 40,
    "batch_requests": 20,
}
"""Settings that make a tiny account's history long."""

scopes = st.sampled_from(
    [
        "users user_billable_rates user_cost_rates roles company",
        "clients projects tasks task_assignments",
        "time_entries projects user_assignments",
        "expenses expense_categories estimates estimate_messages contacts",
        "invoices invoice_messages invoice_payments clients",
        "time_entries invoices estimates expenses projects",
        " ".join(endpoint.name for endpoint in ALWAYS),
    ]
)
"""Tables of the warehouse: a run takes as long as it has tables."""


OTHER_ACCOUNT = 777


class EnoughError(HarvestError):
    """What a user does between two batches."""


class Warehouse(RuleBasedStateMachine):
    """A Harvest account, a pipeline that reads it, and a destination that must equal it.

    Attributes:
        home: Where pipelines have their folders.
        kind: The name of dlt's destination.
        credentials: Its address.
        stale: Whether something changed that only a full read finds.
        stale_children: Whether something changed that only a read of all children finds.
    """

    home: Path
    kind: str
    credentials: str
    numbers = count()

    @initialize(
        seed=st.integers(1, 3),
        style=st.sampled_from([None, "page", "cursor"]),
        page_cap=st.sampled_from([7, 20, 50, 2000]),
        chain=st.sampled_from([8_000, 10, 30]),
        exclusive=st.booleans(),
        undated_first=st.booleans(),
        hours=st.sampled_from([0, -7, 7]),
        crowded=st.booleans(),
        children=st.sampled_from(["complete", "complete", "differing", "changed"]),
        in_batches=st.booleans(),
        scope=scopes,
    )
    def open(
        self,
        *,
        seed: int,
        style: str | None,
        page_cap: int,
        chain: int,
        exclusive: bool,
        undated_first: bool,
        hours: int,
        crowded: bool,
        children: str,
        in_batches: bool,
        scope: str,
    ) -> None:
        """Open an account whose behaviour is one of those that Harvest leaves open."""
        self.sandbox = Sandbox(
            "tiny",
            seed,
            rate_limit=None,
            styles=style,
            page_cap=page_cap,
            updated_since_exclusive=exclusive,
            undated_first=undated_first,
        )
        self.account, self.clock = self.sandbox.account, self.sandbox.clock
        self.clock.speed = 0  # moments are drawn, so that a sequence can be repeated
        self.clock.shift(hours=hours)
        self.sandbox.__enter__()
        self.name = f"property_{next(self.numbers)}"
        self.children, self.scope = children, set(scope.split())
        self.stale = self.stale_children = self.pending = False
        self.other: Any = None
        self.backup: tuple[bool, bool] | None = None
        self.own_clock = 0.0
        self.load_ids = mock.patch(
            "dlt.common.storages.load_package.increasing_precise_time",
            self._own_time,
        )
        self.load_ids.start()
        self.in_batches, self.chain = in_batches, chain
        if crowded:
            r = Random(seed)  # noqa: S311 - a seeded agency
            for table, field in DATED.items():
                for record in self.account.rows(table):
                    changes: Record = {field: day(r)}
                    self.account.update(table, record["id"], touch=False, **changes)

    def teardown(self) -> None:
        """Demand equality once more, and close the account."""
        if not hasattr(self, "chain"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._run_quiet(full=True)
                if self.other:
                    self.run_other_account()
        finally:
            self.load_ids.stop()
            self.sandbox.__exit__()

    @rule(drawn=edits)
    def change(self, drawn: list[tuple[int, Drawn]]) -> None:
        """Edit between two runs."""
        for _, each in drawn:
            self._edit(*each)

    @rule(children=st.sampled_from(["complete", "changed"]), in_batches=st.booleans())
    def choose(self, *, children: str, in_batches: bool) -> None:
        """Change settings for the runs to come."""
        self.children, self.in_batches = children, in_batches

    @rule(hours=hour_jumps)
    def set_clock(self, hours: int) -> None:
        """Let Harvest's clock jump; what is stamped before the last run, a full read must find."""
        self.clock.shift(hours=hours)
        self.stale |= hours < 0

    @rule(hours=hour_jumps)
    def set_own_clock(self, hours: int) -> None:
        """Let this machine's clock jump, by which dlt numbers what it loads."""
        self.own_clock += 3600 * hours

    @rule(
        plan=edits, full=st.booleans(), tables=subsets, fault=st.none() | faults, at=requests,
        odd=odd_settings,
    )  # fmt: skip
    def run_disturbed(
        self,
        *,
        plan: list[tuple[int, Drawn]],
        full: bool,
        tables: set[str] | None,
        fault: tuple[str, int] | None,
        at: int,
        odd: dict[str, Any],
    ) -> None:
        """Run while Harvest is edited, and perhaps answers badly once, with settings of its own."""
        if fault:
            self.sandbox.fault(fault[0], status=fault[1], after=at)
        with self._edited(plan):
            self._run(full=full, tables=tables, **odd)

    @rule(full=st.booleans(), tables=subsets, at=requests)
    def run_refused(self, *, full: bool, tables: set[str] | None, at: int) -> None:
        """Run into an error; a step that fails while it reads changes nothing."""
        self.sandbox.fault("status", status=422, after=at)
        before = None if self.pending or self.in_batches else self._rows()
        # Where nothing is left out, an error stops the run before anything is loaded.
        ended = self._run(full=full, tables=tables, keep_going=False)
        if not ended and before is not None:
            assert self._rows() == before

    @rule(full=st.booleans(), tables=subsets, batches=st.integers(1, 4), path=st.sampled_from(
        ["", "clients$", "time_entries$", "invoices$", "payments$", "messages$", "rates$"]
    ))  # fmt: skip
    def run_interrupted(
        self, *, full: bool, tables: set[str] | None, batches: int, path: str
    ) -> None:
        """Interrupt a first read between two of its batches, or let a part of it break there."""
        left = [batches]

        def tell(_: str) -> None:
            left[0] -= 1
            if left[0] == 0 and path:
                self.sandbox.fault("status", path=path, status=422, times=-1)
            elif left[0] == 0:
                raise EnoughError("enough")

        self._run(full=full, tables=tables, tell=tell)

    @rule(plan=edits, full=st.booleans(), normalized=st.booleans(), moved=st.booleans())
    def run_broken_off(
        self, *, plan: list[tuple[int, Drawn]], full: bool, normalized: bool, moved: bool
    ) -> None:
        """Lose power between two steps of a run; keep the disk, or move to a new machine."""
        pipeline = self._pipeline()
        if not pipeline.has_pending_data:  # dlt would extract a second package
            with self._edited(plan):
                try:
                    source = harvest_source(**self._settings(full=full))
                    pipeline.extract(source.with_resources(*self.scope))
                except Exception as error:  # noqa: BLE001 - dlt wraps what the source raised
                    _assert_expected(error)
                    return
            if normalized:
                pipeline.normalize()
            self.pending = True
        if moved:
            shutil.rmtree(self.home / self.name, ignore_errors=True)
            self.pending = False

    @rule(plan=edits, full=st.booleans(), plain=st.booleans(), at=kill_steps)
    def run_killed(
        self, *, plan: list[tuple[int, Drawn]], full: bool, plain: bool, at: int
    ) -> None:
        """Kill a run before a change to a file or a statement."""
        job = Job(
            self.kind, self.credentials, self.name, str(self.home), self._settings(full=full),
            sorted(self.scope),
        )  # fmt: skip
        log = str(self.home / f"{self.name}.steps")
        with self._edited(plan):
            end = spawn(run_killed, job, log, plain=plain, at=at)
        event(f"killed: {end == -signal.SIGKILL}")
        self.pending = True

    @rule(full=st.booleans())
    def run_plain(self, *, full: bool) -> None:
        """Run as a user's own script does."""
        try:
            pipeline = self._pipeline()
            settings = self._settings(full=full, confirm_deletions=True)
            pipeline.run(harvest_source(**settings).with_resources(*self.scope))
        except PipelineStepFailed as error:
            _assert_expected(error)
            return
        self._assert_equal(full=full)

    @rule(full=st.booleans(), tables=subsets, odd=odd_settings)
    def run_second(self, *, full: bool, tables: set[str] | None, odd: dict[str, Any]) -> None:
        """Run another pipeline of the same account into the same dataset."""
        settings = {**self._settings(full=full, confirm_deletions=True), **odd}
        load(self._pipeline("second"), *self._chosen(tables), tell=_nothing, **settings)

    @rule()
    def run_other_account(self) -> None:
        """Run a pipeline of another account into the same dataset."""
        if not self.other:
            self.other = self.sandbox.add_account(OTHER_ACCOUNT)
        settings = self._settings(full=True, confirm_deletions=True)
        settings |= {"account_id": str(OTHER_ACCOUNT), "api_key": "777.pt.sandbox-secret"}
        pipeline = self._pipeline("other")
        load(pipeline, *self.scope, tell=_nothing, **settings)
        assert_equal(pipeline, self.sandbox, *self.scope, account_id=OTHER_ACCOUNT)

    @rule(table=st.sampled_from([n for e in ALWAYS for n in (e.name, *e.nested_tables)]))
    def drop_table(self, table: str) -> None:
        """Drop a table by hand."""
        if table.partition("__")[0] not in self.scope:
            return
        with self._pipeline().sql_client() as client, suppress(DatabaseUndefinedRelation):
            client.execute_sql(f"DROP TABLE {client.make_qualified_table_name(table)}")
        self.pending = True

    @precondition(lambda self: self.kind == "duckdb" and Path(self.credentials).exists())
    @rule()
    def back_up(self) -> None:
        """Copy the database."""
        shutil.copy(self.credentials, f"{self.credentials}.backup")
        self.backup = self.stale, self.stale_children

    @precondition(lambda self: self.backup)
    @rule()
    def restore(self) -> None:
        """Go back to the last copy of the database."""
        assert self.backup
        shutil.copy(f"{self.credentials}.backup", self.credentials)
        self.stale, self.stale_children = self.backup
        self.pending = True

    @rule()
    def run_full(self) -> None:
        """Read everything in quiet times: the warehouse equals Harvest."""
        self._run_quiet(full=True)

    @rule()
    def run(self) -> None:
        """Read what changed in quiet times: it does too, if every change was stamped."""
        self._run_quiet(full=False)

    def _run_quiet(self, *, full: bool) -> None:
        try:
            load(self._pipeline(), *self.scope, tell=_nothing, **self._settings(full=full))
        except SuspiciousDeletionsError as error:
            event("suspicious deletions")
            held = {_key(row) for row in read(self._pipeline(), error.endpoint)}
            gone = held - {_key(row) for row in self.account.truth(error.endpoint)}
            assert len(gone) * 2 > len(held)
            settings = self._settings(full=full, confirm_deletions=True)
            load(self._pipeline(), *self.scope, tell=_nothing, **settings)
        self.pending = False
        self._assert_equal(full=full)

    def _assert_equal(self, *, full: bool) -> None:
        """Demand equality after a run in quiet times, as far as it could find what changed."""
        if full:
            self.stale = False
        if full or self.children == "complete":
            self.stale_children = False
        if not self.stale and not self.stale_children:
            assert_equal(self._pipeline(), self.sandbox, *self.scope)

    def _run(self, *, full: bool, tables: set[str] | None, **odd: Any) -> bool:
        """Run, and return whether it ended well."""
        try:
            settings = {"tell": _nothing, **self._settings(full=full), **odd}
            load(self._pipeline(), *self._chosen(tables), **settings)
        except HarvestError as error:
            event(f"failed: {type(error).__name__}")
            return False
        else:
            return True
        finally:
            self.pending = self._pipeline().has_pending_data
            self.sandbox.faults.clear()

    def _own_time(self) -> float:
        return increasing_precise_time() + self.own_clock

    def _chosen(self, tables: set[str] | None) -> set[str]:
        return (tables or self.scope) & self.scope or self.scope

    def _edit(self, name: str, seed: int, seconds: int) -> None:
        with self.account.lock:
            self.clock.shift(seconds=seconds)
            getattr(Editor(self.account, seed, self.scope), name)()
            # Somebody's assignments change without a stamp of that person.
            childrens = name in CHILDRENS or "user_project_assignments" in self.scope
            self.stale |= name in SILENT
            self.stale_children |= childrens
            if self.backup:
                self.backup = (
                    self.backup[0] or name in SILENT,
                    self.backup[1] or childrens,
                )

    @contextmanager
    def _edited(self, plan: list[tuple[int, Drawn]]) -> Iterator[None]:
        """Make edits just before some of the coming requests are answered."""
        begun = len(self.sandbox.log)

        def before(number: int, _: Request) -> None:
            for at, drawn in plan:
                if begun + at == number:
                    self._edit(*drawn)

        self.sandbox.before_request = before
        try:
            yield
        finally:
            self.sandbox.before_request = None

    def _pipeline(self, which: str = "") -> Pipeline:
        """Return a pipeline as a new process finds it."""
        return dlt.pipeline(
            self.name + which,
            pipelines_dir=str(self.home),
            destination=getattr(dlt.destinations, self.kind)(self.credentials),
            dataset_name=self.name,
        )

    def _settings(self, *, full: bool, confirm_deletions: bool = False) -> dict[str, Any]:
        return {
            "api_key": self.sandbox.token,
            "account_id": str(self.sandbox.account_id),
            "base_url": self.sandbox.base_url,
            "anchor_date": EVER,
            "rate_limit": 100_000,
            "full_read": full,
            "children": self.children,
            "confirm_deletions": confirm_deletions,
            "sizes": Sizes(window_records=self.chain, **(SMALL_BATCHES if self.in_batches else {})),
        }

    def _rows(self) -> dict[str, list[str]]:
        pipeline = self._pipeline()
        pipeline.sync_destination()  # a new machine learns what was loaded
        if not pipeline.default_schema_name:
            return {}
        tables = pipeline.default_schema.data_table_names(seen_data_only=True)
        found = read_each(pipeline, tables)
        return {table: sorted(map(repr, rows)) for table, rows in found.items()}


def _nothing(_: str) -> None:
    """Keep what `load` tells."""


def _assert_expected(error: BaseException) -> None:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, HarvestError):
            return
        link = link.__cause__ or link.__context__
    raise error


def _key(row: Record) -> tuple[Any, ...]:
    return (*(row[key] for key in PARENTS if key in row), row["id"])


def check(home: Path, kind: str, credentials: str, sequences: int) -> None:
    """Let Hypothesis look for a sequence that ends with a difference."""
    members = {"home": home, "kind": kind, "credentials": credentials}
    machine = type("Machine", (Warehouse,), members)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(SEQUENCES or sequences),
            stateful_step_count=int(STEPS),
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink]
            if "HARVEST_SHRINK" in os.environ
            else [Phase.generate],
        ),
    )


def test_duckdb(tmp_path: Path) -> None:
    """DuckDB holds what Harvest holds, after any sequence of edits, runs and mishaps."""
    check(tmp_path, "duckdb", str(tmp_path / "warehouse.duckdb"), 3)


def test_postgres(tmp_path: Path, postgres_url: str) -> None:
    """Postgres holds what Harvest holds, after any sequence of edits, runs and mishaps."""
    check(tmp_path, "postgres", postgres_url, 2)
