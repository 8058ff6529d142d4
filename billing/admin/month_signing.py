"""A month on its way to be locked: what still blocks it, what is signed, and the two signatures."""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_safe

from audit.columns import coloured
from audit.read_only import ReadOnlyPage, RelatedTable
from audit.staff_forms import StaffForm, refusal_page, staff_actor
from billing.admin.columns import money_text
from billing.admin.month_steps import signatures, steps_of
from billing.admin.months import months_of_books
from billing.models import MonthClose
from billing.month_close import (
    MonthAlreadyLocked,
    MonthChanged,
    MonthNotReady,
    SecondPersonNeeded,
    checks,
    sign_month,
    what_is_signed,
)

PERMISSION = "billing.sign_month"
VIEWING = "billing.view_monthclose"
LATEST = 12  # months in the table below
MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def month_urls(page: ReadOnlyPage) -> list[URLPattern]:
    """Return the addresses of the page of a month and of its signature, below the list of signed months."""
    look = page.admin_site.admin_view(require_safe(partial(_month, page=page)))
    sign = page.admin_site.admin_view(partial(_sign, page=page))
    return [
        path("month/", look, name="billing_monthclose_month"),
        path("month/<slug:key>/sign/", sign, name="billing_monthclose_sign"),
    ]


def address_of(key: str) -> str:
    """Return the address of the page of a month."""
    return f"{reverse('admin:billing_monthclose_month')}?month={key}"


class _MonthForm(forms.Form):
    month = forms.RegexField(MONTH.pattern, required=True)


def _month(request: HttpRequest, *, page: ReadOnlyPage) -> HttpResponse:
    if not request.user.has_perm(VIEWING):
        return refusal_page(request, page, VIEWING)
    months = months_of_books(timezone.now())
    form = _MonthForm({"month": request.GET.get("month", months[1])})
    context = page.admin_site.each_context(request) | {"title": "Close a month", "months": months, "form": form}
    if not form.is_valid():
        return render(request, "admin/month.html", context, status=400)
    key = form.cleaned_data["month"]
    return render(request, "admin/month.html", context | _shown(request, key, months))


def _shown(request: HttpRequest, key: str, months: list[str]) -> dict[str, Any]:
    found = checks(key, now=timezone.now())
    closes = {close.key: close for close in MonthClose.objects.filter(key__in=[*months, key])}
    close, signed = closes.get(key), what_is_signed(key)
    ready = not any(check.blocks for check in found) and (close is None or close.locked_at is None)
    own = close is not None and close.signed == signed and close.first_signed_by == staff_actor(request)
    allowed = ready and not own and request.user.has_perm(PERMISSION)
    return {
        "month": key,
        "steps": [*steps_of(request, key, found), *signatures(close, signed)],
        "facts": _facts(close, signed),
        "state": _state(close, signed, ready=ready, own=own),
        "sign": reverse("admin:billing_monthclose_sign", args=[key]) if allowed else "",
        "related_tables": [_months(months, closes)],
    }


def _facts(close: MonthClose | None, signed: str) -> list[tuple[str, str]]:
    """Say what is signed, and who did; after the lock that is what was signed then."""
    content = json.loads(close.signed if close is not None and close.locked_at else signed)
    totals = [money_text(cents, currency) for currency, cents in sorted(content["total_cents"].items())]
    return [
        ("Invoices", f"{content['invoices']:,}"),
        ("Billed", ", ".join(totals)),
        ("First signature", f"{close.first_signed_by}, {close.first_signed_at:%Y-%m-%d %H:%M} UTC" if close else ""),
        (
            "Second signature",
            f"{close.second_signed_by}, {close.locked_at:%Y-%m-%d %H:%M} UTC" if close and close.locked_at else "",
        ),
    ]


def _state(close: MonthClose | None, signed: str, *, ready: bool, own: bool) -> str:
    if close is not None and close.locked_at is not None:
        return "Locked. What comes late becomes an adjustment of the open month."
    if not ready:
        return "Not ready: what is marked below has to be put in order first."
    if close is None:
        return "Ready for the first signature."
    if close.signed != signed:
        return "What was billed changed after the first signature: it has to be signed anew, by two people."
    return (
        "You have signed. A second person has to sign too." if own else "Ready for the second signature, which locks."
    )


def _months(months: list[str], closes: Mapping[str, MonthClose]) -> RelatedTable:
    rows = [[_link(key), _label(closes.get(key))] for key in months[:LATEST]]
    return RelatedTable("Months", ["month", "signed"], rows, more=reverse("admin:billing_monthclose_changelist"))


def _link(key: str) -> str:
    return format_html('<a href="{}" class="text-link whitespace-nowrap">{}</a>', address_of(key), key)


def _label(close: MonthClose | None) -> str:
    if close is None:
        return "-"
    return coloured("locked", "success") if close.locked_at else coloured("once", "warning")


def _sign(request: HttpRequest, *, page: ReadOnlyPage, key: str) -> Any:
    if not MONTH.fullmatch(key):
        raise Http404
    return SignMonth.as_view(page=page)(request, key=key)


class _SeenForm(forms.Form):
    """What the person was shown."""

    seen = forms.CharField(widget=forms.HiddenInput)


class SignMonth(StaffForm):
    """Put one's name under a month."""

    permission = PERMISSION
    form_class = _SeenForm
    title = "Sign a month"
    lead = (
        "With the second signature the month is locked for good: its cycles and invoices change no more, what was "
        "wrong is credited, and what comes late becomes an adjustment of the open month."
    )
    submit = "Sign"
    expected: ClassVar = (MonthAlreadyLocked, MonthNotReady, MonthChanged, SecondPersonNeeded)

    def get_initial(self) -> dict[str, Any]:
        """Remember what was shown."""
        return super().get_initial() | {"seen": what_is_signed(self.kwargs["key"])}

    def facts(self) -> list[tuple[str, str]]:
        """Show what is signed."""
        key = self.kwargs["key"]
        close = MonthClose.objects.filter(key=key).first()
        return [("Month", key), *_facts(close, what_is_signed(key))]

    def act(self, form: Any) -> str:
        """Sign, and go back to the month."""
        key, actor = self.kwargs["key"], staff_actor(self.request)
        close = sign_month(key=key, actor=actor, now=timezone.now(), seen=form.cleaned_data["seen"])
        words = "Signed and locked." if close.locked_at else "Signed. A second person has to sign too."
        messages.success(self.request, words)
        return self.back()

    def back(self) -> str:
        """Return the address of the month."""
        return address_of(self.kwargs["key"])
