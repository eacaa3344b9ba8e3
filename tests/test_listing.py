"""No row is missed, however Harvest pages a list and whatever changes while it is read."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from dlt import Pipeline

from harvest.api.client import HarvestClient
from harvest.catalog import BY_NAME
from harvest.errors import MalformedAnswerError
from harvest.extract.focus import Focus
from harvest.extract.listing import Listing
from harvest.extract.plan import Read
from harvest.extract.windows import Window
from harvest.settings import Sizes
from harvest_sandbox import Sandbox

from .running import Make
from .truth import assert_equal, read

Edit = Callable[[Sandbox, str], None]

ENTRIES = BY_NAME["time_entries"]

DATES = {"time_entries": "spent_date", "invoices": "issue_date", "estimates": "issue_date"}


def delete_first(sandbox: Sandbox, table: str) -> None:
    """Delete the record at the top: all others move up by one."""
    sandbox.account.delete(table, sandbox.account.rows(table)[0]["id"])


def insert_first(sandbox: Sandbox, table: str) -> None:
    """Create a record that comes before all others."""
    add(sandbox, table, "2099-01-01")


def delete_and_insert_last(sandbox: Sandbox, table: str) -> None:
    """Delete at the top and create at the bottom: the count stays the same."""
    delete_first(sandbox, table)
    add(sandbox, table, "2001-01-01")


def move_last_to_top(sandbox: Sandbox, table: str) -> None:
    """Give the last record the newest date: it moves to a part that was read already."""
    move(sandbox, table, -1, "2099-01-01")


def move_first_to_end(sandbox: Sandbox, table: str) -> None:
    """Give the first record the oldest date: all others move up by one."""
    move(sandbox, table, 0, "2001-01-01")


def add(sandbox: Sandbox, table: str, day: str) -> None:
    """Create a record like the first one, with this date where it has one."""
    model = sandbox.account.rows(table)[0]
    fields = {k: v for k, v in model.items() if k not in ("id", "created_at", "updated_at")}
    if table in DATES:
        fields[DATES[table]] = day
    sandbox.account.add(table, fields)


def move(sandbox: Sandbox, table: str, place: int, day: str) -> None:
    """Give a record another date, or another name where its list has none."""
    record = sandbox.account.rows(table)[place]
    fields: dict[str, Any] = {DATES[table]: day} if table in DATES else {"name": "moved"}
    sandbox.account.update(table, record["id"], **fields)


def at_page(sandbox: Sandbox, table: str, number: int, edit: Edit) -> None:
    """Let an edit happen just before a table's page is answered."""
    asked = 0

    def before(_: int, request: Any) -> None:
        nonlocal asked
        if request.path == f"/v2/{table}":
            asked += 1
            if asked == number:
                edit(sandbox, table)

    sandbox.before_request = before


@pytest.mark.parametrize(
    "edit",
    [delete_first, insert_first, delete_and_insert_last, move_last_to_top, move_first_to_end],
)
@pytest.mark.parametrize("page", [2, 3, 4])
@pytest.mark.parametrize("style", ["page", "cursor"])
@pytest.mark.parametrize("table", ["time_entries", "invoices", "estimates", "clients"])
def test_change_between_pages(
    sandbox: Sandbox, client: HarvestClient, table: str, style: str, page: int, edit: Edit
) -> None:
    """Every record that was there all along is found, whatever changes between two pages."""
    count = len(sandbox.account.records[table])
    sandbox.styles, sandbox.page_cap = style, max(2, count // 4)
    there = set(sandbox.account.records[table])
    at_page(sandbox, table, page, edit)
    listing = Listing(client, BY_NAME[table], Sizes())
    found = {record["id"] for records in listing.read() for record in records}
    assert found >= there & sandbox.account.records[table].keys()
    assert found == {*listing.ids}


def scatter(sandbox: Sandbox) -> None:
    """Add lone old and future days."""
    for day in ("1999-01-01", "2005-06-01", "2099-12-31"):
        add(sandbox, "time_entries", day)


@pytest.mark.parametrize("cap", [1, 7, 2000])
@pytest.mark.parametrize("style", ["page", "cursor"])
def test_windows(
    sandbox: Sandbox,
    client: HarvestClient,
    style: str,
    cap: int,
) -> None:
    """A long list read in windows is whole: open ends, lone old days and future days included."""
    scatter(sandbox)
    sandbox.styles, sandbox.page_cap = style, cap
    listing = Listing(client, ENTRIES, Sizes(parallel_windows=8, window_records=8))
    found = [record["id"] for records in listing.read() for record in records]
    assert set(found) == sandbox.account.records["time_entries"].keys()


@pytest.mark.parametrize("cap", [7, 2000])
@pytest.mark.parametrize("style", ["page", "cursor"])
def test_in_parts(
    sandbox: Sandbox,
    client: HarvestClient,
    style: str,
    cap: int,
) -> None:
    """A list that is left when its batch is full lacks nothing down to the day it ends at."""
    scatter(sandbox)
    sandbox.styles, sandbox.page_cap = style, cap
    rest, parts = None, 0
    found: set[int] = set()
    while rest or not parts:
        sizes, read_to = (
            Sizes(parallel_windows=2, window_records=8),
            Read(until=rest, batch_size=20),
        )
        listing = Listing(client, ENTRIES, sizes, read=read_to)
        records = [record for page in listing.read() for record in page]
        known, rest = rest, listing.left_at
        within = {
            record["id"]
            for record in sandbox.account.truth("time_entries")
            if (not known or record["spent_date"] <= str(known))
            and (not rest or record["spent_date"] > str(rest))
        }
        assert within <= {record["id"] for record in records}
        found.update(record["id"] for record in records)
        parts += 1
    assert found == sandbox.account.records["time_entries"].keys()
    assert (parts > 1) == (cap == 7)


def mix_days(sandbox: Sandbox) -> list[int]:
    """Let days be in no order where the list comes by ids, and return these."""
    sandbox.styles, sandbox.page_cap = "cursor", 7
    ids = sorted(sandbox.account.records["time_entries"])
    for place, record_id in enumerate(ids):
        day = date(2025, 1, 1) + timedelta(days=place * 37 % 300)
        sandbox.account.update("time_entries", record_id, touch=False, spent_date=day.isoformat())
    return ids


@pytest.mark.parametrize("stray", [None, "2062-03-04", date.max.isoformat()])
def test_any_order(sandbox: Sandbox, client: HarvestClient, stray: str | None) -> None:
    """A list that comes in no order of days is shared by windows too, so it takes no longer.

    Nor does it if a date is far in the future, by a mistake.
    """
    ids = mix_days(sandbox)
    if stray:
        sandbox.account.update("time_entries", ids[-3], spent_date=stray)
    sizes = Sizes(parallel_windows=4, window_records=21)
    found = {r["id"] for records in Listing(client, ENTRIES, sizes).read() for r in records}
    assert found == set(ids)
    spans = Counter(request.params.get("from", "") for request in sandbox.log)
    assert len(spans) >= 4
    assert max(spans.values()) <= len(ids) // 7 // 2


def test_late_split(sandbox: Sandbox, client: HarvestClient) -> None:
    """A window that splits late does not end a batch at its newest days."""
    ids = mix_days(sandbox)
    for record_id in ids[::2]:  # The newest window holds more than was to be expected.
        day = date(2025, 10, 20) + timedelta(days=record_id % 8)
        sandbox.account.update("time_entries", record_id, touch=False, spent_date=day.isoformat())

    def wait(_: int, request: Any) -> None:
        if "from" in request.params and "to" not in request.params:
            time.sleep(0.1)

    sandbox.before_request = wait
    sizes = Sizes(parallel_windows=8, window_records=7)
    listing = Listing(client, ENTRIES, sizes, read=Read(batch_size=60))
    for _ in listing.read():
        pass
    assert listing.left_at
    newer = sum(r["spent_date"] > str(listing.left_at) for r in sandbox.account.truth(ENTRIES.name))
    assert newer >= 60


def test_shares() -> None:
    """Windows share all days, each day once, down to a begin that may be near or the first day."""
    top = date(2026, 6, 30)
    for begin, count in ((date(2020, 1, 1), 11), (date(2026, 6, 1), 3), (None, 11)):
        span = Window(begin, date(2026, 12, 31))
        windows = span.split(top, 10, 10)
        assert (windows[0].last, windows[-1].first) == (span.last, span.first)
        for newer, older in itertools.pairwise(windows):
            assert newer.first
            assert older.last == newer.first - timedelta(days=1)
        assert len(windows) == count
    for window in Window(None, None).split(date(2000, 1, 9), 5, 10):
        assert (window.first or date.min) <= (window.last or date.max)


def test_one_crowded_day(sandbox: Sandbox, client: HarvestClient) -> None:
    """A day with more records than a page is read whole, and what lies before it too."""
    day = (date.today() - timedelta(days=400)).isoformat()  # noqa: DTZ011 - any day
    for _ in range(30):
        add(sandbox, "time_entries", day)
    sandbox.page_cap = 7
    listing = Listing(client, ENTRIES, Sizes())
    found = {record["id"] for records in listing.read() for record in records}
    assert found == sandbox.account.records["time_entries"].keys()


def spread(sandbox: Sandbox, a_day: int) -> None:
    """Give time entries days of so many entries each, long ago."""
    for place, record in enumerate(sandbox.account.rows("time_entries")):
        day = (date(2025, 1, 1) + timedelta(days=place // a_day)).isoformat()
        sandbox.account.update("time_entries", record["id"], touch=False, spent_date=day)
    sandbox.clock.shift(minutes=10)


def insert_last(sandbox: Sandbox, table: str) -> None:
    """Create a record that comes after all others."""
    add(sandbox, table, "2001-01-01")


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("edit", [None, insert_last, delete_first])
@pytest.mark.parametrize("unsteady", [0.1, 1])
def test_unsteady_days(
    sandbox: Sandbox, client: HarvestClient, unsteady: float, edit: Edit | None, *, counted: bool
) -> None:
    """Records that change places within their day are found, also where the count stays right."""
    spread(sandbox, 8)
    sandbox.unsteady, sandbox.page_cap, sandbox.styles = unsteady, 44, "page"
    sandbox.without_total_entries = [] if counted else ["time_entries"]
    for _ in range(20):
        there = {*sandbox.account.records["time_entries"]}
        sandbox.before_request = None
        if edit:
            at_page(sandbox, "time_entries", 5, edit)
        listing = Listing(client, ENTRIES, Sizes())
        found = {record["id"] for records in listing.read() for record in records}
        assert found >= there & sandbox.account.records["time_entries"].keys()


def test_unsteady_day_beside_a_delete(sandbox: Sandbox, client: HarvestClient) -> None:
    """A record that changes places with one of its day is found, though the count fell too."""
    sandbox.page_cap, sandbox.styles = 40, "page"
    for place, record in enumerate(sandbox.account.rows("time_entries")):
        day = date(2025, 6, 1) - timedelta(days=place // 50)
        sandbox.account.update(
            "time_entries", record["id"], touch=False, spent_date=day.isoformat()
        )
    rows = [*sandbox.account.rows("time_entries")]
    last, slipping = rows[39], rows[40]
    at_page(sandbox, "time_entries", 3, delete_first)

    def swap(body: dict[str, Any]) -> None:
        assert body["time_entries"][0]["id"] == slipping["id"]
        body["time_entries"][0] = {**last}

    sandbox.fault("mutate", path="time_entries", after=2, change=swap)
    found = {r["id"] for records in Listing(client, ENTRIES, Sizes()).read() for r in records}
    assert found >= sandbox.account.records["time_entries"].keys()


def test_first_of_all_days(sandbox: Sandbox, client: HarvestClient) -> None:
    """A crowded day before which there is no other ends a list."""
    for _ in range(3):
        add(sandbox, "time_entries", date.min.isoformat())
    sandbox.page_cap, sandbox.styles, sandbox.without_total_entries = 2, "page", ["time_entries"]
    listing = Listing(client, ENTRIES, Sizes())
    found = {record["id"] for records in listing.read() for record in records}
    assert found == sandbox.account.records["time_entries"].keys()


@pytest.mark.parametrize(("number", "edit"), [(0, None), (3, delete_first), (4, insert_first)])
def test_numbered_requests(
    sandbox: Sandbox, client: HarvestClient, number: int, edit: Edit | None
) -> None:
    """Pages are asked for by number, with hardly a record twice, until a record moves."""
    sandbox.page_cap, sandbox.styles = 50, "page"
    count = len(sandbox.account.records["time_entries"])
    if edit:
        at_page(sandbox, "time_entries", number, edit)
    for _ in Listing(client, ENTRIES, Sizes()).read():
        pass
    by_number = [request for request in sandbox.log if "page" in request.params]
    if edit:  # The first number that is asked for after it shows that all moved.
        assert len(by_number) == number - 2
    else:
        read = sandbox.page_cap + sum(request.records for request in by_number)
        assert count < read < 1.05 * count


def test_small_pages(sandbox: Sandbox, client: HarvestClient) -> None:
    """Where Harvest gives small pages only, the end of each is little of the next one."""
    sandbox.page_cap, sandbox.styles = 15, "page"
    count = len(sandbox.account.records["time_entries"])
    for _ in Listing(client, ENTRIES, Sizes()).read():
        pass
    assert sum(request.records for request in sandbox.log) < 1.3 * count


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_planned(sandbox: Sandbox, client: HarvestClient, style: str) -> None:
    """A few entries far ahead leave the windows as long as they were."""
    spread(sandbox, 1)
    for month in (1, 7):
        add(sandbox, "time_entries", f"2031-{month:02}-01")
    sandbox.page_cap, sandbox.styles = 10, style
    sizes = Sizes(parallel_windows=2, window_records=20)
    found = [r["id"] for page in Listing(client, ENTRIES, sizes).read() for r in page]
    assert sorted(found) == sorted(sandbox.account.records["time_entries"])
    first_days = Counter(request.params.get("from", "") for request in sandbox.log)
    assert max(first_days.values()) <= 8
    assert all(day > "2000" for day in first_days if day)


def test_batch_of_lists(sandbox: Sandbox, client: HarvestClient) -> None:
    """A batch of several lists reads the newest of each, and leaves the rest."""
    sandbox.page_cap, sandbox.styles = 5, "cursor"
    counts = Counter(entry["project"]["id"] for entry in sandbox.account.rows("time_entries"))
    focus = Focus({"projects": [project for project, _ in counts.most_common(3)]})
    sizes = Sizes(parallel_windows=2, window_records=5)
    listing = Listing(client, ENTRIES, sizes, read=Read(batch_size=10), focus=focus)
    found = [record for page in listing.read() for record in page]
    assert listing.left_at
    assert {record["project"]["id"] for record in found} == {*focus.ids["projects"]}
    rest = Listing(
        client, ENTRIES, sizes, read=Read(until=listing.left_at, batch_size=1_000), focus=focus
    )
    found += [record for page in rest.read() for record in page]
    wanted = sum(counts[project] for project in focus.ids["projects"])
    assert len({record["id"] for record in found}) == wanted


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_days_ignored(sandbox: Sandbox, client: HarvestClient, told: list[str], style: str) -> None:
    """A list whose days Harvest does not heed is followed by its links, crowded days or not."""
    spread(sandbox, 60)
    sandbox.page_cap, sandbox.styles, sandbox.ignored_filters = 20, style, ["from", "to"]
    count = len(sandbox.account.records["time_entries"])
    sizes = Sizes(parallel_windows=2, window_records=10)
    found = [r["id"] for page in Listing(client, ENTRIES, sizes).read() for r in page]
    assert sorted(found) == sorted(sandbox.account.records["time_entries"])
    assert len(sandbox.log) < 2 * count / 20 + 5
    assert any("do not choose their own days" in line for line in told)


def test_order_other_than_documented(sandbox: Sandbox, client: HarvestClient) -> None:
    """A list that does not come newest first is followed by its links instead."""
    sandbox.page_cap = 40

    def shuffle(body: dict[str, Any]) -> None:
        body["time_entries"].reverse()

    sandbox.fault("mutate", path="time_entries", times=-1, change=shuffle)
    listing = Listing(client, ENTRIES, Sizes())
    found = {record["id"] for records in listing.read() for record in records}
    assert found == sandbox.account.records["time_entries"].keys()


def test_links_end_early(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A list that ends before all were given is an error, not a shorter list."""
    sandbox.page_cap, sandbox.styles = 3, "cursor"

    def end(body: dict[str, Any]) -> None:
        body["links"]["next"] = None

    sandbox.fault("mutate", path="clients", times=-1, change=end)
    with pytest.raises(Exception, match="`clients`: Harvest counts 8 records but lists 3"):
        duck.run(source().with_resources("clients"))


def test_cursors_turn_into_numbers(sandbox: Sandbox, client: HarvestClient) -> None:
    """A list that goes on by numbers behind a cursor lacks nothing, though records move up."""
    sandbox.page_cap, asked = 40, 0

    def turn(_: int, request: Any) -> None:
        nonlocal asked
        if "updated_since" not in request.params:
            asked += 1
            if asked == 3:  # A numbered page, and its end, behind the first one by a cursor.
                request.params.pop("cursor")
                request.params["page"], sandbox.styles = "2", "page"
            if asked == 4:
                delete_first(sandbox, "time_entries")

    sandbox.styles, sandbox.before_request = {"time_entries": "cursor"}, turn
    ids = sorted(sandbox.account.records["time_entries"], reverse=True)
    for place, record_id in enumerate(ids):  # By days they come in the order of cursors.
        day = date(2025, 6, 1) - timedelta(days=place)
        sandbox.account.update("time_entries", record_id, touch=False, spent_date=day.isoformat())
    found = {r["id"] for records in Listing(client, ENTRIES, Sizes()).read() for r in records}
    assert found >= sandbox.account.records["time_entries"].keys()


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_links_lead_back(sandbox: Sandbox, client: HarvestClient, style: str) -> None:
    """A list whose links lead back to its begin is an error, not a run without an end."""
    sandbox.page_cap, sandbox.styles = 3, style
    links: list[str] = []

    def lead_back(body: dict[str, Any]) -> None:
        links.append(body["links"]["next"])
        body["links"]["next"] = links[0]

    sandbox.fault("mutate", path="clients", times=9, change=lead_back)
    with pytest.raises(MalformedAnswerError, match="leads back to an earlier one"):
        [*Listing(client, BY_NAME["clients"], Sizes()).read()]
    assert len(links) == 2


def test_keeps_changing(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A numbered list that changes each time it is read is an error, and loads nothing."""
    sandbox.page_cap, sandbox.styles = 3, "page"

    def edit(_: int, request: Any) -> None:
        if request.params.get("page") == "2":
            add(sandbox, "clients", "")

    sandbox.before_request = edit
    with pytest.raises(Exception, match="run again when fewer changes are made"):
        duck.run(source().with_resources("clients"))
    sandbox.before_request = None
    duck.run(source().with_resources("clients"))
    assert_equal(duck, sandbox, "clients")


@pytest.mark.parametrize("hours", [-5, 5])
@pytest.mark.parametrize("table", ["time_entries", "clients", "estimates"])
def test_change_while_reading(
    sandbox: Sandbox, source: Make, duck: Pipeline, table: str, hours: int
) -> None:
    """A change to a page already read comes with the next run, whatever Harvest's clock says."""
    sandbox.clock.shift(hours=hours)
    sandbox.styles, sandbox.page_cap = "cursor", max(2, len(sandbox.account.records[table]) // 3)
    newest, *_, oldest = sorted(sandbox.account.records[table], reverse=True)

    def edit(sandbox: Sandbox, table: str) -> None:
        sandbox.account.update(table, newest, notes="first page, changed")
        sandbox.clock.shift(minutes=10)
        sandbox.account.update(table, oldest, notes="last page, newer stamp")

    at_page(sandbox, table, 2, edit)
    duck.run(source().with_resources(table))
    assert len(read(duck, table)) == len(sandbox.account.records[table])
    sandbox.before_request = None
    sandbox.account.update(table, newest, notes="changed again")
    duck.run(source().with_resources(table))
    assert_equal(duck, sandbox, table)


@pytest.mark.parametrize("table", ["time_entries", "clients"])
def test_late_commit(sandbox: Sandbox, source: Make, duck: Pipeline, table: str) -> None:
    """A change that was made while a run read, and showed only after it, comes with the next."""
    sandbox.page_cap = max(2, len(sandbox.account.records[table]) // 3)
    newest, *_, oldest = sorted(sandbox.account.records[table], reverse=True)
    began = sandbox.clock.stamp()

    def edit(sandbox: Sandbox, table: str) -> None:
        sandbox.clock.shift(minutes=10)
        sandbox.account.update(table, oldest, notes="a newer stamp, seen")

    at_page(sandbox, table, 2, edit)
    duck.run(source().with_resources(table))
    sandbox.before_request = None
    sandbox.account.update(table, newest, touch=False, notes="late", updated_at=began)
    duck.run(source().with_resources(table))
    assert_equal(duck, sandbox, table)
