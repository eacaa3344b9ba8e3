"""The usual way to read Harvest by dlt, to compare with: its `rest_api` source, and its defaults.

It follows the links and merges on ids. It does not heed the rate limit before Harvest refuses
requests, notices no deletion, and moves one cursor whatever happens while a list is read.
"""

from __future__ import annotations

import os
from typing import Any

from dlt.extract import DltSource
from dlt.sources.rest_api import rest_api_source
from dlt.sources.rest_api.typing import RESTAPIConfig

from harvest.catalog import BY_NAME, Endpoint

PAGE = {"per_page": 2000}
CHANGED = {
    "updated_since": {
        "type": "incremental",
        "cursor_path": "updated_at",
        "initial_value": "2000-01-01T00:00:00Z",
    }
}


def peer_source(tables: list[str]) -> DltSource:
    """Return the source of some tables; address and token are those of the environment."""
    config: RESTAPIConfig = {
        "client": {
            "base_url": os.environ["SOURCES__HARVEST__BASE_URL"] + "/",
            "headers": {"Harvest-Account-Id": os.environ["SOURCES__HARVEST__ACCOUNT_ID"]},
            "auth": {"type": "bearer", "token": os.environ["SOURCES__HARVEST__API_KEY"]},
            "paginator": {"type": "json_link", "next_url_path": "links.next"},
        },
        "resource_defaults": {"primary_key": "id", "write_disposition": "merge"},
        "resources": [_resource(BY_NAME[table]) for table in tables],
    }
    return rest_api_source(config)


def _resource(endpoint: Endpoint) -> Any:
    if endpoint.singleton:
        return {
            "name": endpoint.name,
            "primary_key": "name",
            "endpoint": {"path": endpoint.path, "paginator": "single_page"},
        }
    asked = {"path": endpoint.path, "data_selector": endpoint.key, "params": PAGE}
    if endpoint.parent:
        asked["path"] = endpoint.path.replace("{id}", f"{{resources.{endpoint.parent}.id}}")
        return {"name": endpoint.name, "endpoint": asked, "include_from_parent": ["id"]}
    if endpoint.updated_since:
        asked["params"] = PAGE | CHANGED
    return {"name": endpoint.name, "endpoint": asked}
