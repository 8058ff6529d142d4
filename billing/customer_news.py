"""An office's customer changed at Stripe: compare it with what we told, and say what differs. Nothing is adopted."""

from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing import expectations
from billing.customers import customer_document
from billing.discrepancies import Evidence, end_discrepancies, open_discrepancy
from billing.models import (
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
    MessageKind,
    MessageStatus,
    OutboxMessage,
    RepairKind,
)
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.inbound import InboundCustomer
from billing.stripe_gateway.outbound import RetrieveCustomer
from billing.stripe_gateway.outbound_values import ApprovedProfile, StripeId
from offices.locking import lock_office
from offices.models import Office, OfficeStripeAccount

_KINDS = (
    DiscrepancyKind.CUSTOMER_DELETED,
    DiscrepancyKind.CUSTOMER_BALANCE,
    DiscrepancyKind.PROFILE_CHANGED,
    DiscrepancyKind.METADATA_CHANGED,
)
# What is on its way to Stripe, or stopped on it, explains a profile that Stripe does not show yet.
_UNDER_WAY = (MessageStatus.PENDING, MessageStatus.LEASED, MessageStatus.PARKED)

Difference = tuple[DiscrepancyKind, RepairKind, int, Evidence, Evidence]


def look_at_customer(office_id: UUID, *, actor: str, clock: Callable[[], datetime]) -> int:
    """Fetch the customer of the office and keep what differs as discrepancies; return how many are open.

    Raises what `call_stripe` raises, and the office lock's OfficeBusy.
    """
    customer_id = OfficeStripeAccount.objects.get(office=office_id).customer_id
    expectation = expectations.retrieve_customer(customer_id)
    seen = call_stripe(RetrieveCustomer(StripeId(customer_id)), expectation=expectation)
    now = clock()
    with transaction.atomic():
        office = lock_office(office_id)
        found = list(_differences(office, seen))
        for kind, repair, cents, ours, theirs in found:
            open_discrepancy(
                kind=kind, repair=repair, amount_cents=cents, ours=ours, theirs=theirs, subject=_subject(office),
                office=office, invoice=None, cycle_key="", run=None, now=now,
            )  # fmt: skip
        gone = Discrepancy.objects.filter(subject=_subject(office), kind__in=_KINDS)
        gone = gone.exclude(kind__in=[each[0] for each in found])
        end_discrepancies(gone, status=DiscrepancyStatus.GONE, actor=actor, now=now)
    return len(found)


def _subject(office: Office) -> str:
    return f"office:{office.pk}"


def _differences(office: Office, seen: InboundCustomer) -> Iterator[Difference]:
    if seen.deleted:
        deleted = ({"exists": True}, {"exists": False})
        yield DiscrepancyKind.CUSTOMER_DELETED, RepairKind.NEW_CUSTOMER, 0, *deleted
        return
    if seen.balance_cents:
        # Credits go out as refunds or out of band; a balance would change the next invoice (decisions.md 21).
        balances = ({"balance_cents": 0}, {"balance_cents": seen.balance_cents})
        yield DiscrepancyKind.CUSTOMER_BALANCE, RepairKind.LOOK, abs(seen.balance_cents), *balances
    if seen.own_office_id != office.pk:
        owners = ({"office": str(office.pk)}, {"office": str(seen.own_office_id or "")})
        yield DiscrepancyKind.METADATA_CHANGED, RepairKind.LOOK, 0, *owners
    document = customer_document(office)
    told = ApprovedProfile(document.name, document.email)
    waits = OutboxMessage.objects.filter(office=office, kind=MessageKind.PROFILE, status__in=_UNDER_WAY)
    if not seen.has_profile(told) and not waits.exists():
        profiles = ({"as_approved": True}, {"as_approved": False})
        yield DiscrepancyKind.PROFILE_CHANGED, RepairKind.UPDATE_PROFILE, 0, *profiles
