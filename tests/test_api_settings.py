"""Settings work as people paste them, or are refused in one line that shows no part of a token."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dlt import Pipeline

from harvest import harvest_source
from harvest.api.auth import PersonalToken
from harvest.errors import ConfigurationError
from harvest.settings import checked_base_url, checked_rate_limit, checked_user_agent
from harvest_sandbox import Sandbox

from .running import Make, failure
from .truth import assert_equal

SECRET = "sandbox-secret"  # noqa: S105 - the sandbox's


@pytest.fixture
def shown(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Return all that was logged, at any level by any library, or printed."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    loggers = [logging.getLogger(name) for name in ("", "dlt", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield lambda: log.getvalue() + "".join(capfd.readouterr())
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.mark.parametrize(
    "paste",
    [
        "{}\n", "  {}\t", "\r\n{}\r\n", "'{}'", '"{}"', "“{}”", "„{}“", "«{}»", "`{}`",
        "Bearer {}", "bearer  {}", "Authorization: Bearer {}", "'Bearer {} '", "\ufeff{}\u200b",
        "\u00a0{}",
    ],
)  # fmt: skip
def test_pasted(sandbox: Sandbox, source: Make, duck: Pipeline, paste: str) -> None:
    """Token and account id work with what copying left around them."""
    account = f" “{sandbox.account_id}”\n"
    settings = {"api_key": paste.format(sandbox.token), "account_id": account}
    duck.run(source(**settings).with_resources("tasks"))
    assert_equal(duck, sandbox, "tasks")


def test_broken_line(sandbox: Sandbox) -> None:
    """A token that a terminal broke over two lines is whole."""
    broken = sandbox.token[:9] + "\r\n  " + sandbox.token[9:]
    assert PersonalToken(broken, 424242).token == sandbox.token


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"api_key": " \n"}, "`api_key` is empty: copy the token from https://id.getharvest.com"),
        ({"api_key": f"100.pt.{SECRET}é"}, "`api_key` holds characters that no token has"),
        ({"api_key": f"100.pt.{SECRET}🔑"}, "`api_key` holds characters that no token has"),
        ({"api_key": f"100.pt.\x07{SECRET}"}, "`api_key` holds characters that no token has"),
        ({"account_id": f"100.pt.{SECRET}"}, "`account_id` is not a number: give the account's"),
        ({"account_id": "<configure me>"}, "`account_id` is not a number"),
        ({"account_id": "\uff14\uff12"}, "`account_id` is not a number"),
        ({"user_agent": "loader 🚀"}, "`user_agent` holds characters that no header can"),
        ({"user_agent": " "}, "`user_agent` is empty"),
        ({"rate_limit": 0}, "`rate_limit` is 0: give a whole number from 1 to 100"),
        ({"rate_limit": -5}, "`rate_limit` is -5"),
        ({"base_url": "api.harvestapp.com/v2"}, "`base_url` does not begin with https://"),
        ({"base_url": "ftp://api.harvestapp.com/v2"}, "`base_url` is no web address"),
        ({"base_url": "https:///v2"}, "`base_url` is no web address"),
        ({"base_url": "https://[::1/v2"}, "`base_url` is no web address"),
        ({"base_url": "https://host:port/v2"}, "`base_url` is no web address"),
        ({"base_url": f"https://x:{SECRET}@host/v2"}, "holds more than an address and a path"),
        ({"base_url": f"https://host/v2?access_token={SECRET}"}, "holds more than an address"),
        ({"base_url": "http://api.harvestapp.com/v2"}, "`base_url` is not encrypted"),
    ],
)
def test_refused(
    source: Make, shown: Callable[[], str], changes: dict[str, Any], said: str
) -> None:
    """What no request could carry is refused before the first one, and no secret is shown."""
    with pytest.raises(ConfigurationError) as caught:
        list(source(**changes).resources)
    line = str(caught.value)
    assert said in line
    assert "\n" not in line
    told = "".join(traceback.format_exception(caught.value)) + shown()
    assert SECRET not in told


@pytest.mark.parametrize("end", ["\nX-Injected: yes", "\n", " ", "\x7f", "é", "“", "\ud83d"])
def test_no_part_of_a_token(
    sandbox: Sandbox, source: Make, duck: Pipeline, shown: Callable[[], str], end: str
) -> None:
    """However a token is spoiled, no log at any level and no error shows a part of it."""
    sandbox.fault("status", path="tasks", status=403, times=-1)
    spoiled, errors = f"{sandbox.token}{end}", []
    try:
        errors.append(failure(duck, source(api_key=spoiled).with_resources("tasks")))
    except ConfigurationError as error:
        errors.append(error)
    told = "".join("".join(traceback.format_exception(error)) for error in errors)
    told += str(duck.last_trace) + shown()
    assert not [part for part in ("100.pt", SECRET, "X-Injected") if part in told]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (" https://api.harvestapp.com/v2/ \n", "https://api.harvestapp.com/v2"),
        ("“https://api.harvestapp.com/v2//”", "https://api.harvestapp.com/v2"),
        ("http://localhost:8080/v2", "http://localhost:8080/v2"),
        ("http://[::1]:8080/v2", "http://[::1]:8080/v2"),
        ("http://10.0.0.7/v2", "http://10.0.0.7/v2"),
        ("http://harvest-proxy/v2", "http://harvest-proxy/v2"),
        ("http://proxy.internal/v2", "http://proxy.internal/v2"),
    ],
)
def test_base_url(text: str, url: str, shown: Callable[[], str]) -> None:
    """An address may be that of a proxy nearby, and carry what copying left around it."""
    assert checked_base_url(text) == url
    assert "encrypted" not in shown()


def test_base_url_far_and_open(shown: Callable[[], str]) -> None:
    """A token that would travel the internet in the open is warned of."""
    harvest_source(api_key="a", account_id="1", base_url="http://proxy.example.com/v2")
    assert "can be read on its way to proxy.example.com" in shown()


def test_user_agent() -> None:
    """A name of Western Europe is fine, and a line break is a space."""
    assert checked_user_agent(" Zoë's loader\n (zoe@example.com) ") == (
        "Zoë's loader (zoe@example.com)"
    )


@pytest.mark.parametrize("limit", [1.5, True, "100", None])
def test_rate_limit(limit: Any) -> None:
    """A rate limit is a whole number, also when it did not come through dlt's configuration."""
    with pytest.raises(ConfigurationError, match="rate_limit"):
        checked_rate_limit(limit)
