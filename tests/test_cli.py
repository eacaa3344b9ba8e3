"""The script and the command line do what their help says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dlt import Pipeline

from harvest_sandbox import Sandbox

SCRIPT = Path(__file__).parent.parent / "harvest_pipeline.py"


def run_script(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as a user does."""
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parent), "DLT_DATA_DIR": str(home / "dlt")}
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(SCRIPT), *arguments],
        cwd=home, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_no_credentials(tmp_path: Path) -> None:
    """Without credentials the script says where to get them, and that there is a demo."""
    done = run_script(home=tmp_path)
    assert done.returncode == 1
    assert "https://id.getharvest.com/developers" in done.stderr
    assert "--demo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--demo", "--anchor-date", "soon"], 1, "`anchor_date` is 'soon'"),
        (["nothing"], 2, "no such table: nothing; --list shows all"),
        (["time-entry"], 2, "did you mean `time_entries`?"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], code: int, word: str) -> None:
    """Bad input gives one line of cause and remedy, and no traceback."""
    done = run_script(*arguments, home=tmp_path)
    assert done.returncode == code
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_demo(tmp_path: Path) -> None:
    """The demo loads the sandbox account and shows what arrived."""
    done = run_script("--demo", "time_entries", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "time_entries" in done.stdout


def test_refresh(tmp_path: Path) -> None:
    """A refresh says what it drops, drops it and reads it anew."""
    for arguments in (["--demo", "clients", "tasks"], ["--demo", "--refresh", "clients"]):
        done = run_script(*arguments, home=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "clients (8 rows) will be dropped" in done.stdout
    assert "tasks" not in done.stdout


def test_init(sandbox: Sandbox, postgres: Pipeline, postgres_url: str, tmp_path: Path) -> None:
    """`dlt init` from this repository gives a project that loads into Postgres as it is."""
    dlt = Path(sys.executable).with_name("dlt")
    done = subprocess.run(  # noqa: S603 - dlt's own command
        [dlt, "--non-interactive", "init", "harvest", "postgres", "--location", SCRIPT.parent],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    secrets = (tmp_path / ".dlt" / "secrets.toml").read_text()
    assert "[sources.harvest]" in secrets
    assert "api_key" in secrets
    assert "account_id" in secrets
    requirements = (tmp_path / "requirements.txt").read_text()
    assert "dlt[postgres]" in requirements
    assert "filelock" in requirements
    assert not (tmp_path / "harvest_sandbox").exists()
    env = {
        **os.environ,
        "DESTINATION__POSTGRES__CREDENTIALS": postgres_url,
        "SOURCES__HARVEST__API_KEY": sandbox.token,
        "SOURCES__HARVEST__ACCOUNT_ID": str(sandbox.account_id),
        "SOURCES__HARVEST__BASE_URL": sandbox.base_url,
        "SOURCES__HARVEST__ANCHOR_DATE": "2010-01-01",
    }
    loaded = subprocess.run(
        [sys.executable, "harvest_pipeline.py"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    assert "In postgresql://" in loaded.stdout
    with postgres.sql_client() as client, client.with_alternative_dataset_name("harvest_data"):
        counted = client.execute_sql(
            f"SELECT count(*) FROM {client.make_qualified_table_name('time_entries')}"
        )
    assert counted == [(150,)]


def test_copied_folder(tmp_path: Path) -> None:
    """A copy of a folder has a state and a database of its own, even when the original is gone."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    assert run_script("--demo", "clients", home=first).returncode == 0
    before = (first / "harvest_demo.duckdb").read_bytes()
    shutil.copytree(first, second)
    done = run_script("--demo", "clients", "--refresh", home=second)
    assert f"In duckdb:///{second}" in done.stdout, done.stderr
    assert (first / "harvest_demo.duckdb").read_bytes() == before
    shutil.rmtree(first)
    done = run_script("--demo", "clients", home=second)
    assert done.returncode == 0, done.stderr


def test_two_folders(tmp_path: Path) -> None:
    """Two folders on one machine share nothing, and one that is gone breaks no other."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, SCRIPT, "--demo", "clients"],
            cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(SCRIPT.parent), "DLT_DATA_DIR": str(tmp_path)},
        )  # fmt: skip
        assert f"In duckdb:///{folder}" in done.stdout, done.stderr
        assert (folder / "harvest_demo.duckdb").exists()
        shutil.rmtree(folder)
