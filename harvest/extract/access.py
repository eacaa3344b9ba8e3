"""What the token may read, and whether rows that it does not see may be taken for deleted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

from ..api.client import HarvestClient
from ..catalog import ENDPOINTS, Endpoint
from ..errors import StatusError, how_to_confirm
from .state import StateStore, TableState, TokenScope, tell


class Access:
    """The account as one run's token sees it.

    Threads: any. A lock guards the answers, so that each single object is asked for once; whoever
    comes second waits for the answer.

    Args:
        client: Where to ask.
        store: What is remembered of the account.
        selected: The names of the tables of this run.
        by_default: The names of those that are loaded when the user names none.
        confirmed: Whether the user accepts a token that sees less than the one before.
        account_named: The account as messages name it; None where there is but one.

    Attributes:
        now: The time by Harvest's clock when the run began (UTC); ours where it does not say.
    """

    def __init__(
        self,
        client: HarvestClient,
        store: StateStore,
        selected: set[str],
        by_default: set[str],
        *,
        confirmed: bool,
        account_named: int | None,
    ) -> None:
        self._client, self._store = client, store
        self._selected, self._by_default = selected, by_default
        self._account_named = account_named
        self._lock = Lock()
        self._records: dict[str, Future[dict[str, Any]]] = {}
        self._refusal: StatusError | None = None
        self._owner: dict[str, Any] = {}
        try:
            self._owner = self.record("users/me")
        except StatusError as error:
            self._refusal = error
        self.now = client.now()
        self._doubt = self._compare_token_scope(confirmed=confirmed)

    def record(self, path: str) -> dict[str, Any]:
        """Return a single object, asked for once in a run.

        Raises:
            HarvestError: It could not be read.
        """
        with self._lock:
            mine = path not in self._records
            answer = self._records.setdefault(path, Future())
        if mine:
            _settle(answer, lambda: self._client.record(path))
        return answer.result()

    def skip(self, endpoint: Endpoint, error: StatusError) -> bool:
        """Leave out a table that the token may not read, with its children; tell whether it did.

        A table that the user named, or that used to load, is never left out, because its data
        would be missed. The lists themselves always exist, so 404 from one of them means that the
        account is wrong, unless the list belongs to a module that may be switched off.

        Raises:
            StatusError: Token and account are not proven to be right.
        """
        refused = error.status == 403 or (error.status == 404 and endpoint.module)
        family = {e.name for e in ENDPOINTS if endpoint.name in (e.name, e.parent)}
        if not refused or self._is_named(endpoint) or any(map(self._used_to_load, family)):
            return False
        if self._refusal:
            raise self._refusal
        disabled = self.module_disabled(endpoint)
        reason = "module switched off" if disabled else "not allowed for this token"
        with self._store.noting() as run:
            for name in sorted(family & self._selected - run.skipped.keys()):
                tell(self._account_named, f"`{name}` is left out: {reason}.")
                run.skipped[name] = reason
        return True

    def module_disabled(self, endpoint: Endpoint) -> bool:
        """Tell whether the account has this part of Harvest switched off, as far as is known."""
        if not endpoint.module:
            return False
        try:
            return self.record("company").get(endpoint.module) is False
        except StatusError:  # Not every token may ask.
            return False

    def deletions_trusted(self) -> bool:
        """Tell whether a row that a complete list lacks is gone from Harvest; note why, if not.

        A token that sees less than the one before it gets fewer rows, and Harvest says nothing.
        """
        if not self._doubt:
            return True
        with self._store.noting() as run:
            if not run.deletions_stopped:
                run.deletions_stopped = (
                    f"Rows deleted in Harvest were not looked for: {self._doubt}. Use the former "
                    f"token, or accept it with {how_to_confirm(self._account_named)}."
                )
                tell(self._account_named, run.deletions_stopped)
        return False

    def _is_named(self, endpoint: Endpoint) -> bool:
        """Tell whether the user asked for the table by name, and not for everything."""
        by_default = self._by_default
        return endpoint.name not in by_default or not self._selected >= by_default

    def _used_to_load(self, name: str) -> bool:
        return self._store.table(name) != TableState()

    def _compare_token_scope(self, *, confirmed: bool) -> str:
        """Return why the token can't be trusted to see all that the one before it saw."""
        account = self._store.account
        if self._refusal:
            return f"what the token may see is not known ({self._refusal})"
        scope = token_scope_of_owner(self._owner)
        if account.token_scope and shrank(account.token_scope, scope) and not confirmed:
            return "the token sees less than the one before it"
        account.token_scope = scope
        return ""


def _settle(answer: Future[dict[str, Any]], ask: Callable[[], dict[str, Any]]) -> None:
    """Give an answer, or the failure to get one, to all who wait for it."""
    try:
        answer.set_result(ask())
    except BaseException as error:  # noqa: BLE001 - those who wait must get it too
        answer.set_exception(error)


def token_scope_of_owner(owner: dict[str, Any]) -> TokenScope:
    """Return what a token may see, by its owner's record."""
    return TokenScope(
        user=owner.get("id"),
        access_roles=owner.get("access_roles") or [],
        permissions_claims=owner.get("permissions_claims") or [],
    )


def shrank(before: TokenScope, now: TokenScope) -> bool:
    """Tell whether a token may see less than the one before.

    Another person's token shows other rows, unless it is an administrator's. Every other role sees
    at least what a member does.
    """
    if "administrator" in now.access_roles:
        return False
    roles = set(before.access_roles) - set(now.access_roles)
    claims = set(before.permissions_claims) - set(now.permissions_claims)
    return before.user != now.user or bool((roles | claims) - {"member"})
