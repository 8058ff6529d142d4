"""Run the stand-in alone: `python -m sandbox.stripe_standin --port 12111 --state FILE --webhook-url URL --seed N`."""

import argparse
import signal
import sys
import threading

from sandbox.stripe_standin.faults import Faults
from sandbox.stripe_standin.standin import DEFAULT_API_KEY, DEFAULT_WEBHOOK_SECRET, StripeStandIn


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; prints the address and the seed."""
    options = _parser().parse_args(arguments)
    faults = Faults.everything(options.seed, options.fault_rate) if options.seed is not None else None
    standin = StripeStandIn(
        api_keys=set(options.api_key or [DEFAULT_API_KEY]),
        webhook_url=options.webhook_url,
        webhook_secret=options.webhook_secret,
        state_path=options.state,
        faults=faults,
        port=options.port,
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with standin:
        seed = "none, no faults" if options.seed is None else f"{options.seed}, fault rate {options.fault_rate}"
        sys.stdout.write(f"Stripe stand-in at {standin.base_url} (seed: {seed})\n")
        sys.stdout.flush()
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.stripe_standin", description="A local Stripe.")
    parser.add_argument("--port", type=int, default=12111, help="0 picks a free one")
    parser.add_argument("--state", metavar="FILE", help="keep the state in this SQLite file")
    parser.add_argument("--api-key", action="append", help=f"accepted key, repeatable (default {DEFAULT_API_KEY})")
    parser.add_argument("--webhook-url", metavar="URL", help="where events are delivered")
    parser.add_argument("--webhook-secret", default=DEFAULT_WEBHOOK_SECRET)
    parser.add_argument("--seed", type=int, help="inject faults drawn from this seed")
    parser.add_argument("--fault-rate", type=float, default=0.1, help="share of writes that go wrong (default 0.1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
