"""Turns a row of the endpoint table into a dlt resource."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dlt
from dlt.common.typing import TDataItems
from dlt.extract import DltResource

from .account import Account
from .client import Page
from .destination import (
    DELETED_AT,
    choose_file_format,
    deleted_at_column,
    load_id,
    show_progress,
)
from .endpoints import Endpoint
from .errors import StatusError
from .feed import End, Family, Feed
from .listing import Records
from .progress import REQUESTS


def list_table(feed: Feed) -> DltResource:
    """Return the table of a list, merged on `id`; what a whole list lacks is let go."""

    def read(
        updated_at: Any = dlt.sources.incremental(  # noqa: B008 - dlt binds the default
            "updated_at", primary_key=(), on_cursor_value_missing="include"
        ),
    ) -> Iterator[TDataItems]:
        yield from feed.read(updated_at)

    def show(item: TDataItems, meta: Any = None) -> TDataItems:  # noqa: ARG001 - dlt passes both
        if isinstance(item, Page) and item.total:
            show_progress(feed.endpoint.name, total=item.total)
        return item

    table = dlt.resource(read, parallelized=True, **_hints(feed.endpoint, feed.account))
    return table.add_step(show)


def child_table(feed: Feed, parents: DltResource, endpoint: Endpoint) -> DltResource:
    """Return the children of a list's records, one request for each parent.

    All that a parent has is read together, so what it does not list any more is let go, and with
    a parent that is gone go its children.
    """

    @dlt.defer
    def read_one(parent_id: int) -> TDataItems:
        return feed.children_of(parent_id, endpoint)

    def read(item: Records | End) -> Iterator[TDataItems]:
        if isinstance(item, End):
            parent_ids = feed.step(endpoint, item)
        else:
            yield dlt.mark.materialize_table_schema()
            living = [record for record in item if DELETED_AT not in record]
            parent_ids = [r["id"] for r in living if feed.concerns(endpoint, r)]
        show_progress(endpoint.name, REQUESTS, more=len(parent_ids))
        held = feed.held[endpoint.name]
        held.under_way += len(parent_ids)
        for parent_id in parent_ids:
            yield read_one(parent_id)
        if not isinstance(item, End):
            return
        if item.whole:
            yield feed.orphans(item.ids, endpoint)
        feed.note_read(endpoint, item)
        held.all_asked = True
        held.flag_gone()

    def show(item: TDataItems, meta: Any = None) -> TDataItems:  # noqa: ARG001 - dlt passes both
        if isinstance(item, Family):
            show_progress(endpoint.name, REQUESTS, done=1)
            feed.held[endpoint.name].under_way -= 1
            feed.held[endpoint.name].flag_gone()
        return item

    table = dlt.transformer(read, data_from=parents, **_hints(endpoint, feed.account))
    return table.add_step(show)


def single(account: Account, endpoint: Endpoint) -> DltResource:
    """Return the resource of an endpoint that is one object, without an id of its own.

    A constant row id makes it replace itself by merging, and so in one transaction.
    """

    def read() -> Iterator[TDataItems]:
        account.join(load_id())
        choose_file_format(dlt.current.source().resources[endpoint.name], filled=True)
        try:
            record = account.record(endpoint.path)
        except StatusError as error:
            account.excuse(endpoint, error)
            return
        dlt.current.resource_state(endpoint.name)["read_whole_at"] = datetime.now(timezone.utc)
        yield {**record, "_dlt_id": endpoint.name}

    return dlt.resource(read, parallelized=True, **_hints(endpoint, account))


def _hints(endpoint: Endpoint, account: Account) -> dict[str, Any]:
    columns = endpoint.columns.schema()
    if not endpoint.single:
        columns[DELETED_AT] = deleted_at_column(account.options.deletions)
        # Of two states of a record met in one run, the newer one stays.
        columns["updated_at"]["dedup_sort"] = "desc"
    return {
        "name": endpoint.name,
        "primary_key": "_dlt_id" if endpoint.single else endpoint.primary_key,
        "write_disposition": "merge",
        "columns": columns,
        "nested_hints": {
            name: dlt.mark.make_nested_hints(columns=nested.schema())
            for name, nested in endpoint.nested
        },
    }
