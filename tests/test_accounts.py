"""Several accounts in one dataset: each by itself, and none is any other's affair."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt import Pipeline
from dlt.extract import DltSource

from harvest.errors import (
    AccountError,
    AccountsError,
    ConfigurationError,
    OtherAccountError,
    RefusedHintError,
    SharedTableError,
    StatusError,
)
from harvest.extract.state import last_run
from harvest.run import load
from harvest.settings import Sizes, checked_id_url
from harvest_sandbox import Sandbox
from harvest_sandbox.hosted import HostedAccount
from harvest_sandbox.service import Request

from .running import Make, accounts_of, execute, failure, run_script
from .truth import ALWAYS, assert_equal, read

Settings = dict[str, Any]
FIRST, SECOND = 424242, 515151
SECRET = "98765432.pt.secret"  # noqa: S105 - opens nothing
EDITED = ("clients", "tasks", "time_entries", "invoices", "invoice_payments")
"""The tables that `edit` changes, and a parent."""
LISTS = ("clients", "time_entries")
"""A list by page and one by date."""


@pytest.fixture
def other(sandbox: Sandbox) -> HostedAccount:
    """Serve a second account, whose records have the same ids as the first one's."""
    return sandbox.add_account(SECOND, first_id=3_000_000_000)


@pytest.fixture
def both(other: HostedAccount, sandbox: Sandbox, settings: Settings) -> Settings:
    """Return the arguments that read both accounts by one token."""
    ids = [sandbox.account_id, other.account_id]
    return {**settings, "account_id": ids, "api_key": sandbox.shared_token}


def assert_both(pipeline: Pipeline, sandbox: Sandbox, *tables: str) -> None:
    """Demand that the tables, or all, hold what Harvest holds of both accounts, and no more."""
    for account_id in (FIRST, SECOND):
        assert_equal(pipeline, sandbox, *tables, account_id=account_id)
    assert {row["_account_id"] for row in read(pipeline, "clients")} == {FIRST, SECOND}


def edit(hosted: HostedAccount) -> None:
    """Change, add and delete records of an account."""
    account = hosted.account
    account.update("clients", min(account.records["clients"]), name=f"Edited {hosted.account_id}")
    account.add("tasks", {**account.rows("tasks")[0], "id": account.new_id(), "name": "New"})
    for table in ("time_entries", "invoice_payments"):
        account.delete(table, max(account.records[table]))


def asked_of(sandbox: Sandbox, account_id: int) -> list[Request]:
    """Return the requests that named an account."""
    named = str(account_id)
    return [r for r in sandbox.log if r.headers.get("harvest-account-id") == named]


@contextmanager
def failing(
    sandbox: Sandbox, account_id: int, path: str, kind: str, **options: Any
) -> Iterator[None]:
    """Let what one account is asked for fail, as long as accounts are read one after the other."""

    def before(_: int, request: Request) -> None:
        concerned = request.headers.get("harvest-account-id") == str(account_id)
        if concerned and re.search(path, request.path):
            sandbox.fault(kind, path=f"^{re.escape(request.path)}$", **options)

    sandbox.before_request = before
    yield
    sandbox.before_request = None
    sandbox.faults.clear()


def test_load(sandbox: Sandbox, both: Settings, postgres: Pipeline) -> None:
    """Two accounts land in the same tables, and changes and deletions of each are found."""
    # Of projects the first has so many that they must not seem gone from the second.
    load(postgres, *EDITED, "projects", **both)
    assert_both(postgres, sandbox, *EDITED, "projects")
    for hosted in sandbox.hosted.values():
        edit(hosted)
    summary = load(postgres, *EDITED, full_read=True, **both)
    assert_both(postgres, sandbox, *EDITED)
    entries = {i: len(h.account.records["time_entries"]) for i, h in sandbox.hosted.items()}
    assert {i: s.tables["time_entries"].now for i, s in summary.accounts.items()} == entries
    assert summary.tables["time_entries"].now == sum(entries.values())


def test_own_script(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """A user's own script reads both in one run, again and again."""
    duck.run(source(**both))
    assert_both(duck, sandbox)
    for hosted in sandbox.hosted.values():
        edit(hosted)
    duck.run(source(**both, full_read=True).with_resources(*EDITED))
    assert_both(duck, sandbox, *EDITED)
    sandbox.log.clear()
    duck.run(source(**both).with_resources(*LISTS))
    for account_id in (FIRST, SECOND):
        entries = [r for r in asked_of(sandbox, account_id) if r.path.endswith("time_entries")]
        assert entries
        assert all("updated_since" in r.params or "is_running" in r.params for r in entries)
    assert_both(duck, sandbox, *EDITED)


def test_own_script_fails(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """A user's own script, which has no place to report it, raises and names the account."""
    both["api_key"] = [sandbox.token, SECRET]
    said = failure(duck, source(**both))
    assert isinstance(said, AccountError)
    assert str(said).startswith(f"Account {SECOND}: `")
    assert "401" in str(said)
    assert SECRET not in str(said)


def test_one_account(sandbox: Sandbox, settings: Settings, duck: Pipeline, told: list[str]) -> None:
    """With one account nothing speaks of accounts, however it is given."""
    sandbox.add_account(SECOND)
    said: list[str] = []
    summary = load(duck, "clients", **settings, tell=said.append)
    state = duck.state["sources"]["harvest"]
    for text in (f"{FIRST}", f"[{FIRST}]"):
        (account,) = accounts_of({**settings, "account_id": text})
        assert account.settings.account_ids == (FIRST,)
    for form in ([str(FIRST), FIRST], "all"):
        load(duck, "clients", **{**settings, "account_id": form}, tell=said.append)
    assert "accounts" not in summary.as_dict()
    assert "Account" not in str(summary)
    assert said == told == []
    assert state["accounts"].keys() == {str(FIRST)}
    assert_equal(duck, sandbox, "clients")


@pytest.mark.parametrize(
    "form",
    ["all", " ALL ", f"{FIRST},{SECOND}", f"[{FIRST}, {SECOND}]", f'["{FIRST}", "{SECOND}"]',
    (FIRST, str(SECOND)), [FIRST, SECOND, FIRST], [f" “{FIRST}” ", SECOND], f"{FIRST}, {SECOND},"],
)  # fmt: skip
def test_forms(both: Settings, form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts are given as a list, as text with commas, or as "all", also in the environment."""
    which = {name: both[name] for name in ("api_key", "base_url")}
    found = [accounts_of({**which, "account_id": form})]
    if isinstance(form, str):
        monkeypatch.setenv("SOURCES__HARVEST__ACCOUNT_ID", form)
        found.append(accounts_of(which))
    assert {account.settings.account_ids for (account, _) in found} == {(FIRST, SECOND)}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"account_id": [FIRST, SECRET]}, "`account_id` is not a number"),
        ({"account_id": []}, "`account_id` is not a number"),
        ({"account_id": [FIRST, True]}, "`account_id` is not a number"),
        ({"account_id": ["all", FIRST]}, '`account_id` names "all" beside others'),
        ({"account_id": "all", "api_key": "a,b"}, '`account_id` is "all" for several tokens'),
        ({"api_key": [SECRET] * 3}, "`api_key` holds 3 tokens, and `account_id` 2 accounts"),
        ({"account_id": FIRST, "api_key": [SECRET] * 2}, "holds 2 tokens, and `account_id` 1 acc"),
        ({"api_key": [SECRET, ""]}, "`api_key` is empty"),
        ({"api_key": ["a", "b"], "account_id": [FIRST] * 2}, "`account_id` names an account twice"),
        ({"only_account": 7}, f"`only_account` is none of the accounts: choose one of {FIRST}, "),
        ({"confirm_deletions": True}, "`confirm_deletions` holds for one account"),
    ],
)
def test_bad_settings(
    both: Settings, duck: Pipeline, source: Make, changes: Settings, word: str
) -> None:
    """Accounts and tokens that are malformed or do not fit are refused in one line."""
    both |= changes
    for attempt in (lambda: source(**both), lambda: load(duck, **both)):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert word in str(caught.value)
        assert "\n" not in str(caught.value)
        assert SECRET not in str(caught.value)


def test_own_settings(
    sandbox: Sandbox,
    other: HostedAccount,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Of several pipelines in one process each loads what is configured for it."""
    for name, account_id in (("first", sandbox.account_id), ("second", other.account_id)):
        monkeypatch.setenv(f"{name.upper()}__SOURCES__HARVEST__ACCOUNT_ID", str(account_id))
    given = {**settings, "api_key": sandbox.shared_token}
    del given["account_id"]
    pipelines = [
        dlt.pipeline(name, destination=dlt.destinations.duckdb(str(tmp_path / f"{name}.duckdb")))
        for name in ("first", "second")
    ]
    for pipeline in pipelines:
        load(pipeline, "clients", **given)
    held = [{row["_account_id"] for row in read(pipeline, "clients")} for pipeline in pipelines]
    assert held == [{FIRST}, {SECOND}]


def test_token_each(
    sandbox: Sandbox, other: HostedAccount, both: Settings, source: Make, duck: Pipeline
) -> None:
    """Each account can have a token of its own."""
    both["api_key"] = f"{sandbox.token}, {other.token}"
    duck.run(source(**both).with_resources("clients", "company"))
    assert_both(duck, sandbox, "clients", "company")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("https://api.harvestapp.com/v2", "https://id.getharvest.com"),
        ("https://proxy.example.com/harvest/v2", "https://proxy.example.com"),
    ],
)
def test_where_accounts_are_listed(host: str, address: str) -> None:
    """Accounts are asked for at Harvest's id host, and behind a proxy at the proxy."""
    assert checked_id_url(None, host) == address


def test_all_refused(sandbox: Sandbox, both: Settings, duck: Pipeline) -> None:
    """A token that may not ask, or reaches no Harvest account, is told in one line."""
    with pytest.raises(StatusError, match="`accounts`: Harvest answered 401"):
        load(duck, **{**both, "account_id": "all", "api_key": SECRET})
    for hosted in sandbox.hosted.values():
        del hosted.users[sandbox.shared_token]
    sandbox.fault("mutate", path="accounts", change=lambda answer: answer["accounts"].clear())
    with pytest.raises(ConfigurationError, match="the token reaches no Harvest account"):
        load(duck, **{**both, "account_id": "all", "api_key": sandbox.token})


@pytest.mark.parametrize(
    ("path", "kind", "options", "place"),
    [
        ("", "status", {"status": 401}, 0),
        ("", "status", {"status": 401}, 1),
        ("", "status", {"status": 404}, 0),
        ("", "status", {"status": 403}, 1),
        ("v2/time_entries$", "status", {"status": 422}, 0),
        ("v2/clients$", "drop", {}, 1),
        ("v2/users/me$", "drop", {}, 0),
    ],
)
def test_one_fails(
    sandbox: Sandbox,
    both: Settings,
    duck: Pipeline,
    path: str,
    kind: str,
    options: Settings,
    place: int,
) -> None:
    """What fails of one account keeps nothing of the other from loading, and the next run mends it.

    It is named, and the run does not end well.
    """
    tables = LISTS if "time_entries" in path else ("clients",)
    both["sizes"] = Sizes(max_attempts=1)
    bad, good = (FIRST, SECOND)[place], (SECOND, FIRST)[place]
    with (
        failing(sandbox, bad, path, kind, **options),
        pytest.raises(AccountsError, match=f"^Account {bad}: .* Loaded: {good}\\. ") as caught,
    ):
        load(duck, *tables, **both)
    assert caught.value.errors.keys() == {bad}
    assert caught.value.summary.accounts[good].tables["clients"].now
    assert_equal(duck, sandbox, *tables, account_id=good)
    load(duck, *tables, only_account=bad, **both)
    assert_both(duck, sandbox, *tables)


def test_all_fail(both: Settings, duck: Pipeline) -> None:
    """What fails alike of several accounts is said once."""
    with pytest.raises(AccountsError) as caught:
        load(duck, "clients", **{**both, "api_key": SECRET})
    assert str(caught.value).startswith(
        f"Accounts {FIRST}, {SECOND}: `clients`: Harvest answered 4"
    )
    assert str(caught.value).endswith(f" Failed: {FIRST}, {SECOND}.")


def test_all_in_part(sandbox: Sandbox, both: Settings, duck: Pipeline) -> None:
    """Accounts of which one list can't be read count as loaded in part, and are summed up."""
    sandbox.fault("status", path="v2/clients$", status=422, times=-1)
    with pytest.raises(AccountsError, match=f"Loaded in part: {FIRST}, {SECOND}\\.$") as caught:
        load(duck, "clients", "tasks", **both)
    assert caught.value.summary.tables["tasks"].now == len(read(duck, "tasks"))


def test_joins(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """An account that joins is read whole, and the others by their changes as ever."""
    duck.run(source().with_resources(*LISTS))
    sandbox.log.clear()
    duck.run(source(**both).with_resources(*LISTS))
    assert_both(duck, sandbox, *LISTS)
    entries = [r for r in asked_of(sandbox, FIRST) if r.path.endswith("/time_entries")]
    assert entries
    assert all("updated_since" in r.params or "is_running" in r.params for r in entries)


def test_leaves(
    sandbox: Sandbox,
    settings: Settings,
    both: Settings,
    source: Make,
    duck: Pipeline,
    told: list[str],
) -> None:
    """An account that leaves keeps its rows, which is said once; it may come back."""
    duck.run(source(**both).with_resources(*LISTS))
    before = read(duck, "time_entries", SECOND)
    line = f"Account {SECOND} is no longer read: its rows stay as they were last read."
    assert load(duck, *LISTS, full_read=True, **settings).notices[-1] == line
    assert told == [line]
    assert line not in load(duck, "clients", **settings).notices
    assert told == [line]
    assert read(duck, "time_entries", SECOND) == before
    edit(sandbox.hosted[SECOND])
    duck.run(source(**both, full_read=True).with_resources(*LISTS))
    assert_both(duck, sandbox, *LISTS)


def test_unreadable_state_of_who_left(
    sandbox: Sandbox, settings: Settings, both: Settings, source: Make, duck: Pipeline
) -> None:
    """An account that left and whose state can't be read keeps no other from being loaded."""
    duck.run(source(**both).with_resources("clients"))
    with duck.managed_state(extract_state=True) as state:
        state["sources"]["harvest"]["accounts"][str(SECOND)]["anchor_date"] = "not a date"
    duck.normalize()
    duck.load()
    load(duck, "clients", **settings)
    assert_equal(duck, sandbox, "clients")


def test_other_accounts(both: Settings, source: Make, duck: Pipeline) -> None:
    """A list with none of the accounts that a pipeline holds is refused, in one line."""
    duck.run(source().with_resources("clients"))
    both["account_id"] = [SECOND, 7]
    with pytest.raises(OtherAccountError, match=rf"\[{FIRST}, {SECOND}, 7\]"):
        load(duck, "clients", **both)
    assert "7" in str(failure(duck, source(**both)))


def test_only_account(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """One of the accounts can be read alone; the other keeps its rows and its state."""
    duck.run(source(**both).with_resources(*LISTS))
    for hosted in sandbox.hosted.values():
        edit(hosted)
    sandbox.log.clear()
    load(duck, *LISTS, full_read=True, only_account=SECOND, **both)
    assert not asked_of(sandbox, FIRST)
    assert_equal(duck, sandbox, *LISTS, account_id=SECOND)
    duck.run(source(**both, full_read=True).with_resources(*LISTS))
    assert_both(duck, sandbox, *LISTS)


def test_replace(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """A table is replaced by the rows of all accounts, or the run is refused."""

    def replacing(**changes: Any) -> DltSource:
        made = source(**{**both, **changes}).with_resources("clients", "invoice_payments")
        made.clients.apply_hints(write_disposition="replace")
        return made

    duck.run(replacing())
    for changes in ({"only_account": SECOND}, {"account_id": [FIRST]}):
        said = failure(duck, replacing(**changes))
        assert isinstance(said, RefusedHintError)
        assert str(FIRST if "only_account" in changes else SECOND) in str(said)
    assert_both(duck, sandbox, "clients", "invoice_payments")


@pytest.mark.parametrize("names", [("invoices", "invoice_payments"), ()])
def test_refresh(
    sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline, names: tuple[str, ...]
) -> None:
    """A refresh reads the tables anew for all accounts, and leaves all others alone."""
    for hosted in sandbox.hosted.values():  # so that all are fewer
        for module in ("estimate_feature", "expense_feature"):
            hosted.account.company[module] = False
    duck.run(source(**both).with_resources(*EDITED))
    for hosted in sandbox.hosted.values():
        edit(hosted)
    said: list[str] = []
    # All are named by none, since dlt drops a whole source in another way.
    summary = load(duck, *names, refresh=True, tell=said.append, **both)
    on = [e.name for e in ALWAYS if not e.name.startswith(("estimate", "expense"))]
    assert_both(duck, sandbox, *(names or on))
    assert summary.accounts.keys() == {FIRST, SECOND}
    assert "will be dropped and read anew" in said[0]
    duck.run(source(**both, full_read=True).with_resources(*EDITED))
    assert_both(duck, sandbox, *EDITED)


def test_refresh_of_one(
    sandbox: Sandbox, settings: Settings, both: Settings, source: Make, duck: Pipeline
) -> None:
    """A refresh that would drop the rows of an account that it does not read is refused."""
    duck.run(source(**both).with_resources(*LISTS))
    held = len(sandbox.hosted[FIRST].account.records["clients"])
    with pytest.raises(SharedTableError, match=rf"`clients` \({held} rows of account {FIRST}\)"):
        load(duck, "clients", refresh=True, only_account=SECOND, **both)
    with pytest.raises(SharedTableError, match=f"rows of account {SECOND}"):
        load(duck, *LISTS, refresh=True, **settings)
    assert_both(duck, sandbox, *LISTS)


def test_failed_refresh(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """A refresh that one account fails drops nothing of any."""
    duck.run(source(**both).with_resources(*LISTS))
    sandbox.fault("status", path="time_entries", status=422, after=1)
    with pytest.raises(AccountError, match="`time_entries`"):
        load(duck, "time_entries", refresh=True, **both)
    assert_both(duck, sandbox, *LISTS)
    sandbox.faults.clear()
    duck.run(source(**both).with_resources(*LISTS))
    assert_both(duck, sandbox, *LISTS)


def test_confirm_deletions(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """Most rows of one account gone are its own affair: asked about, and confirmed, for it only."""
    duck.run(source(**both).with_resources("time_entries"))
    for hosted in sandbox.hosted.values():
        for entry in list(hosted.account.records["time_entries"])[3:]:
            hosted.account.delete("time_entries", entry)
    with pytest.raises(AccountsError) as caught:
        load(duck, "time_entries", full_read=True, **both)
    assert caught.value.errors.keys() == {FIRST, SECOND}
    assert f"--account {SECOND}" in str(caught.value.errors[SECOND])
    load(duck, "time_entries", full_read=True, confirm_deletions=True, only_account=SECOND, **both)
    assert_equal(duck, sandbox, "time_entries", account_id=SECOND)
    assert len(read(duck, "time_entries", FIRST)) == 150


def test_batches(sandbox: Sandbox, both: Settings, duck: Pipeline) -> None:
    """A long history comes in batches for each account."""
    both["sizes"] = Sizes(
        per_page=20, window_records=20, first_batch_requests=10,
        batch_records=100, batch_requests=20,
    )  # fmt: skip
    said: list[str] = []
    tables = ("clients", "time_entries", "invoice_payments")
    load(duck, *tables, tell=said.append, **both)
    assert_both(duck, sandbox, *tables)
    turns = [line.partition(":")[0] for line in said]
    assert turns.count("Left") > 2
    assert turns.index(f"Account {FIRST}") < turns.index("Left") < turns.index(f"Account {SECOND}")
    assert turns[-1] == "Left"
    assert not any(last_run(duck, account_id=i).requests_left for i in (FIRST, SECOND))


@pytest.mark.parametrize("table", ["invoices", "invoices__line_items"])
def test_dropped_table(
    sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline, table: str
) -> None:
    """A table that somebody dropped comes back whole for all accounts, read together or not."""
    root = table.partition("__")[0]
    duck.run(source(**both).with_resources("clients", root))
    for runs in ([None], [SECOND, None]):
        execute(duck, f"DROP TABLE {{dataset}}.{table}")
        for only in runs:
            duck.run(source(**both, only_account=only).with_resources(root))
        assert_both(duck, sandbox, "clients", root)


def test_flags(sandbox: Sandbox, both: Settings, source: Make, duck: Pipeline) -> None:
    """Rows that are gone from one account are flagged there, not where ids are the same."""
    both["deletions"] = "flag"
    duck.run(source(**both).with_resources("time_entries"))
    gone = max(sandbox.hosted[SECOND].account.records["time_entries"])
    assert gone in sandbox.hosted[FIRST].account.records["time_entries"]
    sandbox.hosted[SECOND].account.delete("time_entries", gone)
    duck.run(source(**both, full_read=True).with_resources("time_entries"))
    flagged = [r for r in read(duck, "time_entries") if r["_deleted_at"]]
    assert [(row["_account_id"], row["id"]) for row in flagged] == [(SECOND, gone)]


def test_rate_limit(tmp_path: Path) -> None:
    """All accounts together stay within the limit, run after run."""
    with Sandbox("tiny", rate_limit=(40, 15.0)) as sandbox:
        sandbox.add_account(SECOND)
        env = environment(sandbox, RATE_LIMIT="40")
        for _ in range(2):
            done = run_script(*EDITED, home=tmp_path, **env)
            assert done.returncode == 0, done.stderr
        assert len(sandbox.log) > 40  # which takes a pause
        assert 429 not in {request.status for request in sandbox.log}


def environment(sandbox: Sandbox, **changes: str) -> dict[str, str]:
    """Return the settings of all accounts as environment variables."""
    chosen = {
        "API_KEY": sandbox.shared_token,
        "ACCOUNT_ID": "all",
        "BASE_URL": sandbox.base_url,
        "ANCHOR_DATE": "2010-01-01",
        "RATE_LIMIT": "100000",
        **changes,
    }
    return {f"SOURCES__HARVEST__{name}": value for name, value in chosen.items()}


def test_script(sandbox: Sandbox, other: HostedAccount, tmp_path: Path) -> None:
    """The script shows each account; one that fails is named, and the exit code is 1."""
    env = environment(sandbox)
    done = run_script("clients", home=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert f"Account {FIRST}\ntable" in done.stdout
    assert f"Account {SECOND}\ntable" in done.stdout
    other.users.clear()
    env = environment(sandbox, ACCOUNT_ID=f"{FIRST},{SECOND}")
    done = run_script("clients", "--json", home=tmp_path, **env)
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert said["accounts"][str(FIRST)]["tables"]["clients"]["now"] == 8
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Account {SECOND}: ")
    assert last.endswith(f"Loaded: {FIRST}. Loaded in part: {SECOND}.")
    assert "Traceback" not in done.stderr
    done = run_script("clients", "--account", str(FIRST), home=tmp_path, **env)
    assert done.returncode == 0, done.stderr


def test_secrets_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """A secrets file may hold lists, of numbers and of tokens."""
    other = sandbox.add_account(SECOND)
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text(
        f'[sources.harvest]\nbase_url = "{sandbox.base_url}"\n'
        f'account_id = [{FIRST}, {SECOND}]\napi_key = ["{sandbox.token}", "{other.token}"]\n'
    )
    done = run_script("clients", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accounts"].keys() == {str(FIRST), str(SECOND)}
