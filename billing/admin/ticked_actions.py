"""What may be done to several invoices at once: close them, send them, try failed payments again."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.db.models import Count, Sum
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget

from audit.staff_forms import staff_actor
from billing.admin.columns import money_text
from billing.admin.correction_asking import PERMISSION as CORRECT
from billing.admin.correction_forms import LONGEST_NOTE
from billing.admin.invoice_actions import CLOSE, SEND, HandlingForm, in_words
from billing.admin.previewed import SeenForm
from billing.admin.ticked import Fate, TickedForm, in_all
from billing.correction_offers import refusals_of
from billing.correction_rules import CorrectionRefused
from billing.corrections import Wish, request_correction
from billing.invoice_handling import (
    NothingToDo,
    check_closable,
    close_now,
    messages_to_send,
    preview_closes,
    send_now,
    sendable,
)
from billing.models import LINE_TOTAL, CorrectionKind, CorrectionReason, Invoice, InvoiceOrigin, LineItem
from billing.payment_state import money_of
from billing.staff_notes import NoteLooksLikePatientData
from offices.locking import OfficeBusy


class _HandlingForm(SeenForm, HandlingForm):
    """Why, for what was seen."""


class CloseTicked(TickedForm):
    """Close drafts whose months are over."""

    permission = CLOSE
    form_class = _HandlingForm
    title = "Close invoices now"
    lead = (
        "The run would do it within the hour. What is still missing is added, then lines and totals are frozen for "
        "good and queued for Stripe. Every other month of their offices that is over is closed with them."
    )
    submit = "Close them now"
    amount = "On them so far"
    expected: ClassVar = (NothingToDo, OfficeBusy)

    def fates(self, invoices: list[Invoice]) -> Iterable[Fate]:
        """Say what is on each so far."""
        lines = LineItem.objects.filter(invoice__in=[each.pk for each in invoices], live=True).order_by()
        rows = lines.values_list("invoice").annotate(number=Count("pk"), cents=Sum(LINE_TOTAL))
        on_it = {pk: (number, cents) for pk, number, cents in rows}
        now = timezone.now()
        for invoice in invoices:
            number, cents = on_it.get(invoice.pk, (0, 0))
            try:
                check_closable(invoice, now)
            except NothingToDo as error:
                yield Fate(invoice, cents=cents, refusal=f"{error}.")
            else:
                yield Fate(invoice, f"closed and queued, with {number:,} lines so far", cents)

    def more_facts(self, able: list[Fate]) -> Iterable[tuple[str, str]]:
        """Tell what the same code does, done and rolled back: other months of the offices may be over too."""
        invoices = [fate.invoice for fate in able]
        would = preview_closes(invoices=invoices, actor=staff_actor(self.request), now=timezone.now())
        backfilled = [fate for fate in able if fate.invoice.origin == InvoiceOrigin.BACKFILL]
        yield "Will be closed in all", f"{would.invoices + len(backfilled):,} invoices"
        for currency, cents in (would.billed + in_all(backfilled)).items():
            yield "Will be billed in all", money_text(cents, currency)
        if would.problems:
            yield "In the way", ", ".join(would.problems).replace("_", " ")

    def handle(self, invoice: Invoice, form: Any) -> str:
        """Close it, unless an earlier one of the same office, or the run, has taken it along."""
        if Invoice.objects.filter(pk=invoice.pk, closed_at__isnull=False).exists():
            return "closed meanwhile, with an earlier one of the office or by the run"
        reason, actor = form.cleaned_data["reason"], staff_actor(self.request)
        return in_words(
            close_now(invoice_id=invoice.pk, reason=reason, actor=actor, now=timezone.now()), invoice.currency
        )


class SendTicked(TickedForm):
    """Have messages that wait tried at once."""

    permission = SEND
    form_class = _HandlingForm
    title = "Send invoices now"
    lead = (
        "The workers try the messages at once instead of at their next turns. The documents are those that were "
        "frozen; what may have arrived before is looked for first, so that nothing is charged twice."
    )
    submit = "Send them now"
    amount = "They come to"
    expected: ClassVar = (NothingToDo, OfficeBusy)

    def fates(self, invoices: list[Invoice]) -> Iterable[Fate]:
        """Say where each message is."""
        waiting = messages_to_send([each.pk for each in invoices])
        for invoice in invoices:
            cents = invoice.total_cents or 0
            try:
                message = sendable(invoice.office, waiting.get(invoice.pk))
            except NothingToDo as error:
                yield Fate(invoice, cents=cents, refusal=f"{error}.")
            else:
                answer = message.error_code.replace("_", " ") or "none"
                yield Fate(invoice, f"tried at once; tries so far: {message.attempts}, last answer: {answer}", cents)

    def handle(self, invoice: Invoice, form: Any) -> str:
        """Hurry it."""
        reason, actor = form.cleaned_data["reason"], staff_actor(self.request)
        send_now(invoice_id=invoice.pk, reason=reason, actor=actor, now=timezone.now())
        return "tried now; its timeline shows what comes of it"


class _RetryForm(SeenForm):
    """Why the payments are tried again, in words for the file."""

    reason = forms.CharField(
        max_length=LONGEST_NOTE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="Stays on each correction, encrypted, and is never sent; write no patient's name.",
    )


class RetryTicked(TickedForm):
    """Try failed payments once more."""

    permission = CORRECT
    form_class = _RetryForm
    title = "Try failed payments again"
    lead = (
        "The payment method on file of each office is charged once more for what is open, within minutes. Nobody else "
        "has to decide. What comes of it is shown on each correction."
    )
    submit = "Try them again"
    amount = "Will be charged"
    expected: ClassVar = (CorrectionRefused, NoteLooksLikePatientData, OfficeBusy)

    def fates(self, invoices: list[Invoice]) -> Iterable[Fate]:
        """Say what is open of each."""
        refusals, money = refusals_of(CorrectionKind.RETRY, invoices), money_of(invoices)
        for invoice in invoices:
            refusal, due = refusals[invoice.pk], money[invoice.pk].due
            seen = f"charged once more; tries so far: {invoice.attempt_count}"
            yield Fate(invoice, cents=due, refusal=f"{refusal}.") if refusal else Fate(invoice, seen, due)

    def handle(self, invoice: Invoice, form: Any) -> str:
        """Ask for one new attempt; a retry needs no second person."""
        wish = Wish(
            kind=CorrectionKind.RETRY, reason=CorrectionReason.PAYMENT_RETRY, note=form.cleaned_data["reason"].strip()
        )
        request_correction(
            invoice_id=invoice.pk, wish=wish, seen_version=invoice.version, actor=staff_actor(self.request),
            now=timezone.now(),
        )  # fmt: skip
        return "tried again within minutes"
