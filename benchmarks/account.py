"""The sandbox account in a process of its own: what it holds, what is edited, what was asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from harvest.catalog import ENDPOINTS, REPORTS

EDITS = {"time_entries": 300, "invoices": 10}
"""How many records of which table change before the last scenario."""

NOTE = "edited for the benchmark"


class Account:
    """A served account, asked and edited outside the measured time.

    Attributes:
        settings: Environment variables that point the source at it.
        rows: Rows by table, those of lists in records too; edits leave them as they are.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {settings['SOURCES__HARVEST__API_KEY']}"
        self._http.headers["Harvest-Account-Id"] = settings["SOURCES__HARVEST__ACCOUNT_ID"]
        self._api = settings["SOURCES__HARVEST__BASE_URL"]
        self._control = self._api.removesuffix("v2") + "_sandbox"
        self.rows = self._count_rows()
        self._ids = {
            table: [record["id"] for record in self._list(table, count)[table]]
            for table, count in EDITS.items()
        }

    def call(self, name: str, body: dict[str, Any] | None = None) -> None:
        """Make a call of the sandbox's control."""
        answer = self._http.post(f"{self._control}/{name}", json=body or {}, timeout=60)
        answer.raise_for_status()

    def stats(self) -> dict[str, Any]:
        """Return the counts of the requests since the last reset."""
        return dict(self._get(f"{self._control}/stats"))

    def edit(self) -> None:
        """Change the records of `EDITS`."""
        for table, ids in self._ids.items():
            for record_id in ids:
                self.call(f"update/{table}/{record_id}", {"notes": NOTE})

    def _count_rows(self) -> dict[str, int]:
        rows = {endpoint.name: 1 for endpoint in ENDPOINTS}
        for endpoint in ENDPOINTS:
            if endpoint.parent or endpoint.nested:
                truth = self._get(f"{self._control}/truth/{endpoint.name}")
                rows[endpoint.name] = len(truth)
                for name, _ in endpoint.nested:
                    rows[f"{endpoint.name}__{name}"] = sum(len(record[name]) for record in truth)
            elif not endpoint.singleton and endpoint not in REPORTS:
                rows[endpoint.name] = self._list(endpoint.path, 1)["total_entries"]
        return rows

    def _list(self, path: str, count: int) -> dict[str, Any]:
        return dict(self._get(f"{self._api}/{path}?per_page={count}"))

    def _get(self, url: str) -> Any:
        answer = self._http.get(url, timeout=60)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def served(
    size: str, latency_ms: float, latency_per_record_ms: float, style: str
) -> Iterator[Account]:
    """Serve an account, without a limit at first, while the context is open."""
    command = [sys.executable, "-m", "harvest_sandbox", "--port", "0", "--no-rate-limit"]
    command += ["--size", size, "--style", style, "--latency-ms", str(latency_ms)]
    command += ["--latency-per-record-ms", str(latency_per_record_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Account(_settings(process))
        finally:
            process.terminate()


def _settings(process: subprocess.Popen[str]) -> dict[str, str]:
    """Return the environment that the sandbox prints for the pipeline."""
    settings: dict[str, str] = {}
    for line in process.stdout or ():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            settings[name] = value
        if len(settings) == 3:
            break
    return settings
