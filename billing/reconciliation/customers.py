"""Our customers at Stripe: listed once per run, all of them, for one may be older than any invoice.

The list never shows a deleted customer, so one of ours that it does not hold is asked for by its id.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from billing import expectations
from billing.customers import ALL_CUSTOMERS_SINCE, CUSTOMER_CONTEXT, customer_document
from billing.documents import CustomerDocument, read_customer
from billing.models import (
    DiscrepancyKind,
    MessageKind,
    MessageStatus,
    OutboxMessage,
    ReconciliationPhase,
    ReconciliationRun,
    RepairKind,
    StripeCustomerCopy,
)
from billing.reconciliation.checkpoint import advance
from billing.reconciliation.copies import index_of
from billing.reconciliation.finding import Finding
from billing.reconciliation.listing import keep_rows
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.inbound import InboundCustomer
from billing.stripe_gateway.outbound import ListCustomers, RetrieveCustomer
from billing.stripe_gateway.outbound_values import ApprovedProfile, StripeId, UnixTime
from billing.stripe_gateway.replies import StripeRefused
from offices.encryption import blind_indexes
from offices.models import Office, OfficeStripeAccount

Clock = Callable[[], datetime]
Kind = DiscrepancyKind

_PROFILE_KINDS = (MessageKind.CUSTOMER, MessageKind.PROFILE)
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class _Known:
    """The office of a customer, and what we last told Stripe about it (None: nothing, or something is on its way)."""

    office_id: UUID
    told: CustomerDocument | None


def list_customers(run: ReconciliationRun, *, following: ReconciliationPhase, clock: Clock) -> None:
    """Keep what Stripe shows of all customers. Customer ids are no checkpoint: a killed run lists them again.

    Raises what `call_stripe` raises, and RunOvertaken.
    """
    after: StripeId | None = None
    while True:
        expectation = expectations.list_customers(ALL_CUSTOMERS_SINCE, str(after) if after else None)
        page = call_stripe(ListCustomers(UnixTime(ALL_CUSTOMERS_SINCE), after), expectation=expectation)
        with transaction.atomic():
            keep_rows(_copies(page.items, run, clock()))
        after = page.next_after
        if after is None:
            break
    for account in _not_listed(run):
        keep_rows([_asked_for(account, run, clock())])
    with transaction.atomic():
        advance(run, phase=following, cursor="", now=clock())


def _copies(customers: Sequence[InboundCustomer], run: ReconciliationRun, now: datetime) -> list[StripeCustomerCopy]:
    known = _known([str(customer.id) for customer in customers])
    return [_copy(customer, known.get(str(customer.id)), run, now) for customer in customers]


def _copy(customer: InboundCustomer, known: _Known | None, run: ReconciliationRun, now: datetime) -> StripeCustomerCopy:
    told = known.told if known else None
    is_ours = None if told is None else customer.has_profile(ApprovedProfile(told.name, told.email))
    return StripeCustomerCopy(
        customer_index=index_of(customer.id),
        run=run,
        office_id=known.office_id if known else None,
        own_office_id=customer.own_office_id,
        balance_cents=customer.balance_cents,
        deleted=customer.deleted,
        profile_is_ours=None if customer.deleted else is_ours,
        seen_at=now,
    )


def _known(customer_ids: Sequence[str]) -> dict[str, _Known]:
    """Return the offices of these customers; an index may still be one of an older key (decisions.md 31)."""
    id_of = {
        index.digest: customer_id
        for customer_id in customer_ids
        for index in blind_indexes(customer_id, context=CUSTOMER_CONTEXT)
    }
    accounts = OfficeStripeAccount.objects.filter(customer_index__among=list(id_of))
    rows = dict(accounts.values_list("customer_index", "office"))
    told = _told(list(rows.values()))
    return {id_of[index]: _Known(office_id, told.get(office_id)) for index, office_id in rows.items()}


def _told(office_ids: Sequence[UUID]) -> dict[UUID, CustomerDocument | None]:
    """Return the profile that was last sent, by office; the standing one for a customer that we have not made."""
    messages = OutboxMessage.objects.filter(office__among=list(office_ids), kind__in=_PROFILE_KINDS)
    found: dict[UUID, CustomerDocument | None] = {
        office.pk: customer_document(office)
        for office in Office.objects.filter(~Exists(messages.filter(office=OuterRef("pk"))), pk__among=list(office_ids))
    }
    sent = messages.filter(status=MessageStatus.DONE).order_by("done_at")
    found |= {each.office_id: read_customer(each.payload, expected_digest=each.payload_digest) for each in sent}
    under_way = messages.filter(status__in=[MessageStatus.PENDING, MessageStatus.LEASED])
    return found | dict.fromkeys(under_way.values_list("office", flat=True), None)


def _not_listed(run: ReconciliationRun) -> Iterator[OfficeStripeAccount]:
    listed = StripeCustomerCopy.objects.filter(run=run, office=OuterRef("office"))
    accounts = OfficeStripeAccount.objects.filter(~Exists(listed), created_at__lte=run.started_at)
    if run.office_id is not None:
        accounts = accounts.filter(office=run.office_id)
    return accounts.iterator(chunk_size=_AT_ONCE)


def _asked_for(account: OfficeStripeAccount, run: ReconciliationRun, now: datetime) -> StripeCustomerCopy:
    customer_id = str(account.customer_id)
    try:
        customer = call_stripe(
            RetrieveCustomer(StripeId(customer_id)), expectation=expectations.retrieve_customer(customer_id)
        )
    except StripeRefused:
        # Stripe knows nothing of it at all.
        index = index_of(StripeId(customer_id))
        return StripeCustomerCopy(
            customer_index=index, run=run, office_id=account.office_id, balance_cents=0, deleted=True, seen_at=now
        )
    return _copies([customer], run, now)[0]


def customer_findings(run: ReconciliationRun) -> Iterator[Finding]:
    """Yield what differs about customers, from what this run has listed."""
    copies = StripeCustomerCopy.objects.filter(run=run)
    if run.office_id is not None:
        copies = copies.filter(office=run.office_id) | copies.filter(own_office_id=run.office_id)
    ours = copies.filter(office__isnull=False)
    for copy in ours.filter(deleted=True).iterator():
        yield _finding(copy, Kind.CUSTOMER_DELETED, RepairKind.NEW_CUSTOMER, {"deleted": True})
    present = ours.filter(deleted=False)
    for copy in present.filter(profile_is_ours=False).iterator():
        yield _finding(copy, Kind.PROFILE_CHANGED, RepairKind.UPDATE_PROFILE, {"profile_is_ours": False})
    for copy in present.exclude(balance_cents=0).iterator():
        yield _finding(copy, Kind.CUSTOMER_BALANCE, RepairKind.LOOK, {"balance_cents": copy.balance_cents})
    for copy in present.filter(Q(own_office_id__isnull=True) | ~Q(own_office_id=F("office"))).iterator():
        yield _finding(copy, Kind.METADATA_CHANGED, RepairKind.LOOK, {"office": str(copy.own_office_id or "")})
    yield from _duplicates(copies.filter(office__isnull=True, deleted=False, own_office_id__isnull=False))


def _duplicates(strangers: QuerySet[StripeCustomerCopy]) -> Iterator[Finding]:
    """A second customer with the id of an office that has one already; the first one may just be on its way."""
    account = OfficeStripeAccount.objects.filter(office=OuterRef("own_office_id"))
    for copy in strangers.filter(Exists(account)).iterator():
        yield Finding(
            Kind.CUSTOMER_DUPLICATE,
            f"office:{copy.own_office_id}",
            RepairKind.LOOK,
            ours={"customers": 1},
            theirs={"customers": 2},
            office_id=copy.own_office_id,
        )


def _finding(
    copy: StripeCustomerCopy, kind: Kind, repair: RepairKind, theirs: dict[str, "str | int | bool"]
) -> Finding:
    return Finding(
        kind,
        f"office:{copy.office_id}",
        repair,
        amount_cents=abs(copy.balance_cents),
        ours={"office": str(copy.office_id)},
        theirs=theirs,
        office_id=copy.office_id,
    )
