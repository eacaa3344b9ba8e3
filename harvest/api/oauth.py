"""An application's access, granted by a person: OAuth2 beside the personal token.

https://help.getharvest.com/api-v2/authentication-api/authentication/authentication/

The access token runs out, the refresh token that renews it may be replaced with each renewal, and
then the one before it is worth nothing. So both are kept in a file that its owner alone can read,
and are renewed under its lock by whichever run comes first; all others find the new ones there.

oauthlib speaks the protocol: what is asked, whether a redirect carries our state, what an answer
says. It opens no connections, so requests stay dlt's. requests-oauthlib and Authlib bring sessions
of their own, which dlt's REST client has no place for, and renew without a lock;
`OAuth2ClientCredentials` of dlt forgets the refresh token that comes back.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkstemp
from threading import Lock
from time import time
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from dlt.common import logger
from dlt.common.configuration.specs.base_configuration import NotResolved
from dlt.sources.helpers.rest_client.auth import OAuth2AuthBase
from filelock import FileLock
from oauthlib.common import add_params_to_uri
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter

from ..errors import (
    ConfigurationError,
    MalformedAnswerError,
    NoAccessTokenError,
    RedirectRefusedError,
    StatusError,
    UnreachableError,
)
from ..settings import checked_user_agent, data_folder, pasted
from .auth import DEVELOPERS, clean_account_id
from .rate_limit import LimitedClient

AUTHORIZE, TOKEN, ACCOUNTS = "/oauth2/authorize", "/api/v2/oauth2/token", "/api/v2/accounts"

HOW_TO_AUTHORIZE = "authorize the application with `dlt-harvest --authorize`"

EARLY = 60.0
"""Seconds by which an access token is renewed before it runs out, so that it lasts on its way."""

Unlisted = Annotated[str, NotResolved()]
"""A secret among the source's arguments that `sign_ins` looks up where it is not given.

`dlt init` puts each argument that dlt resolves as a secret into the user's secrets, needed or not.
"""

OTHERS = 0o077
"""What anyone but a file's owner may do with it."""


class Reached(msgspec.Struct):
    """An account that a token reaches."""

    id: int
    product: str
    name: str = ""


class Reaches(msgspec.Struct):
    """All of them, those of Forecast too."""

    accounts: list[Reached]


class HarvestId:
    """Harvest ID, which gives tokens and says what they reach.

    Its requests count in no budget of the API.

    Args:
        id_url: Its address, without a slash at its end.
        user_agent: Application and contact, which Harvest demands.
    """

    def __init__(self, id_url: str, user_agent: str) -> None:
        self.url = id_url
        self._headers = {"User-Agent": checked_user_agent(user_agent), "Accept": "application/json"}
        self._http = LimitedClient(HTTPAdapter(), raise_for_status=False, request_max_attempts=5)

    def token(self, form: str) -> dict[str, Any]:
        """Return what is given for a code or a refresh token.

        Raises:
            NoAccessTokenError: The answer is no token.
            UnreachableError: No answer came.
        """
        form_type = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._ask("POST", TOKEN, data=form, headers={**self._headers, **form_type})
        reason = str(answer.status_code)
        if answer.status_code < 500 and _is_object(answer):
            try:
                return dict(WebApplicationClient("").parse_request_body_response(answer.text))
            except OAuth2Error as error:
                reason = _code_of(error)
        # Raised out here, so that no text of Harvest's hangs on to it: it may repeat what was sent.
        raise NoAccessTokenError(reason)

    def accounts(self, token: str) -> list[Reached]:
        """Return the Harvest accounts that a token reaches; Forecast's are left out.

        Raises:
            StatusError: The token is refused.
            MalformedAnswerError: The answer lists no accounts.
            UnreachableError: No answer came.
        """
        bearer = {"Authorization": f"Bearer {token}"}
        answer = self._ask("GET", ACCOUNTS, headers={**self._headers, **bearer})
        if answer.status_code != 200:
            raise StatusError("accounts", answer, setting="id_url")
        try:
            reaches = msgspec.json.decode(answer.content, type=Reaches)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise MalformedAnswerError(
                "accounts", "it lists no accounts", answer, setting="id_url"
            ) from None
        return [account for account in reaches.accounts if account.product == "harvest"]

    def _ask(self, method: str, path: str, **options: Any) -> Response:
        try:
            answer = self._http.request(
                method, f"{self.url}{path}", allow_redirects=False, **options
            )
        except RequestException as error:
            host = urlsplit(self.url).netloc
            reason = type(error).__name__
            raise UnreachableError(path, host, reason, setting="id_url") from None
        return answer


@dataclass(frozen=True, repr=False)
class Kept:
    """What a token file holds.

    Attributes:
        refresh_token: The one that is good now.
        access_token: The one that came with it; empty if none did yet.
        expires_at: Until when it is good, in seconds since 1970; None where Harvest does not say.
        replaces: The mark of the setting `refresh_token` that this one follows; empty for none. So
            a new one in the settings is told from the one that was replaced since.
    """

    refresh_token: str
    access_token: str = ""
    expires_at: float | None = None
    replaces: str = ""

    @classmethod
    def given(cls, token: dict[str, Any], before: str = "", replaces: str = "") -> Kept:
        """Return what to keep of an answer, which may leave the refresh token as it was."""
        expires_in = token.get("expires_in")
        return cls(
            refresh_token=str(token.get("refresh_token") or before),
            access_token=str(token["access_token"]),
            expires_at=None if expires_in is None else time() + float(expires_in),
            replaces=replaces,
        )

    def is_good(self, refused: str) -> bool:
        """Tell whether the access token can be used, which must be another than a refused one."""
        lasts = self.expires_at is None or time() < self.expires_at - EARLY
        return self.access_token not in ("", refused) and lasts


class TokenFile:
    """The file that holds the tokens, for its owner alone. Processes and threads may share it.

    Args:
        path: Where it is. A link leads to the file that is meant.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no one else renew meanwhile.

        The system releases the lock when a process ends, however it does.

        Raises:
            ConfigurationError: Nothing can be written there.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{self.path}.lock", mode=0o600)
            lock.acquire()
        except OSError as error:
            raise self._unusable("can't be written", error) from None
        try:
            yield
        finally:
            lock.release()

    def read(self) -> Kept | None:
        """Return what is kept; None where there is no file.

        A file that others can read is closed to them, and its owner told.

        Raises:
            ConfigurationError: It can't be read, or is no token file.
        """
        try:
            if os.name == "posix" and self.path.stat().st_mode & OTHERS:
                self.path.chmod(0o600)
                logger.warning(
                    f"`token_file` ({self.path}) could be read by others: it is closed to them now."
                )
            return msgspec.json.decode(self.path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable("can't be read", error) from None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ConfigurationError(
                "token_file",
                f"({self.path}) holds no tokens",
                f"name another file, or delete it and {HOW_TO_AUTHORIZE}",
            ) from None

    def write(self, kept: Kept) -> None:
        """Put tokens in the place of those before, all at once.

        Raises:
            ConfigurationError: Nothing can be written there.
        """
        self._replace(msgspec.json.encode(asdict(kept)))

    def prove_writable(self) -> None:
        """Replace the file by itself.

        A refresh token that was used may be worth nothing, so the next one must find its place.

        Raises:
            ConfigurationError: Nothing can be written there.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = None
        self._replace(content or b"")
        if content is None:
            self.path.unlink()

    def _replace(self, content: bytes) -> None:
        draft = ""
        try:
            handle, draft = mkstemp(prefix=f"{self.path.name}.", dir=self.path.parent)  # mode 0600
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(self.path)
        except OSError as error:
            if draft:
                Path(draft).unlink(missing_ok=True)
            raise self._unusable("can't be written", error) from None

    def _unusable(self, what: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            "token_file",
            f"({self.path}) {what} ({error.strerror or type(error).__name__})",
            "name a file in a folder that lasts and that this user may write to",
        )


class AccessTokens:
    """The tokens of an application. Threads and accounts share them.

    Args:
        client: The application, as oauthlib has it.
        client_secret: Its secret.
        file: Where its tokens are kept.
        harvest_id: Who renews them.
        refresh_token: The setting; empty where only the file has one. It is good until the file has
            another that follows it.
    """

    def __init__(
        self,
        client: WebApplicationClient,
        client_secret: str,
        file: TokenFile,
        harvest_id: HarvestId,
        refresh_token: str = "",
    ) -> None:
        self.harvest_id, self.file = harvest_id, file
        self._client, self._client_secret = client, client_secret
        self._set, self._mark = refresh_token, _mark(client.client_id, refresh_token)
        self._lock = Lock()
        self._kept: Kept | None = None

    def current(self, refused: str = "") -> str:
        """Return an access token that is good.

        Args:
            refused: An access token that Harvest refused though its time was not over.

        Raises:
            NoAccessTokenError: Harvest gives none.
            UnreachableError: Harvest does not answer.
            ConfigurationError: The token file can't be used.
        """
        with self._lock:
            if self._kept is None or not self._kept.is_good(refused):
                self._kept = self._renewed(refused)
            return self._kept.access_token

    def _renewed(self, refused: str) -> Kept:
        with self.file.locked():
            kept = self._latest()  # Another run may have renewed them.
            if kept.is_good(refused):
                return kept
            self.file.prove_writable()
            form = self._client.prepare_refresh_body(
                refresh_token=kept.refresh_token,
                client_id=self._client.client_id,
                client_secret=self._client_secret,
            )
            given = self.harvest_id.token(form)
            kept = Kept.given(given, kept.refresh_token, kept.replaces)
            self.file.write(kept)
            return kept

    def exchange(self, code: str, redirect_uri: str) -> None:
        """Keep the tokens that Harvest gives for the code of a redirect.

        Raises:
            NoAccessTokenError: Harvest gives none.
            UnreachableError: Harvest does not answer.
            ConfigurationError: The token file can't be used.
        """
        with self._lock, self.file.locked():
            self.file.prove_writable()
            form = self._client.prepare_request_body(
                code=code, redirect_uri=redirect_uri, client_secret=self._client_secret
            )
            self._kept = Kept.given(self.harvest_id.token(form), replaces=self._mark)
            self.file.write(self._kept)

    def authorize_url(self, redirect_uri: str, state: str) -> str:
        """Return where a person grants the application access.

        Harvest documents no PKCE, so none is sent.
        """
        return str(
            # Not `prepare_request_uri`, which refuses the sandbox for being without encryption.
            add_params_to_uri(
                f"{self.harvest_id.url}{AUTHORIZE}",
                [
                    ("response_type", "code"),
                    ("client_id", self._client.client_id),
                    ("redirect_uri", redirect_uri),
                    ("state", state),
                ],
            )
        )

    def code_of(self, redirect: str, state: str) -> str:
        """Return the code that a redirect brings.

        Args:
            redirect: Path and query of the redirect.
            state: What was sent along with the person.

        Raises:
            RedirectRefusedError: It is not the answer to what was asked, or access was denied.
        """
        try:
            # oauthlib demands https; a redirect to this machine is the exception (RFC 8252, 7.3).
            answer = self._client.parse_request_uri_response(f"https://127.0.0.1{redirect}", state)
            return str(answer["code"])
        except OAuth2Error as error:
            reason = _code_of(error)
        raise RedirectRefusedError(reason)

    def _latest(self) -> Kept:
        kept = self.file.read()
        if self._set and (kept is None or kept.replaces != self._mark):
            return Kept(self._set, replaces=self._mark)
        if kept is None:
            raise missing_refresh_token(self.file)
        return kept


class OAuth2(OAuth2AuthBase):
    """An application's access, and the account that it asks for.

    An access token that Harvest refuses before its time is renewed, and the request sent once more.

    Args:
        tokens: The application's tokens.
        account_id: The Harvest account's number.

    Raises:
        ConfigurationError: The account's number is malformed.
    """

    def __init__(self, tokens: AccessTokens, account_id: str | int) -> None:
        super().__init__()
        self.account_id = clean_account_id(account_id)
        self._tokens = tokens

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put both headers on the request."""
        request.headers["Harvest-Account-Id"] = self.account_id
        request.headers["Authorization"] = f"Bearer {self._tokens.current()}"
        request.register_hook("response", self._ask_again)  # type: ignore[no-untyped-call] # of requests
        return request

    def _ask_again(self, response: Response, **options: Any) -> Response:
        """Return the answer to the request with a new token, where the one it had was refused."""
        if response.status_code != 401:
            return response
        refused = response.request.headers["Authorization"].removeprefix("Bearer ")
        again = response.request.copy()
        again.headers["Authorization"] = f"Bearer {self._tokens.current(refused)}"
        response.close()
        connection: Any = response.connection
        answer: Response = connection.send(again, **options)
        answer.request = again
        return answer


@dataclass(frozen=True, repr=False)
class Application:
    """An application, as the settings have it.

    Args:
        client_id: The application, from https://id.getharvest.com/developers.
        client_secret: Its secret, from the same page.
        refresh_token: What an authorization brought; None where `token_file` has it.
        token_file: Where the tokens are kept; None for a file of the application's in our folder.
    """

    client_id: str | None
    client_secret: str | None
    refresh_token: str | None
    token_file: str | None


def access_tokens(application: Application, id_url: str, user_agent: str) -> AccessTokens:
    """Return the tokens of the application that is configured.

    Args:
        application: The application.
        id_url: Harvest ID's address, without a slash at its end.
        user_agent: Application and contact, which Harvest demands.

    Raises:
        ConfigurationError: A setting is missing or malformed.
    """
    client = _clean("client_id", application.client_id)
    secret = _clean("client_secret", application.client_secret)
    usual, chosen = data_folder() / f"oauth2-{_mark(client)[:12]}.json", application.token_file
    return AccessTokens(
        WebApplicationClient(client),
        secret,
        TokenFile(Path(chosen) if chosen else usual),
        HarvestId(id_url, user_agent),
        _clean("refresh_token", token) if (token := application.refresh_token) else "",
    )


def missing_refresh_token(file: TokenFile) -> ConfigurationError:
    """Return the error of an application that nobody authorized."""
    remedy = f"set it, or {HOW_TO_AUTHORIZE}"
    return ConfigurationError(
        "refresh_token", f"is missing, and there is no `token_file` {file.path}", remedy
    )


def _clean(setting: str, text: str | None) -> str:
    value = pasted(str(text or ""))
    if not value:
        raise ConfigurationError(setting, "is missing", f"copy it from {DEVELOPERS}")
    if not re.fullmatch(r"[!-~]+", value):
        raise ConfigurationError(setting, "holds characters that it can't have", "copy it anew")
    return value


def _is_object(answer: Response) -> bool:
    try:
        return isinstance(json.loads(answer.content), dict)
    except ValueError:
        return False


def _code_of(error: OAuth2Error) -> str:
    """Return the protocol's code of an error, which says nothing of what was sent."""
    code = str(error.error)
    return code if re.fullmatch(r"[a-z_]{1,40}", code) else "unknown"


def _mark(*parts: str) -> str:
    """Return what tells secrets apart and gives none of them away; empty for an empty one."""
    return sha256("\n".join(parts).encode()).hexdigest() if all(parts) else ""
