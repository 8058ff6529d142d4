"""The reconciliation desk: a month, whether it was compared, what differs, and who has to decide."""

from functools import partial
from typing import Any

from django.db.models import Count, Min, QuerySet, Sum
from django.db.models.functions import Abs
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from audit.columns import linked
from audit.read_only import ReadOnlyPage, RelatedTable, list_of, may_view, related
from audit.staff_forms import refusal_page
from billing import money
from billing.admin.columns import computed
from billing.admin.corrections import CORRECTION_COLUMNS
from billing.admin.months import months_of_books
from billing.admin.progress import of_comparison
from billing.models import (
    Correction,
    CorrectionStatus,
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    ReconciliationRun,
    RepairKind,
)
from billing.reconciliation.asked import under_way
from billing.reconciliation.repair import needs_two_people

_OFFICE = computed("office", lambda row: linked("offices_office", row.invoice.office_id, row.invoice.office.reference))
VIEWING = "billing.view_reconciliationrun"
ALL = "all"


def desk_urls(page: ReadOnlyPage) -> list[URLPattern]:
    """Return the address of the desk, below the list of comparisons."""
    view = page.admin_site.admin_view(require_safe(partial(_desk, page=page)))
    return [path("desk/", view, name="billing_reconciliationrun_desk")]


def desk_of(key: str) -> str:
    """Return the address of the desk of a month."""
    return f"{reverse('admin:billing_reconciliationrun_desk')}?{urlencode({'month': key})}"


def _desk(request: HttpRequest, *, page: ReadOnlyPage) -> HttpResponse:
    if not request.user.has_perm(VIEWING):
        return refusal_page(request, page, VIEWING)
    months = months_of_books(timezone.now())
    asked = request.GET.get("month", months[1])
    context = page.admin_site.each_context(request) | {"title": "Reconciliation desk", "months": [*months, ALL]}
    if asked not in context["months"]:
        return render(request, "admin/desk.html", context | {"problem": "Choose one of the months."}, status=400)
    key = "" if asked == ALL else asked
    context |= {"month": asked, "facts": _facts(key), "links": _links(request, key, asked)}
    return render(request, "admin/desk.html", context | {"related_tables": list(_tables(request, key))})


def _facts(key: str) -> list[tuple[str, str]]:
    """Say when the month was compared last, and how far a comparison is that is under way."""
    of_all = (
        ReconciliationRun.objects.defer("balances")
        .filter(office__isnull=True, cycle_key__in={"", key})
        .order_by("-started_at")
    )
    last = of_all.filter(finished_at__isnull=False, dry_run=False).first()
    facts = [("Last compared", "not yet")]
    if last is not None:
        found = f"{last.invoices_seen:,} invoices seen, {last.found:,} differences"
        facts = [("Last compared", _run(last, f"{last.started_at:%Y-%m-%d %H:%M} UTC by {last.actor}: {found}"))]
    for run in under_way(timezone.now()).defer("balances").filter(cycle_key__in={"", key}).order_by("-started_at"):
        facts.append(("Under way", format_html("{} {}", _run(run, "watch"), of_comparison(run))))
    return facts


def _run(run: ReconciliationRun, words: str) -> str:
    address = reverse("admin:billing_reconciliationrun_change", args=[run.pk])
    return format_html('<a href="{}" class="text-link">{}</a>', address, words)


def _links(request: HttpRequest, key: str, asked: str) -> list[tuple[str, str]]:
    """Return what can be done from here: words and address."""
    month = {"month": key} if key else {}
    open_ones = {"status__exact": DiscrepancyStatus.OPEN.value} | ({"cycle": key} if key else {})
    name = "all months" if asked == ALL else key
    possible = [
        ("billing.compare_books", f"Compare {name} with Stripe", "reconciliationrun_compare", {"month": key}),
        ("billing.view_discrepancy", f"Balance of {key}", "discrepancy_balance", month) if key else None,
        ("billing.view_monthclose", f"Close {key}", "monthclose_month", month) if key else None,
        ("billing.export_discrepancy", "Export the open differences", "discrepancy_export", open_ones),
    ]
    return [
        (words, f"{reverse(f'admin:billing_{page}')}?{urlencode(query)}")
        for permission, words, page, query in filter(None, possible)
        if request.user.has_perm(permission)
    ]


def _tables(request: HttpRequest, key: str) -> Any:
    """Yield what differs, whose it is, and what waits for a second person; each for who may look behind it."""
    filters = {"cycle": key} if key else {}
    if may_view(request, Discrepancy):
        found = Discrepancy.objects.filter(**({"cycle_key": key} if key else {}))
        more = list_of("billing_discrepancy", status__exact=DiscrepancyStatus.OPEN.value, **filters)
        yield kinds_of("Open differences, by kind", found, more, **filters)
        yield _owners(found, filters)
    if may_view(request, Correction):
        waiting = Correction.objects.filter(status=CorrectionStatus.REQUESTED, **_of_month(key))
        yield _corrections(waiting, filters)


def kinds_of(title: str, found: QuerySet[Discrepancy], more: str, **filters: Any) -> RelatedTable:
    """Count the open ones of `found` by kind and proposal, the most first; `filters` are those of their list."""
    opened = found.filter(status=DiscrepancyStatus.OPEN).order_by().values_list("kind", "repair")
    counted = opened.annotate(number=Count("pk"), cents=Sum(Abs("amount_cents")), oldest=Min("found_at"))
    rows = [
        [
            _listed(DiscrepancyKind(kind).label, kind__exact=kind, repair__exact=repair, **filters),
            f"{number:,}",
            money.to_text(cents),
            RepairKind(repair).label.capitalize(),
            _who(RepairKind(repair)),
            f"{oldest:%Y-%m-%d}",
        ]
        for kind, repair, number, cents, oldest in sorted(counted, key=lambda row: -row[2])
    ]
    return RelatedTable(title, ["kind", "number", "at stake", "proposed", "who decides", "oldest"], rows, more=more)


def _who(repair: RepairKind) -> str:
    if repair == RepairKind.PULL:
        return "nobody: a repair takes it"
    return "two people" if needs_two_people(repair) else "one person"


def _owners(found: QuerySet[Discrepancy], filters: dict[str, str]) -> RelatedTable:
    opened = found.filter(status=DiscrepancyStatus.OPEN).order_by("owner").values_list("owner")
    rows = [
        [
            _listed(owner, owner__exact=owner, **filters) if owner else _listed("nobody", owned="nobody", **filters),
            f"{number:,}",
        ]
        for owner, number in opened.annotate(number=Count("pk"))
    ]
    return RelatedTable("Open differences, by owner", ["owner", "number"], rows)


def _listed(words: str, **filters: Any) -> str:
    address = list_of("billing_discrepancy", status__exact=DiscrepancyStatus.OPEN.value, **filters)
    return format_html('<a href="{}" class="text-link">{}</a>', address, words.capitalize())


def _of_month(key: str) -> dict[str, str]:
    return {"invoice__cycle__key": key} if key else {}


def _corrections(waiting: QuerySet[Correction], filters: dict[str, str]) -> RelatedTable:
    rows = waiting.select_related("invoice__office").defer("note").order_by("requested_at")
    more = list_of("billing_correction", status__exact=CorrectionStatus.REQUESTED.value, **filters)
    columns = [*CORRECTION_COLUMNS[:2], _OFFICE, *CORRECTION_COLUMNS[3:7]]
    return related("Corrections that wait for a second person", columns, rows, more=more)
