"""The evidence report as files: what the command writes and what the console hands out are the same text."""

import json
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum

from billing.handed_out import record_handed_out
from billing.minimization.evidence_markdown import as_markdown
from billing.minimization.evidence_report import EvidenceReport, evidence_report


class EvidenceFile(StrEnum):
    """The ending of each file: a page that a person reads, and the same facts for a program."""

    MARKDOWN = "md"
    JSON = "json"


def evidence_text(report: EvidenceReport, kind: EvidenceFile) -> str:
    """Return the content of one file."""
    return as_markdown(report) if kind is EvidenceFile.MARKDOWN else json.dumps(asdict(report), indent=2) + "\n"


def take_evidence(*, month: str, kind: EvidenceFile, actor: str, now: datetime) -> str:
    """Derive the report of a month for somebody who hands it on, and record who took it; raise MonthInvalid."""
    report = evidence_report(month, now=now)
    record_handed_out("evidence.taken", {"month": month, "format": kind.value}, actor=actor, now=now)
    return evidence_text(report, kind)
