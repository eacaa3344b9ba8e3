"""Which accounts are read, and by which token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dlt

from ..errors import ConfigurationError, MissingCredentialsError
from ..settings import parts_of, pasted
from .auth import DEVELOPERS, PersonalToken, clean_account_id, clean_token
from .oauth import Application, HarvestId, OAuth2, access_tokens, missing_refresh_token

ALL = "all"

Auth = PersonalToken | OAuth2


@dataclass(frozen=True, repr=False)
class SignIn:
    """Who asks, by whichever kind of token.

    Attributes:
        account: Makes what asks for an account, by its number.
        token: Returns the token that is good now.
    """

    account: Callable[[str | int], Auth]
    token: Callable[[], str]


def sign_ins(api_key: Any, application: Application, id_url: str, user_agent: str) -> list[SignIn]:
    """Return who asks: for all accounts, or for each of them, in their order.

    Args:
        api_key: A personal token for all accounts, or one for each: a list, or a text with commas,
            as environment variables have it. None where an application is configured.
        application: An application in place of tokens. A `client_id` that is empty, and not None,
            means personal tokens whatever is configured. A secret that is not given is looked up.
        id_url: Harvest ID's address, without a slash at its end.
        user_agent: Application and contact, which Harvest demands.

    Raises:
        ConfigurationError: Both kinds are configured or none, or a setting is malformed. Its text
            holds no part of a token.
    """
    secrets = {
        name: getattr(application, name) or dlt.secrets.get(f"sources.harvest.{name}")
        for name in ("client_secret", "refresh_token")
    }
    named = {"client_id": application.client_id, **secrets}
    given = [name for name, value in named.items() if value and application.client_id != ""]
    if not given and api_key is None:
        raise MissingCredentialsError
    if not given:
        return [_personal(clean_token(text)) for text in parts_of(api_key)]
    if api_key:
        raise ConfigurationError(
            "api_key",
            f"and `{given[0]}` are both set",
            "keep `api_key` to read with a personal token, or `client_id` and `client_secret` to "
            "read with an application's",
        )
    tokens = access_tokens(replace(application, **secrets), id_url, user_agent)
    if not secrets["refresh_token"] and not tokens.file.path.exists():
        raise missing_refresh_token(tokens.file)
    return [SignIn(partial(OAuth2, tokens), tokens.current)]


def auth_by_account(
    signed_in: list[SignIn], account_id: Any, harvest_id: HarvestId
) -> dict[int, Auth]:
    """Return the accounts that are configured, each with what asks for it, in their order.

    Args:
        signed_in: Who asks for all accounts, or for each.
        account_id: Numbers of accounts, or "all" for each Harvest account that the token reaches: a
            list, or a text with commas.
        harvest_id: Says which accounts "all" are.

    Raises:
        ConfigurationError: They are malformed or do not fit each other. Its text holds no part of
            either, since tokens and numbers may have been mixed up.
        HarvestError: The list of accounts could not be read.
    """
    texts = parts_of(account_id)
    if ALL in [pasted(text).lower() for text in texts]:
        if len(texts) > 1:
            remedy = 'give "all" alone, or the accounts\' numbers'
            raise ConfigurationError("account_id", 'names "all" beside others', remedy)
        if len(signed_in) > 1:
            remedy = "name the accounts, in the order of the tokens"
            raise ConfigurationError("account_id", 'is "all" for several tokens', remedy)
        texts = [str(account.id) for account in harvest_id.accounts(signed_in[0].token())]
        if not texts:
            problem = 'is "all", but the token reaches no Harvest account'
            remedy = f"make a token at {DEVELOPERS} as somebody who belongs to one"
            raise ConfigurationError("account_id", problem, remedy)
    numbers = [clean_account_id(text) for text in texts]
    accounts = list(map(int, numbers))
    if len(signed_in) == 1:
        return {account: signed_in[0].account(account) for account in accounts}
    if len(signed_in) != len(accounts):
        problem = f"holds {len(signed_in)} tokens, and `account_id` {_counted(accounts)}"
        remedy = "give one token for all accounts, or one for each, in the same order"
        raise ConfigurationError("api_key", problem, remedy)
    if len(set(accounts)) < len(accounts):
        remedy = "name each account once, with its token"
        raise ConfigurationError("account_id", "names an account twice", remedy)
    return {a: sign_in.account(a) for a, sign_in in zip(accounts, signed_in, strict=True)}


def _personal(token: str) -> SignIn:
    return SignIn(partial(PersonalToken, token), lambda: token)


def _counted(accounts: list[int]) -> str:
    return f"{len(accounts)} account" + ("s" if len(accounts) > 1 else "")
