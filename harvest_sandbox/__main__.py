"""Start the sandbox by hand: `python -m harvest_sandbox`."""

from __future__ import annotations

import argparse
import gc
import time
from typing import Any

from .seed import SIZES, STORY
from .server import Sandbox

RETRY_AFTER: dict[str, Any] = {"seconds": True, "date": "date", "none": False}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        "harvest_sandbox",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=8765, help="0 for a free one")
    add("--size", choices=[*SIZES, STORY], default="small", help="time entries of the agency")
    add("--seed", type=int, default=1, help="the same seed gives the same agency")
    add("--latency-ms", type=float, default=0.0, help="time that each answer takes")
    add("--latency-per-record-ms", type=float, default=0.0, help="more for each record in it")
    add("--style", choices=["documented", "page", "cursor"], default="documented",
        help="pagination of all lists")  # fmt: skip
    add("--page-cap", type=int, default=2000, help="records on a page at most")
    add("--rate-limit", type=int, default=100, help="requests in 15 seconds, reports apart")
    add("--no-rate-limit", action="store_true", help="refuse no request")
    add("--retry-after", choices=list(RETRY_AFTER), default="seconds", help="what a 429 names")
    add("--without", nargs="*", choices=["expense", "invoice", "estimate"], default=[],
        help="modules that the account has not")  # fmt: skip
    add("--module-status", type=int, choices=[403, 404], default=403,
        help="what a module that is not there answers")  # fmt: skip
    add("--clock-speed", type=float, default=1.0, help="seconds of Harvest's clock in one of ours")
    args = parser.parse_args()
    with Sandbox(
        args.size, args.seed, port=args.port,
        rate_limit=None if args.no_rate_limit else (args.rate_limit, 15.0),
        reports_limit=None if args.no_rate_limit else (100, 900.0),
        retry_after=RETRY_AFTER[args.retry_after],
        latency=args.latency_ms / 1000, latency_per_record=args.latency_per_record_ms / 1000,
        styles=None if args.style == "documented" else args.style, page_cap=args.page_cap,
        module_status=args.module_status,
    ) as sandbox:  # fmt: skip
        gc.freeze()  # the account stays: collections need not walk through it
        sandbox.clock.speed = args.clock_speed
        for module in args.without:
            sandbox.account.company[f"{module}_feature"] = False
        print("Point the pipeline here, then run it:")  # noqa: T201 - a command's output
        print(f"export SOURCES__HARVEST__BASE_URL={sandbox.base_url}")  # noqa: T201
        print(f"export SOURCES__HARVEST__API_KEY={sandbox.token}")  # noqa: T201
        print(f"export SOURCES__HARVEST__ACCOUNT_ID={sandbox.account_id}", flush=True)  # noqa: T201
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
