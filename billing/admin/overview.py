"""The first page: where the money is, what needs a person, and the latest runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from audit.read_only import RelatedTable, list_of, may_view, related
from billing.admin.attention import attention
from billing.admin.columns import money_text
from billing.admin.months import months_of_books
from billing.admin.runs import RUN_COLUMNS
from billing.models import BillingRun, Invoice, Payment
from billing.money_overview import Age, MonthFigures, Owed, active_accounts, month_figures, owed_by_age
from patients.models import ActivityPeriod

LATEST_RUNS = 8
LATEST_MONTHS = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """One large number, what it is, and how it moved."""

    title: str
    words: str
    hint: str
    address: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fill the first page, each part for who may look behind it."""
    figures: list[Figure] = []
    tables: list[RelatedTable] = []
    if may_view(request, Invoice) and may_view(request, Payment):
        months = months_of_books(timezone.now())[:LATEST_MONTHS]
        by_month, owed = month_figures(months), owed_by_age(timezone.now())
        figures += _money(months, by_month, owed)
        tables += [_ages(owed), _months(months, by_month)]
    if may_view(request, ActivityPeriod):
        address = list_of("patients_activityperiod", deactivated_at__isempty=1)
        figures.append(Figure("Active patient accounts", f"{active_accounts():,}", "now, at all offices", address))
    if may_view(request, BillingRun):
        runs = BillingRun.objects.order_by("-started_at")[:LATEST_RUNS]
        tables.append(related("Latest runs", RUN_COLUMNS, list(runs), more=list_of("billing_billingrun")))
    words = {"title": "Overview", "figures": figures, "attention": attention(request), "related_tables": tables}
    return context | words


def _money(months: list[str], by_month: Mapping[str, MonthFigures], owed: Mapping[Age, Owed]) -> Iterator[Figure]:
    """Yield what is owed now, and what became of the last month that ended, beside the one before."""
    total: dict[str, int] = {}
    for each in owed.values():
        for currency, cents in each.cents.items():
            total[currency] = total.get(currency, 0) + cents
    unpaid = list_of("billing_invoice", status__in="sent,failed")
    number = sum(each.invoices for each in owed.values())
    yield Figure("Outstanding", _amounts(total), f"on {number:,} unpaid invoices", unpaid)
    last, before = months[1], months[2]
    address = list_of("billing_invoice", cycle=last)
    now, then = by_month[last], by_month[before]
    yield Figure(f"Billed for {last}", _amounts(now.billed), _change(now.billed, then.billed, before), address)
    moved = _change(now.collected, then.collected, before)
    yield Figure(f"Collected for {last}", _amounts(now.collected), moved, address)


def _change(now: Mapping[str, int], then: Mapping[str, int], before: str) -> str:
    """Say by how much an amount moved, where the months have one currency and the same."""
    (currency,) = now if len(now) == 1 else ("",)
    if set(now) != set(then) or not then.get(currency):
        return f"{before}: {_amounts(then)}"
    percent = (now[currency] - then[currency]) * 100 / then[currency]
    return f"{percent:+.1f} % on {before} ({_amounts(then)})"


def _ages(owed: Mapping[Age, Owed]) -> RelatedTable:
    rows = [[_listed(each), f"{owed[each].invoices:,}", _amounts(owed[each].cents)] for each in Age]
    return RelatedTable("Unpaid, by days since it was due", ["days", "invoices", "owed"], rows)


def _listed(age: Age) -> str:
    address = list_of("billing_invoice", age=age.value)
    return format_html('<a href="{}" class="text-link whitespace-nowrap">{}</a>', address, age.value.capitalize())


def _months(months: list[str], by_month: Mapping[str, MonthFigures]) -> RelatedTable:
    rows = [
        [
            _of_month(key),
            f"{by_month[key].accounts:,}",
            _amounts(by_month[key].billed),
            _amounts(by_month[key].collected),
        ]
        for key in months
    ]
    headers = ["month of the cycle", "accounts charged", "billed", "collected of it"]
    return RelatedTable("Month over month", headers, rows)


def _of_month(key: str) -> str:
    return format_html('<a href="{}" class="text-link">{}</a>', list_of("billing_invoice", cycle=key), key)


def _amounts(cents: Mapping[str, int]) -> str:
    return ", ".join(money_text(each, currency) for currency, each in sorted(cents.items())) or "0.00"
