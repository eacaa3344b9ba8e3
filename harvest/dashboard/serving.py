"""Serves the page on this machine, or writes it into a file."""

from __future__ import annotations

import socket
import sys
import webbrowser
from collections.abc import Callable
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dlt import Pipeline

from ..errors import (
    MissingDashboardError,
    NoMetricsError,
    PortTakenError,
    UnwritableFileError,
)
from .reading import Look

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PORT = 2719
"""The usual port, next to marimo's own, which is left to notebooks."""

LIBRARIES = Path(__file__).parent / "libraries.txt"
"""What the page needs. dlt init copies no file that is named requirements.txt."""

NEEDED = ("marimo", "altair", "vl_convert", "openpyxl")

SERVED: list[Look] = []
"""What the app reads: marimo runs it in this process, but as a script that takes no arguments."""


def demand() -> None:
    """Make sure that all is installed that the page needs.

    Raises:
        MissingDashboardError: It is not.
    """
    if missing := [name for name in NEEDED if not find_spec(name)]:
        raise MissingDashboardError(missing, LIBRARIES)


def has_metrics(pipeline: Pipeline) -> bool:
    """Tell whether there is anything to show."""
    try:
        with closing(Look(pipeline)) as look, look.open():
            return True
    except NoMetricsError:
        return False


def serve(pipeline: Pipeline, *, port: int = PORT, tell: Callable[[str], object] = print) -> None:
    """Serve the page to this machine alone, until the process is interrupted.

    marimo's threads live on as long as a browser has the page open.

    Args:
        pipeline: Whose warehouse is shown.
        port: Where; 0 for any that is free.
        tell: Takes lines for the user.

    Raises:
        MissingDashboardError: marimo is not installed.
        NoMetricsError: No metrics were built.
        UnreadableWarehouseError: The database can't be opened.
        OtherDatabaseError: The page can't ask the database.
        PortTakenError: Another program listens at the port.
    """
    demand()
    import uvicorn  # noqa: PLC0415 - need not be installed

    look = Look(pipeline)
    with look.open():
        pass
    SERVED[:] = [look]
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except (OSError, OverflowError):
        raise PortTakenError(port) from None
    server = uvicorn.Server(
        uvicorn.Config(application(), log_level="warning", timeout_graceful_shutdown=1)
    )
    address = f"http://localhost:{listening.getsockname()[1]}"
    tell(f"The dashboard is at {address} until you press Ctrl-C.")
    if sys.stdout.isatty():
        webbrowser.open(address)
    with listening, closing(look), suppress(KeyboardInterrupt):  # which is how it is meant to end
        server.run(sockets=[listening])


def application() -> ASGIApp:
    """Return what answers requests, and only those to this machine's own names.

    Any web page can let a name of its own lead to this machine, and its scripts could read the
    dashboard then (DNS rebinding).
    """
    import marimo  # noqa: PLC0415 - need not be installed
    from starlette.middleware.trustedhost import TrustedHostMiddleware  # noqa: PLC0415

    app = marimo.create_asgi_app(quiet=True).with_app(
        path="", root=str(Path(__file__).parent / "app.py")
    )
    return TrustedHostMiddleware(app.build(), allowed_hosts=["localhost", "127.0.0.1"])


def export(pipeline: Pipeline, file: str | Path, *, tell: Callable[[str], object] = print) -> None:
    """Write the page, as it is now, into one HTML file.

    Args:
        pipeline: Whose warehouse is shown.
        file: Where to.
        tell: Takes lines for the user.

    Raises:
        MissingDashboardError: altair is not installed.
        NoMetricsError: No metrics were built.
        UnreadableWarehouseError: The database can't be opened.
        OtherDatabaseError: The page can't ask the database.
        UnwritableFileError: The file can't be written.
    """
    demand()
    file = Path(file).expanduser()  # a shell leaves a quoted ~ to us
    if not file.absolute().parent.is_dir():
        raise UnwritableFileError(file, "its folder is not there")
    from .page import Page  # noqa: PLC0415 - altair need not be installed

    with closing(Look(pipeline)) as look:
        page = Page(look).export()
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UnwritableFileError(file, error.strerror or str(error)) from error
    tell(f"The dashboard is in {file}.")
