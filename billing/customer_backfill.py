"""Give each office its one customer at Stripe: adopt the one that is there, queue one where there is none.

All customers at Stripe are read once; one is an office's when its metadata names the office. Nothing is adopted in
doubt: two live customers of one office, or one that was deleted, are told and left to a person. New ones are made by
the outbox, like every write to Stripe.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from django.db import transaction

from billing import expectations
from billing.customers import (
    ALL_CUSTOMERS_SINCE,
    CustomerTaken,
    customer_document,
    queue_customers,
    queue_profile,
    remember_customer,
)
from billing.models import DiscrepancyKind, MessageKind, MessageStatus, OutboxMessage, ParkedOffice
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.inbound import InboundCustomer
from billing.stripe_gateway.outbound import ListCustomers, RetrieveCustomer
from billing.stripe_gateway.outbound_values import ApprovedProfile, StripeId, UnixTime
from billing.stripe_gateway.replies import StripeResourceMissing
from offices.locking import OfficeNotFound, lock_offices
from offices.models import LIVE_STATUSES, Office, OfficeStripeAccount
from offices.timeline import load_timelines

_AT_ONCE = 200  # offices locked together: a transaction of a second at most

Progress = Callable[[int, int], None]
Customers = Mapping[UUID, Sequence[InboundCustomer]]


@dataclass(frozen=True, slots=True)
class CustomerProblem:
    """An office whose customer a person must look at; `code` is a DiscrepancyKind, a ParkingCode or `office_busy`."""

    office: str
    code: str
    message: str


@dataclass(slots=True)
class CustomerBackfillSummary:
    """Counts by name, and what is left to a person."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[CustomerProblem] = field(default_factory=list)


def backfill_customers(
    *,
    actor: str,
    now: datetime,
    office_reference: str | None = None,
    dry_run: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> CustomerBackfillSummary:
    """Adopt or queue the customer of every office, or of one; a second call changes nothing.

    With `dry_run` Stripe is read all the same, and the rest is rolled back. Parked offices are left out. Raises
    OfficeNotFound and what `call_stripe` raises; what was done until then stands, and the next call does the rest.
    """
    if office_reference is not None and not Office.objects.filter(reference=office_reference).exists():
        raise OfficeNotFound("there is no office with this reference")
    offices = Office.objects.filter(parked_at__isnull=True)
    if office_reference is not None:
        offices = offices.filter(reference=office_reference)
    ids = list(offices.order_by("pk").values_list("pk", flat=True))
    work = _CustomerBackfill(*_all_customers(set(ids)), actor=actor, now=now, dry_run=dry_run)
    for start in range(0, len(ids), _AT_ONCE):
        work.do(ids[start : start + _AT_ONCE])
        progress(min(start + _AT_ONCE, len(ids)), len(ids))
    return work.summary


def _all_customers(office_ids: Collection[UUID]) -> tuple[Customers, int]:
    """Return the live customers by the office they name, the oldest first, and how many nobody could read."""
    found: dict[UUID, list[InboundCustomer]] = defaultdict(list)
    after, unreadable = None, 0
    while True:
        request = ListCustomers(UnixTime(ALL_CUSTOMERS_SINCE), StripeId(after) if after else None)
        page = call_stripe(request, expectation=expectations.list_customers(ALL_CUSTOMERS_SINCE, after))
        unreadable += len(page.unreadable)
        for customer in page.items:
            if customer.own_office_id in office_ids and customer.own_office_id is not None and not customer.deleted:
                found[customer.own_office_id].append(customer)
        if page.next_after is None:
            return {office: sorted(each, key=lambda c: c.created or 0) for office, each in found.items()}, unreadable
        after = str(page.next_after)


class _CustomerBackfill:
    """One backfill in progress: what Stripe holds, and what came of it."""

    def __init__(self, customers: Customers, unreadable: int, *, actor: str, now: datetime, dry_run: bool) -> None:
        self.summary = CustomerBackfillSummary()
        self._customers, self._complete = customers, not unreadable
        self._actor, self._now, self._dry_run = actor, now, dry_run
        if unreadable:
            message = f"{unreadable} customers at Stripe cannot be read; none is made before somebody has looked"
            self._problem("", "customer_unreadable", message)

    def do(self, office_ids: Sequence[UUID]) -> None:
        """Look at the known ones first, over the network and without a lock; then adopt and queue the others."""
        accounts = OfficeStripeAccount.objects.filter(office__among=office_ids).select_related("office")
        for account in accounts.order_by("office__reference"):
            self._check(account)
        with transaction.atomic():
            offices = lock_offices(office_ids, skip_locked=True)
            self._settle([office for office in offices if office.parked_at is None])
            if self._dry_run:
                transaction.set_rollback(True)
        held = set(office_ids) - {office.pk for office in offices}
        for reference in Office.objects.filter(pk__among=held).values_list("reference", flat=True):
            self._problem(reference, "office_busy", "held by another transaction; run the backfill again")

    def _check(self, account: OfficeStripeAccount) -> None:
        """Compare the customer we know with those that Stripe holds for the office."""
        living = [str(customer.id) for customer in self._customers.get(account.office_id, ())]
        if len(living) > 1:
            self._duplicate(account.office)
        elif living == [account.customer_id]:
            self.summary.counts["there_already"] += 1
        elif self._is_deleted(account.customer_id):
            message = "the office's customer was deleted at Stripe: nothing can be billed to it; a person decides"
            self._problem(account.office.reference, DiscrepancyKind.CUSTOMER_DELETED, message)
        else:
            message = "the office's customer no longer names it in its metadata at Stripe, or another one does"
            self._problem(account.office.reference, DiscrepancyKind.METADATA_CHANGED, message)

    def _is_deleted(self, customer_id: str) -> bool:
        expectation = expectations.retrieve_customer(customer_id)
        try:
            return call_stripe(RetrieveCustomer(StripeId(customer_id)), expectation=expectation).deleted
        except StripeResourceMissing:
            return True

    def _settle(self, offices: Sequence[Office]) -> None:
        """Adopt where there is exactly one customer, queue where there is none."""
        known = set(OfficeStripeAccount.objects.filter(office__in=offices).values_list("office", flat=True))
        missing = []
        for office in offices:
            living = self._customers.get(office.pk, ())
            if office.pk in known:
                continue
            if len(living) > 1:
                self._duplicate(office)
            elif living:
                self._adopt(office, living[0])
            else:
                missing.append(office)
        if self._complete:
            self._queue(missing)

    def _adopt(self, office: Office, customer: InboundCustomer) -> None:
        waiting = OutboxMessage.objects.filter(office=office, kind=MessageKind.CUSTOMER)
        if waiting.filter(status=MessageStatus.LEASED).exists():
            self.summary.counts["queued_already"] += 1  # its delivery finds the customer by itself
            return
        try:
            remember_customer(
                office, str(customer.id), action="office.customer_adopted", actor=self._actor, now=self._now
            )
        except CustomerTaken:
            message = "the customer that names this office is another office's already"
            self._problem(office.reference, DiscrepancyKind.CUSTOMER, message)
            return
        # A message that waits would make a second one.
        waiting.filter(status__in=[MessageStatus.PENDING, MessageStatus.PARKED]).update(
            status=MessageStatus.DEAD, error_code="superseded"
        )
        document = customer_document(office)
        if not customer.has_profile(ApprovedProfile(document.name, document.email)):
            queue_profile(office, now=self._now)  # Stripe may know what was approved for the office, and no more
            self.summary.counts["profiles_queued"] += 1
        self.summary.counts["adopted"] += 1

    def _queue(self, offices: Sequence[Office]) -> None:
        timelines = load_timelines(office.pk for office in offices)
        live = [office for office in offices if timelines[office.pk].status_at(self._now) in LIVE_STATUSES]
        self.summary.counts["not_live"] += len(offices) - len(live)
        ids = [office.pk for office in live]
        before = self._standing(ids)
        queue_customers(ids, actor=self._actor, now=self._now)
        self.summary.counts["queued_already"] += len(before)
        self.summary.counts["queued"] += len(self._standing(ids) - before)
        parked = ParkedOffice.objects.filter(office__among=ids, unparked_at__isnull=True)
        for reference, code in parked.order_by("office__reference").values_list("office__reference", "code"):
            self.summary.counts["offices_parked"] += 1
            self._problem(reference, code, "parked; look into it, then unpark_office")

    def _standing(self, office_ids: Sequence[UUID]) -> set[UUID]:
        messages = OutboxMessage.objects.filter(office__among=office_ids, kind=MessageKind.CUSTOMER)
        return set(messages.exclude(status=MessageStatus.DEAD).values_list("office", flat=True))

    def _duplicate(self, office: Office) -> None:
        living = self._customers[office.pk]
        made = f"{datetime.fromtimestamp(living[0].created or 0, UTC):%Y-%m-%d %H:%M:%SZ}"
        message = f"{len(living)} live customers at Stripe name this office; keep one, as a rule the oldest, of {made}"
        self._problem(office.reference, DiscrepancyKind.CUSTOMER_DUPLICATE, message)

    def _problem(self, office: str, code: str, message: str) -> None:
        self.summary.problems.append(CustomerProblem(office, str(code), message))
