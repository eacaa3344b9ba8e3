"""Walks a person through the first authorization of an application: `dlt-harvest --authorize`.

Harvest sends the person's browser back to this machine, to a port that only this machine can reach
(RFC 8252, 7.3), with a code that is exchanged for tokens. Nothing but the answer to the very
request of this command is taken.
"""

from __future__ import annotations

import secrets
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from dlt.common.configuration import with_config
from dlt.common.typing import TSecretStrValue

from .api.auth import DEVELOPERS
from .api.oauth import Application, access_tokens
from .errors import ConfigurationError, HarvestError, RedirectRefusedError
from .settings import BASE_URL, USER_AGENT, checked_base_url, checked_id_url

REDIRECT_PORT = 8717
"""Where the browser comes back to, unless the user names another port. An application is registered
with its redirect, so it must be the same each time."""

PATIENCE = 600.0
"""Seconds that a person has to agree."""

PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>dlt-harvest</title>
<p style="font: 1.2em sans-serif; margin: 3em">{}</p>"""


@with_config(sections=("sources", "harvest"))
def authorize(
    port: int,
    tell: Callable[[str], object],
    *,
    patience: float = PATIENCE,
    client_id: str | None = None,
    client_secret: TSecretStrValue | None = None,
    refresh_token: TSecretStrValue | None = None,
    token_file: str | None = None,
    id_url: str | None = None,
    base_url: str = BASE_URL,
    user_agent: str = USER_AGENT,
) -> None:
    """Get an application's first tokens and keep them in its token file.

    Args:
        port: Where this machine waits for the browser.
        tell: Takes lines for the user.
        patience: Seconds that a person has to agree.
        client_id: As `harvest_source` takes it, from dlt's configuration, like the rest.
        client_secret: See there.
        refresh_token: See there; the new tokens take its place.
        token_file: See there.
        id_url: See there.
        base_url: See there.
        user_agent: See there.

    Raises:
        HarvestError: The application was not authorized; its text says why, and what to do.
    """
    application = Application(client_id, client_secret, refresh_token, token_file)
    tokens = access_tokens(
        application, checked_id_url(id_url, checked_base_url(base_url)), user_agent
    )
    state, redirect_uri = secrets.token_urlsafe(32), f"http://127.0.0.1:{port}/"
    address = tokens.authorize_url(redirect_uri, state)
    with _listening(port, partial(tokens.code_of, state=state), tokens.harvest_id.url) as answers:
        tell(f"The application's redirect URL at {DEVELOPERS} must be {redirect_uri}")
        tell(f"Open this address, sign in and agree:\n\n  {address}\n")
        if sys.stdin.isatty() and sys.stdout.isatty():
            webbrowser.open(address)
        tell(f"Waiting for the browser. Is it on another machine? There: ssh -L {port}:127.0.0.1:"
             f"{port} and this machine's name.")  # fmt: skip
        try:
            answer = answers.get(timeout=patience)
        except Empty:
            raise RedirectRefusedError("timeout") from None
    if isinstance(answer, HarvestError):
        raise answer
    tokens.exchange(answer, redirect_uri)
    reached = tokens.harvest_id.accounts(tokens.current())
    tell(f"Authorized. The tokens are kept in {tokens.file.path}, readable by you alone.")
    if not reached:
        tell("They reach no Harvest account: authorize as a person who belongs to one.")
        return
    tell("Set `account_id` to an account that they reach:\n")
    for account in reached:
        tell(f"  {account.id:<12}{account.name}")


@contextmanager
def _listening(
    port: int, code_of: Callable[[str], str], id_url: str
) -> Iterator[Queue[str | HarvestError]]:
    """Yield what the redirect brings, once it comes: a code, or why there is none."""
    answers: Queue[str | HarvestError] = Queue()
    parts = urlsplit(id_url)
    origins = (None, "null", f"{parts.scheme}://{parts.netloc}")
    handler = partial(_Handler, port, code_of, answers, origins)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError):
        raise ConfigurationError(
            "--authorize",
            f"can't wait for the browser at port {port}",
            f"name a free port, such as `--authorize {REDIRECT_PORT + 1}`, and register it in the "
            "application's redirect URL",
        ) from None
    with server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield answers
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """Takes one redirect, and refuses what did not come from Harvest."""

    timeout = 10.0  # a browser opens connections that it never uses

    def __init__(
        self,
        port: int,
        code_of: Callable[[str], str],
        answers: Queue[str | HarvestError],
        origins: tuple[str | None, ...],
        *args: Any,
    ) -> None:
        self._port, self._code_of, self._answers, self._origins = port, code_of, answers, origins
        super().__init__(*args)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/" or not url.query:  # a browser asks for an icon too
            self.send_error(404)
            return
        answer: str | HarvestError
        try:
            self._check_origin()
            answer = self._code_of(self.path)
            status, said = 200, "Harvest was told. You can close this page and go back."
        except HarvestError as error:
            answer, status, said = error, 400, "This was refused; the command says why."
        self._say(status, said)
        self._answers.put(answer)

    def _check_origin(self) -> None:
        """Refuse what another page sends here, under a name of its own or in the background.

        Raises:
            RedirectRefusedError: It comes from elsewhere than Harvest.
        """
        called = self.headers.get("Host") == f"127.0.0.1:{self._port}"
        if not called or self.headers.get("Origin") not in self._origins:
            raise RedirectRefusedError("other_origin")

    def _say(self, status: int, text: str) -> None:
        content = PAGE.format(text).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing: the path holds the code."""
