"""An office's statement: to read, to print, and to take along as a file."""

from collections.abc import Iterable
from tempfile import TemporaryFile

from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
)
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from audit.columns import linked, unbroken
from audit.read_only import ReadOnlyPage, RelatedTable
from audit.staff_forms import refusal_page, staff_actor
from billing.admin.columns import money_text
from billing.exports.formats import FORMATS
from billing.statement import HEADERS, OpenInvoice, StatementMonth, open_invoices, statement_of, write_statement
from offices.models import Office

VIEW, TAKE = "billing.view_payment", "offices.export_office"


def statement_page(request: HttpRequest, *, page: ReadOnlyPage, object_id: str) -> HttpResponse:
    """Show the months, what is still owed, and the way to the file."""
    if not request.user.has_perm(VIEW):
        return refusal_page(request, page, VIEW)
    office: Office | None = page.get_object(request, object_id)
    if office is None:
        raise Http404
    months, owed = statement_of(office.pk), open_invoices(office.pk)
    closing = months[-1].balance.closing if months else 0
    context = page.admin_site.each_context(request) | {
        "title": "Statement of an office",
        "facts": [
            ("Office", f"{office.reference} ({office.name})"),
            ("As of", f"{timezone.now():%Y-%m-%d %H:%M} UTC"),
            ("Owed", money_text(closing, office.currency)),
        ],
        "related_tables": [_months(months, office.currency), _owed(owed, office.currency)],
        "file": _address(office, "statementfile") if request.user.has_perm(TAKE) and months else "",
        "formats": [each().get_title() for each in FORMATS],
        "back": _address(office, "change"),
    }
    return render(request, "admin/statement.html", context)


def statement_file(request: HttpRequest, *, page: ReadOnlyPage, object_id: str) -> HttpResponseBase:
    """Hand the months out as CSV or as a spreadsheet. Posted: what is taken along is recorded."""
    if not request.user.has_perm(TAKE):
        return refusal_page(request, page, TAKE)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    office = page.get_object(request, object_id)
    formats = {each().get_title(): each() for each in FORMATS}
    asked = formats.get(request.POST.get("format", ""))
    if office is None:
        raise Http404
    if asked is None:
        return HttpResponseBadRequest(f"format: choose one of {', '.join(formats)}", content_type="text/plain")
    file, now = TemporaryFile(), timezone.now()  # noqa: SIM115 - closed with the answer
    write_statement(office, file, file_format=asked, actor=staff_actor(request), now=now)
    file.seek(0)
    name = f"statement-{office.reference}-{now:%Y-%m-%d}.{asked.get_extension()}"
    return FileResponse(file, as_attachment=True, filename=name, content_type=asked.CONTENT_TYPE)


def _address(office: Office, name: str) -> str:
    return reverse(f"admin:offices_office_{name}", args=[office.pk])


def _months(months: Iterable[StatementMonth], currency: str) -> RelatedTable:
    rows = [
        [unbroken(each.month), *(unbroken(money_text(cents, currency)) for cents in _sums(each))] for each in months
    ]
    return RelatedTable("Months (UTC)", HEADERS[:-1], rows)


def _sums(each: StatementMonth) -> tuple[int, ...]:
    balance = each.balance
    return (balance.opening, balance.billed, balance.credited, balance.paid, balance.written_off, balance.closing)


def _owed(owed: Iterable[OpenInvoice], currency: str) -> RelatedTable:
    rows = [
        [
            linked("billing_invoice", each.invoice.pk, str(each.invoice.pk)[:8]),
            each.invoice.get_invoice_type_display().capitalize(),
            unbroken(each.invoice.cycle.key) if each.invoice.cycle else "-",
            each.invoice.get_status_display().capitalize(),
            unbroken(f"{each.invoice.due_at:%Y-%m-%d}") if each.invoice.due_at else "-",
            unbroken(money_text(each.due_cents, currency)),
        ]
        for each in owed
    ]
    return RelatedTable("Still owed", ["invoice", "type", "month", "status", "due", "open"], rows)
