"""A check says what a run would meet, and a run itself copes with what a check finds amiss."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from dlt import Pipeline

from harvest.api.client import HarvestClient
from harvest.catalog import BY_NAME
from harvest.check import PROBES, check
from harvest.errors import ConfigurationError, StatusError
from harvest.extract.listing import Listing
from harvest.extract.plan import Read
from harvest.settings import Sizes
from harvest_sandbox import Sandbox
from harvest_sandbox.identity import CLIENT_ID, CLIENT_SECRET

from .running import Make, as_environment, run_script
from .truth import assert_equal, read

ARCHIVABLE = ["users", "clients", "projects", "tasks", "user_assignments", "task_assignments"]


@pytest.fixture
def settings(sandbox: Sandbox) -> dict[str, Any]:
    """Return the arguments of `check` and `harvest_source` that read the sandbox."""
    return {
        "api_key": sandbox.token,
        "account_id": str(sandbox.account_id),
        "base_url": sandbox.base_url,
        "anchor_date": "2010-01-01",
        "rate_limit": 100_000,
    }


def checked(settings: dict[str, Any]) -> tuple[bool, str]:
    """Check; return whether all is well, and the text."""
    lines: list[str] = []
    well = check(lines.append, **settings)
    return well, "\n".join(lines)


def line_of(text: str, expected: str) -> str:
    """Return the line of a probe."""
    (line,) = (line for line in text.splitlines() if f" {expected}: " in line)
    return line


def test_all_well(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """Where Harvest is as documented each probe says so, at few requests, and nothing is loaded."""
    well, text = checked(settings)
    assert well, text
    for probe in PROBES:
        assert line_of(text, probe.expected).startswith("  yes"), text
    assert "Asked by a personal token. Configured: 424242; also reached: none" in text
    assert "access roles: administrator" in text
    assert "May read      every table" in text
    assert len(sandbox.log) < 90
    # Whoever is no manager has no teammates.
    asked = [request for request in sandbox.log if not request.path.endswith("/teammates")]
    assert {request.status for request in asked} == {200}
    assert [path.name for path in tmp_path.iterdir()] == ["dlt"]  # notes for the rate limit


def test_first_run(
    sandbox: Sandbox, settings: dict[str, Any], source: Make, duck: Pipeline
) -> None:
    """The requests that are told are those of a first run."""
    _, text = checked(settings)
    (told,) = re.findall(r"by (\d+) requests at least", text)
    sandbox.log.clear()
    duck.extract(source())
    # Where a list has no archived record, a run asks whether it leaves them out.
    asked = [r for r in sandbox.log if r.params.get("is_active") != "false"]
    assert int(told) == len(asked)
    (entries,) = re.findall(r"time_entries +(\d+)", text)
    assert int(entries) == len(sandbox.account.records["time_entries"])


def test_first_run_of_reports(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Reports that are on are counted apart, with their own wait, and histories are named."""
    _, text = checked({**settings, "rate_limit": 100, "reports": True, "history": "time_entries"})
    now = sandbox.clock.now()
    requests = 8 * ((now.year - 2010) * 12 + now.month) + 2
    wait = (requests - 1) // 100 * 15
    told = f"  10 reports, by month, take up to {requests:,} requests besides: {wait} min by the"
    assert told in text
    assert "\n  Each version is kept of time_entries." in text


def test_archived_and_silent(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """A list that does not count its records hides none that lacks archived ones."""
    sandbox.without_total_entries, sandbox.without_archived = ["clients"], ["tasks"]
    _, text = checked(settings)
    assert line_of(text, "lists hold archived records").startswith("  NO "), text
    assert "not all: tasks (7 of 8)" in text


def test_no_manager(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Teammates, which only managers have, may be read though the first person has none."""
    for user in sandbox.account.truth("users"):
        sandbox.account.update("users", user["id"], access_roles=["administrator"])
    _, text = checked(settings)
    assert "May read      every table" in text


def test_nothing_private(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """The text holds no name of a person, a client or a project, and no secret."""
    for quirk in ("days_exclusive", "limit_headers"):
        setattr(sandbox, quirk, True)
    _, text = checked(settings)
    private = [sandbox.token, "secret", sandbox.account.company["name"]]
    for user in sandbox.account.truth("users"):
        private += [user["first_name"], user["last_name"], user["email"]]
    for table in ("clients", "projects"):
        private += [record["name"] for record in sandbox.account.truth(table)]
    words = set(re.findall(r"\w+", text))
    assert not [name for name in private if name in text and (" " in name or name in words)]


@pytest.mark.parametrize(
    ("quirks", "expected", "seen"),
    [
        (
            {"without_archived": ["users", "tasks"]},
            "lists hold archived records",
            "users (9 of 10), tasks (7 of 8)",
        ),
        ({"oldest_first": ["time_entries"]}, "lists by date come newest first", "in time_entries"),
        (
            {"ignored_filters": ["updated_since"]},
            "`updated_since` leaves out what did not change",
            "ignored by users, clients",
        ),
        ({"days_exclusive": True}, "`from` and `to` choose their own days", "time_entries, exp"),
        ({"ignored_filters": ["to"]}, "`from` and `to` choose their own days", "time_entries"),
        ({"without_total_entries": ["clients"]}, "lists say how many records they have", "clients"),
        ({"ignored_filters": ["is_running"]}, "`is_running` chooses running timers", "ignored"),
        ({"page_cap": 1000}, "a page holds 2,000 records", "fewer: users 1,000, clients 1,000"),
        ({"date_ahead": None}, "the clock", "does not say what time it is"),
        ({"date_ahead": 600.0}, "the clock", "differ by +"),
    ],
)
def test_differs(
    sandbox: Sandbox, settings: dict[str, Any], quirks: dict[str, Any], expected: str, seen: str
) -> None:
    """Where Harvest is otherwise, that probe's line says so, and what it means for the tables."""
    for name, value in quirks.items():
        assert hasattr(sandbox, name)
        setattr(sandbox, name, value)
    well, text = checked(settings)
    assert not well
    line = line_of(text, expected)
    assert line.startswith("  NO "), text
    assert seen in line
    (probe,) = (probe for probe in PROBES if probe.expected == expected)
    assert f"So {probe.otherwise}." in line
    assert text.count("\n  NO ") == 1


def test_stamps_ahead(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """A record that is stamped ahead of Harvest's time shows that the clocks differ."""
    sandbox.clock.shift(minutes=5)
    client = next(iter(sandbox.account.records["clients"]))
    sandbox.account.update("clients", client)
    sandbox.clock.shift(minutes=-5)
    _, text = checked(settings)
    assert re.search(r"NO +the clock: a record is stamped (29|30)\d s ahead", text)


@pytest.mark.parametrize("what", ["links", "second page"])
def test_links_missing(sandbox: Sandbox, settings: dict[str, Any], what: str) -> None:
    """A list that does not say where its next page is is named."""

    def spoil(body: dict[str, Any]) -> None:
        if what == "links":
            del body["links"]
        else:
            body["links"]["next"] = None

    sandbox.styles = "page"
    sandbox.fault("mutate", path="/tasks", times=-1, change=spoil)
    if what == "links":  # so that not even its count shows that the list is whole
        sandbox.without_total_entries = ["tasks"]
    _, text = checked({**settings, "sizes": Sizes(max_attempts=2)})
    assert line_of(text, "lists say where the next page is").startswith("  NO ")
    assert "tasks" in line_of(text, "lists say where the next page is")


def test_exclusive(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Whether `updated_since` includes its own second is told; runs cope with both."""
    sandbox.updated_since_exclusive = True
    well, text = checked(settings)
    assert well
    assert "its own second left out by users" in text


def test_limit_headers(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Headers about the limit are told where there are some."""
    sandbox.rate_limit, sandbox.limit_headers = (100_000, 1.0), True
    _, text = checked(settings)
    assert "X-RateLimit-Limit: 100000, X-RateLimit-Remaining: " in text


def test_empty(settings: dict[str, Any]) -> None:
    """On an empty account what can't be told is open, and nothing is amiss."""
    with Sandbox("empty") as empty:
        well, text = checked({**settings, "base_url": empty.base_url})
        assert well, text
        assert "  open  lists by date come newest first: fewer than two days." in text
        assert "not asked, no parent is there: " in text


@pytest.mark.parametrize("account_id", [None, "7", 7])
def test_wrong_account(
    sandbox: Sandbox, settings: dict[str, Any], account_id: str | int | None
) -> None:
    """Where the account is missing or wrong, those that the token reaches are named."""
    sandbox.add_account()
    reaches = {**settings, "api_key": sandbox.shared_token, "account_id": account_id}
    with pytest.raises(
        ConfigurationError, match=r"reach.*: .*reaches 424242, 515151|missing: your"
    ):
        check(str, **reaches)


def test_several_accounts(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Of several accounts each is looked at, or the one that is asked for."""
    other = sandbox.add_account()
    both = {**settings, "api_key": sandbox.shared_token, "account_id": "all"}
    other.account.company["invoice_feature"] = False
    well, text = checked(both)
    assert well, text
    assert re.findall(r"^Account +(\d+)$", text, re.MULTILINE) == ["424242", "515151"]
    assert text.count("invoice off") == 1
    each = {"api_key": [sandbox.token, other.token], "account_id": [424242, 515151]}
    text = checked({**settings, **each, "only_account": 515151})[1]
    assert "Configured: 424242, 515151; also reached: none" in text
    assert "Account       424242" not in text
    assert "Account       515151" in text


def test_wrong_token(settings: dict[str, Any]) -> None:
    """A token that Harvest does not know is refused in one line."""
    with pytest.raises(StatusError, match="`accounts`: Harvest answered 401"):
        check(str, **{**settings, "api_key": "wrong"})


def test_member(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """What a lesser token may not read is named, children along with their lists."""
    _, text = checked({**settings, "api_key": sandbox.member_token})
    (refused,) = re.findall(r"not \(403\): (.+)", text)
    assert {"users", "user_cost_rates", "invoices", "company"} <= set(refused.split(", "))
    assert "time_entries" not in refused
    assert "access roles: member" in text


def test_modules(sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """Modules that are switched off are named."""
    sandbox.account.company["expense_feature"] = False
    _, text = checked(settings)
    assert "invoice, estimate, approval, team on; expense off" in text
    assert "not (403): expense_categories, expenses" in text


def test_application(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """An application is checked as a personal token is."""
    sandbox.add_account()
    application = {
        "api_key": None,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": sandbox.identity.grant(sandbox.shared_token),
        "token_file": str(tmp_path / "tokens.json"),
    }
    well, text = checked({**settings, **application})
    assert well
    assert "Asked by an application. Configured: 424242; also reached: 515151" in text


@pytest.mark.parametrize(("cap", "code"), [(2000, 0), (100, 1)])
def test_command(
    sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path, cap: int, code: int
) -> None:
    """The command prints the text, ends with 1 where Harvest is otherwise, and loads nothing."""
    sandbox.page_cap = cap
    env = as_environment(settings)
    ran = run_script("--check", home=tmp_path, **env)
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert "Is Harvest as this connector expects?" in ran.stdout
    assert ran.stderr == ""
    assert not list(tmp_path.rglob("*.duckdb"))
    assert not (tmp_path / ".dlt").exists()


def test_demo(tmp_path: Path) -> None:
    """The demo account can be checked too."""
    done = run_script("--demo", "--check", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("style", "tables"), [("page", ARCHIVABLE), ("cursor", ["clients", "tasks"])]
)
def test_run_finds_archived(
    sandbox: Sandbox, source: Make, duck: Pipeline, told: list[str], style: str, tables: list[str]
) -> None:
    """Archived records that a list leaves out are read apart, and never taken for deleted."""
    sandbox.without_archived, sandbox.styles = ARCHIVABLE, style
    duck.run(source().with_resources(*tables))
    assert_equal(duck, sandbox, *tables)
    assert "`clients`: Harvest leaves archived records out" not in "".join(told)  # it has none
    for client in list(sandbox.account.records["clients"])[:3]:
        sandbox.account.update("clients", client, is_active=False)
    duck.run(source().with_resources("clients"))
    assert len(read(duck, "clients")) == 8
    duck.run(source(full_read=True).with_resources("clients", "tasks"))
    assert_equal(duck, sandbox, *tables)
    assert "`clients`: Harvest leaves archived records out" in "".join(told)


@pytest.mark.parametrize("quirks", [{"days_exclusive": True}, {"ignored_filters": ["from", "to"]}])
@pytest.mark.parametrize("cap", [7, 2000])
@pytest.mark.parametrize("style", ["page", "cursor"])
def test_run_doubts_days(
    sandbox: Sandbox,
    client: HarvestClient,
    told: list[str],
    style: str,
    cap: int,
    quirks: dict[str, Any],
) -> None:
    """Where `from` and `to` do not choose their own days, a long list is whole all the same."""
    sandbox.styles, sandbox.page_cap = style, cap
    for name, value in quirks.items():
        setattr(sandbox, name, value)
    sizes = Sizes(parallel_windows=2, window_records=8)
    listing = Listing(client, BY_NAME["time_entries"], sizes, read=Read(batch_size=20))
    found = {record["id"] for records in listing.read() for record in records}
    assert found == sandbox.account.records["time_entries"].keys()
    assert listing.left_at is None
    assert len([line for line in told if "do not choose their own days" in line]) == (cap == 7)


@pytest.mark.parametrize(
    ("style", "quirks"),
    [
        ("page", {"oldest_first": ["time_entries"]}),
        ("page", {"without_total_entries": ["time_entries", "clients"]}),
        ("cursor", {"without_total_entries": ["time_entries", "clients"]}),
        ("cursor", {"ignored_filters": ["updated_since"]}),
        ("page", {"ignored_filters": ["is_running"]}),
        ("page", {"date_ahead": None}),
    ],
)
def test_run_copes(
    sandbox: Sandbox, source: Make, duck: Pipeline, style: str, quirks: dict[str, Any]
) -> None:
    """A first run and a later one lack nothing, however Harvest differs."""
    sandbox.styles, sandbox.page_cap = style, 40
    for name, value in quirks.items():
        setattr(sandbox, name, value)
    tables = ("time_entries", "clients")
    duck.run(source().with_resources(*tables))
    for table in tables:
        last = sandbox.account.rows(table)[-1]["id"]
        sandbox.account.update(table, last, notes="changed")
    sandbox.account.delete("time_entries", sandbox.account.rows("time_entries")[0]["id"])
    duck.run(source(full_read_hours=-1).with_resources(*tables))
    loaded = {row["id"]: row for row in read(duck, "time_entries")}
    for record in sandbox.account.truth("time_entries"):
        assert loaded[record["id"]]["notes"] == record["notes"]
    duck.run(source(full_read=True).with_resources(*tables))
    assert_equal(duck, sandbox, *tables)


def test_run_says_no_time(sandbox: Sandbox, source: Make, duck: Pipeline, told: list[str]) -> None:
    """A run whose answers name no time says once which clock it trusts."""
    sandbox.date_ahead = None
    duck.run(source().with_resources("tasks", "clients"))
    assert len([line for line in told if "does not say what time it is" in line]) == 1
