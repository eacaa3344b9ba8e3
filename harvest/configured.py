"""What the user configured, checked, and the accounts that are read with it.

The source, `load`, `verify` and `check` all go through here, so that none of them can read a
setting in another way than the others.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property, partial, wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dlt
from dlt.common.configuration import inject_section, known_sections, with_config
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.pipeline import PipelineContext

from .api.accounts import Auth, auth_by_account, sign_ins
from .api.client import HarvestClient
from .api.oauth import Application, HarvestId
from .api.rate_limit import limiters
from .extract.context import Account
from .extract.history import checked_tables
from .settings import (
    Settings,
    Sizes,
    anchor,
    checked_base_url,
    checked_id_url,
    checked_ids,
    checked_rate_limit,
    checked_user_agent,
    data_folder,
)

READ_AS: dict[str, Callable[[Any], Any]] = {
    "anchor_date": anchor,
    "clients": partial(checked_ids, "clients"),
    "projects": partial(checked_ids, "projects"),
    "users": partial(checked_ids, "users"),
    "history": checked_tables,
}
"""Settings that a user may write in several ways, and what reads them."""

T = TypeVar("T")


class Configured:
    """The settings of the source. The arguments are its own, and it explains them.

    Args:
        choices: Those that `Settings` holds.

    Attributes:
        account_id: What was configured; None where nothing was.
        by_application: Whether an application reads, in place of a personal token.
        signed_in: Who asks: for all accounts, or for each.
        harvest_id: Says which accounts a token reaches.

    Raises:
        ConfigurationError: An address is malformed, or the tokens are.
    """

    def __init__(
        self,
        *,
        api_key: Any,
        account_id: Any,
        base_url: str,
        user_agent: str,
        rate_limit: int,
        client_id: str | None,
        client_secret: str,
        refresh_token: str,
        token_file: str | None,
        id_url: str | None,
        sizes: Sizes | None,
        **choices: Any,
    ) -> None:
        self._url = checked_base_url(base_url)
        id_address = checked_id_url(id_url, self._url)
        application = Application(client_id, client_secret, refresh_token, token_file)
        self.account_id, self.by_application = account_id, bool(client_id)
        self.signed_in = sign_ins(api_key, application, id_address, user_agent)
        self.harvest_id = HarvestId(id_address, user_agent)
        self._user_agent, self._rate_limit = user_agent, rate_limit
        self._sizes, self._choices = sizes or Sizes(), choices

    @cached_property
    def auths(self) -> dict[int, Auth]:
        """What asks for each account that is configured, in their order.

        Raises:
            HarvestError: The accounts are malformed, or could not be found out.
        """
        return auth_by_account(self.signed_in, self.account_id, self.harvest_id)

    @cached_property
    def settings(self) -> Settings:
        """What was chosen, checked.

        Raises:
            ConfigurationError: A setting is malformed.
        """
        choices = {n: READ_AS[n](v) if n in READ_AS else v for n, v in self._choices.items()}
        return Settings(account_ids=tuple(self.auths), **choices)

    def accounts(self) -> list[Account]:
        """Return the accounts that are read, each with a client of its own.

        Harvest does not say whether it counts requests by token, account or address, so all that
        this machine asks of one server counts together.

        Raises:
            HarvestError: A setting is malformed, or the accounts could not be found out.
        """
        settings, sizes = self.settings, self._sizes
        agent, server = checked_user_agent(self._user_agent), urlsplit(self._url).netloc
        budgets = limiters(
            checked_rate_limit(self._rate_limit), data_folder() / server.replace(":", "-")
        )
        return [
            Account(
                account,
                HarvestClient(self._url, self.auths[account], agent, budgets, sizes),
                settings,
                sizes,
            )
            for account in settings.accounts_read
        ]


def accounts_read(**configured: Any) -> list[Account]:
    """Return the accounts that the source reads.

    Args:
        configured: All arguments of the source.

    Raises:
        HarvestError: A setting is malformed, or the accounts could not be found out.
        dlt.common.configuration.exceptions.ConfigFieldMissingException: Token or account is
            missing. It says where it was looked for, and of both the token first.
    """
    if configured["account_id"] is None:
        if configured["api_key"] is None and not configured["client_id"]:
            dlt.secrets["sources.harvest.api_key"]
        dlt.secrets["sources.harvest.account_id"]
    return Configured(**configured).accounts()


def with_settings_of(source: Any, make: Callable[..., T], given: dict[str, Any]) -> T:
    """Call a function as dlt calls a source: with what is given, else with what is configured.

    Args:
        source: The source.
        make: The function; it takes all arguments of the source, by name.
        given: Arguments of the source.
    """
    ref, active = source.ref, Container()[PipelineContext]
    function = inspect.unwrap(source)
    signature = inspect.signature(function)

    @wraps(function)  # dlt looks at its signature
    def call(*args: Any, **kwargs: Any) -> T:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return make(**bound.arguments)

    sections = (known_sections.SOURCES, ref.section, ref.name)
    name = active.pipeline().pipeline_name if active.is_active() else None
    resolved = with_config(call, spec=ref.SPEC, sections=sections)
    with inject_section(ConfigSectionContext(pipeline_name=name, sections=sections)):
        return resolved(**given)
