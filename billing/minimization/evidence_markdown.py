"""The evidence report as a page that a person reads."""

from collections.abc import Iterable, Mapping

from billing.minimization.evidence_report import EvidenceReport

ATTENTION = {
    "evidence_altered": "A request that left is not as it was written down: somebody changed the evidence.",
    "description_not_in_catalogue": "A text left that is not in the catalogue. Look into it at once.",
    "profile_value_not_approved": "A name or an e-mail left that nobody approved for that office. Look into it.",
    "canary_not_blocked": "The synthetic leak was not blocked at least once.",
    "canary_never_tried": "The synthetic leak was never tried.",
    "incident_open": "An incident waits for a person to look into it.",
}


def as_markdown(report: EvidenceReport) -> str:
    """Return the whole page."""
    return "\n".join([*_summary(report), *_requests(report), *_texts(report), *_incidents(report), *_proofs(report)])


def _summary(report: EvidenceReport) -> list[str]:
    told = [f"- {ATTENTION[code]} (`{code}`)" for code in report.attention] or ["- Nothing needs attention."]
    until = "the whole month" if report.complete else "the month so far: it has not ended"
    return [
        f"# Evidence for {report.month}: what left for Stripe",
        "",
        f"Covers {until}, in UTC. Derived from the tables alone; `evidence_report` derives it again. Texts and profile",
        "values are all that ever left up to the end of the month.",
        "",
        *told,
        "",
    ]


def _requests(report: EvidenceReport) -> list[str]:
    return [
        "## Requests",
        "",
        f"Inspected: {report.inspected:,}. Policy versions: {_list(report.policy_versions)};"
        f" now {report.current_policy_version}.",
        "",
        *_table(("sent", "requests"), _rows(report.sent_by_operation)),
        *_table(("blocked because of", "requests"), _rows(report.blocked_by_reason)),
    ]


def _texts(report: EvidenceReport) -> list[str]:
    profiles = report.profiles
    return [
        "## Texts and profile values that ever left",
        "",
        *(f"- {text}" for text in report.descriptions_sent),
        f"- texts that are not in the catalogue: {report.descriptions_not_in_catalogue}",
        f"- requests whose evidence was changed since: {report.altered}",
        "",
        f"Opaque office names: {profiles.opaque_names:,}. The vendor's own mailbox, for offices: "
        f"{profiles.vendor_mailbox:,}. Values that nobody approved: {profiles.not_approved}.",
        "",
        *_table(
            ("office", "field", "value", "approved by", "at"),
            [(each.office, each.field, each.value, each.approved_by, each.approved_at) for each in profiles.approved],
        ),
    ]


def _incidents(report: EvidenceReport) -> list[str]:
    rows = [
        (each.incident, each.at, each.reason, each.alerted_at or "no", each.disposed_by or "open", each.finding)
        for each in report.incidents
    ]
    return ["## Incidents", "", *_table(("incident", "at", "reason", "alert sent", "looked into by", "finding"), rows)]


def _proofs(report: EvidenceReport) -> list[str]:
    canary, chain = report.canary, report.chain
    return [
        "## Canary",
        "",
        f"Tried {canary.runs:,} times, blocked {canary.blocked:,} times, in {canary.hours_with_a_run:,} of"
        f" {canary.hours:,} hours ({canary.uptime_percent} %).",
        "",
        "## Audit chain",
        "",
        f"{chain.entries:,} entries in {chain.streams:,} streams; digest over all heads: `{chain.digest}`",
        "",
    ]


def _list(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"


def _rows(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(name, f"{count:,}") for name, count in counts.items()]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    if not lines:
        return [f"No {head[0]}.", ""]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines, ""]
