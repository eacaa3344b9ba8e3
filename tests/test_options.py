"""What can't be done as it is asked for is refused in one line, and not left out in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest.cli import _where, default_warehouse, load_and_print, main
from harvest.destination import name_there
from harvest.errors import ConfigurationError, UnwritableFolderError
from harvest.run import load
from harvest_sandbox import Sandbox

from .running import SCRIPT


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--list clients", "TABLE does not go with --list"),
        ("--list --check", "not allowed with argument --list"),
        ("--authorize --demo", "--demo does not go with --authorize"),
        ("--authorize 0 --demo", "--demo does not go with --authorize"),
        ("--demo --dataset harvest_data", "--dataset does not go with --demo"),
        ("--verify-by project", "--verify-by goes with --verify"),
        ("--check --verify-months 3", "--verify-months goes with --verify"),
        ("--port 2800", "--port goes with --dashboard"),
        ("--dashboard --export a.html --port 0", "--port does not go with --export"),
        ("--account=", "--account: its value is empty"),
        ("--dashboard --port 65536", "65536 is no port: give a number from 0 to 65535"),
        ("--authorize=-1", "-1 is no port: give a number from 0 to 65535"),
    ],
)
def test_refused(
    arguments: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Options that belong to another command, or have no value, are a wrong command line."""
    monkeypatch.setattr("sys.argv", ["dlt-harvest", *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_dataset_like_database(duck: Pipeline, sandbox: Sandbox, settings: dict[str, Any]) -> None:
    """A dataset named as DuckDB's file, in which each name would mean two things, is refused."""
    twin = dlt.pipeline("harvest_test", destination=duck.destination, dataset_name="Warehouse")
    with pytest.raises(ConfigurationError, match="such as `--dataset warehouse_data`"):
        load(twin, "clients", **settings)
    assert not sandbox.log


def test_name_there(duck: Pipeline) -> None:
    """The dataset that a user is told is the one that is in the database."""
    assert name_there(duck) == "harvest_data"
    named = dlt.pipeline("harvest_test", destination=duck.destination, dataset_name="a-B")
    with named.sql_client() as client:
        assert name_there(named) == client.dataset_name == "a_b"


@pytest.mark.parametrize(
    ("progress", "says"),
    [
        ("LOG", "is 'LOG', which dlt does not know: choose tqdm, enlighten, log, alive_progress"),
        ("", "is '', which dlt does not know"),
        ("alive_progress", "is not installed: install it by `pip install alive-progress`"),
    ],
)
def test_no_such_display(
    progress: str, says: str, duck: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A display that can't be shown is one line that says what to do."""
    monkeypatch.setenv("PROGRESS", progress)
    with pytest.raises(ConfigurationError, match=says):
        load_and_print(lambda: duck, "clients")


def test_nobody_reads(tmp_path: Path) -> None:
    """A list of which nobody reads all ends quietly."""
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, SCRIPT, "--list"],
        cwd=tmp_path, stdout=writes, stderr=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent)},
    )  # fmt: skip
    os.close(writes)
    assert (done.returncode, done.stderr) == (0, "")


def test_where(tmp_path: Path) -> None:
    """The path of a DuckDB file is told as it is on disk."""
    folder = tmp_path / "Büro mit Leer"
    folder.mkdir()
    file = folder / "a.duckdb"
    made = dlt.pipeline("where", destination=dlt.destinations.duckdb(str(file)), dataset_name="b")
    assert _where(made) == f"duckdb:///{file}"


def test_no_folder(tmp_path: Path) -> None:
    """A folder that can't hold the state is named in one line."""
    (tmp_path / ".dlt").write_text("a file", encoding="utf-8")
    with pytest.raises(UnwritableFolderError, match=r"can't be kept in \S*\.dlt") as caught:
        load_and_print(default_warehouse, "clients")
    assert "\n" not in str(caught.value)
