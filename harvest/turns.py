"""Lets pipelines that load into one dataset of Postgres take turns.

Where two pipelines merge the same rows at the same moment, each of them deletes what it saw and
inserts its own, so rows would stand there twice; and dlt looks for a table before it makes it, so
one of two first runs would fail. Elsewhere than on Postgres there is no lock that a killed process
is sure to give back.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

from dlt import Pipeline
from dlt.common import logger
from dlt.common.destination.exceptions import DestinationException
from dlt.destinations.sql_client import SqlClientBase

POSTGRES = "dlt.destinations.postgres"

HELD: dict[str, ExitStack] = {}
"""The open transactions that keep other pipelines waiting, by the pipeline's folder."""


def take_turn(pipeline: Pipeline) -> None:
    """Wait until no other pipeline loads into the dataset, and keep others waiting.

    The lock belongs to a transaction of a connection of its own, so it ends with the process, and
    a pool of connections can't pass it on.
    """
    if not pipeline.destination or pipeline.destination.destination_type != POSTGRES:
        return
    if pipeline.working_dir in HELD:
        return
    with ExitStack() as opened, suppress(DestinationException):  # a database without such locks
        sql: Any = pipeline.sql_client()
        client: SqlClientBase[Any] = opened.enter_context(sql)
        opened.enter_context(client.begin_transaction())
        for timeout in ("idle_in_transaction_session", "statement", "lock"):  # It waits long.
            client.execute_sql(f"SET LOCAL {timeout}_timeout = 0")
        lock = f"dlt-harvest {client.fully_qualified_dataset_name()}"
        got = client.execute_sql("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", lock)
        if not (got and got[0][0]):
            logger.warning(f"Another pipeline loads into {pipeline.dataset_name}: it comes first.")
            client.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", lock)
        HELD[pipeline.working_dir] = opened.pop_all()


def end_turn(pipeline: Pipeline) -> None:
    """Let others load."""
    with suppress(Exception):  # The connection broke, and the lock went with it.
        if opened := HELD.pop(pipeline.working_dir, None):
            opened.close()
