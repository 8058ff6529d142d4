"""What staff may have done to one invoice now: close it, send it, look at it at Stripe."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget

from audit.read_only import ReadOnlyPage
from audit.staff_forms import StaffForm, refusal_page, staff_actor
from billing.admin.columns import money_text
from billing.admin.correction_forms import choose
from billing.invoice_handling import (
    Closing,
    HandlingReason,
    NothingToDo,
    close_now,
    message_to_send,
    preview_close,
    send_now,
)
from billing.models import Invoice, InvoiceStatus
from offices.locking import OfficeBusy

CLOSE, SEND, AT_STRIPE = "billing.close_invoice", "billing.send_invoice", "billing.view_stripeevent"


class HandlingForm(forms.Form):
    """Why it is done now; of the catalogue, so that it can stand in the audit trail."""

    reason = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choose(self, "reason", list(HandlingReason.choices))

    def clean_reason(self) -> HandlingReason:
        """Return the reason."""
        return HandlingReason(self.cleaned_data["reason"])


class CloseNow(StaffForm):
    """Close a draft whose month is over."""

    permission = CLOSE
    form_class = HandlingForm
    title = "Close an invoice now"
    lead = (
        "The run would do it within the hour. Its lines and its total are frozen for good, and it is queued for "
        "Stripe; earlier months of the office that are due are closed with it, and the present one is opened."
    )
    submit = "Close it now"
    expected: ClassVar = (NothingToDo, OfficeBusy)

    def facts(self) -> list[tuple[str, str]]:
        """Show what the same code does, done and rolled back."""
        invoice: Invoice = self.row
        facts = [("Invoice", str(invoice.pk)), ("Office", invoice.office.reference)]
        try:
            would = preview_close(invoice_id=invoice.pk, actor=self._actor, now=timezone.now())
        except self.expected as error:
            return [*facts, ("Not possible", f"{error}.")]
        return [
            *facts,
            ("Will be closed", _number(would.invoices, "invoice")),
            ("Will be added first", _number(would.lines, "line")),
            ("Will be billed", money_text(would.cents, invoice.currency)),
            ("In the way", ", ".join(would.problems).replace("_", " ") or "nothing"),
        ]

    def act(self, form: Any) -> str:
        """Close, and say what came of it."""
        reason = form.cleaned_data["reason"]
        closed = close_now(invoice_id=self.row.pk, reason=reason, actor=self._actor, now=timezone.now())
        tell = messages.warning if closed.problems else messages.success
        tell(self.request, in_words(closed, self.row.currency))
        return self.back()

    @property
    def _actor(self) -> str:
        return staff_actor(self.request)


def _number(count: int, of: str) -> str:
    return f"{count:,} {of}{'' if count == 1 else 's'}"


def in_words(closed: Closing, currency: str) -> str:
    """Tell what a close did, and what the run reports besides."""
    billed = money_text(closed.cents, currency)
    told = [f"Closed: {_number(closed.invoices, 'invoice')}, {billed} billed."] if closed.invoices else []
    told += [f"The run reports: {code.replace('_', ' ')}." for code in closed.problems]
    return " ".join(told) or "The run had done it meanwhile."


class SendNow(StaffForm):
    """Have a message that waits tried at once."""

    permission = SEND
    form_class = HandlingForm
    title = "Send an invoice now"
    lead = (
        "The workers try the message at once instead of at its next turn. The document is the one that was frozen; "
        "what may have arrived before is looked for first, so that nothing is charged twice."
    )
    submit = "Send it now"
    done = "It is tried now; the timeline shows what comes of it."
    expected: ClassVar = (NothingToDo, OfficeBusy)

    def facts(self) -> list[tuple[str, str]]:
        """Show where the message is."""
        invoice: Invoice = self.row
        message = message_to_send(invoice.pk)
        facts = [
            ("Invoice", str(invoice.pk)),
            ("Office", invoice.office.reference),
            ("Total", money_text(invoice.total_cents or 0, invoice.currency)),
        ]
        if message is None:
            return [*facts, ("Waits", "nothing of this invoice waits to be sent")]
        return [
            *facts,
            ("Tried", _number(message.attempts, "time")),
            ("Last answer", message.error_code.replace("_", " ") or "none"),
            ("Next turn", f"{message.next_attempt_at:%Y-%m-%d %H:%M} UTC"),
        ]

    def act(self, form: Any) -> str:
        """Hurry it."""
        reason, actor = form.cleaned_data["reason"], staff_actor(self.request)
        send_now(invoice_id=self.row.pk, reason=reason, actor=actor, now=timezone.now())
        return self.back()


def open_at_stripe(request: HttpRequest, *, page: ReadOnlyPage, object_id: str) -> HttpResponse:
    """Lead to the invoice in Stripe's own dashboard; the address holds its id there and nothing else."""
    if not request.user.has_perm(AT_STRIPE):
        return refusal_page(request, page, AT_STRIPE)
    invoice = page.get_object(request, object_id)
    if invoice is None or not invoice.stripe_invoice_id:
        raise Http404
    mode = "" if "_live_" in settings.STRIPE_API_KEY else "test/"
    return HttpResponseRedirect(f"https://dashboard.stripe.com/{mode}invoices/{invoice.stripe_invoice_id}")


def may_close(request: HttpRequest, invoice: Invoice) -> bool:
    """Offer the close of a draft whose month is over."""
    is_due = invoice.cycle is not None and invoice.cycle.end_at <= timezone.now()
    return invoice.closed_at is None and invoice.status == InvoiceStatus.DRAFT and is_due and _may(request, CLOSE)


def may_send(request: HttpRequest, invoice: Invoice) -> bool:
    """Offer the sending of what is closed and has not arrived."""
    return invoice.closed_at is not None and invoice.status == InvoiceStatus.DRAFT and _may(request, SEND)


def may_open_at_stripe(request: HttpRequest, invoice: Invoice) -> bool:
    """Offer it for what is at Stripe."""
    return bool(invoice.stripe_invoice_id) and _may(request, AT_STRIPE)


def _may(request: HttpRequest, permission: str) -> bool:
    return bool(request.user.has_perm(permission))
