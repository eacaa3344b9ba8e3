"""A table's history holds every version that a run saw, once each, and deletions."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest import ENDPOINTS, harvest_source
from harvest.errors import ConfigurationError
from harvest.run import load
from harvest.settings import Sizes
from harvest_sandbox import Sandbox

from .crash_child import Job, killed
from .running import Make, execute, failure
from .truth import Row, _same, assert_equal, flatten, read

TABLES = ("time_entries", "invoices")
LISTS = {name for endpoint in ENDPOINTS for name, _ in endpoint.nested}


class Journal:
    """What the history must hold: the truth at each run, noted independently of the source.

    Args:
        sandbox: What is read.
        tables: Whose history.
    """

    def __init__(self, sandbox: Sandbox, *tables: str) -> None:
        self.account, self.account_id = sandbox.account, sandbox.account_id
        self.clock = sandbox.clock
        self.versions: dict[str, dict[int, list[tuple[Row | None, str]]]] = {t: {} for t in tables}

    def note(self, *, whole: bool = True) -> None:
        """Note what a run sees: if not the whole, what has a new stamp, and timers that run on."""
        now = self.clock.stamp()
        for table, versions in self.versions.items():
            truth = {record["id"]: record for record in self.account.truth(table)}
            for i, record in truth.items():
                known = versions.setdefault(i, [])
                last = known[-1][0] if known else None
                shows = last is None or last["updated_at"] != record["updated_at"]
                if last != record and (whole or shows or record.get("is_running")):
                    known.append((record, now))
            for i, known in versions.items():
                if whole and i not in truth and known[-1][0] is not None:
                    known.append((None, now))

    def assert_kept(self, pipeline: Pipeline) -> None:
        """Demand that the destination holds these versions and no others, value for value."""
        for table, versions in self.versions.items():
            rows = read(pipeline, f"{table}_history", self.account_id)
            found: dict[int, list[Row]] = {}
            for row in sorted(rows, key=lambda row: int(row["_version"])):
                found.setdefault(row["id"], []).append(row)
            assert {i: len(known) for i, known in found.items()} == {
                i: len(known) for i, known in versions.items()
            }
            for i, known in versions.items():
                for number, ((want, seen), row) in enumerate(zip(known, found[i], strict=True), 1):
                    _assert_version(row, want, number, seen)
            assert not [
                name for name in pipeline.default_schema.tables if f"{table}_history__" in name
            ]


def _assert_version(row: Row, want: Row | None, number: int, seen: str) -> None:
    assert row["_version"] == number
    assert _stamp(row["_seen_at"]) == _stamp(seen)
    if want is None:
        assert _stamp(row["_deleted_at"]) == _stamp(seen)
        names = {name for name, value in row.items() if value is not None and "_dlt" not in name}
        assert names == {"_account_id", "id", "_version", "_seen_at", "_deleted_at"}
        return
    assert row["_deleted_at"] is None
    expected = flatten(want)
    ours = {"_account_id", "_version", "_seen_at", "_deleted_at", "_dlt_id", "_dlt_load_id"}
    for name in (row.keys() | expected.keys()) - ours:
        pair = row.get(name), expected.get(name)
        assert _same_list(*pair) if name in LISTS else _same(*pair), (name, pair)


def _same_list(got: Any, want: Any) -> bool:
    """Compare lists of objects in JSON: numbers with a point are texts, empty objects left out."""
    texts = [
        value if isinstance(value, str) else json.dumps(value, default=str) for value in (got, want)
    ]
    got, want = (
        [
            {k: v for k, v in item.items() if v is not None}
            for item in json.loads(text, parse_int=str)
        ]
        for text in texts
    )
    return bool(got == want)


def _stamp(moment: Any) -> datetime:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    known: datetime = moment.astimezone(timezone.utc).replace(microsecond=0)
    return known


def first(sandbox: Sandbox, table: str, place: int = 0) -> int:
    """Return the id of a record."""
    return list(sandbox.account.records[table])[place]


def billed(sandbox: Sandbox) -> int:
    """Return the id of an invoice that has lines."""
    return next(i for i, row in sandbox.account.records["invoices"].items() if row["line_items"])


def test_edits_and_runs(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Edits, reversals, deletions and restorations are each a version, whatever run saw them."""
    journal, account = Journal(sandbox, *TABLES), sandbox.account

    def run(**changes: Any) -> None:
        sandbox.clock.shift(hours=1)
        pipeline.run(source(history=list(TABLES), **changes).with_resources(*TABLES))
        journal.note(whole=changes.get("full_read", False))

    run(full_read=True)
    entry, other, gone = (first(sandbox, "time_entries", place) for place in (0, 2, 5))
    invoice = billed(sandbox)
    hours = account.records["time_entries"][entry]["hours"]
    account.update("time_entries", entry, hours=Decimal("9.87"))
    run()
    run()  # nothing new
    account.update("time_entries", entry, hours=hours)
    line = account.records["invoices"][invoice]["line_items"][0]
    account.update("invoices", invoice, line_items=[{**line, "amount": Decimal("12.34")}])
    kept = account.records["time_entries"][other]["notes"]
    account.update("time_entries", other, touch=False, notes="A")  # A -> B -> A, without a stamp
    run()
    removed = {**account.records["time_entries"][gone]}
    account.delete("time_entries", gone)
    run(full_read=True)
    account.update("time_entries", other, touch=False, notes=kept)
    account.add("time_entries", removed)
    run(full_read=True)
    run(full_read=True)
    journal.assert_kept(pipeline)
    counts = journal.versions["time_entries"]
    assert len(counts[entry]) >= 3
    assert len(counts[other]) == 3
    assert [version is None for version, _ in counts[gone]] == [False, True, False]
    assert_equal(pipeline, sandbox, *TABLES)


@pytest.fixture
def kept(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that keep a history, as an environment variable has them."""
    return {**settings, "history": "clients, expenses,"}


def run(pipeline: Pipeline, settings: dict[str, Any], **changes: Any) -> None:
    """Run as a user's own script does, which takes less than `load`."""
    pipeline.run(harvest_source(**{**settings, **changes}).with_resources("clients"))


def edit(sandbox: Sandbox, text: str, place: int = 0, *, touch: bool = True) -> None:
    """Change a client, an hour after the last run."""
    sandbox.clock.shift(hours=1)
    sandbox.account.update("clients", first(sandbox, "clients", place), address=text, touch=touch)


def test_switched_on_late(
    sandbox: Sandbox, settings: dict[str, Any], kept: dict[str, Any], duck: Pipeline
) -> None:
    """Rows that were there before come as first versions; what a pause hid comes after it."""
    journal = Journal(sandbox, "clients")
    run(duck, settings)
    journal.note()
    run(duck, kept)
    journal.assert_kept(duck)
    edit(sandbox, "seen")
    run(duck, kept)
    journal.note()
    edit(sandbox, "without a stamp", touch=False)
    edit(sandbox, "found later", 1)
    sandbox.account.delete("clients", first(sandbox, "clients", -1))
    run(duck, settings, full_read=True)
    run(duck, kept)
    journal.note()
    journal.assert_kept(duck)
    assert_equal(duck, sandbox, "clients")


@pytest.mark.parametrize("deletions", ["flag", "keep"])
def test_deletions(sandbox: Sandbox, kept: dict[str, Any], duck: Pipeline, deletions: str) -> None:
    """Whatever becomes of a row that is gone, its history says when it went, once."""
    journal = Journal(sandbox, "clients")
    kept = {**kept, "deletions": deletions}
    run(duck, kept)
    journal.note()
    sandbox.clock.shift(hours=1)
    sandbox.account.delete("clients", first(sandbox, "clients", -1))
    run(duck, kept, full_read=True)
    journal.note()
    run(duck, kept, full_read=True)
    journal.assert_kept(duck)


def test_refresh(sandbox: Sandbox, kept: dict[str, Any], duck: Pipeline) -> None:
    """A refresh drops a table and leaves its history, which goes on as if nothing had happened."""
    journal, told = Journal(sandbox, "clients"), list[str]()
    run(duck, kept)
    journal.note()
    edit(sandbox, "since")
    sandbox.account.delete("clients", first(sandbox, "clients", -1))
    load(duck, "clients", refresh=True, tell=told.append, **kept)
    journal.note()
    edit(sandbox, "at last")
    load(duck, "clients", refresh=True, tell=told.append, **kept)
    journal.note()
    journal.assert_kept(duck)
    assert any("clients_history" in line and "stays" in line for line in told)
    assert not any("clients_history" in line and "will be dropped" in line for line in told)


def test_refresh_by_dlt(sandbox: Sandbox, kept: dict[str, Any], duck: Pipeline) -> None:
    """No refresh of dlt's drops a history, even while it is switched off."""
    journal = Journal(sandbox, "clients")
    run(duck, kept)
    journal.note()
    for refresh in ("drop_sources", "drop_resources", "drop_data"):
        off = harvest_source(**{**kept, "history": ()})
        duck.run(off.with_resources("clients"), refresh=refresh)
    edit(sandbox, "since")
    run(duck, kept)
    journal.note()
    journal.assert_kept(duck)


@pytest.mark.parametrize(
    ("table", "kind"),
    [("clients", "duck"), ("clients_history", "duck"), ("clients_history", "postgres")],
)
def test_lost(
    sandbox: Sandbox,
    kept: dict[str, Any],
    request: pytest.FixtureRequest,
    table: str,
    kind: str,
) -> None:
    """A table that somebody dropped is made again, and a history begins anew only if it was one."""
    pipeline: Pipeline = request.getfixturevalue(kind)
    journal = Journal(sandbox, "clients")
    run(pipeline, kept)
    journal.note()
    edit(sandbox, "before")
    execute(pipeline, f"DROP TABLE {{dataset}}.{table}")
    run(pipeline, kept)
    if table == "clients_history":
        journal = Journal(sandbox, "clients")
    journal.note()
    journal.assert_kept(pipeline)
    assert_equal(pipeline, sandbox, "clients")


@pytest.mark.parametrize("text", ["clients, roles", '["clients", "roles"]'])
def test_environment(
    settings: dict[str, Any], duck: Pipeline, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Tables are named in dlt's configuration too, which gives texts."""
    monkeypatch.setenv("SOURCES__HARVEST__HISTORY", text)
    load(duck, "clients", "roles", **settings)
    assert read(duck, "clients_history")
    assert read(duck, "roles_history")


@pytest.mark.parametrize("harm", ["ALTER TABLE {} DROP COLUMN name", "DELETE FROM {}"])
def test_damaged(sandbox: Sandbox, kept: dict[str, Any], duck: Pipeline, harm: str) -> None:
    """What somebody took out of a history comes back with the next run, as further versions."""
    run(duck, kept)
    with duck.sql_client() as client:
        client.execute_sql(harm.format(client.make_qualified_table_name("clients_history")))
    run(duck, kept)
    run(duck, kept)
    with duck.sql_client() as client:
        table = client.make_qualified_table_name("clients_history")
        latest = f"SELECT id, name, max(_version) FROM {table} WHERE name IS NOT NULL"
        found = client.execute_sql(f"{latest} GROUP BY id, name") or []
    again = 2 if "COLUMN" in harm else 1
    names = {row["id"]: row["name"] for row in sandbox.account.truth("clients")}
    assert sorted(map(tuple, found)) == sorted((i, name, again) for i, name in names.items())


def test_batches(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A first read in batches, and again by an earlier anchor, keeps each version once."""
    sandbox.page_cap = 10
    journal = Journal(sandbox, "time_entries")
    stamps = sorted(row["updated_at"] for row in sandbox.account.truth("time_entries"))
    sizes = Sizes(parallel_windows=2, window_records=10, batch_records=60)
    chosen = {**settings, "sizes": sizes, "history": ["time_entries"]}
    load(duck, "time_entries", **{**chosen, "anchor_date": stamps[75]})
    load(duck, "time_entries", **chosen)
    journal.note()
    journal.assert_kept(duck)


def test_columns(source: Make, duck: Pipeline) -> None:
    """Versions come as columns where the rows do."""
    duck.run(source(history="time_entries").with_resources("time_entries"))
    assert duck.last_trace
    assert duck.last_trace.last_extract_info
    (metrics,) = duck.last_trace.last_extract_info.metrics.values()
    names = [n for n in metrics[0]["job_metrics"] if n.startswith("time_entries_history.")]
    assert names
    assert all(name.endswith(".parquet") for name in names)


def test_masks(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """What a user's step masks is in no version, and a row that it drops has none."""
    secret = "a secret note"  # noqa: S105 - it opens nothing
    hidden, dropped = first(sandbox, "time_entries"), first(sandbox, "time_entries", 1)
    journal = Journal(sandbox, "time_entries")
    for number in range(2):
        for entry in (hidden, dropped):
            text = f"{secret} {number}"
            sandbox.account.update("time_entries", entry, hours=Decimal(number), notes=text)
        made = source(history=["time_entries"]).with_resources("time_entries")
        made.time_entries.add_map(lambda row: {**row, "notes": None})
        made.time_entries.add_filter(lambda row: row["id"] != dropped)
        duck.run(made)
        journal.note()
        sandbox.clock.shift(hours=1)
    rows = read(duck, "time_entries_history")
    assert secret not in str(rows)
    assert {row["notes"] for row in rows} == {None}
    assert [row["_version"] for row in rows if row["id"] == hidden] == [1, 2]
    assert not [row for row in rows if row["id"] == dropped]


def test_two_accounts(sandbox: Sandbox, kept: dict[str, Any], duck: Pipeline) -> None:
    """Records of two accounts with the same ids have a history each."""
    other = sandbox.add_account(515151, first_id=3_000_000_000)
    both = {
        **kept,
        "account_id": [sandbox.account_id, other.account_id],
        "api_key": sandbox.shared_token,
    }
    duck.run(harvest_source(**both).with_resources("clients"))
    mine = Journal(sandbox, "clients")
    mine.note()
    theirs = Journal(sandbox, "clients")
    theirs.account, theirs.account_id = other.account, other.account_id
    theirs.note()
    edit(sandbox, "mine alone")
    other.account.delete("clients", max(other.account.records["clients"]))
    duck.run(harvest_source(**both, full_read=True).with_resources("clients"))
    mine.note()
    theirs.note()
    mine.assert_kept(duck)
    theirs.assert_kept(duck)


@pytest.mark.parametrize("plain", [False, True])
def test_killed(
    sandbox: Sandbox,
    kept: dict[str, Any],
    tmp_path: Path,
    plain: bool,  # noqa: FBT001
) -> None:
    """A run that dies when its versions were committed, but not noted, doubles none.

    Neither does dlt itself, which loads the package again where nobody gives it up.
    """
    credentials = str(tmp_path / "warehouse.duckdb")
    job = Job("duckdb", credentials, "killed", str(tmp_path / "state"), kept, ["clients"])
    journal = Journal(sandbox, "clients")
    job.load()
    journal.note()
    edit(sandbox, "changed")
    sandbox.account.delete("clients", first(sandbox, "clients", -1))
    job.source["full_read"] = True
    job.committed = "clients_history"
    killed(job)
    journal.note()
    if plain:
        job.pipeline().load()
    else:
        job.load()
    journal.assert_kept(job.pipeline())


def test_extracted_twice(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """While a package waits, no version is written twice, and the next run brings what it lacks."""
    journal = Journal(sandbox, "clients")
    only = {"history": "clients"}
    duck.run(source(**only).with_resources("clients"))
    journal.note()
    edit(sandbox, "first")
    duck.extract(source(**only).with_resources("clients"))
    journal.note()
    edit(sandbox, "second", 1)
    duck.extract(source(**only).with_resources("clients"))
    duck.normalize()
    duck.load()
    duck.run(source(**only).with_resources("clients"))
    journal.note()
    journal.assert_kept(duck)


def test_most_gone(sandbox: Sandbox, kept: dict[str, Any], duck: Pipeline) -> None:
    """Rows that are kept whatever happens don't let a history lose most of its records."""
    chosen = {**kept, "deletions": "keep"}
    duck.run(harvest_source(**chosen).with_resources("expenses"))
    for expense in list(sandbox.account.records["expenses"])[1:]:
        sandbox.account.delete("expenses", expense)
    again = harvest_source(**chosen, full_read=True).with_resources("expenses")
    said = str(failure(duck, again))
    assert "`expenses_history`: Harvest no longer lists" in said
    assert "and no row would be deleted from it" in said
    assert {row["_deleted_at"] for row in read(duck, "expenses_history")} == {None}


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["time_entry"], "did you mean time_entries?"),
        ("clients,Invoice-Payments", "did you mean"),
        ("company", "choose from users, clients"),
        ("report_time_clients", "choose from"),
    ],
)
def test_unknown(source: Make, names: Any, hint: str) -> None:
    """A table that is none, or whose rows have no versions, is refused by name."""
    with pytest.raises(ConfigurationError, match="of which no versions are kept") as caught:
        source(history=names)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refused_places(source: Make, tmp_path: Path, duck: Pipeline) -> None:
    """Where versions can't be compared, or have no table of their own, nothing is loaded."""
    files = dlt.destinations.filesystem(str(tmp_path / "files"))
    pipeline = dlt.pipeline("files", destination=files, dataset_name="harvest_data")
    made = source(history="clients").with_resources("clients")
    assert "`history` can't be kept in this destination" in str(failure(pipeline, made))
    made = source(history="clients").with_resources("clients")
    made.clients.apply_hints(table_name=lambda row: f"clients_{row['currency']}")
    assert "a function that names the table of each row" in str(failure(duck, made))


def test_names() -> None:
    """No table of versions has the name of another table."""
    names = {table for endpoint in ENDPOINTS for table in (endpoint.name, *endpoint.nested_tables)}
    histories = [e.history_table for e in ENDPOINTS if e.history_table]
    assert names.isdisjoint(histories)
    assert len(histories) == len({*histories}) == 15
