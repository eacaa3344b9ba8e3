"""Who asks: what a client puts on every request so that Harvest knows the token and the account.

A client takes any of dlt's auth objects. As such a token stays out of dlt's debug log, which shows
the headers that a client sets itself.
"""

from __future__ import annotations

from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from requests import PreparedRequest


class PersonalToken(BearerTokenAuth):
    """A personal access token, and the account that it asks for.

    Args:
        token: The token, from https://id.getharvest.com/developers.
        account_id: The Harvest account's number, from the same page.
    """

    def __init__(self, token: TSecretStrValue, account_id: str) -> None:
        super().__init__(token=token)
        self.account_id = account_id

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put both headers on the request."""
        request.headers["Harvest-Account-Id"] = self.account_id
        return super().__call__(request)
