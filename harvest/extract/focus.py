"""Keeps time entries and expenses to some clients, projects or users, by Harvest's own filters.

Each filter takes one value, so several values are several lists of the same table. What changed is
asked for without these filters, and what is of others is left out here: that is one list instead of
many, and it tells of a record that was moved to another project, which no filtered list holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from ..api.client import HarvestClient
from ..errors import StatusError, UnknownIdError
from .windows import Filters

FILTERS = {"clients": "client_id", "projects": "project_id", "users": "user_id"}
"""Harvest's filter by setting. A record has an object of its name, without `_id`."""


@dataclass(frozen=True)
class Focus:
    """What a table is limited to. A record must be of one of each kind that is named.

    Args:
        ids: Ids by setting; nothing where the table is not limited.
    """

    ids: Mapping[str, list[int]]

    def __bool__(self) -> bool:
        """Tell whether there is a limit."""
        return bool(self.ids)

    def __str__(self) -> str:
        """Name the limit for people."""
        return " and ".join(
            f"{name if len(ids) > 1 else name[:-1]} {', '.join(map(str, ids))}"
            for name, ids in self.ids.items()
        )

    @cached_property
    def lists(self) -> list[Filters]:
        """The filters of each list that is to be read; those of one unfiltered list without any."""
        named = [[(FILTERS[name], str(i)) for i in ids] for name, ids in self.ids.items()]
        return [dict(filters) for filters in product(*named)]

    def excludes(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record is certainly of others; what does not say whose it is may stay."""
        return bool(unheeded(record, self._allowed))

    @cached_property
    def _allowed(self) -> dict[str, frozenset[str]]:
        return {FILTERS[name]: frozenset(map(str, ids)) for name, ids in self.ids.items()}


def limits_in(filters: Filters) -> Filters:
    """Return those of a list's filters that limit it, always in one order."""
    return {name: filters[name] for name in FILTERS.values() if name in filters}


def unheeded(record: Mapping[str, Any], allowed: Mapping[str, Collection[str]]) -> str:
    """Return the filter by which a record should not have come; nothing where it should.

    Args:
        record: The record.
        allowed: The ids that each filter lets pass.
    """
    for name, ids in allowed.items():
        named = record.get(name.removesuffix("_id"))
        found = named.get("id") if isinstance(named, dict) else None
        if found is not None and str(found) not in ids:
            return name
    return ""


def demand_known(client: HarvestClient, ids: Mapping[str, list[int]]) -> None:
    """Ask for each client, project and user, as far as the token may.

    An id that is mistyped would give an empty list, and all rows that were there would go.

    Args:
        client: Where to ask.
        ids: Ids by setting.

    Raises:
        UnknownIdError: Harvest does not have one of them, or not for this token.
    """
    for setting, numbers in ids.items():
        for number in numbers:
            status = _status(client, f"{setting}/{number}")
            if status == 403:
                break
            if status in (404, 422):
                raise UnknownIdError(setting, number)


def _status(client: HarvestClient, path: str) -> int:
    try:
        client.record(path)
    except StatusError as error:
        if error.status not in (403, 404, 422):
            raise
        return error.status
    return 200


def ids_in(filters: Filters) -> dict[str, list[int]]:
    """Return the ids that a list is limited to, by setting."""
    return {setting: [int(filters[n])] for setting, n in FILTERS.items() if n in filters}
