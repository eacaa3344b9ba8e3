"""The connection over which the destination is asked, while a run or a verification reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Lock, Timer
from typing import Any, TypeVar

from dlt import Pipeline
from dlt.common.configuration.utils import get_resolved_traces
from dlt.destinations.sql_client import SqlClientBase

Answer = TypeVar("Answer")

IDLE_S = 1.0
"""When a connection closes that nobody uses: it keeps other processes from a DuckDB file."""


ROWS_AT_ONCE = 10_000


def chunks(
    client: SqlClientBase[Any], statement: str, *values: Any
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a statement, some thousands at a time; a table may hold millions.

    They must be taken in before another question is asked, which would drop the rest.
    """
    with client.execute_query(statement, *values) as cursor:
        while chunk := cursor.fetchmany(ROWS_AT_ONCE):
            yield chunk


class Connection:
    """Asks a pipeline's destination.

    Opening one takes 27 ms for a DuckDB file and up to seconds at a warehouse in the cloud, and a
    run asks some forty times, a verification up to a thousand. So it stays open while questions
    come.

    Threads: any. The lock lets questions run one after the other, in a thread apart: dlt's
    extraction threads share one configuration context, which a client that is opened in one of them
    would take from the others.

    Args:
        pipeline: The pipeline that loads into the destination.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._one_at_a_time = Lock()
        self._apart = ThreadPoolExecutor(1)
        self._opened = ExitStack()
        self._client: SqlClientBase[Any] | None = None
        self._schema_name: str | None = None
        self._closing: Timer | None = None

    def run(self, question: Callable[[Pipeline], Answer]) -> Answer:
        """Answer a question that opens what it needs by itself."""
        with self._one_at_a_time:
            return self._apart.submit(question, self.pipeline).result()

    def ask(
        self, question: Callable[[SqlClientBase[Any]], Answer], schema_name: str | None
    ) -> Answer:
        """Answer a question by SQL.

        Args:
            question: What to ask the client. What it reads by a cursor it takes in before it
                returns, so no other question cuts that short; it asks nothing here itself.
            schema_name: The schema whose dataset is asked; None for the pipeline's own.

        Raises:
            SqlClientNotAvailable: The destination does not speak SQL.
            DatabaseException: The destination refuses. The next question opens a new connection.
        """

        def answer() -> Answer:
            if self._schema_name != schema_name:  # which may decide the dataset
                self._close()
            if not self._client:
                client: Any = self.pipeline.sql_client(schema_name)  # type: ignore[arg-type] # None is fine
                self._client, self._schema_name = self._opened.enter_context(client), schema_name
            try:
                return question(self._client)
            except BaseException:
                self._close()
                raise

        with self._one_at_a_time:
            if self._closing:
                self._closing.cancel()
            try:
                return self._apart.submit(answer).result()
            finally:
                self._closing = Timer(IDLE_S, self.close)
                self._closing.daemon = True
                self._closing.start()

    def close(self) -> None:
        """Close the connection; the next question opens it again."""
        with self._one_at_a_time:
            if self._closing:
                self._closing.cancel()
            self._apart.submit(self._close).result()

    def _close(self) -> None:
        self._client = None
        self._opened.close()
        # dlt logs what it resolved in each thread, failures with all that was in use then: a source
        # among them would live, and be told of each run, for as long as the process.
        get_resolved_traces().clear()
