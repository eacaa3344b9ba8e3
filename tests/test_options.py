"""An option that would be left out in silence is refused in one line."""

from __future__ import annotations

import pytest

from harvest.cli import main


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
