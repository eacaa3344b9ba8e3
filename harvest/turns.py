"""Lets pipelines that load into one dataset of Postgres take turns.

Where two pipelines merge the same rows at the same moment, each of them deletes what it saw and
inserts its own, so rows would stand there twice; and dlt looks for a table before it makes it, so
one of two first runs would fail. Elsewhere than on Postgres there is no lock that a killed process
is sure to give back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from dlt import Pipeline
from dlt.common import logger
from dlt.common.destination.exceptions import DestinationException
from dlt.destinations.sql_client import SqlClientBase

POSTGRES = "dlt.destinations.postgres"


@contextmanager
def turn(pipeline: Pipeline) -> Iterator[None]:
    """Wait until no other pipeline loads into the dataset, and keep others waiting meanwhile.

    The lock belongs to a transaction of a connection of its own, so it ends with the process, and
    a pool of connections can't pass it on.
    """
    held = ExitStack()
    if pipeline.destination and pipeline.destination.destination_type == POSTGRES:
        with ExitStack() as opened, suppress(DestinationException):  # a database without such locks
            sql: Any = pipeline.sql_client()
            client: SqlClientBase[Any] = opened.enter_context(sql)
            opened.enter_context(client.begin_transaction())
            _lock(client, pipeline.dataset_name)
            held = opened.pop_all()
    try:
        yield
    finally:
        with suppress(Exception):  # The connection broke, and the lock went with it.
            held.close()


def _lock(client: SqlClientBase[Any], dataset_name: str) -> None:
    for timeout in ("idle_in_transaction_session", "statement", "lock"):  # It waits long.
        client.execute_sql(f"SET LOCAL {timeout}_timeout = 0")
    lock = f"dlt-harvest {client.fully_qualified_dataset_name()}"
    got = client.execute_sql("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", lock)
    if not (got and got[0][0]):
        logger.warning(f"Another pipeline loads into {dataset_name}: it comes first.")
        client.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", lock)
