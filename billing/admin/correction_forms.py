"""What a person fills in to ask for a correction: the reason, a note, and what its kind needs besides."""

from typing import Any
from uuid import UUID

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from billing import money
from billing.admin.columns import money_text
from billing.correction_rules import REASONS_OF
from billing.corrections import Wish
from billing.models import CorrectionKind, CorrectionReason, Invoice, InvoiceStatus, LineItem, PaybackChannel

MOST_BOXES = 200  # lines to tick; of a longer invoice the accounts are written down
LONGEST_NOTE = 500
_PAYBACKS = {
    PaybackChannel.STRIPE: "Through Stripe, to where it came from",
    PaybackChannel.OUT_OF_BAND: "Past Stripe: we pay it back ourselves",
}


class WishForm(forms.Form):
    """Why, for an invoice as the person sees it now."""

    seen_version = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.ChoiceField(widget=UnfoldAdminSelectWidget)
    note = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text="For whoever decides. Stays here, encrypted, and is never sent; write no patient's name.",
    )
    override_reason = forms.CharField(
        required=False,
        max_length=LONGEST_NOTE,
        label="Why the note may stand",
        widget=UnfoldAdminTextInputWidget,
        help_text="Only for a note that was refused because it looks like patient data.",
    )

    def __init__(self, *args: Any, kind: CorrectionKind, invoice: Invoice, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind, self.invoice = kind, invoice
        choose(self, "reason", [(each.value, each.label) for each in CorrectionReason if each in REASONS_OF[kind]])

    def wish(self) -> Wish:
        """Return what is asked for."""
        given = self.cleaned_data
        return Wish(
            kind=self.kind,
            reason=CorrectionReason(given["reason"]),
            amount_cents=given.get("amount"),
            payback=PaybackChannel(given["payback"]) if given.get("payback") else None,
            dropped=self.dropped(),
            note=given["note"].strip(),
            override_reason=given["override_reason"],
        )

    def dropped(self) -> frozenset[UUID]:
        """Return the lines to leave out."""
        return frozenset()


class AmountField(forms.CharField):
    """An amount as people write it; cents afterwards."""

    def clean(self, value: Any) -> Any:
        """Return the cents."""
        try:
            return money.to_cents(super().clean(value))
        except money.AmountMalformed as error:
            raise forms.ValidationError(str(error)) from error


class AmountForm(WishForm):
    """The same with an amount."""

    amount = AmountField(widget=UnfoldAdminTextInputWidget)
    field_order = ("seen_version", "amount", "payback", "reason")


class CreditForm(AmountForm):
    """The same; of a paid invoice also the way back."""

    payback = forms.ChoiceField(label="The money goes back", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.invoice.status == InvoiceStatus.PAID:
            choose(self, "payback", [(each.value, words) for each, words in _PAYBACKS.items()])
        else:
            del self.fields["payback"]


class ReplaceForm(WishForm):
    """The lines that the new invoice leaves out: ticked, or named by their account where there are many."""

    dropped_lines = forms.MultipleChoiceField(
        required=False,
        label="Lines to leave out",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Nothing ticked: the new invoice is the same as this one.",
    )
    accounts = forms.CharField(
        required=False,
        label="Patient accounts to leave out",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 6}),
        help_text="Their references, one on each line. All lines of these accounts are left out.",
    )
    field_order = ("seen_version", "dropped_lines", "accounts", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lines = LineItem.objects.filter(invoice=self.invoice, live=True)
        first = list(self._lines.order_by("item_type", "cycle_key", "pk")[: MOST_BOXES + 1])
        if len(first) > MOST_BOXES:
            del self.fields["dropped_lines"]
            return
        del self.fields["accounts"]
        choose(self, "dropped_lines", [(str(line.pk), self._words(line)) for line in first])

    def _words(self, line: LineItem) -> str:
        total = money_text(line.quantity * line.unit_price_cents, self.invoice.currency)
        # The reference comes last: a narrow screen cuts it, and its first digits tell it apart.
        parts = [line.get_item_type_display().capitalize(), line.cycle_key, total, str(line.patient_reference or "")]
        return " · ".join(part for part in parts if part)

    def clean_accounts(self) -> frozenset[UUID]:
        """Return the lines of the accounts; each account must have one."""
        try:
            wanted = {UUID(word) for word in self.cleaned_data["accounts"].split()}
        except ValueError as error:
            raise forms.ValidationError("write references of accounts, one on each line") from error
        found = dict(self._lines.filter(patient_reference__in=wanted).values_list("pk", "patient_reference"))
        if wanted != set(found.values()):
            raise forms.ValidationError("an account has no line on this invoice")
        return frozenset(found)

    def dropped(self) -> frozenset[UUID]:
        """Return the lines to leave out."""
        ticked = frozenset(map(UUID, self.cleaned_data.get("dropped_lines", ())))
        named: frozenset[UUID] = self.cleaned_data.get("accounts", frozenset())
        return ticked | named


def choose(form: forms.Form, name: str, choices: list[tuple[str, str]]) -> None:
    """Give a field its choices; of several none is chosen beforehand, so that nobody confirms one unseen."""
    field: Any = form.fields[name]
    alone = len(choices) == 1 or isinstance(field, forms.MultipleChoiceField)
    field.choices = field.widget.choices = choices if alone else [("", "Choose …"), *choices]
