"""The first page: where the money is, what needs a person, and the latest runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from audit.read_only import RelatedTable, list_of, may_view, related
from billing.admin.attention import LONGEST_RUN, attention
from billing.admin.charts import chart_of
from billing.admin.columns import money_text
from billing.admin.comparisons import COMPARISON_COLUMNS
from billing.admin.months import months_of_books
from billing.admin.progress import of_billing_run, of_comparison
from billing.admin.runs import RUN_COLUMNS
from billing.estimates import Count, rows_of
from billing.models import BillingRun, Invoice, InvoiceStatus, Payment, ReconciliationRun, RunStatus
from billing.money_overview import (
    Age,
    MonthFigures,
    Owed,
    active_accounts,
    month_figures,
    not_paid_by_status,
    owed_by_age,
    remembered_figures,
)
from billing.reconciliation.checkpoint import RESUMED_WITHIN
from patients.models import ActivityPeriod

LATEST_RUNS = 8
LATEST_MONTHS = 12  # in the chart
MONTHS_IN_TABLE = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """One large number, what it is, and how it moved."""

    title: str
    words: str
    hint: str
    address: str


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A run that is at work now."""

    words: str
    progress: str
    address: str


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fill the first page, each part for who may look behind it."""
    found = attention(request)
    shown: dict[str, Any] = {
        "title": "Overview",
        "figures": [],
        "under_way": [],
        "attention": found,
        "in_order": [each for each in found if not each.count],
        "related_tables": [],
    }
    _add_money(request, shown)
    _add_runs(request, shown)
    return context | shown


def _add_money(request: HttpRequest, shown: dict[str, Any]) -> None:
    """Add what was billed and what is owed, for who may see invoices and payments; and the accounts, likewise."""
    months = months_of_books(timezone.now())[:LATEST_MONTHS]
    by_month: dict[str, MonthFigures] = {}
    if may_view(request, Invoice) and may_view(request, Payment):
        every = rows_of(Invoice)
        by_month = month_figures(months) if every.exact else remembered_figures(months)
        owed = owed_by_age(timezone.now())
        shown["figures"] += _money(months, by_month, owed)
        shown["chart"] = chart_of(months[::-1], by_month)
        shown["side_by_side"] = [[_ages(owed)], [_statuses(every)]]  # each a column of tables
        shown["related_tables"].append(_months(months[:MONTHS_IN_TABLE], by_month))
    if may_view(request, ActivityPeriod):
        address = list_of("patients_activityperiod", deactivated_at__isempty=1)
        hint = _charged(months, by_month) or "now, at all offices"
        shown["figures"].append(Figure("Active patient accounts", f"{active_accounts():,}", hint, address))


def _charged(months: list[str], by_month: Mapping[str, MonthFigures]) -> str:
    """Say how many accounts were charged for the last month that ended, and how that moved."""
    if not by_month:
        return ""
    now, then = by_month[months[1]].accounts, by_month[months[2]].accounts
    moved = f", {(now - then) * 100 / then:+.1f} % on {months[2]}" if then else ""
    return f"{now:,} charged for {months[1]}{moved}"


def _add_runs(request: HttpRequest, shown: dict[str, Any]) -> None:
    """Add the latest runs and comparisons, and on top what is at work now."""
    now = timezone.now()
    if may_view(request, BillingRun):
        runs = list(BillingRun.objects.order_by("-started_at")[:LATEST_RUNS])
        shown["related_tables"].append(related("Latest runs", RUN_COLUMNS, runs, more=list_of("billing_billingrun")))
        shown["under_way"] += [
            UnderWay("Billing run", of_billing_run(run), reverse("admin:billing_billingrun_change", args=[run.pk]))
            for run in runs
            if run.status in {RunStatus.ASKED, RunStatus.RUNNING} and run.started_at > now - LONGEST_RUN
        ]
    if may_view(request, ReconciliationRun):
        compared = list(
            ReconciliationRun.objects.select_related("office").defer("balances").order_by("-started_at")[:LATEST_RUNS]
        )
        more = list_of("billing_reconciliationrun")
        shown["related_tables"].append(
            related("Latest comparisons with Stripe", COMPARISON_COLUMNS, compared, more=more)
        )
        shown["under_way"] += [
            UnderWay(
                f"Comparison of {run.cycle_key or 'all months'}",
                of_comparison(run),
                reverse("admin:billing_reconciliationrun_change", args=[run.pk]),
            )
            for run in compared
            if run.finished_at is None and run.started_at > now - RESUMED_WITHIN
        ]


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


def _statuses(every: Count) -> RelatedTable:
    """Count the invoices by status: what is paid is nearly all of them, and of very many only estimated."""
    known = not_paid_by_status()
    paid = Count(max(every.number - sum(known.values()), 0), every.exact)
    numbers = {status: str(paid) if status == InvoiceStatus.PAID else f"{known[status]:,}" for status in InvoiceStatus}
    rows = [[_of_status(status), number] for status, number in numbers.items()]
    return RelatedTable("Invoices, by status", ["status", "invoices"], rows)


def _of_status(status: InvoiceStatus) -> str:
    address = list_of("billing_invoice", status__exact=status.value)
    return format_html('<a href="{}" class="text-link">{}</a>', address, status.label.capitalize())


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
