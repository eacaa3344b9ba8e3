"""id.getharvest.com: consent to an application, and the tokens that it gets. No HTTP.

It follows https://help.getharvest.com/api-v2/authentication-api/authentication/authentication/.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from urllib.parse import urlencode

from . import answers
from .account import Record
from .clock import Clock

CLIENT_ID, CLIENT_SECRET = "sandbox-application", "application-secret"
REDIRECT_URI = "http://127.0.0.1"
"""What the application registered; each redirect must begin with it."""


@dataclass
class Grant:
    """What a person allowed the application.

    Args:
        person: The personal token as which the application's access tokens are read.
        redirect_uri: Where the code was sent.
        code: The code that was not yet exchanged.
        refresh_token: The one that is good now; empty where it was revoked.
    """

    person: str
    redirect_uri: str = ""
    code: str = ""
    refresh_token: str = ""


class Identity:
    """One application and what people granted it. Each call is atomic.

    Args:
        clock: Harvest's clock.

    Attributes:
        grants: All of them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, Lock()
        self.grants: list[Grant] = []
        self._access: dict[str, tuple[Grant, datetime | None]] = {}
        self._count = 0

    def grant(self, person: str) -> str:
        """Let a person grant the application access; return the refresh token."""
        with self._lock:
            grant = Grant(person, refresh_token=self._new("refresh"))
            self.grants.append(grant)
            return grant.refresh_token

    @staticmethod
    def check(params: dict[str, str]) -> str:
        """Return where a person who is asked for consent would be sent."""
        redirect_uri = params.get("redirect_uri", REDIRECT_URI)
        known = params.get("client_id") == CLIENT_ID and redirect_uri.startswith(REDIRECT_URI)
        if not known or params.get("response_type") != "code":
            raise answers.AnswerNow(400, b"<h1>The application is unknown</h1>")
        return redirect_uri

    def consent(self, params: dict[str, str], person: str) -> str:
        """Return where a person is sent who agreed."""
        redirect_uri = self.check(params)
        with self._lock:
            grant = Grant(person, redirect_uri, code=self._new("code"))
            self.grants.append(grant)
        back = {"code": grant.code, "scope": "harvest:all"}
        if "state" in params:
            back["state"] = params["state"]
        return f"{redirect_uri}?{urlencode(back)}"

    def token(self, form: dict[str, str], seconds: int | None, *, rotates: bool) -> Record:
        """Exchange a code or a refresh token for an access token.

        Args:
            form: The request's form.
            seconds: How long the access token is good; None to leave it unsaid, for ever.
            rotates: Whether a refresh ends the refresh token and the access tokens before it.
        """
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            raise answers.oauth_error(401, "invalid_client")
        kind = form.get("grant_type")
        if kind not in ("authorization_code", "refresh_token"):
            raise answers.oauth_error(400, "unsupported_grant_type")
        with self._lock:
            grant = self._exchanged(kind, form)
            if kind == "authorization_code" or rotates:
                grant.code, grant.refresh_token = "", self._new("refresh")
                self._access = {k: v for k, v in self._access.items() if v[0] is not grant}
            token, until = self._new("access"), None
            if seconds is not None:
                until = self._clock.now() + timedelta(seconds=seconds)
            self._access[token] = (grant, until)
        given: Record = {
            "access_token": token,
            "refresh_token": grant.refresh_token,
            "token_type": "bearer",
        }
        return given if seconds is None else {**given, "expires_in": seconds}

    def person_of(self, token: str) -> str:
        """Return the personal token as which an access token is read; any other as it is."""
        with self._lock:
            grant, until = self._access.get(token, (None, None))
        if grant is None:
            return token
        return grant.person if until is None or self._clock.now() < until else ""

    def end_access(self) -> None:
        """End all access tokens, before their time."""
        with self._lock:
            self._access.clear()

    def revoke(self) -> None:
        """Take back all that was granted."""
        with self._lock:
            self._access.clear()
            self.grants.clear()

    def _exchanged(self, kind: str, form: dict[str, str]) -> Grant:
        for grant in self.grants:
            if kind == "refresh_token" and form.get("refresh_token") == grant.refresh_token != "":
                return grant
            its = (form.get("code"), form.get("redirect_uri"))
            if kind == "authorization_code" and its == (grant.code, grant.redirect_uri):
                return grant
        raise answers.oauth_error(400, "invalid_grant")

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}-secret"
