"""Requests leave as fast as Harvest allows and no faster, whichever process sends them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harvest.api.auth import PersonalToken
from harvest.api.client import HarvestClient
from harvest.api.rate_limit import (
    Budget,
    LimitedAdapter,
    LimitedClient,
    RateLimiter,
    RequestLog,
)
from harvest.errors import StatusError
from harvest.settings import Sizes
from harvest_sandbox import Sandbox

LIMIT = (20, 2.0)
BUDGETS: tuple[Budget, ...] = ("general", "reports")


@pytest.fixture
def limited() -> Iterator[Sandbox]:
    """Serve a tiny account with a short limit, whose answers take a moment."""
    with Sandbox("tiny", rate_limit=LIMIT, latency=0.02) as served:
        yield served


def client_of(sandbox: Sandbox, noted: Path | None = None, *, attempts: int = 2) -> HarvestClient:
    """Make a client as a new process makes it; `noted` is where it finds the one before."""
    requests, period = LIMIT
    budgets: dict[Budget, RateLimiter] = {
        budget: RateLimiter(requests, period + 0.02, RequestLog(noted / budget) if noted else None)
        for budget in BUDGETS
    }
    auth = PersonalToken(sandbox.token, sandbox.account_id)
    return HarvestClient(sandbox.base_url, auth, "tests", budgets, Sizes(max_attempts=attempts))


def ask(client: HarvestClient, requests: int) -> None:
    """Send so many requests, ten at a time."""
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: client.record("company"), range(requests)))


def refusals(sandbox: Sandbox) -> int:
    """Return how many requests were over the limit."""
    return sum(request.status == 429 for request in sandbox.log)


@pytest.mark.parametrize("runs", [(20, 20), (20, 5), (7, 7, 7, 7), (45, 20)])
def test_run_after_run(limited: Sandbox, tmp_path: Path, runs: tuple[int, ...]) -> None:
    """A run that starts right after another one meets no refusal, and waits no longer than due."""
    started = time.monotonic()
    for requests in runs:
        ask(client_of(limited, tmp_path), requests)
    assert refusals(limited) == 0
    windows = (sum(runs) - 1) // LIMIT[0]
    assert time.monotonic() - started < (windows + 1) * LIMIT[1]


def test_run_after_a_while(limited: Sandbox, tmp_path: Path) -> None:
    """A run does not wait for requests that Harvest has forgotten."""
    ask(client_of(limited, tmp_path), 20)
    time.sleep(LIMIT[1] + 0.1)
    started = time.monotonic()
    ask(client_of(limited, tmp_path), 20)
    assert time.monotonic() - started < LIMIT[1]
    assert refusals(limited) == 0


def test_log_forgets(limited: Sandbox, tmp_path: Path) -> None:
    """The file holds no more than a period when a run begins, so it stays small."""
    ask(client_of(limited, tmp_path), 20)
    time.sleep(LIMIT[1] + 0.1)
    ask(client_of(limited, tmp_path), 1)
    assert (tmp_path / "general").stat().st_size == RequestLog.MOMENT.size


def test_log_of_two(tmp_path: Path) -> None:
    """What one process notes while another one begins stays noted."""
    ours, theirs = (RequestLog(tmp_path / "general") for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        noting = [pool.submit(ours.note) for _ in range(1_000)]
        while not noting[-1].done():
            theirs.recent(60)
    assert len(theirs.recent(60)) == 1_000


def test_odd_log(limited: Sandbox, tmp_path: Path) -> None:
    """A torn or foreign file, or a clock that was set back, holds no run up."""
    future = RequestLog.MOMENT.pack(time.time() + 1e6)
    not_a_number = RequestLog.MOMENT.pack(float("nan"))
    (tmp_path / "general").write_bytes(future * 30 + not_a_number + b"torn")
    started = time.monotonic()
    ask(client_of(limited, tmp_path), 20)
    assert time.monotonic() - started < LIMIT[1]


def test_no_place_for_the_log(limited: Sandbox, tmp_path: Path) -> None:
    """Where nothing can be written a run goes on all the same."""
    (tmp_path / "file").touch()
    ask(client_of(limited, tmp_path / "file" / "folder"), 20)
    assert refusals(limited) == 0


@pytest.mark.parametrize(("refused", "other"), [BUDGETS, BUDGETS[::-1]])
def test_budgets_are_apart(sandbox: Sandbox, refused: Budget, other: Budget) -> None:
    """What Harvest says about one budget holds all its requests back, and none of the other."""
    client = client_of(sandbox)
    sandbox.fault("status", path="tasks", status=429, headers={"Retry-After": "4"})

    def seconds(budget: Budget) -> float:
        next(client.pages("clients", "clients", budget=budget))
        return time.monotonic() - started

    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(lambda: list(client.pages("tasks", "tasks", budget=refused)))
        while not sandbox.log:
            time.sleep(0.01)
        time.sleep(0.1)
        assert seconds(other) < 2
        assert seconds(refused) >= 4
        assert report.result()


@pytest.mark.parametrize("text", ["", " ", "0", "-5", "soon", "\u00b2", "1.5"])
def test_refusal_without_time(sandbox: Sandbox, text: str) -> None:
    """A refusal that names no time to wait pauses all requests for a part of the period."""
    client = client_of(sandbox)
    sandbox.fault("status", path="tasks", status=429, headers={"Retry-After": text})
    started = time.monotonic()
    assert list(client.pages("tasks", "tasks"))
    assert time.monotonic() - started >= LIMIT[1] / 4


def test_long_wait_is_told(told: list[str]) -> None:
    """A wait of minutes is told once, however many threads meet it."""
    limiter = RateLimiter(*LIMIT)
    for seconds in (2.0, 840.0, 839.0):
        limiter.pause(seconds)
    assert told == ["Harvest asks to wait: no request is sent for 840 s."]


@pytest.mark.parametrize("wait", ["3601", "9" * 400])
def test_endless_wait(sandbox: Sandbox, wait: str) -> None:
    """When Harvest asks to wait more than an hour, the run fails after its attempts."""
    sandbox.fault("status", path="tasks", status=429, times=-1, headers={"Retry-After": wait})
    with pytest.raises(StatusError, match="the rate limit is used up"):
        list(client_of(sandbox).pages("tasks", "tasks"))
    assert len(sandbox.log) == 2


class SlowFigures(dict[str, float]):
    """What tenacity counts of a request; the moment in which it is empty lasts long."""

    def clear(self) -> None:
        """Empty it, and give other threads the time to look."""
        super().clear()
        time.sleep(0.01)


def test_shared_session(sandbox: Sandbox) -> None:
    """Threads that send by one session at once keep their retries apart."""
    sandbox.fault("status", status=500, times=-1)
    adapter = LimitedAdapter(RateLimiter(100_000), 10)
    client = LimitedClient(
        adapter, raise_for_status=False, request_max_attempts=3, request_backoff_factor=0
    )
    session = client.session
    session.send.statistics = SlowFigures()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(8) as pool:
        url = f"{sandbox.base_url}/company"
        answers = list(pool.map(lambda _: session.get(url), range(40)))
    assert {answer.status_code for answer in answers} == {500}
    assert len(sandbox.log) == 3 * len(answers)
