"""Harvest's clock, which may be shifted against ours and run at another speed."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone


class Clock:
    """One clock for everything: stamps, running timers and the `Date` header."""

    def __init__(self) -> None:
        self._speed = 1.0
        self._moment = datetime.now(timezone.utc)
        self._since = time.monotonic()

    @property
    def speed(self) -> float:
        """Seconds that pass here while one passes outside; 0 stops the clock."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._moment, self._since = self.now(), time.monotonic()
        self._speed = speed

    def now(self) -> datetime:
        """Return the moment (UTC)."""
        return self._moment + timedelta(seconds=(time.monotonic() - self._since) * self._speed)

    def shift(self, **delta: float) -> None:
        """Move the clock by a `timedelta`."""
        self._moment += timedelta(**delta)

    def stamp(self) -> str:
        """Return the moment in Harvest's form: whole seconds."""
        return stamp(self.now())


def stamp(moment: datetime) -> str:
    """Return a moment (UTC) in Harvest's form."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
