"""Reports become tables: a history by period, and a snapshot of each day."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest import HarvestError
from harvest.api.rate_limit import limiters
from harvest.catalog import BY_NAME, REPORTS
from harvest.extract.reports import PROBE_FROM
from harvest.extract.state import last_run
from harvest.extract.windows import periods
from harvest.run import _what_is_left, load
from harvest.settings import Sizes
from harvest_sandbox import Sandbox
from harvest_sandbox.account import Record
from harvest_sandbox.readers import Reader
from harvest_sandbox.reports import results

from .running import Make, failure, run_script, second_pipeline
from .truth import ALWAYS, read

BY_PERIOD = [e.name for e in REPORTS if e.report and e.report.span == "period"]
OF_THE_DAY = ["report_uninvoiced", "report_project_budget"]
NAMES = [*BY_PERIOD, *OF_THE_DAY]
Key = tuple[Any, ...]


def today(sandbox: Sandbox) -> date:
    """Return the day by Harvest's clock."""
    return sandbox.clock.now().date()


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    """Serve an account with time in each of 30 months, and with expenses in each of ten."""
    for table, months in (("time_entries", 30), ("expenses", 10)):
        for number, record in enumerate(sandbox.account.truth(table)):
            day = months_ago(sandbox, number % months) + timedelta(days=number % 28)
            sandbox.account.update(table, record["id"], spent_date=str(day))
    return sandbox


def months_ago(sandbox: Sandbox, months: int) -> date:
    """Return the first day of a month."""
    return [w.first for w in periods("month", date(2020, 1, 1), today(sandbox)) if w.first][months]


def reported(
    sandbox: Sandbox, name: str, first: date, last: date, user: int | None = None
) -> list[Record]:
    """Return what Harvest reports of a span of days."""
    span = {} if name == "report_project_budget" else {"from": str(first), "to": str(last)}
    return results(BY_NAME[name].path, Reader(sandbox.account, user), span)


def history(
    sandbox: Sandbox, name: str, anchor: date, length: str = "month", user: int | None = None
) -> list[Record]:
    """Return what the table of a report by periods must hold."""
    return [
        {**row, "period_start": window.first, "period_end": window.last}
        for window in periods(length, anchor, today(sandbox))
        if window.first and window.last
        for row in reported(sandbox, name, window.first, window.last, user)
    ]


def snapshot(sandbox: Sandbox, name: str) -> list[Record]:
    """Return what the table of a daily report must hold of today."""
    day = today(sandbox)
    first = day - timedelta(days=364)
    year = {"period_start": first, "period_end": day} if name == "report_uninvoiced" else {}
    return [{**row, **year, "snapshot_date": day} for row in reported(sandbox, name, first, day)]


def key_of(name: str, row: Record) -> Key:
    """Return the values that name a row in its table."""
    return tuple(row[column] for column in BY_NAME[name].id_columns)


def assert_holds(pipeline: Pipeline, sandbox: Sandbox, name: str, wanted: list[Record]) -> None:
    """Demand that a table holds these rows and no others, value for value."""
    here = {key_of(name, row): row for row in read(pipeline, name)}
    truth = {key_of(name, row): row for row in wanted}
    assert here.keys() == truth.keys(), name
    assert len(wanted) == len(truth) == len(read(pipeline, name))
    for key, record in truth.items():
        row = {k: v for k, v in here[key].items() if not k.startswith("_dlt")}
        assert row.pop("_deleted_at") is None
        assert row.pop("_account_id") == sandbox.account_id
        assert row == record, (name, key)
        for column in BY_NAME[name].columns.decimals.split():
            assert row[column] is None or isinstance(row[column], Decimal)


def requests_of(sandbox: Sandbox, name: str = "report_") -> int:
    """Return how many requests a report took, or all of them."""
    paths = {BY_NAME[n].path for n in NAMES if n.startswith(name)}
    return sum(request.path.removeprefix("/v2/") in paths for request in sandbox.log)


def moved(sandbox: Sandbox, table: str, months: int) -> list[int]:
    """Return the ids of a table's records of one month."""
    month = f"{months_ago(sandbox, months):%Y-%m}"
    return [r["id"] for r in sandbox.account.truth(table) if r["spent_date"].startswith(month)]


def test_history(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A row for each month, subject and currency from the anchor on, with Harvest's figures."""
    anchor = months_ago(sandbox, 9)
    for entry in sandbox.account.truth("time_entries")[::3]:
        sandbox.account.update("time_entries", entry["id"], rounded_hours=Decimal("0.333"))
    duck.run(source(anchor_date=f"{anchor:%Y-%m}-17").with_resources(*BY_PERIOD))
    for name in BY_PERIOD:
        wanted = history(sandbox, name, anchor)
        assert len({row["currency"] for row in wanted}) > 1
        assert_holds(duck, sandbox, name, wanted)
    assert requests_of(sandbox) == 10 * len(BY_PERIOD)


def test_later_run(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """A later run replaces this month and three more: what was edited, moved or deleted there."""
    anchor, names = months_ago(sandbox, 9), ["report_time_tasks", "report_expenses_team"]
    chosen = source(anchor_date=str(anchor), deletions="flag").with_resources(*names)
    pipeline.run(chosen)
    account = sandbox.account
    older = {name: history(sandbox, name, anchor) for name in names}
    first, *_, last = moved(sandbox, "time_entries", 3)
    account.update("time_entries", first, hours=Decimal("7.77"), rounded_hours=Decimal("7.77"))
    task = account.records["time_entries"][last]["task"]["id"]
    for entry in moved(sandbox, "time_entries", 3):  # a subject that vanishes from a period
        if account.records["time_entries"][entry]["task"]["id"] == task != first:
            account.delete("time_entries", entry)
    for table in ("time_entries", "expenses"):  # a period that is empty by now
        for record in moved(sandbox, table, 2):
            account.delete(table, record)
    account.update("time_entries", moved(sandbox, "time_entries", 8)[0], rounded_hours=Decimal(99))
    sandbox.log.clear()
    pipeline.run(chosen)
    assert requests_of(sandbox) == 4 * len(names)
    again = months_ago(sandbox, 3)
    for name in names:
        now = [r for r in history(sandbox, name, anchor) if r["period_start"] >= again]
        before = [row for row in older[name] if row["period_start"] < again]
        assert_holds(pipeline, sandbox, name, before + now)
    pipeline.run(
        source(anchor_date=str(anchor), full_read=True, deletions="flag").with_resources(*names)
    )
    for name in names:
        assert_holds(pipeline, sandbox, name, history(sandbox, name, anchor))


@pytest.mark.parametrize("length", ["week", "day"])
def test_length(sandbox: Sandbox, source: Make, duck: Pipeline, length: str) -> None:
    """Periods may be weeks from Monday, or days; two are read again where so many are asked for."""
    anchor = today(sandbox) - timedelta(days=20)
    chosen = source(
        anchor_date=str(anchor), report_period=length, report_lookback=2
    ).with_resources("report_time_team")
    duck.run(chosen)
    wanted = history(sandbox, "report_time_team", anchor, length)
    if length == "week":
        assert {row["period_start"].weekday() for row in wanted} == {0}
    assert_holds(duck, sandbox, "report_time_team", wanted)
    sandbox.log.clear()
    duck.run(chosen)
    assert requests_of(sandbox) == 3
    assert_holds(duck, sandbox, "report_time_team", wanted)


def test_pause_between_runs(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """After a pause the look-back counts from the last run, so that no period is left as it was."""
    chosen = source(anchor_date=str(months_ago(sandbox, 9)), report_lookback=1)
    duck.run(chosen.with_resources("report_time_clients"))
    entry, anchor = moved(sandbox, "time_entries", 1)[0], months_ago(sandbox, 9)
    sandbox.account.update("time_entries", entry, rounded_hours=Decimal(50))
    sandbox.clock.shift(days=150)
    sandbox.log.clear()
    duck.run(chosen.with_resources("report_time_clients"))
    assert 6 <= requests_of(sandbox) <= 7
    assert_holds(
        duck, sandbox, "report_time_clients", history(sandbox, "report_time_clients", anchor)
    )


def test_earlier_anchor(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """An earlier anchor brings the older periods, beside those that are read again."""
    name, earlier = "report_time_projects", months_ago(sandbox, 9)
    duck.run(source(anchor_date=str(months_ago(sandbox, 5))).with_resources(name))
    before = today(sandbox)
    sandbox.clock.shift(hours=1)
    sandbox.log.clear()
    duck.run(source(anchor_date=str(earlier)).with_resources(name))
    assert requests_of(sandbox) == 2 * (4 + (today(sandbox).month != before.month))
    assert_holds(duck, sandbox, name, history(sandbox, name, earlier))


def test_snapshots(sandbox: Sandbox, source: Make, pipeline: Pipeline) -> None:
    """Each day's figures stay; those of the same day are replaced, also what vanished meanwhile."""
    account, chosen = sandbox.account, source().with_resources(*OF_THE_DAY)
    pipeline.run(chosen)
    gone = {name: snapshot(sandbox, name)[0]["project_id"] for name in OF_THE_DAY}
    account.update("projects", gone["report_uninvoiced"], is_billable=False)
    account.update("projects", gone["report_project_budget"], budget=None)
    pipeline.run(chosen)
    first = {name: snapshot(sandbox, name) for name in OF_THE_DAY}
    for name in OF_THE_DAY:
        assert gone[name] not in {row["project_id"] for row in first[name]}
        assert_holds(pipeline, sandbox, name, first[name])
    sandbox.clock.shift(days=1)
    for entry in account.truth("time_entries")[::2]:  # billed: the figure vanishes
        account.update("time_entries", entry["id"], is_billed=True, rounded_hours=Decimal(1))
    pipeline.run(chosen)
    for name in OF_THE_DAY:
        second = snapshot(sandbox, name)
        assert second
        assert_holds(pipeline, sandbox, name, first[name] + second)
    assert requests_of(sandbox) == 3 * len(OF_THE_DAY)


def test_refresh_keeps_snapshots(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], duck: Pipeline
) -> None:
    """A refresh reads the history anew, and says that earlier days' snapshots stay."""
    names = ("report_time_team", "report_uninvoiced")
    settings["anchor_date"] = str(months_ago(sandbox, 1))
    duck.run(source(anchor_date=settings["anchor_date"]).with_resources(*names))
    first = snapshot(sandbox, "report_uninvoiced")
    sandbox.clock.shift(days=1)
    said: list[str] = []
    load(duck, *names, refresh=True, tell=said.append, **settings)
    wanted = first + snapshot(sandbox, "report_uninvoiced")
    assert_holds(duck, sandbox, "report_uninvoiced", wanted)
    assert said[0] == "report_uninvoiced stays: figures of earlier days can't be read again."
    assert "report_time_team (" in said[1]
    everything = [line for line in said if "report_uninvoiced" in line]
    # All by default, since dlt drops a whole source in another way than its tables. What is
    # switched off makes these fewer.
    for module in ("estimate", "expense", "invoice"):
        sandbox.account.company[f"{module}_feature"] = False
    load(duck, refresh=True, tell=everything.append, **settings)
    assert_holds(duck, sandbox, "report_uninvoiced", wanted)


def test_off_by_default(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Reports are loaded by their names or all by a setting, and never otherwise.

    By the setting those of a module that is switched off are left out by name.
    """
    assert not source().selected_resources.keys() & {*NAMES}
    for module in ("estimate_feature", "expense_feature"):
        sandbox.account.company[module] = False
    off = {name for name in BY_PERIOD if "expenses" in name}
    duck.run(source(reports=True, anchor_date=str(months_ago(sandbox, 2))))
    skipped = last_run(duck).skipped
    assert skipped.keys() & {*NAMES} == off
    assert {skipped[name] for name in off} == {"module switched off"}
    for name in {*NAMES} - off:
        assert read(duck, name)
    asked = (len(BY_PERIOD) - len(off)) * 3 + len(OF_THE_DAY)
    assert requests_of(sandbox) == asked + len(off)  # which Harvest refuses


def test_narrow_token(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A report beside everything else does not turn all other tables into named ones.

    What a member may not read is left out as ever, and not an error as with a table by name.
    """
    member = sandbox.users[sandbox.member_token]
    anchor = months_ago(sandbox, 4)
    everything = source(api_key=sandbox.member_token, anchor_date=str(anchor))
    everything.resources["report_time_team"].selected = True
    duck.run(everything)
    skipped = duck.state["sources"]["harvest"]["accounts"][str(sandbox.account_id)]["last_run"]
    names = {endpoint.name for endpoint in ALWAYS}
    assert skipped["skipped"].keys() == names - {"time_entries", "expenses"}
    wanted = [{**row, "currency": "", "billable_amount": None} for row in history(
        sandbox, "report_time_team", anchor, user=member)]  # fmt: skip
    assert {row["user_id"] for row in wanted} == {member}
    assert_holds(duck, sandbox, "report_time_team", wanted)


def test_all_reports_by_a_member(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """With the setting a report that the token may not read is left out; by name it is an error."""
    chosen = {"api_key": sandbox.member_token, "anchor_date": str(today(sandbox))}
    duck.run(source(reports=True, **chosen))
    assert last_run(duck).skipped["report_uninvoiced"] == "not allowed for this token"
    assert read(duck, "report_time_team")
    said = failure(duck, source(**chosen).with_resources("report_uninvoiced"))
    assert "`reports/uninvoiced`: Harvest answered 403" in str(said)


def test_narrower_token(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A token that sees less does not replace figures of all by its own, unless accepted."""
    anchor, name = months_ago(sandbox, 2), "report_time_team"
    member = {"anchor_date": str(anchor), "api_key": sandbox.member_token}
    duck.run(source(anchor_date=str(anchor)).with_resources(name))
    said = str(failure(duck, source(**member).with_resources(name)))
    assert f"`{name}`: the token may see less than the one" in said
    assert_holds(duck, sandbox, name, history(sandbox, name, anchor))
    duck.run(source(confirm_deletions=True, **member).with_resources(name))
    assert {row["user_id"] for row in read(duck, name)} == {sandbox.users[sandbox.member_token]}


def test_failing_report(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A report that fails stops none of the others, and the next run brings it."""
    anchor = months_ago(sandbox, 4)
    settings |= {"anchor_date": str(anchor), "sizes": Sizes(max_attempts=1)}
    names = ("report_time_team", "report_time_tasks")
    sandbox.fault("status", path="time/team", after=2, status=500)
    with pytest.raises(HarvestError, match="Not everything was loaded: `reports/time/team`"):
        load(duck, *names, **settings)
    assert_holds(duck, sandbox, names[1], history(sandbox, names[1], anchor))
    load(duck, *names, **settings)
    assert_holds(duck, sandbox, names[0], history(sandbox, names[0], anchor))


def test_several_pages(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A report of several pages is whole, though it changes while it is read."""
    sandbox.page_cap, name = 2, "report_time_projects"
    anchor = months_ago(sandbox, 2)
    deleted: list[int] = []

    def change(_: int, request: Any) -> None:
        if request.params.get("page") == "2" and not deleted:
            project = reported(sandbox, name, anchor, today(sandbox))[0]["project_id"]
            deleted.append(project)
            sandbox.account.delete("projects", project)

    sandbox.before_request = change
    duck.run(source(anchor_date=str(anchor)).with_resources(name))
    assert deleted
    assert_holds(duck, sandbox, name, history(sandbox, name, anchor))


def test_empty_account(source: Make, duck: Pipeline) -> None:
    """Of an account without work all is read, years at once, and the tables are there."""
    with Sandbox("empty", rate_limit=None, reports_limit=None) as empty:
        duck.run(source(base_url=empty.base_url, anchor_date="all").with_resources(*NAMES))
        for name in NAMES:
            assert read(duck, name) == []
            there = duck.default_schema.tables[name]["columns"]
            assert BY_NAME[name].columns.schema().keys() <= there.keys()
        years = today(empty).year - 2000 + 1
        assert requests_of(empty, "report_time_team") <= years + PROBE_FROM
        empty.log.clear()
        again = ("report_time_team", "report_uninvoiced")
        duck.run(source(base_url=empty.base_url, anchor_date="all").with_resources(*again))
        assert requests_of(empty) == 4 + 1


def test_sparse_history(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Work that lies years apart is found, and few requests are made for the time between."""
    account, name = sandbox.account, "report_time_clients"
    for number, entry in enumerate(account.truth("time_entries")):
        day = ("2003-05-06", "2011-12-31", "2026-10-01")[number % 3]
        account.update("time_entries", entry["id"], spent_date=day)
    duck.run(source(anchor_date="all").with_resources(name))
    assert_holds(duck, sandbox, name, history(sandbox, name, date(2000, 1, 1)))
    assert requests_of(sandbox) < 80


def test_batches(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A long history comes in batches of so many requests, and nothing is asked for twice."""
    anchor = months_ago(sandbox, 6)
    settings |= {"anchor_date": str(anchor), "sizes": Sizes(report_requests=10)}
    said: list[str] = []
    names = ("report_time_team", "report_time_tasks", "report_uninvoiced")
    load(duck, *names, tell=said.append, **settings)
    assert requests_of(sandbox) == 7 * 2 + 2  # a snapshot in each batch
    assert len(said) == 1
    assert said[0].startswith("Left: some 5 requests, 1 min or more, for report_time_team, report")
    slowly = limiters(5)  # the setting `rate_limit`
    assert _what_is_left({"report_time_team": 33}, slowly).startswith(
        "Left: some 33 requests, 90 m"
    )
    assert _what_is_left({"time_entries": 50}, slowly).startswith("Left: some 50 requests, 2 min")
    for name in names[:2]:
        assert_holds(duck, sandbox, name, history(sandbox, name, anchor))


def test_interrupted(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """A first read that broke off goes on where it was; later what is new is read again."""
    anchor, name = months_ago(sandbox, 9), "report_time_team"
    settings |= {"anchor_date": str(anchor), "sizes": Sizes(report_requests=5, max_attempts=1)}
    sandbox.fault("status", path="time/team", after=7, status=500)
    with pytest.raises(HarvestError):
        load(duck, name, **settings)
    assert len({row["period_start"] for row in read(duck, name)}) == 7
    sandbox.log.clear()
    load(duck, name, **settings)
    assert requests_of(sandbox) == 10 - 5
    sandbox.log.clear()
    before = today(sandbox)
    sandbox.clock.shift(days=1)
    load(duck, name, **settings)
    assert requests_of(sandbox) == 4 + (today(sandbox).month != before.month)
    assert_holds(duck, sandbox, name, history(sandbox, name, anchor))


def test_reports_come_last(sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline) -> None:
    """In `load` all else is loaded before the first report is asked for; a full read waits too."""
    anchor, name = months_ago(sandbox, 5), "report_time_team"
    settings["anchor_date"] = str(anchor)
    loaded: list[bool] = []

    def before(_: int, request: Any) -> None:
        if "/reports/" in request.path:
            loaded.append(bool(read(duck, "clients")))

    sandbox.before_request = before
    load(duck, "clients", name, **settings)
    assert loaded == [True] * 6
    entry = moved(sandbox, "time_entries", 5)[0]
    sandbox.account.update("time_entries", entry, rounded_hours=Decimal(33))
    load(duck, "clients", name, full_read=True, **settings)
    assert_holds(duck, sandbox, name, history(sandbox, name, anchor))


def test_budget_is_apart(sandbox: Sandbox, source: Make, duck: Pipeline, told: list[str]) -> None:
    """While a report waits for Harvest, all other tables are read to their end."""
    headers = {"Retry-After": "5"}
    sandbox.fault("status", path="reports", status=429, headers=headers)
    tables = [endpoint.name for endpoint in ALWAYS]
    duck.run(
        source(anchor_date=str(months_ago(sandbox, 1))).with_resources("report_time_team", *tables)
    )
    reports = [request.at for request in sandbox.log if "/reports/" in request.path]
    others = [request.at for request in sandbox.log if "/reports/" not in request.path]
    assert reports[1] - reports[0] >= 5
    assert reports[0] < max(others) < reports[1]
    assert not told


def test_waits_are_told(sandbox: Sandbox, source: Make, duck: Pipeline, told: list[str]) -> None:
    """Before a run asks for more than it may in 15 minutes it says what that takes."""
    anchor = f"{today(sandbox).year - 9}-01-01"
    duck.run(source(anchor_date=anchor, rate_limit=50).with_resources("report_time_team"))
    months = (9 * 12) + today(sandbox).month
    (line,) = told
    assert line == (
        f"Reports take up to {months} requests, 30 min or more: 50 of them may be sent in 15 min. "
        "No other table waits for them."
    )


def test_other_length(
    sandbox: Sandbox, source: Make, settings: dict[str, Any], duck: Pipeline
) -> None:
    """Another length of periods is refused, since sums would count twice, until a refresh."""
    anchor, name = months_ago(sandbox, 2), "report_time_team"
    settings["anchor_date"] = str(anchor)
    duck.run(source(**settings).with_resources(name))
    before = read(duck, name)
    for pipeline, how in ((duck, {}), (second_pipeline(duck), {"full_read": True})):
        weekly = source(**settings, report_period="week", **how).with_resources(name)
        said = str(failure(pipeline, weekly))
        assert "`report_period` is 'week', but `report_time_team`" in said
    assert read(duck, name) == before
    load(duck, name, report_period="week", refresh=True, **settings)
    assert_holds(duck, sandbox, name, history(sandbox, name, anchor, "week"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"report_period": "year"}, "`report_period` is 'year': choose one of month, week, day."),
        ({"report_lookback": -1}, "`report_lookback` is -1: give the number of closed periods"),
    ],
)
def test_bad_settings(
    sandbox: Sandbox, settings: dict[str, Any], duck: Pipeline, changes: Any, said: str
) -> None:
    """A period that there is not, or would be longer than Harvest allows, is refused at once."""
    with pytest.raises(HarvestError, match=said[:40]):
        load(duck, "report_time_team", **changes, **settings)
    assert sandbox.log == []
    assert duck.default_schema_name is None


def test_unknown_report(tmp_path: Any) -> None:
    """A report that there is not ends in one line, with a near name, before anything is asked."""
    refused = run_script("report_time_client", home=tmp_path)
    assert refused.returncode == 2
    assert (
        "no such table: report_time_client; did you mean `report_time_clients`?" in refused.stderr
    )


def test_list(tmp_path: Any) -> None:
    """`--list` says what each report costs, apart from the tables that are always loaded."""
    lines = run_script("--list", home=tmp_path).stdout.splitlines()
    listed = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("report_")}
    assert listed.keys() == {*NAMES}
    assert listed["report_time_team"] == ["13,", "4"]
    assert listed["report_uninvoiced"] == ["1,", "1"]


def test_files(sandbox: Sandbox, source: Make, tmp_path: Any) -> None:
    """Where rows can only be appended, no mark of a replaced period is stored as a row."""
    place = dlt.destinations.filesystem(str(tmp_path / "files"))
    files = dlt.pipeline("files", destination=place, dataset_name="harvest_data")
    anchor, name = months_ago(sandbox, 2), "report_time_team"
    chosen = source(anchor_date=str(anchor)).with_resources(name)
    wanted = len(history(sandbox, name, anchor))
    for times in (1, 2):
        files.run(chosen)
        assert files.dataset()[name].fetchall().__len__() == wanted * times


def test_two_accounts(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Periods of one account are replaced without those of another."""
    other, name, anchor = sandbox.add_account(), "report_time_team", months_ago(sandbox, 2)
    both = {
        "api_key": sandbox.shared_token,
        "account_id": [sandbox.account_id, other.account_id],
        "anchor_date": str(anchor),
    }
    duck.run(source(**both).with_resources(name))
    for entry in moved(sandbox, "time_entries", 1):
        sandbox.account.delete("time_entries", entry)
    duck.run(source(**both, only_account=sandbox.account_id).with_resources(name))
    rows = read(duck, name)
    held = {i: [row for row in rows if row["_account_id"] == i] for i in sandbox.hosted}
    for account, hosted in sandbox.hosted.items():
        wanted = [
            {**row, "period_start": window.first}
            for window in periods("month", anchor, today(sandbox))
            for row in results(BY_NAME[name].path, Reader(hosted.account, None), window.filters)
        ]
        keys = {key_of(name, row): row["total_hours"] for row in held[account]}
        assert keys == {key_of(name, row): row["total_hours"] for row in wanted}
