"""Leaves out rows that the destination holds already, so that a run writes only what changed.

dlt gives each row an id, `_dlt_id`, at random. Here the first half of the id of a table's row is a
fingerprint of the row's content, so the ids that the destination holds tell which rows need not be
written again. The rest is random, so that a row that comes back does not get the items that were
left of its former self.

dlt has merge strategies that skip unchanged rows, but no hard deletes with them, see DECISIONS.md.
"""

from __future__ import annotations

from array import array
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Collection, Iterable
from datetime import datetime
from hashlib import blake2b
from os import urandom

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.schema.typing import C_DLT_ID

from ..catalog import Endpoint
from ..destination import Destination
from .records import Record, items_of

FINGERPRINT, ITEMS, RANDOM = 8, 2, 5
"""The bytes of an id, in this order: of the content, of the number of items in lists, at random."""

MOST_ITEMS = 256**ITEMS - 1


class UnchangedRows:
    """Tells which rows of a table need not be written again, in one run.

    Threads: the one where dlt extracts. Nothing needs a guard.

    Args:
        endpoint: The table.
        shape: What shapes its rows. A change makes all of them differ, so that they are written
            anew.
        made: The tables that its rows fill. Lists that the user makes a JSON column have none.
    """

    def __init__(self, endpoint: Endpoint, shape: str, made: Collection[str]) -> None:
        self._endpoint, self._shape = endpoint, shape.encode()
        tables = zip(endpoint.nested, endpoint.nested_tables, strict=True)
        self._lists = {name: table for (name, _), table in tables if table in made}
        self._held = array("q")

    def look_at(self, destination: Destination, changed_since: datetime | None) -> None:
        """Learn which rows the destination holds.

        Args:
            destination: What is there.
            changed_since: Only rows with this stamp or a later one (UTC), and those that change
                without a stamp; None for all rows.
        """
        items = [destination.items_by_row(name) for name in self._lists.values()]
        held = array("q")

        def take(ids: Iterable[str]) -> None:
            numbers = (read_id(row_id, sum(n.get(row_id, 0) for n in items)) for row_id in ids)
            held.extend(number for number in numbers if number is not None)

        destination.read_row_ids(self._endpoint, take, changed_since=changed_since)
        if held:  # Sorted by Arrow, since a list of millions of numbers takes five times as much.
            numbers = pa.Array.from_buffers(pa.int64(), len(held), [None, pa.py_buffer(held)])
            ordered = numbers.take(pc.sort_indices(numbers)).buffers()[1]
            self._held.frombytes(memoryview(ordered)[: len(held) * held.itemsize])

    def leave_out(self, rows: Iterable[Record]) -> list[Record]:
        """Return the rows that must be written, each with its id."""
        changed = []
        for row in rows:
            fingerprint = self._fingerprint(row)
            if fingerprint is None:
                changed.append(row)
                continue
            number = int.from_bytes(fingerprint, "big", signed=True)
            place = bisect_left(self._held, number)
            if place == len(self._held) or self._held[place] != number:
                items = sum(len(items_of(row, name)) for name in self._lists)
                row[C_DLT_ID] = make_id(fingerprint, items)
                changed.append(row)
        return changed

    def _fingerprint(self, row: Record) -> bytes | None:
        """Return the fingerprint of a row; None where a user's step put what is not known here."""
        try:
            content = msgspec.json.encode(row)
        except (TypeError, ValueError):
            return None
        return blake2b(content, digest_size=FINGERPRINT, key=self._shape).digest()


def fingerprint_of(row: Record) -> bytes:
    """Return the fingerprint of a row's content alone, whatever types its columns have.

    What a user's step put there, and is not known here, counts as its text.
    """
    content = msgspec.json.encode(row, enc_hook=str)
    return blake2b(content, digest_size=FINGERPRINT).digest()


def make_id(fingerprint: bytes, items: int) -> str:
    """Return a new id of a row.

    Args:
        fingerprint: That of the row.
        items: How many items its lists have.
    """
    counted = min(items, MOST_ITEMS).to_bytes(ITEMS, "big")
    return urlsafe_b64encode(fingerprint + counted + urandom(RANDOM)).decode()


def read_id(row_id: str, items_there: int) -> int | None:
    """Return the fingerprint in an id; None if it is not ours, or if items of the row are missing.

    Somebody may have deleted them, or a load that was interrupted may have doubled them.
    """
    try:
        content = urlsafe_b64decode(row_id)
    except ValueError:
        return None
    if len(content) != FINGERPRINT + ITEMS + RANDOM:
        return None
    items = int.from_bytes(content[FINGERPRINT : FINGERPRINT + ITEMS], "big")
    if items != min(items_there, MOST_ITEMS):
        return None
    return int.from_bytes(content[:FINGERPRINT], "big", signed=True)
