"""Change what holds for an office: its plan, a price of its own, its status. Each takes effect with the next cycle."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminSingleDateWidget, UnfoldAdminTextInputWidget

from audit.staff_forms import staff_actor
from billing.admin.columns import money_text
from billing.admin.correction_forms import AmountField, choose
from billing.admin.previewed import PreviewedForm, SeenForm
from billing.office_terms import PeriodReversed, change_plan, change_status, override_price
from billing.upcoming_terms import Effect, UpcomingMonth, effect_of, months_in_words
from offices.locking import OfficeBusy
from offices.models import Office, OfficeStatus, Plan
from offices.timeline import NoPriceVersion, load_timelines

LONGEST_REASON = 200  # characters, as the column keeps them


class TermsForm(PreviewedForm):
    """What all of them show: the months whose price would differ, tried with the very change and put back."""

    expected: ClassVar = (NoPriceVersion, PeriodReversed, OfficeBusy)

    def change(self, given: dict[str, Any]) -> Callable[[], object]:
        """Return the one call that makes the change."""
        raise NotImplementedError

    def facts(self) -> list[tuple[str, str]]:
        """Show which office, and what holds."""
        office: Office = self.row
        timeline = load_timelines([office.pk])[office.pk]
        now = timezone.now()
        plan = Plan.objects.get(pk=timeline.plan_at(now))
        return [
            ("Office", office.reference),
            ("Status now", timeline.status_at(now).label),
            ("Plan now", f"{plan.code} ({plan.name})"),
        ]

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:
        """Compare the months to come with and without it."""
        effect = effect_of(self.change(form.cleaned_data), self.row, now=timezone.now())
        yield from effect_in_words(effect, self.row.currency)

    def act(self, form: Any) -> str:
        """Make the change, and go back to the office."""
        self.change(form.cleaned_data)()
        return self.back()

    @property
    def _who(self) -> dict[str, Any]:
        return {"office_id": self.row.pk, "actor": staff_actor(self.request), "now": timezone.now()}


def effect_in_words(effect: Effect, currency: str) -> Iterable[tuple[str, str]]:
    """Say what a change does to the months to come."""
    changed = effect.changed
    if not changed:
        yield "Changes", "the price of no month in the next two years"
        return
    before, after = changed[0]
    yield "Changes", months_in_words([each for each, _ in changed])
    yield "Price of an account", f"{_price(before, currency)} becomes {_price(after, currency)}"
    yield "Accounts active now", f"{effect.active_accounts:,}"
    if before.unit_price_cents is not None and after.unit_price_cents is not None:
        old = money_text(before.unit_price_cents * effect.active_accounts, currency)
        new = money_text(after.unit_price_cents * effect.active_accounts, currency)
        yield "A month with as many", f"{old} becomes {new}"
    if len({(was.unit_price_cents, will.unit_price_cents) for was, will in changed}) > 1:
        yield "Besides", "later months change by another amount, because their price changes anyway"


def _price(month: UpcomingMonth, currency: str) -> str:
    return "not billed" if month.unit_price_cents is None else money_text(month.unit_price_cents, currency)


class PlanForm(SeenForm):
    """Which plan."""

    plan = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plans = Plan.objects.order_by("code").values_list("code", "name")
        choose(self, "plan", [(code, f"{code} ({name})") for code, name in plans])


class ChangePlan(TermsForm):
    """Put an office under another plan."""

    permission = "offices.add_officeplan"
    form_class = PlanForm
    title = "Put an office under another plan"
    lead = "It takes effect with the next month of the office; the present one keeps the terms it began with."
    submit = "Change the plan"
    done = "The plan is changed, from the next month on."

    def change(self, given: dict[str, Any]) -> Callable[[], object]:
        """Return the change of plan."""
        plan = Plan.objects.get(code=given["plan"])
        return lambda: change_plan(plan=plan, **self._who)


class PriceForm(SeenForm):
    """Which price, for which months, and why."""

    unit_price = AmountField(label="Price of an account and month", widget=UnfoldAdminTextInputWidget)
    starts_on = forms.DateField(
        label="For months that start on this day or later", widget=UnfoldAdminSingleDateWidget, help_text="YYYY-MM-DD"
    )
    ends_on = forms.DateField(
        label="and before this day", widget=UnfoldAdminSingleDateWidget, help_text="A price of its own always ends."
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as: contract of 2026. Stays with the price; write no patient's name.",
    )


class OverridePrice(TermsForm):
    """Give an office a price of its own."""

    permission = "offices.add_priceoverride"
    form_class = PriceForm
    title = "Give an office a price of its own"
    lead = (
        "Instead of its plan's price, for the months that start within these days. A month that has begun keeps the "
        "price it began with. Of several prices for one month the latest given holds."
    )
    submit = "Give it this price"
    done = "The office has a price of its own."

    def change(self, given: dict[str, Any]) -> Callable[[], object]:
        """Return the new price."""
        return lambda: override_price(
            unit_price_cents=given["unit_price"],
            starts_on=given["starts_on"],
            ends_on=given["ends_on"],
            reason=given["reason"].strip(),
            **self._who,
        )


class StatusForm(SeenForm):
    """Which status."""

    status = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choose(self, "status", [(each.value, each.label) for each in OfficeStatus])


class ChangeStatus(TermsForm):
    """Set an office's status."""

    permission = "offices.add_officestatuschange"
    form_class = StatusForm
    title = "Change an office's status"
    lead = (
        "From now on. Canceled or inactive: the open month still closes and is sent, no new month begins, and "
        "activations are refused. From trial to active: the next month is charged. Past due is no status: it comes and "
        "goes with unpaid invoices."
    )
    submit = "Change the status"
    done = "The status is changed."

    def change(self, given: dict[str, Any]) -> Callable[[], object]:
        """Return the change of status."""
        return lambda: change_status(status=OfficeStatus(given["status"]), **self._who)
