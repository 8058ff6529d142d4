"""What staff may have done to one invoice now: close it, send it, look at it at Stripe."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from audit.read_only import ReadOnlyPage
from audit.staff_forms import StaffForm, refusal_page, staff_actor
from billing.admin.columns import money_text
from billing.invoice_handling import Closing, NothingToDo, close_now, message_to_send, send_now
from billing.models import Invoice, InvoiceStatus
from offices.locking import OfficeBusy

CLOSE, SEND, AT_STRIPE = "billing.close_invoice", "billing.send_invoice", "billing.view_stripeevent"


class CloseNow(StaffForm):
    """Close a draft whose month is over."""

    permission = CLOSE
    form_class = forms.Form
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
            would = close_now(invoice_id=invoice.pk, actor=self._actor, now=timezone.now(), dry_run=True)
        except self.expected as error:
            return [*facts, ("Not possible", f"{error}.")]
        return [
            *facts,
            ("Will be closed", _number(would.invoices, "invoice")),
            ("Will be added first", _number(would.lines, "line")),
            ("Will be billed", money_text(would.cents, invoice.currency)),
            ("In the way", ", ".join(would.problems).replace("_", " ") or "nothing"),
        ]

    def act(self, form: Any) -> str:  # noqa: ARG002 - there is nothing to fill in
        """Close, and say what came of it."""
        closed = close_now(invoice_id=self.row.pk, actor=self._actor, now=timezone.now())
        _tell(self.request, closed, self.row.currency)
        return self.back()

    @property
    def _actor(self) -> str:
        return staff_actor(self.request)


def _number(count: int, of: str) -> str:
    return f"{count:,} {of}{'' if count == 1 else 's'}"


def _tell(request: HttpRequest, closed: Closing, currency: str) -> None:
    if closed.invoices:
        billed = money_text(closed.cents, currency)
        messages.success(request, f"Closed: {_number(closed.invoices, 'invoice')}, {billed} billed.")
    elif not closed.problems:
        messages.info(request, "The run had done it meanwhile.")
    for code in closed.problems:
        messages.warning(request, f"The run reports: {code.replace('_', ' ')}.")


class SendNow(StaffForm):
    """Have a message that waits tried at once."""

    permission = SEND
    form_class = forms.Form
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

    def act(self, form: Any) -> str:  # noqa: ARG002 - there is nothing to fill in
        """Hurry it."""
        send_now(invoice_id=self.row.pk, actor=staff_actor(self.request), now=timezone.now())
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
