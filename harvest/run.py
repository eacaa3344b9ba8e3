"""Runs a pipeline to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from typing import Any

from dlt import Pipeline
from dlt.extract import DltSource
from filelock import FileLock, Timeout

from . import harvest_source
from .api.rate_limit import Budget, RateLimiter
from .blame import explained
from .catalog import BY_NAME, ENDPOINTS, REPORTS
from .configured import accounts_read, with_settings_of
from .defaults import defaults
from .destination import Destination, demand_dataset, tell_account
from .errors import (
    AccountError,
    AccountsError,
    BusyError,
    ConfigurationError,
    DifferencesError,
    HarvestError,
    PartialLoadError,
    SharedTableError,
    UnverifiedError,
    by_account,
)
from .extract.context import Account
from .extract.focus import Focus
from .extract.state import LastRun, accounts_left, anchor_of, last_run, left_line, tables_of
from .notify import notifies
from .recover import forget, recover
from .settings import EVERYTHING, one_of
from .summary import Counts, Rows, Summary, count_rows, loaded_by, loaded_tables, total_of
from .underway import end
from .verify import MONTHS, RECORDS, SUBJECTS, Verification, store

BY_LOAD = {"in_batches": True, "keep_going": True}
"""What `load` can do for a source: run again for the next batch, and report what failed."""

SOURCE = "harvest"

SNAPSHOTS = {e.name for e in REPORTS if e.snapshots}
"""Tables whose earlier rows can't be read again, so that a refresh must not drop them."""

HISTORIES = {e.history_table for e in ENDPOINTS if e.history_table}
"""Tables of versions, which stay for the same reason."""


@notifies
def load(
    pipeline: Pipeline,
    *tables: str,
    refresh: bool | Collection[str] = False,
    customize: Callable[[DltSource], object] | None = None,
    tell: Callable[[str], object] = print,
    **settings: Any,
) -> Summary:
    """Load a Harvest account, or several, into the pipeline's destination.

    What an earlier run had read but could not load is given up and read anew; dlt itself would
    load only that, and read nothing new. A long history comes in batches, newest first; after an
    interruption the next call goes on with the batch that was under way. On one machine a pipeline
    runs once at a time.

    Several accounts are loaded one after the other, each by itself: what fails of one stops none of
    the others.

    Args:
        pipeline: Where to.
        tables: What to load; everything if none is named.
        refresh: Drop these tables, with their nested tables and everything that is remembered
            about them, and read them anew; True means all tables that are loaded. They are dropped
            together with the load of what was read, so a run that fails drops nothing. Of several
            accounts all are read anew together; rows of others keep a table from being dropped.
        customize: Is given the source before it is read, to add steps to its resources:
            `lambda source: source.users.add_map(mask)`. What it returns is ignored.
        tell: Takes lines for the user: what is about to be dropped, and what is left after each
            batch.
        settings: Arguments of `harvest_source`; those that are not given are taken from dlt's
            configuration.

    Returns:
        What arrived.

    Raises:
        PartialLoadError: Some tables could not be read; it has the summary of what was loaded.
        AccountsError: The same of several accounts.
        UnverifiedError: All was loaded, and `verify_full_reads` could not compare it; it has the
            summary.
        DifferencesError: All was loaded, and `verify_full_reads` found figures that differ from
            Harvest's for no known reason; it has the summary.
        HarvestError: The run failed; its text is one line with cause and remedy. A webhook is told
            the same where dlt's `runtime.slack_incoming_hook` names one.
        dlt.common.configuration.exceptions.ConfigurationException: A setting or a credential is
            missing.
    """

    def make(names: Collection[str], **changes: Any) -> DltSource:
        made = _source(names, {**settings, **changes})
        if customize:
            customize(made)
        return made

    accounts = _accounts(pipeline, tables, settings)
    chosen = accounts[0].settings
    several = len(chosen.account_ids) > 1
    settings["account_id"] = chosen.account_ids  # which "all" are is asked once

    selected = make(tables).selected_resources.keys()
    parts = {
        account.account_id: _Part(
            pipeline,
            account,
            partial(make, tables, **({"only_account": account.account_id} if several else {})),
            selected,
            tell,
            whose=account.account_id if several else None,
        )
        for account in accounts
    }
    dropped = set(selected if refresh is True else refresh or ())
    if unknown := dropped - selected:
        raise ConfigurationError(
            "refresh", f"names {', '.join(sorted(unknown))}", "name only tables that are loaded"
        )
    if kept := dropped & SNAPSHOTS:
        dropped -= kept
        tell(f"{', '.join(sorted(kept))} stays: figures of earlier days can't be read again.")
    began, started = datetime.now(timezone.utc), time.monotonic()
    with _alone(pipeline), defaults(pipeline):
        with explained(pipeline):
            demand_dataset(pipeline)
            recover(pipeline, SOURCE)
            if not pipeline.default_schema_name and not pipeline.dev_mode:
                pipeline.sync_destination()  # fetches what another machine loaded
            for part in parts.values():
                part.begin()
            if dropped:
                # What is dropped must come back whole, so nothing may be left out of this run.
                _refresh(pipeline, make(dropped, keep_going=False), parts, tell)
        errors = _load_each(parts, pipeline, is_read=dropped == selected)
        left = accounts_left(pipeline, SOURCE, began)
        verified, unverified = _verify_loaded(pipeline, _to_verify(accounts, parts, errors), tell)
    total = total_of({account: part.summary for account, part in parts.items()})
    total.notices += map(left_line, left)
    total.seconds = time.monotonic() - started
    if errors:
        total.notices += [f"Not verified: {text}" for text in unverified]
        raise _in_one(errors, parts, total)
    _demand_agreement(pipeline, verified, total, unverified)
    return total


@notifies
def verify(
    pipeline: Pipeline,
    *,
    by: str = "client",
    months: int = MONTHS,
    tell: Callable[[str], object] = print,
    note: Callable[[Verification], object] | None = None,
    **settings: Any,
) -> None:
    """Compare what a pipeline has loaded with Harvest's own reports, and keep each result.

    Nothing but the table `_verification` is written. Each table that is compared must have been
    read in full; what was deleted in Harvest since, or changed without a stamp, differs until the
    next full read.

    Args:
        pipeline: The pipeline.
        by: What time and expenses are compared by: "client", "project" or "person".
        months: How many of the newest months are compared one by one. Of those before, whole years
            are compared, and month by month where these differ.
        tell: Takes lines for the user.
        note: Is given the verification of each account.
        settings: Arguments of `harvest_source`, as for `load`.

    Raises:
        DifferencesError: Some figures differ for no known reason.
        UnverifiableError: The account was not read in full, this token sees less than the one that
            read it, or no report could be compared.
        AccountsError: Some of several accounts could not be verified.
        HarvestError: Harvest or the destination could not be asked. A webhook is told, as by
            `load`.
    """
    one_of("verify_by", by, SUBJECTS)
    if months < 0:
        raise ConfigurationError(
            "verify_months", f"is {months}", f"give a number, such as {MONTHS}"
        )
    accounts = _accounts(pipeline, (), settings)
    with _alone(pipeline), defaults(pipeline), explained(pipeline):
        recover(pipeline, SOURCE)
        pipeline.sync_destination()
        done, failed = _verify(pipeline, accounts, tell, by=by, months=months)
    if note:
        for verification in done.values():
            note(verification)
    if failed:
        raise _in_one(failed, [account.account_id for account in accounts], Summary(), "verified")
    _demand_agreement(pipeline, done)


def _verify(
    pipeline: Pipeline,
    accounts: Collection[Account],
    tell: Callable[[str], object],
    **how: Any,
) -> tuple[dict[int, Verification], dict[int, HarvestError]]:
    """Verify each account by itself, and keep the results; return them, and what failed."""
    done: dict[int, Verification] = {}
    errors: dict[int, HarvestError] = {}
    for account in accounts:
        try:
            verification = Verification(pipeline, SOURCE, account, **how)
        except HarvestError as error:
            errors[account.account_id] = error
            continue
        done[account.account_id] = verification
        for line in verification.lines():
            tell(line)
    store(pipeline, done.values())
    return done, errors


def _verify_loaded(
    pipeline: Pipeline, accounts: Collection[Account], tell: Callable[[str], object]
) -> tuple[dict[int, Verification], list[str]]:
    """Verify what was just loaded; return what was found, and why the rest could not be."""
    try:
        with explained(pipeline):
            done, failed = _verify(pipeline, accounts, tell)
    except HarvestError as error:  # the results could not be kept
        return {}, [str(error)]
    if len(accounts) == 1:
        return done, [str(error) for error in failed.values()]
    return done, by_account((account, str(error)) for account, error in failed.items())


def _demand_agreement(
    pipeline: Pipeline,
    done: Mapping[int, Verification],
    summary: Summary | None = None,
    unverified: Collection[str] = (),
) -> None:
    if unverified:
        raise UnverifiedError(unverified, summary)
    counts = {account: each.count("unexplained") for account, each in done.items()}
    if unexplained := {account: count for account, count in counts.items() if count}:
        raise DifferencesError(unexplained, pipeline.dataset_name, summary)


def _to_verify(
    accounts: Collection[Account], parts: Mapping[int, _Part], errors: Collection[int]
) -> list[Account]:
    """Return those of the loaded accounts that had a full read, where full reads are verified."""
    return [
        account
        for account in accounts
        if account.settings.verify_full_reads
        and account.account_id not in errors
        and parts[account.account_id].read_whole
    ]


def _full_reads(pipeline: Pipeline, account: int) -> set[tuple[str, datetime]]:
    """Return when the tables whose records are verified were last read in full.

    Others, such as `company` and children, are read in full by each run.
    """
    tables = tables_of(pipeline, SOURCE, account)
    return {
        (name, table.full_read_at)
        for name, table in tables.items()
        if name in RECORDS and table.full_read_at
    }


class _Part:
    """What concerns one account of a load.

    Args:
        pipeline: Where to.
        account: The account.
        make: Makes its source, with changes of the settings.
        selected: The tables of its source.
        tell: Takes lines for the user.
        whose: Whose rows are counted; None for those of all accounts.

    Attributes:
        summary: What was loaded so far.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        account: Account,
        make: Callable[..., DltSource],
        selected: Collection[str],
        tell: Callable[[str], object],
        whose: int | None,
    ) -> None:
        self._pipeline, self._account = pipeline, account.account_id
        self._limiters = account.client.limiters
        self._make, self._selected = make, selected
        self.tell, self.whose, self.summary = tell, whose, Summary()
        self._full_reads: set[tuple[str, datetime]] = set()

    def begin(self) -> None:
        """Note what the destination holds before anything is loaded."""
        for table, count in self._count().items():
            self.summary.tables[table] = Rows(before=count, now=count)
        self._full_reads = _full_reads(self._pipeline, self._account)

    @property
    def read_whole(self) -> bool:
        """Whether this run read the account's time entries or expenses in full."""
        return _full_reads(self._pipeline, self._account) != self._full_reads

    def run_batches(self, *, is_read: bool) -> None:
        """Load the account, in batches if need be.

        Args:
            is_read: Whether a refresh has read it already, but for what is left of it.

        Raises:
            HarvestError: Something could not be loaded.
        """
        started = time.monotonic()
        try:
            if not is_read:
                self._run(self._make())
            run, goes_on = self._last_run, True
            failed = run.failed
            while run.requests_left and goes_on:
                self.tell(_what_is_left(run.requests_left, self._limiters))
                self._run(self._make(next_batch=True))
                before, run = run.requests_left, self._last_run
                failed = {**run.failed, **failed}
                # What fails for good stops nothing else, and is not asked for without end.
                fewer = (run.requests_left.get(table, 0) < n for table, n in before.items())
                goes_on = not run.failed or any(fewer)
            self._take_notes()
            if failed:
                raise PartialLoadError(failed, self.summary)
        finally:
            self.summary.seconds = time.monotonic() - started

    def _run(self, source: DltSource) -> None:
        self._pipeline.run(source)
        self.add_up(loaded_by(self._pipeline))

    def add_up(self, loaded: Counts) -> None:
        """Add what the pipeline's last run did, and what the selected tables hold now.

        Args:
            loaded: Rows that it sent, by table.
        """
        self.summary.add(self._last_run, loaded, self._count())

    def _count(self) -> dict[str, int | None]:
        return count_rows(self._pipeline, SOURCE, self._selected, self.whose)

    def _take_notes(self) -> None:
        run, summary = self._last_run, self.summary
        summary.skipped = run.skipped
        summary.notices = [run.deletions_stopped] if run.deletions_stopped else []
        summary.notices += [f"`{name}`: {why}." for name, why in run.refused.items()]
        summary.notices += [
            f"`{name}` is limited to {Focus(table.focus)}."
            for name, table in tables_of(self._pipeline, SOURCE, self._account).items()
            if table.focus and name in self._selected
        ]
        anchor = anchor_of(self._pipeline, SOURCE, self._account)
        bounded = any(e.anchored and e.name in self._selected for e in ENDPOINTS)
        if bounded and anchor and anchor != EVERYTHING:
            summary.history_from = anchor
            summary.notices.append(
                f"Records last changed before {anchor:%Y-%m-%d} were not read, so months before it "
                'may lack some; `anchor_date = "all"` (--anchor-date all) reads everything.'
            )

    @property
    def _last_run(self) -> LastRun:
        return last_run(self._pipeline, SOURCE, self._account)


def _load_each(
    parts: Mapping[int, _Part], pipeline: Pipeline, *, is_read: bool
) -> dict[int, HarvestError]:
    """Load one account after the other; return what failed of each that was not loaded whole.

    Raises:
        HarvestError: Nothing of the only account was loaded, or what failed concerns all accounts.
    """
    errors: dict[int, HarvestError] = {}
    for account, part in parts.items():
        if len(parts) > 1:
            part.tell(f"Account {account}:")
        try:
            with explained(pipeline):
                if errors:
                    recover(pipeline, SOURCE)  # what the account before left is not to be loaded
                part.run_batches(is_read=is_read)
        except HarvestError as error:
            alone = len(parts) == 1 and not isinstance(error, PartialLoadError)
            if alone or error.concerns_all_accounts:
                raise
            errors[account] = error.error if isinstance(error, AccountError) else error
    return errors


def _in_one(
    errors: dict[int, HarvestError],
    accounts: Collection[int],
    summary: Summary,
    done: str = "loaded",
) -> HarvestError:
    """Return one error for all accounts, the others of which were `done`; of one its own."""
    if len(accounts) == 1:
        return next(iter(errors.values()))
    return AccountsError(errors, [i for i in accounts if i not in errors], summary, done)


def _accounts(
    pipeline: Pipeline, tables: Collection[str], settings: dict[str, Any]
) -> list[Account]:
    known = [endpoint.name for endpoint in ENDPOINTS]
    if unknown := [table for table in tables if table not in known]:
        raise ConfigurationError(
            "tables", f"names {', '.join(unknown)}", f"choose from {', '.join(known)}"
        )
    pipeline.activate()  # dlt gives what is configured for the active one
    return with_settings_of(harvest_source, accounts_read, {**BY_LOAD, **settings})


def _source(tables: Collection[str], settings: dict[str, Any]) -> DltSource:
    source: DltSource = harvest_source(**{**BY_LOAD, **settings})
    return source.with_resources(*tables) if tables else source


def _what_is_left(requests: Mapping[str, int], limiters: Mapping[Budget, RateLimiter]) -> str:
    """Say for which tables there are requests left, and how long they take at least."""
    of_reports = sum(count for table, count in requests.items() if BY_NAME[table].report)
    total = sum(requests.values())
    seconds = max(
        limiters["general"].seconds_for(total - of_reports),
        limiters["reports"].seconds_for(of_reports),
    )
    minutes = max(1, round(seconds / 60))
    return f"Left: some {total:,} requests, {minutes} min or more, for {', '.join(requests)}."


@contextmanager
def _alone(pipeline: Pipeline) -> Iterator[None]:
    lock = FileLock(f"{pipeline.working_dir}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(pipeline.pipeline_name) from None
    try:
        yield
    finally:
        end(pipeline)
        lock.release()


def _refresh(
    pipeline: Pipeline,
    source: DltSource,
    parts: Mapping[int, _Part],
    tell: Callable[[str], object],
) -> None:
    """Drop the selected tables of a source and read them anew, of all accounts and in one load.

    Raises:
        SharedTableError: Rows of other accounts would go, and would not come back.
    """
    tables = source.selected_resources.keys()
    counted = count_rows(pipeline, SOURCE, tables)
    there = {table: count for table, count in counted.items() if table not in HISTORIES}
    if there:
        destination = Destination(pipeline, SOURCE, 0)
        among = tell_account(destination.tables([*(tables & there.keys())]) or {})
        if shared := destination.rows_of_others(sorted(among), parts):
            raise SharedTableError(shared)
        rows = ", ".join(
            table if count is None else f"{table} ({count:,} rows)"
            for table, count in there.items()
        )
        tell(f"Refresh: {rows} will be dropped and read anew; no other table is touched.")
    if kept := ", ".join(counted.keys() & HISTORIES):
        tell(f"{kept} stays: earlier versions can't be read again.")
    by_default = {e.name for e in ENDPOINTS if not e.on_request}
    everything = tables >= by_default and tables >= {*loaded_tables(pipeline, SOURCE).values()}
    forget(pipeline, SOURCE, tables)
    # "drop_sources" forgets what concerns no single table too.
    pipeline.run(source, refresh="drop_sources" if everything else "drop_resources")
    for part in parts.values():
        # The tables were empty, so all that they hold was loaded.
        for table in there:
            part.summary.tables[table] = Rows()
        part.add_up(count_rows(pipeline, SOURCE, tables, part.whose))
