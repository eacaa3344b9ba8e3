"""The sandbox plays id.getharvest.com."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from harvest_sandbox import Sandbox
from harvest_sandbox.identity import CLIENT_ID, CLIENT_SECRET

from .asking import Json, ask

AGENT = {"User-Agent": "tests"}
BACK = "http://127.0.0.1:1/back"


def exchange(sandbox: Sandbox, **form: str) -> requests.Response:
    """Ask for a token."""
    whole = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **form}
    url = f"{sandbox.id_url}/api/v2/oauth2/token"
    return requests.post(url, whole, headers=AGENT, timeout=10)


def refreshed(sandbox: Sandbox, token: str) -> Json:
    """Renew an access token."""
    answer = exchange(sandbox, grant_type="refresh_token", refresh_token=token)
    answer.raise_for_status()
    body: Json = answer.json()
    return body


def agreed(sandbox: Sandbox, **params: str) -> dict[str, list[str]]:
    """Agree on the page that asks for consent; return what the redirect carries."""
    query = {"client_id": CLIENT_ID, "response_type": "code", "redirect_uri": BACK, **params}
    page = requests.get(f"{sandbox.id_url}/oauth2/authorize", query, timeout=10)
    assert "May this application" in page.text
    (link,) = re.findall(r'href="(.+)"', page.text)
    answer = requests.get(sandbox.id_url + unescape(link), allow_redirects=False, timeout=10)
    assert answer.status_code == 302
    there = urlsplit(answer.headers["Location"])
    assert f"{there.scheme}://{there.netloc}{there.path}" == BACK
    return parse_qs(there.query)


def test_code(sandbox: Sandbox) -> None:
    """A person agrees, and the code of the redirect gives tokens, once."""
    back = agreed(sandbox, state="s")
    assert back["state"] == ["s"]
    (code,) = back["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
    given = exchange(sandbox, **form).json()
    assert given.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert given["expires_in"] == 1_209_600
    assert ask(sandbox, "users/me", given["access_token"]).status_code == 200
    again = exchange(sandbox, **form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "params",
    [
        {"client_id": "other"},
        {"redirect_uri": "https://other.example/"},
        {"response_type": "token"},
    ],
)
def test_unknown_application(sandbox: Sandbox, params: dict[str, str]) -> None:
    """Nobody is asked for an application that is unknown, or sent elsewhere than registered."""
    query = {"client_id": CLIENT_ID, "response_type": "code", "redirect_uri": BACK, **params}
    page = requests.get(f"{sandbox.id_url}/oauth2/authorize", query, timeout=10)
    assert page.status_code == 400
    assert not sandbox.identity.grants


def test_same_refresh_token(sandbox: Sandbox) -> None:
    """As documented, a refresh token can be used again and again."""
    token = sandbox.identity.grant(sandbox.token)
    first, second = refreshed(sandbox, token), refreshed(sandbox, token)
    assert first["refresh_token"] == second["refresh_token"] == token
    assert ask(sandbox, "users/me", first["access_token"]).status_code == 200


def test_rotation(sandbox: Sandbox) -> None:
    """If told so, each refresh ends the tokens before it."""
    sandbox.rotates_tokens = True
    token = sandbox.identity.grant(sandbox.token)
    first = refreshed(sandbox, token)
    used = exchange(sandbox, grant_type="refresh_token", refresh_token=token)
    assert (used.status_code, used.json()["error"]) == (400, "invalid_grant")
    second = refreshed(sandbox, first["refresh_token"])
    assert ask(sandbox, "users/me", first["access_token"]).status_code == 401
    assert ask(sandbox, "users/me", second["access_token"]).status_code == 200


def test_end(sandbox: Sandbox) -> None:
    """An access token ends with its time, or when it is ended; all ends when it is revoked."""
    sandbox.token_seconds = 60
    token = sandbox.identity.grant(sandbox.member_token)
    access = refreshed(sandbox, token)["access_token"]
    assert ask(sandbox, "users", access).status_code == 403  # it reads as the member does
    sandbox.clock.shift(seconds=60)
    assert ask(sandbox, "users", access).status_code == 401
    access = refreshed(sandbox, token)["access_token"]
    sandbox.identity.end_access()
    assert ask(sandbox, "users", access).status_code == 401
    sandbox.identity.revoke()
    refused = exchange(sandbox, grant_type="refresh_token", refresh_token=token)
    assert refused.json()["error"] == "invalid_grant"


def test_unsaid_time(sandbox: Sandbox) -> None:
    """Where it is not said how long an access token is good, it is good for ever."""
    sandbox.token_seconds = None
    given = refreshed(sandbox, sandbox.identity.grant(sandbox.token))
    assert "expires_in" not in given
    sandbox.clock.shift(days=1000)
    assert ask(sandbox, "users/me", given["access_token"]).status_code == 200


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        ({"client_secret": "wrong", "grant_type": "refresh_token"}, (401, "invalid_client")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "authorization_code", "code": ""}, (400, "invalid_grant")),
        ({"grant_type": "refresh_token", "refresh_token": ""}, (400, "invalid_grant")),
    ],
)
def test_refused(sandbox: Sandbox, form: dict[str, str], refused: tuple[int, str]) -> None:
    """What is refused is refused by OAuth's codes."""
    sandbox.identity.grant(sandbox.token)
    agreed(sandbox)
    answer = exchange(sandbox, **form)
    assert (answer.status_code, answer.json()["error"]) == refused
