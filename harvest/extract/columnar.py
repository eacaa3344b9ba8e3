"""The rows of a page become an Arrow table, which dlt loads as it is.

dlt flattens, types and writes one row after the other, twice, in Python. With 400,000 time entries
that was three quarters of the processor time of a run. Where a page holds nothing but what the
catalog says, its columns can be made at once. Any other page goes dlt's way, which knows what to do
with a field that Harvest added, or with a value of another type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from dlt.common.configuration import known_sections, resolve_configuration
from dlt.common.normalizers.utils import generate_dlt_id
from dlt.common.schema.typing import C_DLT_ID, C_DLT_LOAD_ID, TColumnSchema, TTableSchemaColumns
from dlt.normalize.configuration import ItemsNormalizerConfiguration

from ..settings import DECIMAL_PRECISION, DECIMAL_SCALE
from .records import Record

EMPTY: Record = {}

Make = Callable[[list[Any]], pa.Array]


def _plain(kind: pa.DataType, *types: type) -> Make:
    """Return what takes values of some types only, since Arrow would cut 1234.5 to 1234."""

    def make(values: list[Any]) -> pa.Array:
        if not {*map(type, values)} <= {*types, type(None)}:
            raise pa.ArrowTypeError
        return pa.array(values, kind)

    return make


def _parsed(kind: pa.DataType, ready: type) -> Make:
    """Return what reads texts, or takes values that are of the right type already.

    Arrow would take a number for one too, counted from 1970 in a unit of its own.
    """

    def make(values: list[Any]) -> pa.Array:
        types = {*map(type, values)} - {type(None)}
        moments = {each for each in types if issubclass(each, datetime)}
        if (
            types
            and all(issubclass(each, ready) for each in types)
            and (
                ready is datetime
                or not moments  # Of a moment Arrow would take the day where it is.
            )
        ):
            return pa.array(values, kind)
        return _plain(pa.string(), str)(values).cast(kind)

    return make


MAKERS: dict[str, Make] = {
    "bigint": _plain(pa.int64(), int),
    "text": _plain(pa.string(), str),
    "bool": _plain(pa.bool_(), bool),
    "decimal": _plain(pa.decimal128(DECIMAL_PRECISION, DECIMAL_SCALE), Decimal, int),
    "date": _parsed(pa.date32(), date),
    "timestamp": _parsed(pa.timestamp("us", "UTC"), datetime),
}
"""How the columns of a type are made from values; each refuses what it can't hold as it is."""


def dlt_columns() -> TTableSchemaColumns:
    """Return the columns that dlt adds to each row that it normalizes itself, as it makes them."""
    row_id: TColumnSchema = {"name": C_DLT_ID, "data_type": "text", "nullable": False}
    return {
        C_DLT_LOAD_ID: {"name": C_DLT_LOAD_ID, "data_type": "text", "nullable": False},
        C_DLT_ID: {**row_id, "unique": True, "row_key": True},
    }


class Columnar:
    """Makes Arrow tables of one table's rows.

    Args:
        columns: The table's columns, those of nested objects by their flat names.
        load_id: The load package that the rows go into.
    """

    def __init__(self, columns: TTableSchemaColumns, load_id: str) -> None:
        self._load_id = load_id
        self._fields: list[tuple[str, Make]] = []
        self._objects: dict[str, list[tuple[str, Make]]] = {}
        for name, column in columns.items():
            owner, _, part = name.partition("__")
            make = MAKERS[str(column["data_type"])]
            if part:
                self._objects.setdefault(owner, []).append((part, make))
            elif name not in (C_DLT_LOAD_ID, C_DLT_ID):
                self._fields.append((name, make))
        self._required = {n for n, column in columns.items() if column.get("nullable") is False}
        self._required |= dlt_columns().keys()
        self._known = {C_DLT_ID, *self._objects, *(name for name, _ in self._fields)}

    @staticmethod
    def takes(columns: TTableSchemaColumns) -> bool:
        """Tell whether a table's columns can all be made here.

        Not where the user lets dlt add ids to Arrow tables: it would add them twice.
        """
        sections = (known_sections.NORMALIZE, "parquet_normalizer")
        dlts = resolve_configuration(ItemsNormalizerConfiguration(), sections=sections)
        known = all(column.get("data_type") in MAKERS for column in columns.values())
        ours = {(DECIMAL_PRECISION, DECIMAL_SCALE)} >= {
            (column.get("precision"), column.get("scale"))
            for column in columns.values()
            if column.get("data_type") == "decimal"
        }
        return known and ours and not dlts.add_dlt_id

    def table(self, rows: Sequence[Record]) -> pa.Table | None:
        """Return the rows as a table; None if one of them holds something that is not known."""
        if not all(row.keys() <= self._known for row in rows):
            return None
        columns: dict[str, pa.Array] = {}
        try:
            for name, make in self._fields:
                columns[name] = make([row.get(name) for row in rows])
            for name, parts in self._objects.items():
                objects = [EMPTY if row.get(name) is None else row[name] for row in rows]
                known = {part for part, _ in parts}
                if not all(type(each) is dict and each.keys() <= known for each in objects):
                    return None
                for part, make in parts:
                    columns[f"{name}__{part}"] = make([each.get(part) for each in objects])
        except (pa.ArrowException, OverflowError):
            return None
        columns[C_DLT_LOAD_ID] = pa.array([self._load_id] * len(rows), pa.string())
        ids = [row.get(C_DLT_ID) or generate_dlt_id() for row in rows]
        columns[C_DLT_ID] = pa.array(ids, pa.string())
        fields = [
            pa.field(name, values.type, nullable=name not in self._required)
            for name, values in columns.items()
        ]
        return pa.table([*columns.values()], pa.schema(fields))
