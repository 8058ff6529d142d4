"""bin/faults: start the machinery, run the drills of a tier, report what broke. Exits 1 when something did."""

import argparse
import os
import random
import signal
import sys

from tests.faults import services
from tests.faults.sizes import FULL, QUICK

EMPTY_URL_NAME = "empty"  # tests/faults/worlds.py makes it; named here before Django may be loaded


def main(arguments: list[str] | None = None) -> int:
    options = arguments_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # whoever ends it must not leave a cluster behind
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    try:
        with services.cluster() as cluster, services.redis() as redis:
            _settle_environment(cluster.url(EMPTY_URL_NAME))
            from tests.faults.tiers import run

            return run(cluster, redis, options, seed)
    except services.ServiceMissing as missing:
        sys.stderr.write(f"bin/faults: {missing}\n")
        return 2


def _settle_environment(database_url: str) -> None:
    """What the settings of this process and of its children read; nothing of the caller's shell stays."""
    for name in ("REDIS_URL", "CACHE_URL", "CELERY_BROKER_URL", "PYTEST_XDIST_WORKER", "DEBUG"):
        os.environ.pop(name, None)
    os.environ.update(DJANGO_SETTINGS_MODULE="tests.settings", DATABASE_URL=database_url)
    os.environ.setdefault("LOG_LEVEL", "CRITICAL")  # faults are what is wanted here

    import django

    django.setup()


def arguments_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/faults", description="Break everything; see that the promises hold.")
    tier = parser.add_mutually_exclusive_group()
    tier.add_argument("--quick", action="store_const", dest="size", const=QUICK, default=QUICK, help="the sample of CI")
    tier.add_argument("--full", action="store_const", dest="size", const=FULL, help="the full numbers, by hand")
    tier.add_argument("--planted", action="store_true", help="only hunt every planted bug, and print the table")
    parser.add_argument("--seed", type=int, help="of an earlier run, to do the same again")
    parser.add_argument("--only", action="append", metavar="DRILL", help="one drill of the tier; repeatable")
    parser.add_argument("--bug", action="append", metavar="NAME", help="one planted bug; repeatable")
    parser.add_argument("--kills", type=int, help="another number of random kills")
    return parser


if __name__ == "__main__":
    sys.exit(main())
