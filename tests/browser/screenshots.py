"""Renews the README's pictures of the dashboard: `make screenshots`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..running import ROOT
from .chromium import READY, chromium, dashboard

PICTURES = {"people": "People", "projects": "Projects", "money": "Money"}


def main() -> None:
    """Take them of the sandbox account."""
    folder = ROOT / "docs" / "images"
    folder.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        dashboard(Path(home)) as address,
        chromium() as browser,
    ):
        page = browser.new_page(viewport={"width": 1180, "height": 860})
        for name, screen in PICTURES.items():
            page.goto(f"{address}/?screen={screen}")
            page.wait_for_selector(READY)
            page.wait_for_selector(".chart svg")
            page.wait_for_timeout(1500)  # all charts
            page.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    main()
