"""Add a plan, and a price version to one: for whoever sets what is charged."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSingleDateWidget, UnfoldAdminTextInputWidget

from audit.staff_forms import staff_actor
from billing.admin.correction_forms import AmountField
from billing.admin.previewed import PreviewedForm, SeenForm
from billing.money import to_text
from billing.price_list import (
    NewPlan,
    PlanCodeMalformed,
    PlanExists,
    PriceInThePast,
    PriceVersionExists,
    add_plan,
    add_price,
    reach_of_price,
)
from offices.timeline import NoPriceVersion


class PlanForm(SeenForm):
    """A plan and its first price."""

    code = forms.CharField(
        max_length=40, widget=UnfoldAdminTextInputWidget, help_text="Such as: group-2027. It cannot be changed."
    )
    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget)
    setup_fee = AmountField(initial="0.00", widget=UnfoldAdminTextInputWidget)
    unit_price = AmountField(label="Price of an account and month", widget=UnfoldAdminTextInputWidget)


class AddPlan(PreviewedForm):
    """Add a plan."""

    permission = "offices.add_plan"
    form_class = PlanForm
    title = "Add a plan"
    lead = "A plan has a price for an account and month, and a setup fee. Offices are put under it one by one."
    submit = "Add it"
    done = "The plan is there."
    expected: ClassVar = (PlanCodeMalformed, PlanExists)

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:
        """Show it once more, as amounts are read."""
        given = form.cleaned_data
        yield "Plan", f"{given['code']} ({given['name']})"
        yield "Setup fee", to_text(given["setup_fee"])
        yield "An account and month", f"{to_text(given['unit_price'])}, until a price version says otherwise"
        yield "Offices under it", "none yet; nothing is charged under it until an office is"

    def act(self, form: Any) -> str:
        """Add it, and go on to it."""
        given = form.cleaned_data
        plan = NewPlan(given["code"], given["name"].strip(), given["setup_fee"], given["unit_price"])
        added = add_plan(plan, actor=staff_actor(self.request), now=timezone.now())
        return reverse("admin:offices_plan_change", args=[added.pk])


class PriceVersionForm(SeenForm):
    """A price, and from when on."""

    unit_price = AmountField(label="Price of an account and month", widget=UnfoldAdminTextInputWidget)
    effective_on = forms.DateField(
        label="For months that start on this day or later", widget=UnfoldAdminSingleDateWidget, help_text="YYYY-MM-DD"
    )


class AddPrice(PreviewedForm):
    """Add a price version to a plan."""

    permission = "offices.add_planprice"
    form_class = PriceVersionForm
    title = "Add a price version"
    lead = "Months that start on its day or later cost this. What has begun or was charged stays as it is."
    submit = "Add it"
    done = "The price version is there."
    expected: ClassVar = (PriceInThePast, PriceVersionExists, NoPriceVersion)

    def facts(self) -> list[tuple[str, str]]:
        """Show which plan."""
        return [("Plan", f"{self.row.code} ({self.row.name})")]

    def consequences(self, form: Any) -> Iterable[tuple[str, str]]:
        """Count whom it reaches."""
        given = form.cleaned_data
        now = timezone.now()
        if given["effective_on"] <= now.date():
            raise PriceInThePast("a price begins on a day to come")
        reach = reach_of_price(self.row, effective_on=given["effective_on"], now=now)
        before, after, active = reach.price_before_cents, given["unit_price"], reach.active_accounts
        yield "An account and month", f"{to_text(before)} becomes {to_text(after)}"
        yield "Offices it reaches", f"{reach.offices:,}"
        yield "Offices with a price of their own", f"{reach.with_own_price:,}, which it does not reach"
        yield "Active accounts it reaches", f"{active:,}"
        yield "A month with as many", f"{to_text(before * active)} becomes {to_text(after * active)}"

    def act(self, form: Any) -> str:
        """Add it, and go back to the plan."""
        given = form.cleaned_data
        add_price(
            plan_id=self.row.pk,
            effective_on=given["effective_on"],
            unit_price_cents=given["unit_price"],
            actor=staff_actor(self.request),
            now=timezone.now(),
        )
        return self.back()
