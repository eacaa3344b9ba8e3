"""What hands and other pipelines do to a dataset, the next run mends or names."""

from __future__ import annotations

from typing import Any

import pytest
from dlt import Pipeline
from dlt.extract import DltSource

from harvest.errors import (
    ColumnTypeError,
    MissingColumnError,
    PartialLoadError,
    SharedTableError,
)
from harvest.extract.state import last_run
from harvest.run import load
from harvest_sandbox import Sandbox

from .running import Make, execute, failure, second_pipeline
from .truth import assert_equal, read

OTHER = {"account_id": "777", "api_key": "777.pt.sandbox-secret"}
QUIET: dict[str, Any] = {"full_read_hours": -1, "children": "changed"}
"""No run reads a table whole by itself."""


def changes(source: Make, *tables: str, **settings: Any) -> DltSource:
    """Make a source that reads what changed."""
    return source(**QUIET, **settings).with_resources(*tables)


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("clients", "duck"),
        ("estimates__line_items", "duck"),
        ("estimates__line_items", "postgres"),
    ],
)
def test_emptied(
    sandbox: Sandbox,
    source: Make,
    request: pytest.FixtureRequest,
    told: list[str],
    table: str,
    kind: str,
) -> None:
    """Rows that somebody deleted come back with the next run, which says so once."""
    pipeline: Pipeline = request.getfixturevalue(kind)
    root = table.partition("__")[0]
    pipeline.run(changes(source, root))
    execute(pipeline, f"DELETE FROM {{dataset}}.{table}")
    told.clear()
    pipeline.run(changes(source, root))
    assert_equal(pipeline, sandbox, root)
    said = [line for line in told if "read whole again" in line]
    assert len(said) == 1
    assert f"no row of {table} any more" in said[0]
    pipeline.run(changes(source, root))
    assert len([line for line in told if "read whole again" in line]) == 1
    assert not any(last_run(pipeline).written.values())


def test_emptied_but_flagged(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Rows that are flagged as gone do not hide that somebody deleted all others."""
    duck.run(changes(source, "tasks"))
    sandbox.account.delete("tasks", list(sandbox.account.records["tasks"])[-1])
    duck.run(source(full_read=True, deletions="flag").with_resources("tasks"))
    execute(duck, "DELETE FROM {dataset}.tasks WHERE _deleted_at IS NULL")
    duck.run(changes(source, "tasks", deletions="flag"))
    living = [row["id"] for row in read(duck, "tasks") if row["_deleted_at"] is None]
    assert sorted(living) == sorted(sandbox.account.records["tasks"])


def test_all_gone_for_good(sandbox: Sandbox, source: Make, duck: Pipeline, told: list[str]) -> None:
    """A table that is empty in Harvest too, or by a filter of the user's, is not read whole."""

    def chosen(**settings: Any) -> DltSource:
        made = source(**settings, full_read_hours=-1).with_resources("clients", "tasks")
        made.tasks.add_filter(lambda _: False)
        return made

    duck.run(chosen())
    for client in [*sandbox.account.records["clients"]]:
        sandbox.account.delete("clients", client)
    duck.run(chosen(full_read=True, confirm_deletions=True))
    assert not read(duck, "clients")
    before = len(sandbox.log)
    duck.run(chosen())
    assert not [line for line in told if "read whole again" in line]
    asked = [request for request in sandbox.log[before:] if request.path.endswith("/clients")]
    assert all("updated_since" in request.params for request in asked)


def test_made_again_by_others(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A table that was dropped, and made again by another pipeline, gets its rows back."""
    sandbox.add_account(777)
    duck.run(changes(source, "clients"))
    second = second_pipeline(duck)
    second.run(changes(source, "clients", **OTHER))
    execute(duck, "DROP TABLE {dataset}.clients")
    second.run(changes(source, "clients", **OTHER))
    duck.run(changes(source, "clients"))
    assert_equal(duck, sandbox, "clients")
    assert_equal(duck, sandbox, "clients", account_id=777)


def test_dropped_under_items(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Items of a table that somebody dropped go, though this pipeline knew nothing of it."""
    duck.run(source().with_resources("estimates"))
    execute(duck, "DROP TABLE {dataset}.estimates")
    other = second_pipeline(duck)
    other.run(source().with_resources("estimates"))
    assert_equal(other, sandbox, "estimates")


def test_wiping(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A plain run that would wipe the rows of another pipeline's account is refused."""
    sandbox.add_account(777)
    duck.run(changes(source, "clients"))
    second = second_pipeline(duck)
    second.run(changes(source, "clients", **OTHER))
    ways: list[dict[str, Any]] = [{"write_disposition": "replace"}, {"refresh": "drop_resources"}]
    for how in ways:
        said = failure(second, changes(source, "clients", **OTHER), **how)
        assert isinstance(said, SharedTableError)
        assert str(sandbox.account_id) in str(said)
        for account in (sandbox.account_id, 777):
            assert_equal(duck, sandbox, "clients", account_id=account)
    second.run(changes(source, "clients", **OTHER))
    assert_equal(duck, sandbox, "clients", account_id=777)


@pytest.mark.parametrize("how", [{"write_disposition": "replace"}, {"refresh": "drop_resources"}])
def test_replacing_alone(
    sandbox: Sandbox, source: Make, duck: Pipeline, how: dict[str, Any]
) -> None:
    """A table without rows of others is replaced as dlt's documentation says."""
    duck.run(changes(source, "clients"))
    duck.run(changes(source, "clients"), **how)
    assert_equal(duck, sandbox, "clients")


def test_public_links(source: Make, duck: Pipeline, told: list[str]) -> None:
    """Links that the user no longer wants leave the rows that are there with the next run."""
    duck.run(changes(source, "invoices", "clients"))
    assert any(row["client_key"] for row in read(duck, "invoices"))
    told.clear()
    duck.run(changes(source, "invoices", "clients", public_links=False))
    assert not any(row["client_key"] for row in read(duck, "invoices"))
    assert not any(row["statement_key"] for row in read(duck, "clients"))
    said = [line for line in told if "read whole again" in line]
    assert len(said) == 1
    assert "`public_links`" in said[0]
    duck.run(changes(source, "invoices", "clients", public_links=True))
    assert any(row["client_key"] for row in read(duck, "invoices"))


def test_own_hints(sandbox: Sandbox, source: Make, duck: Pipeline, told: list[str]) -> None:
    """A hint or contract that the user changed is applied to the rows that are there, and once."""

    def hinted(*, contract: Any = None, hint: bool = False) -> DltSource:
        made = changes(source, "clients")
        if contract:
            made.schema_contract = contract
        if hint:
            made.clients.apply_hints(columns={"address": {"precision": 500}})
        return made

    duck.run(hinted())
    for change in ({"hint": True}, {"contract": {"columns": "discard_value"}}):
        told.clear()
        duck.run(hinted(**change))
        assert last_run(duck).written == {"clients": len(sandbox.account.records["clients"])}
        assert any("`clients` is read whole again" in line for line in told)
        told.clear()
        duck.run(hinted(**change))
        assert not any(last_run(duck).written.values())
        assert not told
    assert_equal(duck, sandbox, "clients")


@pytest.mark.parametrize("how", ["source", "resource", "column"])
def test_lists_as_json(source: Make, duck: Pipeline, told: list[str], how: str) -> None:
    """Lists that the user makes JSON columns are read whole once, and not looked for again."""

    def flat() -> DltSource:
        made = changes(source, "estimates")
        if how == "source":
            made.max_table_nesting = 0
        elif how == "resource":
            made.estimates.max_table_nesting = 0
        else:
            made.estimates.apply_hints(columns={"line_items": {"data_type": "json"}})
        return made

    duck.run(changes(source, "estimates"))
    for _ in range(2):
        duck.run(flat())
    assert len([line for line in told if "read whole again" in line]) == 1
    assert not any(last_run(duck).written.values())


@pytest.mark.parametrize(("table", "column"), [("clients", "_account_id"), ("invoices", "number")])
def test_one_bad_column(
    sandbox: Sandbox,
    source: Make,
    settings: dict[str, Any],
    duck: Pipeline,
    table: str,
    column: str,
) -> None:
    """A column that can't take its values keeps away its table alone, children go on."""
    tables = ("clients", "invoices", "invoice_payments")
    load(duck, *tables, **settings)
    execute(duck, f"ALTER TABLE {{dataset}}.{table} DROP COLUMN {column}")
    if column != "_account_id":
        execute(duck, f"ALTER TABLE {{dataset}}.{table} ADD COLUMN {column} BIGINT")
    sandbox.clock.shift(hours=1)
    for name in tables:
        sandbox.account.update(name, next(iter(sandbox.account.records[name])), notes="new")
    with pytest.raises(PartialLoadError) as caught:
        load(duck, *tables, **settings)
    assert caught.value.failed.keys() == {table}
    assert f"--refresh {table}" in str(caught.value)
    said = failure(duck, changes(source, *tables))
    assert isinstance(said, (ColumnTypeError, MissingColumnError))
    assert_equal(duck, sandbox, *({*tables} - {table}))
    load(duck, *tables, refresh=[table], **settings)
    assert_equal(duck, sandbox, *tables)


def test_broken_staging(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], duck: Pipeline
) -> None:
    """What somebody dropped in dlt's staging dataset comes back with the next run."""
    tables = ("time_entries", "estimates")
    load(duck, *tables, **settings)
    for statement in (
        "DROP TABLE {staging}.time_entries",
        "DROP TABLE {staging}.estimates__line_items",
        "ALTER TABLE {staging}.estimates DROP COLUMN amount",
        "DROP TABLE {staging}._dlt_version",
        "DROP SCHEMA {staging} CASCADE",
    ):
        with duck.sql_client() as client:
            client.execute_sql(statement.format(staging="harvest_data_staging_harvest_test"))
        for table in tables:
            record = next(iter(sandbox.account.records[table]))
            sandbox.account.update(table, record, notes=statement)
        duck.run(changes(source, *tables))
        assert_equal(duck, sandbox, *tables)


def test_dropped_state(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A table of dlt's own comes back, also where another pipeline's schema has it."""
    load(duck, "clients", **settings)
    other = second_pipeline(duck)

    def load_both() -> None:
        load(other, "clients", **settings)
        load(duck, "clients", "roles", **settings)

    load_both()
    for table in ("_dlt_pipeline_state", "_dlt_loads"):
        execute(duck, f"DROP TABLE {{dataset}}.{table}")
        load_both()
    assert_equal(duck, sandbox, "clients", "roles")


def test_no_state_kept(source: Make, duck: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user lets dlt keep no state in the destination, it is not made again each run."""
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    pipeline = second_pipeline(duck)  # made now, it learns of the setting
    for _ in range(3):
        pipeline.run(source().with_resources("clients"))
    with pipeline.sql_client() as client:
        versions = client.execute_sql("SELECT count(*) FROM _dlt_version")
    assert versions == [(1,)]
