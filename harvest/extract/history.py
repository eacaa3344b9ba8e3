"""Every version of a record that a run saw, in a table beside that of the records.

A row that was read is a new version if it differs from the latest one that the destination holds of
its record. So the main table does not matter: it may have been loaded before, refreshed or flagged.
The rows are taken behind the user's own steps, so what these mask is masked here too.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import dlt
import msgspec
from dlt.common.schema.typing import C_DLT_ID, TTableSchema, TTableSchemaColumns
from dlt.extract import DltResource
from dlt.extract.items import DataItemWithMeta, TableNameMeta

from ..abilities import Abilities
from ..catalog import ENDPOINTS, Endpoint
from ..catalog.schema import ACCOUNT_ID
from ..catalog.words import VERSIONS, table_words
from ..destination import DELETED_AT, VERSION_COLUMN, Destination
from ..errors import ConfigurationError
from ..settings import parts_of, pasted
from .columnar import Columnar, dlt_columns
from .records import Record, items_of
from .unchanged import FINGERPRINT, fingerprint_of, make_id, read_id

SEEN_AT = "_seen_at"
"""The column that says when the run began that saw a version, by Harvest's clock (UTC)."""

NO_CONTENT = bytes(FINGERPRINT)
"""The fingerprint of a version that says that a record is gone."""

KEPT_HINTS = ("name", "data_type", "precision", "scale", "timezone", "description")
"""What a column of a version has in common with that of the record."""


def checked_tables(setting: Any) -> tuple[str, ...]:
    """Return the tables whose history is kept, each once.

    Args:
        setting: Their names: a list, or a text with commas.

    Raises:
        ConfigurationError: There is no such table, or none whose records have versions.
    """
    known = [endpoint.name for endpoint in ENDPOINTS if endpoint.history_table]
    names = [pasted(part) for part in parts_of(setting or "")]
    for name in filter(None, names):
        if name not in known:
            near = get_close_matches(name.lower().replace("-", "_"), known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigurationError(
                "history",
                f"names {name}, of which no versions are kept",
                f"{hint}choose from {', '.join(known)}",
            )
    return tuple(dict.fromkeys(filter(None, names)))


def prepare_history(resource: DltResource, endpoint: Endpoint) -> None:
    """Let a resource write versions of its rows besides the rows themselves."""
    columns: TTableSchemaColumns = {
        name: {hint: column[hint] for hint in KEPT_HINTS if hint in column}  # type: ignore[literal-required, misc]
        for name, column in resource.compute_table_schema()["columns"].items()
        if name not in dlt_columns()
    }
    for name, _ in endpoint.nested:
        columns[name] = {"name": name, "data_type": "json"}
    columns[VERSION_COLUMN] = {"name": VERSION_COLUMN, "data_type": "bigint"}
    columns[SEEN_AT] = {"name": SEEN_AT, "data_type": "timestamp", "timezone": True}
    for name in VERSIONS.keys() & columns.keys():
        columns[name]["description"] = VERSIONS[name]
    hints = dlt.mark.make_hints(
        table_name=endpoint.history_table,
        primary_key=(*endpoint.primary_key, VERSION_COLUMN),
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=columns,
        schema_contract=resource.schema_contract,  # it may let no new columns in
        table_format=resource.table_format,
        additional_table_hints={"description": table_words(endpoint.history_table)},
    )
    # `apply_hints` would begin with a copy of the hints of the resource's own table.
    resource._set_hints(hints, create_table_variant=True)  # noqa: SLF001 - see above


def demand_comparable(can: Abilities | None) -> None:
    """Refuse a destination that can't say which versions it holds.

    Args:
        can: What it can do with a table of versions; None where nothing is loaded.

    Raises:
        ConfigurationError: It can't.
    """
    if can and not (can.removes and can.merge_strategy == "delete-insert"):
        raise ConfigurationError(
            "history",
            "can't be kept in this destination, which can't be asked for the versions that it "
            "holds",
            "leave it out; where rows can only be appended, as in plain files, each state of a "
            "record that was read stays as a row anyway",
        )


def schema_of(resource: DltResource, endpoint: Endpoint) -> TTableSchema:
    """Return the schema of the table of versions, once it was prepared."""
    return resource.compute_table_schema(meta=TableNameMeta(endpoint.history_table))


class History:
    """Writes the versions of one table's rows, in one run.

    Threads: the one where dlt extracts. Nothing needs a guard.

    Args:
        endpoint: The table.
        resource: What writes it.
        can: What the destination can do with the table of versions.
        account_id: Whose rows.
        load_id: The load package that they go into.
        seen_at: When the run began, Harvest's time.
        again: Whether each row gets a further version, because somebody dropped a column of them.

    Attributes:
        written: How many versions were new.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        resource: DltResource,
        can: Abilities,
        *,
        account_id: int,
        load_id: str,
        seen_at: datetime,
        again: bool = False,
    ) -> None:
        self._endpoint, self._resource, self._can = endpoint, resource, can
        self._account_id, self._load_id, self._seen_at = account_id, load_id, seen_at
        self._again = again
        # Of each record's latest version, in the order of ids. Python's own objects would take
        # ten times as much.
        self._ids, self._numbers, self._prints = array("q"), array("l"), array("q")
        self._columnar: Columnar | None = None
        self.written = 0

    def look_at(self, destination: Destination) -> None:
        """Learn which versions the destination holds."""
        for record, number, row_id in destination.latest_versions(self._endpoint):
            self._ids.append(record)
            self._numbers.append(number)
            self._prints.append(read_id(row_id, 0) or 0)

    def versions(self, rows: Iterable[Record]) -> Iterator[Any]:
        """Yield the versions among rows that were read, as dlt takes them."""
        new = []
        for row in rows:
            content = fingerprint_of(row)
            place = self._place(row["id"])
            number = int.from_bytes(content, "big", signed=True)
            if self._again or place is None or self._prints[place] != number:
                new.append(self._version(row, place, content))
        return self._write(new, whole=True)

    def end(self, ended: Iterable[int], *, make: bool) -> Iterator[Any]:
        """Yield what comes when the table was read to its end.

        Args:
            ended: Records that are gone. A version says so of each.
            make: Whether the table of versions must be made though none may come.
        """
        gone = [
            self._version({ACCOUNT_ID: self._account_id, "id": i}, self._place(i), gone=True)
            for i in ended
        ]
        yield from self._write(gone, whole=False)
        if make and not self.written:
            empty = dlt.mark.materialize_table_schema()
            yield DataItemWithMeta(TableNameMeta(self._endpoint.history_table), empty)

    def _version(
        self, row: Record, place: int | None, content: bytes = NO_CONTENT, *, gone: bool = False
    ) -> Record:
        version = {
            **row,
            VERSION_COLUMN: 1 if place is None else self._numbers[place] + 1,
            SEEN_AT: self._seen_at,
            C_DLT_ID: make_id(content, 0),
        }
        if gone:
            version[DELETED_AT] = self._seen_at
        for name, _ in self._endpoint.nested:
            if name in row:
                items = [
                    {key: value for key, value in item.items() if key != ACCOUNT_ID}
                    for item in items_of(row, name)
                ]
                # Decimals become texts here, since not each destination can put them into JSON.
                version[name] = msgspec.to_builtins(items, enc_hook=str)
        return version

    def _place(self, record: int) -> int | None:
        place = bisect_left(self._ids, record)
        return place if place < len(self._ids) and self._ids[place] == record else None

    def _write(self, new: list[Record], *, whole: bool) -> Iterator[Any]:
        if not new:
            return
        if not self.written:
            self._choose_file_format()
        self.written += len(new)
        table = self._columnar.table(new) if self._columnar and whole else None
        yield DataItemWithMeta(
            TableNameMeta(self._endpoint.history_table), new if table is None else table
        )

    def _choose_file_format(self) -> None:
        """Choose once in a run, and not before there are rows, as for the rows themselves."""
        name = self._endpoint.history_table
        self._resource.apply_hints(
            table_name=name,
            file_format=self._can.file_format or "",  # type: ignore[arg-type] # takes it away
            create_table_variant=True,
        )
        columns = schema_of(self._resource, self._endpoint)["columns"]
        if self._can.file_format and Columnar.takes(columns):
            self._columnar = Columnar(columns, self._load_id)
            self._resource.apply_hints(
                table_name=name, columns=dlt_columns(), create_table_variant=True
            )
