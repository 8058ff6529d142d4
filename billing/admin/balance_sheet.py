"""The balance of a month by our books and by Stripe's, and the difference."""

from functools import partial

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from audit.columns import coloured
from audit.read_only import ReadOnlyPage, RelatedTable
from audit.staff_forms import refusal_page
from billing import money
from billing.models import ReconciliationRun
from billing.reconciliation.balance import MonthBalance, shown_balances

VIEWING = "billing.view_discrepancy"
# What stands in the sheet, in this order, and how it enters the sum.
LINES = {
    "opening": "Owed at the start",
    "billed": "+ billed",
    "credited": "- credited",
    "paid": "- paid",
    "written_off": "- written off",
    "closing": "Owed at the end",
}


def balance_urls(page: ReadOnlyPage) -> list[URLPattern]:
    """Return the address of the sheet, below the list of discrepancies."""
    view = page.admin_site.admin_view(require_safe(partial(_balance, page=page)))
    return [path("balance/", view, name="billing_discrepancy_balance")]


def _balance(request: HttpRequest, *, page: ReadOnlyPage) -> HttpResponse:
    if not request.user.has_perm(VIEWING):
        return refusal_page(request, page, VIEWING)
    found, as_of = shown_balances()
    known = {each.month: each for each in found}
    months = sorted(known, reverse=True)
    asked = request.GET.get("month", months[0] if months else "")
    context = page.admin_site.each_context(request) | {"title": "Balance of the month", "months": months}
    context["as_of"] = as_of
    context["listed"] = (
        ReconciliationRun.objects.filter(finished_at__isnull=False).defer("balances").order_by("-started_at").first()
    )
    if asked not in known:
        problem = "Choose one of the months." if months else ""
        return render(request, "admin/balance.html", context | {"problem": problem}, status=400 if months else 200)
    return render(request, "admin/balance.html", context | {"month": asked, "related_tables": [_sheet(known[asked])]})


def _sheet(month: MonthBalance) -> RelatedTable:
    rows = [_line(words, getattr(month.ours, name), getattr(month.theirs, name)) for name, words in LINES.items()]
    return RelatedTable(f"Balance of {month.month}", ["", "our books", "Stripe", "difference"], rows)


def _line(words: str, ours: int, theirs: int) -> list[str]:
    difference = money.to_text(ours - theirs)
    shown = coloured(difference, "danger") if ours != theirs else difference
    return [words, money.to_text(ours), money.to_text(theirs), shown]
