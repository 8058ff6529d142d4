"""Decide about a correction: approve or reject what somebody else asked for, or withdraw what one asked for oneself."""

from typing import Any, ClassVar

from django import forms
from django.utils import timezone

from audit.read_only import RelatedTable, related
from audit.staff_forms import StaffForm, staff_actor
from billing.admin.columns import money_text
from billing.admin.correction_asking import ASKING, PERMISSION, invoice_facts
from billing.admin.lines import LINE_COLUMNS, with_currency
from billing.correction_offers import correction_offers
from billing.correction_rules import CorrectionRefused
from billing.corrections import approve_correction, reject_correction, withdraw_correction
from billing.models import Correction, CorrectionKind, LineItem
from offices.locking import OfficeBusy


class Decide(StaffForm):
    """A decision, with all in view that the first person saw and said."""

    form_class = forms.Form
    expected: ClassVar = (CorrectionRefused, OfficeBusy)

    def facts(self) -> list[tuple[str, str]]:
        """Show what was asked for, by whom and why, and where the invoice's money is now."""
        correction: Correction = self.row
        invoice = correction.invoice
        facts = [
            ("Asked for", ASKING[CorrectionKind(correction.kind)].title),
            ("Reason", correction.get_reason_display().capitalize()),
            ("Note", correction.note),
            ("By", f"{correction.requested_by}, {correction.requested_at:%Y-%m-%d %H:%M} UTC"),
            ("Expires", f"{correction.expires_at:%Y-%m-%d %H:%M} UTC"),
        ]
        if correction.amount_cents is not None:
            facts.append(("Amount", money_text(correction.amount_cents, invoice.currency)))
        if correction.payback:
            facts.append(("The money goes back", correction.get_payback_display().capitalize()))
        if correction.kind == CorrectionKind.REPLACE:
            facts.append(("Lines left out", str(correction.dropped_lines.count())))
        return facts + invoice_facts(invoice, correction_offers(invoice))


class Approve(Decide):
    """Let it go ahead."""

    permission = "billing.approve_correction"
    title = "Approve a correction"
    lead = "It goes to Stripe within minutes, and cannot be called back. Nothing happens if the invoice has changed."
    submit = "Approve"
    done = "Approved. It goes ahead."

    def facts(self) -> list[tuple[str, str]]:
        """Add what happens at Stripe."""
        kind = CorrectionKind(self.row.kind)
        return [*super().facts(), ("At Stripe", ASKING[kind].at_stripe)]

    def act(self, form: Any) -> str:  # noqa: ARG002
        """Approve it, and go back to it."""
        approve_correction(correction_id=self.row.pk, actor=staff_actor(self.request), now=timezone.now())
        return self.back()


class Reject(Decide):
    """Refuse it."""

    permission = "billing.approve_correction"
    title = "Reject a correction"
    lead = "Nothing is done. Another correction of this invoice can be asked for."
    submit = "Reject"
    done = "Rejected."

    def act(self, form: Any) -> str:  # noqa: ARG002
        """Reject it, and go back to it."""
        reject_correction(correction_id=self.row.pk, actor=staff_actor(self.request), now=timezone.now())
        return self.back()


class Withdraw(Decide):
    """Take one's own request back."""

    permission = PERMISSION
    title = "Withdraw a correction"
    lead = "You take your own request back. Nothing is done."
    submit = "Withdraw"
    done = "Withdrawn."

    def act(self, form: Any) -> str:  # noqa: ARG002
        """Withdraw it, and go back to it."""
        withdraw_correction(correction_id=self.row.pk, actor=staff_actor(self.request), now=timezone.now())
        return self.back()


def lines_left_out(correction: Correction) -> RelatedTable:
    """List the lines that a replacement leaves out, by type, month and reference."""
    lines = LineItem.objects.filter(pk__in=correction.dropped_lines.values("line_item")).order_by("item_type", "pk")
    return related("Lines left out", LINE_COLUMNS, with_currency(lines))
