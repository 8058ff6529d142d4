"""Ask for the correction of an invoice: choose what is possible, see what comes of it, and say why."""

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from audit.read_only import ReadOnlyPage, may_view
from audit.staff_forms import StaffForm, refusal_page, staff_actor
from billing import money
from billing.admin.columns import money_text
from billing.admin.correction_forms import AmountForm, CreditForm, ReplaceForm, WishForm
from billing.correction_offers import Offers, correction_offers
from billing.correction_rules import CorrectionRefused
from billing.corrections import LIFETIME, request_correction
from billing.models import Correction, CorrectionKind, Invoice, InvoiceStatus
from billing.staff_notes import NoteLooksLikePatientData
from offices.locking import OfficeBusy

PERMISSION = "billing.request_correction"


class AskCorrection(StaffForm):
    """Ask for a correction of one kind. Subclasses say in `at_stripe` what happens there."""

    permission = PERMISSION
    form_class: Any = WishForm
    kind: ClassVar[CorrectionKind]
    at_stripe: ClassVar[str]
    expected: ClassVar = (CorrectionRefused, NoteLooksLikePatientData, OfficeBusy)
    decided_by: ClassVar[str] = f"a second person, within {LIFETIME // timedelta(days=1)} days"
    done = "Asked for. Somebody else has to decide."

    def facts(self) -> list[tuple[str, str]]:
        """Show what it is about, what happens at Stripe, and who decides."""
        invoice: Invoice = self.row
        unsent = invoice.status == InvoiceStatus.DRAFT
        return [
            *invoice_facts(invoice, correction_offers(invoice)),
            ("At Stripe", "Nothing: Stripe never heard of this invoice." if unsent else self.at_stripe),
            ("Decided by", self.decided_by),
        ]

    def get_form_kwargs(self) -> dict[str, Any]:
        """Give the form its invoice."""
        return super().get_form_kwargs() | {"kind": self.kind, "invoice": self.row}

    def get_initial(self) -> dict[str, Any]:
        """Remember which version of the invoice was looked at."""
        return super().get_initial() | {"seen_version": self.row.version}

    def act(self, form: Any) -> str:
        """Ask, and go on to the correction."""
        seen, actor = form.cleaned_data["seen_version"], staff_actor(self.request)
        correction = request_correction(
            invoice_id=self.row.pk, wish=form.wish(), seen_version=seen, actor=actor, now=timezone.now()
        )
        seeing = may_view(self.request, Correction)
        return reverse("admin:billing_correction_change", args=[correction.pk]) if seeing else self.back()


class AskCancel(AskCorrection):
    """Cancel."""

    kind = CorrectionKind.CANCEL
    title = "Cancel an invoice"
    lead = "Nothing of the invoice is owed any more, and nothing charges its lines again: the month is waived."
    at_stripe = "The invoice is voided. Nobody can pay it any more; the payable link says so."
    submit = "Ask to cancel it"


class AskReplace(AskCorrection):
    """Cancel, and bill anew without some lines."""

    form_class = ReplaceForm
    kind = CorrectionKind.REPLACE
    title = "Cancel and replace an invoice"
    lead = "The invoice is canceled, and a new one with the same prices and terms leaves out the lines that you name."
    at_stripe = "The invoice is voided first; then the new one is sent, with a number and a due date of its own."
    submit = "Ask to replace it"


class AskCredit(AskCorrection):
    """Lower what is due, or give back what was paid."""

    form_class = CreditForm
    kind = CorrectionKind.CREDIT
    title = "Credit an invoice"
    lead = "Of an open invoice less is due. Of a paid one the money goes back; it never becomes a balance."
    at_stripe = "A credit note is made; for money that goes back through Stripe, a refund with it."
    submit = "Ask for the credit"

    def get_initial(self) -> dict[str, Any]:
        """Propose the amount that led here, if it is one."""
        try:
            proposed = money.to_text(money.to_cents(self.request.GET.get("amount", "")))
        except money.AmountMalformed:
            return super().get_initial()
        return super().get_initial() | {"amount": proposed}


class AskWriteOff(AskCorrection):
    """Give the claim up."""

    kind = CorrectionKind.WRITE_OFF
    title = "Write an invoice off"
    lead = "We give up the claim: nothing is due any more. It can still be paid late, or canceled."
    at_stripe = "The invoice is marked as uncollectible, and Stripe stops collecting it."
    submit = "Ask to write it off"


class AskOfflinePayment(AskCorrection):
    """Record a check or a wire."""

    form_class = AmountForm
    kind = CorrectionKind.OFFLINE_PAYMENT
    title = "Record a payment by check or wire"
    lead = "The invoice becomes paid. Write the amount that came in: it must be all that is open."
    at_stripe = "The invoice is marked as paid outside of Stripe; no card and no account is charged."
    submit = "Ask to record it"


class AskRetry(AskCorrection):
    """Try the payment once more."""

    kind = CorrectionKind.RETRY
    title = "Try a failed payment again"
    lead = "The payment method on file is charged once more, for what is open."
    at_stripe = "One new attempt is made, within minutes; what comes of it is shown on the correction."
    decided_by = "nobody else: it goes ahead at once"
    submit = "Try it again"
    done = "The payment is tried again within minutes."


ASKING: dict[CorrectionKind, type[AskCorrection]] = {
    page.kind: page for page in (AskCancel, AskReplace, AskCredit, AskWriteOff, AskOfflinePayment, AskRetry)
}


def ask_correction(request: HttpRequest, *, page: ReadOnlyPage, object_id: UUID, kind: str) -> HttpResponseBase:
    """Show the form of this kind."""
    if kind not in CorrectionKind.values:
        raise Http404
    return ASKING[CorrectionKind(kind)].as_view(page=page)(request, object_id=str(object_id))


def choose_correction(request: HttpRequest, *, page: ReadOnlyPage, object_id: str) -> HttpResponse:
    """Show which corrections are possible now, and why the others are not."""
    if not request.user.has_perm(PERMISSION):
        return refusal_page(request, page, PERMISSION)
    invoice = page.get_object(request, object_id)
    if invoice is None:
        raise Http404
    offers = correction_offers(invoice)
    possible = [
        (asking, reverse("admin:billing_invoice_ask", args=[invoice.pk, kind.value]))
        for kind, asking in ASKING.items()
        if offers.allows(kind)
    ]
    context = page.admin_site.each_context(request) | {
        "title": "Correct an invoice",
        "facts": invoice_facts(invoice, offers),
        "possible": possible,
        "impossible": [
            (asking.title, offers.refusals[kind]) for kind, asking in ASKING.items() if offers.refusals[kind]
        ],
        "back": reverse("admin:billing_invoice_change", args=[invoice.pk]),
    }
    return render(request, "admin/correction_choice.html", context)


def invoice_facts(invoice: Invoice, offers: Offers) -> list[tuple[str, str]]:
    """Say which invoice it is, and where its money is."""
    sums, currency = offers.money, invoice.currency
    facts = [
        ("Invoice", str(invoice.pk)),
        ("Office", invoice.office.reference),
        ("Status", f"{invoice.get_status_display().capitalize()} ({sums.state.replace('_', ' ')})"),
        ("Total", money_text(sums.total, currency)),
        ("Still owed", money_text(sums.due, currency)),
    ]
    if sums.paid:
        facts += [
            ("Can be given back", money_text(sums.to_give_back, currency)),
            ("of which through Stripe", money_text(sums.refundable, currency)),
        ]
    return facts
