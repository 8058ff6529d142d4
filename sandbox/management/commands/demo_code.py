"""Print a one-time code for a log-in of the demo, as an app on a telephone would show it; wait until there is one."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.utils import timezone

from billing.management.reporting import Report, ReportingCommand, UsageError
from billing.models import StaffDevice
from sandbox.demo.codes import next_code
from sandbox.demo.serving import PEOPLE


class Command(ReportingCommand):
    """`demo_code [--user NAME] [--json]`: for the accounts of the demo alone, on loopback alone."""

    help = __doc__
    writes = False

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add whose code."""
        first = next(iter(PEOPLE))
        parser.add_argument("--user", default=first, choices=list(PEOPLE), help=f"default: {first}")

    def report(self, **options: Any) -> Report:
        """Look at the device of a demo account."""
        if not settings.SERVE_INSECURE_LOOPBACK:
            raise UsageError("codes are printed for the demo on loopback only")
        try:
            while not (code := next_code(options["user"], now=timezone.now())):
                time.sleep(1)  # those of this minute were used; the next one is less than 30 s away
        except StaffDevice.DoesNotExist:
            raise UsageError("the demo has no such account yet: `bin/serve` makes it") from None
        return Report(counts={"codes": 1}, extra={"code": code})
