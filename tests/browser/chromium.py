"""A real Chromium, and the sandbox account's dashboard for it to open."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from ..running import ROOT, SCRIPT

FOUND = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

READY = ".harvest .cards .card"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=FOUND, args=list(QUIET))
        yield browser
        browser.close()


@contextmanager
def dashboard(home: Path) -> Iterator[str]:
    """Serve the demo's dashboard out of a folder, by the command line; yield its address."""
    kept = home / "dlt" / "harvest" / "dbt"
    if not kept.exists():  # dbt's environment is that of the other tests
        kept.parent.mkdir(parents=True)
        (ROOT / ".venv" / "dbt").mkdir(exist_ok=True)
        kept.symlink_to(ROOT / ".venv" / "dbt")
    env = {**os.environ, "DLT_DATA_DIR": str(home / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, SCRIPT, "--demo", "--dashboard", "--port", "0"],
        cwd=home, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        said = []
        for line in process.stdout or ():
            said.append(line)
            if address := re.search(r"http://localhost:\d+", line):
                break
        else:
            raise AssertionError("".join(said))
        yield address.group()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0


def watched(page: Page) -> list[str]:
    """Return a list that fills with what goes wrong on a page."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"{request.url} {request.failure}"))
    page.on(
        "console",
        lambda message: wrong.append(message.text) if message.type == "error" else None,
    )
    return wrong
