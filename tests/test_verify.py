"""A verification agrees with Harvest's reports to the cent, and finds the record of each fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt import Pipeline

from harvest import connection
from harvest.errors import (
    AccountsError,
    ConfigurationError,
    DifferencesError,
    HarvestError,
    LoadError,
    UnverifiableError,
    UnverifiedError,
)
from harvest.extract.windows import DAY
from harvest.run import load, verify
from harvest.settings import LONGEST_REPORT, Sizes
from harvest.verify.ledger import Sum, cents
from harvest.verify.reported import spans
from harvest_sandbox import Sandbox

from .running import a_database, administer, as_environment, be_at, run_script
from .truth import Row, read
from .verified import TABLES, Loaded, differing, results, settings_of, silent, vary

QUARTER = Decimal("0.25")


def up_to_quarters(sandbox: Sandbox) -> None:
    """Round time up to the nearest 15 minutes, which stamps no entry."""
    for entry in sandbox.account.rows("time_entries"):
        rounded = (entry["hours"] / QUARTER).to_integral_value(ROUND_CEILING) * QUARTER
        sandbox.account.update("time_entries", entry["id"], touch=False, rounded_hours=rounded)


def make(home: Path, destination: Any, *, rounds: bool = True) -> Iterator[Loaded]:
    """Load an account, whose time may be rounded."""
    with Sandbox("tiny", rate_limit=None, reports_limit=None) as sandbox:
        sandbox.clock.speed = 0
        vary(sandbox)
        if rounds:
            up_to_quarters(sandbox)
        with pytest.MonkeyPatch.context() as patch:
            be_at(home, patch)
            pipeline = dlt.pipeline(
                "verified", pipelines_dir=str(home / "pipelines"), destination=destination,
                dataset_name="verified",
            )  # fmt: skip
            load(pipeline, *TABLES, tell=silent, **settings_of(sandbox))
        yield Loaded(sandbox, pipeline)


def make_on_duckdb(home: Path, **how: Any) -> Iterator[Loaded]:
    """Load an account into a file that stays open, as that of the fixture `duck`."""
    file = str(home / "warehouse.duckdb")
    with duckdb.connect(file):
        yield from make(home, dlt.destinations.duckdb(file), **how)


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """Load the account into DuckDB."""
    yield from make_on_duckdb(tmp_path_factory.mktemp("verified"))


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Loaded]:
    """Load the account into Postgres."""
    with a_database(postgres_server) as url:
        yield from make(tmp_path_factory.mktemp("verified"), dlt.destinations.postgres(url))


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """Load an account that tests change; after each, the warehouse holds what Harvest does."""
    yield from make_on_duckdb(tmp_path_factory.mktemp("lively"), rounds=False)


@pytest.mark.parametrize(
    ("which", "by"),
    [
        ("on_duckdb", "client"),
        ("on_duckdb", "project"),
        ("on_duckdb", "person"),
        ("on_postgres", "client"),
    ],
)
def test_agrees(which: str, by: str, request: pytest.FixtureRequest) -> None:
    """A warehouse that holds what Harvest holds agrees in each figure, at few requests."""
    loaded: Loaded = request.getfixturevalue(which)
    loaded.sandbox.log.clear()
    state, before = loaded.pipeline.state["sources"], read(loaded.pipeline, "time_entries")
    rows, lines = loaded.verify(by=by)
    assert {row["verdict"] for row in rows} == {"agrees"}, lines
    assert {row["report"] for row in rows} == {"time", "expenses", "uninvoiced", "budgets"}
    subjects = {row["subject"] for row in rows if row["report"] in ("time", "expenses")}
    assert subjects == {by}
    days = [
        date.fromisoformat(e["spent_date"]) for e in loaded.sandbox.account.rows("time_entries")
    ]
    years = (loaded.sandbox.clock.now().date() - min(days)).days / 365
    asked = [request.path for request in loaded.sandbox.log if "/reports/" in request.path]
    assert len(asked) <= 9 + 3 * (years + 1)
    assert read(loaded.pipeline, "time_entries") == before
    assert loaded.pipeline.state["sources"] == state
    assert loaded.pipeline.default_schema_name == "harvest"


def test_figures(on_duckdb: Loaded) -> None:
    """What is kept is what the entries add up to, rounded one by one, each month for itself."""
    rows, _ = on_duckdb.verify(months=60)
    entries = [e for e in on_duckdb.sandbox.account.rows("time_entries") if e["billable"]]
    wanted: dict[Any, Decimal] = {}
    for entry in entries:
        key = entry["client"]["id"], entry["client"]["currency"], entry["spent_date"][:7]
        amount = entry["rounded_hours"] * (entry["billable_rate"] or 0)
        wanted[key] = wanted.get(key, Decimal(0)) + amount
    found = {
        (row["subject_id"], row["currency"], f"{row['period_start']:%Y-%m}"): row["warehouse"]
        for row in rows
        if (row["report"], row["measure"]) == ("time", "billable_amount")
    }
    assert found == {key: cents(value) for key, value in wanted.items() if value}
    assert sum(entry["hours"] != entry["rounded_hours"] for entry in entries) > 20
    assert {row["verified_at"] for row in rows} == {rows[0]["verified_at"]}


def entry_of(loaded: Loaded, **wanted: Any) -> Row:
    """Return a billable time entry of this month, or one that has some values."""
    wanted = {"billable": True, **wanted}
    projects = loaded.sandbox.account.records["projects"]
    for entry in loaded.sandbox.account.rows("time_entries"):
        project = projects[entry["project"]["id"]]
        if (
            all(entry[name] == value for name, value in wanted.items())
            and project["is_billable"]
            and not project["is_fixed_fee"]
            and entry["spent_date"] <= loaded.sandbox.clock.now().date().isoformat()
            and entry["billable_rate"]
        ):
            return entry
    raise AssertionError(wanted)


TIME = {("time", "total_hours"), ("time", "billable_hours"), ("time", "billable_amount")}
OPEN_TIME = {("uninvoiced", m) for m in ("total_hours", "uninvoiced_hours", "uninvoiced_amount")}

FAULTS: dict[str, tuple[str, str, set[tuple[str, str]], str]] = {
    "lost entry": (
        "time_entries",
        "DELETE FROM {{time_entries}} {which}",
        TIME | OPEN_TIME,
        "time entry {id} is missing here",
    ),
    "doubled entry": (
        "time_entries",
        "INSERT INTO {{time_entries}} ({columns}) SELECT {columns} FROM {{time_entries}} {which}",
        TIME | OPEN_TIME,
        "time entry {id} stands here 2 times",
    ),
    "stale rate": (
        "time_entries",
        "UPDATE {{time_entries}} SET billable_rate = billable_rate - 1 {which}",
        {("time", "billable_amount"), ("uninvoiced", "uninvoiced_amount")},
        "time entry {id} differs: billable_rate is",
    ),
    "an hour off": (
        "time_entries",
        "UPDATE {{time_entries}} SET hours = hours + 1, rounded_hours = rounded_hours + 1 {which}",
        TIME | OPEN_TIME,
        "time entry {id} differs: hours is",
    ),
    "a cent off": (
        "time_entries",
        "UPDATE {{time_entries}} SET rounded_hours = rounded_hours + 0.01 {which}",
        TIME | OPEN_TIME,
        "time entry {id} differs: rounded_hours is",
    ),
    "wrong currency": (
        "time_entries",
        "UPDATE {{time_entries}} SET client__currency = 'CHF' {which}",
        TIME,
        "time entry {id} differs: client__currency is CHF here",
    ),
    "not billable": (
        "time_entries",
        "UPDATE {{time_entries}} SET billable = false {which}",
        (TIME | OPEN_TIME) - {("time", "total_hours"), ("uninvoiced", "total_hours")},
        "time entry {id} differs: billable is False here, True in Harvest",
    ),
    "billed": (
        "time_entries",
        "UPDATE {{time_entries}} SET is_billed = true {which}",
        OPEN_TIME - {("uninvoiced", "total_hours")},
        "time entry {id} differs: is_billed is True here, False in Harvest",
    ),
    "another month": (
        "time_entries",
        "UPDATE {{time_entries}} SET spent_date = '{other_month}' {which}",
        TIME,
        "spent_date is {other_month} here, {spent_date} in Harvest",
    ),
}

EXPENSES = {
    ("expenses", "total_amount"),
    ("expenses", "billable_amount"),
    ("uninvoiced", "uninvoiced_expenses"),
    ("uninvoiced", "uninvoiced_amount"),
}


def columns_of(loaded: Loaded, table: str) -> str:
    """Return a table's columns but dlt's id, which is unique."""
    names = read(loaded.pipeline, table)[0].keys() - {"_dlt_id"}
    return ", ".join(sorted(names)) + ", _dlt_id"


@pytest.mark.parametrize(
    ("which", "fault"),
    [
        *(("on_duckdb", fault) for fault in FAULTS),
        *(("on_postgres", f) for f in ("lost entry", "stale rate", "another month")),
    ],
)
def test_fault_in_time(which: str, fault: str, request: pytest.FixtureRequest) -> None:
    """Each fault in one time entry is found: in which figures, and which entry it is."""
    loaded: Loaded = request.getfixturevalue(which)
    entry = entry_of(loaded, is_billed=False)
    month = date.fromisoformat(entry["spent_date"]).replace(day=1)
    other = (month - DAY).replace(day=1)
    table, statement, figures, said = FAULTS[fault]
    which = f"WHERE id = {entry['id']}"
    columns = columns_of(loaded, table)
    values = {**entry, "other_month": other, "columns": columns, "which": which}
    statement = statement.format(**values)
    if fault == "doubled entry":
        statement = statement.replace(", _dlt_id FROM", ", 'twice' FROM")
    with loaded.changed(table, statement):
        rows, lines = loaded.compare(months=24)
    found = differing(rows)
    # A budget may count the entry too, and two months may lie in two windows of a year.
    assert found - {("budgets", "budget_spent")} in (figures, figures | OPEN_TIME), lines
    assert not differing(rows, "explained")
    said = said.format(**values)
    for row in rows:
        if row["verdict"] == "unexplained":
            assert said in row["reason"], row
            assert row["warehouse"] != row["harvest"]
    months = {row["period_start"] for row in rows if row["verdict"] == "unexplained"
              and row["report"] == "time"}  # fmt: skip
    assert months <= ({month, other} if fault == "another month" else {month})
    assert any(said in line for line in lines)


@pytest.mark.parametrize("which", ["on_duckdb", "on_postgres"])
def test_lost_expense(which: str, request: pytest.FixtureRequest) -> None:
    """A lost expense is found, with its id and to the cent."""
    loaded: Loaded = request.getfixturevalue(which)
    projects = loaded.sandbox.account.records["projects"]
    expense = next(
        row
        for row in loaded.sandbox.account.rows("expenses")
        if row["billable"]
        and not row["is_billed"]
        and projects[row["project"]["id"]]["is_billable"]
    )
    with loaded.changed("expenses", f"DELETE FROM {{expenses}} WHERE id = {expense['id']}"):
        rows, lines = loaded.verify()
    assert differing(rows) - {("budgets", "budget_spent")} == EXPENSES, lines
    assert "for no known reason" in lines[-1]
    assert {
        row["harvest"] - row["warehouse"] for row in rows if row["verdict"] == "unexplained"
    } == {expense["total_cost"]}
    assert f"expense {expense['id']} is missing here" in "".join(lines)


@pytest.mark.parametrize(
    ("column", "kind", "figure"),
    [
        ("budget", {"budget_by": "project"}, ("budgets", "budget")),
        ("cost_budget", {"budget_by": "project_cost"}, ("budgets", "budget")),
        ("fee", {"is_fixed_fee": True, "is_billable": True}, ("uninvoiced", "uninvoiced_amount")),
    ],
)
def test_stale_project(on_duckdb: Loaded, column: str, kind: Row, figure: tuple[str, str]) -> None:
    """A project's budget or fee that is stale is found, with the project."""
    project = next(
        row for row in on_duckdb.sandbox.account.rows("projects")
        if all(row[name] == value for name, value in kind.items())
    )  # fmt: skip
    stale = f"UPDATE {{projects}} SET {column} = {column} - 1 WHERE id = {project['id']}"
    with on_duckdb.changed("projects", stale):
        rows, lines = on_duckdb.compare()
    assert differing(rows) == {figure}, lines
    assert f"project {project['id']} differs: {column} is" in "".join(lines)


def test_stale_assignment(on_duckdb: Loaded) -> None:
    """A stale budget of a person on a project is found."""
    projects = on_duckdb.sandbox.account.records["projects"]
    row = next(
        row
        for row in on_duckdb.sandbox.account.rows("user_assignments")
        if row["budget"] and projects[row["project"]["id"]]["budget_by"] == "person"
    )
    stale = f"UPDATE {{user_assignments}} SET budget = budget - 1 WHERE id = {row['id']}"
    with on_duckdb.changed("user_assignments", stale):
        rows, lines = on_duckdb.compare()
    assert differing(rows) == {("budgets", "budget")}
    assert f"user assignment {row['id']} differs: budget is" in "".join(lines)


def test_one_connection(on_duckdb: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification reads in chunks over one connection, and closes it when it ends or fails."""
    monkeypatch.setattr(connection, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(connection, "IDLE_S", 60)
    clients, lines = list[Any](), list[str]()
    sql_client = Pipeline.sql_client

    def opening(pipeline: Pipeline, *arguments: Any) -> Any:
        clients.append(sql_client(pipeline, *arguments))
        return clients[-1]

    lost = f"DELETE FROM {{time_entries}} WHERE id = {entry_of(on_duckdb)['id']}"
    with on_duckdb.changed("time_entries", lost), monkeypatch.context() as patch:
        patch.setattr(Pipeline, "sql_client", opening)
        patch.setattr(on_duckdb.sandbox, "faults", [])
        with pytest.raises(DifferencesError):
            verify(on_duckdb.pipeline, tell=lines.append, **on_duckdb.settings)
        on_duckdb.sandbox.fault("status", path="reports", times=-1, status=422)
        with pytest.raises(HarvestError, match="422"):
            verify(on_duckdb.pipeline, tell=silent, **on_duckdb.settings)
    assert [client.native_connection for client in clients] == [None, None]
    told = [line for line in lines if "unexplained: " in line]
    assert told
    assert all(f"time entry {entry_of(on_duckdb)['id']} is missing here" in line for line in told)


def test_database_gone(on_postgres: Loaded, postgres_server: str) -> None:
    """Where the database refuses to be asked again, the destination is named."""
    with on_postgres.pipeline.sql_client() as client:
        ((name,),) = client.execute_sql("SELECT current_database()") or ()
    allow = f"ALTER DATABASE {name} ALLOW_CONNECTIONS"
    on_postgres.sandbox.before_request = lambda *_: administer(postgres_server, f"{allow} false")
    try:
        with pytest.raises(LoadError, match=r"not currently accepting.*check the destination"):
            verify(on_postgres.pipeline, tell=silent, **on_postgres.settings)
    finally:
        on_postgres.sandbox.before_request = None
        administer(postgres_server, f"{allow} true")


def test_lost_history(on_duckdb: Loaded) -> None:
    """Where the oldest entries are lost, so that months seem to be before all time, it is found."""
    days = sorted(row["spent_date"] for row in on_duckdb.sandbox.account.rows("time_entries"))
    first = (date.fromisoformat(days[0]) + timedelta(days=100)).isoformat()
    lost = [f"DELETE FROM {{time_entries}} WHERE spent_date < '{first}'"]
    no_expenses = f"DELETE FROM {{expenses}} WHERE spent_date < '{first}'"
    with on_duckdb.changed("time_entries", *lost), on_duckdb.changed("expenses", no_expenses):
        rows, lines = on_duckdb.compare()
    (row,) = (row for row in rows if row["measure"] == "records" and row["report"] == "time")
    oldest_left = next(day for day in days if day >= first)
    counted = sum(day < f"{oldest_left[:7]}-01" for day in days)
    assert (row["warehouse"], row["harvest"]) == (0, counted), lines


def test_year_is_looked_into(on_duckdb: Loaded) -> None:
    """A year that differs is looked into month by month, and no other year is."""
    entry = on_duckdb.sandbox.account.rows("time_entries")[-1]
    on_duckdb.sandbox.log.clear()
    lost = f"DELETE FROM {{time_entries}} WHERE id = {entry['id']}"
    with on_duckdb.changed("time_entries", lost):
        rows, lines = on_duckdb.compare(months=0)
    assert f"time entry {entry['id']} is missing here" in "".join(lines)
    months = {row["period_start"] for row in rows if row["verdict"] != "agrees"
              and row["report"] == "time"}  # fmt: skip
    assert months == {date.fromisoformat(entry["spent_date"]).replace(day=1)}
    asked = [r for r in on_duckdb.sandbox.log if r.path.endswith("reports/time/clients")]
    assert len(asked) <= 3 + 12


def test_changed_since(lively: Loaded) -> None:
    """What changed in Harvest since the last run is explained, and agrees after the next run."""
    account = lively.sandbox.account
    lively.sandbox.clock.shift(minutes=5)
    entry, other = account.rows("time_entries")[0], account.rows("time_entries")[1]
    account.update("time_entries", entry["id"], hours=Decimal(3), rounded_hours=Decimal(3))
    new = {k: v for k, v in other.items() if k not in ("id", "created_at", "updated_at")}
    new_id = account.add("time_entries", new)["id"]
    rows, lines = lively.compare()
    assert not differing(rows), lines
    assert ("time", "total_hours") in differing(rows, "explained")
    reasons = "".join(row["reason"] or "" for row in rows)
    assert f"time entry {new_id} is missing here, changed in Harvest since the last run" in reasons
    assert f"time entry {entry['id']} differs: hours is" in reasons
    # An hour that is lost besides is not excused by it.
    with lively.changed("time_entries", f"DELETE FROM {{time_entries}} WHERE id = {other['id']}"):
        rows, lines = lively.compare(by="person")
    assert differing(rows), lines
    load(lively.pipeline, "time_entries", tell=silent, **lively.settings)
    rows, lines = lively.compare()
    assert {row["verdict"] for row in rows} == {"agrees"}, lines


def test_deleted_since(lively: Loaded) -> None:
    """A record that was deleted since the full read differs until the next one, and says so."""
    for deletions in ("keep", "flag", "remove"):
        entry = lively.sandbox.account.rows("time_entries")[0]
        lively.sandbox.account.delete("time_entries", entry["id"])
        rows, lines = lively.compare(deletions=deletions)
        verdict = "explained" if deletions == "keep" else "unexplained"
        assert ("time", "total_hours") in differing(rows, verdict), lines
        assert f"time entry {entry['id']} is not in Harvest" in "".join(lines)
        how = {**lively.settings, "full_read": True, "deletions": deletions}
        load(lively.pipeline, "time_entries", tell=silent, **how)
        rows, lines = lively.compare(deletions=deletions)
        verdicts = {row["verdict"] for row in rows}
        assert verdicts == {"agrees", *({"explained"} if deletions == "keep" else ())}, lines


def test_rounding_changed(lively: Loaded) -> None:
    """Time that Harvest rounds otherwise by now is explained, and nothing but that."""
    up_to_quarters(lively.sandbox)
    lively.sandbox.log.clear()
    rows, lines = lively.compare()
    assert not differing(rows), lines
    listed = [request for request in lively.sandbox.log if request.path.endswith("/v2/projects")]
    assert len(listed) == 1  # though many projects differ
    reasons = [row["reason"] for row in rows if row["verdict"] == "explained"]
    assert reasons
    assert all("time rounding was changed in Harvest from no rounding to" in r for r in reasons)
    wrong = lively.sandbox.account.rows("time_entries")[0]["id"]
    stale = "UPDATE {time_entries} SET rounded_hours = rounded_hours + 0.1 WHERE id = "
    with lively.changed("time_entries", f"{stale}{wrong}"):
        rows, lines = lively.compare()
    assert differing(rows), lines
    load(lively.pipeline, "time_entries", tell=silent, full_read=True, **lively.settings)
    rows, lines = lively.compare()
    assert {row["verdict"] for row in rows} == {"agrees"}, lines


def test_anchor(sandbox: Sandbox, duck: Pipeline) -> None:
    """What the anchor leaves out is explained by it, and what is lost besides is found."""
    vary(sandbox)
    anchor = (sandbox.clock.now() - timedelta(days=300)).date().isoformat()
    loaded = Loaded(sandbox, duck)
    load(duck, *TABLES, tell=silent, **{**loaded.settings, "anchor_date": anchor})
    rows, lines = loaded.compare(anchor_date=anchor)
    assert not differing(rows), lines
    reasons = " ".join(row["reason"] or "" for row in rows)
    assert f"last changed before {anchor}, so the anchor leaves it out" in reasons
    assert f"history before {anchor} was not read" in reasons
    starts = [row["period_start"] for row in rows if row["period_start"]]
    assert min(starts) >= date.fromisoformat(anchor)
    held = {row["id"] for row in read(duck, "time_entries")}
    recent = next(e["id"] for e in sandbox.account.rows("time_entries") if e["id"] in held)
    with loaded.changed("time_entries", f"DELETE FROM {{time_entries}} WHERE id = {recent}"):
        rows, lines = loaded.compare(anchor_date=anchor)
    assert ("time", "total_hours") in differing(rows), lines


def test_never_read(sandbox: Sandbox, duck: Pipeline, tmp_path: Path) -> None:
    """Where nothing was read in full, nothing is compared and nothing is changed."""
    loaded = Loaded(sandbox, duck)
    with pytest.raises(UnverifiableError, match="was never read in full"):
        verify(duck, **loaded.settings)
    assert not (tmp_path / "warehouse.duckdb").exists() or not results(duck)
    load(duck, "clients", tell=silent, **loaded.settings)
    with pytest.raises(UnverifiableError, match="was never read in full"):
        verify(duck, **loaded.settings)
    sandbox.fault("status", path="expenses", times=-1, status=500)
    with pytest.raises(Exception, match="Not everything was loaded"):
        load(
            duck, "time_entries", "expenses", tell=silent, **loaded.settings,
            sizes=Sizes(max_attempts=1),
        )  # fmt: skip
    sandbox.faults.clear()
    assert not results(duck)
    with pytest.raises(UnverifiableError, match="`expenses` was not read to the end"):
        verify(duck, **loaded.settings)
    assert not results(duck)


def test_few_tables(sandbox: Sandbox, duck: Pipeline) -> None:
    """What can't be compared, since its tables were not loaded, is named."""
    loaded = Loaded(sandbox, duck)
    load(duck, "time_entries", tell=silent, **loaded.settings)
    rows, lines = loaded.verify()
    assert {row["report"] for row in rows} == {"time"}
    assert "expenses not compared, since `expenses` was never loaded" in "".join(lines)
    assert {row["verdict"] for row in rows} <= {"agrees", "explained"}


def test_reports_refused(sandbox: Sandbox, duck: Pipeline) -> None:
    """A report that the token may not read is asked for once; without any, nothing is verified."""
    loaded = Loaded(sandbox, duck)
    load(duck, "time_entries", "expenses", tell=silent, **loaded.settings)
    sandbox.fault("status", path="reports/time", times=-1, status=403)
    sandbox.log.clear()
    rows, lines = loaded.verify()
    assert {row["report"] for row in rows} == {"expenses"}
    assert len([r for r in sandbox.log if "reports/time" in r.path]) == 1
    assert "".join(lines).count("time not compared: the token may not read the report") == 1
    sandbox.fault("status", path="reports/expenses", times=-1, status=404)
    with pytest.raises(UnverifiableError, match="; expenses not compared: the token may not read"):
        loaded.verify()


@pytest.mark.parametrize(
    ("how", "word"),
    [({"by": "planet"}, "choose one of client, project, person"), ({"months": -1}, "is -1")],
)
def test_bad_settings(on_duckdb: Loaded, how: Row, word: str) -> None:
    """A setting that is none is refused before anything is asked."""
    on_duckdb.sandbox.log.clear()
    with pytest.raises(ConfigurationError, match=word):
        verify(on_duckdb.pipeline, **how, **on_duckdb.settings)
    assert not on_duckdb.sandbox.log


def test_narrower_token(on_duckdb: Loaded) -> None:
    """A token that sees less than the one that loaded is refused, since all would differ."""
    before = results(on_duckdb.pipeline)
    with pytest.raises(UnverifiableError, match="the token may see less"):
        verify(
            on_duckdb.pipeline, **{**on_duckdb.settings, "api_key": on_duckdb.sandbox.member_token}
        )
    assert results(on_duckdb.pipeline) == before


def test_member(sandbox: Sandbox, duck: Pipeline) -> None:
    """A member's own hours are compared, and it is said that these are not all."""
    vary(sandbox)
    loaded = Loaded(sandbox, duck)
    token = {"api_key": sandbox.member_token}
    load(duck, "time_entries", "expenses", tell=silent, **{**loaded.settings, **token})
    rows, lines = loaded.verify(**token)
    assert {row["verdict"] for row in rows} == {"agrees"}, lines
    assert {row["measure"] for row in rows if row["report"] == "time"} == {
        "total_hours", "billable_hours",
    }  # fmt: skip
    assert "no administrator" in "".join(lines)
    assert "amounts of time not compared" in "".join(lines)


def test_module_off(sandbox: Sandbox, duck: Pipeline) -> None:
    """Where expenses are switched off, what is left is compared."""
    vary(sandbox)
    for row in sandbox.account.rows("expenses"):
        sandbox.account.delete("expenses", row["id"])
    sandbox.account.company["expense_feature"] = False
    loaded = Loaded(sandbox, duck)
    load(duck, *(t for t in TABLES if t != "expenses"), tell=silent, **loaded.settings)
    rows, lines = loaded.verify()
    assert {row["verdict"] for row in rows} == {"agrees"}, lines
    assert {row["report"] for row in rows} == {"time", "uninvoiced", "budgets"}


def test_results_dropped(on_duckdb: Loaded) -> None:
    """The table of results comes back after somebody dropped it, or a column of it."""
    on_duckdb.verify()
    with on_duckdb.pipeline.sql_client() as client:
        client.execute_sql("ALTER TABLE _verification DROP COLUMN reason")
    rows, _ = on_duckdb.verify()
    assert rows[0].keys() >= {"reason", "verdict"}
    with on_duckdb.pipeline.sql_client() as client:
        client.execute_sql("DROP TABLE _verification")
    verify(on_duckdb.pipeline, tell=silent, **on_duckdb.settings)
    assert {row["verdict"] for row in results(on_duckdb.pipeline)} == {"agrees"}


def test_two_accounts(sandbox: Sandbox, duck: Pipeline) -> None:
    """Each account is verified by itself, and only the one that differs is named."""
    second = sandbox.add_account(size="tiny", seed=2)
    sandbox.hosted[second.account_id].account.clock.speed = 0
    both = settings_of(
        sandbox, api_key=[sandbox.token, second.token],
        account_id=[sandbox.account_id, second.account_id],
    )  # fmt: skip
    load(duck, "time_entries", tell=silent, **both)
    lines: list[str] = []
    verify(duck, tell=lines.append, **both)
    assert {row["_account_id"] for row in results(duck)} == set(both["account_id"])
    with duck.sql_client() as client:
        rows = f"time_entries WHERE _account_id = {second.account_id}"
        client.execute_sql(f"DELETE FROM {rows} AND id = (SELECT max(id) FROM {rows})")
    with pytest.raises(DifferencesError) as caught:
        verify(duck, tell=lines.append, **both)
    assert caught.value.accounts.keys() == {second.account_id}
    sandbox.fault("status", path="users/me", times=-1, status=500)
    with pytest.raises(AccountsError, match="Failed: "):
        verify(duck, tell=lines.append, **both, sizes=Sizes(max_attempts=1))


def test_after_full_read(sandbox: Sandbox, duck: Pipeline) -> None:
    """With the setting, a load verifies after each full read, and no other time."""
    vary(sandbox)
    chosen = settings_of(sandbox, verify_full_reads=True)
    # Each run reads these in full.
    always = ("company", "roles", "invoice_messages", "report_project_budget")
    told: list[str] = []
    load(duck, "time_entries", *always, tell=told.append, **chosen)
    first = len(results(duck))
    assert first
    assert any("figures agree" in line for line in told)
    sandbox.clock.shift(hours=1)
    load(duck, "time_entries", *always, tell=told.append, **chosen)
    assert len(results(duck)) == first
    entry = sandbox.account.rows("time_entries")[0]["id"]
    with duck.sql_client() as client:
        client.execute_sql(
            "UPDATE time_entries SET hours = hours + 1, rounded_hours = hours + 1 "
            f"WHERE id = {entry}"
        )
    sandbox.clock.shift(minutes=1)
    with pytest.raises(DifferencesError) as caught:
        load(duck, "time_entries", tell=told.append, full_read=True, **chosen)
    assert caught.value.summary.tables["time_entries"].now == 150
    assert len(results(duck)) > first


def test_command(sandbox: Sandbox, tmp_path: Path) -> None:
    """The command exits with 0 where all agrees, else with 1 and one line; it tells no secret."""
    vary(sandbox)
    env = as_environment(settings_of(sandbox))
    unread = run_script("--verify", home=tmp_path, **env)
    assert unread.returncode == 1
    assert unread.stderr.strip().count("\n") == 0, unread.stderr
    assert "Nothing was verified" in unread.stderr
    done = run_script(*TABLES, home=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    agreed = run_script("--verify", "--verify-by", "project", home=tmp_path, **env)
    assert agreed.returncode == 0, agreed.stderr
    assert "figures agree" in agreed.stdout
    (file,) = tmp_path.glob("*.duckdb")
    pipeline = dlt.pipeline(
        "harvest", pipelines_dir=str(tmp_path / "other"),
        destination=dlt.destinations.duckdb(str(file)), dataset_name="harvest_data",
    )  # fmt: skip
    with pipeline.sql_client() as client:
        client.execute_sql("UPDATE time_entries SET rounded_hours = rounded_hours + 1")
    differs = run_script("--verify", home=tmp_path, **env)
    assert differs.returncode == 1
    assert differs.stderr.strip().count("\n") == 0, differs.stderr
    assert "for no known reason" in differs.stderr
    assert "unexplained: time" in differs.stdout
    said = json.dumps([unread.stdout, agreed.stdout, differs.stdout, differs.stderr])
    assert sandbox.token not in said


@pytest.mark.parametrize("accounts", [1, 2])
def test_load_unverified(sandbox: Sandbox, duck: Pipeline, accounts: int) -> None:
    """Where the verification after a load fails, what was loaded is told all the same."""
    tokens, ids = [sandbox.token], [sandbox.account_id]
    if accounts == 2:
        second = sandbox.add_account()
        tokens, ids = [*tokens, second.token], [*ids, second.account_id]
    sandbox.fault("status", path="reports", times=-1, status=422)
    chosen = settings_of(sandbox, api_key=tokens, account_id=ids, verify_full_reads=True)
    with pytest.raises(UnverifiedError, match=r"but not verified: .*answered 422") as caught:
        load(duck, "time_entries", tell=silent, **chosen)
    assert caught.value.summary.tables["time_entries"].now == 150 * accounts


def test_json(sandbox: Sandbox, tmp_path: Path) -> None:
    """With --json each account's result is one line, exact, and all else goes to stderr."""
    vary(sandbox)
    env = as_environment(settings_of(sandbox))
    loaded = run_script("time_entries", home=tmp_path, **env)
    assert loaded.returncode == 0, loaded.stderr
    sandbox.account.delete("time_entries", sandbox.account.rows("time_entries")[0]["id"])
    done = run_script("--verify", "--json", home=tmp_path, **env)
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["agrees"] > 0
    assert said["unexplained"] == len(said["differences"]) > 0
    (difference,) = (d for d in said["differences"] if d["measure"] == "total_hours")
    assert Decimal(difference["warehouse"]) > Decimal(difference["harvest"])
    assert "unexplained: time" in done.stderr


def test_demo(tmp_path: Path) -> None:
    """The demo account agrees with its reports, whatever a real account is limited to."""
    env = {"SOURCES__HARVEST__PROJECTS": "1234567"}
    loaded = run_script("--demo", *TABLES, home=tmp_path, **env)
    assert loaded.returncode == 0, loaded.stderr
    done = run_script("--demo", "--verify", home=tmp_path, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unexplained" not in done.stdout


def test_left_out_by_list(on_duckdb: Loaded) -> None:
    """An entry that Harvest's list lacks, and that Harvest has as it is here, is no reason."""
    entries = on_duckdb.sandbox.account.rows("time_entries")
    first, second = next(
        (one, other) for one in entries for other in entries
        if one["id"] < other["id"] and one["client"] == other["client"]
        and one["spent_date"][:7] == other["spent_date"][:7]
    )  # fmt: skip
    lost, left_out = first["id"], second["id"]

    def spoil(body: Row) -> None:
        kept = [entry for entry in body["time_entries"] if entry["id"] != left_out]
        body["total_entries"] -= len(body["time_entries"]) - len(kept)
        body["time_entries"] = kept

    on_duckdb.sandbox.fault("mutate", path="v2/time_entries$", times=-1, change=spoil)
    try:
        delete = f"DELETE FROM {{time_entries}} WHERE id = {lost}"
        with on_duckdb.changed("time_entries", delete):
            rows, lines = on_duckdb.compare()
    finally:
        on_duckdb.sandbox.faults.clear()
    reasons = {row["reason"] for row in rows if row["report"] == "time" and row["reason"]}
    assert reasons == {f"time entry {lost} is missing here"}, lines


def test_spans() -> None:
    """Spans hold each month once, newest first, and none is longer than Harvest allows."""
    first, last = date(2019, 2, 1), date(2026, 11, 30)
    for months in (0, 1, 4, 200):
        found = spans(first, last, months)
        assert found[0].last == last
        assert found[-1].first == first
        starts = [window.first for window in found[:-1]]
        assert starts == [window.last + DAY for window in found[1:] if window.last]
        lengths = [(w.last - w.first).days + 1 for w in found if w.first and w.last]
        assert max(lengths) <= LONGEST_REPORT
        assert all(length <= 31 for length in lengths[:months])
    assert len(spans(first, last, 4)) == 4 + 8


def test_cents() -> None:
    """An amount counts in each reading that the documents allow, and in no other."""
    total = Sum()
    for _ in range(3):
        total.add(Decimal("0.005"), Decimal("0.01"))
    assert total.figure == (Decimal("0.02"), Decimal("0.03"), Decimal("0.015"))
