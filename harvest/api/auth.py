"""Who asks: what a client puts on every request so that Harvest knows the token and the account.

A client takes any of dlt's auth objects. dlt's debug log shows the headers that a client sets
itself, but not those that an auth object adds, so the token stays out of the log.
"""

from __future__ import annotations

import re

from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from requests import PreparedRequest

from ..errors import ConfigurationError
from ..settings import SPACES, pasted

DEVELOPERS = "https://id.getharvest.com/developers"

BEFORE_TOKEN = re.compile(r"^(authorization\s*:\s*)?bearer[\s:]+", re.IGNORECASE)


class PersonalToken(BearerTokenAuth):
    """A personal access token, and the account that it asks for.

    Args:
        token: The token, from https://id.getharvest.com/developers, as people paste it: spaces,
            line breaks, quotes and a leading "Bearer" are left out.
        account_id: The Harvest account's number, from the same page.

    Raises:
        ConfigurationError: One of them is missing or malformed. Its text holds no part of either,
            since the two may have been mixed up.
    """

    def __init__(self, token: TSecretStrValue, account_id: str | int) -> None:
        super().__init__(token=clean_token(token))
        self.account_id = clean_account_id(account_id)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put both headers on the request."""
        request.headers["Harvest-Account-Id"] = self.account_id
        return super().__call__(request)


def clean_token(text: TSecretStrValue) -> str:
    """Return a token without what copying left in it.

    Raises:
        ConfigurationError: It is empty, or no token.
    """
    token = BEFORE_TOKEN.sub("", pasted(str(text)))
    token = re.sub(f"[{SPACES}]", "", pasted(token))  # a terminal breaks long lines
    if not token:
        raise ConfigurationError("api_key", "is empty", f"copy the token from {DEVELOPERS}")
    if not re.fullmatch(r"[!-~]+", token):
        remedy = f"copy it anew from {DEVELOPERS}"
        raise ConfigurationError("api_key", "holds characters that no token has", remedy)
    return token


def clean_account_id(text: str | int) -> str:
    """Return the number of an account without what copying left around it.

    Raises:
        ConfigurationError: It is no number.
    """
    number = pasted(str(text))
    if not re.fullmatch(r"[0-9]+", number):
        remedy = f"give the account's number, which stands beside the token at {DEVELOPERS}"
        raise ConfigurationError("account_id", "is not a number", remedy)
    return number
