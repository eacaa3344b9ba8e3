"""Unplanned things that users do lose no row, mix none, and are told in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest import HarvestError, harvest_source
from harvest.errors import (
    ColumnTypeError,
    LoadError,
    MissingColumnError,
    OtherAccountError,
    PartialLoadError,
    RefusedHintError,
    RefusedRecordError,
    StatusError,
)
from harvest.extract.state import anchor_of, last_run, tables_of
from harvest.run import load
from harvest.settings import DEFAULT_HISTORY, Sizes
from harvest_sandbox import Sandbox

from .running import LONGER, Make, execute, failure, second_pipeline
from .truth import ALWAYS, assert_equal, read

FILLED = ("invoices", "estimates")
KINDS = ("company", "users", "clients", "time_entries", "invoice_payments")
"""Tables without items, one of each kind."""


def test_two_accounts_in_one_dataset(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Two pipelines with an account each share a dataset, and neither touches the other's rows."""
    other = sandbox.add_account(777)
    settings = {"account_id": "777", "api_key": "777.pt.sandbox-secret"}

    def chosen(**changes: Any) -> Any:
        return source(**changes).with_resources("time_entries")

    duck.run(chosen())
    second = second_pipeline(duck)
    second.run(chosen(**settings))
    theirs = [row for row in read(duck, "time_entries") if row["_account_id"] == 777]
    entries = sandbox.account.records["time_entries"]
    sandbox.account.delete("time_entries", list(entries)[-1])
    duck.run(chosen(full_read=True))
    second.run(chosen(**settings, full_read=True))
    rows = read(duck, "time_entries")
    assert {row["id"] for row in rows if row["_account_id"] == 777} == {r["id"] for r in theirs}
    assert {r["id"] for r in theirs} == other.account.records["time_entries"].keys()
    assert {row["id"] for row in rows if row["_account_id"] != 777} == entries.keys()


def test_other_account(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A pipeline whose account is changed refuses, names both, and changes nothing."""
    duck.run(source().with_resources("clients", "time_entries"))
    said = failure(duck, source(account_id="777"))
    assert isinstance(said, OtherAccountError)
    assert "777" in str(said)
    assert str(sandbox.account_id) in str(said)
    assert_equal(duck, sandbox, "clients", "time_entries")


@pytest.mark.parametrize("deletions", ["remove", "flag"])
def test_own_steps(sandbox: Sandbox, source: Make, duck: Pipeline, deletions: str) -> None:
    """A user's own steps see each row and no deletion, and deletions are found all the same."""
    tables = ("clients", "invoice_payments")

    def chosen() -> Any:
        made = source(deletions=deletions, full_read=True)
        for table in made.resources.values():
            table.add_map(lambda row: {**row, "seen": row["updated_at"] is not None})
            table.add_filter(lambda row: row["seen"])
        return made.with_resources(*tables)

    duck.run(chosen())
    for table in tables:
        sandbox.account.delete(table, list(sandbox.account.records[table])[-1])
    duck.run(chosen())
    for table in tables:
        living = {row["id"] for row in read(duck, table) if row["_deleted_at"] is None}
        assert living == sandbox.account.records[table].keys()


def test_whitelist(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A step that keeps but a few columns loses neither the account nor a deletion."""

    def chosen() -> Any:
        made = source(full_read=True)
        made.clients.add_map(lambda row: {"id": row["id"], "name": row["name"]})
        return made.with_resources("clients")

    duck.run(chosen())
    sandbox.account.delete("clients", list(sandbox.account.records["clients"])[-1])
    duck.run(chosen())
    rows = read(duck, "clients")
    assert {row["id"] for row in rows} == sandbox.account.records["clients"].keys()
    assert {row["_account_id"] for row in rows} == {sandbox.account_id}


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("invoices", "duck"),
        ("invoices__line_items", "duck"),
        ("invoices__line_items", "postgres"),
        ("company", "duck"),
    ],
)
def test_dropped_table(
    sandbox: Sandbox, source: Make, request: pytest.FixtureRequest, table: str, kind: str
) -> None:
    """A table that somebody dropped comes back whole with the next run."""
    pipeline: Pipeline = request.getfixturevalue(kind)
    root = table.partition("__")[0]
    pipeline.run(source().with_resources(root))
    execute(pipeline, f"DROP TABLE {{dataset}}.{table}")
    pipeline.run(source().with_resources(root))
    assert_equal(pipeline, sandbox, root)


def test_altered_column(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], pipeline: Pipeline
) -> None:
    """A column that would round what is written into it is an error that names the way out."""
    pipeline.run(source().with_resources("invoices"))
    altered = "ALTER TABLE {dataset}.invoices__line_items ALTER unit_price TYPE BIGINT"
    execute(pipeline, altered)
    said = failure(pipeline, source().with_resources("invoices"))
    assert isinstance(said, ColumnTypeError)
    assert "--refresh invoices" in str(said)
    load(pipeline, "invoices", **settings, refresh=True)
    assert_equal(pipeline, sandbox, "invoices")


def test_lossy_types(source: Make, duck: Pipeline) -> None:
    """A text that would become a number, or a number that would become yes or no, is an error."""
    duck.run(source().with_resources("invoices"))
    for column, kind in (("number", "BIGINT"), ("client__id", "BOOLEAN")):
        execute(duck, f"ALTER TABLE {{dataset}}.invoices ALTER {column} TYPE VARCHAR")
        execute(duck, f"UPDATE {{dataset}}.invoices SET {column} = '1'")
        execute(duck, f"ALTER TABLE {{dataset}}.invoices ALTER {column} TYPE {kind}")
        said = failure(duck, source().with_resources("invoices"))
        assert isinstance(said, ColumnTypeError)
        assert f"invoices.{column}" in str(said)
        execute(duck, f"ALTER TABLE {{dataset}}.invoices ALTER {column} TYPE VARCHAR")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("clients", "_account_id"),
        ("clients", "_dlt_load_id"),
        ("invoices__line_items", "_dlt_parent_id"),
    ],
)
def test_dropped_key(
    sandbox: Sandbox,
    source: Make,
    settings: dict[str, Any],
    duck: Pipeline,
    table: str,
    column: str,
) -> None:
    """A dropped column that each row needs is an error that names the way out, and it is one."""
    root = table.partition("__")[0]
    duck.run(source().with_resources(root))
    execute(duck, f"ALTER TABLE {{dataset}}.{table} DROP COLUMN {column}")
    said = failure(duck, source().with_resources(root))
    assert isinstance(said, MissingColumnError)
    assert f"--refresh {root}" in str(said)
    load(duck, root, **settings, refresh=True)
    assert_equal(duck, sandbox, root)


def test_own_type(source: Make, duck: Pipeline) -> None:
    """A type that the user chose for a column is no error."""

    def chosen() -> Any:
        made = source()
        made.time_entries.apply_hints(columns={"hours": {"data_type": "double"}})
        return made.with_resources("time_entries")

    duck.run(chosen())
    duck.run(chosen())
    duck.run(chosen(), refresh="drop_resources")
    assert {type(row["hours"]) for row in read(duck, "time_entries")} == {float}


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("clients", "postgres"),
        ("invoice_payments", "duck"),
        ("estimates__line_items", "duck"),
        ("estimates__line_items", "postgres"),
    ],
)
def test_refused_row(
    sandbox: Sandbox,
    settings: dict[str, Any],
    request: pytest.FixtureRequest,
    table: str,
    kind: str,
) -> None:
    """A row that the destination refuses is named by table and record, in one line."""
    pipeline: Pipeline = request.getfixturevalue(kind)
    root, _, items = table.partition("__")
    load(pipeline, root, **settings)
    column = {"clients": "address", "invoice_payments": "notes"}.get(table, "description")
    narrow = {"duckdb": "DATE", "postgres": "VARCHAR(10)"}
    chosen = narrow[pipeline.destination.destination_name]
    execute(pipeline, f"UPDATE {{dataset}}.{table} SET {column} = '2020-01-01'")
    execute(pipeline, f"ALTER TABLE {{dataset}}.{table} ALTER COLUMN {column} TYPE {chosen}")
    records = sandbox.account.records[root]
    for record in records.values():
        for row in record[items] if items else [record]:
            row[column] = "2020-01-02"
    wrong = sorted(i for i in records if not items or records[i][items])[1]
    row = records[wrong][items][0] if items else records[wrong]
    row[column] = "not a date at all"
    with pytest.raises(RefusedRecordError, match=f"`{root}`: .* record {wrong}") as said:
        load(pipeline, root, **settings, full_read=True)
    assert "\n" not in str(said.value)
    row[column] = "2020-01-03"
    load(pipeline, root, **settings, full_read=True)


def test_no_trial(
    sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is not known that a trial can be undone, none is made, and the table is named."""
    load(duck, "clients", **settings)
    execute(duck, "UPDATE {dataset}.clients SET address = '2020-01-01'")
    execute(duck, "ALTER TABLE {dataset}.clients ALTER COLUMN address TYPE DATE")
    for row in sandbox.account.records["clients"].values():
        row["address"] = "three"
    monkeypatch.setattr("harvest.refused.ROLLS_BACK", set())
    with pytest.raises(LoadError, match="`load` of `clients` failed"):
        load(duck, "clients", **settings, full_read=True)


def test_refused_table(sandbox: Sandbox, settings: dict[str, Any], postgres: Pipeline) -> None:
    """Where no single record is to blame, the error names the table."""
    load(postgres, "tasks", **settings)
    for row in sandbox.account.records["tasks"].values():
        row["name"] += "!"
    execute(postgres, "ALTER TABLE {dataset}.tasks ALTER COLUMN name TYPE BOOLEAN USING true")
    with pytest.raises(LoadError, match="`load` of `tasks` failed"):
        load(postgres, "tasks", **settings, full_read=True)


def test_broken_child(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """One child that answers 500 keeps nothing else from loading, and the next run mends it."""
    tables = ("clients", "invoices", "invoice_payments", "invoice_messages")
    parent = max(sandbox.account.parent_of["invoice_payments"].values())
    sandbox.fault("status", path=f"invoices/{parent}/payments", status=422, times=-1)
    with pytest.raises(PartialLoadError, match=f"`invoice_payments` of invoices {parent}") as said:
        load(duck, *tables, **settings)
    assert "anchor_date" not in str(said.value)  # which no request for children carries
    assert_equal(duck, sandbox, "clients", "invoices", "invoice_messages")
    sandbox.faults.clear()
    load(duck, *tables, **settings)
    assert_equal(duck, sandbox, *tables)


def test_unanswered_list(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """One request that never gets an answer, while others do, keeps nothing else from loading."""
    sandbox.fault("drop", path="v2/clients$", times=-1)
    with pytest.raises(PartialLoadError, match=r"`clients`: .* answers, but not to this request"):
        load(duck, "clients", "invoices", "tasks", sizes=Sizes(max_attempts=3), **settings)
    assert_equal(duck, sandbox, "invoices", "tasks")


def test_refused_anchor(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """Where Harvest refuses a request that has the anchor in it, the error names the setting."""
    sandbox.fault("status", path="time_entries", status=422, times=-1)
    with pytest.raises(PartialLoadError, match="check `anchor_date`"):
        load(duck, "time_entries", **settings)


def test_broken_list(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """One list that fails keeps nothing else from loading; its children are named too."""
    tables = ("clients", "invoices", "invoice_payments")
    sandbox.fault("status", path="v2/invoices$", status=422, times=-1)
    with pytest.raises(PartialLoadError, match="`invoice_payments` was not read"):
        load(duck, *tables, **settings)
    assert_equal(duck, sandbox, "clients")
    sandbox.faults.clear()
    load(duck, *tables, **settings)
    assert_equal(duck, sandbox, *tables)


@pytest.mark.parametrize("status", [403, 404])
def test_refused_record(sandbox: Sandbox, source: Make, duck: Pipeline, status: int) -> None:
    """Where Harvest refuses one user's rates, the user is named, and all others' rates load."""
    tables = ("user_cost_rates", "user_billable_rates")
    duck.run(source().with_resources(*tables))
    user = next(iter(sandbox.account.parent_of["user_cost_rates"].values()))
    sandbox.fault("status", path=f"users/{user}/cost_rates", status=status, times=-1)
    duck.run(source().with_resources(*tables))
    assert_equal(duck, sandbox, *tables)
    assert str(user) in last_run(duck).refused["user_cost_rates"]


def test_later_anchor(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """A second pipeline with a later anchor removes nothing that lies before it."""
    tables = ("time_entries", "invoices", "invoice_payments")
    pipeline.run(source().with_resources(*tables))
    second = second_pipeline(pipeline)
    stamps = sorted(row["updated_at"] for row in sandbox.account.truth("time_entries"))
    sandbox.account.delete("time_entries", next(iter(sandbox.account.records["time_entries"])))
    later = source(anchor_date=stamps[len(stamps) // 2], confirm_deletions=True)
    second.run(later.with_resources(*tables))
    held = {row["id"] for row in read(pipeline, "time_entries")}
    assert held >= sandbox.account.records["time_entries"].keys()
    assert_equal(pipeline, sandbox, "invoices", "invoice_payments")


def test_replace(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """`write_disposition="replace"` reads everything, and each record once."""
    tables = ("time_entries", "invoices", "invoice_payments", "roles", "company")
    duck.run(source().with_resources(*tables))
    sandbox.page_cap = 7
    duck.run(source().with_resources(*tables), write_disposition="replace")
    assert_equal(duck, sandbox, *tables)


@pytest.mark.parametrize("path", ["contacts$", "invoices$", "payments$"])
def test_unread_replace(sandbox: Sandbox, source: Make, duck: Pipeline, path: str) -> None:
    """A table that is to be replaced and can't be read whole ends the run, and keeps its rows."""
    tables = ("contacts", "invoice_payments")
    duck.run(source().with_resources(*tables))
    for status in (403, 422):
        sandbox.fault("status", path=path, status=status)
        made = source(keep_going=True).with_resources(*tables)
        for table in made.resources.values():
            table.apply_hints(write_disposition="replace")
        assert isinstance(failure(duck, made), StatusError)
        assert_equal(duck, sandbox, *tables)


@pytest.mark.parametrize(
    "hints",
    [
        {"write_disposition": {"disposition": "merge", "strategy": "scd2"}},
        {"write_disposition": {"disposition": "merge", "strategy": "upsert"}},
        {"write_disposition": "append"},
        {"table_name": "customers"},
    ],
)
def test_refused_hint(sandbox: Sandbox, source: Make, duck: Pipeline, hints: Any) -> None:
    """A hint by which rows would go wrong is refused in one line, and changes nothing."""
    duck.run(source().with_resources("clients"))
    made = source().with_resources("clients")
    made.clients.apply_hints(**hints)
    said = failure(duck, made)
    assert isinstance(said, RefusedHintError)
    assert "`clients`" in str(said)
    assert_equal(duck, sandbox, "clients")


def test_lone_resource(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A resource without its source goes on from the same state."""
    duck.run(source().with_resources("time_entries", "clients"))
    sandbox.log.clear()
    duck.run(source().resources["time_entries"])
    assert "updated_since" in next(r for r in sandbox.log if "time_entries" in r.path).params
    assert_equal(duck, sandbox, "time_entries", "clients")


def test_refreshed_child(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Dlt's refresh of a child alone leaves its parent's table."""
    tables = ("invoices", "invoice_payments")
    duck.run(source().with_resources(*tables))
    duck.run(source().with_resources("invoice_payments"), refresh="drop_resources")
    assert_equal(duck, sandbox, *tables)


@pytest.mark.parametrize(("days", "hours"), [(1, 0), (365, 24)])
def test_clock_ahead(
    sandbox: Sandbox, source: Make, duck: Pipeline, days: int, hours: float
) -> None:
    """A full read that a wrong clock dated into the future counts as due."""
    sandbox.clock.shift(days=days)
    duck.run(source().with_resources("clients"))
    sandbox.clock.shift(days=-days)
    sandbox.account.delete("clients", list(sandbox.account.records["clients"])[-1])
    duck.run(source(full_read_hours=hours).with_resources("clients"))
    assert_equal(duck, sandbox, "clients")


def test_our_clock_ahead(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """The default anchor lies a year before Harvest's day, whatever our clock says."""
    sandbox.clock.shift(days=-400)
    duck.run(source(anchor_date=None).with_resources("clients"))
    anchor = anchor_of(duck)
    assert anchor
    assert anchor.date() == sandbox.clock.now().date() - DEFAULT_HISTORY


def test_changed_children_full_read(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """With children="changed", a full read of parents does not count as one of their children."""
    tables = ("invoices", "invoice_payments")
    duck.run(source(children="changed").with_resources(*tables))
    payment = next(iter(sandbox.account.records["invoice_payments"]))
    sandbox.account.delete("invoice_payments", payment)
    settings = {"children": "changed", "full_read": True}
    duck.run(source(**settings).with_resources("invoices"))
    duck.run(source(children="changed", full_read_hours=0).with_resources(*tables))
    assert_equal(duck, sandbox, *tables)


def test_sibling_read_whole(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Parents that are listed whole for a sibling's sake are no full read of changed children."""
    duck.run(source(children="changed").with_resources("invoice_payments"))
    sandbox.clock.shift(hours=20)
    payment = next(iter(sandbox.account.records["invoice_payments"]))
    sandbox.account.delete("invoice_payments", payment)
    both = "invoice_payments", "invoice_messages"
    duck.run(source(children="changed").with_resources(*both))
    sandbox.clock.shift(hours=5)
    duck.run(source(children="changed").with_resources(*both))
    assert_equal(duck, sandbox, *both)


def test_earlier_anchor_and_full(
    sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline
) -> None:
    """`full_read` with an earlier anchor brings old records and removes gone ones, in batches."""
    tables = ("time_entries", "clients", "invoice_payments")
    settings |= {"sizes": LONGER}
    account = sandbox.account
    stamps = sorted(row["updated_at"] for row in account.truth("time_entries"))
    load(duck, *tables, **{**settings, "anchor_date": stamps[len(stamps) // 2]})
    for table in tables:
        account.delete(table, list(account.records[table])[-1])
    load(duck, *tables, **settings, full_read=True, confirm_deletions=True)
    assert_equal(duck, sandbox, *tables)


def test_interrupted_then_full(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A first load that goes on days after an interruption by `full_read` holds all of today."""
    settings |= {"sizes": LONGER}
    tables = ("time_entries", "invoice_messages")

    def interrupt(said: str) -> None:
        raise HarvestError(said)

    with pytest.raises(HarvestError):
        load(duck, *tables, **settings, tell=interrupt)
    sandbox.clock.shift(days=3)
    account = sandbox.account
    for invoice in list(account.records["invoices"]):
        account.add("invoice_messages", {"subject": "new", "recipients": []}, invoice)
    account.delete("time_entries", list(account.records["time_entries"])[-1])
    load(duck, *tables, **settings, full_read=True)
    assert_equal(duck, sandbox, *tables)


@pytest.mark.parametrize(
    ("path", "tables"),
    [
        ("payments$", ("invoices", "invoice_payments", "clients")),
        ("invoices$", ("invoices", "invoice_payments", "clients")),
        ("time_entries$", ("time_entries", "clients")),
        ("users$", ("users", "user_cost_rates")),
    ],
)
def test_broken_batch(
    sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline, path: str, tables: tuple[str, ...]
) -> None:
    """What breaks in the second of several batches keeps nothing else away, and is mended later."""
    sandbox.page_cap = 10

    def tell(_: str) -> None:
        sandbox.fault("status", path=path, status=422, times=-1)

    with pytest.raises(PartialLoadError):
        load(duck, *tables, **settings, sizes=LONGER, tell=tell)
    sandbox.faults.clear()
    load(duck, *tables, **settings, sizes=LONGER, tell=lambda _: None)
    assert_equal(duck, sandbox, *tables)
    assert not last_run(duck).requests_left
    remembered = tables_of(duck, "harvest", sandbox.account_id)
    assert not any(remembered[table].backfill for table in tables)


def test_list_broken_for_good(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A list that breaks in its backfill keeps nothing else away, and is asked for to an end."""
    sandbox.page_cap = 10

    def tell(_: str) -> None:
        sandbox.fault("status", path="time_entries$", status=422, times=-1)

    tables = "time_entries", "invoice_messages"
    with pytest.raises(PartialLoadError, match="`time_entries`"):
        load(duck, *tables, **settings, sizes=LONGER, tell=tell)
    assert_equal(duck, sandbox, "invoice_messages")


def test_unknown_state(source: Make, duck: Pipeline, sandbox: Sandbox) -> None:
    """A state of another version is refused, and an unreadable part is read whole again."""
    duck.config.restore_from_destination = False  # so that an edit counts without being loaded
    duck.run(source().with_resources("clients"))
    with duck.managed_state() as state:
        state["sources"]["harvest"]["resources"]["clients"][str(sandbox.account_id)]["x"] = 1
    sandbox.log.clear()
    duck.run(source().with_resources("clients"))
    assert "updated_since" not in sandbox.log[-1].params
    with duck.managed_state() as state:
        state["sources"]["harvest"]["version"] = 99
    with pytest.raises(Exception, match="version 99") as caught:
        duck.run(source().with_resources("clients"))
    assert isinstance(caught.value.__cause__, HarvestError)


EDITS: list[Callable[[Any, str], None]] = [
    lambda state, key: state["resources"]["clients"][key].update(cursor="2024-01-01T00:00:00"),
    lambda state, _: state["resources"].update(clients=None),
    lambda state, _: state.update(resources=None),
    lambda state, _: state.update(accounts=None),
    lambda state, key: state["accounts"][key].update(anchor_date="2024-01-01T00:00:00"),
    lambda state, _: state["accounts"].update({"abc": {}, "7": "a text"}),
]


def test_edited_state(source: Make, duck: Pipeline, sandbox: Sandbox) -> None:
    """A state that somebody edited badly is read again, and keeps no run from its end."""
    duck.config.restore_from_destination = False  # so that an edit counts without being loaded
    duck.run(source().with_resources("clients"))
    for edit in EDITS:
        with duck.managed_state() as state:
            edit(state["sources"]["harvest"], str(sandbox.account_id))
        duck.run(source().with_resources("clients"))
        assert_equal(duck, sandbox, "clients")


def test_state_of_others(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """What dlt and a user's steps remember beside our tables' state is none of our affair."""

    def remember(row: dict[str, Any]) -> dict[str, Any]:
        dlt.current.resource_state("clients")["seen"] = 1
        return row

    def own(stamp: Any = dlt.sources.incremental("at")) -> Any:  # noqa: ARG001, B008 - as dlt wants it
        yield {"at": 1}

    for _ in range(2):
        made = source(full_read=True).with_resources("clients", "tasks")
        made.resources["own"] = dlt.resource(own, name="own")
        made.tasks.apply_hints(incremental=dlt.sources.incremental("updated_at"))
        made.clients.add_map(remember)
        duck.run(made)
        execute(duck, "DROP TABLE {dataset}._freshness")
    assert_equal(duck, sandbox, "clients", "tasks")


def test_everything(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """`anchor_date="all"` reads all of the history."""
    entry = next(iter(sandbox.account.records["time_entries"]))
    sandbox.account.update("time_entries", entry, touch=False, updated_at="2006-01-01T00:00:00Z")
    assert any(
        "before 2010-01-01 were not read" in notice
        for notice in load(duck, "time_entries", **settings).notices
    )
    assert not load(duck, "time_entries", **{**settings, "anchor_date": "all"}).notices
    assert_equal(duck, sandbox, "time_entries")
    duck.run(harvest_source(**settings).with_resources("time_entries"))
    assert_equal(duck, sandbox, "time_entries")


@pytest.mark.parametrize(
    ("deletions", "kind"), [("remove", "duck"), ("remove", "postgres"), ("flag", "duck")]
)
def test_empty_account(
    sandbox: Sandbox, source: Make, request: pytest.FixtureRequest, deletions: str, kind: str
) -> None:
    """An account without anything has tables of all kinds, and fills them later."""
    pipeline: Pipeline = request.getfixturevalue(kind)
    chosen = [endpoint for endpoint in ALWAYS if endpoint.nested or endpoint.name in KINDS]
    tables = [endpoint.name for endpoint in chosen]
    account = sandbox.account
    kept = {table: dict(next(iter(account.records[table].values()))) for table in FILLED}
    for table in reversed(list(account.records)):
        for record in list(account.records[table]):
            if record in account.records[table] and record != sandbox.users[sandbox.token]:
                account.delete(table, record)
    pipeline.run(source(deletions=deletions).with_resources(*tables))
    for endpoint in chosen:
        for name, columns in endpoint.nested:
            nested = f"{endpoint.name}__{name}"
            assert read(pipeline, nested) == []
            there = pipeline.default_schema.get_table_columns(nested)
            assert there.keys() >= columns.schema().keys()
    for table in FILLED:
        account.add(table, {**kept[table], "updated_at": sandbox.clock.stamp()})
    pipeline.run(source(deletions=deletions).with_resources(*tables))
    assert_equal(pipeline, sandbox, *tables)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda user: user.update(email=None), "made NoneType of a row of `users`"),
        (lambda user: [user], "made list of a row of `users`"),
        (lambda user: {"name": user["first_name"]}, "a row without `id`"),
    ],
)
def test_step_without_row(source: Make, duck: Pipeline, step: Any, said: str) -> None:
    """A step that returns no row is named as the user's own, with its table."""
    users = source().with_resources("users")
    users.resources["users"].add_map(step)
    assert said in str(failure(duck, users))
