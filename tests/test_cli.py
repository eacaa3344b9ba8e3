"""The script and the command line do what their help says."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dlt import Pipeline

from harvest.cli import load_and_print
from harvest.errors import PartialLoadError
from harvest_sandbox import Sandbox

from .running import SCRIPT, as_environment, run_script


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
        (["--demo", "--metrics", "--dashboard"], 2, "--metrics does not go with --dashboard"),
        (["--demo", "--check", "clients"], 2, "TABLE does not go with --check"),
        (["--demo", "--verify", "--refresh"], 2, "--refresh does not go with --verify"),
        (["--check", "--verify"], 2, "not allowed with argument --check"),
        (["--demo", "--metrics", "--destination", "filesystem"], 1, "can't be built on filesystem"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], code: int, word: str) -> None:
    """Bad input gives one line of cause and remedy, and no traceback."""
    done = run_script(*arguments, home=tmp_path)
    assert done.returncode == code
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_demo(tmp_path: Path) -> None:
    """The demo loads the sandbox account, shows what arrived, and leaves a real one alone.

    Also where both are in one database.
    """
    file = tmp_path / "real.duckdb"
    real = "CREATE SCHEMA harvest_data; CREATE TABLE harvest_data.time_entries AS SELECT 7 AS id"
    with duckdb.connect(file) as database:
        database.execute(real)
    place = {"DESTINATION__DUCKDB__CREDENTIALS": str(file)}
    done = run_script("--demo", "time_entries", home=tmp_path, **place)
    assert done.returncode == 0, done.stderr
    assert "time_entries" in done.stdout
    with duckdb.connect(file, read_only=True) as database:
        assert database.sql("FROM harvest_data.time_entries").fetchall() == [(7,)]
        assert database.sql("FROM harvest_demo_data.time_entries").fetchall()
        tables = "SELECT table_schema, count(*) FROM information_schema.tables GROUP BY ALL"
        assert dict(database.sql(tables).fetchall())["harvest_data"] == 1


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
    assert "client_secret" not in secrets  # an application is the exception
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
    with postgres.sql_client() as client:
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
        done = run_script("--demo", "clients", home=folder, DLT_DATA_DIR=str(tmp_path))
        assert f"In duckdb:///{folder}" in done.stdout, done.stderr
        assert (folder / "harvest_demo.duckdb").exists()
        shutil.rmtree(folder)


def test_piped(tmp_path: Path) -> None:
    """Piped, each table that was read has one line, and then the summary follows."""
    done = run_script("--demo", "clients", "company", "invoice_payments", home=tmp_path)
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"clients: 8 records after \d+ s", lines[0])
    told = [line.split(":")[0] for line in lines[: lines.index("")]]
    assert sorted(told) == ["clients", "company", "invoice_payments"]
    assert re.search(r"invoice_payments: \d+ records, \d+ requests after", done.stdout)
    assert done.stderr == ""


def test_terminal(sandbox: Sandbox, tmp_path: Path) -> None:
    """On a terminal a line for each table shows what is done of what there is, never more."""
    sandbox.latency = 0.2
    settings = {
        "SOURCES__HARVEST__BASE_URL": sandbox.base_url,
        "SOURCES__HARVEST__API_KEY": sandbox.token,
        "SOURCES__HARVEST__ACCOUNT_ID": str(sandbox.account_id),
    }
    shown = on_terminal("time_entries", "invoice_payments", home=tmp_path, settings=settings)
    assert "Reading" in shown
    assert "Loading" in shown
    assert re.search(r"invoice_payments .* \d+ of \d+ requests", shown)
    counts = re.findall(r"([\d,]+) of ([\d,]+) (?:records|requests|files|jobs)", shown)
    for done, total in counts:
        assert int(done.replace(",", "")) < int(total.replace(",", ""))
    assert re.search(r"Read [\d,]+ records in", shown)


def on_terminal(*arguments: str, home: Path, settings: dict[str, str]) -> str:
    """Run the script as a user does who looks at it; return all that was shown."""
    ours, its = pty.openpty()
    place = {"PYTHONPATH": str(SCRIPT.parent), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(SCRIPT), *arguments],
        cwd=home, env={**os.environ, **place, **settings}, stdout=its, stderr=its,
    ) as process:  # fmt: skip
        os.close(its)
        shown = b""
        with suppress(OSError):  # raised when the other end is closed
            while part := os.read(ours, 65536):
                shown += part
        os.close(ours)
        assert process.wait() == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())


def test_waiting(tmp_path: Path) -> None:
    """A run that waits for the rate limit says so, for how long, and when it will be done."""
    with Sandbox("tiny") as limited:
        settings = {
            "SOURCES__HARVEST__BASE_URL": limited.base_url,
            "SOURCES__HARVEST__API_KEY": limited.token,
            "SOURCES__HARVEST__ACCOUNT_ID": str(limited.account_id),
            "SOURCES__HARVEST__RATE_LIMIT": "8",
        }
        shown = on_terminal("invoices", "invoice_payments", home=tmp_path, settings=settings)
    assert re.search(r"waiting for Harvest's rate limit, 1\d s +about [123]\d s left", shown)


def test_own_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A display of dlt's that the user chose is the one that is shown."""
    monkeypatch.setenv("PROGRESS", "log")
    done = run_script("--demo", "clients", home=tmp_path)
    assert "Extract harvest ---" in done.stdout
    assert "records after" not in done.stdout


def test_json(tmp_path: Path) -> None:
    """With --json, stdout is one line that says what the summary says."""
    done = run_script("--demo", "clients", "--json", home=tmp_path)
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert said["tables"].keys() == {"clients"}
    figures = {"added": 8, "changed": 0, "removed": 0, "flagged": 0, "unchanged": 0}
    assert said["tables"]["clients"] == {"loaded": 8, "now": 8, **figures}
    assert said["requests"] == 3  # the token's owner, a page, and whether it lacks archived clients
    assert said["history_from"] is None
    assert said["in"].endswith("harvest_demo.duckdb")
    assert "clients: 8 records" in done.stderr


def test_json_beside_own_display(tmp_path: Path) -> None:
    """With --json, a display of dlt's goes to stderr, of a load and of a verification."""
    load = "--demo", "--json", "time_entries", "clients"
    for arguments in (load, ("--demo", "--json", "--verify")):
        done = run_script(*arguments, home=tmp_path, PROGRESS="log")
        (line,) = done.stdout.splitlines()
        assert json.loads(line)
        assert " ---" in done.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_partial_load(
    sandbox: Sandbox,
    settings: dict[str, Any],
    duck: Pipeline,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,  # noqa: FBT001
) -> None:
    """What was loaded is summed up where the rest could not be read, before the error is raised."""
    sandbox.fault("status", path="v2/clients$", status=422, times=-1)
    with pytest.raises(PartialLoadError):
        load_and_print(lambda: duck, "clients", "tasks", as_json=as_json, **settings)
    said, tasks = capsys.readouterr().out, len(sandbox.account.records["tasks"])
    if as_json:
        assert json.loads(said)["tables"]["tasks"]["now"] == tasks
    else:
        assert re.search(rf"tasks .* {tasks}$", said, re.MULTILINE)


def test_other_dataset(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """Another dataset has a state of its own, and the first one keeps its."""
    tasks = len(sandbox.account.records["tasks"])
    for dataset in ("harvest_data", "other", "harvest_data", "other"):
        done = run_script("tasks", "--dataset", dataset, home=tmp_path, **as_environment(settings))
        assert f"dataset {dataset}." in done.stdout, done.stderr
        assert re.search(rf"^tasks .* {tasks}$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", ["postgres", "nowhere"])
def test_bad_destination(tmp_path: Path, name: str) -> None:
    """A destination that is unknown or lacks credentials says so, and no traceback."""
    done = run_script("--demo", "tasks", "--destination", name, home=tmp_path)
    assert done.returncode in {1, 2}
    known = name == "postgres"
    assert ("`host`: put them into" if known else "no such destination: nowhere") in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_destination_of_script(tmp_path: Path) -> None:
    """A destination that the user's script names, and dlt does not know, is named."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.read_text().replace('"duckdb"', '"postgre"'), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, script, "tasks"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no such destination: postgre;" in done.stderr


def test_bug(tmp_path: Path) -> None:
    """A bug of ours ends with its traceback and one line that asks to report it."""
    script = tmp_path / "script.py"
    script.write_text(
        "from unittest import mock\n"
        "from harvest import cli\n"
        "with mock.patch('harvest.run.loaded_by', side_effect=KeyError('gone')):\n"
        "    cli.main()\n",
        encoding="utf-8",
    )
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parent)}
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, script, "--demo", "tasks"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "this is a bug in the connector" in done.stderr.splitlines()[-1]
