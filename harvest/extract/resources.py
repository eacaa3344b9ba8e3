"""A row of the catalog becomes a dlt resource.

A list is read by a resource of its own, which is no table. The list's table and the tables of its
records' children are transformers of it. So one read serves all of them, a child can be loaded
without its parent, and the steps that a user adds to a table touch nothing but that table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import dlt
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.typing import TDataItems
from dlt.extract import DltResource
from dlt.extract.items import DataItemWithMeta
from dlt.extract.items_transform import ItemTransform

from ..api.answers import Page
from ..catalog import Endpoint
from ..catalog.references import references
from ..catalog.schema import ACCOUNT_ID, PUBLIC_LINKS, Columns
from ..catalog.words import described, table_words
from ..destination import DELETED_AT, deleted_at_column
from ..errors import HarvestError, NoRowError
from ..progress import REQUESTS
from ..settings import Settings
from .children import ChildReader, requests_expected
from .columnar import Columnar, dlt_columns
from .context import Account, Accounts, Run
from .deletions import Gone, NotRead, mark_of
from .freshness import FRESHNESS
from .lists import ListEnd, ListReader, OfRun
from .records import Record, prepare
from .reports import OfReport, read_reports
from .state import TableState

NO_SETTINGS = BaseConfiguration
"""What our resources take from dlt's configuration. By their functions' arguments, dlt would look
for `meta` there on each page."""


class LastStep(ItemTransform[TDataItems, dict[str, Any]]):
    """Runs after all steps that a user adds to a table, whenever they are added.

    It adds what no user's step may lose: the account of a row, and the rows that tell dlt what to
    delete. Those have passed the user's steps as the meta data of an empty list.

    Threads: the one where dlt extracts. So it may choose the file format of the rows to come.
    """

    placement_affinity = 3  # dlt's own last step has 2

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(lambda item: item)
        self._endpoint = endpoint
        self._chosen_for: Run | None = None
        self._columnar: Columnar | None = None
        self._chose_format = False
        self._filled: WeakKeyDictionary[Run, set[str]] = WeakKeyDictionary()
        self._ended: WeakSet[Run] = WeakSet()
        self._nested = {name: f"{endpoint.name}__{name}" for name, _ in endpoint.nested}

    def __call__(self, item: TDataItems, meta: Any = None) -> TDataItems:
        """Return the rows to load."""
        item, meta = _without_rows_kept_away(self._endpoint, item, meta)
        if isinstance(meta, (Gone, NotRead)):
            return self._end(meta)
        if isinstance(meta, (OfRun, ListEnd)):
            rows = self._with_account(meta.run, item if isinstance(item, list) else [item])
            history = meta.run.history(self._endpoint)
            versions = [*history.versions(rows)] if history else []  # before rows get their ids
            loaded: TDataItems = self._to_load(meta, rows)
            if meta.run in self._ended:  # dlt may bring the end before a page.
                self._remember(meta.run)
            return iter([loaded, *versions]) if versions else loaded
        return item

    def _to_load(self, meta: OfRun | ListEnd, rows: list[Record]) -> TDataItems:
        """Return what of the rows is to be loaded."""
        rows = self._to_write(meta.run, rows)
        if rows:
            self._choose_file_format(meta.run)
        if rows and self._columnar and isinstance(meta, OfRun):
            table = self._columnar.table(rows)
            return rows if table is None else table
        return rows

    def _end(self, end: Gone | NotRead) -> Iterator[TDataItems]:
        """Yield what a table's end brings: what is gone, and how fresh the table is."""
        run = end.run
        if isinstance(end, Gone):
            filled = self._filled.get(run, set())
            run.notes.gone(self._endpoint, end.count)
            if rows := [*end.rows, *self._absent_with_lists(run, filled)]:
                self._choose_file_format(run)
                yield rows
            elif run.holdings.must_make(self._endpoint):
                yield dlt.mark.materialize_table_schema()
            if history := run.history(self._endpoint):
                yield from history.end(
                    end.ended, make=run.holdings.must_make_history(self._endpoint)
                )
            self._ended.add(run)
            self._remember(run)
        run.notes.requests(run.requests)
        # Who looks at a resource without a pipeline wants its records only. And a function that
        # names the table of each row knows nothing of these.
        if (
            run.extraction.pipeline
            and not run.tables.resource(self._endpoint).has_dynamic_table_name
        ):
            yield dlt.mark.with_table_name(run.freshness.rows(self._endpoint), FRESHNESS)

    def _remember(self, run: Run) -> None:
        """Remember where there are rows, and how many versions were new."""
        filled, whole = self._filled.get(run, set()), run.reads_whole(self._endpoint)
        run.holdings.remember_rows(self._endpoint, filled, whole=whole)
        if history := run.history(self._endpoint):
            run.notes.versions(self._endpoint, history.written)

    def _absent_with_lists(self, run: Run, filled: set[str]) -> list[dict[str, Any]]:
        """Return a record to be deleted, with an item in each list whose table must be made.

        dlt makes a nested table, and knows its own columns there, only once a row for it comes. It
        deletes what is marked as gone before anything is inserted, and a record's items with it.
        """
        empty: list[dict[str, Any]] = [{}]
        lists = {
            name: empty
            for name, table in self._nested.items()
            if table not in filled and run.holdings.must_make_list(self._endpoint, name)
        }
        absent = (0,) * len(self._endpoint.id_columns)
        return [{**mark_of(run, self._endpoint, absent), **lists}] if lists else []

    def _with_account(self, run: Run, rows: list[Record]) -> list[Record]:
        """Return the rows, each with its account, which a user's step may have lost."""
        filled = self._filled.setdefault(run, set())
        for row in rows:
            if not isinstance(row, dict):
                raise NoRowError(self._endpoint.name, type(row).__name__)
            if missing := [name for name in self._endpoint.id_columns if row.get(name) is None]:
                raise NoRowError(self._endpoint.name, f"a row without `{missing[0]}`")
            row.setdefault(ACCOUNT_ID, run.account_id)
            filled |= {table for name, table in self._nested.items() if row.get(name)}
        if rows:
            filled.add(self._endpoint.name)
        return rows

    def _to_write(self, run: Run, rows: list[Record]) -> list[Record]:
        """Return the rows that the destination does not hold."""
        unchanged = run.unchanged_rows(self._endpoint) if rows else None
        if not unchanged:
            return rows
        changed = unchanged.leave_out(rows)
        run.notes.rows(self._endpoint, written=len(changed), unchanged=len(rows) - len(changed))
        return changed

    def _choose_file_format(self, run: Run) -> None:
        """Choose once in a run, and not before there are rows.

        Postgres' driver fails on a file without any.
        """
        if run is self._chosen_for:
            return
        self._chosen_for, can = run, run.tables.can.get(self._endpoint.name)
        self._columnar, resource = None, run.tables.resource(self._endpoint)
        if not can or not can.file_format:
            if self._chose_format:  # for another destination
                resource.apply_hints(file_format="")  # type: ignore[arg-type] # takes the hint away
            return
        self._chose_format = True
        resource.apply_hints(file_format=can.file_format)
        columns = resource.compute_table_schema()["columns"]
        # With other dispositions dlt makes the ids of rows in its own way.
        written: Any = resource.write_disposition
        merged = isinstance(written, dict) and written.get("strategy") == "delete-insert"
        if merged and not self._endpoint.nested and Columnar.takes(columns):
            self._columnar = Columnar(columns, run.extraction.load_id)
            resource.apply_hints(columns=dlt_columns())


def _without_rows_kept_away(endpoint: Endpoint, item: TDataItems, meta: Any) -> tuple[Any, Any]:
    """Return what a table is given: of one that can't be loaded, only that it was not read."""
    if isinstance(meta, (OfRun, ListEnd, Gone)) and meta.run.keeps_away(endpoint):
        return [], None if isinstance(meta, OfRun) else NotRead(meta.run)
    return item, meta


def in_pool(read: Callable[[], Iterator[TDataItems]]) -> Callable[[], Iterator[Any]]:
    """Let dlt's pool read, one step at a time, as its own `parallelized` does.

    But dlt closes what it reads from two seconds after something failed. A reader that then still
    waits for an answer can't be closed, and `generator already executing` would take the place of
    what failed. Here nothing waits for it.
    """

    @wraps(read)
    def steps() -> Iterator[Any]:
        reading, under_way, ended = read(), False, False

        def step() -> TDataItems:
            nonlocal under_way, ended
            try:
                return next(reading)
            except StopIteration:
                ended = True
                return None
            finally:
                under_way = False

        while not ended:
            if under_way:
                yield None
            else:
                under_way = True
                yield step

    return steps


def list_reader(accounts: Accounts, endpoint: Endpoint) -> DltResource:
    """Return the resource that reads a list. It is no table: tables are made from it."""

    def read() -> Iterator[TDataItems]:
        for run in accounts.runs():
            with run.account.named_in_errors():
                yield from ListReader(run, endpoint).read()

    return dlt.resource(in_pool(read), name=f"_{endpoint.name}", spec=NO_SETTINGS)


def list_table(reader: DltResource, endpoint: Endpoint, settings: Settings) -> DltResource:
    """Return the table of a list's records."""

    def rows(item: TDataItems, meta: Any = None) -> TDataItems:
        if isinstance(meta, ListEnd):
            return DataItemWithMeta(meta.gone, item)
        # Of several accounts the last one's total is not known before all others were read.
        if isinstance(item, Page) and item.total and len(settings.accounts_read) == 1:
            meta.run.extraction.show_progress(endpoint.name, total=item.total)
        return item

    table = dlt.transformer(rows, data_from=reader, **_hints(endpoint, settings))
    return _complete(table, endpoint)


def child_table(reader: DltResource, endpoint: Endpoint, settings: Settings) -> DltResource:
    """Return the table of the children of a list's records, one request for each parent."""

    @dlt.defer
    def read_one(account: Account, children: ChildReader, parent_id: int) -> TDataItems:
        with account.named_in_errors():
            return children.read(parent_id)

    @dlt.defer
    def finish(account: Account, children: ChildReader) -> TDataItems:
        with account.named_in_errors():
            return DataItemWithMeta(children.finish(), [])

    expected: WeakKeyDictionary[Run, int] = WeakKeyDictionary()
    """The requests that were told to be needed when the first page of parents came, by run. A short
    list's end may come before its page."""

    def read(item: TDataItems, meta: Any = None) -> Iterator[TDataItems]:
        item, meta = _without_rows_kept_away(endpoint, item, meta)
        if isinstance(item, Page) and item.total and meta.run not in expected:
            expected[meta.run] = requests = requests_expected(meta.run, endpoint, item.total)
            meta.run.extraction.show_progress(endpoint.name, REQUESTS, more=requests)
        if isinstance(meta, ListEnd):
            account = meta.run.account
            with account.named_in_errors():
                children = ChildReader(meta, endpoint)
            more = len(children.parents) - expected.setdefault(meta.run, 0)
            meta.run.extraction.show_progress(endpoint.name, REQUESTS, more=more)
            for parent_id in children.parents:
                yield read_one(account, children, parent_id)
            yield finish(account, children)
        elif isinstance(meta, NotRead):
            yield DataItemWithMeta(meta, [])

    def show(item: TDataItems, meta: Any = None) -> TDataItems:
        if isinstance(meta, ListEnd):
            meta.run.extraction.show_progress(endpoint.name, REQUESTS, done=1)
        return item

    table = dlt.transformer(read, data_from=reader, **_hints(endpoint, settings))
    return _complete(table.add_step(show), endpoint)


def singleton_table(accounts: Accounts, endpoint: Endpoint, settings: Settings) -> DltResource:
    """Return the table of an endpoint that is one object. It holds one row for each account."""

    def read() -> Iterator[TDataItems]:
        for run in accounts.runs():
            if run.keeps_away(endpoint):
                yield DataItemWithMeta(NotRead(run), [])
                continue
            with run.account.named_in_errors():
                try:
                    record = dict(run.access.record(endpoint.path))
                except HarvestError as error:
                    run.notes.leave_out(endpoint, error)
                    yield DataItemWithMeta(NotRead(run), [])
                    continue
                prepare(endpoint, record, run.account_id, public_links=settings.public_links)
            now = run.access.now
            run.store.save_table(endpoint.name, TableState(read_at=now, full_read_at=now))
            yield DataItemWithMeta(OfRun(run), [record])
            yield DataItemWithMeta(Gone(run, []), [])

    table = dlt.resource(in_pool(read), **_hints(endpoint, settings))
    return _complete(table, endpoint)


def report_reader(accounts: Accounts) -> DltResource:
    """Return the resource that reads all reports. It is no table: tables are made from it."""

    def read() -> Iterator[TDataItems]:
        for run in accounts.runs():
            with run.account.named_in_errors():
                yield from read_reports(run)

    return dlt.resource(in_pool(read), name="_reports", spec=NO_SETTINGS)


def report_table(reader: DltResource, endpoint: Endpoint, settings: Settings) -> DltResource:
    """Return the table of a report."""

    def rows(item: TDataItems, meta: Any = None) -> TDataItems:
        if not isinstance(meta, OfReport) or meta.table != endpoint.name:
            return None
        progress = meta.inner.run.extraction.show_progress
        progress(endpoint.name, REQUESTS, done=meta.done, more=meta.planned)
        return DataItemWithMeta(meta.inner, item)

    table = dlt.transformer(
        rows,
        data_from=reader,
        merge_key=endpoint.merge_key,
        selected=endpoint.by_default(reports=settings.reports),
        **_hints(endpoint, settings),
    )
    return _complete(table, endpoint)


def _hints(endpoint: Endpoint, settings: Settings) -> dict[str, Any]:
    columns = _with_account(endpoint.columns.schema(), nullable=False)
    if not endpoint.singleton:
        columns[DELETED_AT] = deleted_at_column(removes=False)
    if not settings.public_links:
        for name in PUBLIC_LINKS:
            columns.pop(name, None)
    return {
        "name": endpoint.name,
        "spec": NO_SETTINGS,
        "primary_key": endpoint.primary_key,
        "write_disposition": "merge",
        "columns": described(endpoint.name, columns),
        "references": references(endpoint.name, endpoint.columns),
        "nested_hints": {
            name: _nested_hints(f"{endpoint.name}__{name}", columns)
            for name, columns in endpoint.nested
        },
    }


def _nested_hints(table: str, columns: Columns) -> Any:
    hints = dlt.mark.make_nested_hints(
        columns=described(table, _with_account(columns.schema(), nullable=True)),
        references=references(table, columns),
    )
    # dlt takes these of nested tables too, though it does not name them there.
    return {**hints, **_description(table)}


def _description(table: str) -> dict[str, Any]:
    return {"additional_table_hints": {"description": table_words(table)}}


def _complete(table: DltResource, endpoint: Endpoint) -> DltResource:
    """Add to a table what dlt's decorators do not take."""
    table.apply_hints(**_description(endpoint.name))
    return table.add_step(LastStep(endpoint))


def _with_account(columns: TTableSchemaColumns, *, nullable: bool) -> TTableSchemaColumns:
    columns[ACCOUNT_ID] = {"name": ACCOUNT_ID, "data_type": "bigint", "nullable": nullable}
    return columns
