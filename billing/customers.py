"""The office as a Stripe customer: opaque by default, reached through the vendor's own mailbox (privacy.md)."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef

from audit.chain import Fact, record
from billing.documents import CustomerDocument
from billing.models import MessageKind, MessageStatus, OfficeProfile, OutboxMessage, ParkingCode
from billing.outbox import new_message
from billing.parking import park_office
from billing.wake_up import Bell, ring_after_commit
from offices.audit_stream import office_stream
from offices.encryption import blind_index, blind_indexes
from offices.models import BEGINNING, CollectionMethod, Office, OfficeStripeAccount

# The blind index of customer ids (privacy.md, "Identity": Stripe customer id -> office).
CUSTOMER_CONTEXT = "offices.officestripeaccount.customer_id"
# A backfill looks for customers of any age: from the beginning of our records on, always the same second.
ALL_CUSTOMERS_SINCE = int(BEGINNING.timestamp())
# Our clock and Stripe's may differ; a customer is never older than our first try by more than this.
_CLOCK_DIFFERENCE = timedelta(minutes=10)


def look_from(first_try: datetime) -> int:
    """Return the Unix second from which a lost customer is looked for: a little before our first try."""
    return int((first_try - _CLOCK_DIFFERENCE).timestamp())


def first_tries_looked_from(since: int) -> tuple[datetime, datetime]:
    """Return [from, to): the instants of a first try for which `look_from` gives `since`."""
    start = datetime.fromtimestamp(since, UTC) + _CLOCK_DIFFERENCE
    return start, start + timedelta(seconds=1)


def office_of_customer(customer_id: str) -> UUID | None:
    """Return the office with this customer at Stripe, found under every index key, also amid a rotation."""
    accounts = OfficeStripeAccount.objects.filter(customer_index__in=customer_digests(customer_id))
    return accounts.values_list("office_id", flat=True).first()


def customer_digests(customer_id: str) -> list[str]:
    """Return the customer's blind index under every key: look a customer up with all of them."""
    return [index.digest for index in blind_indexes(customer_id, context=CUSTOMER_CONTEXT)]


def queue_customers(office_ids: Collection[UUID], *, actor: str, now: datetime) -> None:
    """Queue the customer of each office that has none at Stripe and none waiting.

    `send_invoice` needs an e-mail at Stripe: an office without one is parked, no address is invented
    (decisions.md 18).
    """
    standing = OutboxMessage.objects.filter(office=OuterRef("pk"), kind=MessageKind.CUSTOMER)
    missing = Office.objects.filter(
        ~Exists(standing.exclude(status=MessageStatus.DEAD)), pk__among=office_ids, stripe_account__isnull=True
    )
    profiles = {
        profile.office_id: profile for profile in OfficeProfile.objects.filter(office__in=missing, replaced_at=None)
    }
    messages = []
    for office in missing:
        document = _document(office, profiles.get(office.pk))
        if document.email is None and office.collection_method == CollectionMethod.SEND_INVOICE:
            park_office(office_id=office.pk, code=ParkingCode.PROFILE_EMAIL_MISSING, actor=actor, now=now)
        else:
            messages.append(new_message(MessageKind.CUSTOMER, office, document, now=now))
    # Two closes of one office at once cannot happen (the office lock); a second message would break a constraint.
    OutboxMessage.objects.bulk_create(messages, batch_size=500, ignore_conflicts=True)


def customer_document(office: Office) -> CustomerDocument:
    """Return the office as Stripe may know it: the approved profile, and until there is one, nothing that tells."""
    return _document(office, OfficeProfile.objects.filter(office=office, replaced_at=None).first())


def opaque_document(office: Office) -> CustomerDocument:
    """Return the office under the name that says nothing, reached through the vendor's own mailbox."""
    return _document(office, None)


class CustomerTaken(Exception):
    """This customer at Stripe belongs to another office already."""


def remember_customer(office: Office, customer_id: str, *, action: str, actor: str, now: datetime) -> bool:
    """Keep the customer id of the office, encrypted, and audit `action`; return whether it had none before.

    The caller holds the office lock. Raises CustomerTaken; nothing of the transaction may be committed then.
    """
    if OfficeStripeAccount.objects.filter(office=office).exists():
        return False
    index = blind_index(customer_id, context=CUSTOMER_CONTEXT)
    try:
        with transaction.atomic():
            OfficeStripeAccount.objects.create(
                office=office,
                customer_id=customer_id,
                customer_index=index.digest,
                customer_index_key=index.key_id,
                created_at=now,
            )
    except IntegrityError:
        raise CustomerTaken("this customer belongs to another office already") from None
    record(Fact(office_stream(office.reference), action), actor=actor, now=now)
    return True


def queue_profile(office: Office, *, now: datetime) -> None:
    """Queue the standing profile for the office's customer; an older one that still waits is overtaken by it."""
    waiting = OutboxMessage.objects.filter(office=office, kind=MessageKind.PROFILE, status=MessageStatus.PENDING)
    waiting.update(status=MessageStatus.DEAD, error_code="superseded")
    new_message(MessageKind.PROFILE, office, customer_document(office), now=now).save(force_insert=True)
    ring_after_commit(Bell.OUTBOX)


def _document(office: Office, profile: OfficeProfile | None) -> CustomerDocument:
    name, email = (profile.name, profile.email) if profile else (office.opaque_name, "")
    return CustomerDocument(office=str(office.pk), name=name, email=email or settings.BILLING_FALLBACK_EMAIL or None)
