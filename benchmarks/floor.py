"""The fewest requests that the API allows for what a run must know."""

from __future__ import annotations

from harvest.catalog import ENDPOINTS

PAGE = 2000
"""Records on a page at most."""


def floor(
    tables: list[str], rows: dict[str, int], changed: dict[str, int] | None, children: str
) -> int:
    """Return the fewest requests of a run.

    Args:
        tables: What is loaded.
        rows: Records of each list.
        changed: How many of them changed since the last run; None for a first run.
        children: Whether those of all parents are read, "complete", or of "changed" ones.
    """
    chosen = [endpoint for endpoint in ENDPOINTS if endpoint.name in tables]
    news = rows if changed is None else changed
    whole = {e.parent for e in chosen if e.parent and children == "complete"}
    requests = 0
    for endpoint in ENDPOINTS:
        listed = rows if endpoint.name in whole or not endpoint.updated_since else news
        if endpoint.parent:
            parents = rows if endpoint.parent in whole else news
            requests += parents.get(endpoint.parent, 0) if endpoint in chosen else 0
        elif endpoint in chosen or any(e.parent == endpoint.name for e in chosen):
            requests += max(1, -(-listed.get(endpoint.name, 0) // PAGE))
    return requests
