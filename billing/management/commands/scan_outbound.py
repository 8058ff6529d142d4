"""Judge candidate Stripe requests with the real guard; sends nothing, prints one JSON verdict a line."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from billing.management.reporting import UsageError
from billing.minimization.outbound_scan import judge_line, scanner


class Command(BaseCommand):
    """`scan_outbound FILE.jsonl`: `{"allowed": bool, "reason": code}` for each line; exit 0 when all are judged."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the file of candidates."""
        parser.add_argument("file", metavar="FILE.jsonl", help="one JSON request a line")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Judge line by line; a line that is no request, or is empty, gets a verdict too."""
        guard = scanner()
        try:
            with Path(options["file"]).open(encoding="utf-8", errors="surrogateescape") as lines:
                for line in lines:
                    verdict = judge_line(line, guard)
                    self.stdout.write(json.dumps({"allowed": verdict.allowed, "reason": str(verdict.reason)}))
        except OSError:
            raise UsageError("the file of candidates cannot be read") from None
