"""An application reads as a personal token does: its tokens are renewed, kept, and never shown."""

from __future__ import annotations

import json
import logging
import re
import socket
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from threading import Thread
from typing import Any

import dlt
import pytest
import requests
from dlt import Pipeline

from harvest import harvest_source
from harvest.authorize import authorize
from harvest.errors import (
    ConfigurationError,
    MissingCredentialsError,
    NoAccessTokenError,
    RedirectRefusedError,
)
from harvest.run import load
from harvest_sandbox import Sandbox
from harvest_sandbox.identity import CLIENT_ID, CLIENT_SECRET

from .processes import begun
from .running import EVER, SCRIPT, Make, as_environment, failure, run_script, running
from .truth import assert_equal, read

TOKEN = "/api/v2/oauth2/token"  # noqa: S105 - a path
TABLES = ("clients", "invoices", "invoice_payments")


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path: Path) -> dict[str, Any]:
    """Return the arguments of `harvest_source` that read the sandbox as an application."""
    return {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": sandbox.identity.grant(sandbox.token),
        "token_file": str(tmp_path / "tokens.json"),
        "id_url": sandbox.id_url,
        "account_id": str(sandbox.account_id),
        "base_url": sandbox.base_url,
        "anchor_date": EVER,
        "rate_limit": 100_000,
    }


def kept(settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the token file holds."""
    content: dict[str, Any] = json.loads(Path(settings["token_file"]).read_bytes())
    return content


def renewals(sandbox: Sandbox) -> list[int]:
    """Return the statuses of all requests for a token."""
    return [request.status for request in sandbox.log if request.path == TOKEN]


def test_load(sandbox: Sandbox, source: Make, duck: Pipeline, settings: dict[str, Any]) -> None:
    """An application loads all that its person may read, and asks for a token once."""
    duck.run(source().with_resources(*TABLES))
    assert_equal(duck, sandbox, *TABLES)
    assert renewals(sandbox) == [200]
    duck.run(source(full_read=True).with_resources(*TABLES))
    assert renewals(sandbox) == [200]  # the next run finds it in the file
    assert stat.S_IMODE(Path(settings["token_file"]).stat().st_mode) == 0o600


def test_all_accounts(sandbox: Sandbox, duck: Pipeline, settings: dict[str, Any]) -> None:
    """One application reads all accounts that its person belongs to, by one token."""
    other = sandbox.add_account()
    shared = sandbox.identity.grant(sandbox.shared_token)
    load(duck, "clients", **{**settings, "refresh_token": shared, "account_id": "all"})
    loaded = {(row["_account_id"], row["id"]) for row in read(duck, "clients")}
    assert loaded == {
        (account_id, client)
        for account_id, account in ((sandbox.account_id, sandbox.account), (515151, other.account))
        for client in account.records["clients"]
    }
    assert renewals(sandbox) == [200]


@pytest.mark.parametrize("rotates", [True, False])
def test_ends_in_mid_run(sandbox: Sandbox, source: Make, duck: Pipeline, *, rotates: bool) -> None:
    """An access token that ends in mid-run is renewed once, by whoever sees it first."""
    sandbox.rotates_tokens = rotates

    def before(_: int, request: Any) -> None:
        if request.path.endswith("/payments"):
            sandbox.before_request = None
            sandbox.identity.end_access()

    sandbox.before_request = before
    duck.run(source().with_resources(*TABLES))
    assert_equal(duck, sandbox, *TABLES)
    assert renewals(sandbox) == [200, 200]
    assert 1 <= len([r for r in sandbox.log if r.status == 401]) <= 20  # one for each worker


def test_renewed_in_time(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A token that is about to run out is renewed before Harvest refuses it."""
    sandbox.token_seconds = 59  # it would run out within the minute that it must last
    duck.run(source().with_resources("tasks", "clients"))
    assert len(renewals(sandbox)) > 1
    assert not [r for r in sandbox.log if r.status == 401]


def test_rotation(sandbox: Sandbox, source: Make, duck: Pipeline, settings: dict[str, Any]) -> None:
    """A refresh token that was replaced lasts over runs, though the setting is the old one."""
    sandbox.rotates_tokens = True
    seen = {settings["refresh_token"]}
    for _ in range(3):
        duck.run(source().with_resources("tasks"))
        seen.add(kept(settings)["refresh_token"])
        sandbox.identity.end_access()
    assert len(seen) == 4
    assert set(renewals(sandbox)) == {200}


def test_new_setting(
    sandbox: Sandbox, source: Make, duck: Pipeline, settings: dict[str, Any]
) -> None:
    """A refresh token that the user puts into the settings takes the place of the kept one."""
    duck.run(source().with_resources("tasks"))
    sandbox.identity.revoke()
    fresh = sandbox.identity.grant(sandbox.token)
    duck.run(source(refresh_token=fresh).with_resources("tasks"))
    assert kept(settings)["refresh_token"] == fresh
    duck.run(source(refresh_token="").with_resources("tasks"))  # the file is enough


def load_into(name: str) -> None:
    """Load two tables by what is configured, in a process of its own."""
    destination = dlt.destinations.duckdb(f"{name}.duckdb")
    load(dlt.pipeline(name, pipelines_dir=name, destination=destination), "tasks", "clients")


def test_two_at_once(
    sandbox: Sandbox, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, and threads in each, don't burn a refresh token that is good once."""
    sandbox.rotates_tokens = True
    sandbox.latency = 0.05
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    for _ in range(2):  # without an access token, and when it ended
        with begun(load_into, "one") as one, begun(load_into, "two") as two:
            for process in (one, two):
                process.join(120)
                assert process.exitcode == 0
        sandbox.identity.end_access()
    assert set(renewals(sandbox)) == {200}
    assert len(renewals(sandbox)) == 2


def test_two_sources_at_once(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """Two runs in one process share the file as two processes do."""
    sandbox.rotates_tokens = True

    def run(name: str) -> None:
        destination = dlt.destinations.duckdb(str(tmp_path / f"{name}.duckdb"))
        duck = dlt.pipeline(name, destination=destination, pipelines_dir=str(tmp_path / name))
        duck.run(harvest_source(**settings).with_resources("tasks"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, ("one", "two")))
    assert renewals(sandbox) == [200]


def test_refused(sandbox: Sandbox, source: Make, duck: Pipeline, settings: dict[str, Any]) -> None:
    """A refresh token that Harvest refuses ends the run in one line, and changes nothing."""
    duck.run(source().with_resources("tasks"))
    state, content = str(duck.state), Path(settings["token_file"]).read_bytes()
    sandbox.identity.revoke()
    said = str(failure(duck, source().with_resources("tasks")))
    assert "no access token (invalid_grant)" in said
    assert "--authorize" in said
    assert "\n" not in said
    assert str(duck.state) == state
    assert Path(settings["token_file"]).read_bytes() == content
    assert not list(Path(settings["token_file"]).parent.glob("tokens.json.*.json"))


def test_refused_at_first(sandbox: Sandbox, settings: dict[str, Any], tmp_path: Path) -> None:
    """On the command line too: one line, exit code 1, and no file is made."""
    sandbox.identity.revoke()
    ran = run_script("tasks", home=tmp_path, **as_environment(settings))
    assert ran.returncode == 1
    assert "invalid_grant" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""
    assert not Path(settings["token_file"]).exists()


def test_revoked_in_mid_run(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """Access that is taken back in mid-run ends the run; nothing half-read is loaded."""

    def before(_: int, request: Any) -> None:
        if request.path.endswith("/tasks"):
            sandbox.identity.revoke()

    sandbox.before_request = before
    said = failure(duck, source(keep_going=True).with_resources("tasks", "clients"))
    assert isinstance(said, NoAccessTokenError)


def test_still_refused(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A new token that is refused as well is not renewed again: the run says so."""
    sandbox.fault("status", path="/v2/tasks", status=401, times=-1)
    said = str(failure(duck, source().with_resources("tasks")))
    assert "`tasks`: Harvest answered 401" in said
    assert renewals(sandbox) == [200, 200]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("status", {"status": 503, "body": b"<html>"}, "(503): Harvest is in trouble"),
        ("status", {"status": 404, "body": b"<html>"}, "(404): check `client_id`"),
        ("not_json", {}, "(200): check `client_id`"),
        ("not_json", {"body": b"[]"}, "(200)"),
        ("not_json", {"body": b"{}"}, "(missing_token)"),
        ("status", {"status": 400, "body": b'{"error": "Odd <refresh-1-secret>"}'}, "(unknown)"),
        ("drop", {}, "check the network and `id_url`"),
    ],
)
def test_trouble(
    sandbox: Sandbox,
    source: Make,
    duck: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: dict[str, Any],
    said: str,
) -> None:
    """Whatever Harvest ID answers other than a token is named in one line."""
    monkeypatch.setattr("harvest.api.rate_limit.rest", lambda _: None)
    sandbox.fault(kind, path=TOKEN, times=-1, **options)
    line = str(failure(duck, source().with_resources("tasks")))
    assert said in line
    assert "\n" not in line
    assert "secret" not in line.replace("client_secret", "")


def test_passing_trouble(sandbox: Sandbox, source: Make, duck: Pipeline) -> None:
    """A fault of Harvest ID that passes costs a retry."""
    sandbox.fault("status", path=TOKEN, status=503)
    duck.run(source().with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"api_key": "a"}, "`api_key` and `client_id` are both set: keep"),
        ({"client_id": None}, "`client_id` is missing: copy it from"),
        ({"client_secret": ""}, "`client_secret` is missing: copy it from"),
        ({"client_secret": "a b"}, "`client_secret` holds characters"),
        ({"refresh_token": " "}, "`refresh_token` is missing"),
        ({"refresh_token": ""}, "`refresh_token` is missing, and there is no `token_file`"),
        ({"id_url": "http://id.getharvest.com"}, "`id_url` is not encrypted"),
        ({"id_url": "nowhere"}, "`id_url` does not begin with https://: write it like https://id."),
        ({"account_id": "x"}, "`account_id` is not a number"),
    ],
)
def test_settings(source: Make, changes: dict[str, Any], said: str) -> None:
    """Settings that are missing, malformed or contradict each other are named before a request."""
    with pytest.raises(ConfigurationError) as caught:
        list(source(**changes).resources)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_credentials(sandbox: Sandbox) -> None:
    """With an account, but neither a token nor an application, both ways are named."""
    with pytest.raises(MissingCredentialsError, match=r"personal token .* --authorize"):
        harvest_source(account_id="1", base_url=sandbox.base_url)


def test_readable_by_others(
    source: Make, duck: Pipeline, settings: dict[str, Any], told: list[str]
) -> None:
    """A token file that others can read is closed to them, and its owner told."""
    duck.run(source().with_resources("tasks"))
    file = Path(settings["token_file"])
    file.chmod(0o644)
    duck.run(source().with_resources("tasks"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len([line for line in told if "could be read by others" in line]) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"refresh_token": 1}'])
def test_no_token_file(
    source: Make, duck: Pipeline, settings: dict[str, Any], content: bytes
) -> None:
    """A file that holds something else is named, and left as it is."""
    file = Path(settings["token_file"])
    file.write_bytes(content)
    file.chmod(0o600)
    assert "holds no tokens" in str(failure(duck, source().with_resources("tasks")))
    assert file.read_bytes() == content


def test_unwritable(sandbox: Sandbox, source: Make, duck: Pipeline, tmp_path: Path) -> None:
    """Where no new refresh token could be kept, the one there is is not used."""
    sandbox.rotates_tokens = True
    (tmp_path / "file").write_text("")
    said = str(
        failure(duck, source(token_file=str(tmp_path / "file" / "t")).with_resources("tasks"))
    )
    assert "`token_file`" in said
    assert "can't be written" in said
    (tmp_path / "folder").mkdir()
    said = str(failure(duck, source(token_file=str(tmp_path / "folder")).with_resources("tasks")))
    assert "`token_file`" in said
    # Long enough for the lock beside it, but not for what takes the file's place.
    said = str(
        failure(duck, source(token_file=str(tmp_path / ("x" * 248))).with_resources("tasks"))
    )
    assert "can't be written" in said
    assert renewals(sandbox) == []
    duck.run(source().with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")


def test_default_file(sandbox: Sandbox, source: Make, duck: Pipeline, tmp_path: Path) -> None:
    """Without a name the file is dlt's user's, one for each application."""
    duck.run(source(token_file=None).with_resources("tasks"))
    (file,) = (tmp_path / "dlt" / "harvest").glob("oauth2-*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    duck.run(source(token_file=None, refresh_token="").with_resources("tasks"))
    assert renewals(sandbox) == [200]


def test_no_secret(
    sandbox: Sandbox,
    duck: Pipeline,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """No secret is in a log at DEBUG, an error, the trace, the state, the destination, or printed.

    The token file is the one place that holds them.
    """
    sandbox.rotates_tokens = True
    handler = logging.FileHandler(tmp_path / "all.log")
    loggers = [logging.getLogger(name) for name in ("", "dlt", "urllib3", "oauthlib", "filelock")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "DEBUG")
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)  # so that dlt's trace of the configuration sees them
    try:
        load(duck, "tasks", "users")
        sandbox.identity.end_access()
        load(duck, "tasks")
        sandbox.identity.revoke()
        with pytest.raises(NoAccessTokenError):
            load(duck, "tasks")
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
    (tmp_path / "printed").write_text("".join(capfd.readouterr()) + str(duck.last_trace))
    with duck.sql_client() as client:
        rows = client.execute_sql("SELECT * FROM _dlt_pipeline_state")
        (tmp_path / "states").write_text(str(rows) + str(duck.state))
    assert (tmp_path / "all.log").stat().st_size > 10_000
    secret = re.compile(rb"(refresh|access|code)-\d+-secret|" + CLIENT_SECRET.encode())
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) > 5
    shown = {path for path in files if secret.search(path.read_bytes())}
    assert shown == {Path(settings["token_file"])}


def test_demo(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo reads its sandbox, whatever application is configured."""
    for name, value in as_environment(settings).items():
        if "URL" not in name:
            monkeypatch.setenv(name, value)
    done = run_script("--demo", "tasks", home=tmp_path)
    assert done.returncode == 0, done.stderr


class Person:
    """Somebody who is told an address, opens it in a browser and agrees."""

    def __init__(self, act: Callable[[str], requests.Response]) -> None:
        self.lines: list[str] = []
        self.seen: list[requests.Response] = []
        self._act = act

    def tell(self, line: str) -> None:
        """Take a line."""
        self.lines.append(line)
        if found := re.search(r"http\S+/oauth2/authorize\S+", line):
            Thread(target=lambda: self.seen.append(self._act(found.group()))).start()


@pytest.fixture
def port() -> int:
    """Return a free port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number: int = taken.getsockname()[1]
        return number


@pytest.fixture
def application(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `authorize`: nobody authorized the application yet."""
    names = ("client_id", "client_secret", "token_file", "id_url")
    return {name: settings[name] for name in names}


def agree(sandbox: Sandbox, address: str, **headers: str) -> requests.Response:
    """Open the page, and follow its link back to the command."""
    page = requests.get(address, timeout=10)
    (link,) = re.findall(r'href="(.+)"', page.text)
    there = requests.get(sandbox.id_url + unescape(link), allow_redirects=False, timeout=10)
    return requests.get(there.headers["Location"], headers=headers, timeout=10)


def test_authorize(
    sandbox: Sandbox, source: Make, duck: Pipeline, application: dict[str, Any], port: int
) -> None:
    """A person agrees, the accounts that are reached are listed, and the file is enough to load."""
    sandbox.add_account()
    sandbox.person = sandbox.shared_token
    sandbox.rotates_tokens = True
    person = Person(lambda address: agree(sandbox, address))
    authorize(port, person.tell, **application)
    assert person.seen[0].status_code == 200
    said = "\n".join(person.lines)
    assert re.search(r"424242 +Sandbox Agency\n +515151 +Agency 515151$", said)
    assert "777777" not in said  # Forecast's
    assert "secret" not in said
    assert stat.S_IMODE(Path(application["token_file"]).stat().st_mode) == 0o600
    duck.run(source(refresh_token="").with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")


def test_authorize_again(
    sandbox: Sandbox, source: Make, duck: Pipeline, settings: dict[str, Any], port: int
) -> None:
    """A new authorization takes the place of a refresh token in the settings that is refused."""
    sandbox.identity.revoke()
    failure(duck, source().with_resources("tasks"))
    names = ("client_id", "client_secret", "refresh_token", "token_file", "id_url")
    person = Person(lambda address: agree(sandbox, address))
    authorize(port, person.tell, **{name: settings[name] for name in names})
    duck.run(source().with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda url: {"url": re.sub("state=[^&]+", "state=other", url)}, "another `state`"),
        (lambda url: {"url": re.sub("&state=[^&]+", "", url)}, "another `state`"),
        (
            lambda url: {"url": url, "headers": {"Origin": "https://other.example"}},
            "another origin",
        ),
        (lambda url: {"url": url, "headers": {"Host": "rebound.example"}}, "another origin"),
        (lambda url: {"url": re.sub("code=", "error=access_denied&x=", url)}, "access was denied"),
        (lambda url: {"url": re.sub("code=", "error=Odd+text&x=", url)}, "(unknown)"),
    ],
)
def test_redirect_refused(
    sandbox: Sandbox,
    application: dict[str, Any],
    port: int,
    spoil: Callable[[str], dict[str, Any]],
    said: str,
) -> None:
    """A redirect that is not Harvest's answer to this very request is refused in one line."""

    def act(address: str) -> requests.Response:
        page = requests.get(address, timeout=10)
        (link,) = re.findall(r'href="(.+)"', page.text)
        there = requests.get(sandbox.id_url + unescape(link), allow_redirects=False, timeout=10)
        return requests.get(**spoil(there.headers["Location"]), timeout=10)

    person = Person(act)
    with pytest.raises(RedirectRefusedError) as caught:
        authorize(port, person.tell, **application)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert renewals(sandbox) == []
    assert not Path(application["token_file"]).exists()


def test_other_paths(sandbox: Sandbox, application: dict[str, Any], port: int) -> None:
    """What else a browser asks for does not end the command."""

    def act(address: str) -> requests.Response:
        for path in ("favicon.ico", "", "x?code=1&state=2"):
            assert requests.get(f"http://127.0.0.1:{port}/{path}", timeout=10).status_code == 404
        return agree(sandbox, address)

    authorize(port, Person(act).tell, **application)
    assert Path(application["token_file"]).exists()


def test_nobody_comes(application: dict[str, Any], port: int) -> None:
    """A person who does not agree in time is told so."""
    with pytest.raises(RedirectRefusedError, match="no redirect came"):
        authorize(port, str, patience=0.1, **application)


def test_port_taken(application: dict[str, Any]) -> None:
    """A port that is taken is named, with a way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="can't wait for the browser at port"):
            authorize(taken.getsockname()[1], str, **application)


def test_wrong_secret(sandbox: Sandbox, application: dict[str, Any], port: int) -> None:
    """A wrong secret of the application is named, and no file is made."""
    person = Person(lambda address: agree(sandbox, address))
    with pytest.raises(NoAccessTokenError, match=r"invalid_client.*client_secret"):
        authorize(port, person.tell, **{**application, "client_secret": "wrong"})
    assert not Path(application["token_file"]).exists()


def test_command(sandbox: Sandbox, application: dict[str, Any], port: int, tmp_path: Path) -> None:
    """From the command line: the address is printed, no browser is opened without a terminal."""
    env = as_environment(application) | {"BROWSER": f"touch {tmp_path / 'opened'} %s"}
    command = [sys.executable, str(SCRIPT), "--authorize", str(port)]
    with running(command, tmp_path, **env) as ran:
        assert ran.stdout
        printed = ""
        while "oauth2/authorize" not in printed:
            printed = ran.stdout.readline()
        agree(sandbox, printed.strip())
        out, err = ran.communicate(timeout=60)
    assert ran.returncode == 0, err
    assert "424242" in out
    assert "secret" not in out + err
    assert not (tmp_path / "opened").exists()


def test_command_refused(tmp_path: Path) -> None:
    """Without an application there is one line and exit code 1."""
    done = run_script("--authorize", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("`client_id` is missing: copy it from https://id.getharvest.com")
    assert done.stderr.count("\n") == 1
