"""The dashboard in a real Chromium: nothing fails, and figures are right, chosen ones too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser, Page

from harvest.dashboard.page import days_of
from harvest.dashboard.questions import QUESTIONS, SCREENS

from ..running import run_script
from .chromium import FOUND, READY, chromium, dashboard, watched

pytestmark = pytest.mark.skipif(not FOUND, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder for the demo's warehouse."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """Serve the demo's dashboard."""
    with dashboard(home) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    with chromium() as started:
        yield started


def open_screen(page: Page, address: str, screen: str) -> None:
    """Open a screen and wait until it is there."""
    page.goto(f"{address}/?screen={screen}")
    page.wait_for_selector(READY)


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screens_open(browser: Browser, address: str, screen: str, width: int, scheme: Any) -> None:
    """Each screen shows its questions and charts, without an error, and fits its width."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    page = context.new_page()
    wrong = watched(page)
    open_screen(page, address, screen)
    mine = [question for question in QUESTIONS if question.screen == screen]
    titles = page.locator(".card h2").all_inner_texts()
    assert titles == [question.title for question in mine]
    drawn = [
        question for question in mine if question.chart and "_verification" not in question.sql
    ]
    for question in drawn:
        card = page.locator(".card", has=page.get_by_role("heading", name=question.title))
        card.locator(".chart svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not wrong
    context.close()


def test_choices_change_figures(browser: Browser, address: str, home: Path) -> None:
    """What the page says of hours is what the database holds, of all clients and of one."""
    page = browser.new_page()
    open_screen(page, address, "Projects")
    first, _ = days_of("Last 6 months", datetime.now(timezone.utc).date())
    sql = (
        "SELECT sum(hours) FROM harvest_demo_data_metrics.hours "
        f"WHERE spent_date >= DATE '{first}' AND client_name "
    )
    assert hours(page) == ask(home, sql + "IS NOT NULL")
    page.get_by_label("Client").select_option("Elm Library")
    page.get_by_text("Elm Library").first.wait_for()
    page.locator(".asof", has_text="Elm Library").wait_for()
    page.wait_for_function("document.querySelectorAll('.harvest .cards').length === 1")
    expected, tries = ask(home, sql + "= 'Elm Library'"), count()
    while hours(page) != expected and next(tries) < 100:  # until the page is drawn again
        page.wait_for_timeout(100)
    assert hours(page) == expected
    page.close()


def test_long_names(browser: Browser, address: str) -> None:
    """A name that is wider than the page makes no choice wider than it."""
    page = browser.new_page(viewport={"width": 390, "height": 900})
    open_screen(page, address, "Projects")
    widen = (
        "e => { e.options[0].text = 'wide '.repeat(50); return e.getBoundingClientRect().right }"
    )
    assert page.get_by_label("Client").evaluate(widen) <= 390
    page.close()


def hours(page: Page) -> str:
    """Return the sum of the hours in the table of where they go."""
    card = page.locator(".card", has=page.get_by_role("heading", name="Where do the hours go?"))
    card.locator("summary").click()
    cells = card.locator("tbody tr td:nth-child(5)").all_text_contents()
    assert cells
    return f"{sum(float(cell.replace(',', '')) for cell in cells):,.2f}"


def ask(home: Path, sql: str) -> str:
    """Ask the demo's database, which the page that is open keeps from nobody, not even a writer."""
    with duckdb.connect(home / "harvest_demo.duckdb") as database:
        ((value,),) = database.execute(sql).fetchall()
    return f"{value:,.2f}"


def test_downloads(browser: Browser, address: str) -> None:
    """A table can be taken away as CSV and as Excel."""
    page = browser.new_page()
    open_screen(page, address, "Money")
    card = page.locator(
        ".card", has=page.get_by_role("heading", name="Which invoices are overdue?")
    )
    for name, magic in (("CSV", b"\xef\xbb\xbf_account_id,"), ("Excel", b"PK")):
        with page.expect_download() as taken:
            card.get_by_text(name).click()
        assert Path(taken.value.path()).read_bytes().startswith(magic)
    page.close()


def test_file_to_send(browser: Browser, address: str, home: Path) -> None:
    """The page as a file shows the same, without a network."""
    assert address
    done = run_script("--demo", "--dashboard", "--export", "sent.html", home=home)
    assert done.returncode == 0, done.stderr
    context = browser.new_context(offline=True)
    page = context.new_page()
    wrong = watched(page)
    page.goto((home / "sent.html").as_uri())
    assert page.locator(".card h2").all_inner_texts()
    for screen in SCREENS:
        page.locator("main > label", has_text=screen).click()
    charts = page.locator(".chart svg")
    charts.first.wait_for()
    assert charts.count() >= sum(bool(q.chart) for q in QUESTIONS) - 1  # nothing was verified
    assert not wrong
    context.close()
