"""The examples work as they are, as far as that shows without other people's services.

Those for Airflow and Dagster are run by these engines: `make test-engines`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from dlt.destinations import bigquery, databricks, filesystem, snowflake

from harvest_sandbox import Sandbox

from .running import EVER, ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = ROOT / "examples"
DESTINATIONS = {
    "snowflake": snowflake,
    "bigquery": bigquery,
    "databricks": databricks,
    "lake": filesystem,
}


def test_all_known() -> None:
    """Each example of a destination's settings is tested here."""
    assert {path.stem for path in EXAMPLES.glob("destinations/*.toml")} == DESTINATIONS.keys()


@pytest.mark.parametrize("name", DESTINATIONS)
def test_settings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A destination's settings are all that dlt asks for, and dlt knows each of them."""
    (tmp_path / "harvest_loader.p8").write_text("-----BEGIN PRIVATE KEY-----\n")
    text = (EXAMPLES / "destinations" / f"{name}.toml").read_text()
    values = flat(tomllib.loads(text))
    for path, value in values.items():
        monkeypatch.setenv("__".join(path).upper(), value)
    destination: Any = DESTINATIONS[name]()
    wanted = destination.spec()._bind_dataset_name("harvest_data")  # noqa: SLF001 - as dlt does
    config = destination.configuration(wanted, accept_partial=False)
    for names, value in values.items():
        assert reduce(getitem, names[2:], config) == value


def flat(values: dict[str, Any], *path: str) -> dict[tuple[str, ...], str]:
    """Return nested settings by their paths."""
    found: dict[tuple[str, ...], str] = {}
    for key, value in values.items():
        found |= flat(value, *path, key) if isinstance(value, dict) else {(*path, key): value}
    return found


def test_lake(sandbox: Sandbox, tmp_path: Path) -> None:
    """The lake's script loads Delta tables into the bucket that is configured."""
    done = run(
        [sys.executable, str(EXAMPLES / "destinations" / "lake.py")],
        tmp_path,
        sandbox,
        DESTINATION__FILESYSTEM__BUCKET_URL=tmp_path.as_uri(),
    )
    assert re.search(r"^clients +8\b", done, re.MULTILINE)
    for table in ("clients", "time_entries", "_freshness"):
        assert (tmp_path / "harvest_data" / table / "_delta_log").is_dir()


def test_workflow(sandbox: Sandbox, tmp_path: Path) -> None:
    """GitHub's workflow names what it needs, and its last step loads with what the job is given."""
    workflow = yaml.safe_load((EXAMPLES / "github_actions.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert job["env"].keys() >= {"SOURCES__HARVEST__API_KEY", "SOURCES__HARVEST__ACCOUNT_ID"}
    given = {name: value for name, value in job["env"].items() if "secrets." not in value}
    given = {name: re.search(r"'(.+)'", value).group(1) for name, value in given.items()}  # type: ignore[union-attr]
    text = (EXAMPLES / "github_actions.yml").read_text()
    for name in re.findall(r"(?:secrets|vars)\.(\w+)", text):
        assert re.search(rf"^# .*\b{name}\b", text, re.MULTILINE), f"{name}: not said on top"
    step = job["steps"][-1]["run"]
    done = run(shlex.split(into_duckdb(step)), tmp_path, sandbox, **given)
    assert json.loads(done)["tables"]["clients"]["now"] == 8


def test_image(sandbox: Sandbox, tmp_path: Path) -> None:
    """The image's command is one that the package brings, with arguments that it takes."""
    text = (EXAMPLES / "Dockerfile").read_text()
    entry, command = (
        json.loads(re.search(rf"^{word} (.+)$", text, re.MULTILINE).group(1))  # type: ignore[union-attr]
        for word in ("ENTRYPOINT", "CMD")
    )
    done = run(shlex.split(into_duckdb(shlex.join(entry + command))), tmp_path, sandbox)
    assert json.loads(done)["tables"]["clients"]["now"] == 8
    image = re.search(r"docker build .* -t (\S+) \.", text).group(1)  # type: ignore[union-attr]
    assert f" {image} >>" in (EXAMPLES / "crontab").read_text()


def into_duckdb(command: str) -> str:
    """Return a command with the database of this test for the example's, run from the sources."""
    ours = f"{shlex.quote(sys.executable)} -c 'from harvest import cli; cli.main()'"
    changed = command.replace("dlt-harvest", ours, 1).replace(" postgres", " duckdb", 1)
    assert "duckdb" in changed
    return changed


def run(command: list[str], home: Path, sandbox: Sandbox, **env: str) -> str:
    """Run a command that reads the sandbox, and return what it printed."""
    ours = {
        "PYTHONPATH": str(ROOT),
        "SOURCES__HARVEST__API_KEY": sandbox.token,
        "SOURCES__HARVEST__ACCOUNT_ID": str(sandbox.account_id),
        "SOURCES__HARVEST__BASE_URL": sandbox.base_url,
        "SOURCES__HARVEST__ANCHOR_DATE": EVER,
    }
    done = subprocess.run(  # noqa: S603 - our own examples
        command, cwd=home, env={**os.environ, **ours, **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
