"""The hints of a table: those of the user's own, and how a table is adapted to the destination."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Any

import msgspec
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema
from dlt.extract import DltResource

from ..abilities import Abilities
from ..catalog import Endpoint
from ..errors import RefusedHintError


def disposition(resource: DltResource) -> str:
    """Return how dlt writes a resource's table: "merge", "append" or "replace"."""
    chosen: Any = resource.write_disposition
    return str(chosen["disposition"] if isinstance(chosen, dict) else chosen)


def shape_of(resource: DltResource, tables: Iterable[TTableSchema], rules: object) -> str:
    """Return a digest of what shapes the rows of a table and of its nested tables.

    It differs once the catalog, `public_links` or the user's own hints do: the rows that are there
    were made otherwise, and would stay so until they change in Harvest.

    Args:
        resource: What writes the table.
        tables: The table and its nested tables, as the resource writes them.
        rules: What the whole source says of nesting and contract.
    """
    # dlt's own columns get hints with the first rows of a run.
    columns = [
        {
            name: {**column, "description": ""}
            for name, column in part["columns"].items()
            if not name.startswith("_dlt_")
        }
        for part in tables
    ]
    content = (columns, resource.max_table_nesting, resource.schema_contract, rules)
    named = msgspec.json.encode(
        content, order="sorted", enc_hook=lambda value: type(value).__name__
    )
    return blake2b(named, digest_size=8).hexdigest()


def made_of(resource: DltResource, endpoint: Endpoint, nesting: int | None) -> set[str]:
    """Return the tables that a resource fills: its own, and those of lists that are no JSON column.

    Args:
        resource: What writes the table.
        endpoint: The table.
        nesting: How deep the source's tables are nested; None for dlt's default.
    """
    own = resource.max_table_nesting
    if not endpoint.nested or (nesting if own is None else own) == 0:
        return {endpoint.name}
    columns = resource.compute_table_schema()["columns"]
    lists = {name for name, _ in endpoint.nested if "data_type" not in columns.get(name, {})}
    return {endpoint.name, *(f"{endpoint.name}__{name}" for name in lists)}


def adapt_disposition(resource: DltResource, endpoint: Endpoint, can: Abilities) -> None:
    """Let dlt write a table as the destination can, where it is to be merged.

    A source may be run into one destination after the other. So the hint keeps what was asked
    before it was adapted, and names the strategy, which a schema that was there would keep.

    Raises:
        RefusedHintError: The user chose another strategy than the one that is used here, or to
            append where rows can be merged.
    """
    hint: Any = resource.write_disposition
    asked = hint.get("asked", hint) if isinstance(hint, dict) else hint
    chosen = asked if isinstance(asked, dict) else {"disposition": asked}
    if chosen["disposition"] == "append" and can.merges:
        raise RefusedHintError(
            endpoint.name,
            'the write disposition "append"',
            "a record would stand there once for each time that it was read",
            "leave the disposition out, and name the table in `history` to keep each version",
        )
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


def made_again(token: str) -> dict[str, Any]:
    """Return the hint that lets dlt make what a table lacks: it looks only at a changed schema.

    Args:
        token: What no other run has, such as the id of the load package.
    """
    return {"x-harvest-made-again": token}


def make_again(resource: DltResource, load_id: str, variant: str = "") -> None:
    """Let dlt make a table or columns that somebody dropped.

    Args:
        resource: What writes the table.
        load_id: The load package.
        variant: The table, where it is not the resource's own.
    """
    which: dict[str, Any] = {"table_name": variant, "create_table_variant": True} if variant else {}
    resource.apply_hints(additional_table_hints=made_again(load_id), **which)


def describe_anew(schema: Schema, tables: Iterable[TTableSchema]) -> None:
    """Let the schema say what a table means by now: dlt looks at hints only where rows come.

    Args:
        schema: The source's schema in this run.
        tables: Its tables as they are written in this run.
    """
    for table in tables:
        if not (known := schema.tables.get(str(table["name"]))):
            continue
        if "description" in table:
            known["description"] = table["description"]
        if "references" in table:
            known["references"] = table["references"]
        for name, column in table["columns"].items():
            if name in known["columns"] and "description" in column:
                known["columns"][name]["description"] = column["description"]


def refuse_harmful(
    resource: DltResource, endpoint: Endpoint, unread: Collection[int], *, history: bool
) -> None:
    """Refuse hints of the user's own that would lose rows.

    Args:
        resource: What writes the table.
        endpoint: The table.
        unread: Accounts that may have rows there, and that this run does not read.
        history: Whether the versions of the rows are kept.

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
    if resource.has_dynamic_table_name and history:
        raise RefusedHintError(
            endpoint.name,
            "a function that names the table of each row",
            "dlt would ask it about the versions of the rows too",
            "leave the function out, or leave the table out of `history`",
        )
