"""An option that would be left out in silence is refused in one line."""

from __future__ import annotations

from typing import Any

import dlt
import pytest
from dlt import Pipeline

from harvest.cli import main
from harvest.destination import name_there
from harvest.errors import ConfigurationError
from harvest.run import load
from harvest_sandbox import Sandbox


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
