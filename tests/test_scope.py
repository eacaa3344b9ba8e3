"""Time entries and expenses of some clients, projects or users, and of nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from dlt import Pipeline

from harvest.api.client import HarvestClient
from harvest.catalog import BY_NAME
from harvest.errors import (
    ConfigurationError,
    SuspiciousDeletionsError,
    UnheededFilterError,
    UnknownIdError,
)
from harvest.extract.focus import Focus, demand_known
from harvest.extract.listing import Listing
from harvest.extract.state import last_run, tables_of
from harvest.run import load
from harvest.settings import Settings, Sizes
from harvest_sandbox import Sandbox

from .limits import FIELDS, common, in_scope, move
from .running import Make, accounts_of, failure
from .truth import _same, flatten, read

TABLES = ("time_entries", "expenses")


def assert_scope(
    pipeline: Pipeline,
    sandbox: Sandbox,
    scope: dict[str, list[int]],
    *tables: str,
    flagged: bool = False,
) -> None:
    """Demand that the tables hold what Harvest holds in scope, value for value."""
    for table in tables or TABLES:
        rows = {r["id"]: r for r in read(pipeline, table) if not (flagged and r["_deleted_at"])}
        truth = {record["id"]: record for record in in_scope(sandbox, table, **scope)}
        assert rows.keys() == truth.keys(), table
        for number, record in truth.items():
            for column, want in flatten(record).items():
                assert _same(rows[number].get(column), want), (table, number, column)


def lists_asked(sandbox: Sandbox, table: str = "time_entries") -> list[dict[str, str]]:
    """Return the parameters of the requests for a list."""
    return [r.params for r in sandbox.log if r.path == f"/v2/{table}"]


@pytest.mark.parametrize(
    ("kinds", "count"),
    [(["clients"], 1), (["projects"], 3), (["users"], 2), (["projects", "users"], 2)],
)
def test_first_run(
    sandbox: Sandbox, source: Make, duck: Pipeline, kinds: list[str], count: int
) -> None:
    """A first run reads a list for each id or pair of ids; a later one asks once for changes."""
    scope = {kind: common(sandbox, FIELDS[kind], count) for kind in kinds}
    duck.run(source(**scope).with_resources(*TABLES))
    assert_scope(duck, sandbox, scope)
    assert 0 < len(read(duck, "time_entries")) < 150
    asked = lists_asked(sandbox)
    filtered = [p for p in asked if any(f"{FIELDS[kind]}_id" in p for kind in kinds)]
    assert len(filtered) == count ** len(kinds)
    assert len(asked) - len(filtered) <= 1  # what changed while several lists were read
    sandbox.log.clear()
    duck.run(source(**scope).with_resources(*TABLES))
    (words,) = {
        row["limited_to"] for row in read(duck, "_freshness") if row["table_name"] in TABLES
    }
    assert words == str(Focus({kind: sorted(ids) for kind, ids in scope.items()}))
    assert len(lists_asked(sandbox)) == 2  # changes and running timers
    assert_scope(duck, sandbox, scope)


def test_edits(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Edits in scope come, those of others do not, and what is moved in or out follows at once."""
    account, (mine, other) = sandbox.account, common(sandbox, "project")
    scope = {"projects": [mine]}
    duck.run(source(**scope).with_resources("time_entries"))
    of = {
        p: [r["id"] for r in in_scope(sandbox, "time_entries", projects=[p])] for p in (mine, other)
    }
    sandbox.clock.shift(minutes=5)
    account.update("time_entries", of[mine][0], notes="edited")
    account.update("time_entries", of[other][0], notes="edited")
    move(sandbox, of[mine][1], other)
    move(sandbox, of[other][1], mine)
    copied = {k: v for k, v in account.records["time_entries"][of[mine][2]].items() if k != "id"}
    account.add("time_entries", {**copied, "updated_at": sandbox.clock.stamp()})
    duck.run(source(**scope).with_resources("time_entries"))
    assert_scope(duck, sandbox, scope, "time_entries")
    assert last_run(duck).removed == {"time_entries": 1}
    # What is deleted, in scope or not, waits for a full read.
    account.delete("time_entries", of[mine][2])
    account.delete("time_entries", of[other][2])
    duck.run(source(**scope, full_read=True).with_resources("time_entries"))
    assert_scope(duck, sandbox, scope, "time_entries")


@pytest.mark.parametrize("deletions", ["flag", "keep"])
def test_moved_out(sandbox: Sandbox, source: Make, duck: Pipeline, deletions: str) -> None:
    """What is moved out of scope is flagged, or stays as it was, as `deletions` says."""
    mine, other = common(sandbox, "project")
    chosen = {"projects": [mine], "deletions": deletions}
    duck.run(source(**chosen).with_resources("time_entries"))
    entry = in_scope(sandbox, "time_entries", projects=[mine])[0]["id"]
    sandbox.clock.shift(minutes=5)
    move(sandbox, entry, other)
    duck.run(source(**chosen).with_resources("time_entries"))
    (row,) = (row for row in read(duck, "time_entries") if row["id"] == entry)
    assert row["project__id"] == mine
    assert (row["_deleted_at"] is not None) is (deletions == "flag")
    move(sandbox, entry, mine)
    duck.run(source(**chosen).with_resources("time_entries"))
    assert_scope(duck, sandbox, {"projects": [mine]}, "time_entries")
    assert {row["_deleted_at"] for row in read(duck, "time_entries")} == {None}


def test_moved_while_read(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """What is moved from a list that was not read yet to one that was is not lost."""
    first, second = common(sandbox, "project")
    scope = {"projects": [first, second]}
    sizes = Sizes(parallel_windows=1)
    duck.run(source(**scope, sizes=sizes).with_resources("time_entries"))
    moved, asked = [], list[str]()

    def move_one(_: int, request: Any) -> None:
        if request.path == "/v2/time_entries":
            asked.append(request.params.get("project_id", ""))
            if len(asked) == 2:  # the other list was read
                here, there = (int(asked[1]), int(asked[0]))
                entry = in_scope(sandbox, "time_entries", projects=[here])[0]["id"]
                move(sandbox, entry, there)
                moved.append(entry)

    sandbox.before_request = move_one
    duck.run(source(**scope, sizes=sizes, full_read=True).with_resources("time_entries"))
    assert moved
    assert set(asked[:2]) == {str(first), str(second)}
    assert_scope(duck, sandbox, scope, "time_entries")


def test_scope_changes(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Widened, switched or given up: the table is read whole and holds the new scope."""
    a, b, c = common(sandbox, "project", 3)
    (user,) = common(sandbox, "user", 1)
    for scope in (
        {"projects": [a]}, {"projects": [a, b]}, {"projects": [c], "users": [user]}, {},
    ):  # fmt: skip
        duck.run(source(**scope, confirm_deletions=True).with_resources("time_entries"))
        assert_scope(duck, sandbox, scope, "time_entries")
        state = tables_of(duck, "harvest", sandbox.account_id)["time_entries"]
        assert state.focus == scope


def test_scope_narrowed_flags(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """With "flag", what is out of scope now is flagged, and loses the flag when it is in again."""
    wide = {"projects": common(sandbox, "project", 2)}
    narrow = {"projects": wide["projects"][:1]}
    for scope in (wide, narrow, wide):
        chosen = source(**scope, deletions="flag", confirm_deletions=True)
        duck.run(chosen.with_resources("time_entries"))
        assert_scope(duck, sandbox, scope, "time_entries", flagged=True)
        assert len(read(duck, "time_entries")) == len(in_scope(sandbox, "time_entries", **wide))


def test_mistyped(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A scope that would take most rows away must be confirmed, and names itself."""
    (large,) = common(sandbox, "project", 1)
    small = common(sandbox, "project", 99)[-1]
    duck.run(source(projects=[large]).with_resources("time_entries"))
    before = read(duck, "time_entries")
    error = failure(duck, source(projects=[small]).with_resources("time_entries"))
    assert isinstance(error, SuspiciousDeletionsError)
    assert f"`time_entries`, limited to project {small}: Harvest no longer lists" in str(error)
    assert read(duck, "time_entries") == before
    duck.run(source(projects=[small], confirm_deletions=True).with_resources("time_entries"))
    assert_scope(duck, sandbox, {"projects": [small]}, "time_entries")


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_batches(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline, style: str) -> None:
    """Batches bring the scope, whatever is moved meanwhile; a scope that changes begins anew."""
    sandbox.page_cap, sandbox.styles = 5, style
    sizes = Sizes(parallel_windows=2, window_records=3, batch_records=16)
    scope = {"projects": common(sandbox, "project", 4)}
    others = common(sandbox, "project", 2, skip=4)
    batches = 0

    def after_batch(_: str) -> None:
        nonlocal batches
        batches += 1
        sandbox.clock.shift(minutes=2)
        for here, there in ((scope["projects"][0], others[0]), (others[1], scope["projects"][1])):
            entry = in_scope(sandbox, "time_entries", projects=[here])[-batches]["id"]
            move(sandbox, entry, there)

    load(duck, "time_entries", **settings, **scope, sizes=sizes, tell=after_batch)
    assert batches
    assert_scope(duck, sandbox, scope, "time_entries")
    assert not last_run(duck).requests_left


def test_scope_changes_in_first_read(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A scope that changes in the middle of a first read lacks nothing and leaves nothing."""
    sandbox.page_cap = 5
    sizes = Sizes(parallel_windows=2, window_records=3, batch_records=5)
    chosen = {"sizes": sizes, "in_batches": True, "confirm_deletions": True}
    a, b = common(sandbox, "project", 2)
    duck.run(source(projects=[a], **chosen).with_resources("time_entries"))
    assert last_run(duck).requests_left
    duck.run(source(projects=[b], **chosen).with_resources("time_entries"))
    assert not last_run(duck).requests_left
    assert_scope(duck, sandbox, {"projects": [b]}, "time_entries")


def test_anchor(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """The anchor and the scope bound the table together."""
    stamps = sorted(entry["updated_at"] for entry in sandbox.account.rows("time_entries"))
    scope, anchor = {"users": common(sandbox, "user", 2)}, stamps[75]
    duck.run(source(**scope, anchor_date=anchor).with_resources("time_entries"))
    truth = [r for r in in_scope(sandbox, "time_entries", **scope) if r["updated_at"] >= anchor]
    assert {row["id"] for row in read(duck, "time_entries")} == {r["id"] for r in truth}
    assert len(truth) < len(in_scope(sandbox, "time_entries", **scope))
    duck.run(source(**scope).with_resources("time_entries"))
    assert_scope(duck, sandbox, scope, "time_entries")


@pytest.mark.parametrize("given", [[1, "2 "], "2,1", "[1, 2]", (2, 1, 1)])
def test_forms(settings: dict[str, Any], given: Any) -> None:
    """Ids are a list or a text with commas, as account ids are."""
    (account,) = accounts_of({**settings, "users": given})
    assert account.settings.focus == {"users": [1, 2]}
    (account,) = accounts_of({**settings, "users": "", "projects": []})
    assert account.settings.focus == {}


def test_environment(
    sandbox: Sandbox, source: Make, duck: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scope may stand in the environment, and limits no other tables."""
    scope = {"clients": common(sandbox, "client", 2)}
    monkeypatch.setenv("SOURCES__HARVEST__CLIENTS", ",".join(map(str, scope["clients"])))
    duck.run(source().with_resources("expenses", "projects"))
    assert_scope(duck, sandbox, scope, "expenses")
    assert len(read(duck, "projects")) == len(sandbox.account.records["projects"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"projects": "7, Website"}, "`projects` names 'Website', which is no id: give"),
        ({"users": [1.5]}, "`users` names '1.5', which is no id"),
        ({"clients": {"a": 1}}, "`clients` names 'a', which is no id"),
        ({"clients": [1], "projects": [7]}, "`projects` and `clients` are both set"),
        ({"clients": [1], "account_id": [1, 2]}, "`clients` holds for one account: say of which"),
    ],
)  # fmt: skip
def test_refused(source: Make, given: dict[str, Any], said: str) -> None:
    """What is no id, or no clear limit, is refused in one line before anything is read."""
    with pytest.raises(ConfigurationError) as caught:
        source(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", ["clients", "projects", "users"])
def test_unknown_ids(sandbox: Sandbox, client: HarvestClient, setting: str) -> None:
    """An id that Harvest does not have is named with its setting."""
    good = common(sandbox, FIELDS[setting], 1)
    demand_known(client, {setting: good})
    with pytest.raises(UnknownIdError, match=f"`{setting}` names 77, which this account does not"):
        demand_known(client, {setting: [*good, 77]})


def test_unknown_id(source: Make, duck: Pipeline) -> None:
    """A run with an unknown id changes nothing, and leaves tables alone that are not limited."""
    duck.run(source().with_resources("expenses"))
    before, wrong = read(duck, "expenses"), source(projects=[77])
    assert isinstance(failure(duck, wrong.with_resources("expenses", "tasks")), UnknownIdError)
    assert read(duck, "expenses") == before
    duck.run(source(projects=[77]).with_resources("tasks"))


@pytest.mark.parametrize("status", [404, 422])
def test_gone_later(sandbox: Sandbox, source: Make, duck: Pipeline, status: int) -> None:
    """Where Harvest refuses the list of what it no longer has, the setting is named too."""
    (project,) = common(sandbox, "project", 1)
    duck.run(source(projects=[project]).with_resources("time_entries"))
    sandbox.fault("status", path="time_entries", times=-1, status=status)
    sandbox.fault("status", path=f"projects/{project}", times=-1, status=404)
    made = source(projects=[project], full_read=True).with_resources("time_entries")
    assert f"`projects` names {project}" in str(failure(duck, made))


def test_member(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A token that may not look at projects loads its own time on one."""
    owner = sandbox.users[sandbox.member_token]
    mine = [e for e in sandbox.account.truth("time_entries") if e["user"]["id"] == owner]
    project = mine[0]["project"]["id"]
    duck.run(
        source(projects=[project], api_key=sandbox.member_token).with_resources("time_entries")
    )
    assert {row["id"] for row in read(duck, "time_entries")} == {
        entry["id"] for entry in mine if entry["project"]["id"] == project
    }


@pytest.mark.parametrize("field", ["client", "project", "user"])
def test_unheeded_filters(sandbox: Sandbox, client: HarvestClient, field: str) -> None:
    """Where Harvest ignores a filter, it is named at the first page."""
    sandbox.ignored_filters = [f"{field}_id"]
    focus = Focus({f"{field}s": common(sandbox, field, 2)})
    with pytest.raises(UnheededFilterError, match=f"`{field}_id`"):
        next(Listing(client, BY_NAME["expenses"], Sizes(), focus=focus).read())


def test_unheeded(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Where Harvest ignores a filter, a run takes nothing for deleted and loads nothing else."""
    scope = {"projects": common(sandbox, "project", 2)}
    duck.run(source(**scope).with_resources("time_entries"))
    sandbox.ignored_filters = ["project_id"]
    error = failure(duck, source(**scope, full_read=True).with_resources("time_entries"))
    assert isinstance(error, UnheededFilterError)
    assert_scope(duck, sandbox, scope, "time_entries")


def test_one_of_several_accounts(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """With several accounts, the one that is asked for may be limited; others stay as they are."""
    second = sandbox.add_account()
    sandbox.hosted[second.account_id].account.clock.speed = 0
    both = {
        "api_key": sandbox.shared_token,
        "account_id": [sandbox.account_id, second.account_id],
    }
    duck.run(source(**both).with_resources("time_entries"))
    others = read(duck, "time_entries", second.account_id)
    scope = {"users": common(sandbox, "user", 5)}
    only = {**both, **scope, "only_account": sandbox.account_id}
    duck.run(source(confirm_deletions=True, **only).with_resources("time_entries"))
    assert read(duck, "time_entries", second.account_id) == others
    here = {row["id"] for row in read(duck, "time_entries", sandbox.account_id)}
    assert here == {record["id"] for record in in_scope(sandbox, "time_entries", **scope)}


def test_limited_tables() -> None:
    """Time entries and expenses are limited, and no other table."""
    assert {name for name, endpoint in BY_NAME.items() if endpoint.limited} == set(TABLES)
    assert Settings().focus == {}
