"""The server: sockets around the service and its control."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import Self

from . import control
from .service import ACCOUNTS, TOKEN, Answer, Request, Service


class Sandbox(Service):
    """Serves an account on a free local port while the context is open.

    Args:
        size: How large an agency, see `seed.SIZES`.
        seed: The same seed gives the same agency.
        port: 0 for a free one.
        settings: The other arguments of `Service`.
    """

    def __init__(
        self, size: str = "tiny", seed: int = 1, *, port: int = 0, **settings: Any
    ) -> None:
        super().__init__(size, seed, **settings)
        handler = type("Handler", (_Handler,), {"sandbox": self})
        self._server = _Server(("127.0.0.1", port), handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v2"

    @property
    def id_url(self) -> str:
        """Where applications get tokens; with Harvest that is another host."""
        return self.base_url.removesuffix("/v2")

    @property
    def accounts_url(self) -> str:
        """Where the accounts of a token are listed; with Harvest that is another host."""
        return self.base_url.replace("/v2", ACCOUNTS)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    sandbox: Sandbox

    def log_message(self, *_: object) -> None:
        """Stay quiet: the log is `Sandbox.log`."""

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002
        """Let the `Date` header show the sandbox's clock."""
        ahead = self.sandbox.date_ahead or 0.0
        return super().date_time_string(self.sandbox.clock.now().timestamp() + ahead)

    def send_header(self, keyword: str, value: str) -> None:
        """Leave `Date` out where the sandbox shall not name it."""
        if keyword != "Date" or self.sandbox.date_ahead is not None:
            super().send_header(keyword, value)

    def do_GET(self) -> None:
        """Answer as Harvest, or as the control."""
        url = urlsplit(self.path)
        if url.path.startswith(control.PREFIX):
            self._control("GET")
            return
        self._ask(url.path, url.query, "GET")

    def do_POST(self) -> None:
        """Give a token, or answer as the control: Harvest's own writes are not there."""
        if self.path.startswith(control.PREFIX):
            self._control("POST")
        elif self.path == TOKEN:
            form = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._ask(self.path, form.decode(), "POST")
        else:
            self.send_error(501)

    def _ask(self, path: str, query: str, method: str) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(path, dict(parse_qsl(query)), headers=headers, method=method)
        self._send(self.sandbox.answer(request))

    def _control(self, method: str) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send(control.answer(self.sandbox, method, self.path, content))

    def _send(self, answer: Answer) -> None:
        content = answer.content
        if answer.broken:
            self.close_connection = True
        if answer.broken == "drop":
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", f"{answer.media_type}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(content[: len(content) // 2] if answer.broken else content)
            self.wfile.flush()
        except ConnectionError:
            self.close_connection = True
