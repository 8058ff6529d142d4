"""The office as a Stripe customer: opaque by default, reached through the vendor's own mailbox (privacy.md)."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.conf import settings

from billing.documents import CustomerDocument
from billing.models import MessageKind, OutboxMessage, ParkingCode
from billing.outbox import new_message
from billing.parking import park_office
from offices.models import CollectionMethod, Office


def queue_customers(office_ids: Collection[UUID], *, actor: str, now: datetime) -> None:
    """Queue the customer of each office that has none at Stripe and none waiting.

    `send_invoice` needs an e-mail at Stripe: an office without one is parked, no address is invented
    (decisions.md 18).
    """
    missing = Office.objects.filter(pk__in=office_ids, stripe_account__isnull=True).exclude(
        outbox_messages__kind=MessageKind.CUSTOMER
    )
    reachable = []
    for office in missing:
        if customer_document(office).email is None and office.collection_method == CollectionMethod.SEND_INVOICE:
            park_office(office_id=office.pk, code=ParkingCode.PROFILE_EMAIL_MISSING, actor=actor, now=now)
        else:
            reachable.append(office)
    OutboxMessage.objects.bulk_create(
        [new_message(MessageKind.CUSTOMER, office, customer_document(office), now=now) for office in reachable],
        batch_size=500,
        # Two closes of one office at once cannot happen (the office lock); a second message would break a constraint.
        ignore_conflicts=True,
    )


def customer_document(office: Office) -> CustomerDocument:
    """Return the office as Stripe may know it: the approved profile, and until there is one, nothing that tells."""
    return CustomerDocument(
        office=str(office.pk), name=office.opaque_name, email=settings.BILLING_FALLBACK_EMAIL or None
    )
