"""Whose children may differ from what the destination holds, as far as their parents tell.

To ask for the children of each parent takes a request each, and the list of the parents one for
2,000. A parent tells of its children by its stamp, by columns that follow from them, and by an
amount that they must add up to.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from typing import Any

from dlt.common.data_types import TDataType, coerce_value, py_type_to_sc_type
from dlt.common.time import ensure_datetime_in_tz

from ..catalog import Endpoint
from ..destination import Destination
from .records import Record


class Differences:
    """Compares the records of a list with what the destination holds of them and their children.

    Where the destination holds nothing of a record, or a value in another form than it was loaded
    in, the record differs: that costs a request, and loses nothing.

    Args:
        destination: What is asked.
        endpoint: The list.
        children: The tables of children that are asked for only where something differs.

    Attributes:
        parents: The ids of the records whose children may differ, by table of children.
    """

    def __init__(
        self, destination: Destination, endpoint: Endpoint, children: Sequence[Endpoint]
    ) -> None:
        self.parents: dict[str, set[int]] = {child.name: set() for child in children}
        self._children = children
        self._columns: dict[str, Any] = {"updated_at": "timestamp"}
        for name, column in endpoint.columns.schema().items():
            if any(name in child.told_by for child in children):
                self._columns[name] = column["data_type"]
        rows = destination.rows(endpoint, ("id", *self._columns))
        self._held = {
            parent: {
                name: _comparable(value, self._columns[name])
                for name, value in zip(self._columns, values, strict=True)
            }
            for parent, *values in rows
        }
        self._sums = {child.name: destination.sums(child) for child in children if child.adds_up}

    def note(self, record: Record) -> bool:
        """Note whose children may differ; tell whether the record itself does.

        Args:
            record: A record of the list, as it is loaded.
        """
        held = self._held.get(record["id"], {})
        differing = {
            name
            for name, kind in self._columns.items()
            if name not in held or _comparable(record.get(name), kind) != held[name]
        }
        for child in self._children:
            told = differing.intersection(("updated_at", *child.told_by))
            if told or not self._adds_up(child, record):
                self.parents[child.name].add(record["id"])
        return bool(differing)

    def _adds_up(self, child: Endpoint, record: Record) -> bool:
        if not child.adds_up:
            return True
        whole, rest = (_comparable(record.get(name), "decimal") or 0 for name in child.adds_up)
        try:
            return bool(whole - rest == self._sums[child.name].get(record["id"], 0))
        except TypeError:  # one of them is no number
            return False


def _comparable(value: Any, kind: TDataType) -> Any:
    """Return a value of Harvest's or of a destination in the type of its column, times in UTC."""
    try:
        if value is None:
            return None
        if kind == "timestamp":
            return ensure_datetime_in_tz(value, timezone.utc)
        return coerce_value(kind, py_type_to_sc_type(type(value)), value)
    except (ValueError, TypeError, ArithmeticError):
        return value
