"""The dashboard is in nobody's way, tells names apart, and gives figures away exactly."""

from __future__ import annotations

import csv
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import dlt
import duckdb
import pytest
from dlt import Pipeline
from openpyxl import load_workbook

from harvest.dashboard import demand, export, has_metrics, serve
from harvest.dashboard.drawing import as_csv, as_excel, words
from harvest.dashboard.page import PERIODS, Page, days_of
from harvest.dashboard.questions import AMOUNT, QUESTIONS, SCREENS, SHARE
from harvest.dashboard.reading import CHOSEN_BY, Choice, Look, label
from harvest.errors import (
    MissingDashboardError,
    NoMetricsError,
    PortTakenError,
    WarehouseBusyError,
)
from harvest.run import load
from harvest_sandbox import Sandbox

from .running import run_script

METRICS = """
CREATE SCHEMA harvest_data_metrics;
CREATE TABLE harvest_data_metrics.accounts AS SELECT 7 AS _account_id,
  'Zoë & <b>Søn</b>' AS company_name, 'EUR' AS currency, DATE '2025-03-01' AS history_from,
  DATE '2026-02-15' AS today
"""
WRITER = """
import duckdb, sys
with duckdb.connect(sys.argv[1]) as database:
    database.execute("CREATE TABLE IF NOT EXISTS written (a int)")
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def duck(tmp_path: Path) -> Pipeline:
    """Make a pipeline into a DuckDB that, other than in other tests, nothing holds open."""
    destination = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"))
    return dlt.pipeline("harvest_test", destination=destination, dataset_name="harvest_data")


@pytest.fixture
def warehouse(duck: Pipeline, sandbox: Sandbox) -> Pipeline:
    """Load a table, and make metrics of the one kind that each page has: accounts."""
    load(duck, "company", api_key=sandbox.token, account_id=str(sandbox.account_id),
         base_url=sandbox.base_url, tell=lambda _: None)  # fmt: skip
    with duckdb.connect("warehouse.duckdb") as database:
        database.execute(METRICS)
    return duck


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


def test_port_is_taken(warehouse: Pipeline) -> None:
    """Two pages can't be at one port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"Port {port} "):
            serve(warehouse, port=port)


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


ROWS = [
    {
        "name": "=1+1", "amount": Decimal("1234567890123.450000000"), "share": Decimal("0E-9"),
        "at": datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc), "day": date(2026, 1, 2),
        "none": None,
    }
]  # fmt: skip


def test_csv() -> None:
    """CSV holds numbers exactly, and opens in Excel as UTF-8."""
    told = as_csv(ROWS).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(told))
    assert row == {
        "name": "=1+1", "amount": "1234567890123.45", "share": "0",
        "at": "2026-01-02T03:04:00+00:00", "day": "2026-01-02", "none": "",
    }  # fmt: skip


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
