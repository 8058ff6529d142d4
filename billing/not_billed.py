"""Why does an invoice not charge for this patient account? One answer for every account, judged as the lines are made.

`judge` is pure and follows the rules of `line_items` one by one; `why_not_billed` reads what it needs. An answer that
is no rule is MISSING: an error of ours, which reconciliation finds too (`billed_usage`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from billing.models import (
    BillingCycle,
    Correction,
    CorrectionKind,
    CorrectionStatus,
    Invoice,
    InvoiceOrigin,
    InvoiceStatus,
    InvoiceType,
    ItemType,
    LineItem,
)
from offices.models import OfficeStatus, OfficeStatusChange
from offices.timeline import Timeline
from patients.models import ActivityPeriod, Patient


class Why(StrEnum):
    """Every reason there is; the first that holds, from top to bottom."""

    BILLED_HERE = "billed_here"
    FREE_IN_TRIAL = "free_in_trial"
    BILLED_ELSEWHERE = "billed_elsewhere"
    NOT_MONTHLY = "not_monthly"
    UNKNOWN_ACCOUNT = "unknown_account"
    OTHER_OFFICE = "other_office"
    NEVER_ACTIVE = "never_active"
    NOT_ACTIVE_THEN = "not_active_then"
    OFFICE_NOT_LIVE = "office_not_live"
    LEFT_OUT = "left_out"
    CYCLE_WAIVED = "cycle_waived"
    ADJUSTMENT_CANCELED = "adjustment_canceled"
    NEXT_CLOSE = "next_close"
    MISSING = "missing"
    BACKFILL_DRAFT = "backfill_draft"
    BEFORE_THE_CLOSE = "before_the_close"


WORDS: dict[Why, str] = {
    Why.BILLED_HERE: "It is charged on this invoice.",
    Why.FREE_IN_TRIAL: "It is on this invoice at nothing: the office was in its trial when the month began.",
    Why.BILLED_ELSEWHERE: "It is charged for this month on another invoice, and never twice.",
    Why.NOT_MONTHLY: "This invoice is for a single charge and charges for no account.",
    Why.UNKNOWN_ACCOUNT: "There is no patient account with this reference.",
    Why.OTHER_OFFICE: "The account belongs to another office.",
    Why.NEVER_ACTIVE: "The account was never active.",
    Why.NOT_ACTIVE_THEN: "The account was active, but at no moment of this month.",
    Why.OFFICE_NOT_LIVE: "The account was active only while the office was canceled or inactive, which is not charged.",
    Why.LEFT_OUT: "A correction replaced the month's invoice and left this account out on purpose.",
    Why.CYCLE_WAIVED: "The month's invoice was canceled without a replacement: nothing charges for the month again.",
    Why.ADJUSTMENT_CANCELED: "Its late charge for this month stood on an invoice that was canceled, and is let off.",
    Why.NEXT_CLOSE: "Its activity became known after the month had closed: the next monthly invoice that closes "
    "charges it as an adjustment.",
    Why.MISSING: "It was active, known when the month closed, and is not charged: this is an error. The next "
    "comparison with Stripe lists it; tell whoever looks after the program.",
    Why.BACKFILL_DRAFT: "This draft was reconstructed by a backfill, which adds its lines when it is closed.",
    Why.BEFORE_THE_CLOSE: "The month is still open: the run adds it before the invoice closes.",
}


@dataclass(frozen=True, slots=True)
class Period:
    """When the account was active, half-open; `number` grows in the order in which periods became known."""

    number: int
    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Month:
    """What the judgement needs of the invoice's cycle; `last_known` is the last period that its close has seen."""

    start_at: datetime
    end_at: datetime
    closed: bool
    last_known: int
    has_live_invoice: bool
    backfilled: bool = False
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """The live line for this account and month."""

    invoice_id: UUID


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of the account at the invoice's office; `exists` and `here` tell strangers apart."""

    exists: bool
    here: bool = True
    periods: Sequence[Period] = ()
    charge: Charge | None = None
    left_out_by: UUID | None = None
    adjustment_canceled: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and what shows it: the other invoice, the correction, the activity before and after the month."""

    why: Why
    invoice_id: UUID | None = None
    correction_id: UUID | None = None
    periods: tuple[Period, ...] = ()

    @property
    def words(self) -> str:
        """The answer as a sentence."""
        return WORDS[self.why]


def judge(invoice_id: UUID, month: Month | None, account: Account, office: Timeline) -> Verdict:
    """Return why the invoice does not charge for the account in its month, or that it does."""
    if month is None:
        return Verdict(Why.NOT_MONTHLY)
    if account.charge is not None:
        return _charged(invoice_id, account.charge, month)
    if not account.periods:
        return Verdict(_without_activity(account))
    then = tuple(each for each in account.periods if _touches(each, month))
    live = tuple(each for each in then if _is_live(each, month, office))
    if not live:
        return Verdict(Why.OFFICE_NOT_LIVE, periods=then) if then else _other_times(account, month)
    return _let_off(month, account, live) or _waiting(month, live)


def _without_activity(account: Account) -> Why:
    if not account.exists:
        return Why.UNKNOWN_ACCOUNT
    return Why.NEVER_ACTIVE if account.here else Why.OTHER_OFFICE


def _charged(invoice_id: UUID, charge: Charge, month: Month) -> Verdict:
    if charge.invoice_id != invoice_id:
        return Verdict(Why.BILLED_ELSEWHERE, charge.invoice_id)
    return Verdict(Why.FREE_IN_TRIAL if month.trial else Why.BILLED_HERE, invoice_id)


def _let_off(month: Month, account: Account, live: tuple[Period, ...]) -> Verdict | None:
    """Return what a person decided about an account that would be charged."""
    if account.left_out_by is not None:
        return Verdict(Why.LEFT_OUT, correction_id=account.left_out_by, periods=live)
    if not month.has_live_invoice:
        return Verdict(Why.CYCLE_WAIVED, periods=live)
    if account.adjustment_canceled and month.closed:
        return Verdict(Why.ADJUSTMENT_CANCELED, periods=live)
    return None


def _waiting(month: Month, live: tuple[Period, ...]) -> Verdict:
    """Return what will charge it, if anything will."""
    if not month.closed:
        return Verdict(Why.BACKFILL_DRAFT if month.backfilled else Why.BEFORE_THE_CLOSE, periods=live)
    is_late = any(each.number > month.last_known for each in live)
    return Verdict(Why.NEXT_CLOSE if is_late else Why.MISSING, periods=live)


def _touches(period: Period, month: Month) -> bool:
    return period.since < month.end_at and (period.until is None or period.until > month.start_at)


def _is_live(period: Period, month: Month, office: Timeline) -> bool:
    start, end = max(period.since, month.start_at), min(period.until or month.end_at, month.end_at)
    return office.first_live_in(start, end) is not None


def _other_times(account: Account, month: Month) -> Verdict:
    """Show the last period before the month and the first one after it."""
    before = [each for each in account.periods if each.since < month.start_at]
    after = [each for each in account.periods if each.since >= month.end_at]
    return Verdict(Why.NOT_ACTIVE_THEN, periods=tuple(before[-1:] + after[:1]))


def why_not_billed(invoice: Invoice, reference: UUID) -> Verdict:
    """Return why the invoice does not charge for the account, in at most eight queries; nothing is locked."""
    cycle = invoice.cycle if invoice.invoice_type == InvoiceType.MONTHLY else None
    changes = OfficeStatusChange.objects.filter(office=invoice.office_id).order_by("effective_at")
    office = Timeline(statuses=[(change.effective_at, OfficeStatus(change.status)) for change in changes])
    return judge(invoice.pk, _month(cycle) if cycle else None, _account(invoice, cycle, reference), office)


def _month(cycle: BillingCycle) -> Month:
    monthly = Invoice.objects.filter(cycle=cycle, invoice_type=InvoiceType.MONTHLY)
    invoices = list(monthly.values_list("status", "origin"))
    return Month(
        start_at=cycle.start_at,
        end_at=cycle.end_at,
        closed=cycle.closed_at is not None,
        last_known=cycle.last_period_id or 0,
        has_live_invoice=any(status != InvoiceStatus.CANCELED for status, _origin in invoices),
        backfilled=any(origin == InvoiceOrigin.BACKFILL for _status, origin in invoices),
        trial=cycle.status == OfficeStatus.TRIALING,
    )


def _account(invoice: Invoice, cycle: BillingCycle | None, reference: UUID) -> Account:
    """Read the account. Charges are found by reference and month, which is an index, whatever the invoice's length."""
    office_id = Patient.objects.filter(pk=reference).values_list("office", flat=True).first()
    if office_id != invoice.office_id or cycle is None:
        return Account(exists=office_id is not None, here=office_id == invoice.office_id)
    charged = LineItem.objects.filter(patient_reference=reference, cycle_key=cycle.key)
    live = charged.filter(live=True).values_list("invoice", flat=True).first()
    dropping = Correction.objects.filter(
        invoice__cycle=cycle,
        kind=CorrectionKind.REPLACE,
        status=CorrectionStatus.DONE,
        dropped_lines__line_item__patient_reference=reference,
        dropped_lines__line_item__cycle_key=cycle.key,
    )
    periods = ActivityPeriod.objects.filter(patient=reference).order_by("activated_at")
    return Account(
        exists=True,
        periods=[Period(*row) for row in periods.values_list("pk", "activated_at", "deactivated_at")],
        charge=Charge(live) if live else None,
        left_out_by=dropping.values_list("pk", flat=True).first(),
        adjustment_canceled=charged.filter(live=False, item_type=ItemType.ADJUSTMENT).exists(),
    )
