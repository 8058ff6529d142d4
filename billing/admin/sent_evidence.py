"""Exactly what was sent to Stripe for one invoice: each request as it was encoded, ids of customers masked."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from audit.columns import linked
from audit.read_only import ReadOnlyPage, RelatedTable, list_of
from audit.staff_forms import refusal_page
from billing.models import OutboundRequest
from billing.stripe_gateway.evidence import request_digest

PERMISSION = "billing.view_outboundrequest"
MOST_REQUESTS = 30  # of one page; an invoice takes three to five, more only when tries failed
# Whose customer it is stands on the page of the one request, for whoever needs it.
_CUSTOMER = re.compile(r"\b(cus|sub)_\w+")


def sent_page(request: HttpRequest, *, page: ReadOnlyPage, object_id: str) -> HttpResponse:
    """Show the requests, the first one first."""
    if not request.user.has_perm(PERMISSION):
        return refusal_page(request, page, PERMISSION)
    invoice = page.get_object(request, object_id)
    if invoice is None:
        raise Http404
    rows = list(OutboundRequest.objects.filter(message__invoice=invoice).order_by("pk")[: MOST_REQUESTS + 1])
    context = page.admin_site.each_context(request) | {
        "title": "What was sent to Stripe",
        "facts": [
            ("Invoice", str(invoice.pk)),
            ("Office", invoice.office.reference),
            ("Requests", f"{len(rows[:MOST_REQUESTS])}"),
        ],
        "related_tables": [_table(row) for row in rows[:MOST_REQUESTS]],
        "more": list_of("billing_outboundrequest", message__invoice__id__exact=invoice.pk)
        if len(rows) > MOST_REQUESTS
        else "",
        "back": reverse("admin:billing_invoice_change", args=[invoice.pk]),
    }
    return render(request, "admin/sent.html", context)


def _table(row: OutboundRequest) -> RelatedTable:
    answer = f"answered {row.status}" if row.status else f"no answer ({row.error_code.replace('_', ' ')})"
    title = f"{row.sent_at:%Y-%m-%d %H:%M:%S} · {row.operation.replace('_', ' ')} · {answer}"
    return RelatedTable(title, ["name", "value"], list(_cells(row)))


def _cells(row: OutboundRequest) -> Iterable[list[str]]:
    yield ["request", linked("billing_outboundrequest", row.pk, f"{row.method} {_masked(row.path)}")]
    for name, value in parse_qsl(row.query, keep_blank_values=True) + parse_qsl(row.body, keep_blank_values=True):
        yield [name, _masked(value)]
    yield ["idempotency key", str(row.idempotency_key or "-")]
    yield ["policy of the guard", row.policy_version]
    yield ["unchanged since", "yes" if _is_unchanged(row) else "NO: the digest does not match"]


def _masked(text: str) -> str:
    return _CUSTOMER.sub(r"\1_…", text)


def _is_unchanged(row: OutboundRequest) -> bool:
    return request_digest(row.method, row.path, row.query, row.body) == row.digest
