"""The hints of a table: those of the user's own, and how a table is adapted to the destination."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dlt.common.schema import Schema
from dlt.extract import DltResource

from ..abilities import Abilities
from ..catalog import Endpoint
from ..errors import RefusedHintError


def disposition(resource: DltResource) -> str:
    """Return how dlt writes a resource's table: "merge", "append" or "replace"."""
    chosen: Any = resource.write_disposition
    return str(chosen["disposition"] if isinstance(chosen, dict) else chosen)


def adapt_disposition(resource: DltResource, endpoint: Endpoint, can: Abilities) -> None:
    """Let dlt write a table as the destination can, where it is to be merged.

    A source may be run into one destination after the other. So the hint keeps what was asked
    before it was adapted, and names the strategy, which a schema that was there would keep.

    Raises:
        RefusedHintError: The user chose another strategy than the one that is used here.
    """
    hint: Any = resource.write_disposition
    asked = hint.get("asked", hint) if isinstance(hint, dict) else hint
    chosen = asked if isinstance(asked, dict) else {"disposition": asked}
    if chosen["disposition"] != "merge":
        return
    upsert = can.merge_strategy == "upsert"
    adapted: dict[str, Any] = {"disposition": "append"}
    if can.merges:
        if (strategy := chosen.get("strategy", can.merge_strategy)) != can.merge_strategy:
            raise RefusedHintError(
                endpoint.name,
                f"the merge strategy {strategy!r}",
                f"unchanged and deleted rows are told to dlt for {can.merge_strategy!r} alone",
                "leave the strategy out",
            )
        ours = {"disposition": "merge", "strategy": can.merge_strategy}
        adapted = ours if upsert else ours | chosen
    remembering: Any = {**adapted, "asked": asked}
    resource.apply_hints(
        write_disposition=remembering,
        merge_key="" if upsert else endpoint.merge_key,  # with upsert, dlt has no use for one
    )


def describe_anew(schema: Schema, resource: DltResource) -> None:
    """Let the schema say what a table means by now: dlt looks at hints only where rows come.

    Args:
        schema: The source's schema in this run.
        resource: What writes the table.
    """
    for table in resource.compute_tables(schema.naming):
        if not (known := schema.tables.get(str(table["name"]))):
            continue
        if "description" in table:
            known["description"] = table["description"]
        if "references" in table:
            known["references"] = table["references"]
        for name, column in table["columns"].items():
            if name in known["columns"] and "description" in column:
                known["columns"][name]["description"] = column["description"]


def refuse_harmful(resource: DltResource, endpoint: Endpoint, unread: Collection[int]) -> None:
    """Refuse hints of the user's own that would lose rows.

    Args:
        resource: What writes the table.
        endpoint: The table.
        unread: Accounts that may have rows there, and that this run does not read.

    Raises:
        RefusedHintError: There is one.
    """
    if unread and disposition(resource) == "replace":
        raise RefusedHintError(
            endpoint.name,
            'the write disposition "replace"',
            f"this run does not read account {', '.join(map(str, sorted(unread)))}, whose "
            "rows would go",
            "read all accounts in one `pipeline.run`, or leave the disposition out and use "
            "`full_read`",
        )
    if not resource.has_dynamic_table_name and resource.table_name != endpoint.name:
        raise RefusedHintError(
            endpoint.name,
            f"the table name {resource.table_name!r}",
            "rows that are deleted in Harvest would stay there",
            "leave the name out, and make a view of that name in the destination",
        )
