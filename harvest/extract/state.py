"""All that is remembered between two runs, and all that dlt says of the run under way.

Of the extraction, this is the only file that touches dlt's context. What is remembered stands in
dlt's state, which dlt saves together with the data: of a run that fails, neither is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timezone
from threading import Lock
from typing import Annotated, Any, TypeVar

import dlt
import msgspec
from dlt import Pipeline
from dlt.common import logger
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract import DltResource

from ..api.rate_limit import RateLimiter
from ..catalog import BY_NAME, ENDPOINTS
from ..errors import OtherAccountError, UnknownStateError
from ..progress import Counts

STATE_VERSION = 1
"""The layout of the state. A run refuses a state of another version."""

Note = msgspec.Meta
Moment = Annotated[datetime, Note(tz=True)]
"""A moment without a zone can't be compared, so it makes its part of the state unreadable."""

T = TypeVar("T", bound=msgspec.Struct)


class _Remembered(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the state. A key that it does not know makes the state unreadable."""


class Backfill(_Remembered):
    """What is left of a first read that comes in several batches."""

    started_at: Annotated[
        datetime, Note(description="when its first batch began, Harvest's time", tz=True)
    ]
    until: Annotated[
        date | None, Note(description="lists: records of this day and before are left")
    ] = None
    below_id: Annotated[
        int | None,
        Note(description="children: those of parents below this id are left; none: of all parents"),
    ] = None


class PeriodsRead(_Remembered):
    """Which periods of a report were read: all from the oldest one on."""

    length: Annotated[str, Note(description="how long each is: month, week or day")]
    first: Annotated[date, Note(description="the first day of the oldest period that was read")]
    read_at: Annotated[
        datetime, Note(description="when the newest were read last, Harvest's time", tz=True)
    ]
    fixed_fee: Annotated[
        bool, Note(description="whether amounts of fixed-fee projects are in them")
    ] = False


class TableState(_Remembered):
    """What is remembered of one table of one account."""

    cursor: Annotated[
        Moment | None, Note(description="the next run asks for what changed from here on (UTC)")
    ] = None
    read_at: Annotated[
        Moment | None,
        Note(description="when the last read that came to its end began, Harvest's time"),
    ] = None
    changed_at: Annotated[
        Moment | None,
        Note(description="the newest stamp that was read, or when rows were found to be gone"),
    ] = None
    full_read_at: Annotated[
        Moment | None,
        Note(description="when the last full read began, Harvest's time; none: never finished"),
    ] = None
    anchor: Annotated[
        Moment | None, Note(description="how far back the table was read, where it is history")
    ] = None
    focus: Annotated[
        dict[str, list[int]],
        Note(description="the clients, projects and users it is limited to; none: to none"),
    ] = {}
    backfill: Annotated[
        Backfill | None, Note(description="what is left of a first read; none: nothing")
    ] = None
    periods: Annotated[
        PeriodsRead | None, Note(description="of a report by periods: those that were read")
    ] = None
    history_kept: Annotated[
        bool, Note(description="whether the versions of all that was read are in its history")
    ] = False
    shape: Annotated[
        str, Note(description="a digest of what shapes its rows: columns, nesting, contract")
    ] = ""
    filled: Annotated[
        list[str], Note(description="it and its nested tables, where they hold rows of the account")
    ] = []


class TokenScope(_Remembered):
    """Whose token it was, and what it may see."""

    user: Annotated[int | None, Note(description="the id of the token's owner")] = None
    access_roles: Annotated[list[str], Note(description="the owner's roles")] = []
    permissions_claims: Annotated[list[str], Note(description="the owner's further rights")] = []


class LastRun(_Remembered):
    """What a user must know of the last run."""

    skipped: Annotated[dict[str, str], Note(description="tables left out, and why")] = {}
    failed: Annotated[dict[str, str], Note(description="tables not read to the end, and why")] = {}
    refused: Annotated[
        dict[str, str], Note(description="tables some of whose records Harvest refuses, and which")
    ] = {}
    deletions_stopped: Annotated[
        str, Note(description="why rows deleted in Harvest were not looked for")
    ] = ""
    unchanged: Annotated[
        dict[str, int], Note(description="rows read but not written, as they were there, by table")
    ] = {}
    requests_left: Annotated[
        dict[str, int], Note(description="tables that need a further batch, and its requests")
    ] = {}
    requests: Annotated[int, Note(description="requests that it took so far")] = 0
    written: Annotated[
        dict[str, int], Note(description="rows written, as they were new or changed, by table")
    ] = {}
    removed: Annotated[dict[str, int], Note(description="rows that left their table")] = {}
    flagged: Annotated[dict[str, int], Note(description="rows that were flagged as gone")] = {}


class AccountState(_Remembered):
    """What is remembered of one account."""

    anchor_date: Annotated[
        Moment | None, Note(description="the earliest anchor that was ever given (UTC)")
    ] = None
    token_scope: Annotated[
        TokenScope | None, Note(description="the token that was trusted with deletions last")
    ] = None
    last_run: Annotated[LastRun, Note(description="what a user must know of the last run")] = (
        msgspec.field(default_factory=LastRun)
    )
    left_at: Annotated[
        Moment | None,
        Note(description="when it was told that the account is no longer read, by our clock (UTC)"),
    ] = None


def tell(account_named: int | None, text: str) -> None:
    """Warn the user.

    Args:
        account_named: Of which account it is said; None where there is but one.
        text: What, in one line.
    """
    logger.warning(text if account_named is None else f"Account {account_named}: {text}")


class Extraction:
    """What dlt says of the extraction that is under way.

    Attributes:
        load_id: The id of its load package; "" when a resource is looked at without a pipeline.
        pipeline: The pipeline that runs, None without one.
        schema: The source's schema, into which this extraction writes.
        selected: The resources that are extracted, by name.
        rules: What the whole source says of nesting and contract.
        dropped: Tables that a refresh drops when this load begins.
    """

    def __init__(self) -> None:
        try:
            package: Any = dlt.current.load_package_state()
        except CurrentLoadPackageStateNotAvailable:
            package = {}
        self.load_id = str(package.get("load_id", ""))
        self.dropped = _keep_histories(package.get("state", {}))
        self.pipeline: Pipeline | None = dlt.current.pipeline() if self.load_id else None
        self.schema = dlt.current.source_schema()
        source = dlt.current.source()
        self.selected: Mapping[str, DltResource] = source.selected_resources
        self.rules = (source.max_table_nesting, source.schema_contract)

    def show_waiting(self, limiter: RateLimiter) -> None:
        """Let our own display tell what waits for a limiter; those of dlt can't."""
        if self.pipeline and isinstance(self.pipeline.collector, Counts):
            self.pipeline.collector.watch(limiter)

    def others_pending(self) -> bool:
        """Tell whether an earlier load package is still to be loaded."""
        if not self.pipeline:
            return False
        extracted = self.pipeline.list_extracted_load_packages()
        return bool({*extracted, *self.pipeline.list_normalized_load_packages()} - {self.load_id})

    def show_progress(
        self, counter: str, label: str = "", *, done: int = 0, more: int = 0, total: int = 0
    ) -> None:
        """Tell dlt's progress display what is done and what is left.

        Threads: the one where dlt extracts. dlt's displays are not made for several.

        Args:
            counter: What is counted: a table.
            label: What of it, if not its records.
            done: How many were done since the last call.
            more: How many more there are to do.
            total: How many there are in all. It counts where the counter is new.
        """
        if self.pipeline:
            self.pipeline.collector.update(counter, 0, total=total, label=label)
            self.pipeline.collector.update(counter, done, inc_total=more, label=label)


def _keep_histories(package: dict[str, Any]) -> set[str]:
    """Return the tables that a refresh drops, after sparing those of versions.

    No run could read their rows again. dlt takes them to belong to the resource that is refreshed,
    and drops the tables that the package names when the load begins.

    Args:
        package: What dlt remembers of the load package. It is changed in place.
    """
    spared = tuple(endpoint.history_table for endpoint in ENDPOINTS if endpoint.history_table)
    nested = tuple(f"{name}__" for name in spared)
    for kind in {"dropped_tables", "truncated_tables"} & package.keys():
        package[kind] = [
            table
            for table in package[kind]
            if table["name"] not in spared and not table["name"].startswith(nested)
        ]
    return {str(table["name"]) for table in package.get("dropped_tables", ())}


class StateStore:
    """The state of one account: read when a run begins, and saved table by table.

    Threads: dlt's own, since its context reaches no others. A lock guards each save, and what is
    noted of the run (`noting`); each table is saved by its own reader only.

    Args:
        account_id: Whose state.
        configured: All accounts that the source is configured for.

    Attributes:
        account: What is remembered of the account.
        accounts: The account, and all others of which something is remembered.

    Raises:
        UnknownStateError: The state was written by another version of this connector.
        OtherAccountError: The pipeline has loaded other accounts than the configured ones.
    """

    def __init__(self, account_id: int, configured: tuple[int, ...]) -> None:
        self._key = str(account_id)
        self._lock = Lock()
        state = dlt.current.source_state()
        resources = state.get("resources")
        if "resources" in state:  # Of what somebody edited, dlt can't take anything but dicts.
            kept = resources.items() if isinstance(resources, dict) else ()
            state["resources"] = {name: part for name, part in kept if isinstance(part, dict)}
        tables = _tables_in(state)
        version = state.get("version", None if tables else STATE_VERSION)
        if version != STATE_VERSION:
            raise UnknownStateError(version, STATE_VERSION)
        known = state["accounts"] = _by_account(state.get("accounts"))
        if known and known.keys().isdisjoint(map(str, configured)):
            raise OtherAccountError(sorted(known), list(map(str, configured)))
        self.accounts = {account_id, *map(int, known)}
        self.account = _parse(known.get(self._key), AccountState, "the account")
        self._tables = {
            name: _parse(by_account.get(self._key), TableState, f"`{name}`")
            for name, by_account in tables.items()
        }
        if known.get(self._key) and not self.account.anchor_date:
            # It could not be read: each run remembers how far back the account is read.
            anchors = [table.anchor for table in self._tables.values() if table.anchor]
            self.account.anchor_date = min(anchors, default=None)
            self._tables = {}
        self.account.left_at = None
        for left in self.accounts - {*configured}:
            self._tell_once_of_leaving(left)

    def table(self, name: str) -> TableState:
        """Return what is remembered of a table; what can't be read makes a full read of it."""
        return self._tables.get(name, TableState())

    def known_tables(self) -> Iterator[tuple[int, str, TableState]]:
        """Yield all tables of which something is remembered, of this account and others."""
        for name, by_account in _tables_in(dlt.current.source_state()).items():
            for account, content in by_account.items():
                yield int(account), name, _parse(content, TableState, f"`{name}`")

    def save_table(self, name: str, table: TableState) -> None:
        """Remember what the next run needs to know of a table."""
        with self._lock:
            self._tables[name] = table
            dlt.current.resource_state(name)[self._key] = msgspec.to_builtins(table)

    def forget_table(self, name: str, accounts: Collection[int] = ()) -> bool:
        """Remember nothing of a table, so that it is read whole; tell whether there was anything.

        Args:
            name: The table.
            accounts: Whose part is forgotten; this account's, if they are omitted.
        """
        with self._lock:
            self._tables.pop(name, None)
            by_account = dlt.current.source_state().get("resources", {}).get(name, {})
            keys = map(str, accounts) if accounts else [self._key]
            forgotten = [by_account.pop(key, None) for key in keys]
            return any(forgotten)

    @contextmanager
    def noting(self) -> Iterator[LastRun]:
        """Let a block change what a user must know of this run, then remember it.

        No other thread changes it meanwhile, or copies it half changed.
        """
        with self._lock:
            yield self.account.last_run
            self._save_account()

    def save_account(self) -> None:
        """Remember `account` as it is now."""
        with self._lock:
            self._save_account()

    def _save_account(self) -> None:
        state = dlt.current.source_state()
        state["version"] = STATE_VERSION
        state.setdefault("accounts", {})[self._key] = msgspec.to_builtins(self.account)

    def _tell_once_of_leaving(self, account_id: int) -> None:
        state, key = dlt.current.source_state(), str(account_id)
        account = state["accounts"][key]
        tables = _tables_in(state).values()
        if (
            isinstance(account, dict)
            and not account.get("left_at")
            and any(key in by_account for by_account in tables)
        ):
            account["left_at"] = datetime.now(timezone.utc).isoformat()
            logger.warning(left_line(account_id))


def forget_tables(state: Any, source_name: str, tables: Collection[str]) -> None:
    """Remember nothing of some tables of a source, of any account.

    Args:
        state: The state of the pipeline, as dlt lends it to be changed.
        source_name: The source.
        tables: Its tables.
    """
    known = state.get("sources", {}).get(source_name, {}).get("resources", {})
    for table in known.keys() & set(tables):
        del known[table]


def _tables_in(state: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the state of a source holds of our tables, by table and account.

    dlt keeps the cursors of a user's own incrementals in the same place, and what a user's steps
    remember.
    """
    kept = state.get("resources", {}).items()
    tables = {name: _by_account(content) for name, content in kept if name in BY_NAME}
    return {name: by_account for name, by_account in tables.items() if by_account}


def _by_account(content: Any) -> dict[str, Any]:
    """Return the parts of a state that belong to accounts; what is none of them is left out."""
    parts = content.items() if isinstance(content, dict) else ()
    return {key: part for key, part in parts if str(key).isdecimal()}


def _parse(content: Any, part: type[T], what: str) -> T:
    if content is None:
        return part()
    try:
        return msgspec.convert(content, part)
    except msgspec.ValidationError as error:
        logger.warning(f"The state of {what} can't be read ({error}): it is read whole again.")
        return part()


def last_run(
    pipeline: Pipeline, source_name: str = "harvest", account_id: int | None = None
) -> LastRun:
    """Return what a user must know of a pipeline's last run.

    Args:
        pipeline: The pipeline.
        source_name: The source.
        account_id: Of which account; the first one, if it is omitted.
    """
    return _account_of(pipeline, source_name, account_id).last_run


def anchor_of(
    pipeline: Pipeline, source_name: str = "harvest", account_id: int | None = None
) -> datetime | None:
    """Return how far back a pipeline reads an account's history (UTC); None before its first run.

    The arguments are those of `last_run`.
    """
    return _account_of(pipeline, source_name, account_id).anchor_date


def tables_of(pipeline: Pipeline, source_name: str, account_id: int) -> dict[str, TableState]:
    """Return what is remembered of each table of an account."""
    tables = _tables_in(pipeline.state.get("sources", {}).get(source_name, {}))
    return {
        name: _parse(by_account[str(account_id)], TableState, f"`{name}`")
        for name, by_account in tables.items()
        if str(account_id) in by_account
    }


def token_scope_of(pipeline: Pipeline, source_name: str, account_id: int) -> TokenScope | None:
    """Return what the token may see that was trusted with deletions last; None if not known."""
    return _account_of(pipeline, source_name, account_id).token_scope


def left_line(account: int) -> str:
    """Say that an account left those that are read."""
    return f"Account {account} is no longer read: its rows stay as they were last read."


def accounts_left(pipeline: Pipeline, source_name: str, since: datetime) -> list[int]:
    """Return the accounts that were found to be read no longer since a moment (UTC)."""
    accounts = {
        int(account): _parse(content, AccountState, f"account {account}")
        for account, content in _accounts(pipeline, source_name).items()
    }
    return sorted(
        i for i, account in accounts.items() if account.left_at and account.left_at >= since
    )


def _account_of(pipeline: Pipeline, source_name: str, account_id: int | None) -> AccountState:
    accounts = _accounts(pipeline, source_name)
    first = next(iter(accounts), "")
    content = accounts.get(first if account_id is None else str(account_id), {})
    return _parse(content, AccountState, "the account")


def _accounts(pipeline: Pipeline, source_name: str) -> dict[str, Any]:
    accounts: dict[str, Any] = (
        pipeline.state.get("sources", {}).get(source_name, {}).get("accounts", {})
    )
    return accounts
