"""Mismatches to plant, at Stripe through its dashboard and here past the use cases; each yields exactly its own kind.

A plant is a function of the scene that returns what it is about; its name begins with the kind that must be found.
"""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import requests
from django.conf import settings

from billing.charges import Charge, charge_office
from billing.models import (
    BillingCycle,
    ChargeReason,
    EventStatus,
    Invoice,
    LineItem,
    MessageStatus,
    OutboxMessage,
    Payment,
    PaymentStatus,
    Refund,
    StripeEvent,
)
from billing.models import DiscrepancyKind as Kind
from offices.models import OfficeStripeAccount
from patients.models import ActivityPeriod
from tests.billing.reconciliation.scene import Scene
from tests.billing.scenes import hear
from tests.builders import ACTOR, make_patient
from tests.tampering import lift_rules

Plant = Callable[[Scene], str]
PLANTS: dict[str, tuple[Kind, Plant]] = {}


def plants(kind: Kind) -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        PLANTS[plant.__name__] = (kind, plant)
        return plant

    return keep


def of(invoice: Invoice) -> str:
    return f"invoice:{invoice.pk}"


def cycle_of(scene: Scene) -> BillingCycle:
    return BillingCycle.objects.get(office=scene.office, closed_at__isnull=False)


def post(scene: Scene, path: str, **form: object) -> dict:
    """Write to Stripe past the product, as another system with the same account would."""
    headers = {"Authorization": f"Bearer {settings.STRIPE_API_KEY}"}
    reply = requests.post(f"{scene.stripe.base_url}{path}", data=form, headers=headers, timeout=10)
    assert reply.ok, reply.text
    return reply.json()


def customer_of(office) -> str:
    return OfficeStripeAccount.objects.get(office=office).customer_id


def charged(scene: Scene) -> Invoice:
    """Charge the office once more; nothing has been delivered yet."""
    charge = Charge(ChargeReason.SUPPORT, 5_000)
    return charge_office(office_id=scene.office.pk, charge=charge, actor=ACTOR, now=scene.clock.at)


def line_of(scene: Scene, invoice: Invoice) -> dict:
    rows = [row for row in scene.stripe.objects("line_item") if row["invoice"] == invoice.stripe_invoice_id]
    return scene.rng.choice(rows)


# --- The document ---
@plants(Kind.MISSING_AT_STRIPE)
def missing_at_stripe(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.forget("invoice", invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.MISSING_AT_STRIPE)
def missing_at_stripe_though_paid(scene: Scene) -> str:
    invoice = scene.paid()
    scene.stripe.dashboard.forget("invoice", invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.MISSING_AT_STRIPE)
def missing_under_the_id_we_know(scene: Scene) -> str:
    invoice = scene.sent()
    Invoice.objects.filter(pk=invoice.pk).update(stripe_invoice_id="in_elsewhere")
    return of(invoice)


@plants(Kind.INVOICE_DELETED)
def deleted_at_stripe(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.forget("invoice", invoice.stripe_invoice_id)
    StripeEvent.objects.create(
        event_id="evt_deleted", event_type="invoice.deleted", object_id=invoice.stripe_invoice_id,
        created=scene.clock.at,
        api_version="", livemode=False, digest="", received_at=scene.clock.at, status=EventStatus.DONE,
        next_attempt_at=scene.clock.at,
    )  # fmt: skip
    return of(invoice)


@plants(Kind.UNKNOWN_TO_US)
def unknown_to_us(scene: Scene) -> str:
    made = post(scene, "/v1/invoices", customer=customer_of(scene.office), currency="usd")
    return f"stripe:{made['id']}"


@plants(Kind.UNKNOWN_TO_US)
def unknown_to_us_with_an_id_like_ours(scene: Scene) -> str:
    form = {"metadata[invoice_id]": str(uuid4()), "metadata[kind]": "one_off"}
    made = post(scene, "/v1/invoices", customer=customer_of(scene.office), currency="usd", **form)
    return f"stripe:{made['id']}"


@plants(Kind.UNKNOWN_TO_US)
def unknown_to_us_in_another_currency(scene: Scene) -> str:
    stranger = post(scene, "/v1/customers", name="Somebody", email="x@example.org")
    return f"stripe:{post(scene, '/v1/invoices', customer=stranger['id'], currency='eur')['id']}"


@plants(Kind.DUPLICATE_AT_STRIPE)
def duplicate_at_stripe(scene: Scene) -> str:
    invoice = scene.sent()
    copied = scene.stripe.get("invoice", invoice.stripe_invoice_id)["metadata"]
    form = {f"metadata[{name}]": value for name, value in copied.items()}
    made = post(scene, "/v1/invoices", customer=customer_of(invoice.office), currency="usd", **form)
    return f"stripe:{made['id']}"


@plants(Kind.TOTAL)
def total_there(scene: Scene) -> str:
    invoice = scene.sent()
    more = invoice.total_cents + scene.rng.randint(1, 10_000)
    amounts = dict.fromkeys(("total", "subtotal", "amount_due", "amount_remaining"), more)
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, **amounts)
    return of(invoice)


@plants(Kind.TOTAL)
def total_here(scene: Scene) -> str:
    invoice = scene.sent()
    lift_rules("billing_invoice")
    Invoice.objects.filter(pk=invoice.pk).update(total_cents=invoice.total_cents + scene.rng.randint(1, 999))
    return of(invoice)


@plants(Kind.CURRENCY)
def currency_there(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, currency="eur")
    return of(invoice)


@plants(Kind.CURRENCY)
def currency_here(scene: Scene) -> str:
    invoice = scene.sent()
    lift_rules("billing_invoice")
    Invoice.objects.filter(pk=invoice.pk).update(currency="EUR")
    return of(invoice)


@plants(Kind.CUSTOMER)
def customer_of_another_office(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, customer=customer_of(scene.another_office()))
    return of(invoice)


@plants(Kind.LINE_QUANTITY)
def line_quantity_there(scene: Scene) -> str:
    invoice = scene.sent()
    line, more = line_of(scene, invoice), scene.rng.randint(2, 9)
    number = int(line["quantity_decimal"]) + more
    price = int(line["pricing"]["unit_amount_decimal"])
    scene.stripe.dashboard.tamper(
        "line_item", line["id"], quantity=number, quantity_decimal=str(number), amount=number * price
    )
    total = invoice.total_cents + more * price
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, total=total, amount_due=total)
    return of(invoice)


@plants(Kind.LINE_PRICE)
def line_price_there(scene: Scene) -> str:
    invoice = scene.sent()
    line = line_of(scene, invoice)
    pricing = {**line["pricing"], "unit_amount_decimal": str(200 + scene.rng.randint(1, 99))}
    scene.stripe.dashboard.tamper("line_item", line["id"], pricing=pricing)
    return of(invoice)


@plants(Kind.LINE_PRICE)
def line_price_in_parts_of_a_cent(scene: Scene) -> str:
    invoice = scene.sent()
    line = line_of(scene, invoice)
    scene.stripe.dashboard.tamper("line_item", line["id"], pricing={**line["pricing"], "unit_amount_decimal": "200.5"})
    return of(invoice)


@plants(Kind.LINE_COUNT)
def line_too_many_there(scene: Scene) -> str:
    invoice = scene.sent()
    lines = scene.stripe.get("invoice", invoice.stripe_invoice_id)["lines"]
    extra = {**lines["data"][0], "id": "il_extra"}
    scene.stripe.dashboard.tamper(
        "invoice", invoice.stripe_invoice_id, lines={**lines, "data": [*lines["data"], extra]}
    )
    return of(invoice)


@plants(Kind.LINE_COUNT)
def line_missing_there(scene: Scene) -> str:
    invoice = scene.sent()
    lines = scene.stripe.get("invoice", invoice.stripe_invoice_id)["lines"]
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, lines={**lines, "data": lines["data"][1:]})
    return of(invoice)


@plants(Kind.LINE_COUNT)
def line_count_of_the_close(scene: Scene) -> str:
    cycle = cycle_of(scene)
    BillingCycle.objects.filter(pk=cycle.pk).update(patient_count=cycle.patient_count + 1)
    return f"cycle:{cycle.pk}"


@plants(Kind.LINE_PRICE)
def line_price_here(scene: Scene) -> str:
    invoice = scene.paid()
    lift_rules("billing_lineitem")
    LineItem.objects.filter(invoice=invoice).update(unit_price_cents=1)
    return of(invoice)


@plants(Kind.LINE_QUANTITY)
def line_quantity_here(scene: Scene) -> str:
    invoice = scene.paid()
    lift_rules("billing_lineitem")
    LineItem.objects.filter(invoice=invoice).update(quantity=2)
    return of(invoice)


@plants(Kind.TEXT_CHANGED)
def text_changed(scene: Scene) -> str:
    invoice = scene.sent()
    field = scene.rng.choice(["description", "footer", "statement_descriptor"])
    scene.stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, **{field: "For John Smith, born 1980-01-02"})
    return of(invoice)


@plants(Kind.TEXT_CHANGED)
def text_of_a_line_changed(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.tamper("line_item", line_of(scene, invoice)["id"], description="For John Smith")
    return of(invoice)


@plants(Kind.METADATA_CHANGED)
def metadata_removed(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, metadata={})
    return of(invoice)


@plants(Kind.METADATA_CHANGED)
def metadata_of_another_invoice(scene: Scene) -> str:
    invoice = scene.sent()
    metadata = scene.stripe.get("invoice", invoice.stripe_invoice_id)["metadata"]
    metadata["invoice_id"] = str(Invoice.objects.get(office=scene.another_office(), status="sent").pk)
    scene.stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, metadata=metadata)
    return of(invoice)


@plants(Kind.METADATA_CHANGED)
def metadata_added(scene: Scene) -> str:
    invoice = scene.sent()
    metadata = scene.stripe.get("invoice", invoice.stripe_invoice_id)["metadata"]
    scene.stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, metadata={**metadata, "note": "call back"})
    return of(invoice)


@plants(Kind.METADATA_CHANGED)
def metadata_of_the_month(scene: Scene) -> str:
    invoice = scene.sent()
    metadata = scene.stripe.get("invoice", invoice.stripe_invoice_id)["metadata"]
    scene.stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, metadata={**metadata, "cycle": "2020-01"})
    return of(invoice)


# --- The status, each way ---
@plants(Kind.PAID_THERE)
def paid_there(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.PAID_THERE)
def not_paid_here(scene: Scene) -> str:
    invoice = scene.paid()
    Invoice.objects.filter(pk=invoice.pk).update(status="sent")
    return of(invoice)


@plants(Kind.PAID_HERE)
def paid_here(scene: Scene) -> str:
    invoice = scene.sent()
    Invoice.objects.filter(pk=invoice.pk).update(status="paid")
    return of(invoice)


@plants(Kind.CANCELED_THERE)
def canceled_there(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.void(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.CANCELED_HERE)
def canceled_here(scene: Scene) -> str:
    invoice = scene.sent()
    Invoice.objects.filter(pk=invoice.pk).update(status="canceled")
    return of(invoice)


@plants(Kind.PAID_AFTER_CANCEL)
def paid_after_cancel(scene: Scene) -> str:
    invoice = scene.paid()
    Invoice.objects.filter(pk=invoice.pk).update(status="canceled")
    return of(invoice)


@plants(Kind.FAILED_THERE)
def failed_there(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.decline(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.SENT_THERE)
def sent_there_failed_here(scene: Scene) -> str:
    invoice = scene.sent()
    Invoice.objects.filter(pk=invoice.pk).update(status="failed")
    return of(invoice)


@plants(Kind.SENT_THERE)
def sent_there_draft_here(scene: Scene) -> str:
    invoice = scene.sent()
    Invoice.objects.filter(pk=invoice.pk).update(status="draft", stripe_invoice_id=None)
    return of(invoice)


@plants(Kind.WRITTEN_OFF_THERE)
def written_off_there(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.mark_uncollectible(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.STUCK_DRAFT)
def stuck_draft(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, status="draft")
    return of(invoice)


@plants(Kind.STUCK_DRAFT)
def stuck_draft_of_a_dead_message(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, status="draft")
    Invoice.objects.filter(pk=invoice.pk).update(status="draft")
    OutboxMessage.objects.filter(invoice=invoice).update(status=MessageStatus.DEAD, error_code="refused")
    return of(invoice)


@plants(Kind.FINALIZATION_FAILED)
def finalization_failed(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.tamper(
        "invoice", invoice.stripe_invoice_id, status="draft", last_finalization_error={"code": "tax_id_invalid"}
    )
    return of(invoice)


# --- Money ---
@plants(Kind.REFUND)
def refund(scene: Scene) -> str:
    invoice = scene.paid()
    scene.stripe.dashboard.refund(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.REFUND)
def refund_of_news_that_were_lost(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    scene.stripe.dashboard.refund(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.PARTIAL_REFUND)
def partial_refund(scene: Scene) -> str:
    invoice = scene.paid()
    scene.stripe.dashboard.refund(invoice.stripe_invoice_id, amount=scene.rng.randint(1, 900))
    return of(invoice)


@plants(Kind.REFUND)
def refund_that_failed(scene: Scene) -> str:
    invoice = scene.paid()
    made = scene.stripe.dashboard.refund(invoice.stripe_invoice_id)
    payment = Payment.objects.get(invoice=invoice)
    Refund.objects.create(
        invoice=invoice, stripe_refund_id=made["id"], payment_intent_id=payment.payment_intent_id, status="succeeded",
        amount_cents=made["amount"], currency="USD", refunded_at=scene.clock.at, recorded_at=scene.clock.at,
    )  # fmt: skip
    scene.stripe.dashboard.fail_refund(made["id"])
    return of(invoice)


@plants(Kind.DISPUTE)
def dispute(scene: Scene) -> str:
    invoice = scene.paid()
    scene.stripe.dashboard.dispute(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.DISPUTE)
def dispute_that_was_lost(scene: Scene) -> str:
    invoice = scene.paid()
    opened = scene.stripe.dashboard.dispute(invoice.stripe_invoice_id)
    scene.stripe.dashboard.close_dispute(opened["id"], won=False)
    return of(invoice)


@plants(Kind.CREDIT_NOTE)
def credit_note_on_a_sent_invoice(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.credit(invoice.stripe_invoice_id, 100)
    return of(invoice)


@plants(Kind.CREDIT_NOTE)
def credit_note_over_all_that_is_due(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.credit(invoice.stripe_invoice_id, invoice.total_cents)
    return of(invoice)


@plants(Kind.CREDIT_NOTE)
def credit_note_with_a_refund(scene: Scene) -> str:
    invoice = scene.paid()
    scene.stripe.dashboard.credit(invoice.stripe_invoice_id, 500, refund_amount=500)
    return of(invoice)


@plants(Kind.OUT_OF_BAND_PAYMENT)
def out_of_band_payment(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.pay_out_of_band(invoice.stripe_invoice_id)
    return of(invoice)


@plants(Kind.OVERPAID)
def overpaid(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, amount=invoice.total_cents + 50)
    return of(invoice)


@plants(Kind.UNDERPAID)
def underpaid(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id, amount=100)
    return of(invoice)


@plants(Kind.PAYMENT_MISSING)
def payment_missing(scene: Scene) -> str:
    invoice = scene.paid()
    lift_rules("billing_payment")
    Payment.objects.filter(invoice=invoice).delete()
    return of(invoice)


@plants(Kind.PAYMENT_MISSING)
def payment_of_other_cents(scene: Scene) -> str:
    invoice = scene.paid()
    lift_rules("billing_payment")
    Payment.objects.filter(invoice=invoice).update(amount_paid_cents=1)
    return of(invoice)


@plants(Kind.PAYMENT_MISSING)
def payment_invented(scene: Scene) -> str:
    invoice = scene.sent()
    Payment.objects.create(
        invoice=invoice, stripe_payment_id="inpay_invented", status=PaymentStatus.PAID, amount_requested_cents=1,
        amount_paid_cents=1, currency="USD", recorded_at=scene.clock.at,
    )  # fmt: skip
    return of(invoice)


# --- Customers ---
@plants(Kind.PROFILE_CHANGED)
def profile_changed(scene: Scene) -> str:
    office = scene.office
    field = scene.rng.choice([{"name": "John Smith"}, {"email": "john.smith@example.org"}])
    scene.stripe.dashboard.edit("customer", customer_of(office), **field)
    return f"office:{office.pk}"


@plants(Kind.CUSTOMER_DELETED)
def customer_deleted(scene: Scene) -> str:
    office = scene.office
    scene.stripe.dashboard.delete_customer(customer_of(office))
    return f"office:{office.pk}"


@plants(Kind.CUSTOMER_DELETED)
def customer_gone(scene: Scene) -> str:
    office = scene.office
    scene.stripe.dashboard.forget("customer", customer_of(office))
    return f"office:{office.pk}"


@plants(Kind.CUSTOMER_BALANCE)
def customer_balance(scene: Scene) -> str:
    office = scene.office
    scene.stripe.dashboard.edit("customer", customer_of(office), balance=-scene.rng.randint(1, 900))
    return f"office:{office.pk}"


@plants(Kind.CUSTOMER_DUPLICATE)
def customer_duplicate(scene: Scene) -> str:
    office = scene.office
    post(scene, "/v1/customers", name="Again", **{"metadata[office_id]": str(office.pk)})
    return f"office:{office.pk}"


@plants(Kind.METADATA_CHANGED)
def metadata_of_a_customer(scene: Scene) -> str:
    office = scene.office
    scene.stripe.dashboard.edit("customer", customer_of(office), metadata={})
    return f"office:{office.pk}"


# --- Our own books ---
@plants(Kind.ACTIVE_NOT_CHARGED)
def active_not_charged(scene: Scene) -> str:
    cycle = cycle_of(scene)
    make_patient(cycle.office, (cycle.start_at + timedelta(days=scene.rng.randint(0, 20)), None))
    return f"cycle:{cycle.pk}"


@plants(Kind.ACTIVE_NOT_CHARGED)
def charge_removed(scene: Scene) -> str:
    cycle = cycle_of(scene)
    lift_rules("billing_lineitem")
    LineItem.objects.filter(cycle_key=cycle.key, invoice__office=cycle.office).first().delete()
    return f"cycle:{cycle.pk}"


@plants(Kind.CHARGED_NEVER_ACTIVE)
def activity_removed(scene: Scene) -> str:
    cycle = cycle_of(scene)
    ActivityPeriod.objects.filter(office=cycle.office).first().delete()
    return f"cycle:{cycle.pk}"


@plants(Kind.CHARGED_NEVER_ACTIVE)
def charge_invented(scene: Scene) -> str:
    cycle = cycle_of(scene)
    lift_rules("billing_lineitem")
    stranger = make_patient(cycle.office)
    LineItem.objects.create(
        invoice=Invoice.objects.get(cycle=cycle), item_type="patient_activation", cycle_key=cycle.key,
        patient_reference=stranger.pk, unit_price_cents=200, created_at=cycle.end_at,
    )  # fmt: skip
    return f"cycle:{cycle.pk}"


@plants(Kind.CHARGE_WITHOUT_INVOICE)
def charge_never_queued(scene: Scene) -> str:
    invoice = charged(scene)
    lift_rules("billing_outboxmessage")
    OutboxMessage.objects.filter(invoice=invoice).delete()
    return of(invoice)


@plants(Kind.CHARGE_WITHOUT_INVOICE)
def charge_left_alive(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.void(invoice.stripe_invoice_id)
    hear(scene.stripe, scene.clock)
    lift_rules("billing_lineitem")
    LineItem.objects.filter(invoice=invoice).update(live=True)
    return of(invoice)


@plants(Kind.LATE_EVENT)
def late_event(scene: Scene) -> str:
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    status = scene.rng.choice([EventStatus.PENDING, EventStatus.QUARANTINED, EventStatus.DEAD])
    StripeEvent.objects.create(
        event_id="evt_late", event_type="invoice.paid", object_id=invoice.stripe_invoice_id, created=scene.clock.at,
        api_version="", livemode=False, digest="", received_at=scene.clock.at, status=status,
        next_attempt_at=scene.clock.at,
    )  # fmt: skip
    scene.later(hours=scene.rng.randint(2, 90))
    return of(invoice)


@plants(Kind.ORPHAN_MESSAGE)
def message_dead(scene: Scene) -> str:
    invoice = charged(scene)
    status = scene.rng.choice([MessageStatus.DEAD, MessageStatus.PARKED])
    message = OutboxMessage.objects.get(invoice=invoice)
    OutboxMessage.objects.filter(pk=message.pk).update(status=status, error_code="refused")
    return f"message:{message.pk}"


@plants(Kind.ORPHAN_MESSAGE)
def message_stuck(scene: Scene) -> str:
    invoice = charged(scene)
    scene.later(days=2)
    return f"message:{OutboxMessage.objects.get(invoice=invoice).pk}"


@plants(Kind.ORPHAN_MESSAGE)
def message_of_a_delivered_invoice_dead(scene: Scene) -> str:
    message = OutboxMessage.objects.get(invoice=scene.sent())
    OutboxMessage.objects.filter(pk=message.pk).update(status=MessageStatus.DEAD)
    return f"message:{message.pk}"


@plants(Kind.ORPHAN_ITEM)
def orphan_item(scene: Scene) -> str:
    made = post(scene, "/v1/invoiceitems", customer=customer_of(scene.office), currency="usd", amount=500)
    return f"stripe:{made['id']}"
