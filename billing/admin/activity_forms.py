"""Activate and deactivate a patient account, each after a look at what it means for the bill."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from audit.staff_forms import staff_actor
from billing.activation import (
    ActivationResult,
    OfficeNotBillable,
    PatientNotFound,
    PeriodEmpty,
    PeriodsOverlap,
    TimeInFuture,
    activate_patient,
    deactivate_patient,
)
from billing.activation_preview import Deactivation, preview_activation, preview_deactivation
from billing.admin.columns import money_text
from billing.admin.previewed import PreviewedForm, SeenForm
from billing.not_billed import Why
from offices.locking import OfficeBusy
from offices.timeline import NoPriceVersion

_FORMATS = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]


class WhenForm(SeenForm):
    """From when on, or until when."""

    at = forms.DateTimeField(
        required=False,
        label="When",
        input_formats=_FORMATS,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-03-01 14:30"}),
        help_text="In UTC; empty: now. A time to come is refused.",
    )


class _Activity(PreviewedForm):
    """What both have in common."""

    form_class = WhenForm
    at_once = True
    expected: ClassVar = (
        NoPriceVersion,
        OfficeBusy,
        OfficeNotBillable,
        PatientNotFound,
        PeriodEmpty,
        PeriodsOverlap,
        TimeInFuture,
    )

    def facts(self) -> list[tuple[str, str]]:
        """Show which account."""
        account = [("Patient account", str(self.row.pk)), ("Office", self.row.office.reference)]
        return [*account, *super().facts()]

    @property
    def _who(self) -> dict[str, Any]:
        who = {"office_id": self.row.office_id, "patient_id": self.row.pk}
        return who | {"actor": staff_actor(self.request), "now": timezone.now()}


def _at(form: Any) -> datetime | None:
    at: datetime | None = form.cleaned_data["at"] if form is not None else None
    return at


class Activate(_Activity):
    """Activate an account."""

    permission = "patients.add_activityperiod"
    title = "Activate a patient account"
    lead = (
        "The account counts as active from then on, and every month in which it was active is charged once: the open "
        "one at once, a closed one as an adjustment on the open invoice. Nothing is sent before the month closes."
    )
    submit = "Activate it"
    done = "The account is active."

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:
        """Try it, and show the lines that it would add."""
        result = preview_activation(**self._who, activated_at=_at(form))
        yield from _added(result, self.row.office.currency)

    def act(self, form: Any) -> str:
        """Activate, and go back to the account."""
        activate_patient(**self._who, activated_at=_at(form))
        return self.back()


def _added(result: ActivationResult, currency: str) -> Iterable[tuple[str, str]]:
    if not result.changed:
        yield "Nothing changes", "the account is active already"
        return
    for line in result.lines:
        charge = line.get_item_type_display().lower()
        yield f"Charged for {line.cycle_key}", f"{money_text(line.unit_price_cents, currency)} ({charge})"
    if not result.lines:
        yield "Charged now", "nothing: the month charges it already, or is not charged"
    for key in result.waived_cycles:
        yield f"Free of charge in {key}", "what charged that month was canceled for good"
    in_all = sum(line.unit_price_cents for line in result.lines)
    yield "In all", f"{money_text(in_all, currency)}, and once for each month to come until it is deactivated"


class Deactivate(_Activity):
    """Deactivate an account."""

    permission = "patients.change_activityperiod"
    title = "Deactivate a patient account"
    lead = (
        "The account counts as active until then. What is charged stays charged, also for a part of a month; it is not "
        "carried into the next month."
    )
    submit = "Deactivate it"
    done = "The account is not active any more."

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:
        """Try it, and show what stays charged."""
        yield from _stays(preview_deactivation(**self._who, deactivated_at=_at(form)))

    def act(self, form: Any) -> str:
        """Deactivate, and go back to the account."""
        deactivate_patient(**self._who, deactivated_at=_at(form))
        return self.back()


def _stays(outcome: Deactivation) -> Iterable[tuple[str, str]]:
    if not outcome.changed:
        yield "Nothing changes", "the account is not active"
        return
    if outcome.verdict is not None and outcome.month_ends_at is not None:
        charged = outcome.verdict.why in {Why.BILLED_HERE, Why.BILLED_ELSEWHERE, Why.FREE_IN_TRIAL}
        yield f"The open month, {outcome.month}", "is charged, and stays so" if charged else outcome.verdict.words
        yield "Not charged any more", f"for months that start on {outcome.month_ends_at:%Y-%m-%d} or later"
    yield "Money back", "none: what is charged stays charged"
