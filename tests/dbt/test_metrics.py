"""The metrics agree with what the sandbox's records say, to the last digit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

import dlt
import pytest
import yaml
from dlt import Pipeline
from dlt.common.runners import Venv
from dlt.destinations.exceptions import DatabaseException

from harvest import metrics
from harvest.dashboard.page import REACHING_BACK, Page
from harvest.dashboard.questions import FIGURES, QUESTIONS, SCREENS
from harvest.dashboard.reading import MADE_OF, Choice, Look
from harvest.errors import MetricsError
from harvest.run import load
from harvest_sandbox import Sandbox
from harvest_sandbox.account import Account

from ..running import ENVIRONMENTS, a_database, be_at, run_script
from ..truth import Row, rows
from .dashboard_truth import CHOICES, Answers, comparable
from .metrics_truth import KEYS, Truth

RATES = {"EUR": {"USD": Decimal("0.9173")}, "CHF": {"EUR": Decimal("0.95")}}
OF_ONE_COMPANY = {"USD": Decimal("0.5")}
"""Without a company's currency: that holds for none where there are several."""
ANOTHER = 1  # what is added to the account's id in the copy of all its rows
Metrics = tuple[dict[int, Truth], dict[str, list[Row]], Pipeline]
"""What is true by account; what was built."""


@pytest.fixture
def duck(tmp_path: Path) -> Pipeline:
    """Make a pipeline into a DuckDB that nothing holds open: dbt's process must open it."""
    destination = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"))
    return dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dbt: Venv
) -> Iterator[Metrics]:
    """Load an account with all that is odd, a copy of it beside it, and build the metrics."""
    home = tmp_path_factory.mktemp("metrics")
    with (
        pytest.MonkeyPatch.context() as patch,
        Sandbox("story", rate_limit=None) as sandbox,
        ExitStack() as database,
    ):
        be_at(home, patch)
        sandbox.clock.speed = 0
        make_odd(sandbox.account)
        if request.param == "duckdb":
            destination: Any = dlt.destinations.duckdb(str(home / "warehouse.duckdb"))
        else:
            server = request.getfixturevalue("postgres_server")
            destination = dlt.destinations.postgres(database.enter_context(a_database(server)))
        pipeline = dlt.pipeline("metrics", destination=destination, dataset_name="of_metrics")
        read(pipeline, sandbox)
        seen = [entries(sandbox.account)]
        delete_some(sandbox.account)
        edit_billed(sandbox.account)
        read(pipeline, sandbox, full_read=True)
        seen.append(entries(sandbox.account))
        stranger = sandbox.account.rows("users")[4]["id"]
        copy_account(pipeline)
        make_other(pipeline, sandbox.account_id + ANOTHER, stranger)
        today = sandbox.clock.now().date()
        since = date(today.year - 1, 3, 7)
        accounts = (sandbox.account_id, sandbox.account_id + ANOTHER)
        variables = {
            "today": today.isoformat(),
            "history_from": {str(account): since.isoformat() for account in accounts},
        }
        rates = json.dumps({**OF_ONE_COMPANY, **RATES}, default=str)
        patch.setenv("SOURCES__HARVEST__METRICS__EXCHANGE_RATES", rates)
        dataset = metrics.build(pipeline, venv=dbt, variables=variables)["metrics"]
        assert dataset == "of_metrics_metrics"
        if request.param == "duckdb":
            runner = metrics.runner(pipeline, dbt)
            with metrics.aside(pipeline):
                runner.test(additional_vars={"source_dataset_name": "of_metrics", **variables})
        one, other = (
            Truth(sandbox.account, today, since, RATES["EUR"], seen),
            Truth(sandbox.account, today, since, RATES["CHF"], seen, "CHF", stranger,
                  payments_read=False, limited_to="client 7", uses_approval=False),
        )  # fmt: skip
        yield (
            dict(zip(accounts, (one, other), strict=True)),
            {model: rows(pipeline, dataset, model) for model in KEYS},
            pipeline,
        )


def read(pipeline: Pipeline, sandbox: Sandbox, **settings: Any) -> None:
    """Load the account; what is gone is flagged."""
    load(
        pipeline,
        api_key=sandbox.token,
        account_id=str(sandbox.account_id),
        base_url=sandbox.base_url,
        rate_limit=100_000,
        anchor_date="all",
        deletions="flag",
        history=["time_entries"],
        tell=lambda _: None,
        **settings,
    )


def make_odd(account: Account) -> None:
    """Put into the account what real ones have and the story does without."""
    account.company["week_start_day"] = "Sunday"
    entries = account.rows("time_entries")
    for n, entry in enumerate(entries[:400]):
        change: Row = {}
        if n % 7 == 0:
            change = {"cost_rate": None}  # the person's own rate holds
        elif n % 11 == 0:
            change = {"billable_rate": None}
        elif n % 13 == 0:
            change = {"approval_status": (None, "withdrawn")[n % 2]}
        elif n % 17 == 0:
            change = {"hours": Decimal("-0.37"), "rounded_hours": Decimal("-0.25")}
        elif n % 19 == 0:
            change = {"budgeted": False}
        elif n % 23 == 0:
            change = {"rounded_hours": Decimal("1.333"), "billable_rate": Decimal("0.485")}
        if change:
            account.update("time_entries", entry["id"], **change)
    invoices = account.rows("invoices")
    owed = [invoice for invoice in invoices if invoice["state"] == "open"]
    account.update("invoices", owed[0]["id"], retainer={"id": 7})
    for invoice, share in ((owed[1], 3), (owed[0], 2)):
        amount = (invoice["amount"] / share).quantize(Decimal("0.01"))
        day = str(invoice["issue_date"])
        paid = {"amount": amount, "paid_date": day, "paid_at": f"{day}T00:00:00Z"}
        account.add("invoice_payments", {**account.rows("invoice_payments")[0], **paid,
                                         "id": account.new_id()}, invoice["id"])  # fmt: skip
    fixed = [project for project in account.rows("projects") if project["is_fixed_fee"]]
    account.update("projects", fixed[0]["id"], ends_on=None)  # can't be spread
    account.update("projects", fixed[1]["id"], fee=Decimal("1000.01"))  # more was invoiced
    leaver, newcomer = account.rows("users")[2:4]
    account.update("users", leaver["id"], is_active=False)
    account.update("users", newcomer["id"], weekly_capacity=90_000)
    # Has no entries, and was there before the history that is whole.
    fields = {"id": account.new_id(), "first_name": "今", "last_name": "日"}
    account.add("users", {**newcomer, **fields, "created_at": "2019-05-06T07:08:09Z"})


def delete_some(account: Account) -> None:
    """Delete rows of all kinds, so that they are flagged."""
    for entry in account.rows("time_entries")[100:130]:
        account.delete("time_entries", entry["id"])
    for table, places in (("expenses", (3, 9)), ("estimates", (5,)), ("invoices", (4, 30))):
        for row in [account.rows(table)[place] for place in places]:
            account.delete(table, row["id"])
    payment = account.rows("invoice_payments")[12]
    account.delete("invoice_payments", payment["id"])


def edit_billed(account: Account) -> None:
    """Change entries that were invoiced."""
    billed = [entry for entry in account.rows("time_entries") if entry["is_billed"]]
    for n, entry in enumerate(billed[:40]):
        change: Row = ({"notes": "later"}, {"hours": Decimal("1.11")}, {"billable": False})[n % 3]
        account.update("time_entries", entry["id"], **change)


def entries(account: Account) -> dict[int, Row]:
    """Return time entries as they are now."""
    return {entry["id"]: entry for entry in account.truth("time_entries")}


def copy_account(pipeline: Pipeline) -> None:
    """Copy all rows to another account, whose records then have the same ids."""
    schema = pipeline.default_schema
    with pipeline.sql_client() as client:
        for table in schema.data_table_names(seen_data_only=True):
            values = {
                "_account_id": f"_account_id + {ANOTHER}",
                "_dlt_id": "_dlt_id || '+'",
                "_dlt_parent_id": "_dlt_parent_id || '+'",
                "_dlt_root_id": "_dlt_root_id || '+'",
            }
            columns = schema.get_table_columns(table)
            into = ", ".join(map(client.escape_column_name, columns))
            out = ", ".join(values.get(name, client.escape_column_name(name)) for name in columns)
            name = client.make_qualified_table_name(table)
            client.execute_sql(f"INSERT INTO {name} ({into}) SELECT {out} FROM {name}")


def make_other(pipeline: Pipeline, account: int, stranger: int) -> None:
    """Let an account have another currency, no approvals, limits, and what its token can't read."""
    changes = (
        "UPDATE company SET currency = 'CHF' WHERE _account_id = {0}",
        "DELETE FROM users WHERE _account_id = {0} AND id = {1}",
        "DELETE FROM invoice_payments WHERE _account_id = {0}",
        "UPDATE time_entries SET approval_status = 'unsubmitted' WHERE _account_id = {0}",
    )
    freshness = "UPDATE _freshness SET {} WHERE _account_id = {} AND table_name = '{}'"
    told = (("read_at = NULL", "invoice_payments"), ("limited_to = 'client 7'", "expenses"))
    with pipeline.sql_client() as client:
        for change in changes:
            client.execute_sql(change.format(account, stranger))
        for change, table in told:
            client.execute_sql(freshness.format(change, account, table))


@pytest.mark.parametrize("model", KEYS)
def test_agrees(built: Metrics, model: str) -> None:
    """A model equals what is computed from the records, in each of two accounts with equal ids."""
    truths, tables, _ = built
    for account, truth in truths.items():
        expected = truth.rows(model)
        assert expected, "the account has nothing of it"
        mine = [row for row in tables[model] if row["_account_id"] == account]
        found = {tuple(row[name] for name in KEYS[model]): row for row in mine}
        assert len(found) == len(mine)
        assert found.keys() == expected.keys()
        for key, want in expected.items():
            row = {name: _plain(value) for name, value in found[key].items()}
            assert row.pop("_account_id") == account
            assert row == want, key
    assert {row["_account_id"] for row in tables[model]} == truths.keys()


def _plain(value: Any) -> Any:
    """Return a value as the truth has it; floats would not be exact, so there must be none."""
    assert not isinstance(value, float)
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value


def test_described(built: Metrics) -> None:
    """The documentation of dbt has words for each column of each metric, and for no other."""
    _, tables, _ = built
    file = metrics.PACKAGE / "models" / "metrics" / "metrics.yml"
    described = {
        model["name"]: [column["name"] for column in model["columns"]]
        for model in yaml.safe_load(file.read_text(encoding="utf-8"))["models"]
    }
    assert {model: sorted(found[0]) for model, found in tables.items()} == {
        model: sorted(names) for model, names in described.items()
    }


@pytest.mark.parametrize("choose", CHOICES)
def test_page_agrees(built: Metrics, choose: str) -> None:
    """Each answer of the page, and each figure, equals what Python adds up of the same metrics."""
    truths, tables, pipeline = built
    account_id, truth = next(iter(truths.items()))
    choice = CHOICES[choose](truth.today, account_id, tables)
    answers = Answers(tables, choice, truth.today)
    with Look(pipeline).open() as reading:
        for question in QUESTIONS:
            found = reading.rows(question.sql, choice, None)
            if "_freshness" in question.tables or "_verification" in question.tables:
                continue  # tables that were loaded, not metrics
            assert comparable(found) == comparable(answers.of(question.title)), question.title
        for figure in FIGURES:
            if (expected := answers.figure(figure.title)) is not None:
                rows = reading.rows(figure.sql, choice)
                by_unit = {row["unit"]: row["value"] for row in rows if row["value"] is not None}
                assert comparable([by_unit]) == comparable([expected]), figure.title
                left_out = sum(row.get("left_out", 0) for row in rows)
                assert left_out == answers.left_out(figure.title), figure.title


def test_page_changes_nothing(built: Metrics) -> None:
    """The page's connection refuses to write."""
    *_, pipeline = built
    with Look(pipeline).open() as reading, pytest.raises(DatabaseException, match="read-only"):
        reading.rows("CREATE TABLE written (a int)", Choice(), None)


def test_story(built: Metrics) -> None:
    """The sandbox's story shows in the metrics: what a demonstration is about must not get lost."""
    truths, tables, _ = built
    account_id, truth = next(iter(truths.items()))
    mine = {
        model: [row for row in found if row["_account_id"] == account_id]
        for model, found in tables.items()
    }
    trouble = [row for row in mine["profit_fixed_fee"] if row["project_name"] == "Reading app"]
    assert sum(row["profit"] for row in trouble) < 0
    assert {row["currency"] for row in mine["hours"]} == {"EUR", "USD"}
    assert any(row["age"] == "over 90" for row in mine["work_in_progress"])
    assert any(row["age"] in {"31-60", "61-90"} for row in mine["receivables_aging"])
    assert any(row["is_partly_paid"] for row in mine["receivables_aging"])
    recent = truth.today - timedelta(days=60)
    weeks = [row for row in mine["utilization"] if row["week_start"] > recent]
    assert any(row["utilization"] > Decimal("1.2") for row in weeks)
    assert any(row["share"] > 1 for row in mine["budget_burn"])
    edits = mine["edits_after_invoicing"]
    assert any(row["hours_invoiced"] is None for row in edits)
    assert any(row["hours_invoiced"] not in (None, row["hours"]) for row in edits)


def test_cut(duck: Pipeline, dbt: Venv) -> None:
    """Where the anchor cuts history, rows that are said to be whole are as with all of it."""
    with Sandbox("story", rate_limit=None) as sandbox:
        sandbox.clock.speed = 0
        today = sandbox.clock.now().date()
        # More than the fee was invoiced, some of it before the anchor.
        (project,) = (
            p for p in sandbox.account.rows("projects") if p["name"] == "Anniversary exhibition"
        )
        anchor = date.fromisoformat(project["starts_on"]) + timedelta(days=174)
        sandbox.account.update("projects", project["id"], fee=Decimal(50_000))
        load(duck, api_key=sandbox.token, account_id=str(sandbox.account_id),
             base_url=sandbox.base_url, rate_limit=100_000, anchor_date=anchor.isoformat(),
             tell=lambda _: None)  # fmt: skip
        rates = {code: str(rate) for code, rate in OF_ONE_COMPANY.items()}
        given = {"source_dataset_name": "harvest_data", "exchange_rates": rates,
                 "today": today.isoformat()}  # fmt: skip
        runner = metrics.runner(duck, dbt)
        with metrics.aside(duck):
            runner.run(["--select", "accounts", *REACHING_BACK], additional_vars=given)
        (account,) = rows(duck, "harvest_data_metrics", "accounts")
        assert account["history_from"] == anchor
        truth = Truth(sandbox.account, today, anchor, OF_ONE_COMPANY, [])
        uncut = Truth(sandbox.account, today, date.min, OF_ONE_COMPANY, [])
        for model in sorted(REACHING_BACK):
            built = {
                tuple(row[name] for name in KEYS[model]): {
                    name: value for name, value in row.items() if name != "_account_id"
                }
                for row in rows(duck, "harvest_data_metrics", model)
            }
            expected, all_of_it = truth.rows(model), uncut.rows(model)
            whole = {key for key, row in expected.items() if row["is_whole"]}
            assert whole
            assert whole == {key for key, row in built.items() if row["is_whole"]}
            assert {key: built[key] for key in whole} == {key: expected[key] for key in whole}
            for key in whole:
                mean = {"client_average_days_to_pay": None}  # of the invoices since
                assert {**built[key], **mean} == {**all_of_it[key], **mean}
            assert built != all_of_it, "nothing was cut"


FEW = ("company", "projects", "time_entries", "users")
UNKNOWN: dict[str, dict[str, None]] = {
    "profit_time_and_materials": dict.fromkeys(
        ("billable_expenses", "revenue", "expenses", "profit")
    ),
    "profit_fixed_fee": dict.fromkeys(("invoiced", "revenue", "expenses", "profit")),
    "budget_burn": dict.fromkeys(
        ("spent_that_day", "spent", "remaining", "share", "spent_lately", "runs_out_on")
    ),
}
"""What nobody knows without expenses and invoices."""
Few = tuple[int, Truth, Truth, Pipeline]
"""An account; what is true of it, and without its time entries; what holds it."""


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, dbt: Venv) -> Iterator[Few]:
    """Load few tables; let a second account have no projects, a third one people only."""
    home = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch, Sandbox("story", rate_limit=None) as sandbox:
        be_at(home, patch)
        sandbox.clock.speed = 0
        destination = dlt.destinations.duckdb(str(home / "warehouse.duckdb"))
        pipeline = dlt.pipeline("few", destination=destination, dataset_name="harvest_data")
        account = sandbox.account_id
        load(pipeline, *FEW, api_key=sandbox.token, account_id=str(account),
             base_url=sandbox.base_url, rate_limit=100_000, anchor_date="all",
             tell=lambda _: None)  # fmt: skip
        today = sandbox.clock.now().date()
        truth, no_entries = (
            Truth(sandbox.account, today, date(1900, 1, 1), RATES["EUR"], []) for _ in range(2)
        )
        truth.costs = no_entries.costs = no_entries.entries = []
        copy_account(pipeline)
        with pipeline.sql_client() as client:
            of = f"WHERE _account_id = {account + 1}"
            client.execute_sql(f"DELETE FROM projects {of}")
            client.execute_sql(f"DELETE FROM _freshness {of} AND table_name = 'projects'")
            for table in ("company", "users", "_freshness"):
                those = "AND table_name = 'users'" if table == "_freshness" else ""
                client.execute_sql(
                    f"INSERT INTO {table} SELECT * REPLACE (_account_id + 2 AS _account_id) "
                    f"FROM {table} WHERE _account_id = {account} {those}"
                )
        rates = {code: str(rate) for code, rate in RATES["EUR"].items()}
        given = {"source_dataset_name": "harvest_data", "exchange_rates": rates,
                 "today": today.isoformat()}  # fmt: skip
        runner = metrics.runner(pipeline, dbt)
        with metrics.aside(pipeline):
            runner.run(["--select", "metrics"], additional_vars=given)
        yield account, truth, no_entries, pipeline


def test_few_tables(few: Few) -> None:
    """What is computed of a table that was never loaded is null, not 0, and no row of it whole."""
    account, truth, no_entries, pipeline = few

    def found(model: str, account: int) -> dict[tuple[Any, ...], Row]:
        return {
            tuple(row[name] for name in KEYS[model]): {
                name: value for name, value in row.items() if name != "_account_id"
            }
            for row in rows(pipeline, "harvest_data_metrics", model)
            if row["_account_id"] == account
        }

    hours = truth.rows("hours")
    assert found("hours", account) == hours
    unknown: Row = {"is_fixed_fee": None}
    assert found("hours", account + 1) == {key: {**row, **unknown} for key, row in hours.items()}
    open_work = truth.rows("work_in_progress")
    unknown = {"expenses": None, "is_whole": False}
    expected = {key: {**row, **unknown} for key, row in open_work.items()}
    assert found("work_in_progress", account) == expected
    unknown |= {"is_fixed_fee": None, "amount": None, "hours_without_rate": None}
    expected = {key: {**row, **unknown} for key, row in open_work.items()}
    assert found("work_in_progress", account + 1) == expected
    for model in ("profit_time_and_materials", "profit_fixed_fee"):
        expected = {key: {**row, **UNKNOWN[model], "is_whole": False}
                    for key, row in truth.rows(model).items()}  # fmt: skip
        assert found(model, account) == expected
        assert not found(model, account + 1)
    with_expenses = {key for key, project in truth.projects.items()
                     if project["budget_by"] == "project_cost"
                     and project["cost_budget_include_expenses"]}  # fmt: skip
    expected = {
        key: {**row, **UNKNOWN["budget_burn"], "is_whole": False}
        if key[0] in with_expenses
        else row
        for key, row in truth.rows("budget_burn").items()
        if row["budget_by"] in {"project", "project_cost"}
    }
    assert found("budget_burn", account) == expected
    assert {row["is_whole"] for row in expected.values()} == {True, False}
    assert len(expected) < len(truth.rows("budget_burn"))
    assert found("utilization", account) == truth.rows("utilization")
    assert found("missing_timesheets", account) == truth.rows("missing_timesheets")
    unknown = {"tracked_hours": None, "missing_hours": None, "is_whole": False}
    expected = {
        key: {**row, **unknown} for key, row in no_entries.rows("missing_timesheets").items()
    }
    assert found("missing_timesheets", account + 2) == expected
    assert expected
    assert not found("utilization", account + 2)


def test_page_of_few_tables(few: Few) -> None:
    """The page says which tables lack, not that there is nothing of what they hold."""
    account, *_, pipeline = few
    page = Page(Look(pipeline))
    options = page.options()

    def said(screen: int, title: str, of: int | None = None) -> str:
        shown = page.screen(SCREENS[screen], Choice(account=of), options, str, lambda *_: "")
        parts = re.findall(
            f"<(h2|dt)>{re.escape(escape(title))}</\\1>(.*?)</(?:section|div)>", shown
        )
        ((_, part),) = parts
        return re.sub("<.*?>|\u2013", "", part)

    assert said(2, "Not invoiced", account) == "expenses were not loaded"
    assert said(2, "Not invoiced", account + 1) == "expenses and projects were not loaded"
    assert said(2, "Who owes, and how late?", account) == "invoices were not loaded."
    assert said(2, "Owed") == "invoices were not loaded of every account"
    assert said(1, "Budgets used up", account).startswith("expenses, task_assignments and user_")
    assert said(0, "Whose timesheets are missing?", account + 2) == "time_entries were not loaded."
    assert said(0, "Tracked", account)[0].isdigit()
    # Loaded since the metrics were built: what these do not know is left out.
    with pipeline.sql_client() as client:
        for of in (account, account + 1, account + 2):
            for table in {table for tables in MADE_OF.values() for table in tables}:
                client.execute_sql(
                    f"INSERT INTO _freshness BY NAME SELECT {of} AS _account_id, now() AS read_at, "
                    f"'{table}' AS table_name, '' AS _dlt_id, '' AS _dlt_load_id"
                )
    assert said(2, "Not invoiced", account) == ""
    assert said(1, "Do fixed fees pay?", account)


def test_nothing_loaded(pipeline: Pipeline, dbt: Venv) -> None:
    """Tables that were never loaded make empty metrics; how fresh others are is taken from them."""
    with Sandbox("empty", rate_limit=None) as sandbox:
        load(pipeline, "company", "users", api_key=sandbox.token,
             account_id=str(sandbox.account_id), base_url=sandbox.base_url,
             tell=lambda _: None)  # fmt: skip
        tell_freshness(pipeline, sandbox.account_id)
        dataset = metrics.build(pipeline, venv=dbt)["metrics"]
        assert rows(pipeline, dataset, "hours") == []
        page = Page(Look(pipeline))
        options = page.options()
        for screen in SCREENS:
            shown = page.screen(screen, Choice(), options, str, lambda *_: "")
            for question in QUESTIONS:
                if question.screen == screen and "_freshness" not in question.tables:
                    lacking = {
                        table for model in question.tables for table in MADE_OF.get(model, ())
                    }
                    lacking -= {"time_entries", "expenses", "users"}
                    said = "were not loaded." if lacking else escape(question.empty)
                    (card,) = re.findall(
                        f"<h2>{re.escape(escape(question.title))}</h2>(.*?)</section>", shown
                    )
                    assert said in card, question.title
                    assert all(f"<code>{table}</code>" in card for table in lacking)
        (account,) = rows(pipeline, dataset, "accounts")
        assert account["_account_id"] == sandbox.account_id
        assert account["history_from"] == date(2025, 5, 7)  # the next whole day
        # What the metrics read can still be dropped: nothing in the database depends on it.
        load(pipeline, "users", refresh=True, api_key=sandbox.token,
             account_id=str(sandbox.account_id), base_url=sandbox.base_url,
             tell=lambda _: None)  # fmt: skip


def tell_freshness(pipeline: Pipeline, account_id: int) -> None:
    """Say from when on the history of two tables is whole."""
    moments = {"time_entries": "2025-03-04T00:00:00Z", "expenses": "2025-05-06T10:00:00Z"}
    pipeline.run(
        [
            {"_account_id": account_id, "table_name": table,
             "history_from": datetime.fromisoformat(moment.replace("Z", "+00:00")),
             "read_at": datetime.now(timezone.utc)}
            for table, moment in moments.items()
        ],
        table_name="_freshness",
    )  # fmt: skip


@pytest.mark.usefixtures("dbt")
def test_command(tmp_path: Path) -> None:
    """`--metrics` builds them after the load, and says where they are."""
    (tmp_path / "dlt" / "harvest").mkdir(parents=True)
    (tmp_path / "dlt" / "harvest" / "dbt").symlink_to(ENVIRONMENTS)
    done = run_script("--demo", "--metrics", "--like", "stitch", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["metrics"] == "harvest_demo_data_metrics"
    assert summary["stitch"] == "harvest_demo_data_stitch"


def test_failure(duck: Pipeline, dbt: Venv) -> None:
    """A model that can't be built is named, in one line."""
    with Sandbox("empty", rate_limit=None) as sandbox:
        load(duck, "company", api_key=sandbox.token, account_id=str(sandbox.account_id),
             base_url=sandbox.base_url, tell=lambda _: None)  # fmt: skip
    with pytest.raises(MetricsError) as caught:
        metrics.build(duck, venv=dbt, variables={"today": "2026-13-01"})
    assert "`accounts`" in str(caught.value)
    assert "\n" not in str(caught.value)
