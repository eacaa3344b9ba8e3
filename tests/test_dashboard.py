"""The dashboard is in nobody's way, tells names apart, and gives figures away exactly."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import altair as alt
import dlt
import duckdb
import pytest
from dlt import Pipeline
from openpyxl import load_workbook

from harvest.dashboard import demand, export, has_metrics, serve
from harvest.dashboard.drawing import as_csv, as_excel, charts, words
from harvest.dashboard.page import PERIODS, Page, days_of
from harvest.dashboard.questions import (
    AMOUNT,
    HOURS,
    QUESTIONS,
    SCREENS,
    SHARE,
    Bars,
    Burns,
    Months,
    Question,
    Weeks,
)
from harvest.dashboard.reading import CHOSEN_BY, Choice, Look, label
from harvest.dashboard.serving import application
from harvest.errors import (
    MissingDashboardError,
    NoMetricsError,
    OtherDatabaseError,
    OtherMetricsError,
    PortTakenError,
    UnreadableWarehouseError,
    UnwritableFileError,
    WarehouseBusyError,
)
from harvest.run import load
from harvest_sandbox import Sandbox

from .running import ROOT, be_at, run_script
from .truth import Row

METRICS = """
CREATE SCHEMA harvest_data_metrics;
CREATE TABLE harvest_data_metrics.accounts AS SELECT 7 AS _account_id,
  'Zoë & <b>Søn</b>' AS company_name, 'EUR' AS currency, DATE '2025-03-01' AS history_from,
  cast(NULL AS text) AS limited_to, DATE '2026-02-15' AS today
"""
WRITER = """
import duckdb, sys
with duckdb.connect(sys.argv[1]) as database:
    database.execute("CREATE TABLE IF NOT EXISTS written (a int)")
    print("open", flush=True)
    sys.stdin.read()
"""


def pipeline_in(home: Path) -> Pipeline:
    """Return the pipeline of a folder."""
    destination = dlt.destinations.duckdb(str(home / "warehouse.duckdb"))
    return dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")


@pytest.fixture
def duck(tmp_path: Path) -> Pipeline:
    """Make a pipeline into a DuckDB that, other than in other tests, nothing holds open."""
    return pipeline_in(tmp_path)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Load a table, and make metrics of the one kind that each page has: accounts."""
    home = tmp_path_factory.mktemp("loaded")
    with pytest.MonkeyPatch.context() as patch, Sandbox("tiny", rate_limit=None) as sandbox:
        be_at(home, patch)
        load(pipeline_in(home), "company", api_key=sandbox.token,
             account_id=str(sandbox.account_id), base_url=sandbox.base_url,
             tell=lambda _: None)  # fmt: skip
    with duckdb.connect(str(home / "warehouse.duckdb")) as database:
        database.execute(METRICS)
    return home


@pytest.fixture
def warehouse(loaded: Path, tmp_path: Path) -> Pipeline:
    """Copy what was loaded, database and pipeline."""
    shutil.copytree(loaded, tmp_path, dirs_exist_ok=True)
    return pipeline_in(tmp_path)


@contextmanager
def writer(file: Path) -> Iterator[None]:
    """Let another process have a DuckDB file open to write."""
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-c", WRITER, str(file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    line = process.stdout.readline()
    try:
        assert line == "open\n", process.communicate()
        yield
    finally:
        process.communicate()


def test_in_nobodys_way(warehouse: Pipeline, tmp_path: Path) -> None:
    """While the page reads, another process may write; what it read before is shown meanwhile."""
    file, look = tmp_path / "warehouse.duckdb", Look(warehouse)
    with look.open() as reading, writer(file):
        assert reading.options().accounts
        with look.open() as another:
            assert another.options().accounts
    look.close()


def test_busy(duck: Pipeline, tmp_path: Path) -> None:
    """A file that was never read can't be while another process writes it; it can afterwards."""
    with duckdb.connect("warehouse.duckdb") as database:
        database.execute("CREATE SCHEMA harvest_data;" + METRICS)
    look = Look(duck)
    with writer(tmp_path / "warehouse.duckdb"), pytest.raises(WarehouseBusyError), look.open():
        pass
    with look.open() as reading:
        assert reading.options().accounts


def test_fresh(warehouse: Pipeline) -> None:
    """The page shows what was loaded since it was opened, and what the last run did."""
    look = Look(warehouse)
    with look.open() as reading:
        assert reading.options().today == date(2026, 2, 15)
    with warehouse.sql_client() as client:
        client.execute_sql("UPDATE harvest_data_metrics.accounts SET today = DATE '2026-02-16'")
    page = Page(look)
    options = page.options()
    assert options.today == date(2026, 2, 16)
    shown = page.screen(SCREENS[3], Choice(), options, str, lambda *_: "")
    assert "<td>company</td>" in shown
    assert '<td class="number">1</td>' in shown  # the one row that was written


def test_old_copies_go(warehouse: Pipeline) -> None:
    """Of a file that changes there is one copy, and another only while something reads it."""
    look = Look(warehouse)
    copies = Path(look._copies.name)  # noqa: SLF001 - nothing else shows them
    with look.open() as reading:
        for n in range(3):
            with warehouse.sql_client() as client:
                client.execute_sql(f"CREATE TABLE another_{n} (a int)")
            with look.open() as another:
                assert another.options().accounts
        assert reading.options().accounts
        assert len(list(copies.iterdir())) == 2
    assert len(list(copies.iterdir())) == 1
    with look.open() as reading:
        assert reading.options().accounts
    look.close()


def test_names_are_text(warehouse: Pipeline) -> None:
    """A name is never taken for HTML, on the page and in the file to send."""
    export(warehouse, "page.html", tell=lambda _: None)
    sent = Path("page.html").read_text(encoding="utf-8")
    assert "Zoë &amp; &lt;b&gt;Søn" in sent
    assert "<b>Søn" not in sent
    assert not any(address in sent for address in ('src="http', 'href="http', "@import"))


def test_not_whole(warehouse: Pipeline) -> None:
    """Where a period begins before history is whole, the page says so."""
    page = Page(Look(warehouse))
    options = page.options()
    told = {
        first: "in full from 1 March 2025" in page.screen(
            SCREENS[0], Choice(first), options, str, lambda *_: "")
        for first in (date(2025, 2, 1), date(2025, 3, 1))
    }  # fmt: skip
    assert told == {date(2025, 2, 1): True, date(2025, 3, 1): False}


OTHERS = """
INSERT INTO harvest_data_metrics.accounts BY NAME
  SELECT 8 AS _account_id, DATE '2025-07-01' AS history_from, 'project 5' AS limited_to,
    DATE '2026-02-15' AS today;
INSERT INTO harvest_data_metrics.accounts BY NAME
  SELECT 9 AS _account_id, DATE '2026-02-15' AS today
"""


def test_several_accounts(warehouse: Pipeline) -> None:
    """What the page says of history and limits is said of the accounts that are shown."""
    with warehouse.sql_client() as client:
        client.execute_sql(OTHERS)
    page = Page(Look(warehouse))
    options = page.options()
    told = {}
    for account in (None, 7, 8, 9):
        choice = Choice(date(2025, 1, 1), account=account)
        people, *_, health = (
            page.screen(name, choice, options, str, lambda *_: "") for name in SCREENS
        )
        told[account] = (
            re.findall("in full from (.*?) on", people), re.findall("limited to (.*?):", people),
            re.findall("whole from</dt><dd>(.*?) ", health),
        )  # fmt: skip
    assert told == {
        None: (["1 July 2025"], ["project 5 in account 8"], ["not"]),
        7: (["1 March 2025"], [], ["2025-03-01"]),
        8: (["1 July 2025"], ["project 5 in account 8"], ["2025-07-01"]),
        9: ([], [], ["not"]),
    }
    by_client = page.screen(SCREENS[0], Choice(client=(7, 1)), options, str, lambda *_: "")
    assert "limited to" not in by_client


READ = """
INSERT INTO harvest_data._freshness BY NAME SELECT 7 AS _account_id, now() AS read_at,
  unnest(['projects', 'time_entries', 'expenses', 'invoices']) AS table_name, table_name AS _dlt_id,
  '1' AS _dlt_load_id
"""
"""The account's tables were read."""
PROFIT = """
CREATE TABLE harvest_data_metrics.profit_time_and_materials AS SELECT 7 AS _account_id, *,
  5 AS client_id, 'Ann' AS client_name, project_id::text AS project_name, 8.0 AS hours,
  8.0 AS billable_hours, 90.0 AS revenue, 0.0 AS expenses, 40.0 AS cost, 'EUR' AS profit_currency,
  0.0 AS hours_without_rate, 0.0 AS hours_without_cost_rate, true AS is_whole
FROM (VALUES (1, DATE '2026-01-01', 'EUR', 50.0), (2, DATE '2026-01-01', 'USD', NULL),
  (2, DATE '2026-02-01', 'USD', NULL)) AS months (project_id, month, currency, profit);
CREATE TABLE harvest_data_metrics.profit_fixed_fee AS
  SELECT *, 1.0 AS fee, 1.0 AS invoiced, month AS starts_on, month AS ends_on
  FROM harvest_data_metrics.profit_time_and_materials WHERE false;
"""


def test_left_out(warehouse: Pipeline) -> None:
    """Where profit lacks projects, its figure says how many, and the answer why."""
    with warehouse.sql_client() as client:
        client.execute_sql(READ)
        client.execute_sql(PROFIT)
    page = Page(Look(warehouse))
    shown = page.screen(SCREENS[2], Choice(), page.options(), str, lambda *_: "")
    assert "50.00 <small>EUR</small></dd><dd><small>without 1 project</small>" in shown
    assert "2 months of projects have no profit, since an exchange rate" in shown
    assert "missing (USD)" in shown


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        (date(2026, 1, 1), None, ""),
        (date(2026, 1, 1), date(2026, 2, 28), ""),
        (date(2026, 1, 9), None, "Months count whole: from January 2026 on."),
        (date(2026, 1, 1), date(2026, 2, 9),
         "Months count whole: from January 2026 to February 2026."),
        (None, None, ""),
    ],
)  # fmt: skip
def test_cut_spans(warehouse: Pipeline, first: date | None, last: date | None, months: str) -> None:
    """Where a period cuts weeks or months, the page says which it counts."""
    page, choice = Page(Look(warehouse)), Choice(first, last)
    options = page.options()
    people, _, money, health = (
        page.screen(screen, choice, options, str, lambda *_: "") for screen in SCREENS
    )
    assert ("Weeks that the period cuts count whole." in people) is bool(first)
    assert ("Months count whole" in money) is bool(months)
    assert months in money
    assert "count whole" not in health


def test_reaches_back(warehouse: Pipeline) -> None:
    """What is open counts from its beginning, so its screen says what was not loaded."""
    page, choice = Page(Look(warehouse)), Choice(date(2026, 1, 1))
    options = page.options()
    told = [
        "in full from 1 March 2025" in page.screen(screen, choice, options, str, lambda *_: "")
        for screen in SCREENS
    ]
    assert told == [False, True, True, False]


def drawn(parts: tuple[str, ...], rows: list[Row]) -> tuple[dict[str, Any], str]:
    """Return the bars of a chart of hours, and what it says that it leaves out."""
    bars = Bars("name", "hours", HOURS, parts=parts)
    (one,) = charts(Question(SCREENS[0], "", "", {}, bars), rows)
    alt.Chart.from_dict(one.spec)  # which checks it
    made = one.spec
    bars_alone: dict[str, Any] = made["layer"][0]
    return {**bars_alone, "values": made["datasets"][bars_alone["data"]["name"]]}, one.left_out


def test_room() -> None:
    """A chart that has no room for all says so."""
    rows = [{"name": f"Ann {n}", "a": n} for n in range(40)]
    assert drawn(("a",), rows)[1] == "The first 25 of 40; Figures holds all."
    assert drawn(("a",), rows[:25])[1] == ""


def test_below_zero() -> None:
    """Hours that were taken back are drawn, below zero, and do not shorten the others."""
    bars, _ = drawn(("a", "b"), [{"name": "Ann", "a": 8, "b": -2}, {"name": "Bo", "a": 6, "b": 1}])
    assert bars["encoding"]["x"]["scale"]["domain"] == [-2, 8]


DAYS = [
    {"project": name, "day": date(2026, 2, day), "used": Decimal(used), "spent": 1, "budget": 2,
     "unit": "hours", "runs_out_on": end}
    for name, used, end in (
        ("calm", "0.5", date(2026, 5, 1)), ("over", "1.2", None), ("so", "0.9", date(2026, 2, 20)),
    )
    for day in (1, 2)
]  # fmt: skip


def test_trouble_stands_out() -> None:
    """Budgets that last are pale where others are used up, or soon will be; drawn below them."""
    question = Question(SCREENS[1], "", "", {}, Burns())
    (some,) = charts(question, DAYS)
    (calm,) = charts(question, [row for row in DAYS if row["project"] == "calm"])
    alt.Chart.from_dict(some.spec)
    assert [name for name, colour in some.legend if "transparent" in colour] == ["calm"]
    assert not [name for name, colour in calm.legend if "transparent" in colour]
    lines = some.spec["layer"][1]
    first = some.spec["datasets"][lines["data"]["name"]][0]
    assert first["name"] == "calm"


@pytest.mark.parametrize(
    ("chart", "places"), [(Months(value="amount", by="kind"), 6), (Weeks(), 13)]
)
def test_one_of_them(chart: Any, places: int) -> None:
    """The only month or week of an account has its usual width."""
    row = {"month": date(2026, 2, 1), "amount": 5, "kind": "a", "person": "Ann", "tracked": 2,
           "week_start": date(2026, 2, 2), "capacity": 35, "utilization": 0.06,
           "is_whole": True}  # fmt: skip
    (one,) = charts(Question(SCREENS[0], "", "", {}, chart), [row])
    alt.Chart.from_dict(one.spec)
    x = one.spec["encoding"]["x"]
    assert len(x["scale"]["domain"]) == places
    assert len(x["axis"]["values"]) == 1


def test_pale() -> None:
    """A bar that is known to lack records is pale."""
    row = {"name": "Ann", "a": 8}
    bars, _ = drawn(("a",), [{**row, "is_whole": False}, {**row, "is_whole": None}, row])
    assert [v["whole"] for v in bars["values"]] == [False, True, True]


def test_all_of_it() -> None:
    """A budget that is used up to the last cent stands out; who is as busy as can be does not."""
    budgets, busy = (
        next(q for q in QUESTIONS if q.title == title)
        for title in ("Which budgets are used up?", "Who is overbooked?")
    )
    row = {"project": "Ann", "person": "Ann", "role": "employee"}
    for question, value in ((budgets, "used"), (busy, "utilization")):
        (one,) = charts(question, [{**row, value: Decimal(1)}])
        bars = one.spec["datasets"][one.spec["layer"][0]["data"]["name"]]
        assert [bar["over"] for bar in bars] == [question is budgets]


def test_database_does_not_answer() -> None:
    """A database that can't be opened is one clear error, without its password."""
    nowhere = dlt.destinations.postgres("postgresql://reader:s3cret@127.0.0.1:1/nothing")
    pipeline = dlt.pipeline("harvest_test", destination=nowhere, dataset_name="harvest_data")
    with pytest.raises(UnreadableWarehouseError, match="can't be opened") as caught:
        export(pipeline, "page.html")
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_other_database(tmp_path: Path) -> None:
    """A database whose SQL is another is refused before anything is asked."""
    files = dlt.destinations.filesystem(str(tmp_path / "lake"))
    pipeline = dlt.pipeline("harvest_test", destination=files, dataset_name="harvest_data")
    with pytest.raises(OtherDatabaseError, match="reads DuckDB and Postgres, not filesystem"):
        serve(pipeline)


def test_no_such_folder(duck: Pipeline) -> None:
    """A page can't be written into a folder that is not there; that is said first."""
    with pytest.raises(UnwritableFileError, match="its folder is not there"):
        export(duck, "no/such/page.html")


def test_home(duck: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path from the user's home, which a shell leaves as it is in quotes, goes there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UnwritableFileError, match=f"{tmp_path}/no/page.html"):
        export(duck, "~/no/page.html")


def test_no_file(warehouse: Pipeline, tmp_path: Path) -> None:
    """A page can't be written where a folder is."""
    with pytest.raises(UnwritableFileError, match="Is a directory"):
        export(warehouse, tmp_path)


def test_nothing_to_show(duck: Pipeline, tmp_path: Path) -> None:
    """Without metrics, or what draws them, or a free port, one line says what to do."""
    assert not has_metrics(duck)
    with pytest.raises(NoMetricsError, match="load with --metrics"):
        serve(duck)
    done = run_script("--dashboard", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    done = run_script("--export", "page.html", home=tmp_path)
    assert done.returncode == 2


def test_other_metrics(warehouse: Pipeline) -> None:
    """Metrics of an older version are one clear error."""
    with warehouse.sql_client() as client:
        client.execute_sql(READ)
        client.execute_sql("CREATE TABLE harvest_data_metrics.approvals AS SELECT 7 AS _account_id")
    with pytest.raises(OtherMetricsError, match="build the metrics anew") as caught:
        export(warehouse, "page.html")
    assert "\n" not in str(caught.value)


def test_port_is_taken(warehouse: Pipeline) -> None:
    """Two pages can't be at one port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"Port {port} "):
            serve(warehouse, port=port)


@pytest.mark.parametrize(("host", "status"), [("localhost:2719", 200), ("example.com", 400)])
def test_other_hosts(host: str, status: int) -> None:
    """A web page whose name was made to lead to this machine gets nothing of the dashboard."""
    answers: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(answer: MutableMapping[str, Any]) -> None:
        answers.append(answer)

    asked = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/",
        "raw_path": b"/", "root_path": "", "query_string": b"", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2719), "headers": [(b"host", host.encode())],
    }  # fmt: skip

    async def ask() -> None:
        await application()(asked, receive, send)

    asyncio.run(ask())
    assert answers[0]["status"] == status


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named, with the command that installs it."""
    demand()
    monkeypatch.setitem(sys.modules, "marimo", None)
    with pytest.raises(MissingDashboardError, match=r"needs marimo: .*libraries.txt"):
        demand()


def test_names_apart() -> None:
    """Two people of one name are two, and so are two of one id in different accounts."""
    rows = [
        {"_account_id": account, "id": i, "name": name}
        for account, i, name in ((1, 5, "Ann"), (1, 6, "Ann"), (1, 7, "Bo"), (1, 8, None))
    ]
    labels = [row["label"] for row in label(rows, {})]
    assert labels == ["Ann (5)", "Ann (6)", "Bo", "without a name (8)"]
    twice = [{"_account_id": account, "id": 5, "name": "Ann"} for account in (1, 2)]
    other = {"_account_id": 1, "id": 6, "name": "Bo"}
    labels = [row["label"] for row in label([*twice, other], {1: "A", 2: "B"})]
    assert labels == ["Ann · A", "Ann · B", "Bo"]
    # "All" is the choice of all of them.
    assert [row["label"] for row in label([{**other, "name": "All"}], {})] == ["All (6)"]


ROWS = [
    {
        "name": "=1+1", "amount": Decimal("1234567890123.450000000"), "share": Decimal("0E-9"),
        "at": datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc), "day": date(2026, 1, 2),
        "none": None,
    }
]  # fmt: skip


def test_csv() -> None:
    """CSV holds numbers exactly, opens in Excel as UTF-8, and holds no formula."""
    told = as_csv(ROWS).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(told))
    assert row == {
        "name": "'=1+1", "amount": "1234567890123.45", "share": "0",
        "at": "2026-01-02T03:04:00+00:00", "day": "2026-01-02", "none": "",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum(1)", "\t=1", "\r=1"])
def test_csv_is_not_computed(name: str) -> None:
    """A name that a spreadsheet would compute stays text; a number below zero stays a number."""
    told = as_csv([{"name": name, "amount": Decimal(-1)}]).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(told, newline=""))
    assert row == {"name": f"'{name}", "amount": "-1"}


def test_excel() -> None:
    """Excel holds numbers and days as such, and takes no text for a formula."""
    sheet = load_workbook(io.BytesIO(as_excel(ROWS, "Who owes, and how late?"))).active
    assert sheet is not None
    header, row = sheet.iter_rows()
    assert [cell.value for cell in header] == list(ROWS[0])
    assert row[0].data_type == "s"
    assert [cell.value for cell in row] == [
        "=1+1", 1234567890123.45, 0, datetime(2026, 1, 2, 3, 4), datetime(2026, 1, 2), None,  # noqa: DTZ001
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (Decimal("-1234.5"), AMOUNT, "\u22121,234.50"),
        (Decimal("1.1949"), SHARE, "119 %"),
        (None, AMOUNT, "\u2013"),
        (Decimal(0), AMOUNT, "0.00"),
    ],
)
def test_words(value: Decimal | None, kind: str, said: str) -> None:
    """Numbers are written alike everywhere."""
    assert words(value, kind) == said


def test_periods() -> None:
    """Periods are whole months, this one included."""
    today = date(2026, 2, 15)
    assert [days_of(period, today) for period in PERIODS] == [
        (date(2025, 12, 1), None),
        (date(2025, 9, 1), None),
        (date(2025, 3, 1), None),
        (date(2026, 1, 1), None),
        (date(2025, 1, 1), date(2025, 12, 31)),
        (None, None),
        (None, None),
    ]


def test_without_effect() -> None:
    """A card tells what was chosen above but does not choose in it."""
    choice = Choice(client=(1, 2), person=(1, 3))
    told = {question.title: choice.without_effect(question.tables) for question in QUESTIONS}
    assert told["Who is overbooked?"] == ["client"]
    assert told["Who owes, and how late?"] == ["person"]
    assert told["Where do the hours go?"] == []


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.title)
def test_money_has_a_currency(question: object) -> None:
    """Whatever adds amounts up keeps their currencies apart, and shows them."""
    sql, columns = question.sql, question.columns  # type: ignore[attr-defined]
    if AMOUNT in columns.values():
        assert {"currency", "profit_currency"} & columns.keys()
    if "GROUP BY" in sql and AMOUNT in columns.values():
        grouped = sql.rpartition("GROUP BY")[2].partition("ORDER BY")[0]
        assert "currency" in grouped or grouped.strip() == "1, 2, 3"


def test_chosen_by_columns_that_are_there() -> None:
    """Every question is asked of tables that are known."""
    known = {*CHOSEN_BY, "_freshness", "_verification"}
    assert all(set(question.tables) <= known for question in QUESTIONS)


def test_rights(postgres_url: str, sandbox: Sandbox, tmp_path: Path) -> None:
    """With the rights that docs/destinations.md lists, one user loads and another one looks."""
    page = (ROOT / "docs" / "destinations.md").read_text(encoding="utf-8")
    listed = page.partition("## What a user of Postgres may do")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .+\n)+", listed.replace("harvest_data", "rights"), re.MULTILINE)
    _, schemas, grants = ("".join(re.sub(" *--.*", "", block)) for block in blocks)

    def as_user(name: str) -> Pipeline:
        destination = dlt.destinations.postgres(
            postgres_url.replace("postgres:unused", f"{name}:x")
        )
        return dlt.pipeline("harvest", pipelines_dir=str(tmp_path / name),
                            destination=destination, dataset_name="rights")  # fmt: skip

    owner = as_user("postgres")
    with owner.sql_client() as client:
        client.execute_sql("CREATE ROLE loader LOGIN; CREATE ROLE reader LOGIN;" + schemas)
    loader = as_user("loader")
    load(loader, "company", api_key=sandbox.token, account_id=str(sandbox.account_id),
         base_url=sandbox.base_url, tell=lambda _: None)  # fmt: skip
    with loader.sql_client() as client:
        client.execute_sql(METRICS.partition(";")[2].replace("harvest_data", "rights"))
        client.execute_sql("CREATE TABLE rights._verification (_account_id int)")
        client.execute_sql(grants)
    look = Look(as_user("reader"))
    with look.open() as reading:
        assert reading.rows("SELECT * FROM {_freshness}", Choice())
        assert not reading.rows("SELECT * FROM {_verification}", Choice())
    look.close()
    with owner.sql_client() as client:
        client.execute_sql("DROP OWNED BY reader CASCADE")
        client.execute_sql("DROP OWNED BY loader CASCADE; DROP ROLE loader, reader")
