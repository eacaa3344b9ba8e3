"""An account to verify, and the pipeline that has loaded it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dlt import Pipeline

from harvest.errors import DifferencesError
from harvest.run import SOURCE, verify
from harvest.underway import end
from harvest.verify import Verification
from harvest_sandbox import Sandbox

from .running import accounts_of
from .truth import Row, read

TABLES = (
    "time_entries expenses projects clients invoices task_assignments user_assignments"
).split()


Settings = dict[str, Any]


def settings_of(sandbox: Sandbox, **changes: Any) -> Settings:
    """Return the arguments of `harvest_source` that read all of a sandbox."""
    return {
        "api_key": sandbox.token,
        "account_id": str(sandbox.account_id),
        "base_url": sandbox.base_url,
        "anchor_date": "all",
        "rate_limit": 100_000,
        **changes,
    }


def silent(_: str) -> None:
    """Take a line and say nothing."""


@dataclass
class Loaded:
    """An account and the pipeline that has loaded it."""

    sandbox: Sandbox
    pipeline: Pipeline

    @property
    def settings(self) -> Settings:
        """The arguments of `harvest_source`."""
        return settings_of(self.sandbox)

    def verify(self, **how: Any) -> tuple[list[Row], list[str]]:
        """Verify; return the rows that were added to the table, and the lines that were told."""
        before = {row["_dlt_id"] for row in results(self.pipeline)}
        lines: list[str] = []
        try:
            verify(self.pipeline, tell=lines.append, **{**self.settings, **how})
        except DifferencesError as error:
            lines.append(str(error))
        return [row for row in results(self.pipeline) if row["_dlt_id"] not in before], lines

    def compare(self, **how: Any) -> tuple[list[Row], list[str]]:
        """Do the same without the table of results, which is most of a small verification."""
        names = {name: how.pop(name) for name in ("by", "months") if name in how}
        (account,) = accounts_of({**self.settings, **how})
        try:
            found = Verification(self.pipeline, SOURCE, account, **names)
        finally:
            end(self.pipeline)
        return [*found.rows()], [*found.lines()]

    def execute(self, statement: str) -> None:
        """Execute a statement; `{name}` stands for the table of that name."""
        with self.pipeline.sql_client() as client:
            names = (*TABLES, *(f"kept_{table}" for table in TABLES))
            tables = {name: client.make_qualified_table_name(name) for name in names}
            client.execute_sql(statement.format(**tables))

    @contextmanager
    def changed(self, table: str, *statements: str) -> Iterator[None]:
        """Let a table be changed by hand for as long as a block runs."""
        kept = f"kept_{table}"
        self.execute(f"CREATE TABLE {{{kept}}} AS SELECT * FROM {{{table}}}")
        try:
            for statement in statements:
                self.execute(statement)
            yield
        finally:
            self.execute(f"DELETE FROM {{{table}}}")
            self.execute(f"INSERT INTO {{{table}}} SELECT * FROM {{{kept}}}")
            self.execute(f"DROP TABLE {{{kept}}}")


def results(pipeline: Pipeline) -> list[Row]:
    """Return what the table of results holds, nothing where it is not there."""
    with pipeline.sql_client() as client:
        if not client.has_dataset():
            return []
    return read(pipeline, "_verification") if "harvest_verification" in pipeline.schemas else []


def differing(rows: list[Row], verdict: str = "unexplained") -> set[tuple[str, str]]:
    """Return the reports and measures that have a verdict."""
    return {(row["report"], row["measure"]) for row in rows if row["verdict"] == verdict}


def vary(sandbox: Sandbox) -> None:
    """Put into the account what only real ones have: budgets of all kinds, billed time."""
    account = sandbox.account
    projects = account.rows("projects")
    kinds = ("project", "project_cost", "task", "task_fees", "person", "none")
    for n, project in enumerate(projects):
        kind = kinds[n % 6]
        account.update(
            "projects", project["id"], touch=False, budget_by=kind,
            budget=Decimal(100) if kind == "project" else None,
            cost_budget=Decimal(5000) if kind == "project_cost" else None,
            cost_budget_include_expenses=n % 4 == 1, budget_is_monthly=n == 6,
        )  # fmt: skip
    for table in ("task_assignments", "user_assignments"):
        for row in account.rows(table)[::2]:
            account.update(table, row["id"], touch=False, budget=Decimal("12.5"))
    for table in ("time_entries", "expenses"):
        for row in account.rows(table)[::3]:
            account.update(table, row["id"], touch=False, is_billed=True)
    for entry in account.rows("time_entries")[::5]:
        account.update("time_entries", entry["id"], touch=False, budgeted=False)
    for entry in account.rows("time_entries"):  # none runs
        account.update("time_entries", entry["id"], touch=False, is_running=False,
                       timer_started_at=None)  # fmt: skip
