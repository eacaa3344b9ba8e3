"""Turns a row of the endpoint table into a dlt resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import dlt
from dlt.common.time import ensure_datetime_in_tz
from dlt.common.typing import TDataItems
from dlt.extract import DltResource

from .client import HarvestClient, Page, server_time
from .endpoints import Endpoint
from .errors import StatusError
from .settings import OVERLAP_SECONDS

AnchorOf = Callable[[], datetime]


class Watermark:
    """The cursor's `last_value_func`: the newest stamp, but never past the start of the read.

    A record on a page already read may change while later pages are read; had the cursor moved
    beyond that moment, the change would never be asked for again.
    """

    __name__ = "watermark"

    def __init__(self) -> None:
        self._ceiling: datetime | None = None

    def start(self, first_page: Page) -> None:
        """Take the start of this read from the first answer, by Harvest's clock."""
        self._ceiling = server_time(first_page) - timedelta(seconds=OVERLAP_SECONDS)

    def __call__(self, values: Any) -> datetime:
        """Return the cursor's next value."""
        newest: datetime = max(values)
        return min(newest, self._ceiling) if self._ceiling else newest


def listing(client: HarvestClient, endpoint: Endpoint, anchor_of: AnchorOf) -> DltResource:
    """Return the incremental resource of an endpoint that lists its records.

    The first run reads all that is in scope, later ones what changed since the cursor.
    """
    watermark = Watermark()

    def read(
        updated_at: Any = dlt.sources.incremental(  # noqa: B008 - dlt binds the default
            "updated_at",
            last_value_func=watermark,
            # Merging on `id` removes doubles; dlt's own check costs a hash per row.
            primary_key=(),
            on_cursor_value_missing="include",
        ),
    ) -> Iterator[TDataItems]:
        _choose_file_format()
        yield dlt.mark.materialize_table_schema()
        state = dlt.current.resource_state(endpoint.name)
        since: datetime | None = updated_at.start_value
        if endpoint.anchored:
            anchor = anchor_of()
            known = state.get("anchor")
            if (
                since is None
                or known is None
                or anchor < ensure_datetime_in_tz(known, timezone.utc)
            ):
                # Never read back to here: read all from the anchor on, whatever the cursor says.
                since, updated_at.start_value = anchor, None
                state["anchor"] = anchor.isoformat()
        first = True
        for page in client.pages(endpoint.path, endpoint.key, _since(endpoint, since)):
            if first:
                watermark.start(page)
                first = False
            yield [_prepare(endpoint, record) for record in page]

    return dlt.resource(read, parallelized=True, **_hints(endpoint))


def single(client: HarvestClient, endpoint: Endpoint) -> DltResource:
    """Return the resource of an endpoint that is one object, replaced on each run."""

    def read() -> Iterator[TDataItems]:
        _choose_file_format()
        yield client.record(endpoint.path)

    return dlt.resource(read, parallelized=True, **_hints(endpoint))


def parent_feed(client: HarvestClient, parent: Endpoint, anchor_of: AnchorOf) -> DltResource:
    """Return the ids of all parents in scope, for the children of one parent to share.

    It has no table and no cursor, so children are complete on every run and never move the
    cursor of the parent's own table.
    """

    def read() -> Iterator[TDataItems]:
        since = anchor_of() if parent.anchored else None
        pages = client.pages(parent.path, parent.key, _since(parent, since))
        # A list that was read twice must not ask twice for the children.
        yield list({record["id"]: None for page in pages for record in page})

    return dlt.resource(read, name=f"{parent.name}_ids", parallelized=True, selected=False)


def children(client: HarvestClient, endpoint: Endpoint, feed: DltResource) -> DltResource:
    """Return the transformer that reads the children of each parent, replaced on each run."""

    @dlt.defer
    def read_one(parent_id: int) -> TDataItems:
        try:
            pages = client.pages(endpoint.path.format(id=parent_id), endpoint.key)
            # By id, since a list may have been read twice, and replacing merges nothing.
            found = {record["id"]: record for page in pages for record in page}
            return [
                _prepare(endpoint, {**record, endpoint.parent_key: parent_id})
                for record in found.values()
            ]
        except StatusError as error:
            if error.status == 404:  # deleted since the listing: it has no children any more
                return []
            raise

    def read(parent_ids: list[int]) -> Iterator[TDataItems]:
        _choose_file_format()
        yield dlt.mark.materialize_table_schema()
        for parent_id in parent_ids:
            yield read_one(parent_id)

    return dlt.transformer(read, data_from=feed, **_hints(endpoint))


def _since(endpoint: Endpoint, since: datetime | None) -> dict[str, str]:
    if since is None or not endpoint.updated_since:
        return {}
    return {"updated_since": since.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _prepare(endpoint: Endpoint, record: dict[str, Any]) -> dict[str, Any]:
    """Type the cursor, and leave out empty objects: their columns are nulls already."""
    if (stamp := record.get("updated_at")) is not None:
        # As text it would sort by its format instead of by its moment.
        record["updated_at"] = ensure_datetime_in_tz(stamp, timezone.utc)
    _drop_empty(record, endpoint.columns.objects)
    for name, columns in endpoint.nested:
        for item in record.get(name) or ():
            _drop_empty(item, columns.objects)
    return record


def _drop_empty(record: dict[str, Any], objects: frozenset[str]) -> None:
    for name in objects & record.keys():
        if record[name] is None:
            del record[name]


def _hints(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "primary_key": None if endpoint.single else "id",
        "write_disposition": "merge" if endpoint.mode == "incremental" else "replace",
        "columns": endpoint.columns.schema(),
        "nested_hints": {
            name: dlt.mark.make_nested_hints(columns=columns.schema())
            for name, columns in endpoint.nested
        },
    }


def _choose_file_format() -> None:
    """Load DuckDB from Parquet, whoever runs the source.

    dlt's default, insert statements, took 97 s for 100,000 rows, Parquet 1.7 s. Elsewhere dlt's
    default stays: on Postgres, dlt's CSV turned empty texts to nulls, and Parquet over ADBC failed
    on JSON columns. The destination becomes known when the resource runs.
    """
    if dlt.current.pipeline().destination.destination_name == "duckdb":
        dlt.current.resource().apply_hints(file_format="parquet")
