"""What a run may see of the account, and what it may conclude from what it does not see."""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock
from typing import Any

import dlt
from dlt.common import logger

from .api.client import HarvestClient
from .endpoints import ENDPOINTS, Endpoint
from .errors import StatusError, SuspiciousDeletionsError
from .settings import SUSPICIOUS_LEAST, SUSPICIOUS_SHARE


@dataclass(frozen=True)
class Options:
    """The settings of `harvest_source` that say what is read and what follows from it."""

    deletions: str
    children: str
    full_read: bool
    full_read_hours: float
    confirm_deletions: bool
    in_steps: bool


class Account:
    """The account behind the token, as one run finds it.

    What a user must know of a run stands in the source's state: `skipped`, by table,
    `deletions_stopped`, and `left`, the requests that further steps need, by table.

    Args:
        client: Where to ask.
        options: What the user chose.

    Attributes:
        skipped: Why, by table that is left out of this run.
        read_whole: Tables that the steps before this one read whole, so that it need not.
        left: Requests that the step before this one left, by table.
    """

    def __init__(self, client: HarvestClient, options: Options) -> None:
        self.client, self.options = client, options
        self._lock = RLock()
        self.read_whole: set[str] = set()
        self.left: dict[str, int] = {}
        self.begin()

    def begin(self) -> None:
        """Forget what the run before found: one source may be run many times."""
        self.skipped: dict[str, str] = {}
        self._records: dict[str, dict[str, Any]] = {}
        self._sees_enough: bool | None = None
        self._loaded: set[str] = set()
        self._load_id = ""

    def join(self, load_id: str) -> None:
        """Begin a run, unless another resource did already."""
        with self._lock:
            if load_id != self._load_id:
                self.begin()
                self._load_id = load_id
                self.left = dict(dlt.current.source_state().get("left", {}))
                if not self.left:
                    self.read_whole = set()
                self._loaded = {
                    e.name
                    for e in ENDPOINTS
                    if dlt.current.resource_state(e.name).get("read_whole_at")
                }
                for notice in ("skipped", "deletions_stopped", "left"):
                    dlt.current.source_state().pop(notice, None)

    def record(self, path: str) -> dict[str, Any]:
        """Return a single object, asked for once in a run.

        Raises:
            HarvestError: It could not be read.
        """
        with self._lock:
            if path not in self._records:
                self._records[path] = self.client.record(path)
            return self._records[path]

    def excuse(self, endpoint: Endpoint, error: StatusError) -> None:
        """Leave a table out that the token may not read, or raise.

        Raises:
            StatusError: The table was asked for by name or used to load, so that leaving it out
                would be silence; or the answer does not say that it may not be read.
        """
        named = not dlt.current.source().selected_resources.keys() >= {e.name for e in ENDPOINTS}
        # A list is never absent, so 404 is the account's, or that of a module switched off.
        refused = error.status == 403 or (error.status == 404 and endpoint.module)
        family = {e.name for e in ENDPOINTS if endpoint.name in (e.name, e.parent)}
        if not refused or named or family & self._loaded:
            raise error
        self.record("users/me")  # an answer proves that token and account are right
        off = self.is_off(endpoint)
        self._skip(family, "module switched off" if off else "not allowed for this token")

    def _skip(self, names: set[str], reason: str) -> None:
        with self._lock:
            for name in sorted(names - self.skipped.keys()):
                logger.warning(f"`{name}` is left out: {reason}.")
                self.skipped[name] = reason
                dlt.current.resource_state(name).pop("read_whole_at", None)
            dlt.current.source_state()["skipped"] = dict(self.skipped)

    def note_left(self, endpoint: Endpoint, requests: int) -> None:
        """Note that a table needs a further step, of about so many requests."""
        with self._lock:
            dlt.current.source_state().setdefault("left", {})[endpoint.name] = requests

    def lists_come_first(self) -> bool:
        """Return whether a part of a list was left, for which children wait."""
        return any(e.name in self.left for e in ENDPOINTS if not e.parent)

    def is_off(self, endpoint: Endpoint) -> bool:
        """Return whether the account has this part of Harvest switched off, as far as is known."""
        if not endpoint.module:
            return False
        try:
            return self.record("company").get(endpoint.module) is False
        except StatusError:  # not every token may ask
            return False

    def may_delete(self) -> bool:
        """Return whether what a whole list lacks is gone from Harvest.

        It is not when the token sees less than the one before: Harvest then lists fewer rows and
        says nothing.
        """
        if self.options.deletions == "keep":
            return False
        with self._lock:
            if self._sees_enough is None:
                self._sees_enough = self._sees_as_much_as_before()
            return self._sees_enough

    def _sees_as_much_as_before(self) -> bool:
        try:
            me = self.record("users/me")
        except StatusError as error:
            self._stop_deletions(f"what the token may see is not known ({error})")
            return False
        state = dlt.current.source_state()
        now = {
            "user": me.get("id"),
            "access_roles": me.get("access_roles") or [],
            "permissions_claims": me.get("permissions_claims") or [],
        }
        before = state.get("scope")
        if before and _shrank(before, now) and not self.options.confirm_deletions:
            self._stop_deletions("the token sees less than the one before it")
            return False
        state["scope"] = now
        return True

    def _stop_deletions(self, reason: str) -> None:
        message = (
            f"Rows deleted in Harvest were not looked for: {reason}. Use the former token, or "
            "accept it with `confirm_deletions` (--confirm-deletions)."
        )
        logger.warning(message)
        dlt.current.source_state()["deletions_stopped"] = message

    def check_plausible(self, endpoint: Endpoint, *, lost: int, held: int) -> None:
        """Refuse to conclude that most of a table was deleted, until the user says so.

        Raises:
            SuspiciousDeletionsError: Most rows would go, and the user did not confirm it.
        """
        suspicious = lost >= SUSPICIOUS_LEAST and lost > held * SUSPICIOUS_SHARE
        if suspicious and not self.options.confirm_deletions:
            raise SuspiciousDeletionsError(endpoint.name, lost, held)


def _shrank(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether a token may see less than the one before.

    Other people's tokens show other rows, unless they are an administrator's. Every other role
    sees at least what a member does.
    """
    if "administrator" in now["access_roles"]:
        return False
    lost = [set(before[kind]) - set(now[kind]) for kind in ("access_roles", "permissions_claims")]
    return before["user"] != now["user"] or any(rights - {"member"} for rights in lost)
