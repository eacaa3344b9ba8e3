"""Runs functions in processes of their own, without the second that it takes to import dlt.

They are forked from a process that has imported everything and done nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

from dlt.common.configuration.container import Container

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "harvest.cli",
        "tests.kill_child",
        # What a run imports when it needs it.
        "dlt.common.libs.pyarrow",
        "dlt.destinations.impl.duckdb.duck",
        "sqlalchemy",
        "tests.quicker",
    ]
)


@contextmanager
def begun(target: Callable[..., None], *arguments: Any, **options: Any) -> Iterator[BaseProcess]:
    """Run a function in a process of its own, in this folder, which ends with this block."""
    here = Path.cwd(), dict(os.environ)  # else they would be those of the first test that forked
    with mock.patch.dict(os.environ, PYTHONPATH=str(Path(__file__).parent.parent)):
        forkserver.ensure_running()  # Python before 3.12 does not tell it where it finds ours
    process = PROCESSES.Process(target=_settled, args=(here, target, arguments, options))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def spawn(target: Callable[..., None], *arguments: Any, **options: Any) -> int:
    """Run a function in a process of its own; return how that ended."""
    with begun(target, *arguments, **options) as process:
        process.join(120)
        assert process.exitcode is not None
        return process.exitcode


def _settled(
    here: tuple[Path, dict[str, str]],
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    _settle(*here)
    target(*arguments, **options)


def _settle(home: Path, env: dict[str, str]) -> None:
    """Let dlt find the settings of this folder and environment."""
    os.chdir(home)
    os.environ.clear()
    os.environ.update(env)
    Container.reset_main_thread()


def as_script(
    script: Path,
    arguments: tuple[str, ...],
    home: Path,
    env: dict[str, str],
    printed: tuple[str, str],
) -> None:
    """Run a script as Python does that is started in a folder.

    Args:
        script: Its file.
        arguments: Those of the command line.
        home: The folder.
        env: The whole environment.
        printed: The files that take what is printed, and what is told as an error.
    """
    for number, path in enumerate(printed, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    sys.stdout, sys.stderr = (open(n, "w", encoding="utf-8", closefd=False) for n in (1, 2))  # noqa: SIM115
    _settle(home, env)
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")
