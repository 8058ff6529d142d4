"""Make the office's one Stripe customer, or find the one a lost try has made."""

from django.db import transaction

from billing import documents, expectations
from billing.customers import (
    CustomerTaken,
    customer_document,
    look_from,
    opaque_document,
    queue_profile,
    remember_customer,
)
from billing.delivery_steps import Clock, StripeObjectUnexpected, Write, perform
from billing.models import OutboxMessage, OutboxStep
from billing.stripe_connection import call_stripe
from billing.stripe_gateway.inbound import InboundCustomer
from billing.stripe_gateway.outbound import CreateCustomer, ListCustomers, RetrieveCustomer, UpdateCustomer
from billing.stripe_gateway.outbound_values import ApprovedProfile, OwnId, StripeId, UnixTime
from offices.locking import lock_office
from offices.models import OfficeStripeAccount


class Superseded(Exception):
    """A newer document says what this one would have said; it must not be sent any more."""


def deliver_customer(message: OutboxMessage, clock: Clock, *, actor: str) -> None:
    """Create the customer once and remember it, encrypted. Raises what `perform` raises."""
    document = documents.read_customer(message.payload, expected_digest=message.payload_digest)
    if document not in (opaque_document(message.office), customer_document(message.office)):
        _overtaken(message, clock, actor=actor)
        return
    write = Write(
        position=0,
        request=CreateCustomer(OwnId(document.office_id), ApprovedProfile(document.name, document.email)),
        expectation=expectations.create_customer(message.office, name=document.name),
        look=lambda step: _look(message, step),
        id_of=_id_of_live_customer,
    )
    customer_id = perform(message, write, clock).object_id
    _remember(message, customer_id, clock, actor=actor)


def _overtaken(message: OutboxMessage, clock: Clock, *, actor: str) -> None:
    """The mailbox or the profile changed since: take the customer a lost try has made, else let a new message ask."""
    step = OutboxStep.objects.filter(message=message, first_sent_at__isnull=False).first()
    found = (step.object_id or _look(message, step)) if step else None
    if not found:
        raise Superseded("what Stripe may know of the office changed before it was sent")
    _remember(message, found, clock, actor=actor)
    with transaction.atomic():
        queue_profile(lock_office(message.office_id), now=clock())


def deliver_profile(message: OutboxMessage, clock: Clock) -> None:
    """Tell Stripe the approved profile; one that was replaced meanwhile is not sent any more (Superseded)."""
    document = documents.read_customer(message.payload, expected_digest=message.payload_digest)
    if document != customer_document(message.office):
        raise Superseded("another profile was approved since")
    customer_id = OfficeStripeAccount.objects.get(office=message.office).customer_id
    profile = ApprovedProfile(document.name, document.email)
    write = Write(
        position=0,
        request=UpdateCustomer(StripeId(customer_id), profile),
        expectation=expectations.update_customer(message.office, customer_id),
        look=lambda _step: customer_id if _has_profile(message, customer_id, profile) else None,
        id_of=_id_of_live_customer,
    )
    perform(message, write, clock)


def _has_profile(message: OutboxMessage, customer_id: str, profile: ApprovedProfile) -> bool:
    seen = call_stripe(
        RetrieveCustomer(StripeId(customer_id)),
        expectation=expectations.retrieve_customer(customer_id),
        message=message,
    )
    return seen.has_profile(profile)


def _look(message: OutboxMessage, step: OutboxStep) -> str | None:
    """List the customers made since our first try and return the one that carries our office's id."""
    since, after = look_from(step.first_sent_at or message.created_at), None
    while True:
        request = ListCustomers(UnixTime(since), StripeId(after) if after else None)
        page = call_stripe(request, expectation=expectations.list_customers(since, after), message=message)
        for customer in page.items:
            if customer.own_office_id == message.office_id and not customer.deleted:
                return str(customer.id)
        if page.next_after is None:
            return None
        after = str(page.next_after)


def _id_of_live_customer(reply: InboundCustomer) -> StripeId:
    if reply.deleted:
        raise StripeObjectUnexpected("the customer was deleted at Stripe")
    return reply.id


def _remember(message: OutboxMessage, customer_id: str, clock: Clock, *, actor: str) -> None:
    now = clock()
    try:
        with transaction.atomic():
            office = lock_office(message.office_id)
            remember_customer(office, customer_id, action="office.customer_created", actor=actor, now=now)
    except CustomerTaken as taken:
        raise StripeObjectUnexpected(str(taken)) from None
