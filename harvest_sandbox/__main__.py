"""Start the sandbox by hand: `python -m harvest_sandbox`."""

from __future__ import annotations

import argparse
import time

from .seed import SIZES
from .server import Sandbox


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser("harvest_sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--no-rate-limit", action="store_true")
    parser.add_argument("--style", choices=["page", "cursor"])
    args = parser.parse_args()
    limit = None if args.no_rate_limit else (100, 15.0)
    with Sandbox(
        args.size, args.seed, rate_limit=limit, latency=args.latency_ms / 1000,
        styles=args.style, port=args.port,
    ) as sandbox:  # fmt: skip
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
