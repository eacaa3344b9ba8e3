"""What is gone from Harvest, whether that may be believed, and how it leaves the destination.

Harvest does not tell of deletions. A row is taken for gone if the table was read completely and the
row was not found. Before that is believed, these questions are asked, in this order:

1. Does the user want deletions to be looked for? (`Tables.deletions`)
2. Does the token see what the one before it saw? (`Access.deletions_trusted`)
3. Is the module switched on? (`Access.module_disabled`)
4. Is it certain that the read missed nothing? (`Listing.proven`)
5. Would the read have found the row: is it of this account, and stamped within the anchor?
6. Would most of the table go? Then the user must confirm it.

What is gone leaves by dlt's hard deletes, in the transaction that brings the new rows, or is
flagged. Rows that tell dlt what to delete are added after the user's own steps, which never see
them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from itertools import islice
from typing import Any

from dlt.common import logger
from pyroaring import BitMap64

from ..catalog import Endpoint
from ..destination import DELETED_AT, Key, Span
from ..errors import SuspiciousDeletionsError
from ..settings import SUSPICIOUS_LEAST, SUSPICIOUS_SHARE
from .context import Run

NAMED = 20
"""Rows that are named in the log."""


@dataclass
class Gone:
    """Travels with an empty list, as its meta data, through the user's steps to the last one.

    It comes when a table was read to its end.

    Attributes:
        run: The run.
        rows: What dlt must merge so that the rows leave.
        count: How many rows leave, or were flagged.
        ended: The records of which the history must say that they are gone.
    """

    run: Run
    rows: list[dict[str, Any]]
    count: int = 0
    ended: Collection[int] = ()


@dataclass
class NotRead:
    """Travels in its place where a table was not read, and stays as it is."""

    run: Run


class Deletions:
    """The deletions of one table in one run.

    Threads: one at a time. Its reader sees to that: a list's asks at its end, the children's when
    they are chosen and, after all requests, when they are finished.

    Args:
        run: The run.
        endpoint: The table.
    """

    def __init__(self, run: Run, endpoint: Endpoint) -> None:
        self._run, self._endpoint = run, endpoint
        self._looked_for = (
            run.tables.deletions(endpoint) != "keep"
            and run.holdings.holds(endpoint.name)
            and run.access.deletions_trusted()
            and not run.access.module_disabled(endpoint)
        )

    def _held(self, ids: Span = (None, None)) -> list[Key]:
        """Return the keys of rows that the destination holds and a complete read would find."""
        if not self._looked_for:
            return []
        run, endpoint = self._run, self._endpoint
        return run.destination.keys(
            endpoint,
            # A child carries a stamp of its own, which says nothing of its parent's.
            changed_after=None if endpoint.parent else run.anchor_for(endpoint),
            unflagged=run.tables.deletions(endpoint) == "flag",
            ids=ids,
        )

    def of_list(self, found: BitMap64) -> Gone:
        """Remove or flag what a complete read of a list did not find.

        Raises:
            SuspiciousDeletionsError: Most of the table would go.
        """
        # All keys at once would take memory with the length of the list.
        size = self._run.sizes.keys_at_once
        starts = [None, *islice(found, size, None, size)]
        gone, held = list[Key](), 0
        for span in zip(starts, [*starts[1:], None], strict=True):
            keys = self._held(span)
            held += len(keys)
            gone += [key for key in keys if not _is_in(found, key[0])]
        result = self._let_go(gone, len(gone), held)
        result.ended = self._ended(found)
        return result

    def _ended(self, found: BitMap64) -> list[int]:
        """Return the records that are gone by now, though not by their latest version."""
        living = self._living()
        ended = sorted(i for i in living if not _is_in(found, i))
        self._demand_plausible(self._endpoint.history_table, len(ended), len(living))
        return ended

    def _living(self) -> list[int]:
        """Return the records that are there by their latest version.

        A history tells of deletions whatever becomes of rows in the main table, which may have been
        read anew since the versions came.
        """
        run, endpoint = self._run, self._endpoint
        if (
            not run.holdings.keeps_history(endpoint)
            or not run.holdings.holds(endpoint.history_table)
            or not run.access.deletions_trusted()
            or run.access.module_disabled(endpoint)
        ):
            return []
        return run.destination.living(endpoint, run.anchor_for(endpoint))

    def of_moved(self, moved: set[int]) -> Gone:
        """Remove or flag what was moved to what the table is not limited to, as its record says.

        However many they are, no one need confirm it: each was seen where it is now.
        """
        held = self._held((min(moved), max(moved) + 1))
        gone = [key for key in held if key[0] in moved]
        result = self._let_go(gone, 0, len(held))
        result.ended = sorted(moved & {*self._living()})
        return result

    def of_children(self, found: dict[int, set[int]], missing_parents: set[int]) -> Gone:
        """Remove or flag what parents no longer list, and all children of parents that are gone.

        Args:
            found: The children's ids by parent, for each parent whose children were read.
            missing_parents: Parents that are gone.

        Raises:
            SuspiciousDeletionsError: Most of the table would go.
        """
        by_parent = self.held_by_parent
        gone: list[Key] = []
        shrinks_by = 0
        for parent, children in found.items():
            mine = by_parent.get(parent, set())
            gone += [key for key in mine if key[1] not in children]
            # Rates are replaced as a whole: then all are gone, and the table does not shrink.
            shrinks_by += max(0, len(mine) - len(children))
        for parent in missing_parents:
            gone += by_parent.get(parent, set())
            shrinks_by += len(by_parent.get(parent, set()))
        held = sum(map(len, by_parent.values()))
        return self._let_go(gone, shrinks_by, held, missing_parents)

    @cached_property
    def held_by_parent(self) -> dict[int, set[Key]]:
        """The held children's keys by parent."""
        by_parent: dict[int, set[Key]] = defaultdict(set)
        for key in self._held():
            by_parent[key[0]].add(key)
        return by_parent

    def _let_go(
        self, gone: Iterable[Key], shrinks_by: int, held: int, missing_parents: Collection[int] = ()
    ) -> Gone:
        self._demand_plausible(self._endpoint.name, shrinks_by, held)
        keys = sorted(gone)
        if keys:
            self._log(keys, missing_parents)
        if self._run.tables.deletions(self._endpoint) == "flag":
            self._run.destination.flag(self._endpoint, keys)
            return Gone(self._run, [], len(keys))
        rows = [mark_of(self._run, self._endpoint, key) for key in keys]
        return Gone(self._run, rows, len(keys))

    def _demand_plausible(self, table: str, shrinks_by: int, held: int) -> None:
        suspicious = shrinks_by >= SUSPICIOUS_LEAST and shrinks_by > held * SUSPICIOUS_SHARE
        if suspicious and not self._run.settings.confirm_deletions:
            raise SuspiciousDeletionsError(
                table,
                shrinks_by,
                held,
                self._run.account.named,
                str(self._run.focus_of(self._endpoint)),
                is_history=table == self._endpoint.history_table,
            )

    def _log(self, keys: list[Key], missing_parents: Collection[int]) -> None:
        """Log which rows go, so that one can find out later why a row is not there."""
        endpoint, named = self._endpoint, []
        for *parent, record_id in keys[:NAMED]:
            of_parent = f" of {endpoint.parent} {parent[0]}" if parent else ""
            is_gone = " (gone too)" if parent and parent[0] in missing_parents else ""
            named.append(f"{record_id}{of_parent}{is_gone}")
        more = f" and {len(keys) - NAMED:,} more" if len(keys) > NAMED else ""
        logger.info(
            f"`{endpoint.name}`: {len(keys):,} rows of account {self._run.account_id} count as "
            f"deleted, since Harvest lists them no more: {', '.join(named)}{more}."
        )


def _is_in(found: BitMap64, number: int) -> bool:
    """Tell whether a record was found.

    A bitmap refuses to be asked for a negative number, and somebody may have put such a row there.
    """
    return number >= 0 and number in found


def mark_of(run: Run, endpoint: Endpoint, key: Key) -> dict[str, Any]:
    """Return the row that tells dlt to delete a record, whether it is there or not."""
    named = dict(zip(endpoint.primary_key, (run.account_id, *key), strict=True))
    return {**named, DELETED_AT: datetime.now(timezone.utc)}
