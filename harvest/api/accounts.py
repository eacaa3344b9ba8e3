"""Which accounts are read, and by which token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth

from ..errors import ConfigurationError
from ..settings import BASE_URL, checked_base_url, pasted
from .auth import DEVELOPERS, PersonalToken, clean_account_id, clean_token
from .client import HarvestClient

ALL = "all"
ID_URL = "https://id.getharvest.com/api/v2"
"""Where Harvest lists the accounts that a token reaches."""

BRACKETS = re.compile(r"^\s*\[|\]\s*$")

ClientOf = Callable[[str, BearerTokenAuth], HarvestClient]
"""Makes a client of an address and a token."""


class Listed(msgspec.Struct):
    """One of the accounts that a token reaches, of Harvest or of another product."""

    id: int
    product: str


def tokens_by_account(
    api_key: Any, account_id: Any, base_url: str, client_of: ClientOf
) -> dict[int, PersonalToken]:
    """Return the accounts that are configured, each with its token, in their order.

    Args:
        api_key: A token for all accounts, or one for each.
        account_id: Numbers of accounts, or "all" for each Harvest account that the token reaches.
            Both may be lists, or texts with commas, as environment variables have them.
        base_url: The API's address.
        client_of: Makes a client that asks which accounts "all" are.

    Raises:
        ConfigurationError: They are malformed or do not fit each other. Its text holds no part of
            either, since the two may have been mixed up.
        HarvestError: The list of accounts could not be read.
    """
    tokens = [clean_token(text) for text in _items(api_key)]
    texts = _items(account_id)
    if ALL in [pasted(text).lower() for text in texts]:
        if len(texts) > 1:
            remedy = 'give "all" alone, or the accounts\' numbers'
            raise ConfigurationError("account_id", 'names "all" beside others', remedy)
        if len(tokens) > 1:
            remedy = "name the accounts, in the order of the tokens"
            raise ConfigurationError("account_id", 'is "all" for several tokens', remedy)
        client = client_of(accounts_address(base_url), BearerTokenAuth(tokens[0]))
        texts = [str(account) for account in _reached(client)]
    numbers = [clean_account_id(text) for text in texts]
    accounts = list(map(int, numbers))
    if len(tokens) == 1:
        return dict(zip(accounts, (PersonalToken(tokens[0], n) for n in numbers), strict=True))
    if len(tokens) != len(accounts):
        problem = f"holds {len(tokens)} tokens, and `account_id` {_counted(accounts)}"
        remedy = "give one token for all accounts, or one for each, in the same order"
        raise ConfigurationError("api_key", problem, remedy)
    if len(set(accounts)) < len(accounts):
        remedy = "name each account once, with its token"
        raise ConfigurationError("account_id", "names an account twice", remedy)
    return dict(zip(accounts, map(PersonalToken, tokens, numbers), strict=True))


def accounts_address(base_url: str) -> str:
    """Return below which address accounts are listed.

    With Harvest it is another host than the API's. A proxy stands for both, since a token must not
    be sent past it.
    """
    parts = urlsplit(checked_base_url(base_url))
    if parts.hostname == urlsplit(BASE_URL).hostname:
        return ID_URL
    return f"{parts.scheme}://{parts.netloc}/api/v2"


def _items(setting: Any) -> list[str]:
    """Return the parts of a setting: a list, or a text with commas, also in brackets as in JSON."""
    if isinstance(setting, Iterable) and not isinstance(setting, str):
        return [part for item in setting for part in _items(item)] or [""]
    parts = BRACKETS.sub("", str(setting)).split(",")
    return parts if len(parts) == 1 or pasted(parts[-1]) else parts[:-1]


def _reached(client: HarvestClient) -> list[int]:
    try:
        listed = msgspec.convert(client.record("accounts").get("accounts"), list[Listed])
    except msgspec.ValidationError:
        problem, remedy = 'is "all", but Harvest lists no accounts', "name the accounts"
        raise ConfigurationError("account_id", problem, remedy) from None
    reached = [account.id for account in listed if account.product == "harvest"]
    if not reached:
        problem = 'is "all", but the token reaches no Harvest account'
        remedy = f"make a token at {DEVELOPERS} as somebody who belongs to one"
        raise ConfigurationError("account_id", problem, remedy)
    return reached


def _counted(accounts: list[int]) -> str:
    return f"{len(accounts)} account" + ("s" if len(accounts) > 1 else "")
