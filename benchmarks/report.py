"""What was measured, as a table to read and as JSON to compare."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .run import STAGES, Usage

SECONDS_OF_REQUEST = 15 / 100
"""Harvest allows 100 requests in 15 seconds."""


@dataclass
class Result:
    """One scenario's figures.

    Attributes:
        floor: The fewest requests that the API allows for it.
        stats: The sandbox's counts of the requests made.
        wrong: What the destination holds other than the account, by table; empty when right.
    """

    scenario: str
    floor: int
    stats: dict[str, Any]
    usage: Usage
    wrong: dict[str, str]

    def figures(self) -> dict[str, str]:
        """Return the figures by name, in the order of reading."""
        usage, floor_seconds = self.usage, self.floor * SECONDS_OF_REQUEST
        extract, normalize, load = (usage.seconds[stage] for stage in STAGES)
        speeds = (f"{usage.loaded / usage.seconds[stage]:,.0f}" for stage in STAGES)
        return {
            "requests": f"{self.stats['requests']:,}",
            "floor: fewest requests": f"{self.floor:,}",
            "requests / floor": f"{self.stats['requests'] / self.floor:.3f}",
            "answers 429": str(self.stats["throttled"]),
            "floor at the limit, s": f"{floor_seconds:.1f}",
            "extract, s": f"{extract:.1f}",
            "normalize, s": f"{normalize:.1f}",
            "load, s": f"{load:.1f}",
            "whole run, s": f"{usage.seconds['all']:.1f}",
            "extract / floor": f"{extract / floor_seconds:.2f}",
            "(normalize + load) / floor": f"{(normalize + load) / floor_seconds:.2f}",
            "CPU, s": f"{usage.cpu_seconds:.1f}",
            "peak memory, MB": f"{usage.peak_mb:,.0f}",
            "rows loaded": f"{usage.loaded:,}",
            "rows/s: extract, normalize, load": " / ".join(speeds),
            "rows as in Harvest": str(self.wrong) if self.wrong else "yes",
        }


def table(title: str, results: list[Result]) -> str:
    """Return a section with a column for each scenario."""
    columns = [result.figures() for result in results]
    lines = [["", *(result.scenario for result in results)], ["---", *("---:" for _ in results)]]
    lines += [[name, *(column[name] for column in columns)] for name in columns[0]]
    return "\n".join([f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def write(output: Path, title: str, results: list[Result]) -> None:
    """Append the table to a file, and the raw figures to a `.jsonl` beside it."""
    head = "" if output.exists() else f"# Results\n\nMeasured on {machine()}.\n"
    with output.open("a") as file:
        file.write(f"{head}\n{table(title, results)}")
    with output.with_suffix(".jsonl").open("a") as file:
        raw = {"title": title, "machine": machine(), "results": [asdict(r) for r in results]}
        file.write(f"{json.dumps(raw)}\n")


def machine() -> str:
    """Describe the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {version(name)}" for name in ("dlt", "duckdb", "pyarrow"))
    return (
        f"{os.cpu_count()} cores ({platform.machine()}) with {memory:.0f} GB, "
        f"Python {platform.python_version()}, {versions}"
    )
