"""The way of a month to its lock: run, review, reconcile, sign, lock; and what stands in the way of each step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from audit.read_only import list_of
from billing.admin.desk import desk_of
from billing.admin.due import NOW
from billing.models import OPEN_CORRECTIONS, MonthClose
from billing.month_close import Check, CheckCode

# Of each check: what is in order when it passes, what stands in the way when not, and the list behind the count.
# "MONTH" in a filter is replaced by the month.
WORDS: Mapping[CheckCode, tuple[str, str, str, Mapping[str, str]]] = {
    CheckCode.NO_CYCLES: (
        "Cycles exist",
        "No office has a cycle in this month",
        "billing_billingcycle",
        {"cycle": "MONTH"},
    ),
    CheckCode.CYCLES_NOT_CLOSED: (
        "Every cycle is closed",
        "Cycles still open",
        "billing_billingcycle",
        {"cycle": "MONTH", "closed_at__isempty": "1"},
    ),
    CheckCode.OFFICES_DUE: (
        "No billing run is due",
        "Offices that a billing run has to work through first",
        "offices_office",
        {"due": NOW},
    ),
    CheckCode.INVOICES_NOT_SENT: (
        "Every invoice was sent",
        "Invoices not sent yet",
        "billing_invoice",
        {"cycle": "MONTH", "status__exact": "draft"},
    ),
    CheckCode.OFFICES_PARKED: (
        "No office is parked",
        "Parked offices",
        "billing_parkedoffice",
        {"unparked_at__isempty": "1"},
    ),
    CheckCode.NOT_RECONCILED: (
        "Compared with Stripe since the last close",
        "No whole comparison with Stripe since the last close",
        "billing_reconciliationrun",
        {},
    ),
    CheckCode.DISCREPANCIES_OPEN: (
        "No difference to Stripe is open",
        "Open differences to Stripe",
        "billing_discrepancy",
        {"cycle": "MONTH", "status__exact": "open"},
    ),
    CheckCode.CORRECTIONS_OPEN: (
        "No correction is open",
        "Corrections that wait or are under way",
        "billing_correction",
        {"cycle": "MONTH", "status__in": ",".join(OPEN_CORRECTIONS)},
    ),
}


# The way of a month, in this order, and what has to be in order before the next step.
STEPS: Mapping[str, tuple[CheckCode, ...]] = {
    "Run": (CheckCode.NO_CYCLES, CheckCode.CYCLES_NOT_CLOSED, CheckCode.OFFICES_DUE),
    "Review": (CheckCode.INVOICES_NOT_SENT, CheckCode.OFFICES_PARKED, CheckCode.CORRECTIONS_OPEN),
    "Reconcile": (CheckCode.NOT_RECONCILED, CheckCode.DISCREPANCIES_OPEN),
}


@dataclass(frozen=True, slots=True)
class CheckShown:
    """A check as the page shows it."""

    words: str
    count: int
    blocks: bool
    address: str


@dataclass(frozen=True, slots=True)
class StepShown:
    """A step of the way: whether it is behind us, what has to be in order for it, and where it is done."""

    title: str
    done: bool
    checks: Sequence[CheckShown]
    words: str = ""
    links: Sequence[tuple[str, str]] = ()


def steps_of(request: HttpRequest, key: str, found: Sequence[Check]) -> Iterator[StepShown]:
    """Yield the steps before the signatures, with what still stands in the way of each."""
    by_code = {check.code: check for check in found}
    for number, (title, codes) in enumerate(STEPS.items(), start=1):
        checks_of_step = [by_code[code] for code in codes]
        yield StepShown(
            f"{number}. {title}",
            not any(check.blocks for check in checks_of_step),
            [_check(request, key, check) for check in checks_of_step],
            links=[(words, address) for may, words, address in _doing(title, key) if request.user.has_perm(may)],
        )


def _doing(title: str, key: str) -> Iterator[tuple[str, str, str]]:
    """Yield where a step is done: the permission, the words, the address."""
    if title == "Run":
        yield "billing.view_billingrun", "Billing runs", reverse("admin:billing_billingrun_changelist")
        yield "billing.start_run", "Start a run", reverse("admin:billing_billingrun_start")
    if title == "Review":
        yield "billing.view_invoice", f"Invoices of {key}", list_of("billing_invoice", cycle=key)
    if title == "Reconcile":
        month = urlencode({"month": key})
        compare = f"{reverse('admin:billing_reconciliationrun_compare')}?{month}"
        yield "billing.compare_books", f"Compare {key} with Stripe", compare
        yield "billing.view_reconciliationrun", f"Desk of {key}", desk_of(key)
        balance = f"{reverse('admin:billing_discrepancy_balance')}?{month}"
        yield "billing.view_discrepancy", f"Balance of {key}", balance


def signatures(close: MonthClose | None, signed: str) -> Iterator[StepShown]:
    """Yield the last two steps: the first signature, which holds while what was billed stays the same, and the lock."""
    locked = close is not None and close.locked_at is not None
    holds = close is not None and (locked or close.signed == signed)
    first = f"{close.first_signed_by}, {close.first_signed_at:%Y-%m-%d %H:%M} UTC" if close and holds else "not yet"
    second = f"{close.second_signed_by}, {close.locked_at:%Y-%m-%d %H:%M} UTC" if close and locked else "not yet"
    yield StepShown("4. Sign", holds, (), f"First signature: {first}")
    yield StepShown("5. Lock", locked, (), f"Second signature, by another person: {second}")


def _check(request: HttpRequest, key: str, check: Check) -> CheckShown:
    passed, blocked, behind, filters = WORDS[check.code]
    app, _, model = behind.partition("_")
    seen = request.user.has_perm(f"{app}.view_{model}")
    address = list_of(behind, **{name: value.replace("MONTH", key) for name, value in filters.items()}) if seen else ""
    return CheckShown(blocked if check.blocks else passed, check.count, check.blocks, address)
