"""Loads Harvest into a lake of Delta tables: where it is says lake.toml."""

from __future__ import annotations

import dlt
from dlt.extract import DltSource

from harvest.run import load


def as_delta(source: DltSource) -> None:
    """Write each table as Delta. Plain files would keep every state of a record as a row."""
    for table in source.resources.values():
        table.apply_hints(table_format="delta")


if __name__ == "__main__":
    lake = dlt.pipeline("harvest", destination="filesystem", dataset_name="harvest_data")
    print(load(lake, customize=as_delta))
