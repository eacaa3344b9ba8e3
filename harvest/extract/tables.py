"""The tables of one run as dlt writes them, and what the destination can do with each."""

from __future__ import annotations

from collections.abc import Collection

from dlt.common import logger
from dlt.extract import DltResource

from ..abilities import Abilities
from ..catalog import Endpoint
from ..destination import DELETED_AT, Destination, deleted_at_column
from ..settings import Settings
from .hints import adapt_disposition, describe_anew, disposition, made_of, shape_of
from .history import demand_comparable, prepare_history, schema_of
from .state import Extraction


class Tables:
    """How dlt writes each table of a run. They are adapted to the destination when this is made.

    Threads: any. Nothing changes once it is made.

    Args:
        extraction: What dlt says of the run.
        selected: The tables.
        settings: What the user chose.
        destination: Where they are loaded.

    Attributes:
        with_history: The tables of whose rows versions are kept.
        can: What the destination can do with each table; nothing without a pipeline.
        written: Each table and its nested tables as they are written.
        shapes: A digest of what shapes the rows of each.

    Raises:
        HarvestError: The user's own hints don't go with the destination.
    """

    def __init__(
        self,
        extraction: Extraction,
        selected: Collection[Endpoint],
        settings: Settings,
        destination: Destination,
    ) -> None:
        self._extraction, self._chosen = extraction, settings.deletions
        self.with_history = [e for e in selected if e.name in settings.history]
        self.can = self._adapt(selected, destination)
        naming = extraction.schema.naming
        self.written = {e.name: self.resource(e).compute_tables(naming) for e in selected}
        self.shapes = {}
        for endpoint in selected:
            tables = self.written[endpoint.name]
            describe_anew(extraction.schema, tables)
            self.shapes[endpoint.name] = shape_of(self.resource(endpoint), tables, extraction.rules)

    def resource(self, endpoint: Endpoint) -> DltResource:
        """Return the dlt resource of a selected table."""
        return self._extraction.selected[endpoint.name]

    def merges(self, endpoint: Endpoint) -> bool:
        """Tell whether dlt merges the rows of a table."""
        return disposition(self.resource(endpoint)) == "merge"

    def replaces(self, endpoint: Endpoint) -> bool:
        """Tell whether dlt replaces a table by what this run yields, because the user chose so."""
        return disposition(self.resource(endpoint)) == "replace"

    def deletions(self, endpoint: Endpoint) -> str:
        """Return what becomes of a table's rows that are gone: "remove", "flag" or "keep".

        Where dlt does not merge a table, because the user chose so, nothing is looked for.
        """
        can = self.can.get(endpoint.name)
        # Figures of a report are no records: where others take their place, none may be kept.
        chosen = "remove" if endpoint.report else self._chosen
        return can.deletions(chosen) if can and self.merges(endpoint) else "keep"

    def compares_rows(self, endpoint: Endpoint) -> bool:
        """Tell whether rows are compared with those that the destination holds.

        They are not where it can't be asked, or where dlt does not merge, and neither are those of
        a report, since its rows of a period replace each other as a whole.
        """
        can = self.can.get(endpoint.name)
        return bool(can and can.removes and self.merges(endpoint) and not endpoint.report)

    def made_of(self, endpoint: Endpoint) -> set[str]:
        """Return the tables that a table's rows fill: its own, and those of its lists."""
        nesting, _ = self._extraction.rules
        return made_of(self.resource(endpoint), endpoint, nesting)

    def _adapt(
        self, selected: Collection[Endpoint], destination: Destination
    ) -> dict[str, Abilities]:
        """Load each table as the destination can, and say once what it can't."""
        tables = {e.name: self.resource(e).compute_table_schema() for e in selected}
        for endpoint in self.with_history:
            prepare_history(self.resource(endpoint), endpoint)
            tables[endpoint.history_table] = schema_of(self.resource(endpoint), endpoint)
        found = destination.abilities(tables)
        for endpoint in self.with_history:
            demand_comparable(found.get(endpoint.history_table))
        for endpoint in selected:
            if not (can := found.get(endpoint.name)):
                continue
            resource = self.resource(endpoint)
            adapt_disposition(resource, endpoint, can)
            if not endpoint.singleton:
                resource.apply_hints(columns={DELETED_AT: deleted_at_column(removes=can.removes)})
        if any(can.one_load_job for can in found.values()):
            destination.load_one_after_the_other()
        for notice in sorted({can.notice for can in found.values() if can.notice}):
            logger.warning(notice)
        return found
