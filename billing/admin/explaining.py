"""Explain an invoice: from Stripe's total to each account, and why an account is not on it.

The page names accounts one by one, so each look is recorded (access.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.widgets import UnfoldAdminTextInputWidget

from audit.columns import linked, short_id, unbroken
from audit.read_only import ReadOnlyPage, RelatedTable
from audit.staff_forms import refusal_page
from billing.admin.columns import money_text
from billing.explanation import Aggregate, Explanation, LineExplained, explain, lines_of
from billing.models import Invoice, ItemType
from billing.not_billed import Verdict, why_not_billed

PERMISSION = "billing.view_lineitem"
AT_ONCE = 50  # lines of a page


class ReferenceForm(forms.Form):
    """The account that somebody misses on the invoice. Posted: what is typed here must not stand in an address."""

    reference = forms.UUIDField(
        label="Patient account",
        error_messages={"invalid": "Write the whole reference of an account, such as 0b9c….", "required": "Required."},
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Its reference, never a name.",
    )


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which lines are shown: those of one aggregate, behind one of them."""

    item_type: ItemType
    unit_price_cents: int
    after: UUID | None

    @classmethod
    def of(cls, request: HttpRequest, explained: Explanation) -> "Chosen | None":
        """Read the address; without a choice the first aggregate with accounts, then any."""
        named = {f"{each.item_type}-{each.unit_price_cents}": each for each in explained.aggregates}
        chosen = named.get(request.GET.get("of", "")) or next(iter(explained.aggregates), None)
        if chosen is None:
            return None
        try:
            after = UUID(request.GET.get("after", ""))
        except ValueError:
            after = None
        return cls(chosen.item_type, chosen.unit_price_cents, after)


def explain_page(request: HttpRequest, *, page: ReadOnlyPage, object_id: str) -> HttpResponse:
    """Show where the total comes from; answer why an account is not billed."""
    if not request.user.has_perm(PERMISSION):
        return refusal_page(request, page, PERMISSION)
    invoice: Invoice | None = page.get_object(request, object_id)
    if invoice is None:
        raise Http404
    explained = explain(invoice)
    chosen = Chosen.of(request, explained)
    form = ReferenceForm(request.POST or None)
    answer = _answer(invoice, form.cleaned_data["reference"]) if request.method == "POST" and form.is_valid() else None
    context = page.admin_site.each_context(request) | {
        "title": "Explain an invoice",
        "facts": _totals(invoice, explained),
        "agrees": explained.agrees,
        "related_tables": [_aggregates(invoice, explained)],
        "lines": _lines(invoice, chosen),
        "form": form,
        "answer": answer,
        "back": reverse("admin:billing_invoice_change", args=[invoice.pk]),
    }
    return render(request, "admin/explain.html", context)


def _totals(invoice: Invoice, explained: Explanation) -> list[tuple[str, str]]:
    """Say the same total where it stands: there, on its way there, frozen here, and added up again."""
    seen = f", as Stripe showed it on {explained.shown_at:%Y-%m-%d %H:%M} UTC" if explained.shown_at else ""
    return [
        ("Invoice", str(invoice.pk)),
        ("Office", invoice.office.reference),
        ("Month", invoice.cycle.key if invoice.cycle else "none: a single charge"),
        ("At Stripe", _money(invoice, explained.stripe_total, "Stripe was not listed since it was sent") + seen),
        ("Told to Stripe", _money(invoice, explained.document_total, "nothing was sent")),
        ("Total of the invoice", _money(invoice, explained.frozen_total, "still open")),
        ("Sum of its lines", _money(invoice, explained.lines_total, "")),
    ]


def _money(invoice: Invoice, cents: int | None, otherwise: str) -> str:
    return otherwise if cents is None else money_text(cents, invoice.currency)


def _aggregates(invoice: Invoice, explained: Explanation) -> RelatedTable:
    headers = ["charge", "quantity", "unit price", "total", "told to Stripe", ""]
    return RelatedTable("What Stripe is told", headers, [_aggregate(invoice, each) for each in explained.aggregates])


def _aggregate(invoice: Invoice, each: Aggregate) -> list[str]:
    address = f"?{urlencode({'of': f'{each.item_type}-{each.unit_price_cents}'})}#lines"
    told = "-" if each.sent is None else f"{each.sent:,}" + ("" if each.agrees else ", which differs")
    return [
        each.item_type.label.capitalize(),
        f"{each.quantity:,}",
        money_text(each.unit_price_cents, invoice.currency),
        money_text(each.total_cents, invoice.currency),
        told,
        _anchor(address, "Show the lines"),
    ]


def _anchor(address: str, words: str) -> str:
    return format_html('<a href="{}" class="text-link whitespace-nowrap">{}</a>', address, words)


def _lines(invoice: Invoice, chosen: Chosen | None) -> dict[str, Any] | None:
    """Return a page of lines, one more read than shown to know whether another page follows."""
    if chosen is None:
        return None
    found = lines_of(invoice, chosen.item_type, chosen.unit_price_cents, after=chosen.after, limit=AT_ONCE + 1)
    shown = found[:AT_ONCE]
    here = {"of": f"{chosen.item_type}-{chosen.unit_price_cents}"}
    following = f"?{urlencode(here | {'after': str(shown[-1].line.pk)})}#lines" if len(found) > AT_ONCE else ""
    title = f"{chosen.item_type.label.capitalize()} at {money_text(chosen.unit_price_cents, invoice.currency)}"
    return {
        "tables": [RelatedTable(title, _LINE_HEADERS, list(_line_rows(invoice, shown)))],
        "next": following,
        "first": f"?{urlencode(here)}#lines" if chosen.after else "",
    }


_LINE_HEADERS = ["patient account", "month", "price", "why it is charged", "active from", "until", "price from"]
_ACCOUNT = short_id("patient_reference")


def _line_rows(invoice: Invoice, lines: Iterable[LineExplained]) -> Iterable[list[str]]:
    for each in lines:
        line = each.line
        reference = line.patient_reference
        yield [
            linked("patients_patient", reference, _ACCOUNT(line) or "") if reference else "-",
            unbroken(line.cycle_key or "-"),
            unbroken(money_text(line.quantity * line.unit_price_cents, invoice.currency)),
            each.words,
            unbroken(f"{each.since:%Y-%m-%d %H:%M}") if each.since else "-",
            unbroken(f"{each.until:%Y-%m-%d %H:%M}") if each.until else ("still active" if each.since else "-"),
            each.price_words or "-",
        ]


def _answer(invoice: Invoice, reference: UUID) -> dict[str, Any]:
    verdict = why_not_billed(invoice, reference)
    return {"words": verdict.words, "facts": [("Patient account", str(reference)), *_evidence(verdict)]}


def _evidence(verdict: Verdict) -> Iterable[tuple[str, str]]:
    if verdict.invoice_id is not None:
        yield "Invoice", linked("billing_invoice", verdict.invoice_id, str(verdict.invoice_id))
    if verdict.correction_id is not None:
        yield "Correction", linked("billing_correction", verdict.correction_id, str(verdict.correction_id))
    for period in verdict.periods:
        until = f"{period.until:%Y-%m-%d %H:%M}" if period.until else "now"
        yield "Active", f"from {period.since:%Y-%m-%d %H:%M} until {until} (UTC)"
