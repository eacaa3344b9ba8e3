"""One run of one account: it is opened here, and what its tables share is put together.

The order is the same for every table: what is remembered is loaded once, the plan follows from it,
the list is read, what is gone is decided, and what the next run needs is saved once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import RLock

from dlt.common import logger

from ..api.client import HarvestClient
from ..catalog import BY_NAME, ENDPOINTS, Endpoint, Report
from ..destination import Destination
from ..errors import AccountError, HarvestError
from ..recover import be_at_work
from ..settings import Settings, Sizes, default_anchor
from .access import Access
from .focus import Focus, demand_known
from .freshness import FRESHNESS, Freshness
from .hints import refuse_harmful
from .history import History
from .holdings import Holdings
from .notes import Notes
from .plan import ListPlan, ReportPlan, TablePlan, plan_list, plan_report, plan_table
from .state import Extraction, LastRun, StateStore
from .tables import Tables
from .unchanged import UnchangedRows


@dataclass(frozen=True)
class Account:
    """A Harvest account that the source reads.

    Args:
        account_id: The account's number.
        client: Where to ask.
        settings: What the user chose.
        sizes: How much is read at once.
    """

    account_id: int
    client: HarvestClient
    settings: Settings
    sizes: Sizes

    @property
    def named(self) -> int | None:
        """The account as messages name it; None where there is but one."""
        return self.account_id if len(self.settings.account_ids) > 1 else None

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Let what fails name the account, where there are several."""
        try:
            yield
        except HarvestError as error:
            if self.named is None or error.concerns_all_accounts:
                raise
            raise AccountError(self.named, error) from error


class Accounts:
    """All Harvest accounts that the source reads, one after the other.

    One source may be run many times. Each of its runs is opened by the resource that begins first:
    of all accounts, before anything of any is read, since a table's hints and the state are theirs
    in common.

    Threads: any. A lock lets one thread open the runs, and all others wait for them.

    Args:
        accounts: The accounts.

    Attributes:
        settings: What the user chose, for all of them.
    """

    def __init__(self, accounts: list[Account]) -> None:
        self._accounts, self.settings = accounts, accounts[0].settings
        self._lock = RLock()
        self._opened_for: Extraction | None = None
        self._runs: list[Run] = []
        self._failure: BaseException | None = None

    def runs(self) -> list[Run]:
        """Return the runs that are under way; whoever comes first opens them, and all others wait.

        What fails once fails for all of them, so that none tries it again.

        Raises:
            HarvestError: Harvest or the state can't be read.
        """
        extraction = Extraction()
        with self._lock:
            if not self._opened_for or self._opened_for.load_id != extraction.load_id:
                self._opened_for, self._runs, self._failure = extraction, [], None
                try:
                    self._runs = self._open(extraction)
                except BaseException as error:
                    self._failure = error
                    if not extraction.load_id:  # without a pipeline, each look is the first
                        self._opened_for = None
                    raise
            if self._failure:
                raise self._failure
            return self._runs

    def _open(self, extraction: Extraction) -> list[Run]:
        runs = []
        for account in self._accounts:
            with account.named_in_errors():
                runs.append(Run(account, extraction))
        return runs


class Run:
    """What one run knows.

    Threads: any. Everything is set while the run is opened, when no other thread has begun to read,
    hints of resources included. Later changes are those that `store` and `access` guard; and which
    rows are unchanged and the histories, which are asked for only where dlt extracts.

    Attributes:
        account: Whose run.
        extraction: What dlt says of the run.
        store: What is remembered of the account.
        access: What the token may read.
        anchor: How far back history is read (UTC).
        destination: What is asked for what it holds.
        tables: How dlt writes each table.
        notes: Where it is noted what comes of them.
        holdings: What the destination holds.
        selected: The tables of this run, without those that can't be loaded.
        freshness: What says how fresh each table is.
        plans: What is read of each list.
        reports: What is read of each report.
        left_before: Requests that the run before this one left, by table.
    """

    def __init__(self, account: Account, extraction: Extraction) -> None:
        self.account, self.account_id, self.client = account, account.account_id, account.client
        self._requests_before = self.client.requests
        self.settings, self.sizes = account.settings, account.sizes
        self.extraction = extraction
        if extraction.pipeline:
            be_at_work(extraction.pipeline)
        extraction.show_waiting(self.client.limiters["general"])
        self.store = StateStore(self.account_id, self.settings.account_ids)
        self.left_before = self.store.account.last_run.requests_left
        self._failed_before = self.store.account.last_run.failed
        self.store.account.last_run = LastRun()
        selected = [e for e in ENDPOINTS if e.name in extraction.selected]
        self._refuse_harmful_hints(selected)
        self.access = Access(
            self.client,
            self.store,
            {endpoint.name for endpoint in selected},
            {e.name for e in ENDPOINTS if e.by_default(reports=self.settings.reports)},
            confirmed=self.settings.confirm_deletions,
            account_named=account.named,
        )
        self.anchor = self._anchor()
        self.destination = Destination(extraction.pipeline, extraction.schema.name, self.account_id)
        self.tables = Tables(extraction, selected, self.settings, self.destination)
        self.client.answers.keeps_nul = all(can.keeps_nul for can in self.tables.can.values())
        self.notes = Notes(
            extraction=extraction,
            store=self.store,
            tables=self.tables,
            access=self.access,
            selected=selected,
            settings=self.settings,
            account_named=account.named,
        )
        self.holdings = Holdings(
            destination=self.destination,
            extraction=extraction,
            store=self.store,
            tables=self.tables,
            notes=self.notes,
            selected=selected,
            settings=self.settings,
            account_named=account.named,
        )
        self.selected = self.holdings.fit
        compares = self.settings.children == "differing" and not self.settings.next_batch
        if compares and self.holdings.there is None and self.tables.can:
            logger.warning(
                "This destination can't be asked what it holds, so children are not compared: "
                '`children = "differing"` does here what "complete" does, or "changed" where rows '
                "can't be replaced."
            )
        self.freshness = Freshness(
            extraction,
            self.store,
            self.tables,
            missing=self.holdings.lacks(FRESHNESS),
            account_id=self.account_id,
            read=self.settings.accounts_read,
        )
        self._unchanged: dict[str, UnchangedRows | None] = {}
        self._histories: dict[str, History | None] = {}
        self.plans = {e.name: self._plan(e) for e in ENDPOINTS if not (e.parent or e.report)}
        self.reports = {e.name: self._plan_report(e, e.report) for e in self.selected if e.report}
        self._demand_known_ids()
        self.store.save_account()

    @property
    def requests(self) -> int:
        """How many requests the run took so far."""
        return self.client.requests - self._requests_before

    @property
    def reports_wait(self) -> bool:
        """Whether reports wait for a further batch, so that all else is loaded before."""
        others = any(not endpoint.report for endpoint in self.selected)
        left = self.left_before.keys()
        return self.settings.in_batches and others and not (left and left <= self.reports.keys())

    def keeps_away(self, endpoint: Endpoint) -> bool:
        """Tell whether nothing of a table may be loaded, because the destination can't take it."""
        return endpoint not in self.selected

    def reads_whole(self, endpoint: Endpoint) -> bool:
        """Tell whether this run begins to read all of a table that is in scope."""
        if endpoint.report:
            return self.reports[endpoint.name].goes_on is None
        own = self.plans[endpoint.parent or endpoint.name].tables[endpoint.name]
        return endpoint.singleton or own.mode == "whole"

    def unchanged_rows(self, endpoint: Endpoint) -> UnchangedRows | None:
        """Return what tells which rows of a table need not be written; None where nothing does."""
        if endpoint.name not in self._unchanged:
            plan = None if endpoint.report else self.plans[endpoint.parent or endpoint.name]
            # Children come with their parent's stamp, whatever theirs is.
            changes = plan and plan.tables[endpoint.name].mode == "changes" and not endpoint.parent
            since = (plan.rows_since or plan.reads[0].since) if plan and changes else None
            self._unchanged[endpoint.name] = self.holdings.unchanged_rows(
                endpoint, since, whole=not changes
            )
        return self._unchanged[endpoint.name]

    def history(self, endpoint: Endpoint) -> History | None:
        """Return what writes the versions of a table's rows; None where none are kept."""
        if endpoint.name not in self._histories:
            self._histories[endpoint.name] = self.holdings.history(endpoint, self.access.now)
        return self._histories[endpoint.name]

    def anchor_for(self, endpoint: Endpoint) -> datetime | None:
        """Return how far back a table is read (UTC); None for reference data."""
        bounded = BY_NAME[endpoint.parent] if endpoint.parent else endpoint
        return self.anchor if bounded.anchored else None

    def focus_of(self, endpoint: Endpoint) -> Focus:
        """Return the clients, projects and users that a table is limited to."""
        return Focus(self.settings.focus if endpoint.limited else {})

    def ids_before_anchor(self, endpoint: Endpoint) -> set[int]:
        """Return the ids of rows that the destination holds, but a read does not cover."""
        anchor = self.anchor_for(endpoint)
        return self.destination.ids_before(endpoint, anchor) if anchor else set()

    def _refuse_harmful_hints(self, selected: list[Endpoint]) -> None:
        settings = self.settings
        unread = {*self.store.accounts, *settings.account_ids} - {*settings.accounts_read}
        for endpoint in selected:
            refuse_harmful(
                self.extraction.selected[endpoint.name],
                endpoint,
                unread,
                history=endpoint.name in settings.history,
            )

    def _demand_known_ids(self) -> None:
        """Ask once whether there is what tables are newly limited to.

        Raises:
            UnknownIdError: One of the ids is unknown.
        """
        limited = [self.store.table(e.name) for e in self.selected if e.limited]
        if any(table.focus != self.settings.focus for table in limited):
            demand_known(self.client, self.settings.focus)

    def _anchor(self) -> datetime:
        """Return the earliest anchor that was ever given for this account."""
        kept, given = self.store.account.anchor_date, self.settings.anchor_date
        anchor = min(filter(None, (kept, given)), default=default_anchor(self.access.now))
        self.store.account.anchor_date = anchor
        return anchor

    def _plan_report(self, endpoint: Endpoint, report: Report) -> ReportPlan:
        return plan_report(
            endpoint.name,
            report,
            self.store.table(endpoint.name),
            self.settings,
            anchor=self.anchor,
            now=self.access.now,
            replaced=self.tables.replaces(endpoint),
            held=self._periods_held(endpoint),
        )

    def _periods_held(self, endpoint: Endpoint) -> str:
        """Return how long the periods of a report are that another pipeline may have loaded."""
        by_period = endpoint.report and endpoint.report.span == "period"
        if (
            not by_period
            or self.store.table(endpoint.name).periods
            or not self.holdings.holds(endpoint.name)
        ):
            return ""
        days = self.destination.longest_period(endpoint)
        return "" if days is None else "day" if days == 1 else "week" if days == 7 else "month"

    def _plan(self, endpoint: Endpoint) -> ListPlan:
        children = [e for e in self.selected if e.parent == endpoint.name]
        # A list that failed may fail for good: nothing waits for it.
        lists_first = any(
            not e.parent and self.store.table(e.name).backfill and e.name not in self._failed_before
            for e in self.selected
        )

        def plan(e: Endpoint) -> TablePlan:
            can, state = self.tables.can.get(e.name), self.store.table(e.name)
            return plan_table(
                e,
                state,
                self.settings,
                self.sizes,
                anchor=self.anchor_for(e),
                now=self.access.now,
                lists_first=lists_first,
                has_children=bool(children) and e is endpoint,
                replaced=self.tables.replaces(e),
                appended=can is not None and not can.full_reads,
                comparable=self.holdings.there is not None,
                lacks_versions=self.holdings.keeps_history(e) and not state.history_kept,
            )

        return plan_list(
            plan(endpoint) if endpoint in self.selected else None,
            {child.name: plan(child) for child in children},
            name=endpoint.name,
            anchor=self.anchor_for(endpoint),
        )
