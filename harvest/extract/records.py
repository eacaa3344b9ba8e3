"""A record of Harvest becomes a row: what is typed, left out and added on the way."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from dlt.common.time import ensure_datetime_in_tz

from ..catalog import Endpoint
from ..catalog.schema import ACCOUNT_ID, PUBLIC_LINKS
from ..errors import MalformedRecordError

Record = dict[str, Any]


def prepare(
    endpoint: Endpoint, record: Record, account_id: int, *, public_links: bool
) -> datetime | None:
    """Make a record ready for dlt, in place, and return its stamp (UTC).

    Args:
        endpoint: Where it comes from.
        record: The record.
        account_id: The account that it belongs to, which it and the rows of its lists will name.
        public_links: Whether keys that open an invoice without a login are loaded.

    Raises:
        MalformedRecordError: The stamp is no timestamp: the change could be missed for ever.
    """
    stamp = record.get("updated_at")
    if stamp is not None:
        try:  # As text it would sort by its format instead of by its moment.
            stamp = record["updated_at"] = ensure_datetime_in_tz(stamp, timezone.utc)
        except (ValueError, TypeError):
            raise MalformedRecordError(endpoint.name, record["id"], "updated_at", stamp) from None
    record[ACCOUNT_ID] = account_id
    _drop_empty(record, endpoint.columns.objects)
    for name, columns in endpoint.nested:
        for item in items_of(record, name):
            item[ACCOUNT_ID] = account_id
            _drop_empty(item, columns.objects)
    if not public_links:
        for name in PUBLIC_LINKS:
            record.pop(name, None)
    return stamp


def newest(*stamps: datetime | None) -> datetime | None:
    """Return the latest of some stamps (UTC); None if there is none."""
    return max(filter(None, stamps), default=None)


def items_of(record: Record, name: str) -> list[Record]:
    """Return the objects in a list of a record."""
    items = record.get(name)
    return [i for i in items if isinstance(i, dict)] if isinstance(items, list) else []


def _drop_empty(record: Record, objects: frozenset[str]) -> None:
    """Leave out objects that are null: their columns are null already."""
    for name in objects & record.keys():
        if record[name] is None:
            del record[name]
