"""One clock for everything."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from harvest_sandbox import Sandbox

from .asking import ask


def test_clock(sandbox: Sandbox) -> None:
    """The `Date` header, stamps and running timers share one clock, which can be shifted."""
    sandbox.clock.shift(days=400)
    answer = ask(sandbox, "time_entries", is_running="true")
    now = parsedate_to_datetime(answer.headers["Date"])
    assert timedelta(days=399) < now - datetime.now(timezone.utc) < timedelta(days=401)
    assert {row["hours"] // 24 for row in answer.json()["time_entries"]} == {400}
    client = next(iter(sandbox.account.records["clients"]))
    stamp = sandbox.account.update("clients", client)["updated_at"]
    assert abs(datetime.fromisoformat(stamp.replace("Z", "+00:00")) - now) < timedelta(seconds=5)


def test_clock_speed(sandbox: Sandbox) -> None:
    """The clock can stand still and run fast."""
    clock = sandbox.clock
    clock.speed = 0
    assert clock.now() == clock.now()
    before = clock.now()
    clock.speed = 1_000_000
    time.sleep(0.01)
    assert clock.now() - before > timedelta(hours=2)
