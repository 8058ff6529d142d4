"""Derive the evidence of a month for an auditor: what left for Stripe, what was stopped, and who approved what."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from billing.management.reporting import Problem, Report, ReportingCommand, UsageError
from billing.minimization.evidence_files import EvidenceFile, evidence_text
from billing.minimization.evidence_markdown import as_markdown
from billing.minimization.evidence_report import EvidenceReport, MonthInvalid, evidence_report


class Command(ReportingCommand):
    """`evidence_report --month YYYY-MM [--out FILE] [--json]`."""

    help = __doc__
    writes = False

    def add_own_arguments(self, parser: ArgumentParser) -> None:
        """Add which month, and where to."""
        parser.add_argument("--month", required=True, metavar="YYYY-MM", help="the month, in UTC")
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="write FILE.md and FILE.json, for their owner only"
        )

    def report(self, **options: Any) -> Report:
        """Derive, write or print, and say what needs attention."""
        try:
            evidence = evidence_report(options["month"], now=timezone.now())
        except MonthInvalid as error:
            raise UsageError(str(error)) from None
        headline = as_markdown(evidence)
        if options["out"]:
            headline = f"Written: {_write(evidence, options['out'])}"
        return Report(
            counts={
                "inspected": evidence.inspected,
                "sent": sum(evidence.sent_by_operation.values()),
                "blocked": sum(evidence.blocked_by_reason.values()),
                "texts_not_in_catalogue": evidence.descriptions_not_in_catalogue,
                "evidence_altered": evidence.altered,
                "profile_values_not_approved": evidence.profiles.not_approved,
                "incidents": len(evidence.incidents),
                "canary_runs": evidence.canary.runs,
                "canary_runs_blocked": evidence.canary.blocked,
            },
            problems=[Problem(code, f"see the report of {evidence.month}") for code in evidence.attention],
            needs_attention=bool(evidence.attention),
            headline=headline,
        )


def _write(evidence: EvidenceReport, out: Path) -> str:
    paths = []
    for kind in EvidenceFile:
        path = out.with_name(f"{out.name.removesuffix('.md').removesuffix('.json')}.{kind}")
        try:
            # Readable by its owner alone: office references and staff names are internal.
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(evidence_text(evidence, kind))
        except OSError:
            raise UsageError(f"cannot write {path.name}: is its folder there?") from None
        paths.append(path.name)
    return ", ".join(paths)
