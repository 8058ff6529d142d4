"""The evidence report of a month in the console: to read, and to take along for an auditor."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminSelectWidget

from audit.read_only import ReadOnlyPage, RelatedTable
from audit.staff_forms import refusal_page, staff_actor
from billing.admin.months import latest_months
from billing.minimization.evidence_files import EvidenceFile, take_evidence
from billing.minimization.evidence_markdown import ATTENTION
from billing.minimization.evidence_report import EvidenceReport, evidence_report

PERMISSION = "billing.take_evidence"
_CONTENT_TYPES = {EvidenceFile.MARKDOWN: "text/markdown; charset=utf-8", EvidenceFile.JSON: "application/json"}


def evidence_urls(page: ReadOnlyPage) -> list[URLPattern]:
    """Return the address of the page, below the list of what left."""
    view = page.admin_site.admin_view(require_http_methods(["GET", "HEAD", "POST"])(partial(_evidence, page=page)))
    return [path("evidence/", view, name="billing_evidence")]


def _evidence(request: HttpRequest, *, page: ReadOnlyPage) -> HttpResponse:
    if not request.user.has_perm(PERMISSION):
        return refusal_page(request, page, PERMISSION)
    now = timezone.now()
    months = latest_months(now)
    # The month that ended last is what is handed out; the present one is still being written.
    form = _MonthForm(months, {"month": months[1], "kind": EvidenceFile.MARKDOWN} | _asked(request))
    if not form.is_valid():
        return _render(request, page, form, None, status=400)
    month = form.cleaned_data["month"]
    if request.method == "POST":
        kind = EvidenceFile(form.cleaned_data["kind"])
        text = take_evidence(month=month, kind=kind, actor=staff_actor(request), now=now)
        disposition = {"Content-Disposition": f'attachment; filename="evidence-{month}.{kind}"'}
        return HttpResponse(text, content_type=_CONTENT_TYPES[kind], headers=disposition)
    return _render(request, page, form, evidence_report(month, now=now), status=200)


class _MonthForm(forms.Form):
    """Which month, and for a file which kind."""

    month = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    kind = forms.ChoiceField(choices=[(each.value, each.value) for each in EvidenceFile], widget=forms.HiddenInput)

    def __init__(self, months: list[str], data: Mapping[str, Any]) -> None:
        super().__init__(data)
        field = self.fields["month"]
        field.choices = field.widget.choices = [(month, month) for month in months]  # type: ignore[attr-defined]


def _asked(request: HttpRequest) -> dict[str, Any]:
    given = request.POST if request.method == "POST" else request.GET
    return {name: given[name] for name in ("month", "kind") if name in given}


def _render(
    request: HttpRequest, page: ReadOnlyPage, form: forms.Form, report: EvidenceReport | None, *, status: int
) -> HttpResponse:
    context = page.admin_site.each_context(request) | {"title": "Evidence report", "form": form, "report": report}
    if report is not None:
        context |= {
            "attention": [ATTENTION[code] for code in report.attention],
            "facts": _facts(report),
            "related_tables": list(_tables(report)),
        }
    return render(request, "admin/evidence.html", context, status=status)


def _facts(report: EvidenceReport) -> list[tuple[str, str]]:
    canary, chain, profiles = report.canary, report.chain, report.profiles
    return [
        ("Covers", "the whole month, in UTC" if report.complete else "the month so far: it has not ended"),
        ("Requests inspected", f"{report.inspected:,}"),
        ("Policy", f"{', '.join(report.policy_versions) or 'none'}; now {report.current_policy_version}"),
        ("Texts not in the catalogue", str(report.descriptions_not_in_catalogue)),
        ("Opaque office names", f"{profiles.opaque_names:,}"),
        ("Vendor's own mailbox", f"for {profiles.vendor_mailbox:,} offices"),
        ("Values nobody approved", str(profiles.not_approved)),
        (
            "Canary",
            f"tried {canary.runs:,} times, blocked {canary.blocked:,}, in {canary.uptime_percent} % of the hours",
        ),
        ("Audit chain", f"{chain.entries:,} entries in {chain.streams:,} streams"),
        ("Digest over all heads", chain.digest),
    ]


def _tables(report: EvidenceReport) -> Iterable[RelatedTable]:
    yield RelatedTable("Requests sent", ["operation", "requests"], _counted(report.sent_by_operation))
    yield RelatedTable("Requests blocked", ["because of", "requests"], _counted(report.blocked_by_reason))
    yield RelatedTable("Texts that ever left", ["text"], [[text] for text in report.descriptions_sent])
    yield RelatedTable(
        "Approved values that ever left",
        ["office", "field", "value", "approved by", "at"],
        [
            [each.office, each.field, each.value, each.approved_by, each.approved_at]
            for each in report.profiles.approved
        ],
    )
    yield RelatedTable(
        "Incidents",
        ["incident", "at", "reason", "alert sent", "looked into by", "finding"],
        [
            [each.incident, each.at, each.reason, each.alerted_at or "no", each.disposed_by or "open", each.finding]
            for each in report.incidents
        ],
    )


def _counted(counts: Mapping[str, int]) -> list[list[str]]:
    return [[name, f"{number:,}"] for name, number in counts.items()]
